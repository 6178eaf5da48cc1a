//! One way of failing with one request, wherever else that may go.

use std::fmt;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::Request;
use penstock::transport::Transport;

use super::site::Site;
use super::upstream::Upstream;
use super::{Does, End, Fate, Over, Seen, Way};
use crate::failover::check_good;
use crate::harness::client::{Answer, BOTH, Body, Client, Http, post, with};
use crate::harness::{Proxy, config, eventually};

/// Cases that run at once.
const AT_ONCE: usize = 16;

const SMALL: usize = 5;
const LARGE: usize = 1 << 20;

const CHAT: &str = "/v1/chat/completions";

/// One line of the table, with one of the requests.
struct Case {
    way: &'static Way,
    streamed: bool,
    size: usize,
    over: Over,
    http: Http,
}

/// Who is left when an upstream has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Endpoint,
    Fallback,
    Nobody,
}

/// Tries all lines, and fails with those that did not hold.
pub(super) async fn try_all(transport: Transport, ways: &'static [Way]) {
    let site = Site::new(transport);
    let mut cases: Vec<_> = ways.iter().flat_map(Case::of).collect();
    for (n, case) in cases.iter_mut().enumerate() {
        case.http = BOTH[n % 2];
    }
    let ended = futures::stream::iter(&cases).map(|case| {
        let run = AssertUnwindSafe(case.run(&site)).catch_unwind();
        run.map(move |ended| ended.err().map(|_| case.to_string()))
    });
    let ended: Vec<_> = ended.buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<_> = ended.into_iter().flatten().collect();
    assert!(failed.is_empty(), "not as the table says: {failed:#?}");
}

impl Case {
    /// The requests that a line is tried with. TLS adds little to a protocol, and is tried
    /// with two of them.
    fn of(way: &'static Way) -> impl Iterator<Item = Case> {
        let is_plain = way.over.contains(&Over::One) || way.over.contains(&Over::Two);
        let requests = way.forms.iter().flat_map(|&streamed| {
            let sizes = [SMALL, LARGE].into_iter();
            sizes.map(move |size| (streamed, size))
        });
        requests.flat_map(move |(streamed, size)| {
            let over = way.over.iter().filter(move |over| match over {
                Over::One | Over::Two => true,
                Over::TlsOne => size == SMALL && !(streamed && is_plain),
                Over::TlsTwo => size == SMALL && (streamed || !is_plain),
            });
            over.map(move |&over| Case {
                way,
                streamed,
                size,
                over,
                http: Http::One,
            })
        })
    }

    async fn run(&self, site: &Site) {
        let does = self.way.does;
        let bad = [
            Upstream::bad(site, does, self.streamed, self.over).await,
            Upstream::bad(site, does, self.streamed, self.over).await,
        ];
        let good = Upstream::good(site, self.over).await;
        let text = self.config(site, &bad, &good);
        let proxy = Proxy::start(&config(site.transport, "workers: 1", &text)).await;
        // What is final is so for another upstream too, and large bodies take time.
        let is_final = matches!(self.way.fate, Fate::Final(_));
        let is_short = is_final || self.size == LARGE && self.over == Over::Two;
        let left = if is_short { 1 } else { 2 };
        for left in [Left::Endpoint, Left::Fallback].into_iter().take(left) {
            let before = (bad[0].asked(), good.asked());
            let asked = self.ask(&proxy, left, CHAT).await;
            let what = format!("{self}, with another {left:?}");
            match self.way.fate {
                Fate::Again(_) => {
                    check_good(&asked.unwrap(), self.streamed, &what);
                    let model = if left == Left::Fallback {
                        "other"
                    } else {
                        "client's"
                    };
                    assert!(good.got() == self.body(model), "{what}: another body");
                }
                Fate::Final(seen) => check(seen, asked, &what),
            }
            let after = (bad[0].asked(), good.asked());
            let wanted = (
                before.0.map(|n| n + 1),
                before.1.map(|n| n + u64::from(!is_final)),
            );
            assert_eq!(after, wanted, "{what}: requests at both");
        }
        if !(is_final && self.size == LARGE) {
            self.run_alone(&proxy, &bad).await;
        }
        proxy.forgets_bodies().await;
    }

