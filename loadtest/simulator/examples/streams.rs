//! Thousands of streams at once, and how late their tokens come:
//! `cargo run --profile fast --example streams -- 127.0.0.1:9100 4000 40 100`
//! opens 4,000 connections over one second, asks on each for 40 tokens 100 ms apart, and
//! reads them all. The first token is due after as long as the others take.
//!
//! A fifth argument names a file with what each stream sends instead of a short question:
//! lines of headers, an empty line, a body. All lines of the head end in CR LF.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
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

/// What every stream asks for.
struct Asked {
    address: String,
    tokens: u32,
    pace: Duration,
    /// Lines of headers, and a body, in place of its own.
    request: Option<(String, String)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (streams, asked) = parse(&arguments)?;
    let (pace, tokens) = (asked.pace, asked.tokens);
    let asked = Arc::new(asked);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(async {
        let tasks: Vec<_> = (0..streams)
            .map(|number| {
                let wait = Duration::from_secs(1) * number as u32 / streams as u32;
                let stream = stream(Arc::clone(&asked), number);
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

/// How many streams, and what each asks for.
fn parse(arguments: &[String]) -> Result<(usize, Asked), Box<dyn Error>> {
    let (address, streams, tokens, pace_ms, file) = match arguments {
        [address, streams, tokens, pace_ms] => (address, streams, tokens, pace_ms, None),
        [address, streams, tokens, pace_ms, file] => {
            (address, streams, tokens, pace_ms, Some(file))
        }
        _ => return Err("usage: streams ADDRESS STREAMS TOKENS PACE_MS [REQUEST]".into()),
    };
    let request = file.map(|file| {
        let text = std::fs::read_to_string(file)?;
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("{file}: no empty line after the headers"))?;
        Ok::<_, Box<dyn Error>>((format!("{head}\r\n"), body.to_owned()))
    });
    let asked = Asked {
        address: address.clone(),
        tokens: tokens.parse()?,
        pace: Duration::from_millis(pace_ms.parse()?),
        request: request.transpose()?,
    };
    Ok((streams.parse()?, asked))
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

async fn stream(asked: Arc<Asked>, number: usize) -> std::io::Result<Seen> {
    let mut socket = TcpStream::connect(&asked.address).await?;
    let question = format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{number}"}}]}}"#
    );
    let (headers, body) = match &asked.request {
        Some((headers, body)) => (headers.as_str(), body),
        None => ("", &question),
    };
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\
         x-simulate-tokens: {}\r\nx-simulate-first-token: {ms}ms\r\n\
         x-simulate-pace: {ms}ms\r\nconnection: close\r\n{headers}\r\n",
        body.len(),
        asked.tokens,
        ms = asked.pace.as_millis()
    );
    let begin = Instant::now();
    socket.write_all((head + body).as_bytes()).await?;
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
