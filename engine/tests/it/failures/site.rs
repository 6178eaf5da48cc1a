//! Where the cases of a test take place: the transport, and whom upstreams are trusted by.

use std::net::SocketAddr;
use std::path::PathBuf;

use penstock::transport::Transport;
use tempfile::TempDir;

use super::Over;
use crate::harness::certificates::{Authority, Issued};

pub(super) struct Site {
    pub(super) transport: Transport,
    certificate: Issued,
    strange: Issued,
    authority: PathBuf,
    _folder: TempDir,
}

impl Site {
    pub(super) fn new(transport: Transport) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        Site {
            transport,
            certificate: authority.issue("model.test"),
            strange: Authority::new().issue("model.test"),
            authority: authority.write(folder.path()),
            _folder: folder,
        }
    }

    /// Where an upstream is spoken to.
    pub(super) async fn secured(&self, plain: SocketAddr, over: Over) -> SocketAddr {
        match over {
            Over::One | Over::Two => plain,
            Over::TlsOne => self.certificate.in_front_of(plain, &["http/1.1"]).await,
            Over::TlsTwo => self.certificate.in_front_of(plain, &["h2"]).await,
        }
    }

    /// The same with a certificate that nobody trusts.
    pub(super) async fn secured_by_a_stranger(&self, plain: SocketAddr, over: Over) -> SocketAddr {
        let offered: &[_] = match over {
            Over::One | Over::TlsOne => &["http/1.1"],
            Over::Two | Over::TlsTwo => &["h2"],
        };
        self.strange.in_front_of(plain, offered).await
    }

    /// What an upstream is configured with.
    pub(super) fn protocol(&self, over: Over) -> String {
        let authority = self.authority.display();
        let tls = format!("tls: {{ ca: \"{authority}\", server_name: model.test }}");
        match over {
            Over::One => "protocol: http1".to_owned(),
            Over::Two => "protocol: http2".to_owned(),
            Over::TlsOne => format!("protocol: http1, {tls}"),
            Over::TlsTwo => format!("protocol: http2, {tls}"),
        }
    }
}
