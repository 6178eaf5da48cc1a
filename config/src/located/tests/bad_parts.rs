//! Mistakes in listeners, upstreams and routes, each with its exact place.

use super::{UPSTREAM, expect};

#[test]
fn listeners() {
    let listen = |address: &str| format!("server:\n  listen:\n    - address: {address}\n");
    expect(&listen("localhost:80"), &[(3, 16, "write `127.0.0.1:80`")]);
    expect(
        &listen("8080"),
        &[(3, 16, "add the address, as in `0.0.0.0:8080`")],
    );
    expect(
        &listen(":8080"),
        &[(3, 16, "write `0.0.0.0:8080` or `[::]:8080`")],
    );
    expect(&listen("127.0.0.1"), &[(3, 16, "add the port")]);
    expect(
        &listen("127.0.0.1:80\n    - address: 127.0.0.1:80"),
        &[(4, 16, "taken by the listener on line 3")],
    );
    expect(&listen("127.0.0.1:0\n    - address: 127.0.0.1:0"), &[]);
    expect(
        &listen("127.0.0.1:9901"),
        &[(
            3,
            16,
            "the admin listener's address when `admin` is not set",
        )],
    );
    expect(
        &listen("127.0.0.1:80\n  admin: 127.0.0.1:80"),
        &[(4, 10, "taken by the listener on line 3")],
    );
    expect(&listen("127.0.0.1:9901\n  admin: off"), &[]);
    expect(
        "server: { admin: 127.0.0.1:8080 }",
        &[(1, 18, "listened on when `listen` is not set")],
    );
    expect("server: { listen: [] }", &[(1, 19, "the list is empty")]);
    expect(
        &listen("127.0.0.1:1\n      tls: { certificate: /c, private_key: PEM }"),
        &[(
            4,
            44,
            "a secret must not be in this file: write a reference: `{ env: NAME }` or `{ file: PATH }`",
        )],
    );
}

#[test]
fn overload() {
    let overload = |rest: &str| format!("server:\n  overload: {{ {rest} }}\n");
    expect(&overload("shed_at: 80, pause_at: 85"), &[]);
    expect(
        &overload("shed_at: 95"),
        &[(2, 24, "write a `pause_at` that is more than `shed_at`")],
    );
    expect(
        &overload("pause_at: 90, shed_at: 90"),
        &[(2, 25, "connections are to wait from 90 % on")],
    );
    expect(
        &overload("concurrency: 0, reserved: 91"),
        &[(2, 28, "write 1 to 1000000"), (2, 41, "write 0 to 90")],
    );
    expect(
        &overload("queue: { per_tenant: 0, high_role: [a] }"),
        &[(2, 36, "write 1 to 1000000"), (2, 39, "high_roles")],
    );
    expect(
        &overload("shed_at: 5, memory: 1MiB, descriptors: 10"),
        &[
            (2, 24, "write 10 to 99"),
            (2, 35, "write 64MiB to 1024GiB"),
            (2, 54, "write 64 to 1000000000"),
        ],
    );
}

#[test]
fn clients() {
    let clients = |rest: &str| format!("server:\n  clients:\n    {rest}\n");
    expect(
        &clients("trusted_proxies: [10.0.0.0/8, 0.0.0.0/0]"),
        &[(3, 35, "could then name any address")],
    );
    expect(
        &clients("trusted_proxies: [10.1.0.0/8]"),
        &[(3, 23, "write `10.0.0.0/8`")],
    );
    expect(
        &clients("connections_per_address: 0"),
        &[(3, 30, "write 1 to 1000000")],
    );
    expect(
        &clients("forwarded_header: x-real-ip"),
        &[(3, 23, "`x_forwarded_for`")],
    );
    let listen = "listen:\n    - { address: 127.0.0.1:1, proxy_protocol: required }\n";
    expect(
        &format!("server:\n  {listen}"),
        &[(3, 47, "`server.clients.trusted_proxies` is empty")],
    );
    let trusting = "clients: { trusted_proxies: [10.0.0.0/8] }";
    expect(&format!("server:\n  {trusting}\n  {listen}"), &[]);
    expect(
        "server:\n  listen: [{ address: 127.0.0.1:1, proxy_protocol: v2 }]\n",
        &[(2, 52, "`required`")],
    );
}

