//! Writes databases in MaxMind's format, version 2.0
//! (<https://maxmind.github.io/MaxMind-DB/>): a binary tree over the bits of IPv6 addresses,
//! among which IPv4 addresses are those of `::/96`, and entries that its leaves point to.

use ipnet::IpNet;

/// A record of a node.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Entry(usize),
}

/// A database with these entries for networks. Of nested networks the outer ones come first.
pub(super) fn database(kind: &str, networks: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut entries = Vec::new();
    for (network, entry) in networks {
        let (bits, length) = bits(network.parse().unwrap());
        insert(&mut nodes, bits, length, Record::Entry(entries.len()));
        entries.extend_from_slice(entry);
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            Record::Nothing => nodes.len(),
            Record::Node(node) => *node,
            Record::Entry(at) => nodes.len() + 16 + at,
        };
        file.extend_from_slice(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend(entries);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", number(9, 1_800_000_000)),
        ("database_type", text(kind)),
        ("description", map(&[("en", text("Made for tests"))])),
        ("ip_version", number(5, 6)),
        ("languages", extended(11, 1, &text("en"))),
        ("node_count", number(6, nodes.len() as u64)),
        ("record_size", number(5, 24)),
    ]));
    file
}

/// An entry with a country.
pub(super) fn country(code: &str) -> Vec<u8> {
    map(&[("country", map(&[("iso_code", text(code))]))])
}

/// The bits of a network from the top, and how many of them it has.
fn bits(network: IpNet) -> (u128, u8) {
    match network {
        IpNet::V4(network) => (
            u128::from(u32::from(network.network())),
            96 + network.prefix_len(),
        ),
        IpNet::V6(network) => (u128::from(network.network()), network.prefix_len()),
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: u8, record: Record) {
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from((bits >> (127 - depth)) & 1 == 1);
        if depth + 1 == length {
            nodes[at][side] = record;
            return;
        }
        at = match nodes[at][side] {
            Record::Node(next) => next,
            outer => {
                nodes.push([outer; 2]);
                let next = nodes.len() - 1;
                nodes[at][side] = Record::Node(next);
                next
            }
        };
    }
}

/// A map (type 7) of fewer than 29 pairs.
pub(super) fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | pairs.len() as u8];
    for (key, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

/// A text (type 2) of fewer than 29 bytes.
pub(super) fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 29, "{text}");
    let mut bytes = vec![2 << 5 | text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A number of a type, without leading zeros.
fn number(kind: u8, value: u64) -> Vec<u8> {
    let zeros = (value.leading_zeros() / 8) as usize;
    let bytes = &value.to_be_bytes()[zeros..];
    match kind {
        0..=7 => [&[kind << 5 | bytes.len() as u8], bytes].concat(),
        _ => extended(kind, bytes.len() as u8, bytes),
    }
}

/// A value of a type above 7, of fewer than 29 bytes or elements.
fn extended(kind: u8, size: u8, content: &[u8]) -> Vec<u8> {
    [&[size, kind - 7], content].concat()
}
