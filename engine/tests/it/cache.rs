//! Equal requests are answered from memory, and only by whole and good answers.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_simulator::{Endpoint, Simulator};

use crate::harness::client::{
    Answer, BOTH, Body, Client, Http, STREAMED_CHAT, chat, get, post, streamed_chat, whole, with,
};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, config, eventually, simulator};
use crate::jwt::Key;

on_both!(
    a_whole_answer_is_given_again_byte_for_byte,
    a_stream_is_given_again_byte_for_byte,
    equal_requests_share_an_answer_and_others_do_not,
    clients_with_other_credentials_get_no_answer_of_each_other_s,
    tenants_get_no_answer_of_each_other_s,
    the_targets_of_a_split_do_not_answer_for_each_other,
    errors_and_broken_answers_are_not_stored,
    cut_streams_are_not_stored,
    what_a_client_leaves_behind_is_not_stored,
    answers_expire,
    clients_control_the_cache,
    response_filters_see_a_stored_answer,
    a_reload_keeps_what_is_stored,
    what_is_stored_can_be_purged,
    an_answer_larger_than_allowed_is_not_stored,
);

const CACHE: &str = "cache: {}";

/// Everything goes to one simulator, past these plugins.
fn text(transport: Transport, plugins: &str, upstream: SocketAddr) -> String {
    let rest = format!(
        "chain: [{plugins}]\nupstreams:\n  a: {{ endpoints: [\"{upstream}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n"
    );
    config(transport, "", &rest)
}

struct Setup {
    proxy: Proxy,
    upstream: Simulator,
}

impl Setup {
    async fn new(transport: Transport, plugins: &str, settings: &[(&str, &str)]) -> Setup {
        let upstream = simulator(settings);
        let proxy = Proxy::start(&text(transport, plugins, upstream.address())).await;
        Setup { proxy, upstream }
    }

    async fn client(&self, http: Http) -> Client {
        Client::connect(self.proxy.address(), http).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        self.client(Http::One).await.answer(request).await
    }

    /// What `x-cache` says to a request that is answered with 200.
    async fn word(&self, request: Request<Body>) -> String {
        let answer = self.answer(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("x-cache").to_owned()
    }

    /// Chats that have reached the upstream.
    fn reached(&self) -> u64 {
        self.upstream.stats().requests_to(Endpoint::Chat)
    }
}

async fn a_whole_answer_is_given_again_byte_for_byte(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    let first = setup.answer(chat()).await;
    assert_eq!(first.header("x-cache"), "miss");
    assert_eq!(first.header("x-cache-key").len(), 32);
    for http in BOTH {
        let mut client = setup.client(http).await;
        for _ in 0..3 {
            let answer = client.answer(chat()).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("x-cache"), "hit", "{http:?}");
            assert_eq!(answer.body, first.body, "{http:?}");
            assert_eq!(answer.header("content-type"), first.header("content-type"));
            assert_eq!(answer.header("x-cache-key"), first.header("x-cache-key"));
            assert!(answer.header("age").parse::<u64>().unwrap() < 30);
            assert_eq!(
                answer.upstream(),
                "",
                "what the upstream said of itself is not kept"
            );
        }
    }
    assert_eq!(setup.reached(), 1);
    assert_eq!(
        setup
            .proxy
            .metric("penstock_cache_requests_total", &["hit"]),
        6.0
    );
    assert_eq!(
        setup
            .proxy
            .metric("penstock_cache_requests_total", &["miss"]),
        1.0
    );
    assert_eq!(
        setup
            .proxy
            .metric("penstock_outcomes_total", &["completed"]),
        7.0
    );
    setup.proxy.forgets_bodies().await;
}

async fn a_stream_is_given_again_byte_for_byte(transport: Transport) {
    let settings = [("tokens", "2000")];
    let setup = Setup::new(transport, CACHE, &settings).await;
    let first = setup.answer(streamed_chat()).await;
    assert_eq!(first.header("x-cache"), "miss");
    assert!(first.text().ends_with("data: [DONE]\n\n"));
    for http in BOTH {
        let mut client = setup.client(http).await;
        for _ in 0..3 {
            let answer = client.answer(streamed_chat()).await;
            assert_eq!(answer.header("x-cache"), "hit", "{http:?}");
            assert_eq!(answer.body, first.body, "{http:?}");
            assert_eq!(answer.header("content-type"), first.header("content-type"));
        }
    }
    assert_eq!(setup.reached(), 1);
    assert_eq!(
        setup.word(chat()).await,
        "miss",
        "a whole answer is another thing"
    );
}

