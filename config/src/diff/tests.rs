//! What is told of two configurations.

use std::fmt::Write;

use super::*;
use crate::parse;

const BASE: &str = "
upstreams:
  stable: { endpoints: [\"10.0.0.1:1\", \"10.0.0.2:1\"] }
  canary: { endpoints: [\"10.0.1.1:1\"] }
chain:
  - request_id: {}
routes:
  - name: chat
    match: { path: { prefix: /v1/chat }, methods: [POST] }
    split: [{ upstream: stable, weight: 70 }, { upstream: canary, weight: 30 }]
  - { name: models, match: { path: { exact: /v1/models } }, split: [{ upstream: stable }] }
  - { name: all, split: [{ upstream: stable }] }
";

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|report| panic!("{}", report.render("test", text)))
}

/// The lines told when `from` is replaced by `to` in the base.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from} is not in the base");
    let diff = Diff::new(&config(BASE), &config(&BASE.replace(from, to)));
    diff.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn equal_configurations_differ_in_nothing() {
    let diff = Diff::new(&config(BASE), &config(&format!("# a comment\n{BASE}")));
    assert!(diff.is_empty());
    assert!(!diff.needs_restart());
    assert_eq!(
        (diff.to_string().as_str(), diff.summary().as_str()),
        ("", "no change")
    );
}

#[test]
fn what_users_keep_their_target_by_is_told() {
    let sticky = "  - name: chat\n    sticky: { header: x-user-id }\n";
    assert_eq!(
        told("  - name: chat\n", sticky),
        ["route `chat`: sticky added ({ header: x-user-id })"]
    );
}

#[test]
fn another_database_of_countries_is_told() {
    let with = |file: &str| config(&format!("geoip: {{ file: {file} }}{BASE}"));
    let added = Diff::new(&config(BASE), &with("/a.mmdb"));
    assert_eq!(added.to_string(), "geoip added: { file: /a.mmdb }\n");
    let changed = Diff::new(&with("/a.mmdb"), &with("/b.mmdb"));
    assert_eq!(changed.to_string(), "geoip: file /a.mmdb → /b.mmdb\n");
    assert_eq!(changed.summary(), "geoip changed");
}

#[test]
fn what_becomes_of_requests_is_told() {
    let all = |rest: &str| {
        let base = "name: all, split: [{ upstream: stable }]";
        told(base, &format!("{base}, {rest}"))
    };
    assert_eq!(
        all("on_disconnect: drain"),
        [
            "route `all`: on_disconnect cancel → { drain: { bytes: 16MiB, concurrent: 1000, time: 5m } }"
        ]
    );
    assert_eq!(
        all("shadow: { upstream: canary, percent: 5 }"),
        [
            "route `all`: shadow added ({ answer: 16MiB, body: 1MiB, concurrent: 32, percent: 5, timeout: 2m, upstream: canary })"
        ]
    );
    assert_eq!(
        all("hedge: { after: p95 }"),
        ["route `all`: hedge added ({ after: p95, max_percent: 10 })"]
    );
}

#[test]
fn weights_are_told_together() {
    assert_eq!(
        told(
            "70 }, { upstream: canary, weight: 30",
            "50 }, { upstream: canary, weight: 50"
        ),
        ["route `chat`: weights of stable/canary 70/30 → 50/50"]
    );
    assert_eq!(
        told(
            ", { upstream: canary, weight: 30 }",
            ", { upstream: canary, weight: 30, model: m }"
        ),
        ["route `chat`: split stable 70, canary 30 → stable 70, canary as m 30"]
    );
}

#[test]
fn upstreams_and_endpoints_come_and_go() {
    assert_eq!(
        told("\"10.0.0.2:1\"]", "{ address: \"10.0.0.3:1\", weight: 2 }]"),
        [
            "upstream `stable`: endpoint `10.0.0.2:1` removed",
            "upstream `stable`: endpoint `10.0.0.3:1` added",
        ]
    );
    assert_eq!(
        told(
            "\"10.0.0.2:1\"]",
            "{ address: \"10.0.0.2:1\", weight: 2 }], timeouts: { read: 5m }"
        ),
        [
            "upstream `stable`: weight of endpoint `10.0.0.2:1` 1 → 2",
            "upstream `stable`: timeouts.read 10m → 5m",
        ]
    );
    assert_eq!(
        told(
            "chain:",
            "  new: { endpoints: [\"h:1\", { address: \"h:2\", weight: 3 }], host: h }\nchain:"
        ),
        ["upstream `new` added: h:1, h:2 (weight 3)"]
    );
    assert_eq!(
        told(
            "\"10.0.1.1:1\"]",
            "\"10.0.1.1:1\"], tls: { server_name: a.b }"
        ),
        ["upstream `canary`: tls added ({ server_name: a.b, verify: full })"]
    );
}

#[test]
fn routes_come_go_and_change() {
    assert_eq!(
        told(
            "methods: [POST]",
            "methods: [POST, PUT], headers: { x-a: \"b*\" }"
        ),
        [
            "route `chat`: match.methods [POST] → [POST, PUT]",
            "route `chat`: match.headers added ({ x-a: b* })",
        ]
    );
    assert_eq!(
        told(
            "{ name: all, split: [{ upstream: stable }] }",
            "{ name: rest, split: [{ upstream: stable }], attempts: 3 }"
        ),
        [
            "route `all` removed",
            "route `rest` added: at place 3, to stable"
        ]
    );
    assert_eq!(
        told(
            "{ name: all, split: [{ upstream: stable }] }",
            "{ name: all, split: [{ upstream: stable }], fallback: [{ upstream: canary, model: m }], deadline: 30s }"
        ),
        [
            "route `all`: fallback none → canary as m",
            "route `all`: deadline none → 30s",
        ]
    );
    assert_eq!(
        told("{ exact: /v1/models }", "{ prefix: /v1/models }"),
        [
            "route `models`: match.path.exact removed (was /v1/models)",
            "route `models`: match.path.prefix added (/v1/models)",
        ]
    );
}

#[test]
fn a_route_that_moved_is_the_one_that_moved() {
    let models = "  - { name: models, match: { path: { exact: /v1/models } }, split: [{ upstream: stable }] }\n";
    let first = BASE
        .replace(models, "")
        .replace("routes:\n", &format!("routes:\n{models}"));
    let diff = Diff::new(&config(BASE), &config(&first));
    assert_eq!(
        diff.to_string(),
        "route `models` moved from place 2 to place 1\n"
    );
    assert_eq!(diff.summary(), "1 route moved");
}

#[test]
fn chains_are_compared_plugin_by_plugin() {
    assert_eq!(
        told(
            "- request_id: {}",
            "- request_id: { header: x-trace }\n  - request_id: {}"
        ),
        [
            "chain: plugin `request_id`.header x-request-id → x-trace",
            "chain: plugin `request_id #2` added (at place 2)",
        ]
    );
    assert_eq!(
        told("  - request_id: {}\n", "  []\n"),
        ["chain: plugin `request_id` removed"]
    );
    assert_eq!(
        told("{ name: all,", "{ name: all, chain: [{ request_id: {} }],"),
        ["route `all`: plugin `request_id` added (at place 1)"]
    );
}

#[test]
fn keys_are_told_by_name_and_never_by_hash() {
    let hash = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let with = |keys: &str| {
        BASE.replace(
            "- request_id: {}",
            &format!("- authenticate: {{ keys: {{ inline: [{keys}] }} }}"),
        )
    };
    let (a, b, c) = (hash("a"), hash("b"), hash("c"));
    let old = with(&format!(
        "{{ hash: '{a}', consumer: x, id: first }}, {{ hash: '{b}', consumer: y }}"
    ));
    let new = with(&format!(
        "{{ hash: '{c}', consumer: z }}, {{ hash: '{c}1', consumer: x, id: first, roles: [r] }}"
    ));
    let new = new.replace(&format!("{c}1"), &hash("d"));
    let told = Diff::new(&config(&old), &config(&new)).to_string();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "chain: plugin `authenticate`.keys.inline `y-bbbbbbbbbbbb` removed",
            "chain: plugin `authenticate`.keys.inline `z-cccccccccccc` added",
            "chain: plugin `authenticate`.keys.inline `first`.hash sha256:aaaaaaaaaaaa… → sha256:dddddddddddd…",
            "chain: plugin `authenticate`.keys.inline `first`.roles added ([r])",
        ]
    );
}

