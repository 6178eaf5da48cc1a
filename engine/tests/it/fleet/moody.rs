//! An endpoint whose behaviour a test changes as it goes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One such endpoint. It answers with 200 at once until it is told otherwise.
pub(super) struct Moody {
    pub(super) address: SocketAddr,
    mood: Arc<Mood>,
}

struct Mood {
    name: &'static str,
    status: AtomicU16,
    check_status: AtomicU16,
    retry_after: Mutex<Option<String>>,
    wait: Mutex<Duration>,
    requests: AtomicU64,
    checks: AtomicU64,
}

impl Moody {
    /// Starts one that tells its name in `x-upstream-name`.
    pub(super) async fn start(name: &'static str) -> Moody {
        Moody::on(name, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Starts one that is asked there.
    pub(super) fn on(name: &'static str, listener: TcpListener) -> Moody {
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mood {
            name,
            status: AtomicU16::new(200),
            check_status: AtomicU16::new(200),
            retry_after: Mutex::default(),
            wait: Mutex::default(),
            requests: AtomicU64::new(0),
            checks: AtomicU64::new(0),
        });
        let shared = mood.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mood = shared.clone();
                let answer = hyper::service::service_fn(move |request| {
                    let mood = mood.clone();
                    async move { Ok::<_, Infallible>(mood.answer(request).await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Moody { address, mood }
    }

    /// Requests are answered with this status from now on.
    pub(super) fn answers(&self, status: u16) {
        self.mood.status.store(status, Ordering::SeqCst);
    }

    /// Checks are answered with this status from now on.
    pub(super) fn answers_checks(&self, status: u16) {
        self.mood.check_status.store(status, Ordering::SeqCst);
    }

    /// Answers to requests have this `Retry-After` from now on.
    pub(super) fn asks_for(&self, retry_after: &str) {
        *self.mood.retry_after.lock().unwrap() = Some(retry_after.to_owned());
    }

    /// Requests take this long from now on.
    pub(super) fn takes(&self, time: Duration) {
        *self.mood.wait.lock().unwrap() = time;
    }

    /// Requests so far, without checks.
    pub(super) fn requests(&self) -> u64 {
        self.mood.requests.load(Ordering::SeqCst)
    }

    /// Checks so far.
    pub(super) fn checks(&self) -> u64 {
        self.mood.checks.load(Ordering::SeqCst)
    }
}

impl Mood {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/health" {
            self.checks.fetch_add(1, Ordering::SeqCst);
            let status = self.check_status.load(Ordering::SeqCst);
            let answer = Response::builder().status(status);
            return answer.body(Full::default()).unwrap();
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let wait = *self.wait.lock().unwrap();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let mut answer = Response::builder()
            .status(self.status.load(Ordering::SeqCst))
            .header("x-upstream-name", self.name);
        if let Some(retry_after) = &*self.retry_after.lock().unwrap() {
            answer = answer.header("retry-after", retry_after);
        }
        answer.body(Full::default()).unwrap()
    }
}
