//! A connection that is not waited for once the attempt beside it has output.
//!
//! While a connection is made, Pingora does not look at the client's session. So a first
//! attempt whose server does not even accept is ended from here.

use std::fmt;

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::ext;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_error::{Error, ErrorType, Result};

use super::Watch;
use crate::proxy::attempt;

/// Makes the connection of a first attempt, or waits for the other one alone where our
/// connector makes it.
pub(super) struct Contested {
    pub(super) watch: Watch,
    pub(super) is_ours: bool,
}

impl fmt::Debug for Contested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contested")
    }
}

#[async_trait]
impl L4Connect for Contested {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(inet) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "an address without a port");
        };
        tokio::select! {
            biased;
            () = self.watch.ready() => Err(attempt::outrun()),
            connected = ext::connect(inet, None), if !self.is_ours => connected.map(Stream::from),
        }
    }
}
