//! A proxy with the whole chain on, the upstreams behind it, and the secrets of all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use penstock::transport::Transport;
use penstock_plugins::authenticate::hash;
use penstock_simulator::Simulator;
use ring::hmac;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::markers::Marker;
use crate::harness::certificates::Authority;
use crate::harness::process::{Process, command};
use crate::harness::{Refusing, config, free_address, simulator};

pub(super) const KEY: &str = "psk_Good0aWxsIHNheSBpdCBvbmNlIG1vcmUgYW5k";
pub(super) const LIMITED: &str = "psk_Limit2luZyB3aXRoIG1lIGFuZCBJIHdpbGwg";
pub(super) const EXPIRED: &str = "psk_Late0b28gbGF0ZSBmb3IgdGhlIHBhcnR5IHll";
pub(super) const STRANGER: &str = "psk_Alien3RyYW5nZXIgaW4gYSBzdHJhbmdlIGxhbmQ";
pub(super) const PROMPT: &str = "prompt-Tell0me1a2Secret3About4The5Sluice6Gate";
const ANSWER: &str = "answer-The0Gate1Opens2At3Midnight4For5Nobody6";
pub(super) const FROM_ENV: &str = "sk-env-VXBzdHJlYW0gb25lIG9mIHR3byBrZXlz";
const FROM_FILE: &str = "sk-file-QW5vdGhlciB1cHN0cmVhbSBrZXkgaGVyZQ";
const TOKEN_SECRET: &str = "hs256-c2hhcmVkIGJ5IGlzc3VlciBhbmQgcHJveHkgYWxvbmU";
/// In a claim that nobody asks for.
const CLAIM: &str = "claim-Tm9ib2R5IGFza2VkIGZvciB0aGlzIGNsYWlt";
/// Written where a hash or a reference belongs.
pub(super) const MISPLACED: &str = "psk_Wrong1dyaXR0ZW4gaW50byB0aGUgd3JvbmcgcGxhY2U";
pub(super) const VARIABLE: &str = "PENSTOCK_TEST_UPSTREAM_KEY";

/// The site. What it is made of lives as long as it does.
pub(super) struct Site {
    pub(super) folder: TempDir,
    pub(super) authority: Authority,
    private_key: String,
    pub(super) clear: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) simulator: Simulator,
    pub(super) marked: Marked,
    nobody: Refusing,
}

impl Site {
    pub(super) async fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let issued = authority.issue("penstock.test");
        issued.write(folder.path());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("upstream", FROM_FILE).unwrap();
        write("issuer", TOKEN_SECRET).unwrap();
        write("keys.yaml", &keys()).unwrap();
        Site {
            private_key: issued.key.lines().nth(1).unwrap().to_owned(),
            folder,
            authority,
            clear: free_address(),
            tls: free_address(),
            admin: free_address(),
            simulator: simulator(&[]),
            marked: Marked::start().await,
            nobody: Refusing::new(),
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("penstock.yaml")
    }

