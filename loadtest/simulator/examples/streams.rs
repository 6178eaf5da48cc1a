//! Thousands of streams at once, and how late their tokens come:
//! `cargo run --profile fast --example streams -- 127.0.0.1:9100 4000 40 100`
//! opens 4,000 connections over one second, asks on each for 40 tokens 100 ms apart, and
//! reads them all. The first token is due after as long as the others take.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Seen {
    tokens: usize,
    complete: bool,
    /// From the request to the first byte of the body.
    first: Duration,
    /// From there to the last byte.
    streamed: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, streams, tokens, pace_ms] = arguments.as_slice() else {
        return Err("usage: streams ADDRESS STREAMS TOKENS PACE_MS".into());
    };
    let (streams, tokens): (usize, u32) = (streams.parse()?, tokens.parse()?);
    let pace = Duration::from_millis(pace_ms.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(async {
        let tasks: Vec<_> = (0..streams)
            .map(|number| {
                let wait = Duration::from_secs(1) * number as u32 / streams as u32;
                let stream = stream(address.clone(), number, tokens, pace);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    stream.await
                })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            // One minute is far beyond any answer asked for here.
            if let Ok(Ok(Ok(one))) = tokio::time::timeout(Duration::from_secs(60), task).await {
                seen.push(one);
            }
        }
        seen
    });
    let complete = seen.iter().filter(|one| one.complete).count();
    let total: usize = seen.iter().map(|one| one.tokens).sum();
    let due = pace * tokens;
    let late = sorted(seen.iter().map(|one| one.streamed.saturating_sub(due)));
    let first = sorted(seen.iter().map(|one| one.first.saturating_sub(pace)));
    writeln!(
        std::io::stdout(),
        "{complete} of {streams} streams complete, {total} tokens; first token later than due by \
         {} us (median), {} us (p99); end later by {} us (median), {} us (p99)",
        at(&first, 50),
        at(&first, 99),
        at(&late, 50),
        at(&late, 99),
    )?;
    Ok(())
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times
}

/// The time below which `share` percent of the others lie, in microseconds.
fn at(times: &[Duration], share: usize) -> u128 {
    let place = times.len().saturating_sub(1) * share / 100;
    times.get(place).map_or(0, Duration::as_micros)
}

async fn stream(
    address: String,
    number: usize,
    tokens: u32,
    pace: Duration,
) -> std::io::Result<Seen> {
    let mut socket = TcpStream::connect(&address).await?;
    let body = format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{number}"}}]}}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\
         x-simulate-tokens: {tokens}\r\nx-simulate-first-token: {ms}ms\r\n\
         x-simulate-pace: {ms}ms\r\nconnection: close\r\n\r\n",
        body.len(),
        ms = pace.as_millis()
    );
    let begin = Instant::now();
    socket.write_all((head + &body).as_bytes()).await?;
    let mut bytes = Vec::new();
    while !bytes.windows(6).any(|window| window == b"data: ") {
        if socket.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    let first = begin.elapsed();
    while socket.read_buf(&mut bytes).await? > 0 {}
    let text = String::from_utf8_lossy(&bytes);
    Ok(Seen {
        tokens: text.matches(r#""delta":{"content":"#).count(),
        complete: text.contains("data: [DONE]") && text.ends_with("0\r\n\r\n"),
        first,
        streamed: begin.elapsed() - first,
    })
}
