//! The listening sockets: one for each worker and address, so that the kernel spreads
//! connections over the workers, and so that each can be handed to a new process.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait for each socket to accept them.
pub(crate) const BACKLOG: u32 = 4096;

/// The sockets of one listener of the configuration, one for each worker.
#[derive(Debug)]
pub struct Listening {
    /// The address, with the port that the kernel chose if the configuration has 0.
    pub address: SocketAddr,
    /// The sockets. There may be more than workers, if a process with more handed over.
    pub sockets: Vec<TcpListener>,
}

/// Opens the sockets of `address` for `workers` workers, beginning with those that an
/// old process handed over.
///
/// # Errors
/// The address cannot be bound: in use, not of this host, not allowed.
pub fn open(
    address: SocketAddr,
    workers: usize,
    inherited: Vec<TcpListener>,
) -> Result<Listening, ListenError> {
    let refuse = |error| ListenError { address, error };
    let mut sockets = inherited;
    let mut address = address;
    if let Some(first) = sockets.first() {
        address = first.local_addr().map_err(refuse)?;
    }
    while sockets.len() < workers {
        let socket = bind(address).map_err(refuse)?;
        // All sockets of one listener share the port that the first one got.
        address = socket.local_addr().map_err(refuse)?;
        sockets.push(socket);
    }
    Ok(Listening { address, sockets })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    // With port 0 the first socket looks for a free port; sharing is for the others.
    socket.set_reuse_port(true)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` means IPv6 here; IPv4 has an address of its own in the file.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl std::error::Error for ListenError {}

/// Whether some other process listens on the address. A shared port would otherwise let
/// two servers take turns at the same clients without a word.
///
/// # Errors
/// The address is taken.
pub fn check_free(address: SocketAddr) -> Result<(), ListenError> {
    if address.port() == 0 {
        return Ok(());
    }
    let alone = || -> io::Result<()> {
        let socket = socket(address)?;
        socket.bind(&address.into())?;
        socket.listen(1)
    };
    alone().map_err(|error| ListenError { address, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_of_a_listener_share_their_port() {
        let listening = open(([127, 0, 0, 1], 0).into(), 3, Vec::new()).unwrap();
        assert_eq!(listening.sockets.len(), 3);
        for socket in &listening.sockets {
            assert_eq!(socket.local_addr().unwrap(), listening.address);
        }
        assert_ne!(listening.address.port(), 0);
    }

    #[test]
    fn a_port_that_another_server_has_is_refused() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        assert!(
            check_free(address).is_err(),
            "two servers would share {address}"
        );
        assert!(open(address, 1, Vec::new()).is_err());
    }
}
