//! Who connects: the address that a connection or a request comes from, and how many
//! connections an address may have.
//!
//! A client is whoever is at the other end of a connection, unless that is a proxy which the
//! operator trusts: then it is whom the proxy names, in a header of the PROXY protocol before
//! anything else or in a header of the request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use penstock_config::server::{self, ForwardedHeader, ProxyProtocol};
use penstock_plugins::networks::Networks;

mod counts;
mod forwarded;
pub mod proxy_protocol;
mod rates;
mod refusals;

pub use refusals::{Refusal, Refusals};

use counts::Counts;
use rates::{Rate, Rates};

/// What the operator says of clients, and the connections that they have. All workers share
/// it.
#[derive(Debug)]
pub struct Clients {
    trusted: Networks,
    exempt: Networks,
    header: ForwardedHeader,
    counts: Counts,
    rates: Rates,
    refusals: Refusals,
    started: Instant,
}

/// An address as connections are counted by: that of IPv4, or the /64 of IPv6, which is the
/// least that a client is given (RFC 6177 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place(u64);

impl Place {
    fn of(address: IpAddr) -> Place {
        match address.to_canonical() {
            // Where IPv6 has `::/32`, from which nobody connects but by IPv4.
            IpAddr::V4(address) => Place(u64::from(u32::from(address))),
            IpAddr::V6(address) => Place((u128::from(address) >> 64) as u64),
        }
    }
}

/// One connection of those that its address may have. It counts while this lives.
pub struct Guest {
    clients: Arc<Clients>,
    place: Place,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&self.place).finish()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.clients.counts.leave(self.place);
    }
}

impl Clients {
    /// As the operator wrote it, and what is refused counted there.
    pub fn new(written: &server::Clients, refusals: Refusals) -> Self {
        Clients {
            trusted: Networks::new(&written.trusted_proxies),
            exempt: Networks::new(&written.exempt),
            header: written.forwarded_header,
            counts: Counts::new(written.connections_per_address),
            rates: Rates::new(Rate {
                per_second: written.new_connections_per_second,
                burst: written.new_connections_burst,
            }),
            refusals,
            started: Instant::now(),
        }
    }

    /// Whether what this address says of whom it speaks for is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.contains(address)
    }

    /// Whether a connection that was just accepted may go on. One of a trusted proxy is
    /// nobody's yet, one that is exempt stays so: neither is a guest.
    ///
    /// # Errors
    /// It is to be closed, which has been counted.
    pub fn meet(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        header: Option<ProxyProtocol>,
    ) -> Result<Option<Guest>, Refusal> {
        let Some(peer) = peer else {
            // The kernel knows no other end any more: it closes by itself.
            return Ok(None);
        };
        if self.trusts(peer) {
            return Ok(None);
        }
        if header == Some(ProxyProtocol::Required) {
            return Err(self.refuse(Refusal::ProxyUntrusted, peer));
        }
        self.welcome(peer)
    }

    /// Whether this address may have one more connection.
    ///
    /// # Errors
    /// The connection is to be closed, which has been counted.
    pub fn welcome(self: &Arc<Self>, address: IpAddr) -> Result<Option<Guest>, Refusal> {
        if self.exempt.contains(address) || self.trusts(address) {
            return Ok(None);
        }
        let place = Place::of(address);
        if !self.rates.allow(place, self.started.elapsed()) {
            return Err(self.refuse(Refusal::NewConnectionsPerSecond, address));
        }
        if !self.counts.enter(place) {
            return Err(self.refuse(Refusal::ConnectionsPerAddress, address));
        }
        Ok(Some(Guest {
            clients: Arc::clone(self),
            place,
        }))
    }

    /// Counts a connection that is closed for this reason, and logs it, at a bounded rate.
    pub fn refuse(&self, why: Refusal, address: IpAddr) -> Refusal {
        self.refusals.add(why, address, self.started.elapsed());
        why
    }

    /// Who sent a request that came from `peer` with these headers.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(peer.to_canonical(), &self.trusted, self.header, headers)
    }
}

#[cfg(test)]
mod tests;