    /// The configuration, with log lines of this format.
    pub(super) fn text(&self, transport: Transport, format: &str) -> String {
        let folder = self.folder.path().display();
        let (clear, tls, admin) = (self.clear, self.tls, self.admin);
        let server = format!(
            "listen: [{{ address: \"{clear}\", http2: true }}, {{ address: \"{tls}\", http2: true, tls: {{ certificate: \"{folder}/cert.pem\", private_key: {{ file: \"{folder}/key.pem\" }} }} }}]
admin: \"{admin}\"
log: {{ format: {format}, access: on, level: trace }}
limits: {{ request_body: 16KiB, read_timeout: 2s }}"
        );
        let (simulator, marked, nobody) = (
            self.simulator.address(),
            self.marked.address,
            self.nobody.address(),
        );
        let rest = format!(
            "chain:
- authenticate:
    keys: {{ file: \"{folder}/keys.yaml\" }}
    identity_headers: true
    jwt:
    - issuer: idp
      audiences: [penstock]
      algorithms: [HS256]
      keys: {{ secret: {{ file: \"{folder}/issuer\" }} }}
      claims: {{ tenant: org, roles: scope }}
- request_id: {{}}
- authorize: {{ roles: {{ chat: {{ routes: ['*'] }} }} }}
- limits:
  - {{ name: per-key, requests: 100000, per: 1h, by: [key] }}
  - {{ name: tokens, tokens: 100000000, per: 1h, by: [tenant] }}
- waf: {{ mode: block }}
- headers: {{ request: [{{ set: {{ x-user: \"{{consumer}}/{{request_id}}\" }} }}], response: [{{ set: {{ x-served-for: \"{{key}}\" }} }}] }}
- cache: {{}}
upstreams:
  simulator: {{ endpoints: [\"{simulator}\"], credentials: [{{ bearer: {{ env: {VARIABLE} }} }}], timeouts: {{ read: 1s }} }}
  marked: {{ endpoints: [\"{marked}\"], credentials: [{{ anthropic: {{ file: \"{folder}/upstream\" }} }}] }}
  nobody: {{ endpoints: [\"{nobody}\"], credentials: [{{ bearer: {{ file: \"{folder}/upstream\" }} }}] }}
routes:
- {{ name: marked, match: {{ path: {{ prefix: /v1 }}, models: [marked] }}, split: [{{ upstream: marked }}] }}
- {{ name: nobody, match: {{ path: {{ prefix: /v1 }}, models: [nobody] }}, split: [{{ upstream: nobody }}] }}
- {{ name: all, match: {{ path: {{ prefix: /v1 }} }}, split: [{{ upstream: simulator }}] }}
- {{ name: azure, match: {{ path: {{ prefix: /openai }} }}, split: [{{ upstream: simulator }}] }}
"
        );
        config(transport, &server, &rest)
    }

    /// Starts the binary with this configuration.
    pub(super) async fn start(&self, text: &str) -> Process {
        std::fs::write(self.file(), text).unwrap();
        let mut command = command(&["-c", self.file().to_str().unwrap()]);
        command.env(VARIABLE, FROM_ENV);
        let mut process = Process::start(command);
        process.line("admin listener").await;
        process
    }

    /// What clients know us by, and what must not reach an upstream.
    pub(super) fn of_clients(&self, tokens: &[String]) -> Vec<Marker> {
        let keys = [
            ("a key", KEY),
            ("a limited key", LIMITED),
            ("an expired key", EXPIRED),
            ("an unknown key", STRANGER),
            ("a claim", CLAIM),
        ];
        let mut markers: Vec<_> = keys.map(|(name, key)| Marker::new(name, key)).into();
        for token in tokens {
            markers.push(Marker::new("a token", token));
            let signature = token.rsplit('.').next().unwrap();
            markers.push(Marker::new("a token's signature", signature));
        }
        markers
    }

    /// What upstreams and issuers know us by, and what must not reach a client.
    pub(super) fn of_ours(&self) -> Vec<Marker> {
        [
            ("an upstream's key", FROM_ENV),
            ("an upstream's key of a file", FROM_FILE),
            ("an issuer's secret", TOKEN_SECRET),
            ("a private key", self.private_key.as_str()),
            ("a misplaced key", MISPLACED),
        ]
        .map(|(name, secret)| Marker::new(name, secret))
        .into()
    }

    /// What passes between clients and models.
    pub(super) fn of_prompts(&self) -> Vec<Marker> {
        [("a prompt", PROMPT), ("an answer", ANSWER)]
            .map(|(name, text)| Marker::new(name, text))
            .into()
    }
}

fn keys() -> String {
    let [key, limited, expired] = [KEY, LIMITED, EXPIRED].map(|key| hash(key.as_bytes()));
    format!(
        "- {{ hash: '{key}', consumer: search, tenant: acme, id: k-search, roles: [chat] }}
- {{ hash: '{limited}', consumer: trial, id: k-trial, roles: [chat], models: [simulator-small], limits: {{ per-key: 1 }} }}
- {{ hash: '{expired}', consumer: old, roles: [chat], expires: 2020-01-01T00:00:00Z }}\n"
    )
}

/// A token of this issuer that ends in so many seconds from now.
pub(super) fn token(issuer: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ends = i64::try_from(now.as_secs()).unwrap() + seconds;
    let claims = format!(
        r#"{{"iss":"{issuer}","aud":"penstock","sub":"alice","org":"initech","scope":"chat","note":"{CLAIM}","exp":{ends}}}"#
    );
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(br#"{"alg":"HS256"}"#),
        encode(claims.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, TOKEN_SECRET.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(signature.as_ref()))
}

/// An upstream whose answers are marked, and that repeats in a header what it was asked
/// with.
pub(super) struct Marked {
    pub(super) address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Marked {
    async fn start() -> Marked {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let heard = received.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !is_whole(&request) && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                heard.lock().unwrap().extend_from_slice(&request);
                let body = format!(
                    r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{ANSWER}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
                );
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-you-are: {FROM_FILE}\r\nx-basic: Bearer {FROM_FILE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Who asked may be gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Marked { address, received }
    }

    pub(super) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }
}

/// Whether the head and as many bytes as it declares are here.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    body.len() >= length
}
