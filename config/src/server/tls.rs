//! What a TLS listener shows its clients, and what it asks of them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::Secret;

/// A listener's certificates and what it asks of clients. All files are read again on
/// reload, and changes take effect for new connections.
///
/// The certificate is chosen by the name that the client asks for (SNI): the one that has it
/// exactly, else the one whose wildcard covers it. A request for a host that the chosen
/// certificate does not cover, and that was not asked for, is answered with 421 (RFC 9110
/// section 15.5.20). Sessions are resumed by tickets, whose keys all workers share and
/// which are replaced every six hours and when the certificates change; early data (0-RTT)
/// is never accepted, since it can be replayed. No OCSP responses are stapled: authorities
/// have ceased to give them. The suites are AES-256-GCM, AES-128-GCM and
/// ChaCha20-Poly1305, in this order, in TLS 1.2 with ECDHE; the groups X25519, P-256 and P-384.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(extend("anyOf" = [
    { "required": ["certificate", "private_key"] },
    { "required": ["certificates"] },
]))]
pub struct ListenerTls {
    /// One at least. The first is what clients get that name no host.
    pub certificates: Vec<CertificateFiles>,
    /// What becomes of clients that ask for a name without a certificate.
    pub unknown_names: UnknownNames,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Who must prove who they are, and to which authority; none asks nobody.
    pub client_certificates: Option<ClientCertificates>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file with the certificate and its chain, leaf first.
    #[serde(deserialize_with = "field::file")]
    #[schemars(length(min = 1))]
    pub certificate: PathBuf,
    /// PEM private key (PKCS#8, PKCS#1 or SEC1).
    pub private_key: Secret,
}

/// What becomes of a client that asks for a name (SNI, RFC 6066 section 3) which no
/// certificate of the listener has. One that asks for none gets the first certificate in
/// either case: clients that connect to an address cannot ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownNames {
    /// Its handshake fails with an alert, so that whoever guesses names learns none.
    #[default]
    Refuse,
    /// It gets the first certificate, and its requests are served.
    Default,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246, with the suites that RFC 9325 section 4.2 recommends: ECDHE with AES-GCM.
    #[default]
    #[serde(rename = "tls1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "tls1.3")]
    Tls13,
}

impl TlsVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "tls1.2",
            Self::Tls13 => "tls1.3",
        }
    }
}

/// Clients prove who they are with certificates of their own. Such a listener resumes no
/// sessions: each connection proves it again, so that no session outlives a certificate
/// that has expired or was revoked.
///
/// The name of a client's certificate is the first URI among its subject alternative names,
/// else the first DNS name, else the first address of e-mail, else its subject. It is
/// `client_certificate` in the access log, and `{client_certificate}` in the values of
/// header rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// PEM file with the authorities that sign them, at most 4 MiB.
    #[serde(deserialize_with = "field::file")]
    #[schemars(length(min = 1))]
    pub ca: PathBuf,
    /// Whether a client without one is refused. Default: `true`. With `false` it is served
    /// without a name; one with a wrong certificate is refused in either case.
    #[serde(default = "yes")]
    pub required: bool,
    /// PEM file with the lists of revoked certificates (RFC 5280 section 5), one for each
    /// authority that a client's chain passes, at most 4 MiB. With it, a client is refused
    /// whose certificate is on a list, whose authority has none, or whose list has expired.
    /// Default: none, nothing is taken for revoked.
    #[serde(
        default,
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub crl: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

/// Most certificates of one listener.
const CERTIFICATES_MAX: usize = 1_000;

/// The spelling: one certificate needs no list.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerTls")]
struct Written {
    /// PEM file with the certificate and its chain, leaf first. It stands for a list of
    /// one, or before those of `certificates`.
    #[serde(
        default,
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    certificate: Option<PathBuf>,
    /// PEM private key of `certificate` (PKCS#8, PKCS#1 or SEC1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<Secret>,
    /// Certificates with their keys, at most 1000 with the one above. The first of all is
    /// what clients get that ask for no name. A name may be in two of them only if their
    /// keys are of different kinds: then clients get the first that they can use.
    #[serde(
        default,
        deserialize_with = "field::some_list::<_, _, CERTIFICATES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(min = 1, max = 1000))]
    certificates: Vec<CertificateFiles>,
    /// What becomes of a client that asks for a name which no certificate has. Default:
    /// `refuse`.
    #[serde(default)]
    unknown_names: UnknownNames,
    /// The oldest version that is spoken, `tls1.2` or `tls1.3`. Default: `tls1.2`, which
    /// some clients of 2018 and before need.
    #[serde(default)]
    min_version: TlsVersion,
    /// Certificates that clients must show. Default: none are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificates: Option<ClientCertificates>,
}

impl TryFrom<Written> for ListenerTls {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            certificate,
            private_key,
            mut certificates,
            unknown_names,
            min_version,
            client_certificates,
        } = written;
        match (certificate, private_key) {
            (Some(certificate), Some(private_key)) => {
                let first = CertificateFiles {
                    certificate,
                    private_key,
                };
                certificates.insert(0, first);
            }
            (None, None) if !certificates.is_empty() => {}
            (None, None) => {
                return Err("a certificate is missing: write `certificate` and `private_key`, or a list of `certificates`".to_owned());
            }
            (Some(_), None) => return Err("`certificate` needs its `private_key`".to_owned()),
            (None, Some(_)) => return Err("`private_key` needs its `certificate`".to_owned()),
        }
        if certificates.len() > CERTIFICATES_MAX {
            let count = certificates.len();
            return Err(format!(
                "{count} certificates are too many: write at most {CERTIFICATES_MAX}"
            ));
        }
        Ok(Self {
            certificates,
            unknown_names,
            min_version,
            client_certificates,
        })
    }
}

impl From<ListenerTls> for Written {
    /// One certificate is written without a list.
    fn from(tls: ListenerTls) -> Self {
        let ListenerTls {
            mut certificates,
            unknown_names,
            min_version,
            client_certificates,
        } = tls;
        let only = match certificates.len() {
            1 => certificates.pop(),
            _ => None,
        };
        let (certificate, private_key) = only
            .map(|only| (only.certificate, only.private_key))
            .unzip();
        Self {
            certificate,
            private_key,
            certificates,
            unknown_names,
            min_version,
            client_certificates,
        }
    }
}
