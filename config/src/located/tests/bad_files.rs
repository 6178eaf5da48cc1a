//! Mistakes in keys, shapes and values, each with its exact place, and what is not to be
//! reported beside them.

use super::{UPSTREAM, expect, mistakes};

#[test]
fn keys() {
    expect(
        "sever: {}",
        &[(1, 1, "unknown key `sever` (did you mean `server`?)")],
    );
    expect(
        "zzz: {}",
        &[(
            1,
            1,
            "known are `server`, `geoip`, `upstreams`, `chain` and `routes`",
        )],
    );
    expect(
        "server:\n  log:\n    Level: info\n",
        &[(3, 5, "did you mean `level`?")],
    );
    expect(
        "server:\n  drain-timeout: 1s\n",
        &[(2, 3, "did you mean `drain_timeout`?")],
    );
    expect(
        "server: {}\nserver: {}\n",
        &[(2, 1, "`server` stands here twice: first on line 1")],
    );
    expect("? [a]\n: 1\n", &[(1, 3, "a key must be a name")]);
    expect(
        "upstreams:\n  a:\n    protocol: http1\n",
        &[(2, 3, "the key `endpoints` is missing")],
    );
    expect("routes:\n  - match: {}\n", &[(2, 5, "`name` is missing")]);
    expect(
        "server:\n  listen:\n    - address: 127.0.0.1:1\n      tls: {}\n",
        &[(
            4,
            12,
            "write `certificate` and `private_key`, or a list of `certificates`",
        )],
    );
    expect(
        "upstreams:\n  a b: { endpoints: [a:1] }\n",
        &[(2, 3, "`a b` is not a name")],
    );
}

#[test]
fn a_misspelt_key_is_not_missing_as_well() {
    expect(
        "upstreams:\n  a:\n    endpoint: [a:1]\n",
        &[(3, 5, "did you mean `endpoints`?")],
    );
    expect(
        "upstream: {}\nroutes:\n  - name: a\n    split: [{ upstream: gone }]\n",
        &[(1, 1, "did you mean `upstreams`?")],
    );
}

#[test]
fn shapes() {
    expect(
        "- a",
        &[(1, 1, "expected a mapping, as in `key: value`, not a list")],
    );
    expect(
        "hello",
        &[(1, 1, "expected a mapping, as in `key: value`, not `hello`")],
    );
    expect("server: 5", &[(1, 9, "expected a mapping")]);
    expect(
        "routes: {}",
        &[(
            1,
            9,
            "expected a list, each element after a `- `, not a mapping",
        )],
    );
    expect(
        "server:\n  listen: 127.0.0.1:1\n",
        &[(2, 11, "expected a list")],
    );
    expect(
        "server:\n  drain_timeout: [1s]\n",
        &[(2, 18, "expected a duration such as `30s`, not a list")],
    );
    expect(
        "server:\n  admin: { port: 1 }\n",
        &[(2, 10, "an IP address and port, or `off`, not a mapping")],
    );
    expect(
        "upstreams:\n  a: { endpoints: [[a:1]] }\n",
        &[(2, 20, "expected an address such as")],
    );
    expect(
        "server:\n  transport: { io_uring: {} }\n",
        &[(2, 14, "write `io_uring` alone")],
    );
    expect(
        "server:\n  transport: [auto]\n",
        &[(2, 14, "expected `auto`, `io_uring` or `epoll`, not a list")],
    );
}

#[test]
fn keys_without_values() {
    expect("server:\n", &[(1, 1, "the value is missing")]);
    expect(
        "server:\n  drain_timeout:\n  workers: 1\n",
        &[(2, 3, "the value is missing")],
    );
    expect("server: { admin: ~ }", &[(1, 11, "or remove the key")]);
    expect(
        "server:\n  upgrade_socket: null\n",
        &[(2, 3, "write the path of a file, or remove the key")],
    );
    expect(
        "chain:\n  - request_id:\n",
        &[(2, 5, "`request_id` has no value (write `request_id: {}`")],
    );
    expect(
        "chain:\n  - request_id\n",
        &[(2, 5, "must be a key with a value")],
    );
}

