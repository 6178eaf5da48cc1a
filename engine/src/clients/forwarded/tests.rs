//! What is believed of what is written, and of what is made up.

use http::HeaderValue;
use penstock_config::unit::Cidr;

use super::*;

const PEER: &str = "10.0.0.1";

/// The client of a request from [`PEER`] with these lines of the header, where 10.0.0.0/8
/// and 2001:db8:1::/48 are trusted.
fn found(header: ForwardedHeader, lines: &[&str]) -> String {
    let trusted: [Cidr; 2] = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
    let mut headers = HeaderMap::new();
    let name = match header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => FORWARDED,
    };
    for line in lines {
        headers.append(&name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let peer = PEER.parse().unwrap();
    client(peer, &Networks::new(&trusted), header, &headers).to_string()
}

#[test]
fn the_last_stranger_is_the_client() {
    let cases: [(&[&str], &str); 24] = [
        (&[], PEER),
        (&[""], PEER),
        (&["192.0.2.1"], "192.0.2.1"),
        // The client wrote the beginning.
        (&["127.0.0.1, 192.0.2.1"], "192.0.2.1"),
        (&["10.0.0.9, 192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (&["192.0.2.1,10.0.0.3,,10.0.0.2 ,"], "192.0.2.1"),
        (&["203.0.113.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        // Lines are one list, in order.
        (&["203.0.113.1", "192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        (&["192.0.2.1", ""], "192.0.2.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["192.0.2.1:4711"], "192.0.2.1"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:443"], "2001:db8::1"),
        (&["192.0.2.1, 2001:db8:1::5"], "192.0.2.1"),
        // Of IPv4 over IPv6 what counts is IPv4, for trust as well.
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
        // What is no address leaves whoever wrote it.
        (&["192.0.2.1, unknown"], PEER),
        (&["192.0.2.1, junk, 10.0.0.2"], "10.0.0.2"),
        (&["192.0.2.01"], PEER),
        (&["fe80::1%eth0"], PEER),
        (&["\"192.0.2.1\""], PEER),
    ];
    for (lines, client) in cases {
        let found = found(ForwardedHeader::XForwardedFor, lines);
        assert_eq!(found, client, "{lines:?}");
    }
}

#[test]
fn forwarded_is_read_with_its_quotes() {
    let cases: [(&[&str], &str); 27] = [
        (&["for=192.0.2.1"], "192.0.2.1"),
        (
            &["For=\"192.0.2.1:4711\";proto=http;by=10.0.0.1"],
            "192.0.2.1",
        ),
        (&["by=10.0.0.1; for=192.0.2.1"], "192.0.2.1"),
        (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["for=\"[2001:db8:cafe::17]:_port\""], "2001:db8:cafe::17"),
        (&["for=\"[::ffff:192.0.2.1]\""], "192.0.2.1"),
        (&["for=6.6.6.6, for=192.0.2.1"], "192.0.2.1"),
        (&["for=6.6.6.6", "for=192.0.2.1, for=10.0.0.2"], "192.0.2.1"),
        (&["for=192.0.2.1;host=\"a,b;for=6.6.6.6\""], "192.0.2.1"),
        (&["for=192.0.2.1;host=\"a\\\",for=6.6.6.6\""], "192.0.2.1"),
        // Quotes that the client leaves open do not reach what a proxy adds.
        (&["for=\"6.6.6.6, for=192.0.2.1"], "192.0.2.1"),
        (&["for=\"6.6.6.6, for=\"192.0.2.1\""], "192.0.2.1"),
        (&["for=\"x", "for=192.0.2.1"], "192.0.2.1"),
        (&["for=6.6.6.6, for=\"192.0.2.1"], PEER),
        (&["for=unknown"], PEER),
        (&["for=6.6.6.6, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (&["for=6.6.6.6, proto=https"], PEER),
        (&["for=6.6.6.6;for=192.0.2.1"], PEER),
        (&["for=6.6.6.6, nonsense"], PEER),
        (&["for = 6.6.6.6"], PEER),
        (&["for=\"\\192.0.2.1\""], PEER),
        (&["for=192.0.2.1:"], PEER),
        (&["for=192.0.2.1:65536"], PEER),
        (&["for=192.0.2.1:_"], PEER),
        (&["for=\"[2001:db8::1\""], PEER),
        (&["for=\"[192.0.2.1]\""], PEER),
        (&["for="], PEER),
    ];
    for (lines, client) in cases {
        let found = found(ForwardedHeader::Forwarded, lines);
        assert_eq!(found, client, "{lines:?}");
    }
}

#[test]
fn a_list_of_proxies_has_an_end() {
    let many = "192.0.2.1, ".to_owned() + &"10.0.0.2, ".repeat(HOPS_MAX);
    let found = found(ForwardedHeader::XForwardedFor, &[&many]);
    assert_eq!(found, "10.0.0.2");
}
