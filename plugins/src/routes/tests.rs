//! Which route a request finds.

mod naive;

use std::fmt::Write;

use http::Request;

use super::*;
use crate::build::Given;

/// A configuration with these routes, in JSON to have no parser's quirks between.
fn config(routes: &str) -> Config {
    let text = format!(
        r#"{{
            "upstreams": {{
                "b": {{ "endpoints": [{{ "address": "127.0.0.1:2" }}] }},
                "a": {{ "endpoints": [{{ "address": "127.0.0.1:1" }}] }}
            }},
            "routes": [{routes}]
        }}"#
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A table of routes named `r0`, `r1` and so on, with these matches.
fn table<S: AsRef<str>>(matches: impl IntoIterator<Item = S>) -> RouteTable {
    let mut routes = String::new();
    for (index, matches) in matches.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let matches = matches.as_ref();
        let split = r#"[{"upstream":"a"}]"#;
        write!(
            routes,
            r#"{comma}{{"name":"r{index}","match":{{{matches}}},"split":{split}}}"#
        )
        .unwrap();
    }
    built(&routes).unwrap()
}

fn built(routes: &str) -> Result<RouteTable, Vec<BuildError>> {
    RouteTable::new(&config(routes), &Shared::default(), &Given::default())
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn exchange() -> crate::Exchange {
    crate::Exchange::new(crate::Arrival {
        id: 0,
        client: None,
        generation: 1,
        at: std::time::Duration::ZERO,
        dialect: crate::Dialect::Plain,
    })
}

/// The place of the route that a GET takes without a model.
fn get(table: &RouteTable, uri: &str) -> Option<usize> {
    let head = head("GET", uri, &[]);
    let place = match table.find(&head, None) {
        Found::Route(route) => Some(route.index()),
        Found::NeedsModel => panic!("{uri} needs no model"),
        Found::None => None,
    };
    let known = table
        .find_with_model(&head, None, Some("m"))
        .map(Route::index);
    assert_eq!(known, place, "a model changes nothing for {uri}");
    place
}

#[test]
fn an_exact_path_is_the_whole_path_without_the_query() {
    let table = table([r#""path":{"exact":"/v1/models"}"#]);
    assert_eq!(get(&table, "/v1/models"), Some(0));
    assert_eq!(get(&table, "/v1/models?limit=1"), Some(0));
    for other in [
        "/v1/models/",
        "/v1/model",
        "/v1",
        "/V1/models",
        "/v1//models",
        "/v1/%6dodels",
    ] {
        assert_eq!(get(&table, other), None, "{other}");
    }
}

#[test]
fn a_prefix_ends_at_a_segment_border() {
    for prefix in ["/v1", "/v1/"] {
        let table = table([format!(r#""path":{{"prefix":"{prefix}"}}"#)]);
        for uri in ["/v1", "/v1/", "/v1/models", "/v1?a", "/v1//x"] {
            assert_eq!(get(&table, uri), Some(0), "{prefix} and {uri}");
        }
        for uri in ["/v10", "/", "/v", "//v1", "/x/v1"] {
            assert_eq!(get(&table, uri), None, "{prefix} and {uri}");
        }
    }
    let root = table([r#""path":{"prefix":"/"}"#]);
    for uri in ["/", "/v1", "//", "http://host/x", "http://host"] {
        assert_eq!(get(&root, uri), Some(0), "{uri}");
    }
    assert_eq!(
        get(&root, "*"),
        None,
        "`*` (RFC 9110 section 7.1) is no path"
    );
}

#[test]
fn a_pattern_matches_the_whole_path() {
    let table = table([
        r#""path":{"glob":"/v1/*/chat"}"#,
        r#""path":{"glob":"/files/**"}"#,
        r#""path":{"glob":"/plain"}"#,
    ]);
    assert_eq!(get(&table, "/v1/tenant/chat"), Some(0));
    assert_eq!(get(&table, "/v1/a/b/chat"), None);
    assert_eq!(get(&table, "/files/a/b"), Some(1));
    assert_eq!(get(&table, "/plain"), Some(2));
    assert_eq!(get(&table, "/plain/x"), None);
}

#[test]
fn the_first_of_the_file_wins_however_it_is_found() {
    let kinds = [
        r#""path":{"exact":"/a/b"}"#,
        r#""path":{"prefix":"/a/b"}"#,
        r#""path":{"prefix":"/a"}"#,
        r#""path":{"glob":"/a/*"}"#,
        r#""path":{"prefix":"/"}"#,
        "",
    ];
    for first in 0..kinds.len() {
        let turned = kinds.iter().cycle().skip(first).take(kinds.len());
        assert_eq!(
            get(&table(turned), "/a/b"),
            Some(0),
            "from {}",
            kinds[first]
        );
        let mut last_first = kinds[first..].iter().chain(&kinds[..first]).rev();
        let table = table(last_first.by_ref());
        assert_eq!(get(&table, "/a/b"), Some(0));
    }
}

#[test]
fn methods_are_matched_literally() {
    let table = table([r#""methods":["GET","POST"]"#, r#""methods":["DELETE"]"#]);
    let find = |method| {
        table
            .find_with_model(&head(method, "/", &[]), None, None)
            .map(Route::index)
    };
    assert_eq!(find("POST"), Some(0));
    assert_eq!(find("DELETE"), Some(1));
    assert_eq!(find("HEAD"), None, "HEAD is not GET");
}

#[test]
fn each_header_has_a_value_that_matches() {
    let table = table([r#""headers":{"X-Region":"eu-*","x-tier":"gold"}"#]);
    let finds = |headers: &[(&str, &str)]| {
        table
            .find_with_model(&head("GET", "/", headers), None, None)
            .is_some()
    };
    assert!(finds(&[("x-region", "eu-west"), ("x-tier", "gold")]));
    assert!(finds(&[
        ("x-region", "us"),
        ("x-region", "eu-1"),
        ("x-tier", "gold")
    ]));
    assert!(!finds(&[("x-region", "eu-west")]), "all headers are needed");
    assert!(!finds(&[("x-region", "us"), ("x-tier", "gold")]));
    assert!(!finds(&[]));
}

#[test]
fn the_host_is_found_where_each_version_of_http_has_it() {
    let table = table([r#""headers":{"host":"api.*"}"#]);
    let http1 = head("GET", "/", &[("host", "api.example")]);
    let http2 = head("GET", "https://api.example/", &[]);
    let other = head("GET", "https://api.example/", &[("host", "www.example")]);
    assert!(table.find_with_model(&http1, None, None).is_some());
    assert!(table.find_with_model(&http2, None, None).is_some());
    assert!(table.find_with_model(&other, None, None).is_none());
}

#[test]
fn the_model_is_asked_for_only_where_it_decides() {
    let table = table([
        r#""path":{"exact":"/certain"}"#,
        r#""path":{"prefix":"/v1"},"models":["gpt-*","o1"],"methods":["POST"]"#,
        r#""path":{"prefix":"/v1"},"methods":["POST"]"#,
        r#""path":{"exact":"/v2"},"models":["llama/*"]"#,
        r#""path":{"prefix":"/certain"},"models":["*"]"#,
    ]);
    let post = |uri| head("POST", uri, &[]);
    let with = |uri, model| {
        table
            .find_with_model(&post(uri), None, model)
            .map(Route::index)
    };

    assert!(matches!(
        table.find(&post("/v1/x"), None),
        Found::NeedsModel
    ));
    assert_eq!(with("/v1/x", Some("gpt-4o")), Some(1));
    assert_eq!(with("/v1/x", Some("o1")), Some(1));
    assert_eq!(with("/v1/x", Some("o1-mini")), Some(2));
    assert_eq!(with("/v1/x", None), Some(2), "no model is no match");

    assert!(matches!(table.find(&post("/v2"), None), Found::NeedsModel));
    assert_eq!(
        with("/v2", Some("llama/3/8b")),
        Some(3),
        "`*` takes the slash of a name"
    );
    assert_eq!(with("/v2", None), None);

    assert!(matches!(table.find(&post("/certain"), None), Found::Route(r) if r.index() == 0));
    assert!(matches!(
        table.find(&post("/certain/x"), None),
        Found::NeedsModel
    ));
    assert!(matches!(table.find(&post("/nowhere"), None), Found::None));
    let get = head("GET", "/v1/x", &[]);
    assert!(
        matches!(table.find(&get, None), Found::None),
        "the method rules it out already"
    );
}

#[test]
fn a_country_is_that_of_the_address_or_none() {
    let text = r#"{
        "geoip": { "file": "c.mmdb" },
        "upstreams": { "a": { "endpoints": ["127.0.0.1:1"] } },
        "routes": [
            {"name":"one","match":{"countries":["DE","FR"]},"split":[{"upstream":"a"}]},
            {"name":"two","match":{"countries":["US"],"models":["m"]},"split":[{"upstream":"a"}]}
        ]
    }"#;
    let config: Config = serde_json::from_str(text).unwrap();
    let given = |bytes: &[u8]| Given {
        files: [("c.mmdb".into(), bytes.to_vec())].into(),
        ..Given::default()
    };
    let example = include_bytes!("../../../config/examples/geoip/countries.mmdb");
    let table = RouteTable::new(&config, &Shared::default(), &given(example)).unwrap();
    let head = head("GET", "/", &[]);
    for (address, model, wanted) in [
        (Some("192.0.2.1"), None, Some(0)),
        (Some("198.51.100.1"), Some("m"), Some(0)),
        (Some("203.0.113.1"), Some("m"), Some(1)),
        (Some("203.0.113.1"), Some("n"), None),
        (Some("10.0.0.1"), Some("m"), None),
        (None, Some("m"), None),
    ] {
        let client = address.map(|address| address.parse().unwrap());
        let found = table.find_with_model(&head, client, model);
        assert_eq!(found.map(Route::index), wanted, "{address:?} {model:?}");
        match table.find(&head, client) {
            Found::Route(route) => assert_eq!(Some(route.index()), wanted),
            Found::NeedsModel => assert_eq!(address, Some("203.0.113.1")),
            Found::None => assert_eq!(wanted, None),
        }
    }
    let errors = RouteTable::new(&config, &Shared::default(), &Given::default());
    let errors = errors.err().unwrap();
    assert_eq!(
        errors[0].to_string(),
        "geoip.file: c.mmdb cannot be read: there is no such file"
    );
}

#[test]
fn a_large_table_gives_what_trying_each_route_would() {
    let matches = (0..10_000).map(|place| match place % 5 {
        0 => format!(r#""path":{{"exact":"/t{}/x"}}"#, place % 700),
        1 => format!(
            r#""path":{{"prefix":"/t{}"}},"methods":["POST"]"#,
            place % 300
        ),
        2 => format!(r#""path":{{"glob":"/t{}/*"}}"#, place % 900),
        3 => format!(
            r#""path":{{"prefix":"/t{}/y"}},"models":["m{place}"]"#,
            place % 500
        ),
        _ => format!(
            r#""path":{{"exact":"/t{}/z"}},"models":["m1*"]"#,
            place % 1000
        ),
    });
    let matches: Vec<String> = matches.collect();
    let all = table(&matches);
    // Without an index: each route in a table of its own.
    let single: Vec<RouteTable> = matches.iter().map(|route| table([route])).collect();
    for tenant in (0..1100).step_by(109) {
        for (method, rest) in [("GET", "x"), ("POST", "y/1"), ("GET", "z"), ("PUT", "q")] {
            let head = head(method, &format!("/t{tenant}/{rest}"), &[]);
            for model in [None, Some("m18"), Some("m203")] {
                let slow = single
                    .iter()
                    .position(|t| t.find_with_model(&head, None, model).is_some());
                let fast = all.find_with_model(&head, None, model).map(Route::index);
                assert_eq!(fast, slow, "{method} {} with {model:?}", head.uri);
                match all.find(&head, None) {
                    Found::Route(route) => assert_eq!(Some(route.index()), slow),
                    Found::NeedsModel => {}
                    Found::None => assert_eq!(slow, None),
                }
            }
        }
    }
}

#[test]
fn a_route_knows_its_upstreams_and_what_it_needs() {
    let table = built(
        r#"{"name":"plain","split":[{"upstream":"b"}],"attempts":3},
           {"name":"off","split":[{"upstream":"a"},{"upstream":"b","weight":0,"model":"x"}]},
           {"name":"renamed","split":[{"upstream":"a","model":"x"}],
            "chain":[{"request_id":{}}]},
           {"name":"chosen","match":{"models":["x"]},"split":[{"upstream":"a"}]}"#,
    )
    .unwrap();
    let needs: Vec<_> = table
        .iter()
        .map(|r| (r.name().as_str(), r.needs_facts()))
        .collect();
    assert_eq!(
        needs,
        [
            ("plain", false),
            ("off", false),
            ("renamed", true),
            ("chosen", true)
        ],
        "a target that is never picked replaces no model"
    );
    let plain = table.get(0).unwrap();
    assert_eq!((plain.attempts(), plain.needs_body()), (3, false));
    assert!(table.get(2).unwrap().needs_body());
    assert!(table.get(4).is_none());

    let mut exchange = exchange();
    let head = head("GET", "/", &[]);
    exchange.enter(plain);
    assert_eq!(exchange.route().map(Name::as_str), Some("plain"));
    let target = plain.router().target(&exchange, &head);
    assert_eq!(
        target.upstream,
        UpstreamId(1),
        "upstreams are counted by name"
    );
    assert_eq!(target.model, None);
    let renamed = table.get(2).unwrap();
    let target = renamed.router().target(&exchange, &head);
    assert_eq!(target.model.as_ref().map(|m| m.as_str()), Some("x"));

    table.global().authenticate(&mut exchange, &head).unwrap();
    assert!(
        exchange.notes().is_empty(),
        "the chain of one route is not that of others"
    );
    renamed.chain().authenticate(&mut exchange, &head).unwrap();
    assert_eq!(exchange.notes().len(), 1);
}

/// A table whose only route is split evenly and sticky, and where these users go.
fn sticky(upstreams: &[&str], split: &str, users: &[&str]) -> Vec<String> {
    let mut defined: Vec<_> = upstreams.to_vec();
    defined.sort_unstable();
    let endpoints = |name: &&str| format!(r#""{name}":{{"endpoints":["127.0.0.1:1"]}}"#);
    let text = format!(
        r#"{{"upstreams":{{{}}},"routes":[{{"name":"r","sticky":{{"header":"x-user"}},"split":[{split}]}}]}}"#,
        defined.iter().map(endpoints).collect::<Vec<_>>().join(",")
    );
    let config: Config = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let table = RouteTable::new(&config, &Shared::default(), &Given::default()).unwrap();
    let router = table.get(0).unwrap().router();
    let to = |user: &&str| {
        let target = router.target(&exchange(), &head("GET", "/", &[("x-user", user)]));
        let model = target.model.as_ref().map_or("", |model| model.as_str());
        format!("{}/{model}", defined[target.upstream.0])
    };
    users.iter().map(to).collect()
}

#[test]
fn a_user_stays_with_a_target_whatever_stands_around_it() {
    let names: Vec<String> = (0..500).map(|n| format!("user-{n}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let split = r#"{"upstream":"b"},{"upstream":"b","model":"m"},{"upstream":"c","model":"m"}"#;
    let before = sticky(&["b", "c"], split, &users);
    for target in ["b/", "b/m", "c/m"] {
        let count = before.iter().filter(|to| *to == target).count();
        assert!((100..=240).contains(&count), "{count} of 500 to {target}");
    }
    let turned = r#"{"upstream":"c","model":"m"},{"upstream":"b","model":"m"},{"upstream":"b"}"#;
    assert_eq!(sticky(&["b", "c"], turned, &users), before, "another order");
    let off = format!(r#"{{"upstream":"a","weight":0}},{split}"#);
    assert_eq!(
        sticky(&["a", "b", "c"], &off, &users),
        before,
        "an upstream whose name comes first moves the places of the others"
    );
    let more = format!(r#"{split},{{"upstream":"b","model":"n"}}"#);
    for (from, to) in before.iter().zip(sticky(&["b", "c"], &more, &users)) {
        assert!(*from == to || to == "b/n", "from {from} to {to}");
    }
}

#[test]
fn what_keeps_a_target_is_a_header_or_who_asks() {
    let by = |by: &str| {
        let route = format!(
            r#"{{"name":"r","sticky":{by},"split":[{{"upstream":"a"}},{{"upstream":"b"}}]}}"#
        );
        built(&route).unwrap()
    };
    let known = |name: &str| {
        let mut exchange = exchange();
        exchange.identify(Arc::new(crate::Identity {
            consumer: name.into(),
            tenant: format!("tenant of {name}").into(),
            metadata: [("plan".into(), name.into())].into(),
            ..crate::Identity::default()
        }));
        exchange
    };
    let none = || head("GET", "/", &[]);
    for affinity in [r#""consumer""#, r#""tenant""#, r#"{"claim":"plan"}"#] {
        let table = by(affinity);
        let router = table.get(0).unwrap().router();
        let mut seen = [0, 0];
        for name in (0..200).map(|n| format!("user-{n}")) {
            let first = router.target(&known(&name), &none());
            let again = router.target(&known(&name), &none());
            assert_eq!(first, again, "{affinity}: {name}");
            seen[first.upstream.0] += 1;
        }
        assert!(seen.iter().all(|n| *n > 60), "{affinity}: {seen:?}");
    }
    // Without what they would keep it by, requests take turns: to one and to the other.
    for (affinity, exchange, head) in [
        (r#"{"header":"x-user"}"#, known("a"), none()),
        (
            r#"{"header":"x-user"}"#,
            known("a"),
            head("GET", "/", &[("x-user", "")]),
        ),
        (r#""consumer""#, exchange(), none()),
        (r#"{"claim":"team"}"#, known("a"), none()),
    ] {
        let table = by(affinity);
        let router = table.get(0).unwrap().router();
        let to = |_| router.target(&exchange, &head).upstream.0;
        let to_second: usize = (0..1000).map(to).sum();
        assert!((495..=505).contains(&to_second), "{affinity}: {to_second}");
    }
}

#[test]
fn turns_go_on_after_a_reload() {
    let text = r#"{"name":"r","split":[{"upstream":"a","weight":9},{"upstream":"b"}]}"#;
    let shared = Shared::default();
    let load = || RouteTable::new(&config(text), &shared, &Given::default()).unwrap();
    let (mut serving, mut to_second) = (load(), 0);
    for _ in 0..1000 {
        // One request in each generation: the first one's turn is always the first target's.
        let next = load();
        drop(std::mem::replace(&mut serving, next));
        let router = serving.get(0).unwrap().router();
        to_second += router
            .target(&exchange(), &head("GET", "/", &[]))
            .upstream
            .0;
    }
    assert!((95..=105).contains(&to_second), "{to_second} of 1000");
}

#[test]
fn a_route_that_leads_nowhere_is_refused_by_name() {
    let error = |split| {
        let route = format!(r#"{{"name":"chat","split":[{split}]}}"#);
        let errors = built(&route).err().unwrap();
        assert_eq!(errors.len(), 1);
        errors[0].to_string()
    };
    let unknown = error(r#"{"upstream":"vllm"}"#);
    assert_eq!(unknown, "route `chat`: there is no upstream `vllm`");
    let off = error(r#"{"upstream":"a","weight":0}"#);
    assert_eq!(off, "route `chat`: no target has a weight above zero");
}
