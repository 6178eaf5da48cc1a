//! Addresses of endpoints that are written with a host name, and how long they are good.
//!
//! A configuration's names are looked up together while a generation is built. From then
//! on each is looked up again when its name server's word is not good any longer, and the
//! upstreams that use it get their endpoints anew. Nothing waits for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{TokioResolver, system_conf};
use penstock_config::server::Dns;

mod renewal;

pub(crate) use renewal::look;

/// The least that an answer is good, whatever its TTL: a name server that says zero is not
/// to be asked all the time.
const GOOD_MIN: Duration = Duration::from_secs(1);

/// The most that an answer is good: a TTL may be days, and `/etc/hosts` has none.
const GOOD_MAX: Duration = Duration::from_secs(5 * 60);

/// How long one of the configured name servers may take, at each of two or three tries.
/// Those of `/etc/resolv.conf` have what that says.
const WAIT: Duration = Duration::from_secs(2);

/// Names that are looked up at a time.
const AT_A_TIME: usize = 32;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its addresses: at least one, in order, each once.
    pub addresses: Vec<IpAddr>,
    /// When it is to be looked up again.
    pub good_until: Instant,
}

/// What is known of the names of a configuration.
pub type Answers = BTreeMap<String, Result<Answer, LookUpError>>;

/// Looks up names together. May take seconds where name servers do not answer.
pub fn look_up_all(dns: &Dns, hosts: BTreeSet<String>) -> Answers {
    if hosts.is_empty() {
        return Answers::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(together(dns, &hosts)),
        Err(error) => {
            let error = LookUpError::from(NetError::from(error));
            let failed = |host| (host, Err(error.clone()));
            hosts.into_iter().map(failed).collect()
        }
    }
}

async fn together(dns: &Dns, hosts: &BTreeSet<String>) -> Answers {
    let names = &Names::new(dns);
    let lookups = hosts
        .iter()
        .map(|host| async move { (host.clone(), names.look_up(host).await) });
    // Made beforehand: a stream that makes them as it goes is not generic enough.
    let lookups: Vec<_> = lookups.collect();
    let lookups = futures::stream::iter(lookups).buffer_unordered(AT_A_TIME);
    lookups.collect().await
}

/// Asks name servers. It is of use in the runtime only that it was made in.
struct Names {
    /// Or why there is none, which is every name's answer then.
    resolver: Result<TokioResolver, LookUpError>,
}

impl Names {
    /// Reads `/etc/resolv.conf` if no name servers are given, and `/etc/hosts`.
    fn new(dns: &Dns) -> Names {
        // Without any name server there still is `/etc/hosts`.
        let (mut config, mut options) = system_conf::read_system_conf()
            .unwrap_or_else(|_| (ResolverConfig::default(), ResolverOpts::default()));
        if !dns.servers.is_empty() {
            let servers = dns.servers.iter().map(|server| server.address());
            let servers = servers.map(|address| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let on_port = connections.map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                NameServerConfig::new(address.ip(), true, on_port.into())
            });
            config = ResolverConfig::from_name_servers(servers.collect());
            options = ResolverOpts::default();
            options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
            options.timeout = WAIT;
        }
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        // What was answered before is no answer here: it is asked when it is stale.
        options.cache_size = 0;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build();
        Names {
            resolver: resolver.map_err(LookUpError::from),
        }
    }

    async fn look_up(&self, host: &str) -> Result<Answer, LookUpError> {
        let resolver = self.resolver.as_ref().map_err(LookUpError::clone)?;
        let found = resolver.lookup_ip(host).await?;
        let addresses: BTreeSet<_> = found.iter().collect();
        if addresses.is_empty() {
            return Err(LookUpError::NoAddress);
        }
        let now = Instant::now();
        let good = found.valid_until().saturating_duration_since(now);
        Ok(Answer {
            addresses: addresses.into_iter().collect(),
            good_until: now + good.clamp(GOOD_MIN, GOOD_MAX),
        })
    }
}

/// Why a name has no address.
#[derive(Clone, Debug)]
pub enum LookUpError {
    /// There is no such name.
    NoName,
    /// The name exists, and has no address.
    NoAddress,
    /// There is no name server to ask.
    NoServer,
    /// No name server answered, or not in a way that helps.
    Failed(Arc<NetError>),
}

impl From<NetError> for LookUpError {
    fn from(error: NetError) -> Self {
        if error.is_nx_domain() {
            LookUpError::NoName
        } else if error.is_no_records_found() {
            LookUpError::NoAddress
        } else if matches!(error, NetError::NoConnections) {
            LookUpError::NoServer
        } else {
            LookUpError::Failed(Arc::new(error))
        }
    }
}

impl fmt::Display for LookUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookUpError::NoName => f.write_str("there is no such name"),
            LookUpError::NoAddress => f.write_str("the name has no address"),
            LookUpError::NoServer => f.write_str("there is no name server to ask"),
            LookUpError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LookUpError {}

#[cfg(test)]
mod tests;
