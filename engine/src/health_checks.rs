//! Asks endpoints how they do, where the configuration wants it.
//!
//! There is one task in the process for each endpoint that the generation in force has
//! checked. It speaks to the endpoint as requests are sent to it: with Pingora's connector
//! and the same settings of TLS and HTTP. It keeps no generation alive.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, StatusCode};
use penstock_config::upstream::HealthCheck;
use penstock_plugins::balance::Vitals;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::clock;
use crate::generation::Generation;
use crate::live::Live;
use crate::upstream::{self, Endpoint, Standing, Upstream};

/// How often it is looked whether another generation is in force, or endpoints have moved.
const LOOK: Duration = Duration::from_millis(50);

/// What is asked of an endpoint, and how.
struct Probe {
    check: HealthCheck,
    host: HeaderValue,
    peer: HttpPeer,
    label: Arc<str>,
    standing: Arc<Standing>,
}

/// A probe under way. It ends when this is dropped.
struct Running {
    probe: Rc<Probe>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The probes under way, by the name of the upstream and the address.
type Probes = HashMap<(String, SocketAddr), Running>;

/// Checks what the generation in force wants checked until the server is gone. Runs in a
/// set of local tasks.
pub(crate) async fn look(live: Weak<Live>) {
    let mut probes = Probes::new();
    // Made when it is needed: it reads the system's authorities.
    let mut connector = None;
    let mut seen = None;
    while let Some(server) = live.upgrade() {
        let generation = server.load();
        let now = (generation.id, generation.moves());
        if seen != Some(now) {
            seen = Some(now);
            follow(&generation, &mut probes, &mut connector);
        }
        drop((server, generation));
        sleep(LOOK).await;
    }
}

/// Has what this generation wants checked and nothing else.
fn follow(generation: &Generation, probes: &mut Probes, connector: &mut Option<Rc<Connector>>) {
    let mut wanted = HashMap::new();
    let configured = generation.config.upstreams.values();
    for (upstream, configured) in generation.upstreams().iter().zip(configured) {
        for member in upstream.pool().members() {
            let endpoint = &member.target;
            let Some(check) = &configured.health_check else {
                // What an earlier generation found is nobody's business any more.
                endpoint.standing.vitals.probed(true, clock::now());
                continue;
            };
            let key = (upstream.name.clone(), endpoint.address());
            wanted.insert(key, Probe::new(check, upstream, endpoint));
        }
    }
    probes.retain(|key, _| wanted.contains_key(key));
    for (key, probe) in wanted {
        let connector = connector.get_or_insert_with(|| Rc::new(Connector::new(None)));
        match probes.entry(key) {
            Entry::Occupied(running) if running.get().probe.asks_as(&probe) => {}
            Entry::Occupied(mut running) => {
                running.insert(Running::start(probe, connector));
            }
            Entry::Vacant(free) => {
                free.insert(Running::start(probe, connector));
            }
        }
    }
}

impl Running {
    fn start(probe: Probe, connector: &Rc<Connector>) -> Running {
        let probe = Rc::new(probe);
        let work = run(Rc::clone(&probe), Rc::clone(connector));
        let task = tokio::task::spawn_local(work);
        Running { probe, task }
    }
}

/// Checks an endpoint again and again.
async fn run(probe: Rc<Probe>, connector: Rc<Connector>) {
    let interval = probe.check.interval.get();
    // Endpoints that were configured together are not to be asked together.
    sleep(interval.mul_f64(rand::random())).await;
    let mut tally = Tally::default();
    loop {
        let next = Instant::now() + interval;
        let found = timeout(probe.check.timeout.get(), probe.ask(&connector)).await;
        let found = found
            .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "no answer in time"));
        tally.add(&probe, found);
        sleep_until(next).await;
    }
}

/// Results in a row.
#[derive(Default)]
struct Tally {
    good: u8,
    bad: u8,
}

impl Tally {
    fn add(&mut self, probe: &Probe, found: Result<()>) {
        let Standing {
            upstream, vitals, ..
        } = &*probe.standing;
        let endpoint = &*probe.label;
        match found {
            Ok(()) => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                if self.good >= probe.check.healthy && news(vitals, true) {
                    info!(
                        upstream,
                        endpoint, "endpoint passes its health checks again"
                    );
                }
            }
            Err(error) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                if self.bad >= probe.check.unhealthy && news(vitals, false) {
                    warn!(upstream, endpoint, reason = %error, "endpoint fails its health checks");
                }
            }
        }
    }
}

fn news(vitals: &Vitals, well: bool) -> bool {
    vitals.probed(well, clock::now())
}

impl Probe {
    fn new(check: &HealthCheck, upstream: &Upstream, endpoint: &Endpoint) -> Probe {
        let label = HeaderValue::from_str(&endpoint.label);
        // A label is a host and a port, which a header can hold.
        let label = label.unwrap_or(HeaderValue::from_static(""));
        Probe {
            check: check.clone(),
            host: upstream.host.clone().unwrap_or(label),
            peer: endpoint.peer_off_worker(),
            label: endpoint.label.clone(),
            standing: endpoint.standing.clone(),
        }
    }

    /// Whether another one would ask the same in the same way.
    fn asks_as(&self, other: &Probe) -> bool {
        let alpn = |probe: &Probe| probe.peer.options.alpn.clone();
        self.check == other.check
            && self.host == other.host
            && self.peer.reuse_hash() == other.peer.reuse_hash()
            && alpn(self) == alpn(other)
            && Arc::ptr_eq(&self.standing, &other.standing)
    }

    /// Asks once. Good is an answer with one of the statuses.
    async fn ask(&self, connector: &Connector) -> Result<()> {
        let (mut session, _) = connector.get_http_session(&self.peer).await?;
        let status = self.exchange(&mut session).await?;
        match session {
            // An HTTP/2 connection can take the next question too. One of HTTP/1 would
            // have to be read to the end of its answer.
            HttpSession::H2(_) => {
                let idle = self.check.interval.get().saturating_mul(2);
                let peer = &self.peer;
                connector
                    .release_http_session(session, peer, Some(idle))
                    .await;
            }
            mut session => session.shutdown().await,
        }
        let is_good = |good: u16| good == status.as_u16();
        if self.check.statuses.iter().any(|good| is_good(good.get())) {
            return Ok(());
        }
        Error::e_explain(
            ErrorType::HTTPStatus(status.as_u16()),
            format!("GET {}", self.check.path),
        )
    }

    async fn exchange(&self, session: &mut HttpSession) -> Result<StatusCode> {
        let mut head = RequestHeader::build("GET", self.check.path.as_bytes(), Some(4))?;
        head.insert_header(HOST, self.host.clone())?;
        head.insert_header(ACCEPT, "*/*")?;
        head.insert_header(USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")))?;
        if session.as_http2().is_none() {
            head.insert_header(CONNECTION, "close")?;
        }
        session.write_request_header(Box::new(head)).await?;
        session.finish_request_body().await?;
        upstream::read_status(session).await
    }
}
