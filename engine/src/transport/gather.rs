//! Gathers what is written to a socket on epoll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that wait for more, or for a flush: a segment on most paths, which is what Pingora's own
/// streams keep.
const WAITING_MAX: usize = 1460;

/// Pieces that leave in one call with what waits.
const SLICES_MAX: usize = 16;

/// A socket on epoll. What is written in small pieces leaves together, and with what does not
/// wait in the same call, so that a head and its body are one packet where they fit.
#[derive(Debug)]
pub struct Gather {
    stream: TcpStream,
    waiting: Vec<u8>,
}

impl Gather {
    pub(super) fn new(stream: TcpStream) -> Gather {
        Gather {
            stream,
            waiting: Vec::new(),
        }
    }

    /// The socket itself.
    pub(super) fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    /// What waits.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.waiting
    }

    /// Sends what waits, and of `slices` as much as goes with it: none only if they are empty.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.waiting.is_empty() {
            let mut all = [IoSlice::new(&[]); SLICES_MAX];
            let with = std::iter::once(IoSlice::new(&self.waiting)).chain(slices.iter().copied());
            for (place, slice) in all.iter_mut().zip(with) {
                *place = slice;
            }
            let all = all.get(..SLICES_MAX.min(1 + slices.len())).unwrap_or(&all);
            let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, all))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let waited = sent.min(self.waiting.len());
            self.waiting.drain(..waited);
            if sent > waited {
                return Poll::Ready(Ok(sent - waited));
            }
        }
        match slices.iter().any(|slice| !slice.is_empty()) {
            true => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
            false => Poll::Ready(Ok(0)),
        }
    }
}

impl AsyncRead for Gather {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gather {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes > WAITING_MAX.saturating_sub(self.waiting.len()) {
            return self.poll_send(cx, slices);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush by itself.
        self.poll_send(cx, &[]).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Gather, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        let far = listener.accept().await.unwrap().0;
        (Gather::new(near.unwrap()), far)
    }

    #[tokio::test]
    async fn what_is_small_waits_for_a_flush() {
        let (mut near, mut far) = pair().await;
        near.write_all(b"one ").await.unwrap();
        near.write_all(b"two").await.unwrap();
        assert_eq!(near.buffer(), b"one two");
        assert!(far.try_read(&mut [0; 1]).is_err(), "nothing has left");
        near.flush().await.unwrap();
        let mut got = [0; 7];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two");
        assert!(near.buffer().is_empty());
    }

    #[tokio::test]
    async fn everything_arrives_in_order_however_it_is_cut() {
        let (mut near, mut far) = pair().await;
        let all: Vec<u8> = (0..4_000_000).map(|n: u32| (n % 251) as u8).collect();
        let sent = all.clone();
        let writing = tokio::spawn(async move {
            let mut left = &sent[..];
            let mut size = 1;
            while !left.is_empty() {
                let (now, later) = left.split_at(size.min(left.len()));
                let halves = now.split_at(now.len() / 3);
                let slices = [IoSlice::new(halves.0), IoSlice::new(halves.1)];
                let n = near.write_vectored(&slices).await.unwrap();
                assert!(n > 0);
                left = &left[n..];
                assert_eq!(n.max(now.len()), now.len(), "not more than was given");
                assert!(later.len() <= left.len());
                size = size * 7 % 100_003;
            }
            near.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap();
        assert!(got == all);
    }
}
