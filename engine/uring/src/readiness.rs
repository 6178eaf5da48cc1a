//! A connection that receives for itself, and waits for that in tokio's epoll set.
//!
//! The ring pays by what it hands over together. When little comes at a time it would only
//! add the kernel's task work to every wake-up, and then its part is played by two plain
//! system calls: the wait that tokio makes in any case, and a receive.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// A socket, and its registration with epoll once it has had to wait there.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// Before the descriptor, so that it is dropped before it.
    watch: OnceLock<AsyncFd<Arc<OwnedFd>>>,
    fd: Arc<OwnedFd>,
}

impl Readiness {
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Self {
        Readiness {
            watch: OnceLock::new(),
            fd,
        }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Ready when there is something to receive. Once in a while it is mistaken: after a
    /// receive that filled its buffer there may be nothing more.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.get().is_none() && self.has_something() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.watch()?.poll_read_ready(cx))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Receives into `buf`, which has room. Says how much: nothing is the end of the stream.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        // A connection that has just been accepted has often brought its request.
        if self.watch.get().is_none() {
            match receive(&self.fd, buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        let watch = self.watch()?;
        loop {
            let mut ready = ready!(watch.poll_read_ready(cx))?;
            let room = buf.remaining();
            match receive(&self.fd, buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                result => {
                    // What arrives from now on is told of anew: epoll reports edges.
                    if result.as_ref().is_ok_and(|n| *n < room) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Leaves the epoll set.
    pub(crate) fn forget(&mut self) {
        self.watch.take();
    }

    fn watch(&self) -> io::Result<&AsyncFd<Arc<OwnedFd>>> {
        if let Some(watch) = self.watch.get() {
            return Ok(watch);
        }
        // SAFETY: the safe constructors of `AsyncFd` take only types that they know to keep
        // their descriptor. This one is owned by the `Arc`, which hands it out to nobody,
        // and so stays open and the same until the `AsyncFd` is dropped.
        let watch =
            unsafe { AsyncFd::register_with_interest(self.fd.clone(), Interest::READABLE) }?;
        Ok(self.watch.get_or_init(|| watch))
    }

    fn has_something(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
        let peeked = SockRef::from(&self.fd).recv_with_flags(&mut byte, flags);
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// One receive, made again if a signal interrupts it.
fn receive(fd: &OwnedFd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: there is no safe way to receive into memory that is not initialised. The
    // slice is only written to, by the kernel, which says how far.
    let room = unsafe { buf.unfilled_mut() };
    let n = loop {
        match SockRef::from(fd).recv_with_flags(room, libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    // SAFETY: the kernel wrote these bytes.
    unsafe { buf.assume_init(n) };
    buf.advance(n);
    Ok(n)
}