#[test]
fn certificates() {
    let tls = |lines: &str| {
        format!("server:\n  listen:\n    - address: 127.0.0.1:1\n      tls:\n        {lines}\n")
    };
    let expect = |lines: &str, mistakes| expect(&tls(lines), mistakes);
    expect(
        "certificate: /c",
        &[(5, 9, "`certificate` needs its `private_key`")],
    );
    expect(
        "private_key: { file: /k }",
        &[(5, 9, "`private_key` needs its `certificate`")],
    );
    expect("certificates: []", &[(5, 23, "the list is empty")]);
    expect(
        "certificates: [{ certificate: /c }]",
        &[(5, 24, "the key `private_key` is missing")],
    );
    expect(
        "certificate: /c\n        private_key: { file: /k }\n        certificates: [{ certificate: /c, private_key: { file: /k } }]",
        &[(
            7,
            39,
            "`/c` is a certificate of this listener on line 5 already",
        )],
    );
    let more =
        |line: &str| format!("certificate: /c\n        private_key: {{ env: K }}\n        {line}");
    expect(
        &more("min_version: '1.3'"),
        &[(7, 22, "known are `tls1.2` and `tls1.3`")],
    );
    expect(
        &more("unknown_names: allow"),
        &[(7, 24, "known are `refuse` and `default`")],
    );
    expect(
        &more("client_certificates: { required: false }"),
        &[(7, 9, "the key `ca` is missing")],
    );
}

#[test]
fn upstreams() {
    let upstream = |rest: &str| format!("upstreams:\n  a:\n    {rest}\n");
    expect(&upstream("endpoints: []"), &[(3, 16, "the list is empty")]);
    expect(
        &upstream("endpoints: [http://a:1]"),
        &[(3, 17, "drop the scheme `http://` and write `a:1`")],
    );
    expect(
        &upstream("endpoints: [a:1, b:1, A:1]"),
        &[(
            3,
            27,
            "`a:1` stands in this upstream twice: first on line 3",
        )],
    );
    expect(
        &upstream("endpoints: [{ address: a:1, weight: 0 }]"),
        &[(3, 5, "every endpoint has the weight 0")],
    );
    expect(
        &upstream("endpoints: [{ address: a:1, weight: -1 }]"),
        &[(3, 41, "write 0 to 1000000")],
    );
    expect(
        &upstream("endpoints: [{ weight: 1 }]"),
        &[(3, 17, "`address` is missing")],
    );
    expect(
        &upstream("endpoints: [a:1]\n    protocol: auto"),
        &[(4, 15, "`auto` needs `tls`")],
    );
    expect(
        &upstream("endpoints: [a:1]\n    protocol: auto\n    tls: {}"),
        &[],
    );
    expect(
        &upstream("endpoints: [a:1]\n    host: https://a"),
        &[(4, 11, "drop the scheme `https://`")],
    );
    expect(
        &upstream("endpoints: [a:1]\n    tls: { server_name: 'a b' }"),
        &[(4, 25, "cannot be in a host name")],
    );
    expect(
        &upstream("endpoints: [a:1]\n    timeouts: { read: 48h }"),
        &[(4, 23, "the greatest duration is `24h`")],
    );
}

#[test]
fn paths_of_routes() {
    let route = |rest: &str| {
        format!("{UPSTREAM}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    {rest}\n")
    };
    for (path, right) in [
        ("/a/../b", "requests are matched as `/b`"),
        ("/a/./", "requests are matched as `/a/`"),
        ("/a/..", "requests are matched as `/`"),
        ("/%61%2b", "requests are matched as `/a%2B`"),
        ("/a%2", "an escape that is none"),
        ("/a%zz", "an escape that is none"),
        ("/../a", "leaves its root"),
    ] {
        expect(
            &route(&format!("match: {{ path: {{ exact: '{path}' }} }}")),
            &[(6, 29, right)],
        );
    }
    for path in ["/", "/a/", "/a%2B/%20", "//a", "/.a/..b", "/a%25"] {
        let text = route(&format!("match: {{ path: {{ prefix: '{path}' }} }}"));
        assert!(crate::parse(&text).is_ok(), "{path}");
    }
}

