//! Certificates made for one test, and TLS on either side of the proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType,
    date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority that signs for the names that a test makes up.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_for(&[name])
    }

    /// For hosts and addresses.
    pub(crate) fn issue_for(&self, names: &[&str]) -> Issued {
        self.sign(named(names), KeyPair::generate().unwrap())
    }

    /// With a key that some clients cannot use.
    pub(crate) fn issue_ed25519(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        self.sign(named(names), key)
    }

    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        let mut params = named(&[name]);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(params, KeyPair::generate().unwrap())
    }

    /// For a workload and not for a host.
    pub(crate) fn issue_uri(&self, uri: &str) -> Issued {
        let mut params = named(&[]);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        self.sign(params, KeyPair::generate().unwrap())
    }

    /// With this serial number.
    pub(crate) fn issue_numbered(&self, name: &str, serial: u64) -> Issued {
        let mut params = named(&[name]);
        params.serial_number = Some(serial.into());
        self.sign(params, KeyPair::generate().unwrap())
    }

    fn sign(&self, params: CertificateParams, key: KeyPair) -> Issued {
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list of what it has revoked, good until the beginning of a year.
    pub(crate) fn revoking(&self, serials: &[u64], until: i32) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2000, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2000, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its own certificate to a file.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join("ca.pem");
        std::fs::write(&file, self.0.pem()).unwrap();
        file
    }

    /// A client's connection that trusts this authority alone.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        tls_connect(address, name, self.trusting(protocols)).await
    }

    /// The same over a stream that is connected already.
    pub(crate) async fn over(
        &self,
        stream: TcpStream,
        name: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        tls_over(stream, name, self.trusting(protocols)).await
    }

    /// A client that trusts this authority alone. It remembers its sessions.
    pub(crate) fn trusting(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = self.client(provider(), ALL_VERSIONS, None);
        config.alpn_protocols = names(protocols);
        Arc::new(config)
    }

    /// The same for one version.
    pub(crate) fn speaking(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        Arc::new(self.client(provider(), &[version], None))
    }

    /// The same for a client with a certificate of its own, or without one.
    pub(crate) fn as_client(&self, issued: Option<&Issued>) -> Arc<ClientConfig> {
        Arc::new(self.client(provider(), ALL_VERSIONS, issued))
    }

    /// Both.
    pub(crate) fn client_speaking(
        &self,
        issued: &Issued,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        Arc::new(self.client(provider(), &[version], Some(issued)))
    }

    /// One that cannot verify signatures of Ed25519.
    pub(crate) fn trusting_without_ed25519(&self) -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::ring::default_provider();
        let known = &mut provider.signature_verification_algorithms;
        let rest = known.mapping.iter().copied();
        let rest = rest.filter(|(scheme, _)| *scheme != SignatureScheme::ED25519);
        known.mapping = Box::leak(rest.collect::<Box<[_]>>());
        Arc::new(self.client(Arc::new(provider), ALL_VERSIONS, None))
    }

    /// One that does not look at the names of what it is shown.
    pub(crate) fn trusting_any_name(&self) -> Arc<ClientConfig> {
        let mut config = self.client(provider(), ALL_VERSIONS, None);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Careless(provider())));
        Arc::new(config)
    }

    fn client(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        issued: Option<&Issued>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match issued {
            Some(issued) => {
                let (chain, key) = issued.parsed();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }
}

/// Connects and makes a handshake.
pub(crate) async fn tls_connect(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_over(TcpStream::connect(address).await?, name, config).await
}

async fn tls_over(
    stream: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

const ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

/// For these names, and with the first one as its subject.
fn named(names: &[&str]) -> CertificateParams {
    let owned: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(owned).unwrap();
    params.distinguished_name = DistinguishedName::new();
    let common = names.first().copied().unwrap_or("nobody");
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

impl Issued {
    /// Writes both as `cert.pem` and `key.pem`.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
    }

    fn parsed(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (chain, key)
    }

    /// Ends TLS in front of a cleartext upstream, offering these protocols by ALPN.
    pub(crate) async fn in_front_of(&self, upstream: SocketAddr, protocols: &[&str]) -> SocketAddr {
        let (chain, key) = self.parsed();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = names(protocols);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A handshake that fails is what some tests are about.
                    let mut client = acceptor.accept(client).await.ok()?;
                    let mut server = TcpStream::connect(upstream).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut server)
                        .await
                        .ok()
                });
            }
        });
        address
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn names(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect()
}

/// Takes every certificate.
#[derive(Debug)]
struct Careless(Arc<CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
