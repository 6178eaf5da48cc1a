//! What the cache makes of requests and answers.

use http::{Request, Response, header};

use super::*;
use crate::dialect::Dialect;
use crate::exchange::Arrival;
use crate::facts::Facts;
use crate::identity::Identity;

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
const STREAM: &str = r#"{"model":"m","stream":true,"messages":[]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","choices":[]}"#;
const EVENTS: &str = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
const CHAT: &str = "/v1/chat/completions";
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A cache with a store of its own.
struct Bench {
    cache: Cache,
}

/// A request that a test changes where it wants to.
struct Ask<'a> {
    tenant: Option<&'a str>,
    path: &'a str,
    body: &'a str,
    headers: &'a [(&'static str, &'a str)],
    upstream: &'a str,
    model: Option<&'a str>,
    at: Duration,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            tenant: None,
            path: CHAT,
            body: BODY,
            headers: &[],
            upstream: "vllm",
            model: None,
            at: NOW,
        }
    }
}

impl Bench {
    fn new(change: impl FnOnce(&mut plugin::Cache)) -> Self {
        let mut config = plugin::Cache::default();
        change(&mut config);
        let store = Arc::new(Store::new(1 << 20));
        Self {
            cache: Cache::new(&config, store),
        }
    }

    /// A cache of another generation with the same store.
    fn reloaded(&self, change: impl FnOnce(&mut plugin::Cache)) -> Self {
        let mut config = plugin::Cache::default();
        change(&mut config);
        Self {
            cache: Cache::new(&config, Arc::clone(&self.cache.store)),
        }
    }