#[test]
fn words_and_counts() {
    expect(
        "server: { workers: 0 }",
        &[(1, 20, "write `auto`, or 1 to 1024")],
    );
    expect(
        "server: { workers: 1025 }",
        &[(1, 20, "write `auto`, or 1 to 1024")],
    );
    expect(
        "server: { transport: uring }",
        &[(
            1,
            22,
            "`uring` is not one of the choices (did you mean `io_uring`?)",
        )],
    );
    expect(
        "server: { log: { level: loud } }",
        &[(1, 25, "known are `error`, `warn`")],
    );
    expect(
        "server: { log: { access: maybe } }",
        &[(1, 26, "`maybe` is neither `on` nor `off`")],
    );
    expect(
        "server: { limits: { connections: 0 } }",
        &[(1, 34, "write 1 to 1000000")],
    );
    expect(
        "server: { limits: { connections: -1 } }",
        &[(1, 34, "`-1` is out of range")],
    );
    expect(
        "server: { limits: { connections: 1.5 } }",
        &[(
            1,
            34,
            "expected a whole number from 1 to 1000000, not `1.5`",
        )],
    );
    expect(
        "server: { limits: { connections: '1' } }",
        &[(1, 34, "remove the quotes")],
    );
    expect(
        "server: { limits: { connections: many } }",
        &[(1, 34, "expected a whole number")],
    );
    expect(
        "server: { limits: { connections: 99999999999999999999999 } }",
        &[(1, 34, "expected a whole number from 1 to 1000000")],
    );
    expect(
        "server: { limits: { generations: 1 } }",
        &[(1, 34, "write 2 to 1024")],
    );
    expect(
        "server: { http2: { resets: 0, control_frames: 1 } }",
        &[
            (1, 28, "write 1 to 1000000"),
            (1, 47, "write 20 to 1000000"),
        ],
    );
}

#[test]
fn sizes_and_durations() {
    expect(
        "server: { limits: { request_body: 1025MiB } }",
        &[(1, 35, "`1025MiB` is out of range: write 1B to 1GiB")],
    );
    expect(
        "server: { io_uring: { entries: 1000 } }",
        &[(1, 32, "is not a power of two: write 512 or 1024")],
    );
    expect(
        "server: { io_uring: { entries: 4 } }",
        &[(1, 32, "write 8 to 32768")],
    );
    expect(
        "server: { io_uring: { buffers: 65536 } }",
        &[(1, 32, "write 8 to 32768")],
    );
    expect(
        "server: { io_uring: { buffer_size: 2MiB } }",
        &[(1, 36, "write 1KiB to 1MiB")],
    );
    expect(
        "server: { drain_timeout: 30 }",
        &[(1, 26, "`30` has no unit: write the unit, as in `30s`")],
    );
    expect(
        "server: { drain_timeout: -1s }",
        &[(1, 26, "is not a duration")],
    );
}

#[test]
fn settings_of_the_firewall() {
    for (settings, message) in [
        (
            "mode: loud",
            "`loud` is not a mode: write `block`, `detect` or `off`",
        ),
        ("profile: all", "inference"),
        ("fields: { max_tokens: 0 }", "`0` is out of range"),
        (
            "fields: { depth: 129 }",
            "`129` is out of range: write 1 to 128",
        ),
        (
            "fields: { body: { json: 1MiB } }",
            "`json` is not a media type",
        ),
        ("addresses: { deny: [10.0.0.1/8] }", "write `10.0.0.0/8`"),
        (
            "rules: { off: [100301] }",
            "write its number as in `PEN-100301`",
        ),
        (
            "rules: { off: [PEN-100999] }",
            "there is none of this number",
        ),
        ("block: true", "block"),
    ] {
        let text = format!("chain: [{{ waf: {{ {settings} }} }}]");
        let report = crate::parse(&text)
            .unwrap_err()
            .render("penstock.yaml", &text);
        assert!(report.contains(message), "{settings}: {report}");
    }
}

#[test]
fn settings_of_a_plugin() {
    expect(
        "chain: [{ request_id: { trust_client: yes } }]",
        &[(1, 39, "expected `true` or `false`, not `yes`")],
    );
    expect(
        "chain: [{ request_id: { header: Connection } }]",
        &[(1, 33, "is set by the proxy itself")],
    );
}

