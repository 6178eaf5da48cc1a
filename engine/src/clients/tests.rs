//! How many connections an address may have and open, and what of that is remembered.

use std::time::Duration;

use penstock_config::unit::Cidr;

use super::*;
use crate::telemetry::Telemetry;

fn clients(change: impl FnOnce(&mut server::Clients)) -> Arc<Clients> {
    let mut written = server::Clients {
        connections_per_address: 2,
        ..server::Clients::default()
    };
    change(&mut written);
    let telemetry = Telemetry::new().unwrap();
    let refusals = Refusals::new(telemetry.refused_connections());
    Arc::new(Clients::new(&written, refusals))
}

fn networks(list: &[&str]) -> Vec<Cidr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_has_so_many_connections_until_one_ends() {
    let clients = clients(|_| {});
    let welcome = |text| clients.welcome(address(text));
    let first = welcome("192.0.2.1").unwrap();
    let _second = welcome("::ffff:192.0.2.1").unwrap();
    let refused = welcome("192.0.2.1").map(drop);
    assert_eq!(refused, Err(Refusal::ConnectionsPerAddress));
    let _other = welcome("192.0.2.2").expect("another address has its own");
    drop(first);
    let third = welcome("192.0.2.1").expect("one has ended").unwrap();
    assert_eq!(clients.counts.places(), 2);
    drop(third);
    let _one = welcome("2001:db8:0:1::1").unwrap();
    let _two = welcome("2001:db8:0:1:ffff::1").unwrap();
    let refused = welcome("2001:db8:0:1::2").map(drop);
    assert_eq!(refused, Err(Refusal::ConnectionsPerAddress), "all of a /64");
    welcome("2001:db8:0:2::1").expect("the next /64 is somebody else's");
}

#[test]
fn memory_goes_with_the_connections() {
    let clients = clients(|_| {});
    let guest = |n: u32| clients.welcome(IpAddr::from(n.to_be_bytes())).unwrap();
    let guests: Vec<_> = (1 << 28..(1 << 28) + 100_000).map(guest).collect();
    assert_eq!(clients.counts.places(), 100_000);
    drop(guests);
    assert_eq!(clients.counts.places(), 0);
    let capacity = clients.counts.capacity();
    assert!(capacity < 64 * 1024, "room for {capacity} is kept");
}

#[test]
fn trusted_and_exempt_addresses_are_not_bounded() {
    let clients = clients(|written| {
        written.trusted_proxies = networks(&["10.0.0.0/8"]);
        written.exempt = networks(&["192.0.2.0/24"]);
    });
    for text in ["10.0.0.1", "::ffff:10.0.0.1", "192.0.2.7"] {
        let guest = clients.welcome(address(text)).unwrap();
        assert!(guest.is_none(), "{text}");
    }
    let required = Some(ProxyProtocol::Required);
    let meet = |text: &str, header| clients.meet(Some(address(text)), header).map(drop);
    assert_eq!(meet("10.0.0.1", required), Ok(()));
    assert_eq!(
        meet("192.0.2.7", required),
        Err(Refusal::ProxyUntrusted),
        "to be exempt is not to be believed"
    );
    assert_eq!(meet("192.0.2.7", Some(ProxyProtocol::Optional)), Ok(()));
}

#[test]
fn an_address_opens_connections_at_its_rate() {
    let rates = Rates::new(Rate {
        per_second: 10,
        burst: 3,
    });
    let (one, other) = (
        Place::of(address("192.0.2.1")),
        Place::of(address("192.0.2.2")),
    );
    let at = Duration::from_millis;
    for n in 0..3 {
        assert!(rates.allow(one, at(0)), "the burst, {n}");
    }
    assert!(!rates.allow(one, at(0)) && !rates.allow(one, at(99)));
    assert!(rates.allow(other, at(99)), "others are not slowed");
    assert!(rates.allow(one, at(100)) && !rates.allow(one, at(100)));
    assert!(rates.allow(one, at(1000)) && rates.allow(one, at(1000)));
    assert!(rates.allow(one, at(1000)) && !rates.allow(one, at(1000)));
}

#[test]
fn who_opens_many_is_known_among_however_many_others() {
    let rates = Rates::new(Rate {
        per_second: 10,
        burst: 100,
    });
    let busy = Place::of(address("192.0.2.1"));
    let now = Duration::from_secs(1);
    while rates.allow(busy, now) {}
    for n in 0..1_000_000 {
        rates.allow(Place(1 << 40 | n), now);
    }
    assert!(!rates.allow(busy, now), "it was forgotten");
}