async fn equal_requests_share_an_answer_and_others_do_not(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    let ask = |body: &'static str| post("/v1/chat/completions", body);
    let one = r#"{"model":"simulator-small","messages":[{"role":"user","content":"Hé"}],"max_tokens":20}"#;
    assert_eq!(setup.word(ask(one)).await, "miss");
    let same = r#" { "max_tokens" : 2.0e1, "user":"u",
        "messages":[ {"content":"H\u00e9","role":"user"} ], "model":"simulator-small" } "#;
    assert_eq!(setup.word(ask(same)).await, "hit");
    let other = r#"{"model":"simulator-small","messages":[{"role":"user","content":"He"}],"max_tokens":20}"#;
    assert_eq!(setup.word(ask(other)).await, "miss");
    let path = post("/v1/chat/completions?x=1", one);
    assert_eq!(setup.word(path).await, "miss");
    assert_eq!(setup.word(get("/v1/models")).await, "bypass");
    assert_eq!(
        setup
            .word(with(ask(one), "content-type", "text/plain"))
            .await,
        "bypass"
    );
}

async fn clients_with_other_credentials_get_no_answer_of_each_other_s(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    let credentials = [
        ("authorization", "Bearer a"),
        ("authorization", "Bearer b"),
        ("x-api-key", "a"),
        ("api-key", "a"),
        ("x-goog-api-key", "a"),
        ("cookie", "session=a"),
    ];
    assert_eq!(setup.word(chat()).await, "miss");
    for (name, value) in credentials {
        assert_eq!(
            setup.word(with(chat(), name, value)).await,
            "miss",
            "{name}: {value}"
        );
        assert_eq!(
            setup.word(with(chat(), name, value)).await,
            "hit",
            "{name}: {value}"
        );
    }
    assert_eq!(setup.word(chat()).await, "hit");
}

