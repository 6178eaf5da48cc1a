//! What a load balancer says of a connection before its first byte.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use penstock_config::server::ProxyProtocol;

use super::Downstream;
use crate::clients::proxy_protocol::{self, Beginning, Header};
use crate::clients::{Clients, Refusal};
use crate::transport::{self, Client};

/// Reads the header of the PROXY protocol that a connection begins with, and takes it for
/// the client that is named there. Nothing that follows it is looked at.
///
/// # Errors
/// The connection is to be closed: reading failed, or it is refused, which has been counted.
pub(super) async fn hear<S: Client>(
    socket: &mut Downstream<S>,
    rule: ProxyProtocol,
    clients: &Arc<Clients>,
) -> io::Result<()> {
    let Some(peer) = peer(socket) else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let refuse = |why| Err(refused(clients.refuse(why, peer)));
    let header = loop {
        match proxy_protocol::parse(socket.ahead()) {
            Ok(Beginning::Open) => socket.hear_more().await?,
            Ok(Beginning::Header(header)) => break header,
            Ok(Beginning::Other) if rule == ProxyProtocol::Optional => return Ok(()),
            Ok(Beginning::Other) => return refuse(Refusal::ProxyMissing),
            Err(proxy_protocol::Malformed) => return refuse(Refusal::ProxyMalformed),
        }
    };
    if !clients.trusts(peer) {
        return refuse(Refusal::ProxyUntrusted);
    }
    let Header { len, source } = header;
    if let Some(source) = source {
        socket.host(clients.welcome(source.ip()).map_err(refused)?);
        socket.speak_for(source);
    }
    socket.skip(len).await
}

fn peer<S: Client>(socket: &Downstream<S>) -> Option<IpAddr> {
    transport::peer(&*socket.socket().get_socket_digest()?)
}

fn refused(why: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
