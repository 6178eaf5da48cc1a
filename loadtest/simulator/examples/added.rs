//! What a proxy adds to the first token of a stream, route by route, one stream at a time:
//! `cargo run --profile fast --example added -- 127.0.0.1:8080 127.0.0.1:9100 127.0.0.1:9101 1000 plain retried`
//! asks at the first address, by turns with `x-route: plain` and `x-route: retried`, a
//! thousand times each. It is the upstream at the second address itself, and at the third
//! one that takes connections and never answers.
//!
//! Client and upstream are one process with one clock. So what is told is the time from the
//! client's first byte to the upstream's last one of the request, and from the upstream's
//! token to the client's: what the upstream does between its role and its token, which is
//! to wait for two milliseconds, is not in it. A line for each route: its name, median and
//! p99 in nanoseconds, and the medians of the way there and of the way back.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between the role and the first token.
const THINKS: Duration = Duration::from_millis(2);

/// What of each route is not counted: connections, memory and caches become what they are.
const WARM_UP: usize = 100;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const ROLE: &str =
    r#"data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
const TOKEN: &str =
    r#"data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
const FINISH: &str =
    r#"data: {"id":"a","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const DONE: &str = "data: [DONE]";
const END: &[u8] = b"\r\n0\r\n\r\n";

/// When the upstream had the request, and when it sent the token.
type Stamps = Arc<Mutex<Option<(Instant, Instant)>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [proxy, upstream, silent, rounds, routes @ ..] = arguments.as_slice() else {
        return Err("usage: added PROXY UPSTREAM SILENT ROUNDS ROUTE...".into());
    };
    let rounds: usize = rounds.parse()?;
    let stamps = Stamps::default();
    let (listener, theirs) = (TcpListener::bind(upstream)?, Arc::clone(&stamps));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let theirs = Arc::clone(&theirs);
            // A connection that ends is the proxy's business.
            std::thread::spawn(move || serve(stream, &theirs));
        }
    });
    let silent = TcpListener::bind(silent)?;
    std::thread::spawn(move || silent.incoming().flatten().collect::<Vec<_>>());
    let mut connection = TcpStream::connect(proxy)?;
    connection.set_nodelay(true)?;
    let mut times = vec![Times::default(); routes.len()];
    for round in 0..WARM_UP + rounds {
        for turn in 0..routes.len() {
            // None comes always first, or always after the same one.
            let step = (round + turn) % routes.len();
            let place = match (round / routes.len()) % 2 {
                0 => step,
                _ => routes.len() - 1 - step,
            };
            let (Some(route), Some(times)) = (routes.get(place), times.get_mut(place)) else {
                continue;
            };
            let (there, back) = ask(&mut connection, route, &stamps)?;
            if round >= WARM_UP {
                times.there.push(there);
                times.back.push(back);
                times.both.push(there + back);
            }
        }
    }
    for (route, mut times) in routes.iter().zip(times) {
        let (median, p99) = (at(&mut times.both, 50), at(&mut times.both, 99));
        let (there, back) = (at(&mut times.there, 50), at(&mut times.back, 50));
        writeln!(std::io::stdout(), "{route} {median} {p99} {there} {back}")?;
    }
    Ok(())
}

/// Those of a route.
#[derive(Clone, Default)]
struct Times {
    both: Vec<Duration>,
    there: Vec<Duration>,
    back: Vec<Duration>,
}

/// The time below which `share` percent of the others lie, in nanoseconds.
fn at(times: &mut [Duration], share: usize) -> u128 {
    times.sort_unstable();
    let place = times.len().saturating_sub(1) * share / 100;
    times.get(place).map_or(0, Duration::as_nanos)
}

/// Asks for a stream, reads it to its end, and gives the time that was not the upstream's: on
/// the way there, and on the way back.
fn ask(
    connection: &mut TcpStream,
    route: &str,
    stamps: &Stamps,
) -> Result<(Duration, Duration), Box<dyn Error>> {
    let prompt = "a".repeat(1024);
    let body = format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-route: {route}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let begin = Instant::now();
    connection.write_all(request.as_bytes())?;
    let mut read = Vec::with_capacity(4096);
    read_until(connection, &mut read, br#""content":"Hello""#)?;
    let end = Instant::now();
    read_until(connection, &mut read, END)?;
    if !read.starts_with(b"HTTP/1.1 200") {
        return Err(format!("{route}: {}", String::from_utf8_lossy(&read)).into());
    }
    let stamps = *stamps.lock().unwrap_or_else(PoisonError::into_inner);
    let (got, sent) = stamps.ok_or("the upstream was not asked")?;
    Ok((got - begin, end - sent))
}

fn read_until(from: &mut TcpStream, read: &mut Vec<u8>, text: &[u8]) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    while !read.windows(text.len()).any(|window| window == text) {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// Answers the requests of a connection with a role, and some time later with a token.
fn serve(mut stream: TcpStream, stamps: &Stamps) -> std::io::Result<()> {
    let chunk = |event: &str| format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2);
    let beginning = format!("{HEAD}{}", chunk(ROLE));
    let token = chunk(TOKEN);
    let rest = format!("{}{}0\r\n\r\n", chunk(FINISH), chunk(DONE));
    stream.set_nodelay(true)?;
    loop {
        let mut read = Vec::with_capacity(4096);
        // The only one of its kind at the end of a request's JSON.
        read_until(&mut stream, &mut read, b"}]}")?;
        let got = Instant::now();
        stream.write_all(beginning.as_bytes())?;
        std::thread::sleep(THINKS);
        let sent = Instant::now();
        *stamps.lock().unwrap_or_else(PoisonError::into_inner) = Some((got, sent));
        stream.write_all(token.as_bytes())?;
        stream.write_all(rest.as_bytes())?;
    }
}
