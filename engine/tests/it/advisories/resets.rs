//! Streams of HTTP/2 that a client has the proxy end, or unpack.

use penstock::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::{Client, Http, get};
use crate::harness::raw::WAIT;
use crate::harness::{Proxy, all_to, config, simulator};

on_both!(
    rustsec_2025_0070_a_client_that_has_streams_reset_is_left,
    cve_2026_105297_a_bomb_of_fields_is_not_unpacked,
);

/// Streams that are ended before the client is done for.
const STREAMS: u32 = 4_000;

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The error of the first GOAWAY in these frames.
fn goodbye(mut bytes: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = rest.get(..length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &rest[length..];
    }
    None
}

/// CVE-2025-8671, "MadeYouReset": a request is begun, and then a window opened further than
/// there are numbers, upon which the proxy has to reset the stream. It counts no more as
/// open, and what it began goes on.
async fn rustsec_2025_0070_a_client_that_has_streams_reset_is_left(transport: Transport) {
    let upstream = simulator(&[("record", "0")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        // However it ends.
        let _ = reader.read_to_end(&mut read).await;
        read
    });
    let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    begin.extend(frame(4, 0, 0, &[]));
    let mut is_open = writer.write_all(&begin).await.is_ok();
    // POST http://a/
    let head = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
    for n in 0..STREAMS {
        let stream = 2 * n + 1;
        let mut bytes = frame(HEADERS, 4, stream, &head);
        bytes.extend(frame(
            WINDOW_UPDATE,
            0,
            stream,
            &0x7fff_ffff_u32.to_be_bytes(),
        ));
        is_open = is_open && writer.write_all(&bytes).await.is_ok();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let read = tokio::time::timeout(WAIT, reading).await;
    let read = read.expect("the connection goes on").unwrap();
    if let Some(error) = goodbye(&read) {
        assert_eq!(error, ENHANCE_YOUR_CALM);
    } else {
        assert!(!is_open, "nothing was said and everything taken");
    }
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    assert_eq!(
        client.answer(get("/plain")).await.status,
        200,
        "others are served"
    );
}

/// Fields of one byte each that the table makes long ones of: a head of a few kilobytes, or some
/// of them on one connection, became hundreds of megabytes.
async fn cve_2026_105297_a_bomb_of_fields_is_not_unpacked(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    // GET http://a/, a field that goes into the table, and then that field by its index.
    let plain = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
    let field = |len: u8| [&[0x40, 1, b'x', len][..], &vec![b'y'; len.into()]].concat();
    for (name, head) in [
        (
            "long fields",
            [&plain[..], &field(120), &[0x80 | 62; 8_000]].concat(),
        ),
        (
            "empty fields",
            [&plain[..], &field(0), &[0x80 | 62; 8_000]].concat(),
        ),
        (
            "crumbs",
            [&plain[..], &[0x60, 1, b'y'], &[0x80 | 62; 8_000]].concat(),
        ),
    ] {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(frame(HEADERS, 5, 1, &head));
        stream.write_all(&bytes).await.unwrap();
        let mut read = Vec::new();
        // It may be reset behind its last word.
        let ended = tokio::time::timeout(WAIT, stream.read_to_end(&mut read)).await;
        assert!(ended.is_ok(), "{name}: the connection goes on");
        assert_eq!(goodbye(&read), Some(ENHANCE_YOUR_CALM), "{name}");
    }
    assert_eq!(upstream.requests(), 0, "none of them was a request");
    let counted = proxy.metric(
        "penstock_http2_connections_ended_total",
        &["kind=\"fields\""],
    );
    assert_eq!(counted, 3.0, "they end before anything is unpacked");
}
