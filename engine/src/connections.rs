//! Connections to upstreams that the proxy makes beside Pingora's own, for what it sends
//! itself: copies of requests, and second attempts.

use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{ErrorType, OrErr, Result};
use tokio::sync::OnceCell;

use crate::transport;

/// A worker's connections, of which idle ones are kept for reuse. Nothing is there before
/// the first one is made.
#[derive(Default)]
pub struct Connections(OnceCell<Connector<transport::Connector>>);

impl Connections {
    /// A connection to a peer, and whether it was used before.
    ///
    /// # Errors
    /// None could be made.
    pub async fn connect(&self, peer: &HttpPeer) -> Result<(HttpSession, bool)> {
        // It reads the system's authorities, for which no request is to wait.
        let make = || Connector::new_custom(None, transport::Connector);
        let made = self.0.get_or_try_init(|| tokio::task::spawn_blocking(make));
        let connector = made
            .await
            .or_err(ErrorType::InternalError, "making connections")?;
        connector.get_http_session(peer).await
    }

    /// Keeps a connection that its answer has left as it was, and closes any other.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        if let Some(connector) = self.0.get() {
            let idle = peer.options.idle_timeout;
            connector.release_http_session(session, peer, idle).await;
        }
    }
}
