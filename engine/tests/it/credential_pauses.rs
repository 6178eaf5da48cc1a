//! Of several credentials, the one that is limited or refused is left alone, not its endpoint.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use penstock::transport::Transport;
use tokio::net::TcpListener;

use crate::harness::client::{Answer, Client, Http, chat};
use crate::harness::{Proxy, config};

on_both!(
    a_limited_credential_makes_way_for_the_others,
    one_is_limited_at_an_endpoint_and_not_at_others,
    when_all_are_limited_the_endpoint_is_left_alone,
    an_unknown_one_is_left_alone_once_another_is_welcome,
    what_no_credential_helps_against_is_held_against_none,
    without_ejection_none_is_left_alone,
    a_reload_forgets_nothing,
);

/// A server that answers each credential in its own way, with 200 unless told otherwise.
#[derive(Clone)]
struct Doorkeeper {
    address: SocketAddr,
    rules: Arc<Mutex<BTreeMap<String, (u16, &'static str)>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Doorkeeper {
    async fn start() -> Doorkeeper {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keeper = Doorkeeper {
            address: listener.local_addr().unwrap(),
            rules: Arc::default(),
            seen: Arc::default(),
        };
        let shared = keeper.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keeper = shared.clone();
                let answer = hyper::service::service_fn(move |request| {
                    let answer = keeper.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        keeper
    }

    /// Requests with this credential are answered so from now on.
    fn answers(&self, key: &str, status: u16, retry_after: &'static str) {
        let mut rules = self.rules.lock().unwrap();
        rules.insert(key.to_owned(), (status, retry_after));
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let sent = request.headers()["x-api-key"].to_str().unwrap();
        self.seen.lock().unwrap().push(sent.to_owned());
        let rules = self.rules.lock().unwrap();
        let (status, retry_after) = rules.get(sent).copied().unwrap_or((200, ""));
        let mut answer = Response::builder().status(status);
        if !retry_after.is_empty() {
            answer = answer.header("retry-after", retry_after);
        }
        answer.body(Full::default()).unwrap()
    }

    /// How often a credential came.
    fn seen(&self, key: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|one| *one == key)
            .count()
    }
}

/// An upstream whose credentials are `key-NAME` for each of the names.
struct Site {
    keys: tempfile::TempDir,
    text: String,
}

impl Site {
    fn new(transport: Transport, to: &[&Doorkeeper], names: &[&str], upstream: &str) -> Site {
        let keys = tempfile::tempdir().unwrap();
        let credential = |name: &&str| {
            let file = keys.path().join(name);
            std::fs::write(&file, format!("key-{name}")).unwrap();
            let file = file.display();
            format!("{{ name: {name}, anthropic: {{ file: \"{file}\" }} }}")
        };
        let credentials: Vec<_> = names.iter().map(credential).collect();
        let endpoints: Vec<_> = to.iter().map(|to| format!("\"{}\"", to.address)).collect();
        let rest = format!(
            "upstreams:\n  a: {{ endpoints: [{}], credentials: [{}], {upstream} }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n",
            endpoints.join(", "),
            credentials.join(", "),
        );
        let text = config(transport, "", &rest);
        Site { keys, text }
    }
}

async fn ask(proxy: &Proxy) -> Answer {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client.answer(chat()).await
}

/// Asks so often. All answers are good.
async fn ask_well(proxy: &Proxy, times: usize) {
    for _ in 0..times {
        assert_eq!(ask(proxy).await.status, 200);
    }
}

fn pauses(proxy: &Proxy, credential: &str, reason: &str) -> f64 {
    let credential = format!("credential=\"{credential}\"");
    let reason = format!("reason=\"{reason}\"");
    proxy.metric("penstock_credential_pauses_total", &[&credential, &reason])
}

async fn a_limited_credential_makes_way_for_the_others(transport: Transport) {
    let only = Doorkeeper::start().await;
    only.answers("key-one", 429, "3600");
    let site = Site::new(transport, &[&only], &["one", "two"], "");
    let proxy = Proxy::start(&site.text).await;
    ask_well(&proxy, 20).await;
    assert_eq!((only.seen("key-one"), only.seen("key-two")), (1, 20));
    assert_eq!(pauses(&proxy, "one", "limited"), 1.0);
    let paused = proxy.metric("penstock_credential_paused", &["credential=\"one\""]);
    assert_eq!(paused, 1.0);
    assert_eq!(proxy.metric("penstock_endpoint_up", &[]), 1.0);
    assert!(
        !proxy.metrics().contains("key-"),
        "a name is no secret, and a secret no name"
    );
}

async fn one_is_limited_at_an_endpoint_and_not_at_others(transport: Transport) {
    let (strict, mild) = (Doorkeeper::start().await, Doorkeeper::start().await);
    strict.answers("key-one", 429, "3600");
    let site = Site::new(transport, &[&strict, &mild], &["one", "two"], "");
    let proxy = Proxy::start(&site.text).await;
    ask_well(&proxy, 40).await;
    assert_eq!(strict.seen("key-one"), 1);
    assert!(strict.seen("key-two") >= 15, "the endpoint has its share");
    assert!(mild.seen("key-one") > 0, "it is welcome there");
}

async fn when_all_are_limited_the_endpoint_is_left_alone(transport: Transport) {
    let (strict, mild) = (Doorkeeper::start().await, Doorkeeper::start().await);
    strict.answers("key-one", 429, "3600");
    strict.answers("key-two", 429, "1800");
    let site = Site::new(transport, &[&strict, &mild], &["one", "two"], "");
    let proxy = Proxy::start(&site.text).await;
    // Each request may meet one of them, and has two attempts.
    for _ in 0..40 {
        ask(&proxy).await;
    }
    assert_eq!((strict.seen("key-one"), strict.seen("key-two")), (1, 1));
    let endpoint = format!("endpoint=\"{}\"", strict.address);
    assert_eq!(proxy.metric("penstock_endpoint_up", &[&endpoint]), 0.0);
    ask_well(&proxy, 5).await;
}

async fn an_unknown_one_is_left_alone_once_another_is_welcome(transport: Transport) {
    let only = Doorkeeper::start().await;
    only.answers("key-old", 401, "");
    let site = Site::new(transport, &[&only], &["old", "new"], "");
    let proxy = Proxy::start(&site.text).await;
    ask_well(&proxy, 20).await;
    assert_eq!((only.seen("key-old"), only.seen("key-new")), (1, 20));
    assert_eq!(pauses(&proxy, "old", "refused"), 1.0);
}

async fn what_no_credential_helps_against_is_held_against_none(transport: Transport) {
    for status in [401, 403] {
        let only = Doorkeeper::start().await;
        only.answers("key-one", status, "");
        only.answers("key-two", status, "");
        let site = Site::new(transport, &[&only], &["one", "two"], "");
        let proxy = Proxy::start(&site.text).await;
        for _ in 0..6 {
            assert_eq!(ask(&proxy).await.status.as_u16(), status, "its own answer");
        }
        only.answers("key-one", 200, "");
        only.answers("key-two", 200, "");
        ask_well(&proxy, 10).await;
        assert_eq!(proxy.metric("penstock_credential_pauses_total", &[]), 0.0);
        assert!(
            only.seen("key-one") >= 7 && only.seen("key-two") >= 7,
            "{status}"
        );
    }
}

async fn without_ejection_none_is_left_alone(transport: Transport) {
    let only = Doorkeeper::start().await;
    only.answers("key-one", 429, "3600");
    let site = Site::new(transport, &[&only], &["one", "two"], "ejection: off");
    let proxy = Proxy::start(&site.text).await;
    for _ in 0..20 {
        ask(&proxy).await;
    }
    assert!(only.seen("key-one") >= 10, "as often as it is its turn");
    assert_eq!(proxy.metric("penstock_credential_paused", &[]), 0.0);
}

async fn a_reload_forgets_nothing(transport: Transport) {
    let only = Doorkeeper::start().await;
    only.answers("key-one", 429, "3600");
    let site = Site::new(transport, &[&only], &["one", "two"], "");
    let proxy = Proxy::start(&site.text).await;
    ask_well(&proxy, 4).await;
    assert_eq!(only.seen("key-one"), 1);
    proxy.reload(&site.text).await.unwrap();
    ask_well(&proxy, 10).await;
    assert_eq!(only.seen("key-one"), 1);
    // Another secret is another credential.
    std::fs::write(site.keys.path().join("one"), "key-three").unwrap();
    proxy.reload(&site.text).await.unwrap();
    ask_well(&proxy, 10).await;
    assert!(only.seen("key-three") >= 4);
}
