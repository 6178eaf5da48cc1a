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
