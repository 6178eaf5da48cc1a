//! Which counter a request counts against.
//!
//! A counter's key is made of parts of the request, some of which clients choose: a
//! model's name, a claim. Two different requests must not share a counter, or one
//! tenant could use up the budget of another. So the parts are told apart by a 128-bit
//! SipHash-2-4 under a key that is random in each process and never shown: a
//! pseudorandom function, whose collisions cannot be searched for without it (Aumasson
//! and Bernstein, "SipHash: a fast short-input PRF", 2012), and among the
//! [`KEYS_MAX`](super::table::KEYS_MAX) keys of a limit the chance of one is below
//! 2^-90.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher24};

/// The name of a counter within its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// Uniformly distributed bits.
    pub(super) fn bits(self) -> u128 {
        self.0
    }

    #[cfg(test)]
    pub(super) fn numbered(number: u64) -> Self {
        KeyMaker::new().start().text(&number.to_string()).finish()
    }
}

/// Makes the keys of one limit.
#[derive(Clone)]
pub struct KeyMaker(SipHasher24);

impl KeyMaker {
    /// With a hash key of its own, drawn as the standard library draws those of its
    /// hash maps.
    pub fn new() -> Self {
        let random = || std::hash::RandomState::new().hash_one(0_u64);
        Self(SipHasher24::new_with_keys(random(), random()))
    }

    /// A key without parts yet.
    pub fn start(&self) -> KeyParts {
        KeyParts(self.0)
    }
}

impl std::fmt::Debug for KeyMaker {
    /// Without the hash key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaker").finish_non_exhaustive()
    }
}

impl Default for KeyMaker {
    fn default() -> Self {
        Self::new()
    }
}

/// A key being made of its parts, always the same ones in the same order.
#[derive(Clone)]
pub struct KeyParts(SipHasher24);

impl KeyParts {
    /// Adds a text. Its length goes before it, so that the end of one part cannot pass
    /// for the beginning of the next.
    pub fn text(mut self, text: &str) -> Self {
        self.0.write_u64(text.len() as u64);
        self.0.write(text.as_bytes());
        self
    }

    /// Adds a client's address: of an IPv6 address its /64, since that is what a single
    /// client is given (RFC 6177 section 2) and can choose from at will.
    pub fn address(mut self, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                self.0.write_u64(4);
                self.0.write(&address.octets());
            }
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _] = address.segments();
                self.0.write_u64(6);
                for segment in network {
                    self.0.write_u16(segment);
                }
            }
        }
        self
    }

    /// Adds that the request has no such part. All that have none share a counter.
    pub fn absent(mut self) -> Self {
        self.0.write_u64(u64::MAX);
        self
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key(self.0.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let maker = KeyMaker::new();
        let pair = |a: &str, b: &str| maker.start().text(a).text(b).finish();
        assert_eq!(pair("a", "b"), pair("a", "b"));
        let all = [
            pair("ab", "c"),
            pair("a", "bc"),
            pair("", "abc"),
            pair("abc", ""),
            maker.start().text("abc").finish(),
            maker.start().text("abc").absent().finish(),
            maker.start().absent().text("abc").finish(),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(
                all.iter().skip(i + 1).all(|b| a != b),
                "key {i} stands twice"
            );
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let maker = KeyMaker::new();
        let key = |address: &str| maker.start().address(address.parse().unwrap()).finish();
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(
            key("192.0.2.1"),
            key("::ffff:192.0.2.1"),
            "mapped addresses are IPv4"
        );
    }

    #[test]
    fn each_process_and_limit_has_keys_of_its_own() {
        let key = |maker: KeyMaker| maker.start().text("a").finish();
        assert_ne!(key(KeyMaker::new()), key(KeyMaker::new()));
    }
}