#[test]
fn routes() {
    let route = |rest: &str| {
        format!("{UPSTREAM}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    {rest}\n")
    };
    expect(
        &route("match: { path: { prefix: v1 } }"),
        &[(6, 30, "start it with `/`, as in `/v1`")],
    );
    expect(
        &route("match: { path: { exact: '/a?b' } }"),
        &[(6, 29, "drop the query")],
    );
    expect(
        &route("match: { path: { exact: '/ä' } }"),
        &[(6, 29, "write `ä` percent-encoded")],
    );
    expect(
        &route("match: { path: { glob: v1/* } }"),
        &[(6, 28, "start it with `/` or `*`")],
    );
    expect(
        &route("match: { path: {} }"),
        &[(
            6,
            20,
            "exactly one of the keys `exact`, `prefix` and `glob` must stand here, not 0",
        )],
    );
    expect(
        &route("match: { path: { exact: /a, prefix: /b } }"),
        &[(6, 20, "not 2")],
    );
    expect(
        &route("match: { path: /v1 }"),
        &[(
            6,
            20,
            "expected one of the keys `exact`, `prefix` and `glob`, as in `prefix: /v1`, not `/v1`",
        )],
    );
    expect(
        &route("match: { path: { regex: /v1 } }"),
        &[(6, 22, "`regex` is not one of the choices")],
    );
    expect(
        &route("match: { methods: [post] }"),
        &[(6, 24, "write `POST`")],
    );
    expect(
        &route("match: { headers: { X-A: a, x-a: b } }"),
        &[(6, 33, "the header `x-a` stands here twice: first on line 6")],
    );
    expect(
        &route("match: { models: [''] }"),
        &[(6, 23, "write `*` for anything")],
    );
    expect(&route("attempts: 11"), &[(6, 15, "write 1 to 10")]);
    expect(
        &route("retry: { statuses: [200] }"),
        &[(6, 25, "write 400 to 599")],
    );
    expect(
        &route("chain: [{ request_id: {}, extra: {} }]"),
        &[(6, 13, "must stand here, not 2")],
    );
}

#[test]
fn fallbacks() {
    let route = |line: &str| {
        format!(
            "{UPSTREAM}  abc: {{ endpoints: [b:1] }}\nroutes:\n  - name: r\n    split: [{{ upstream: a }}]\n    {line}\n"
        )
    };
    expect(
        &route("fallback: [{ upstream: abd }]"),
        &[(7, 28, "no upstream is named `abd` (did you mean `abc`?)")],
    );
    expect(
        &route("fallback: [{ upstream: abc, weight: 2 }]"),
        &[(7, 33, "weight")],
    );
    expect(
        &route("attempts: 2\n    fallback: [{ upstream: abc }, { upstream: abc, model: x }]"),
        &[(7, 15, "write `attempts: 3` or more")],
    );
    expect(
        &route("attempts: 1\n    fallback: [{ upstream: abc }]"),
        &[(7, 15, "write `attempts: 2` or more")],
    );
    expect(
        &route("fallback: [{ upstream: a }]"),
        &[(7, 16, "has failed at `a` already: line 6")],
    );
    expect(
        &route(
            "attempts: 4\n    fallback: [{ upstream: a, model: x }, { upstream: abc }, { upstream: a, model: x }]",
        ),
        &[(8, 62, "has failed at `a` already: line 8")],
    );
}

#[test]
fn sticky_splits() {
    let sticky = |sticky: &str, chain: &str| {
        format!(
            "{UPSTREAM}{chain}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    sticky: {sticky}\n"
        )
    };
    expect(&sticky("{ header: x-user-id }", ""), &[]);
    expect(
        &sticky("user", ""),
        &[(6, 13, "`header: NAME`, `consumer`")],
    );
    expect(&sticky("{ header: 'a b' }", ""), &[(6, 23, "a b")]);
    expect(
        &sticky("{ prompt: {} }", ""),
        &[(6, 5, "chooses among the endpoints of an upstream")],
    );
    for by in ["consumer", "tenant", "{ claim: plan }"] {
        let alone = sticky(by, "");
        expect(&alone, &[(6, 5, "where nothing says who asks")]);
        let keys = "chain:\n  - authenticate: { keys: { file: k.yaml } }\n";
        expect(&sticky(by, keys), &[]);
    }
}