#[test]
fn what_needs_a_restart_says_so() {
    let new = config(&format!(
        "server: {{ limits: {{ request_body: 1MiB }} }}\n{BASE}"
    ));
    let diff = Diff::new(&config(BASE), &new);
    assert!(diff.needs_restart());
    assert_eq!(
        diff.to_string(),
        "server.limits.request_body 16MiB → 1MiB (needs a restart)\n"
    );
    assert_eq!(diff.summary(), "server changed");
}

#[test]
fn certificates_of_a_listener_need_no_restart() {
    let listener = |tls: &str| {
        let server = format!("server:\n  listen: [{{ address: 127.0.0.1:1, tls: {{ {tls} }} }}]\n");
        config(&format!("{server}{BASE}"))
    };
    let old = listener("certificate: /a.pem, private_key: { file: /a.key }");
    let new = listener("certificate: /a.pem, private_key: { file: /a.key }, min_version: tls1.3");
    let diff = Diff::new(&old, &new);
    assert!(!diff.needs_restart());
    assert_eq!(
        diff.to_string(),
        "listener 127.0.0.1:1: tls.min_version tls1.2 → tls1.3\n"
    );
    assert_eq!(diff.summary(), "1 listener changed");
}

#[test]
fn a_summary_counts_parts_once() {
    let new = BASE
        .replace("weight: 30", "weight: 31, model: m")
        .replace("[POST]", "[PUT]")
        .replace("/v1/models", "/v2/models")
        .replace("\"10.0.0.2:1\"", "\"10.0.0.3:1\"")
        .replace("name: all", "name: rest");
    let diff = Diff::new(&config(BASE), &config(&new));
    assert_eq!(
        diff.summary(),
        "1 upstream changed, 1 route added, 1 route removed, 2 routes changed"
    );
}

