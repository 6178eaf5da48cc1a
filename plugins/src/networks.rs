//! Networks, ready to be asked about an address.

use std::net::IpAddr;

use ipnet::IpNet;
use penstock_config::unit::Cidr;

/// A set of networks. A look-up is a binary search, however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The set of these.
    pub fn new(networks: &[Cidr]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.network() {
                IpNet::V4(net) => v4.push((net.network().into(), net.broadcast().into())),
                IpNet::V6(net) => v6.push((net.network().into(), net.broadcast().into())),
            }
        }
        Self {
            v4: disjoint(v4),
            v6: disjoint(v6),
        }
    }

    /// Whether there is none, so that no address is in one.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in one of the networks. One of IPv4 that arrives as IPv6
    /// is looked up as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.into()),
            IpAddr::V6(address) => within(&self.v6, address.into()),
        }
    }
}

/// Ranges in order. Networks contain one another or lie apart, so that keeping the
/// outermost makes them disjoint.
fn disjoint<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    ranges.dedup_by(|next, kept| next.1 <= kept.1);
    ranges.into_boxed_slice()
}

fn within<T: Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    let range = after.checked_sub(1).and_then(|last| ranges.get(last));
    range.is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests;