#[test]
fn countries() {
    let route = |countries: &str, geoip: &str| {
        format!(
            "{UPSTREAM}{geoip}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    match: {{ countries: {countries} }}\n"
        )
    };
    let database = "geoip: { file: /c.mmdb }\n";
    // `NO` is Norway, whatever other YAML readers take it for.
    expect(&route("[DE, NO]", database), &[]);
    expect(&route("[]", ""), &[]);
    expect(
        &route("[DE, de, UK, ZZ]", database),
        &[
            (7, 30, "write `DE`"),
            (7, 34, "write `GB`"),
            (
                7,
                38,
                "`ZZ` is not a country: write its two letters of ISO 3166-1",
            ),
        ],
    );
    expect(
        &route("[DE]", ""),
        &[(6, 14, "nothing says where addresses are")],
    );
    expect(
        &route("[DE]", "geoip: { file: '' }\n"),
        &[(3, 16, "is not the path of a file")],
    );
    expect(
        &route("[DE]", "geoip: {}\n"),
        &[(3, 1, "the key `file` is missing")],
    );
    let misspelt = "geip: { file: /c.mmdb }\n";
    expect(&route("[DE]", misspelt), &[(3, 1, "unknown key `geip`")]);
    let all = format!(
        "{UPSTREAM}{database}routes:\n- {{ name: r, match: {{ countries: [DE] }}, split: [{{ upstream: a }}] }}\n- {{ name: s, split: [{{ upstream: a }}] }}\n"
    );
    expect(&all, &[]);
}

#[test]
fn clients_that_leave() {
    let route = |policy: &str| {
        format!(
            "{UPSTREAM}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    on_disconnect: {policy}\n"
        )
    };
    expect(
        &route("wait"),
        &[(6, 20, "`wait` is not `cancel`, `drain`, or a mapping")],
    );
    expect(
        &route("{ drain: { concurrent: 0 } }"),
        &[(6, 43, "write 1 to 1000000")],
    );
}

#[test]
fn copies() {
    let route = |shadow: &str| {
        format!(
            "{UPSTREAM}routes:\n  - name: r\n    split: [{{ upstream: a }}]\n    shadow: {shadow}\n"
        )
    };
    expect(
        &route("{ upstream: b, percent: 1 }"),
        &[(6, 25, "no upstream is named `b`")],
    );
    expect(
        &route("{ upstream: a, percent: 101 }"),
        &[(6, 37, "write 0 to 100")],
    );
    expect(
        &route("{ upstream: a }"),
        &[(6, 5, "the key `percent` is missing")],
    );
}

#[test]
fn second_attempts() {
    let route = |rest: &str| {
        format!(
            "{UPSTREAM}  b: {{ endpoints: [b:1, b:2] }}\n  c: {{ endpoints: [\"10.0.0.1:1\"] }}\nroutes:\n  - name: r\n    {rest}\n"
        )
    };
    let hedged = |rest: &str| route(&format!("split: [{{ upstream: b }}]\n    hedge: {rest}"));
    expect(&hedged("{ after: 1s }"), &[]);
    expect(&hedged("{ after: p95, max_percent: 100 }"), &[]);
    expect(
        &hedged("{ after: p100 }"),
        &[(8, 21, "`p100` is not a percentile: write `p1` to `p99`")],
    );
    expect(&hedged("{ after: 5 }"), &[(8, 21, "`5` has no unit")]);
    expect(
        &hedged("{ after: 1s, max_percent: 0 }"),
        &[(8, 38, "write 1 to 100")],
    );
    expect(&hedged("{}"), &[(8, 5, "the key `after` is missing")]);
    expect(
        &hedged("{ after: 1s }\n    attempts: 1"),
        &[(9, 15, "with one attempt there is no second one")],
    );
    expect(
        &hedged("{ after: 1s }\n    deadline: 1s"),
        &[(8, 21, "after `1s` the request is over")],
    );
    expect(
        &hedged("{ after: 2s }\n    retry: { first_token: 1s }"),
        &[(8, 21, "after `1s` the first attempt has ended")],
    );
    let nowhere = "each target has a single endpoint";
    expect(
        &route("split: [{ upstream: c }]\n    hedge: { after: 1s }"),
        &[(8, 5, nowhere)],
    );
    let off = "split: [{ upstream: c }, { upstream: b, weight: 0 }]\n    hedge: { after: 1s }";
    expect(&route(off), &[(8, 5, nowhere)]);
    let elsewhere =
        "split: [{ upstream: c }]\n    fallback: [{ upstream: b }]\n    hedge: { after: 1s }";
    expect(&route(elsewhere), &[]);
    // A name may have several addresses, and one target that can be left is enough.
    expect(
        &route("split: [{ upstream: a }]\n    hedge: { after: 1s }"),
        &[],
    );
    expect(
        &route("split: [{ upstream: b }, { upstream: c }]\n    hedge: { after: 1s }"),
        &[],
    );
}