#[test]
fn long_values_are_cut() {
    let long = "x".repeat(3000);
    let lines = told("{ exact: /v1/models }", &format!("{{ exact: /{long} }}"));
    assert!(
        lines.iter().all(|line| line.chars().count() < 400),
        "{lines:?}"
    );
}

#[test]
fn as_few_as_possible_moved() {
    let moved = |old: &str, new: &str| {
        let (old, new): (Vec<_>, Vec<_>) = (old.chars().collect(), new.chars().collect());
        let steps = steps(&old, &new);
        let come = steps.iter().filter(|s| matches!(s, Step::Come(_))).count();
        let gone = steps.iter().filter(|s| matches!(s, Step::Gone(_))).count();
        assert_eq!(old.len() + come - gone, new.len(), "{steps:?}");
        steps
            .iter()
            .filter(|s| matches!(s, Step::Moved { .. }))
            .count()
    };
    for (old, new, count) in [
        ("abcdef", "abcdef", 0),
        ("abcdef", "bcdefa", 1),
        ("abcdef", "fabcde", 1),
        ("abcdef", "badcfe", 3),
        ("abcdef", "fedcba", 5),
        ("abcdef", "xaybzc", 0),
        ("abcdef", "", 0),
        ("", "abc", 0),
        ("abc", "cxb", 1),
    ] {
        assert_eq!(moved(old, new), count, "{old} to {new}");
    }
}

#[test]
fn ten_thousand_routes_are_compared() {
    let text = |turn: usize| {
        let mut text = "upstreams: { a: { endpoints: [\"h:1\"] } }\nroutes:\n".to_owned();
        for n in 0..10_000 {
            let n = (n + turn) % 10_000;
            writeln!(text, "  - {{ name: r{n}, match: {{ path: {{ exact: /{n} }} }}, split: [{{ upstream: a }}] }}").unwrap();
        }
        text
    };
    let diff = Diff::new(&config(&text(0)), &config(&text(9_990)));
    assert_eq!(diff.summary(), "10 routes moved");
}

#[test]
fn what_endpoints_are_allowed_and_how_they_are_chosen_is_told() {
    let config = |endpoint: &str, rest: &str| {
        let text = format!("upstreams:\n  a:\n    endpoints: [{endpoint}]\n{rest}");
        parse(&text).unwrap()
    };
    let old = config("{ address: \"h:1\", zone: x, max_requests: 3 }", "");
    let rest = "    balance: least_busy\n    ejection: off\n";
    let new = config("{ address: \"h:1\", zone: y }", rest);
    let told = Diff::new(&old, &new).to_string();
    for line in [
        "upstream `a`: zone of endpoint `h:1` x → y\n",
        "upstream `a`: max_requests of endpoint `h:1` removed (was 3)\n",
        "upstream `a`: balance round_robin → least_busy\n",
        "upstream `a`: ejection ",
    ] {
        assert!(told.contains(line), "{line} is missing: {told}");
    }
}
