//! Thousands of streams at once, and how late their tokens come:
//! `cargo run --profile fast --example streams -- 127.0.0.1:9100 4000 40 100`
//! opens 4,000 connections, asks on each for 40 tokens 100 ms apart, and reads them all.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Seen {
    tokens: usize,
    complete: bool,
    head: Duration,
    /// From the head to the last byte.
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
            .map(|number| tokio::spawn(stream(address.clone(), number, tokens, pace)))
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
    let mut late: Vec<Duration> = seen
        .iter()
        .map(|one| one.streamed.saturating_sub(due))
        .collect();
    late.sort();
    let at = |share: usize| late.get(late.len().saturating_sub(1) * share / 100);
    let head = seen.iter().map(|one| one.head).max();
    writeln!(
        std::io::stdout(),
        "{complete} of {streams} streams complete, {total} tokens; end later than due by \
         {:?} (median), {:?} (p99), {:?} (worst); slowest head {head:?}",
        at(50),
        at(99),
        at(100),
    )?;
    Ok(())
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
    socket.read_buf(&mut bytes).await?;
    let head = begin.elapsed();
    while socket.read_buf(&mut bytes).await? > 0 {}
    let text = String::from_utf8_lossy(&bytes);
    Ok(Seen {
        tokens: text.matches(r#""delta":{"content":"#).count(),
        complete: text.contains("data: [DONE]") && text.ends_with("0\r\n\r\n"),
        head,
        streamed: begin.elapsed() - head,
    })
}