#[test]
fn consequences_of_a_mistake_are_not_mistakes() {
    // A reference to an upstream that is wrong; a catch-all only because its condition
    // is wrong; weights of which one is wrong; lists that lost their only element.
    expect(
        "upstreams:\n  a: { endpoints: [1] }\nroutes:\n  - { name: r, split: [{ upstream: a }] }\n",
        &[(2, 20, "add the port")],
    );
    expect(
        &format!(
            "{UPSTREAM}routes:\n\
             - {{ name: r, match: {{ methods: [get] }}, split: [{{ upstream: a }}] }}\n\
             - {{ name: s, split: [{{ upstream: a }}] }}\n"
        ),
        &[(4, 33, "write `GET`")],
    );
    expect(
        "upstreams:\n  a: { endpoints: [{ address: a:1, weight: 0 }, { address: b:1, weight: x }] }\n",
        &[(2, 73, "expected a whole number")],
    );
    expect(
        "server:\n  listen: [{ address: x }]\n  admin: 127.0.0.1:8080\n",
        &[(2, 23, "not an IP address")],
    );
    expect(
        "server:\n  listen: [{ address: 127.0.0.1:9901 }]\n  admin: x\n",
        &[(3, 10, "not an IP address")],
    );
    expect(
        "upstreams:\n  a: { endpoints: [a:1], protocol: auto, tls: 1 }\n",
        &[(2, 47, "expected a mapping")],
    );
    expect(
        "upstreams:\n  a:\n    <<: {}\n",
        &[(3, 5, "the merge key `<<` is not read")],
    );
}

#[test]
fn yaml_itself() {
    expect("a: b: c\n", &[(1, 5, "not valid YAML")]);
    expect("server:\n\tworkers: 1\n", &[(2, 2, "indent with spaces")]);
    expect(
        "server: { workers: 1\n",
        &[(1, 9, "not valid YAML: unclosed bracket '{'")],
    );
    expect(
        "server: {}\n---\nserver: {}\n",
        &[(2, 1, "a configuration is one document")],
    );
    expect(
        "server: {}\n---\n",
        &[(2, 1, "a configuration is one document")],
    );
    expect(
        "upstreams:\n  a: *nowhere\n",
        &[(2, 6, "no anchor `&nowhere` comes before this alias")],
    );
    expect(
        "server: !include server.yaml\n",
        &[(1, 9, "the tag `!include` means nothing here")],
    );
    expect(
        "chain: &a [*a]\n",
        &[(1, 12, "this alias stands within what it refers to")],
    );
}

#[test]
fn a_mistake_behind_an_alias_is_told_once() {
    expect(
        "upstreams:\n  a: &a { endpoints: [x] }\n  b: *a\n  c: *a\n",
        &[(2, 23, "add the port")],
    );
}

#[test]
fn all_at_once() {
    let text = "\
server:
  listen:
    - address: localhost:8080
    - address: 0.0.0.0:8443
      tls:
        certificate: /etc/penstock/cert.pem
        private_key: hunter2
  wrokers: 4
  drain_timeout: 30
  limits:
    request_body: 2GiB
    connections: 0
  io_uring: { entries: 1000 }
upstreams:
  vllm:
    endpoints: [http://127.0.0.1:8000]
  sglang:
    endpoints: [127.0.0.1:30000]
    protocol: auto
  sglang: {}
chain:
  - request_ids: {}
routes:
  - name: one
    match: { path: { prefix: v1 }, methods: [post] }
    split: [{ upstream: sglan }]
  - name: one
    split: [{ upstream: vllm, weight: -5 }]
    attempts: 0
  - split: []
  - name: last
    split: [{ upstream: sglang }]
";
    expect(
        text,
        &[
            (3, 16, "`localhost:8080` is not an IP address and port"),
            (7, 22, "a secret must not be in this file"),
            (8, 3, "unknown key `wrokers` (did you mean `workers`?)"),
            (9, 18, "`30` has no unit"),
            (11, 19, "`2GiB` is out of range"),
            (12, 18, "`0` is out of range"),
            (13, 24, "is not a power of two"),
            (16, 17, "drop the scheme"),
            (19, 15, "`auto` needs `tls`"),
            (20, 3, "`sglang` stands here twice: first on line 17"),
            (22, 5, "did you mean `request_id`?"),
            (25, 30, "start it with `/`"),
            (25, 46, "write `POST`"),
            (26, 25, "did you mean `sglang`?"),
            (27, 11, "the name `one` is taken by the route on line 24"),
            (28, 39, "`-5` is out of range"),
            (29, 15, "`0` is out of range"),
            (30, 5, "`name` is missing"),
            (30, 12, "the list is empty"),
            (31, 5, "route `last` is never reached: `one` on line 27"),
        ],
    );
    assert!(
        !mistakes(text)
            .iter()
            .any(|(_, _, message)| message.contains("hunter2")),
        "the secret is not repeated"
    );
}
