//! Countries of addresses, and files that tell none.

mod writer;

use super::*;
use crate::build::Given;
use writer::{country, database, map, text};

/// Networks for documentation (RFC 5737, RFC 3849) and of this machine, so that whoever tries
/// the example on it can choose where to come from.
const NETWORKS: [(&str, &str); 7] = [
    ("192.0.2.0/24", "DE"),
    ("198.51.100.0/24", "FR"),
    ("203.0.113.0/24", "US"),
    ("2001:db8::/32", "US"),
    ("2001:db8:de::/48", "DE"),
    ("127.0.0.0/24", "DE"),
    ("127.0.1.0/24", "US"),
];

/// The database that the example of routing by country is tried with.
const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../config/examples/geoip/countries.mmdb"
);

fn example() -> Vec<u8> {
    let networks = NETWORKS.map(|(network, code)| (network, country(code)));
    database("Penstock-Example-Country", &networks)
}

fn at(countries: &Countries, address: &str) -> Option<String> {
    let country = countries.of(address.parse().unwrap());
    country.map(str::to_owned)
}

#[test]
fn an_address_has_the_country_of_its_network() {
    let countries = Countries::new(example()).unwrap();
    for (address, code) in [
        ("192.0.2.0", Some("DE")),
        ("192.0.2.255", Some("DE")),
        ("192.0.3.0", None),
        ("198.51.100.7", Some("FR")),
        ("2001:db8::1", Some("US")),
        ("2001:db8:de::1", Some("DE")),
        ("2001:db8:df::1", Some("US")),
        ("2001:db9::", None),
        ("::ffff:198.51.100.7", Some("FR")),
        ("127.0.0.1", Some("DE")),
        ("127.0.1.1", Some("US")),
        ("127.0.2.1", None),
        ("10.0.0.1", None),
        ("::1", None),
    ] {
        assert_eq!(at(&countries, address).as_deref(), code, "{address}");
    }
}

/// The file is what is written here: `PENSTOCK_WRITE=1 cargo test -p penstock-plugins geoip`
/// writes it anew.
#[test]
fn the_file_of_the_example_is_the_one_described_here() {
    if std::env::var_os("PENSTOCK_WRITE").is_some() {
        std::fs::write(EXAMPLE, example()).unwrap();
    }
    assert_eq!(std::fs::read(EXAMPLE).unwrap(), example());
}

#[test]
fn what_tells_no_countries_is_refused() {
    let refused = |bytes: &[u8]| Countries::new(bytes.to_vec()).unwrap_err();
    for bytes in [&b""[..], b"no database", b"\xab\xcd\xefMaxMind.com"] {
        let why = refused(bytes);
        assert!(
            why.starts_with("it is no database in MaxMind's format: "),
            "{why}"
        );
    }
    let provider = map(&[("autonomous_system", text("Example"))]);
    for networks in [&[][..], &[("192.0.2.0/24", provider)]] {
        let why = refused(&database("Some-ASN", networks));
        assert_eq!(
            why,
            "it tells no countries: no entry has `country.iso_code`, its type is `Some-ASN`"
        );
    }
}

/// Whatever is in the file, it is refused or tells something or nothing.
#[test]
fn a_broken_file_does_no_harm() {
    let whole = example();
    let addresses = ["192.0.2.1", "2001:db8:de::1", "127.0.0.1", "ff::"];
    let mut usable = 0;
    for place in 0..whole.len() {
        for broken in [0, 0xff, whole[place] ^ 0x20, whole[place].wrapping_add(1)] {
            let mut bytes = whole.clone();
            bytes[place] = broken;
            if let Ok(countries) = Countries::new(bytes) {
                usable += 1;
                for address in addresses {
                    at(&countries, address);
                }
            }
        }
        if let Ok(countries) = Countries::new(whole[..place].to_vec()) {
            for address in addresses {
                at(&countries, address);
            }
        }
    }
    assert!(usable > 0, "some mistakes do not show");
}

#[test]
fn generations_share_what_has_not_changed() {
    let given = |bytes: Vec<u8>| Given {
        files: [("c.mmdb".into(), bytes)].into(),
        ..Given::default()
    };
    let config = GeoIp {
        file: "c.mmdb".into(),
    };
    let shared = Shared::default();
    let read = |bytes: Vec<u8>| Countries::read(&config, &shared, &given(bytes)).unwrap();
    let first = read(example());
    assert!(Arc::ptr_eq(&first, &read(example())));
    let other = read(database("Other", &[("127.0.0.0/8", country("FR"))]));
    assert_eq!(at(&other, "127.0.0.1").as_deref(), Some("FR"));
    assert_eq!(at(&first, "127.0.0.1").as_deref(), Some("DE"));
    let none = Countries::read(&config, &shared, &Given::default()).unwrap_err();
    assert_eq!(
        none.to_string(),
        "c.mmdb cannot be read: there is no such file"
    );
    let bad = Countries::read(&config, &shared, &given(b"?".to_vec())).unwrap_err();
    assert!(
        bad.to_string()
            .starts_with("c.mmdb cannot be read: it is no database")
    );
}
