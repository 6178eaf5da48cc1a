//! A listening socket on the current thread's ring.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Poll;

use crate::driver::Driver;
use crate::local::Home;
use crate::stream::TcpStream;

/// A listening socket on a ring.
///
/// It accepts ahead of its caller, up to
/// [`Options::accepted_max`](crate::Options) connections.
#[derive(Debug)]
pub struct TcpListener {
    home: Home,
}

impl TcpListener {
    /// Takes over a socket that listens already. `TCP_NODELAY` set on it is inherited
    /// by the connections that it accepts.
    ///
    /// # Errors
    /// This thread has no ring or no room in it.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let home = Home::new(|driver| driver.adopt_listener(OwnedFd::from(listener)))?;
        Ok(TcpListener { home })
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the kernel met, such as `EMFILE` when the process has no descriptor left:
    /// the connection then waits in the kernel, and a later call tries again. The caller
    /// should wait a moment first, since the error lasts as long as its cause.
    pub async fn accept(&mut self) -> io::Result<TcpStream> {
        let accepted = poll_fn(|cx| {
            let polled = self.home.with(|driver, key| driver.poll_accept(key, cx));
            polled.unwrap_or_else(|error| Poll::Ready(Err(error)))
        });
        TcpStream::from_fd(accepted.await?)
    }

    /// Accepts nothing more until [`TcpListener::accept`] is called again.
    /// Connections that were accepted already stay for it.
    pub fn pause(&mut self) {
        // On another thread there is nothing to pause: accepting fails there anyway.
        let _ = self.home.with(Driver::pause_accept);
    }

    /// Pauses, and returns the next connection that the ring had accepted by then; none
    /// when there is no other. To be asked before a listener is dropped: the clients of
    /// connections that nobody takes see them reset.
    pub async fn accepted(&mut self) -> Option<TcpStream> {
        let accepted = poll_fn(|cx| {
            let polled = self.home.with(|driver, key| driver.poll_accepted(key, cx));
            polled.unwrap_or(Poll::Ready(None))
        });
        TcpStream::from_fd(accepted.await?).ok()
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.home.leave(Driver::drop_listener);
    }
}