#[test]
fn targets() {
    let split = |split: &str| {
        format!(
            "{UPSTREAM}  abc: {{ endpoints: [b:1] }}\nroutes:\n  - name: r\n    split: {split}\n"
        )
    };
    expect(&split("[]"), &[(6, 12, "the list is empty")]);
    expect(
        &split("[{ upstream: abd }]"),
        &[(6, 25, "no upstream is named `abd` (did you mean `abc`?)")],
    );
    expect(
        &split("[{ upstream: zzz }]"),
        &[(6, 25, "no upstream is named `zzz` (defined: `a` and `abc`)")],
    );
    expect(
        &split("[{ upstream: a, weight: 0 }, { upstream: abc, weight: 0 }]"),
        &[(6, 5, "every target has the weight 0")],
    );
    expect(
        &split("[{ upstream: a, model: '' }]"),
        &[(6, 35, "write at least one character")],
    );
    expect(
        "routes: [{ name: r, split: [{ upstream: a }] }]",
        &[(1, 41, "define it under `upstreams`")],
    );
}

#[test]
fn routes_by_name_and_order() {
    let twice = format!(
        "{UPSTREAM}routes:\n\
         - {{ name: r, match: {{ models: [x] }}, split: [{{ upstream: a }}] }}\n\
         - {{ name: r, split: [{{ upstream: a }}] }}\n\
         - {{ name: s, split: [{{ upstream: a }}] }}\n"
    );
    expect(
        &twice,
        &[
            (5, 11, "the name `r` is taken by the route on line 4"),
            (
                6,
                3,
                "route `s` is never reached: `r` on line 5 takes every request",
            ),
        ],
    );
    for all in ["prefix: /", "glob: '**'", "glob: '/**'"] {
        let text = format!(
            "{UPSTREAM}routes:\n\
             - {{ name: r, match: {{ path: {{ {all} }} }}, split: [{{ upstream: a }}] }}\n\
             - {{ name: s, split: [{{ upstream: a }}] }}\n"
        );
        expect(&text, &[(5, 3, "route `s` is never reached")]);
    }
}

#[test]
fn caches() {
    let cache =
        |server: &str, cache: &str| format!("server: {server}\nchain:\n  - cache: {cache}\n");
    expect(&cache("{}", "{}"), &[]);
    expect(
        &cache("{}", "{ ttl: 5 }"),
        &[(3, 19, "write the unit, as in `5s`")],
    );
    expect(&cache("{}", "{ shared: true }"), &[(3, 14, "shared")]);
    expect(
        &cache("{}", "{ max_entry: 17MiB }"),
        &[(3, 25, "write 1B to 16MiB")],
    );
    let many: Vec<String> = (0..17).map(|n| format!("x-{n}")).collect();
    expect(
        &cache("{}", &format!("{{ vary: [{}] }}", many.join(", "))),
        &[(3, 20, "write at most 16")],
    );
    expect(
        &cache("{ cache: { capacity: 1KiB } }", "{}"),
        &[(1, 30, "write 64KiB to 1024GiB")],
    );
    expect(&cache("{ cache: { capacity: 64KiB } }", "{}"), &[]);
    expect(
        &cache("{ cache: { capacity: 1MiB } }", "{ max_entry: 2MiB }"),
        &[(3, 25, "`server.cache.capacity` is `1MiB`")],
    );
    expect(
        &cache("{ cache: { capacity: 1X } }", "{ max_entry: 2MiB }"),
        &[(1, 30, "is not a size")],
    );
}
