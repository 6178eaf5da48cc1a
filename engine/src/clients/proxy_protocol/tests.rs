//! Headers as they are written, and as they are not.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Version 2 with this command, family and rest.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

fn v6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let destination = Ipv6Addr::LOCALHOST;
    [
        &source.octets()[..],
        &destination.octets(),
        &[0x12, 0x67, 0x01, 0xbb],
    ]
    .concat()
}

/// Headers, with whom they name.
fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let (v4, v6) = (Some("192.0.2.1:4711"), Some("[2001:db8::1]:4711"));
    let long = [&V4[..], &vec![7; 65535 - 12]].concat();
    // A type that nobody knows, one of no bytes, and what is no such thing.
    let more = [&V4[..], &[0xe0, 0, 2, 1, 2, 0x04, 0, 0, 9]].concat();
    let longest = format!(
        "PROXY TCP6 {0} {0} 65535 65535\r\n",
        "ffff:".repeat(7) + "ffff"
    );
    let mapped = "PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n";
    let text = |line: &str| line.as_bytes().to_vec();
    vec![
        (text("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n"), v4),
        (text("PROXY TCP6 2001:db8::1 ::1 4711 443\r\n"), v6),
        (
            text("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"),
            Some("0.0.0.0:0"),
        ),
        (
            text(&longest),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (text(mapped), Some("[::ffff:192.0.2.1]:4711")),
        (text("PROXY UNKNOWN\r\n"), None),
        (text("PROXY UNKNOWN ffff::1 whatever\r\n"), None),
        (text(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(91))), None),
        (binary(0x21, 0x11, &V4), v4),
        (binary(0x21, 0x21, &self::v6()), v6),
        (binary(0x21, 0x11, &more), v4),
        (binary(0x21, 0x11, &long), v4),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, &V4), None),
        (binary(0x20, 0x11, &[]), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &V4), None),
        (binary(0x21, 0x12, &V4), None),
        (binary(0x21, 0x31, &[0; 216]), None),
    ]
}

fn bad() -> Vec<Vec<u8>> {
    let lines = [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1\r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 01 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1  443\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 1 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 ::1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
    ];
    let mut bad: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    bad.push(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes());
    bad.push(format!("PROXY UNKNOWN {}", "x".repeat(93)).into_bytes());
    bad.push(b"PROXY UNKNOWN\xff\r\n".to_vec());
    for (command, family, rest) in [
        (0x11, 0x11, &V4[..]),
        (0x01, 0x11, &V4),
        (0x22, 0x11, &V4),
        (0x2f, 0x11, &V4),
        (0x21, 0x13, &V4),
        (0x21, 0x41, &V4),
        (0x21, 0xff, &V4),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x21, &V4),
        (0x21, 0x31, &V4),
    ] {
        bad.push(binary(command, family, rest));
    }
    bad
}

fn parsed(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Beginning::Header(header)) => header,
        other => panic!("{other:?}: {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn headers_name_whom_they_are_for() {
    for (bytes, named) in good() {
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        for bytes_seen in [&bytes, &followed] {
            let header = parsed(bytes_seen);
            assert_eq!(header.len, bytes.len());
            let named = named.map(|named| named.parse().unwrap());
            assert_eq!(
                header.source,
                named,
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    for (bytes, _) in good() {
        let whole = parsed(&bytes);
        let mut is_open = true;
        for end in 0..bytes.len().min(300) {
            match parse(&bytes[..end]).unwrap() {
                Beginning::Open => assert!(is_open, "decided at {end}"),
                Beginning::Header(header) => {
                    assert_eq!(header, whole, "at {end}");
                    is_open = false;
                }
                Beginning::Other => panic!("at {end}"),
            }
        }
    }
}

#[test]
fn what_is_malformed_is_no_header() {
    for bytes in bad() {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(parse(&bytes), Err(Malformed), "{text:?}");
    }
}

#[test]
fn other_beginnings_are_left_alone() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY\r\n",
        b"proxy TCP4 ",
        b"\r\nGET / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\x16\x03\x01\x02\0",
    ] {
        assert_eq!(parse(bytes), Ok(Beginning::Other), "{bytes:?}");
    }
}

/// Whatever comes, what was decided stays so when more comes, and what is a header says no
/// more than was there.
#[test]
fn mutated_headers_are_decided_once() {
    let mut random = StdRng::seed_from_u64(0x50_52_4f_58_59);
    let seeds: Vec<_> = good()
        .into_iter()
        .map(|(bytes, _)| bytes)
        .chain(bad())
        .collect();
    for _ in 0..40_000 {
        let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
        bytes.truncate(400);
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.insert(at, random.random()),
                2 => bytes[at] ^= 1 << random.random_range(0..8),
                _ => bytes.truncate(at + 1),
            }
        }
        let mut decided = None;
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end]);
            match decided {
                None if now == Ok(Beginning::Open) => {}
                None => decided = Some(now),
                Some(before) => assert_eq!(before, now, "at {end} of {bytes:?}"),
            }
            if let Ok(Beginning::Header(header)) = now {
                assert!(header.len <= FIXED + 65535);
            }
        }
    }
}
