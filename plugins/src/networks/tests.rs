//! Which addresses are in which networks.

use super::*;

fn networks(list: &[&str]) -> Networks {
    let parsed: Vec<Cidr> = list
        .iter()
        .map(|network| network.parse().unwrap())
        .collect();
    Networks::new(&parsed)
}

#[test]
fn an_address_is_found_whatever_the_order_of_the_list() {
    let networks = networks(&[
        "192.0.2.128/25",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "192.0.2.7",
        "2001:db8::/32",
        "10.0.0.0/9",
    ]);
    for (address, within) in [
        ("10.0.0.0", true),
        ("10.255.255.255", true),
        ("11.0.0.0", false),
        ("9.255.255.255", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("192.0.2.200", true),
        ("::ffff:10.1.2.3", true),
        ("::ffff:11.1.2.3", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::1", false),
        ("::1", false),
    ] {
        assert_eq!(
            networks.contains(address.parse().unwrap()),
            within,
            "{address}"
        );
    }
}

#[test]
fn none_and_all() {
    assert!(networks(&[]).is_empty());
    assert!(!networks(&[]).contains("10.0.0.1".parse().unwrap()));
    let all = networks(&["0.0.0.0/0", "::/0"]);
    assert!(all.contains("255.255.255.255".parse().unwrap()));
    assert!(all.contains("ffff::1".parse().unwrap()) && all.contains("0.0.0.0".parse().unwrap()));
}