async fn tenants_get_no_answer_of_each_other_s(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Key::new("1");
    let key_set = folder.path().join("jwks.json");
    std::fs::write(&key_set, format!(r#"{{"keys":[{}]}}"#, issuer.jwk())).unwrap();
    let key = |key: &str, rest: &str| {
        let hash = penstock_plugins::authenticate::hash(key.as_bytes());
        format!("{{ hash: '{hash}', {rest} }}")
    };
    let keys = [
        key("key-1", "consumer: search, tenant: acme"),
        key("key-2", "consumer: batch, tenant: acme"),
        key("key-3", "consumer: search, tenant: initech"),
        key("key-4", "consumer: alice"),
    ]
    .join(", ");
    let issued = |name: &str, claims: &str| {
        format!(
            "{{ issuer: {name}, audiences: [penstock], algorithms: [ES256], keys: {{ jwks: \"{}\" }}, claims: {{ {claims} }} }}",
            key_set.display()
        )
    };
    let plugins = format!(
        "{{ authenticate: {{ keys: {{ inline: [{keys}] }}, jwt: [{}, {}] }} }}, {CACHE}",
        issued("teams", "tenant: org"),
        issued("people", "")
    );
    let setup = Setup::new(transport, &plugins, &[]).await;
    let token = |claims: &str| issuer.signed("1", &format!(r#""aud":"penstock",{claims}"#));
    // Each of a tenant's clients, who share answers among themselves and with nobody else.
    let tenants = [
        vec!["key-1".to_owned(), "key-2".to_owned()],
        vec!["key-3".to_owned()],
        vec!["key-4".to_owned()],
        vec![
            token(r#""iss":"teams","sub":"alice","org":"umbrella""#),
            token(r#""iss":"teams","sub":"bob","org":"umbrella""#),
        ],
        vec![token(r#""iss":"teams","sub":"alice","org":"hooli""#)],
        vec![token(r#""iss":"people","sub":"alice""#)],
        vec![token(r#""iss":"people","sub":"bob""#)],
    ];
    for (place, clients) in tenants.iter().enumerate() {
        for request in [chat, streamed_chat] {
            let mut wanted = "miss";
            for credential in clients.iter().chain(clients) {
                let request = with(request(), "authorization", &format!("Bearer {credential}"));
                assert_eq!(setup.word(request).await, wanted, "of tenant {place}");
                wanted = "hit";
            }
        }
    }
    assert_eq!(setup.reached(), 2 * tenants.len() as u64);
}

async fn the_targets_of_a_split_do_not_answer_for_each_other(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let rest = format!(
        "chain: [cache: {{}}]\nupstreams:\n  a: {{ endpoints: [\"{}\"] }}\n  b: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}, {{ upstream: b, model: simulator-large }}] }}\n",
        a.address(),
        b.address()
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let mut models = std::collections::BTreeMap::<String, u64>::new();
    for _ in 0..20 {
        let answer = client.answer(chat()).await;
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let model = value["model"].as_str().unwrap().to_owned();
        *models.entry(model).or_default() += 1;
    }
    let shares: Vec<_> = models
        .iter()
        .map(|(model, count)| (model.as_str(), *count))
        .collect();
    assert_eq!(
        shares,
        [("simulator-large", 10), ("simulator-small", 10)],
        "each target keeps its share"
    );
    let reached = a.stats().requests_total() + b.stats().requests_total();
    assert_eq!(reached, 2, "one request to each");
}

async fn errors_and_broken_answers_are_not_stored(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    for fault in ["429", "500", "503"] {
        for _ in 0..2 {
            let answer = setup.answer(with(chat(), "x-simulate", fault)).await;
            assert_eq!(answer.header("x-cache"), "miss", "{fault}");
            assert_eq!(answer.status.as_str(), fault);
        }
    }
    for request in [chat, streamed_chat] {
        for _ in 0..2 {
            let broken = with(request(), "x-simulate", "malformed; after=1");
            assert_eq!(setup.word(broken).await, "miss");
        }
    }
    assert_eq!(setup.word(chat()).await, "miss", "nothing bad was stored");
    assert_eq!(setup.word(chat()).await, "hit");
}

async fn cut_streams_are_not_stored(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[("tokens", "50")]).await;
    for http in BOTH {
        for request in [chat, streamed_chat] {
            for fault in ["cut; after=3", "reset; after=3", "cut; after=49"] {
                let mut client = setup.client(http).await;
                let broken = with(request(), "x-simulate", fault);
                let broken = with(broken, "x-simulate-pace", "5ms");
                let answer = client.answer(broken).await;
                let code = match answer.status.as_u16() {
                    200 => answer.break_code(),
                    _ => answer.error_code(),
                };
                assert_eq!(code, "upstream_failed", "{fault}: {answer:?}");
            }
        }
    }
    assert_eq!(setup.word(streamed_chat()).await, "miss");
    assert_eq!(setup.word(chat()).await, "miss");
    assert_eq!(setup.word(streamed_chat()).await, "hit");
}

async fn what_a_client_leaves_behind_is_not_stored(transport: Transport) {
    let settings = [("tokens", "200"), ("between-tokens", "10ms")];
    let setup = Setup::new(transport, CACHE, &settings).await;
    for http in BOTH {
        let mut client = setup.client(http).await;
        let mut body = client.send(streamed_chat()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        drop(client);
    }
    eventually("both requests end", || {
        setup
            .proxy
            .metric("penstock_outcomes_total", &["client_gone"])
            == 2.0
    })
    .await;
    let quick = with(streamed_chat(), "x-simulate-pace", "0ms");
    assert_eq!(setup.word(quick).await, "miss");
}

async fn answers_expire(transport: Transport) {
    let setup = Setup::new(transport, "cache: { ttl: 400ms }", &[]).await;
    assert_eq!(setup.word(chat()).await, "miss");
    assert_eq!(setup.word(chat()).await, "hit");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(setup.word(chat()).await, "miss");
    assert_eq!(setup.word(chat()).await, "hit", "it was stored anew");
}

async fn clients_control_the_cache(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    let control = |value: &str| with(chat(), "cache-control", value);
    let refused = setup.answer(control("only-if-cached")).await;
    assert_eq!(refused.status, 504);
    assert_eq!(refused.error_code(), "not_cached");
    assert_eq!(setup.reached(), 0);
    assert_eq!(setup.word(control("no-store")).await, "bypass");
    assert_eq!(setup.word(chat()).await, "miss", "it was not to be stored");
    assert_eq!(setup.word(control("only-if-cached")).await, "hit");
    assert_eq!(setup.word(control("no-store")).await, "bypass");
    assert_eq!(setup.word(control("no-cache")).await, "miss");
    assert_eq!(setup.word(control("max-age=0")).await, "miss");
    assert_eq!(setup.word(control("max-age=60")).await, "hit");
    assert_eq!(setup.reached(), 5);
}

async fn response_filters_see_a_stored_answer(transport: Transport) {
    let setup = Setup::new(transport, "request_id: {}, cache: {}", &[]).await;
    let mut ids = std::collections::BTreeSet::new();
    for word in ["miss", "hit", "hit"] {
        let answer = setup.answer(chat()).await;
        assert_eq!(answer.header("x-cache"), word);
        ids.insert(answer.header("x-request-id").to_owned());
    }
    assert_eq!(ids.len(), 3, "each exchange has an identifier of its own");
    let old = Request::post("/v1/chat/completions")
        .version(http::Version::HTTP_10)
        .header("content-type", "application/json")
        .body(whole(STREAMED_CHAT))
        .unwrap();
    assert_eq!(setup.word(streamed_chat()).await, "miss");
    let stream = setup.answer(streamed_chat()).await;
    let answer = setup.answer(old).await;
    assert_eq!(answer.header("x-cache"), "hit");
    assert_eq!(answer.body, stream.body, "a client that knows no chunks");
}

async fn a_reload_keeps_what_is_stored(transport: Transport) {
    let setup = Setup::new(transport, CACHE, &[]).await;
    let address = setup.upstream.address();
    assert_eq!(setup.word(chat()).await, "miss");
    let more = text(transport, "request_id: {}, cache: { ttl: 10m }", address);
    setup.proxy.reload(&more).await.unwrap();
    assert_eq!(setup.word(chat()).await, "hit");
    let none = text(transport, "request_id: {}", address);
    setup.proxy.reload(&none).await.unwrap();
    assert_eq!(setup.word(chat()).await, "");
    // The first of these keeps the one with the cache, for a rollback.
    setup.proxy.reload(&none).await.unwrap();
    setup.proxy.reload(&more).await.unwrap();
    assert_eq!(setup.word(chat()).await, "miss", "nobody had kept it");
    let larger = config(transport, "cache: { capacity: 1GiB }", "");
    let refused = setup.proxy.reload(&larger).await.unwrap_err();
    assert!(refused.contains("server.cache.capacity"), "{refused}");
}

async fn what_is_stored_can_be_purged(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = format!(
        "chain: [cache: {{}}]\nupstreams:\n  a: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n",
        upstream.address()
    );
    let mut proxy = ProxyProcess::start(transport, "admin: \"127.0.0.1:0\"", &rest).await;
    let admin = proxy.admin().await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    let purge = async |method: &str, query: &str| {
        let path = format!("/cache/purge{query}");
        let request = Request::builder().method(method).uri(path).body(whole(""));
        let mut client = Client::connect(admin, Http::One).await;
        let answer = client.answer(request.unwrap()).await;
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), value["entries"].as_u64())
    };
    let key = client.answer(chat()).await.header("x-cache-key").to_owned();
    for (method, query, expected) in [
        ("GET", "", (405, None)),
        ("POST", "?tenants=a", (400, None)),
        ("POST", "?tenant=a", (200, Some(0))),
        ("POST", "?model=other", (200, Some(0))),
        ("POST", "?key=zz", (400, None)),
    ] {
        assert_eq!(purge(method, query).await, expected, "{method} {query}");
    }
    for query in ["?model=simulator-small", "", &format!("?key={}", &key[..8])] {
        assert_eq!(client.answer(chat()).await.header("x-cache"), "hit");
        assert_eq!(purge("POST", query).await, (200, Some(1)), "{query}");
        assert_eq!(
            client.answer(chat()).await.header("x-cache"),
            "miss",
            "{query}"
        );
    }
    let page = proxy.page("/metrics").await;
    for line in [
        "penstock_cache_entries 1\n",
        "penstock_cache_purged_total 3\n",
        "penstock_cache_stored_total 4\n",
        "penstock_cache_capacity_bytes 67108864\n",
    ] {
        assert!(page.text().contains(line), "{line}");
    }
}

async fn an_answer_larger_than_allowed_is_not_stored(transport: Transport) {
    let setup = Setup::new(transport, "cache: { max_entry: 100B }", &[]).await;
    for _ in 0..2 {
        assert_eq!(setup.word(chat()).await, "miss");
        assert_eq!(setup.word(streamed_chat()).await, "miss");
    }
}
