//! One generation of the configuration, built and ready to serve.
//!
//! It is immutable. A request takes hold of the current one when it begins and keeps it
//! to its end, so that everything it sees belongs together. What must outlive a
//! generation (counters, the store of a cache, health) is owned by none: it lies in
//! [`Shared`], where each generation finds it again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use penstock_config::Config;
use penstock_config::route::OnDisconnect;
use penstock_plugins::{RouteTable, Shared, build};
use pingora_core::listeners::tls::Acceptor;
use prometheus::IntGauge;

use crate::clock;
use crate::drains::Drains;
use crate::files::{Files, Seen};
use crate::hedges::Hedges;
use crate::materials::Machine;
use crate::names::{self, Answer};
use crate::retries::Retries;
use crate::shadows::Shadows;
use crate::telemetry::{Held, RouteMetrics, Telemetry};
use crate::tls::{self, Accepting, CertificateError, Tls};
use crate::transport::Transport;
use crate::upstream::{self, Site, Upstream, Workshop};

/// A generation of the configuration.
pub struct Generation {
    /// Counts up from 1 with each successful load.
    pub id: u64,
    /// What it was built from.
    pub config: Config,
    /// Which requests go where.
    pub routes: RouteTable,
    /// What the files held that it was built from.
    pub files: Seen,
    accepting: Accepting,
    upstreams: Box<[Upstream]>,
    /// How often names of endpoints have got other addresses.
    moves: AtomicU64,
    /// By route; none for those that leave the upstream when the client has gone.
    drains: Box<[Option<Arc<Drains>>]>,
    /// By route; none for those whose requests are sent once at a time.
    hedges: Box<[Option<Arc<Hedges>>]>,
    /// By route; none for those whose requests are not copied.
    shadows: Box<[Option<Arc<Shadows>>]>,
    /// By route, found when they are first asked for.
    metrics: Box<[OnceLock<Arc<RouteMetrics>>]>,
    telemetry: Arc<Telemetry>,
    _alive: Held,
}

impl Generation {
    /// Builds a generation. Nothing of it is in force before someone publishes it. It
    /// takes from `shared` what an earlier one left there.
    ///
    /// # Errors
    /// Everything that could not be built: names that do not resolve, files that cannot
    /// be read or have mistakes in them.
    pub fn build(
        id: u64,
        config: Config,
        transport: Transport,
        telemetry: &Arc<Telemetry>,
        shared: &Shared,
    ) -> Result<Self, BuildErrors> {
        let mut errors = Vec::new();
        let files = Files::default();
        let accepting = tls::accepting(&config.server.listen, &files, shared)
            .map_err(|failed| errors.extend(failed.into_iter().map(BuildError::Certificate)));
        let mut upstreams = Vec::with_capacity(config.upstreams.len());
        let answers = names::look_up_all(&config.server.dns, hosts(&config));
        let workshop = Workshop {
            site: site(&config, transport, shared),
            files: &files,
            telemetry,
            answers: &answers,
        };
        for (name, upstream) in &config.upstreams {
            match Upstream::build(name.as_str(), upstream, &workshop) {
                Ok(upstream) => upstreams.push(upstream),
                Err(error) => errors.push(BuildError::Upstream(error)),
            }
        }
        let routes = RouteTable::new(&config, shared, &Machine(&files))
            .map_err(|failed| errors.extend(failed.into_iter().map(BuildError::Chain)));
        let (Ok(routes), Ok(accepting), true) = (routes, accepting, errors.is_empty()) else {
            return Err(BuildErrors(errors));
        };
        Ok(Generation {
            id,
            metrics: routes.iter().map(|_| OnceLock::new()).collect(),
            telemetry: Arc::clone(telemetry),
            _alive: Held::new(&telemetry.generations_alive),
            drains: drains(&config, telemetry, shared),
            hedges: hedges(&config, telemetry, shared),
            shadows: shadows(&config, &routes, telemetry, shared),
            routes,
            files: files.seen(),
            accepting,
            moves: AtomicU64::new(0),
            upstreams: upstreams.into(),
            config,
        })
    }

    /// What accepts TLS for a listener; none for a cleartext one.
    pub fn acceptor(&self, listener: usize) -> Option<Arc<Acceptor>> {
        Some(self.tls(listener)?.acceptor.clone())
    }

    /// What a listener shows and asks for; none for a cleartext one.
    pub fn tls(&self, listener: usize) -> Option<&Tls> {
        self.accepting.get(listener)?.as_ref()
    }

    /// What an operator should know of, though it serves: certificates that no client takes
    /// now.
    pub fn complaints(&self) -> Vec<String> {
        let now = i64::try_from(clock::now().as_secs()).unwrap_or(i64::MAX);
        let certificates = self.accepting.iter().flatten();
        let certificates = certificates.flat_map(|tls| tls.certificates.iter());
        certificates
            .filter_map(|certificate| certificate.complaint(now))
            .collect()
    }

    /// The upstream of a target of this generation.
    pub fn upstream(&self, id: penstock_plugins::UpstreamId) -> Option<&Upstream> {
        self.upstreams.get(id.0)
    }

