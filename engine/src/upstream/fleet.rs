//! The endpoints of an upstream, at the addresses that their names have now.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use penstock_config::unit::HostPort;
use penstock_plugins::balance::{Member, Pool, Rounds};

use super::endpoint::{Common, Endpoint};
use super::{Cause, settings};
use crate::names::{Answer, Answers};

/// The endpoints, to choose from, and what is known of their names.
pub(super) struct Fleet {
    pool: ArcSwap<Pool<Arc<Endpoint>>>,
    names: Mutex<BTreeMap<String, Known>>,
}

struct Known {
    answer: Answer,
    /// The last lookup failed.
    failing: bool,
}

impl Fleet {
    /// The endpoints at the addresses of `answers`.
    pub(super) fn new(common: &Common<'_>, answers: &Answers) -> Result<Fleet, Cause> {
        let mut names = BTreeMap::new();
        for host in hosts(
            common
                .upstream
                .endpoints
                .iter()
                .map(|written| &written.address),
        ) {
            let answer = match answers.get(host) {
                Some(Ok(answer)) => answer.clone(),
                Some(Err(error)) => return Err(Cause::look_up(host, error)),
                None => continue,
            };
            let failing = false;
            names.insert(host.to_owned(), Known { answer, failing });
        }
        let pool = pool(common, &names)?;
        Ok(Fleet {
            pool: ArcSwap::from_pointee(pool),
            names: Mutex::new(names),
        })
    }

    pub(super) fn pool(&self) -> Guard<Arc<Pool<Arc<Endpoint>>>> {
        self.pool.load()
    }

    /// The names that are to be looked up again.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let names = self.names.lock();
        let due = names
            .iter()
            .filter(|(_, known)| known.answer.good_until <= now);
        due.map(|(host, _)| host.clone()).collect()
    }

    /// Goes on with the addresses that a name had. True if that is news.
    pub(super) fn keep(&self, host: &str, until: Instant) -> bool {
        match self.names.lock().get_mut(host) {
            Some(known) => {
                known.answer.good_until = until;
                !std::mem::replace(&mut known.failing, true)
            }
            None => false,
        }
    }

    /// Takes the addresses of a name. True if they are others than before: what is under
    /// way at an address that has gone goes on.
    pub(super) fn renew(&self, host: &str, answer: &Answer, common: &Common<'_>) -> bool {
        let mut names = self.names.lock();
        let Some(known) = names.get_mut(host) else {
            return false;
        };
        known.failing = false;
        let before = std::mem::replace(&mut known.answer, answer.clone());
        if before.addresses == answer.addresses {
            return false;
        }
        // Only the weights could make it fail, and those are the same.
        let Ok(pool) = pool(common, &names) else {
            return false;
        };
        self.pool.store(Arc::new(pool));
        true
    }
}

/// The host names among these, which may repeat.
pub(crate) fn hosts<'a>(
    written: impl Iterator<Item = &'a HostPort>,
) -> impl Iterator<Item = &'a str> {
    let names = written.filter(|address| address.ip().is_none());
    names.map(HostPort::host)
}

fn pool(
    common: &Common<'_>,
    names: &BTreeMap<String, Known>,
) -> Result<Pool<Arc<Endpoint>>, Cause> {
    let mut members = Vec::new();
    for written in &common.upstream.endpoints {
        let near = match (&written.zone, common.site.zone) {
            (Some(its), Some(own)) => its == own,
            _ => true,
        };
        for address in addresses(&written.address, names) {
            let endpoint = Endpoint::new(&written.address, address, common);
            members.push(Member {
                weight: written.weight,
                near,
                requests_max: written.max_requests.and_then(NonZeroU32::new),
                vitals: endpoint.standing.vitals.clone(),
                seed: endpoint.seed,
                target: Arc::new(endpoint),
            });
        }
    }
    let pool = Pool::new(settings::of(common.upstream), members).map_err(|_| Cause::NoWeight)?;
    let rounds = common
        .site
        .shared
        .keep("rounds", common.name, Rounds::default);
    Ok(pool.continuing(rounds))
}

fn addresses(written: &HostPort, names: &BTreeMap<String, Known>) -> Vec<SocketAddr> {
    let on_port = |ip: IpAddr| SocketAddr::new(ip, written.port());
    match written.ip() {
        Some(ip) => vec![on_port(ip)],
        None => {
            let known = names.get(written.host()).into_iter();
            let known = known.flat_map(|known| &known.answer.addresses);
            known.map(|ip| on_port(*ip)).collect()
        }
    }
}
