//! Tokens of an identity provider whose keys are fetched from a URL.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use penstock::transport::Transport;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::certificates::Authority;
use crate::harness::client::{Answer, Client, Http, chat, with};
use crate::harness::{Proxy, config, eventually, simulator};

on_both!(
    keys_rotate_without_a_restart,
    known_keys_serve_while_the_url_is_down,
    a_thousand_unknown_keys_are_one_fetch,
    keys_survive_a_reload,
    tokens_wait_for_the_first_keys,
    answers_that_are_no_keys_change_nothing,
    the_url_is_known_by_its_certificate,
);

/// A key of the identity provider.
pub(crate) struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(id: &'static str) -> Key {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        Key { id, pair }
    }

    pub(crate) fn jwk(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (id, x, y) = (self.id, b64(x), b64(y));
        format!(r#"{{"kty":"EC","crv":"P-256","use":"sig","kid":"{id}","x":"{x}","y":"{y}"}}"#)
    }

    fn token(&self) -> String {
        self.token_named(self.id)
    }

    /// A token of this key under a name of another.
    fn token_named(&self, id: &str) -> String {
        self.signed(id, r#""iss":"idp","aud":"penstock","sub":"alice""#)
    }

    /// A token with these claims, under a name of a key.
    pub(crate) fn signed(&self, id: &str, claims: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let header = format!(r#"{{"alg":"ES256","kid":"{id}"}}"#);
        let claims = format!(r#"{{{claims},"exp":{}}}"#, now.as_secs() + 600);
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", b64(signature.unwrap()))
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn set(keys: &[&Key]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| key.jwk()).collect();
    ok(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// The identity provider's URL: what it answers, and how often it was asked.
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Provider {
    async fn start(answer: String) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(AtomicUsize::new(0));
        let (says, counts) = (answer.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counts.fetch_add(1, Ordering::SeqCst);
                let answer = says.lock().unwrap().clone();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
                if read > 0 {
                    assert!(head.starts_with("get /jwks?v=1 http/1.1\r\n"), "{head}");
                    assert!(!head.contains("authorization"), "{head}");
                }
                // It may be gone, as one is that expects TLS.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Provider {
            address,
            answer,
            asked,
            serving,
        }
    }

    fn says(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A configuration that trusts the provider; `keys` says more about its keys.
fn trusting(transport: Transport, url: &str, keys: &str, upstream: SocketAddr) -> String {
    let rest = format!(
        "upstreams:
  a: {{ endpoints: [\"{upstream}\"] }}
chain:
  - authenticate:
      jwt:
        - issuer: idp
          audiences: [penstock]
          algorithms: [ES256]
          keys: {{ jwks_url: \"{url}/jwks?v=1\", {keys} }}
routes:
  - {{ name: all, split: [{{ upstream: a }}] }}
"
    );
    config(transport, "", &rest)
}

fn plain(provider: &Provider) -> String {
    format!("http://{}", provider.address)
}

async fn shown(proxy: &Proxy, token: &str) -> Answer {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let request = with(chat(), "authorization", &format!("Bearer {token}"));
    client.answer(request).await
}

async fn status(proxy: &Proxy, token: &str) -> u16 {
    shown(proxy, token).await.status.as_u16()
}

/// Shows a token until it gets this status.
async fn until(proxy: &Proxy, token: &str, wanted: u16) {
    for _ in 0..200 {
        if status(proxy, token).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{wanted} did not come");
}

/// Shows a token of an unknown key until another is refused.
async fn eventually_gone(proxy: &Proxy, unknown: &str, known: &str) {
    for _ in 0..200 {
        let _ = status(proxy, unknown).await;
        if status(proxy, known).await == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a key that was taken out still serves");
}

fn fetches(proxy: &Proxy, verdict: &str) -> f64 {
    let verdict = format!("verdict=\"{verdict}\"");
    proxy.metric("penstock_key_set_fetches_total", &[&verdict])
}

async fn keys_rotate_without_a_restart(transport: Transport) {
    let (old, new) = (Key::new("1"), Key::new("2"));
    let provider = Provider::start(set(&[&old])).await;
    let upstream = simulator(&[]);
    let keys = "refresh: 1h, cooldown: 300ms";
    let text = trusting(transport, &plain(&provider), keys, upstream.address());
    let proxy = Proxy::start(&text).await;
    // The server does not serve before it has asked for keys.
    assert_eq!(status(&proxy, &old.token()).await, 200);
    let stranger = Key::new("1");
    let refused = shown(&proxy, &stranger.token()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.error_code(), "invalid_token");
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
    provider.says(set(&[&old, &new]));
    until(&proxy, &new.token(), 200).await;
    assert_eq!(status(&proxy, &old.token()).await, 200);
    let cached = old.token();
    assert_eq!(status(&proxy, &cached).await, 200);
    provider.says(set(&[&new]));
    // A name that nobody has makes the proxy ask again.
    eventually_gone(&proxy, &new.token_named("3"), &cached).await;
    assert_eq!(status(&proxy, &new.token()).await, 200);
    assert!(fetches(&proxy, "fetched") >= 3.0);
    assert!(proxy.metric("penstock_key_set_fetched_timestamp_seconds", &[]) > 1e9);
}

async fn known_keys_serve_while_the_url_is_down(transport: Transport) {
    let key = Key::new("1");
    let provider = Provider::start(set(&[&key])).await;
    let upstream = simulator(&[]);
    let keys = "refresh: 1s, cooldown: 10ms";
    let text = trusting(transport, &plain(&provider), keys, upstream.address());
    let proxy = Proxy::start(&text).await;
    assert_eq!(status(&proxy, &key.token()).await, 200);
    provider.serving.abort();
    eventually("fetches fail", || fetches(&proxy, "failed") >= 2.0).await;
    assert_eq!(status(&proxy, &key.token()).await, 200);
}

async fn a_thousand_unknown_keys_are_one_fetch(transport: Transport) {
    const COOLDOWN: Duration = Duration::from_secs(2);
    let key = Key::new("1");
    let provider = Provider::start(set(&[&key])).await;
    let upstream = simulator(&[]);
    let keys = format!("refresh: 1h, cooldown: {}s", COOLDOWN.as_secs());
    let text = trusting(transport, &plain(&provider), &keys, upstream.address());
    let proxy = Proxy::start(&text).await;
    tokio::time::sleep(COOLDOWN).await;
    assert_eq!(provider.asked(), 1, "nobody asked for more");
    let began = Instant::now();
    let storm = (0..8).map(|client| {
        let address = proxy.address();
        let tokens: Vec<String> = (0..125)
            .map(|n| key.token_named(&format!("{client}-{n}")))
            .collect();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            for token in tokens {
                let request = with(chat(), "authorization", &format!("Bearer {token}"));
                let status = client.answer(request).await.status.as_u16();
                assert!(matches!(status, 401 | 503), "{status}");
            }
        })
    });
    for client in storm.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    eventually("one fetch is made", || provider.asked() >= 2).await;
    let cooldowns = began.elapsed().as_secs() / COOLDOWN.as_secs();
    let most = 2 + usize::try_from(cooldowns).unwrap();
    let asked = provider.asked();
    assert!(asked <= most, "{asked} fetches, {most} at most");
    assert_eq!(status(&proxy, &key.token()).await, 200);
}

async fn keys_survive_a_reload(transport: Transport) {
    let key = Key::new("1");
    let provider = Provider::start(set(&[&key])).await;
    let upstream = simulator(&[]);
    let text = |keys: &str| trusting(transport, &plain(&provider), keys, upstream.address());
    let proxy = Proxy::start(&text("refresh: 1h")).await;
    assert_eq!(status(&proxy, &key.token()).await, 200);
    provider.serving.abort();
    proxy.reload(&text("refresh: 2h")).await.unwrap();
    assert_eq!(status(&proxy, &key.token()).await, 200);
    assert_eq!(provider.asked(), 1);
    let insecure = text("refresh: 1h").replace("http://127.0.0.1", "http://10.0.0.1");
    let refused = proxy.reload(&insecure).await.unwrap_err();
    assert!(refused.contains("write `https://`"), "{refused}");
    assert_eq!(status(&proxy, &key.token()).await, 200);
}

async fn tokens_wait_for_the_first_keys(transport: Transport) {
    let key = Key::new("1");
    let provider = Provider::start("HTTP/1.1 503 Later\r\nconnection: close\r\n\r\n".into()).await;
    let upstream = simulator(&[]);
    let keys = "refresh: 1h, cooldown: 50ms";
    let text = trusting(transport, &plain(&provider), keys, upstream.address());
    let proxy = Proxy::start(&text).await;
    let early = shown(&proxy, &key.token()).await;
    assert_eq!(
        early.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "not 401: the token may be good"
    );
    assert_eq!(early.error_code(), "keys_pending");
    assert_eq!(early.header("retry-after"), "1");
    provider.says(set(&[&key]));
    until(&proxy, &key.token(), 200).await;
}

async fn answers_that_are_no_keys_change_nothing(transport: Transport) {
    let key = Key::new("1");
    let provider = Provider::start(set(&[&key])).await;
    let elsewhere = Provider::start(set(&[&Key::new("1")])).await;
    let upstream = simulator(&[]);
    let keys = "refresh: 1h, cooldown: 1ms";
    let text = trusting(transport, &plain(&provider), keys, upstream.address());
    let proxy = Proxy::start(&text).await;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}/jwks?v=1\r\ncontent-length: 0\r\n\r\n",
        elsewhere.address
    );
    let huge = ok(&format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(1 << 20)));
    let cut = set(&[&key]).replace("content-length: ", "content-length: 9");
    let mut seen = 0.0;
    for answer in [
        redirect,
        huge,
        cut,
        ok("<html>"),
        ok(r#"{"keys":[]}"#),
        ok(&format!(r#"{{"keys":[{0}],"keys":[{0}]}}"#, key.jwk())),
        "garbage\r\n\r\n".into(),
        String::new(),
    ] {
        provider.says(answer.clone());
        let count = || fetches(&proxy, "failed") + fetches(&proxy, "unusable");
        let _ = status(&proxy, &key.token_named("unknown")).await;
        eventually("the answer is not taken", || count() > seen).await;
        seen = count();
        assert_eq!(status(&proxy, &key.token()).await, 200, "{:.80}", answer);
    }
    assert_eq!(elsewhere.asked(), 0, "redirects are not followed");
}

async fn the_url_is_known_by_its_certificate(transport: Transport) {
    let key = Key::new("1");
    let provider = Provider::start(set(&[&key])).await;
    let upstream = simulator(&[]);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let issued = authority.issue("localhost");
    let front = issued.in_front_of(provider.address, &["http/1.1"]).await;
    let url = format!("https://localhost:{}", front.port());
    let ca = |of: &Authority, folder: &Path| {
        let file = of.write(folder);
        format!("cooldown: 50ms, ca: \"{}\"", file.display())
    };
    let other = tempfile::tempdir().unwrap();
    let text = |keys: &str| trusting(transport, &url, keys, upstream.address());
    let proxy = Proxy::start(&text(&ca(&stranger, other.path()))).await;
    assert_eq!(status(&proxy, &key.token()).await, 503);
    assert_eq!(provider.asked(), 0, "nothing is said to a stranger");
    proxy
        .reload(&text(&ca(&authority, folder.path())))
        .await
        .unwrap();
    until(&proxy, &key.token(), 200).await;
}