    /// The retries of the upstream of a target of this generation.
    pub fn retries(&self, id: penstock_plugins::UpstreamId) -> Option<&Arc<Retries>> {
        Some(&self.upstream(id)?.retries)
    }

    /// How a route's answers are read on whose clients have gone, if they are.
    pub fn drains(&self, route: Option<usize>) -> Option<&Arc<Drains>> {
        self.drains.get(route?)?.as_ref()
    }

    /// Which of a route's requests are sent a second time, if any are.
    pub fn hedges(&self, route: Option<usize>) -> Option<&Arc<Hedges>> {
        self.hedges.get(route?)?.as_ref()
    }

    /// Which of a route's requests are copied, if any are.
    pub fn shadows(&self, route: Option<usize>) -> Option<&Arc<Shadows>> {
        self.shadows.get(route?)?.as_ref()
    }

    /// All upstreams, in the order of their names.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Takes the addresses that the name of endpoints has now. Returns the upstreams for
    /// which they are others than before.
    pub fn readdress<'a>(
        &'a self,
        host: &'a str,
        answer: &'a Answer,
        transport: Transport,
        shared: &'a Shared,
    ) -> Vec<&'a str> {
        let site = site(&self.config, transport, shared);
        let upstreams = self.upstreams.iter().zip(self.config.upstreams.values());
        let moved =
            upstreams.filter(|(upstream, written)| upstream.readdress(host, answer, written, site));
        let moved: Vec<_> = moved.map(|(upstream, _)| upstream.name.as_str()).collect();
        if !moved.is_empty() {
            self.moves.fetch_add(1, Ordering::Release);
        }
        moved
    }

    /// Changes when endpoints get other addresses.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// The counters of a route, or of requests without one.
    pub fn metrics(&self, route: Option<usize>) -> &RouteMetrics {
        let known = route.and_then(|index| self.routes.get(index).zip(self.metrics.get(index)));
        match known {
            Some((route, metrics)) => {
                metrics.get_or_init(|| self.telemetry.route(route.name().as_str()))
            }
            None => &self.telemetry.unmatched,
        }
    }

    /// Finds the counters of all routes, so that no request has to and they are shown at
    /// zero. That is done when the generation serves already: it has many routes and each
    /// has many counters.
    pub fn find_metrics(&self) {
        for index in 0..self.metrics.len() {
            self.metrics(Some(index));
        }
    }
}

/// The host names of all endpoints.
fn hosts(config: &Config) -> BTreeSet<String> {
    let upstreams = config.upstreams.values();
    let endpoints = upstreams.flat_map(|upstream| &upstream.endpoints);
    let hosts = upstream::hosts(endpoints.map(|endpoint| &endpoint.address));
    hosts.map(str::to_owned).collect()
}

fn site<'a>(config: &'a Config, transport: Transport, shared: &'a Shared) -> Site<'a> {
    Site {
        transport,
        zone: config.server.zone.as_ref(),
        shared,
    }
}

fn drains(config: &Config, telemetry: &Telemetry, shared: &Shared) -> Box<[Option<Arc<Drains>>]> {
    let routes = config.routes.iter();
    let drains = routes.map(|route| match &route.on_disconnect {
        OnDisconnect::Cancel => None,
        OnDisconnect::Drain(bounds) => {
            let name = route.name.as_str();
            Some(Arc::new(Drains::new(name, bounds, telemetry, shared)))
        }
    });
    drains.collect()
}

fn hedges(config: &Config, telemetry: &Telemetry, shared: &Shared) -> Box<[Option<Arc<Hedges>>]> {
    let routes = config.routes.iter();
    let hedges = routes.map(|route| {
        let settings = route.hedge.as_ref()?;
        let name = route.name.as_str();
        let hedges = Hedges::new(name, settings, telemetry.hedges(name), shared);
        Some(Arc::new(hedges))
    });
    hedges.collect()
}

fn shadows(
    config: &Config,
    routes: &RouteTable,
    telemetry: &Telemetry,
    shared: &Shared,
) -> Box<[Option<Arc<Shadows>>]> {
    let routes = config.routes.iter().zip(routes);
    let shadows = routes.map(|(written, route)| {
        let (settings, target) = written.shadow.as_ref().zip(route.shadow())?;
        let name = route.name().as_str();
        let metrics = telemetry.shadows(name, settings.upstream.as_str());
        let shadows = Shadows::new(name, settings, target, metrics, shared);
        Some(Arc::new(shadows))
    });
    shadows.collect()
}

/// Why a valid configuration could not be built.
#[derive(Debug)]
pub struct BuildErrors(pub Vec<BuildError>);

/// One reason.
#[derive(Debug)]
pub enum BuildError {
    /// A listener's certificate cannot be used.
    Certificate(CertificateError),
    /// An upstream could not be built.
    Upstream(upstream::BuildError),
    /// A route or a plugin could not be built.
    Chain(build::BuildError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Certificate(error) => error.fmt(f),
            BuildError::Upstream(error) => error.fmt(f),
            BuildError::Chain(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildErrors {}

/// How many generations are alive, the current one included.
pub fn alive(gauge: &IntGauge) -> u64 {
    u64::try_from(gauge.get()).unwrap_or(0)
}