    fn look_up(&self, ask: &Ask<'_>) -> (Exchange, Result<Lookup, Box<Refusal>>) {
        let mut exchange = Exchange::new(Arrival {
            id: 1,
            client: None,
            generation: 1,
            at: ask.at,
            dialect: Dialect::of(ask.path),
        });
        exchange.learn(Facts::of(ask.body.as_bytes()).unwrap_or_default());
        if let Some(tenant) = ask.tenant {
            exchange.identify(Arc::new(Identity {
                tenant: tenant.into(),
                ..Identity::default()
            }));
        }
        let mut request = Request::post(ask.path).header("content-type", "application/json");
        for (name, value) in ask.headers {
            request
                .headers_mut()
                .unwrap()
                .insert(*name, value.parse().unwrap());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let body = Bytes::copy_from_slice(ask.body.as_bytes());
        let destination = Destination {
            upstream: ask.upstream,
            host: None,
            model: ask.model,
        };
        let lookup = self.cache.look_up(&mut exchange, &head, &body, destination);
        (exchange, lookup)
    }

    /// What the client is told in `x-cache`.
    fn word(&self, ask: &Ask<'_>) -> &'static str {
        match self.look_up(ask).1.unwrap() {
            Lookup::Hit(_) => "hit",
            Lookup::Miss(_) => "miss",
            Lookup::Bypass => "bypass",
        }
    }

    /// Records an answer to the request, in pieces. Says what became of it.
    fn record(
        &self,
        ask: &Ask<'_>,
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> &'static str {
        let Lookup::Miss(recorder) = self.look_up(ask).1.unwrap() else {
            panic!("there is nothing to record");
        };
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
        let Some(mut recorder) = recorder.head(&head, ask.at) else {
            return "head";
        };
        for piece in body.as_bytes().chunks(7) {
            match recorder.chunk(piece) {
                Some(next) => recorder = next,
                None => return "chunk",
            }
        }
        recorder.finish()
    }

    /// Records a good answer.
    fn answer(&self, ask: &Ask<'_>) {
        let stream = ask.body == STREAM;
        let (kind, body) = match stream {
            true => ("text/event-stream; charset=utf-8", EVENTS),
            false => ("application/json", ANSWER),
        };
        let recorded = self.record(ask, 200, &[("content-type", kind)], body);
        assert_eq!(recorded, "stored");
    }

    /// What the cache says after a good answer to the same request.
    fn again(&self, ask: &Ask<'_>) -> &'static str {
        match self.word(ask) {
            "miss" => {
                self.answer(ask);
                self.word(ask)
            }
            other => other,
        }
    }
}

fn edit(edits: &crate::edit::HeaderEdits, wanted: &str) -> Option<String> {
    edits.iter().find_map(|edit| match edit {
        crate::edit::Edit::Set(name, value) if name == wanted => {
            Some(value.to_str().unwrap().to_owned())
        }
        _ => None,
    })
}

#[test]
fn an_answer_is_given_again_to_an_equal_request() {
    let bench = Bench::new(|_| {});
    let ask = Ask::default();
    let (exchange, _) = bench.look_up(&ask);
    assert_eq!(edit(&exchange.response, "x-cache").unwrap(), "miss");
    assert_eq!(
        edit(&exchange.request, "accept-encoding").unwrap(),
        "identity"
    );
    assert_eq!(edit(&exchange.response, "age"), None);
    let key = edit(&exchange.response, "x-cache-key").unwrap();
    bench.answer(&ask);

    let later = Ask {
        body: r#" {"messages":[{"content":"\u0048ello","role":"user"}],"user":"u","model":"m"} "#,
        at: NOW + Duration::from_secs(42),
        ..Ask::default()
    };
    let (exchange, lookup) = bench.look_up(&later);
    let Ok(Lookup::Hit(entry)) = lookup else {
        panic!("{lookup:?}");
    };
    assert_eq!(entry.body(), ANSWER);
    assert!(exchange.is_cached());
    assert_eq!(edit(&exchange.response, "x-cache").unwrap(), "hit");
    assert_eq!(edit(&exchange.response, "age").unwrap(), "42");
    assert_eq!(edit(&exchange.response, "x-cache-key").unwrap(), key);
    assert_eq!(exchange.notes()[0].value, "hit");
    assert!(exchange.request.is_empty(), "nothing goes upstream");
}

#[test]
fn tenants_upstreams_and_models_are_kept_apart() {
    let bench = Bench::new(|_| {});
    let asks = [
        Ask::default(),
        Ask {
            tenant: Some("a"),
            ..Ask::default()
        },
        Ask {
            tenant: Some("anonymous"),
            ..Ask::default()
        },
        Ask {
            tenant: Some(""),
            ..Ask::default()
        },
        Ask {
            upstream: "canary",
            ..Ask::default()
        },
        Ask {
            model: Some("m-2"),
            ..Ask::default()
        },
        Ask {
            headers: &[("authorization", "Bearer of-a-client")],
            ..Ask::default()
        },
    ];
    for (index, ask) in asks.iter().enumerate() {
        assert_eq!(
            bench.word(ask),
            "miss",
            "request {index} got another's answer"
        );
        bench.answer(ask);
    }
    assert!(asks.iter().all(|ask| bench.word(ask) == "hit"));
}

#[test]
fn a_stream_and_a_whole_answer_are_two_things() {
    let bench = Bench::new(|_| {});
    let stream = Ask {
        body: STREAM,
        ..Ask::default()
    };
    assert_eq!(bench.again(&stream), "hit");
    let whole = Ask {
        body: r#"{"model":"m","stream":false,"messages":[]}"#,
        ..Ask::default()
    };
    assert_eq!(bench.word(&whole), "miss");
    let Ok(Lookup::Hit(entry)) = bench.look_up(&stream).1 else {
        panic!("the stream is there");
    };
    assert!(entry.is_stream());
    let pieces: Vec<Bytes> = entry.pieces().collect();
    assert_eq!(pieces.concat(), EVENTS.as_bytes());

    let without = Bench::new(|config| config.stream = false);
    assert_eq!(without.word(&stream), "bypass");
    assert_eq!(without.again(&whole), "hit");
}

#[test]
fn a_long_stream_is_replayed_in_pieces_of_whole_events() {
    let bench = Bench::new(|_| {});
    let ask = Ask {
        body: STREAM,
        ..Ask::default()
    };
    let event = format!("data: {{\"text\":\"{}\"}}\n\n", "x".repeat(1000));
    let long = format!("data: {{\"text\":\"{}\"}}\n\n", "y".repeat(40_000));
    let events = format!("{}{long}{event}data: [DONE]\n\n", event.repeat(100));
    let headers = [("content-type", "text/event-stream")];
    assert_eq!(bench.record(&ask, 200, &headers, &events), "stored");
    let Ok(Lookup::Hit(entry)) = bench.look_up(&ask).1 else {
        panic!("the stream is there");
    };
    let pieces: Vec<Bytes> = entry.pieces().collect();
    assert_eq!(pieces.concat(), events.as_bytes());
    assert!(pieces.iter().all(|piece| piece.ends_with(b"\n\n")));
    assert!(
        pieces.iter().any(|piece| *piece == long),
        "one event is not cut"
    );
    assert!(
        pieces.len() < 12,
        "events travel together: {}",
        pieces.len()
    );
}

#[test]
fn what_is_not_for_the_cache_bypasses_it() {
    let bench = Bench::new(|_| {});
    let bypassed = [
        Ask {
            path: "/v1/files",
            ..Ask::default()
        },
        Ask {
            path: "/v1/responses",
            ..Ask::default()
        },
        Ask {
            body: "not JSON",
            ..Ask::default()
        },
        Ask {
            body: r#"{"a":1,"a":2}"#,
            ..Ask::default()
        },
        Ask {
            body: r#"{"model":"m","store":true}"#,
            ..Ask::default()
        },
        Ask {
            headers: &[("content-type", "multipart/form-data; boundary=x")],
            ..Ask::default()
        },
        Ask {
            headers: &[("content-encoding", "gzip")],
            ..Ask::default()
        },
        Ask {
            headers: &[("cache-control", "no-store")],
            ..Ask::default()
        },
    ];
    for ask in &bypassed {
        assert_eq!(bench.word(ask), "bypass", "{} {}", ask.path, ask.body);
        let (exchange, _) = bench.look_up(ask);
        assert_eq!(edit(&exchange.response, "x-cache").unwrap(), "bypass");
        assert!(
            exchange.request.is_empty(),
            "a bypassed request is left alone"
        );
    }
}

#[test]
fn only_what_is_deterministic_may_be_asked_for() {
    let bench = Bench::new(|config| config.only_deterministic = true);
    let with = |body, path| Ask {
        body,
        path,
        ..Ask::default()
    };
    for (body, path, expected) in [
        (r#"{"model":"m"}"#, CHAT, "bypass"),
        (r#"{"model":"m","temperature":0.1}"#, CHAT, "bypass"),
        (r#"{"model":"m","temperature":null}"#, CHAT, "bypass"),
        (r#"{"model":"m","temperature":0.0}"#, CHAT, "hit"),
        (r#"{"model":"m","temperature":-0e1}"#, CHAT, "hit"),
        (r#"{"model":"m","input":"x"}"#, "/v1/embeddings", "hit"),
    ] {
        assert_eq!(bench.again(&with(body, path)), expected, "{body}");
    }
}

#[test]
fn the_client_s_cache_control_is_obeyed() {
    let bench = Bench::new(|_| {});
    let control = |value: &'static str, seconds: u64| -> Ask<'static> {
        let headers: &'static [(&'static str, &'static str)] =
            Box::leak(Box::new([("cache-control", value)]));
        Ask {
            headers,
            at: NOW + Duration::from_secs(seconds),
            ..Ask::default()
        }
    };
    let refused = bench.look_up(&control("only-if-cached", 0)).1.unwrap_err();
    assert_eq!(refused.status, StatusCode::GATEWAY_TIMEOUT);
    let refused = bench.look_up(&control("no-store, only-if-cached", 0)).1;
    assert!(refused.is_err());
    bench.answer(&Ask::default());
    for (value, seconds, expected) in [
        ("only-if-cached", 1, "hit"),
        ("no-cache", 1, "miss"),
        ("max-age=60", 60, "hit"),
        ("max-age=60", 61, "miss"),
        ("max-age=0", 0, "miss"),
        ("min-fresh=200", 100, "hit"),
        ("min-fresh=200", 101, "miss"),
        ("no-store", 1, "bypass"),
        ("public", 299, "hit"),
        ("public", 300, "miss"),
    ] {
        assert_eq!(
            bench.word(&control(value, seconds)),
            expected,
            "{value} {seconds}"
        );
    }
    bench.answer(&control("no-cache", 200));
    assert_eq!(
        bench.word(&control("public", 400)),
        "hit",
        "a new answer was stored"
    );
}

#[test]
fn a_reload_keeps_answers_and_shortens_their_time() {
    let bench = Bench::new(|_| {});
    bench.answer(&Ask::default());
    let at = |seconds| Ask {
        at: NOW + Duration::from_secs(seconds),
        ..Ask::default()
    };
    let shorter = bench.reloaded(|config| config.ttl = "10s".parse().unwrap());
    assert_eq!(shorter.word(&at(9)), "hit");
    assert_eq!(shorter.word(&at(10)), "miss");
    let longer = bench.reloaded(|config| config.ttl = "1h".parse().unwrap());
    assert_eq!(longer.word(&at(299)), "hit");
    assert_eq!(
        longer.word(&at(300)),
        "miss",
        "what was promised then holds"
    );
}

#[test]
fn configured_headers_join_the_key() {
    let bench = Bench::new(|config| config.vary = vec!["x-persona".parse().unwrap()]);
    let persona = |value: &'static str| -> Ask<'static> {
        let headers: &'static [(&'static str, &'static str)] =
            Box::leak(Box::new([("x-persona", value)]));
        Ask {
            headers,
            ..Ask::default()
        }
    };
    bench.answer(&persona("pirate"));
    assert_eq!(bench.word(&persona("pirate")), "hit");
    assert_eq!(bench.word(&persona("poet")), "miss");
    assert_eq!(bench.word(&Ask::default()), "miss");
}

#[test]
fn only_good_answers_are_stored() {
    type Headers = &'static [(&'static str, &'static str)];
    const JSON: (&str, &str) = ("content-type", "application/json");
    const CASES: [(u16, Headers, &str, &str); 17] = [
        (200, &[JSON], ANSWER, "stored"),
        (
            200,
            &[JSON, ("cache-control", "no-cache")],
            ANSWER,
            "stored",
        ),
        (
            200,
            &[JSON, ("vary", "Accept-Encoding, Origin")],
            ANSWER,
            "stored",
        ),
        (
            200,
            &[JSON, ("content-encoding", "identity")],
            ANSWER,
            "stored",
        ),
        (200, &[JSON], "{\"choices\":", "incomplete"),
        (200, &[JSON], r#"{"error":{}}"#, "error"),
        (200, &[JSON], r#"{"x":"content_filter"}"#, "declined"),
        (201, &[JSON], ANSWER, "head"),
        (206, &[JSON], ANSWER, "head"),
        (429, &[JSON], ANSWER, "head"),
        (500, &[JSON], ANSWER, "head"),
        (200, &[], ANSWER, "head"),
        (
            200,
            &[("content-type", "text/event-stream")],
            EVENTS,
            "head",
        ),
        (200, &[JSON, ("content-encoding", "gzip")], ANSWER, "head"),
        (
            200,
            &[JSON, ("cache-control", "private, max-age=9")],
            ANSWER,
            "head",
        ),
        (200, &[JSON, ("cache-control", "no-store")], ANSWER, "head"),
        (200, &[JSON, ("vary", "x-persona")], ANSWER, "head"),
    ];
    for (status, headers, body, expected) in CASES {
        let bench = Bench::new(|_| {});
        let recorded = bench.record(&Ask::default(), status, headers, body);
        assert_eq!(recorded, expected, "{status} {headers:?} {body}");
        let found = bench.word(&Ask::default());
        assert_eq!(found == "hit", expected == "stored", "{status} {headers:?}");
        assert_eq!(
            bench.cache.store.stats().recording,
            0,
            "nothing stays counted"
        );
    }
}

#[test]
fn headers_of_one_exchange_are_not_stored() {
    let bench = Bench::new(|_| {});
    let headers = [
        ("content-type", "application/json"),
        ("openai-model", "m-2025"),
        ("access-control-allow-origin", "*"),
        ("set-cookie", "session=1"),
        ("x-request-id", "req_1"),
        ("request-id", "req_1"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("authorization", "Bearer upstream"),
        ("openai-organization", "org"),
        ("content-length", "33"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("connection", "keep-alive"),
    ];
    assert_eq!(
        bench.record(&Ask::default(), 200, &headers, ANSWER),
        "stored"
    );
    let Ok(Lookup::Hit(entry)) = bench.look_up(&Ask::default()).1 else {
        panic!("it is there");
    };
    let names: Vec<&str> = entry
        .headers()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "content-type",
            "openai-model",
            "access-control-allow-origin"
        ]
    );
}

#[test]
fn an_answer_that_is_too_large_or_not_finished_is_not_stored() {
    let bench = Bench::new(|config| config.max_entry = "20B".parse().unwrap());
    let json = [("content-type", "application/json")];
    assert_eq!(bench.record(&Ask::default(), 200, &json, ANSWER), "chunk");
    assert_eq!(
        bench.record(&Ask::default(), 200, &json, r#"{"id":"x"}"#),
        "stored"
    );

    let bench = Bench::new(|_| {});
    let Ok(Lookup::Miss(recorder)) = bench.look_up(&Ask::default()).1 else {
        panic!("it is not there");
    };
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    let (head, ()) = response.body(()).unwrap().into_parts();
    let recorder = recorder.head(&head, NOW).unwrap();
    let recorder = recorder.chunk(ANSWER.as_bytes()).unwrap();
    assert_eq!(bench.cache.store.stats().recording, ANSWER.len() as u64);
    drop(recorder);
    assert_eq!(bench.cache.store.stats().recording, 0);
    assert_eq!(
        bench.word(&Ask::default()),
        "miss",
        "the client left before the end"
    );
}

#[test]
fn an_answer_that_was_old_when_it_came_is_as_old_here() {
    let bench = Bench::new(|_| {});
    let headers = [("content-type", "application/json"), ("age", "290")];
    assert_eq!(
        bench.record(&Ask::default(), 200, &headers, ANSWER),
        "stored"
    );
    let (exchange, _) = bench.look_up(&Ask::default());
    assert_eq!(edit(&exchange.response, "age").unwrap(), "290");
    let later = Ask {
        at: NOW + Duration::from_secs(10),
        ..Ask::default()
    };
    assert_eq!(bench.word(&later), "miss");
}