    /// Where nobody is good.
    async fn run_alone(&self, proxy: &Proxy, bad: &[Upstream; 2]) {
        let what = format!("{self}, with nobody else");
        let (seen, tried) = match self.way.fate {
            Fate::Again(seen) => (seen, [1, 1]),
            Fate::Final(seen) => (seen, [1, 0]),
        };
        let before = bad.each_ref().map(Upstream::asked);
        let asked = self.ask(proxy, Left::Nobody, CHAT).await;
        check(seen, asked, &what);
        let after = bad.each_ref().map(Upstream::asked);
        for (n, (before, after)) in before.into_iter().zip(after).enumerate() {
            assert_eq!(
                after,
                before.map(|asked| asked + tried[n]),
                "{what}: requests"
            );
        }
        let outcome = match seen {
            Seen::Error(_, code) | Seen::Event(code) => code,
            _ => return,
        };
        let label = format!("outcome=\"{outcome}\"");
        let labels = ["route=\"nobody\"", &label];
        eventually(&format!("{what}: it is counted"), || {
            proxy.metric("penstock_outcomes_total", &labels) == 1.0
        })
        .await;
        if self.size == SMALL && !self.begins_a_chat() && matches!(seen, Seen::Error(..)) {
            let answer = self.ask(proxy, Left::Nobody, "/v1/messages").await.unwrap();
            let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                error["type"], "error",
                "{what}, asked for a message: {error}"
            );
            assert_eq!(error["error"]["type"], "api_error", "{what}: {error}");
        }
    }

    async fn ask(&self, proxy: &Proxy, left: Left, path: &str) -> hyper::Result<Answer> {
        let mut client = Client::connect(proxy.address(), self.http).await;
        let place = format!("{left:?}").to_lowercase();
        let request: Request<Body> = post(path, self.body("client's"));
        client.try_answer(with(request, "x-left", &place)).await
    }

    fn body(&self, model: &str) -> Bytes {
        let content = "a".repeat(self.size);
        let stream = if self.streamed {
            r#""stream":true,"#
        } else {
            ""
        };
        format!(
            r#"{{"model":"{model}",{stream}"messages":[{{"role":"user","content":"{content}"}}]}}"#
        )
        .into()
    }

    fn config(&self, site: &Site, bad: &[Upstream; 2], good: &Upstream) -> String {
        let [first, second] = bad.each_ref().map(|bad| bad.address);
        let protocol = site.protocol(self.over);
        let other = match self.over {
            Over::One | Over::TlsOne => "http2",
            Over::Two | Over::TlsTwo => "http1",
        };
        // What is waited for in vain must be short; nothing else may be.
        let (retry, patience, short) = match (self.is_silent(), self.way.fate) {
            (false, _) => ("", "", ""),
            (true, Fate::Again(_)) => (
                "retry: { first_token: 300ms },",
                "",
                "timeouts: { connect: 400ms, read: 400ms, write: 400ms }",
            ),
            // An answer begins before.
            (true, Fate::Final(_)) => ("", "timeouts: { read: 2s }", "timeouts: { read: 2s }"),
        };
        let routed = |left: &str, split: &str| {
            format!(
                "  - {{ name: {left}, match: {{ headers: {{ x-left: {left} }} }}, {retry} {split} }}\n"
            )
        };
        [
            format!("upstreams:\n  two: {{ endpoints: [\"{first}\", \"{}\"], {protocol}, {patience} }}\n", good.address),
            format!("  one: {{ endpoints: [\"{first}\"], {protocol}, {patience} }}\n"),
            format!("  other: {{ endpoints: [\"{}\"], protocol: {other} }}\n", good.plain),
            format!("  none: {{ endpoints: [\"{first}\", \"{second}\"], {protocol}, {short} }}\nroutes:\n"),
            routed("endpoint", "split: [{ upstream: two }]"),
            routed("fallback", "split: [{ upstream: one, model: first }], fallback: [{ upstream: other, model: other }]"),
            routed("nobody", "split: [{ upstream: none }]"),
        ]
        .concat()
    }

    /// Whether it shows by nothing but time.
    fn is_silent(&self) -> bool {
        match self.way.does {
            Does::NoRoom | Does::Hang => true,
            Does::Simulate(fault) => fault.starts_with("stall"),
            Does::Say(_, end) | Does::Answer(.., end) | Does::Events(_, end) => end == End::Silence,
            _ => false,
        }
    }

    /// Whether it fails within an answer that only a chat gets.
    fn begins_a_chat(&self) -> bool {
        let Does::Simulate(fault) = self.way.does else {
            return false;
        };
        !["refuse", "stall; at=body", "stall; at=head"]
            .iter()
            .any(|before| fault.starts_with(before))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.streamed {
            "a stream"
        } else {
            "one piece"
        };
        let (does, over, http) = (self.way.does, self.over, self.http);
        let size = self.size;
        write!(
            f,
            "{does:.80?}, {form}, {size} bytes over {http:?} to {over:?}"
        )
    }
}

fn check(seen: Seen, asked: hyper::Result<Answer>, what: &str) {
    if seen == Seen::Cut {
        assert!(asked.is_err(), "{what}: it looks whole: {asked:.300?}");
        return;
    }
    let answer = asked.unwrap_or_else(|error| panic!("{what}: no whole answer: {error}"));
    match seen {
        Seen::Error(status, code) => {
            assert_eq!(answer.status, status, "{what}: {answer:.300?}");
            assert_eq!(answer.error_code(), code, "{what}");
        }
        Seen::Status(status, retry_after) => {
            assert_eq!(answer.status, status, "{what}: {answer:.300?}");
            assert_eq!(answer.upstream(), "bad", "{what}");
            assert_eq!(answer.header("retry-after"), retry_after, "{what}");
        }
        Seen::Event(code) => assert_eq!(answer.break_code(), code, "{what}"),
        Seen::AsIs => {
            assert_eq!(answer.status, 200, "{what}: {answer:.300?}");
            assert_eq!(answer.upstream(), "bad", "{what}");
        }
        Seen::Cut => {}
    }
}
