//! The admin listener: health, metrics, the running configuration and changes to it, for
//! operators.
//!
//! It runs on the supervisor's thread, so that a busy worker does not keep an operator
//! waiting. It has no authentication; the configuration says where it listens.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use penstock_plugins::cache::{Purged, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use crate::clock;
use crate::history::{Applied, Record};
use crate::live::{Live, OnDisk, ReloadError};
use crate::telemetry::Telemetry;

mod purge;

/// Connections that the listener serves at once.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take over a request's head.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const JSON: &str = "application/json";

/// What the pages tell of.
pub struct Pages {
    /// The generation in force.
    pub live: Arc<Live>,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Whether new connections are accepted.
    pub ready: watch::Receiver<bool>,
}

/// Serves the pages until the task is dropped.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(|request: Request<Incoming>| {
                let pages = pages.clone();
                async move { Ok::<_, Infallible>(pages.answer(&request).await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT)
                .max_headers(64);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
                debug!(%error, "an admin connection ended");
            }
            drop(permit);
        });
    }
}

impl Pages {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/reload" if request.method() == Method::POST => self.change(Live::reload).await,
            "/rollback" if request.method() == Method::POST => self.change(Live::rollback).await,
            "/cache/purge" if request.method() == Method::POST => self.purge(request.uri().query()),
            "/reload" | "/rollback" | "/cache/purge" => not_allowed("POST"),
            "/healthz" | "/readyz" | "/metrics" | "/config" | "/config.json" | "/generations"
            | "/"
                if !reading =>
            {
                not_allowed("GET, HEAD")
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if *self.ready.borrow() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/metrics" => self.metrics(),
            "/config" => self.config(),
            "/config.json" => self.config_json(),
            "/generations" => self.generations().await,
            "/" => text(
                StatusCode::OK,
                "Penstock\n\n/healthz\n/readyz\n/metrics\n/config\n/config.json\n/generations\nPOST /reload\nPOST /rollback\nPOST /cache/purge?tenant=&model=&key=\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "no such page\n"),
        }
    }

    /// Removes stored answers, and says how many.
    fn purge(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let which = match purge::parse(query) {
            Ok(which) => which,
            Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        };
        let mut sum = Purged::default();
        for store in self.live.shared().alive::<Store>() {
            let purged = store.purge(&which);
            sum.entries += purged.entries;
            sum.bytes += purged.bytes;
        }
        info!(
            entries = sum.entries,
            bytes = sum.bytes,
            "stored answers were purged"
        );
        let body = serde_json::json!({ "entries": sum.entries, "bytes": sum.bytes });
        typed(StatusCode::OK, "application/json", format!("{body}\n"))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.telemetry.render() {
            Ok(body) => typed(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                body,
            ),
            Err(error) => {
                warn!(%error, "the metrics could not be encoded");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics could not be encoded\n",
                )
            }
        }
    }

    /// The configuration in force. It holds references to secrets, never a secret.
    fn config(&self) -> Response<Full<Bytes>> {
        let generation = self.live.load();
        let mut body = format!("# generation {}\n", generation.id);
        if let Some(record) = self.live.last() {
            let action = record.action.as_str();
            match record.result {
                Ok(applied) => body.push_str(&format!(
                    "# last {action}: generation {}, in {:?}: {}\n",
                    applied.generation, record.took, applied.summary
                )),
                Err(refused) => {
                    body.push_str(&format!("# last {action} refused:\n"));
                    let lines = refused.why.lines();
                    lines.for_each(|line| body.push_str(&format!("#   {line}\n")));
                }
            }
        }
        body.push_str(&penstock_config::to_yaml(&generation.config));
        typed(StatusCode::OK, "application/yaml; charset=utf-8", body)
    }

    fn config_json(&self) -> Response<Full<Bytes>> {
        match serde_json::to_vec(&self.live.load().config) {
            Ok(body) => typed(StatusCode::OK, JSON, body),
            Err(error) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the configuration cannot be shown: {error}\n"),
            ),
        }
    }

    /// What serves, since when, what became of the last reloads, and what the files hold
    /// now.
    async fn generations(&self) -> Response<Full<Bytes>> {
        let live = self.live.clone();
        match tokio::task::spawn_blocking(move || state(&live)).await {
            Ok(state) => typed(StatusCode::OK, JSON, format!("{state:#}\n")),
            Err(error) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the files could not be compared: {error}\n"),
            ),
        }
    }

    async fn change(
        &self,
        change: impl FnOnce(&Live) -> Result<Applied, ReloadError> + Send + 'static,
    ) -> Response<Full<Bytes>> {
        let live = self.live.clone();
        match tokio::task::spawn_blocking(move || change(&live)).await {
            Ok(Ok(applied)) => {
                let id = applied.generation;
                let mut body = format!("generation {id} is in force: {}\n", applied.summary);
                for line in &applied.changes {
                    body.push_str(&format!("  {line}\n"));
                }
                if applied.more > 0 {
                    body.push_str(&format!("  and {} more changes\n", applied.more));
                }
                text(StatusCode::OK, body)
            }
            Ok(Err(error)) => text(StatusCode::CONFLICT, format!("{error}\n")),
            Err(error) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the change failed: {error}\n"),
            ),
        }
    }
}

fn state(live: &Live) -> Value {
    let generation = live.load();
    let (since, before, reloads) = {
        let history = live.history();
        let records: Vec<_> = history.records().map(Record::to_json).collect();
        (history.since(), history.before, records)
    };
    let (file, detail) = match live.on_disk() {
        OnDisk::Same => ("same", None),
        OnDisk::Differs(changes) => ("differs", Some(changes)),
        OnDisk::Unusable(why) => ("unusable", Some(why)),
    };
    let files = generation.files.changes_on_disk();
    let files = files.into_iter().map(|(path, changes)| {
        json!({
            "path": path.display().to_string(),
            "changed": !changes.is_empty(),
            "changes": changes,
        })
    });
    json!({
        "generation": generation.id,
        "since": clock::rfc3339(since),
        "before": before,
        "file": { "path": live.source().name(), "state": file, "detail": detail },
        "files": files.collect::<Vec<_>>(),
        "reloads": reloads,
    })
}

/// Opens the admin listener.
///
/// # Errors
/// The address cannot be bound.
pub fn open(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Opens the admin listener as soon as another process lets go of its address.
pub async fn open_once_free(address: std::net::SocketAddr) -> TcpListener {
    loop {
        match open(address) {
            Ok(listener) => return listener,
            Err(error) => debug!(%error, %address, "the admin listener waits"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
