//! How bytes are moved: by tokio's epoll, or by io_uring.
//!
//! Both serve the same proxy. What differs is here: how a connection is accepted, and
//! how a plain HTTP/1 upstream is connected to.

use std::io;
use std::net::{IpAddr, TcpListener};

use penstock_config::server;
use pingora_core::protocols::{ALPN, GetSocketDigest, SocketDigest, tls::CustomALPN};

mod checked;
mod connector;
mod gather;
mod outbound;
mod socket;
mod through;

pub use checked::Checked;
pub use connector::Connector;
pub use outbound::Outbound;
pub use socket::{Client, EpollStream, RingStream};
pub(crate) use through::ask_the_stream;

/// The transport that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Sockets on tokio's epoll.
    Epoll,
    /// Sockets on a ring of each worker.
    IoUring,
}

impl Transport {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Epoll => "epoll",
            Transport::IoUring => "io_uring",
        }
    }

    /// The protocol name that makes Pingora ask our connector instead of its own. It never
    /// travels: our connections are cleartext and negotiate nothing.
    pub fn alpn(self) -> ALPN {
        ALPN::Custom(CustomALPN::new(self.protocol().to_vec()))
    }

    fn protocol(self) -> &'static [u8] {
        match self {
            Transport::Epoll => b"penstock-epoll",
            Transport::IoUring => b"penstock-ring",
        }
    }

    /// The one whose [protocol name](Self::alpn) this is.
    pub(crate) fn of(alpn: &ALPN) -> Option<Transport> {
        let ALPN::Custom(name) = alpn else {
            return None;
        };
        let all = [Transport::Epoll, Transport::IoUring];
        all.into_iter()
            .find(|transport| transport.protocol() == name.protocol())
    }

    /// Settles what the configuration asks for, trying the kernel if need be. Returns the
    /// transport and why it is this one.
    ///
    /// # Errors
    /// `io_uring` was asked for and the kernel does not allow it.
    pub fn choose(
        asked: server::Transport,
    ) -> Result<(Transport, String), penstock_uring::Unavailable> {
        match asked {
            server::Transport::Epoll => {
                Ok((Transport::Epoll, "the configuration asks for it".into()))
            }
            server::Transport::IoUring => {
                penstock_uring::probe()?;
                Ok((Transport::IoUring, "the configuration asks for it".into()))
            }
            server::Transport::Auto => Ok(match penstock_uring::probe() {
                Ok(()) => (Transport::IoUring, "the kernel allows it".into()),
                Err(reason) => (
                    Transport::Epoll,
                    format!("io_uring is not to be had: {reason}"),
                ),
            }),
        }
    }
}

/// The protocol name that makes Pingora ask our connector for an HTTP/1 connection over TLS. It
/// never travels: TLS is told that it is HTTP/1.
pub fn tls_alpn() -> ALPN {
    ALPN::Custom(CustomALPN::new(b"penstock-tls".to_vec()))
}

/// A listening socket of one worker.
#[derive(Debug)]
pub enum Acceptor {
    /// On epoll.
    Epoll(tokio::net::TcpListener),
    /// On the worker's ring.
    IoUring(penstock_uring::TcpListener),
}

/// An accepted connection.
#[derive(Debug)]
pub enum Accepted {
    /// On epoll.
    Epoll(EpollStream),
    /// On the worker's ring.
    IoUring(RingStream),
}

impl Accepted {
    /// Address of the connection's other end. On the ring the kernel is asked for it, once for
    /// each connection; none if that has gone.
    pub fn peer(&self) -> Option<IpAddr> {
        let digest = match self {
            Accepted::Epoll(stream) => stream.get_socket_digest(),
            Accepted::IoUring(stream) => stream.get_socket_digest(),
        };
        peer(&*digest?)
    }
}

/// Address of the other end of a connection, in the one form that it has everywhere: an IPv4
/// address that is written as one of IPv6 is itself.
pub fn peer(digest: &SocketDigest) -> Option<IpAddr> {
    Some(digest.peer_addr()?.as_inet()?.ip().to_canonical())
}

impl Acceptor {
    /// Takes over a socket that listens.
    ///
    /// # Errors
    /// The socket could not be given to the event loop.
    pub fn new(transport: Transport, listener: TcpListener) -> io::Result<Acceptor> {
        match transport {
            Transport::Epoll => {
                listener.set_nonblocking(true)?;
                Ok(Acceptor::Epoll(tokio::net::TcpListener::from_std(
                    listener,
                )?))
            }
            Transport::IoUring => {
                // The ring waits on the socket by itself; a non-blocking one would make it
                // report "nothing there" instead.
                listener.set_nonblocking(false)?;
                Ok(Acceptor::IoUring(penstock_uring::TcpListener::from_std(
                    listener,
                )?))
            }
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the kernel met; most likely the process is out of descriptors, and a later
    /// call may succeed.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        match self {
            Acceptor::Epoll(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Epoll(EpollStream::on_epoll(stream, peer)))
            }
            Acceptor::IoUring(listener) => Ok(Accepted::IoUring(RingStream::on_ring(
                listener.accept().await?,
            ))),
        }
    }

    /// A connection that was accepted ahead of the last call, none if there is no other.
    /// Nothing more is accepted.
    pub async fn accepted(&mut self) -> Option<Accepted> {
        match self {
            Acceptor::Epoll(_) => None,
            Acceptor::IoUring(listener) => {
                let stream = listener.accepted().await?;
                Some(Accepted::IoUring(RingStream::on_ring(stream)))
            }
        }
    }

    /// Leaves new connections to the kernel's queue until the next accept.
    pub fn pause(&mut self) {
        if let Acceptor::IoUring(listener) = self {
            listener.pause();
        }
    }
}
