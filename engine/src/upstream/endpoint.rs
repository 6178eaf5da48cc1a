//! One address of an upstream, as Pingora's peer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use penstock_config::unit::HostPort;
use penstock_config::upstream as config;
use penstock_plugins::Shared;
use penstock_plugins::balance::{self, Vitals};
use pingora_core::protocols::{ALPN, TcpKeepalive};
use pingora_core::upstreams::peer::HttpPeer;

use super::{Site, Trust};
use crate::transport::tls_alpn;

/// Streams that may share one HTTP/2 connection to an upstream.
const HTTP2_STREAMS_MAX: u16 = 100;

/// Bytes of an answer that an HTTP/2 upstream may send before they are read (RFC 9113 section
/// 5.2). All streams of a connection may be that far ahead at once, so that nobody waits for the
/// answers that others do not take.
const HTTP2_WINDOW: u32 = 128 * 1024;

/// How often an idle HTTP/2 connection to an upstream is checked.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// One address of an upstream.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As the configuration names it, for logs.
    pub label: Arc<str>,
    /// How it does.
    pub standing: Arc<Standing>,
    /// Tells it apart, in every process.
    pub seed: u64,
    peer: HttpPeer,
}

/// How an endpoint does, whatever generation names it.
pub struct Standing {
    /// Name of the upstream.
    pub upstream: String,
    /// Its address.
    pub address: SocketAddr,
    /// Requests in flight, latency, health.
    pub vitals: Arc<Vitals>,
}

impl Standing {
    const KIND: &'static str = "endpoint";

    /// What an earlier generation knows of the endpoint.
    fn of(shared: &Shared, upstream: &str, address: SocketAddr) -> Arc<Standing> {
        shared.keep(Self::KIND, &format!("{upstream} {address}"), || Standing {
            upstream: upstream.to_owned(),
            address,
            vitals: Arc::default(),
        })
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}`", self.address, self.upstream)
    }
}

/// What an upstream's endpoints have in common.
pub(super) struct Common<'a> {
    pub(super) name: &'a str,
    pub(super) upstream: &'a config::Upstream,
    pub(super) trust: Option<&'a Trust>,
    pub(super) site: Site<'a>,
}

impl Endpoint {
    pub(super) fn new(named: &HostPort, address: SocketAddr, common: &Common<'_>) -> Endpoint {
        Endpoint {
            label: named.to_string().into(),
            standing: Standing::of(common.site.shared, common.name, address),
            seed: balance::hash(address.to_string().as_bytes()),
            peer: peer(address, named, common),
        }
    }

    /// The address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.standing.address
    }

    /// The peer to connect to.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.peer.clone())
    }

    /// The same for Pingora's own connector, which works where there is no worker.
    pub fn peer_off_worker(&self) -> HttpPeer {
        let mut peer = self.peer.clone();
        if matches!(peer.options.alpn, ALPN::Custom(_)) {
            peer.options.alpn = ALPN::H1;
        }
        peer
    }
}

fn peer(address: SocketAddr, named: &HostPort, common: &Common<'_>) -> HttpPeer {
    let Common {
        upstream,
        trust,
        site,
        ..
    } = common;
    // Pingora checks no certificate at all when the name is empty, so there is always one.
    let name = match &upstream.tls {
        Some(tls) => tls
            .server_name
            .clone()
            .unwrap_or_else(|| named.host().to_owned()),
        None => String::new(),
    };
    let mut peer = HttpPeer::new(address, upstream.tls.is_some(), name);
    let options = &mut peer.options;
    options.connection_timeout = Some(upstream.timeouts.connect.get());
    options.total_connection_timeout = Some(upstream.timeouts.connect.get());
    options.read_timeout = Some(upstream.timeouts.read.get());
    options.write_timeout = Some(upstream.timeouts.write.get());
    options.idle_timeout = Some(upstream.timeouts.idle.get());
    options.max_h2_streams = usize::from(HTTP2_STREAMS_MAX);
    options.h2_stream_window_size = Some(HTTP2_WINDOW);
    options.h2_connection_window_size = Some(HTTP2_WINDOW * u32::from(HTTP2_STREAMS_MAX));
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        user_timeout: Duration::ZERO,
    });
    options.alpn = match upstream.protocol {
        config::Protocol::Http1 if upstream.tls.is_none() => site.transport.alpn(),
        config::Protocol::Http1 => tls_alpn(),
        config::Protocol::Http2 => ALPN::H2,
        config::Protocol::Auto => ALPN::H2H1,
    };
    if upstream.protocol != config::Protocol::Http1 {
        options.h2_ping_interval = Some(HTTP2_PING);
    }
    if let Some(tls) = &upstream.tls {
        options.verify_cert = tls.verify != config::Verify::None;
        options.verify_hostname = tls.verify == config::Verify::Full;
        if let Some(trust) = trust {
            options.ca = Some(trust.authorities.clone());
        }
    }
    // Pingora's pool does not tell connections apart by whom they trust.
    peer.group_key = trust.map_or(0, |trust| trust.digest);
    peer
}
