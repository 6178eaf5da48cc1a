//! Bytes on a socket, where a client library would tidy up too much.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the other side may keep a raw client waiting.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// A client's connection.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until the text has come, and returns all that came until then.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        let wanted = text.as_bytes();
        while !read.windows(wanted.len()).any(|window| window == wanted) {
            let byte = tokio::time::timeout(WAIT, self.0.read_u8()).await;
            let seen = || String::from_utf8_lossy(&read).into_owned();
            let byte = byte.unwrap_or_else(|_| panic!("no {text:?} in time after {:?}", seen()));
            let byte = byte.unwrap_or_else(|error| panic!("{error} before {text:?}: {:?}", seen()));
            read.push(byte);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads until the other side closes. The error is how it did, if not properly.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, Option<std::io::Error>) {
        let mut read = Vec::new();
        let end = tokio::time::timeout(WAIT, self.0.read_to_end(&mut read)).await;
        let end = end.unwrap_or_else(|_| {
            panic!(
                "not closed within {WAIT:?} after {:?}",
                String::from_utf8_lossy(&read)
            )
        });
        (read, end.err())
    }

    /// Everything until the other side closes, as text.
    pub(crate) async fn text_to_end(&mut self) -> String {
        String::from_utf8_lossy(&self.read_to_end().await.0).into_owned()
    }
}

/// Sends a request that asks for the connection to be closed, and returns the answer.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.text_to_end().await
}

/// Reads a request's head, and what of its body came with it.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let body = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, body));
        }
        let mut more = vec![0; 1024];
        let n = stream.read(&mut more).await.ok()?;
        read.extend_from_slice(more.get(..n).filter(|_| n > 0)?);
    }
}

/// Reads a request whole, whose body has a length.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (head, mut body) = read_head(stream).await?;
    let length = length(&head)?;
    while body.len() < length {
        let mut more = vec![0; 64 * 1024];
        let n = stream.read(&mut more).await.ok()?;
        body.extend_from_slice(more.get(..n).filter(|_| n > 0)?);
    }
    Some((head, body))
}

fn length(head: &str) -> Option<usize> {
    let head = head.to_ascii_lowercase();
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(Some(0), |value| value.trim().parse().ok())
}
