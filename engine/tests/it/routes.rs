//! Which requests a route takes, and what those get that none takes.

use http::Request;
use penstock::transport::Transport;

use crate::harness::client::{BOTH, Client, get, post, whole, with};
use crate::harness::{Proxy, config, simulator};

on_both!(
    a_route_takes_what_it_matches,
    what_no_route_takes_is_not_found,
    the_host_header_is_what_the_operator_wrote,
    plugins_of_the_chain_run,
);

async fn a_route_takes_what_it_matches(transport: Transport) {
    let routes = [
        ("exact", "path: { exact: /v1/models }, methods: [GET]"),
        ("prefix", "path: { prefix: /v2 }"),
        ("glob", "path: { glob: \"/files/*/content\" }"),
        ("deep", "path: { glob: \"/deep/**\" }"),
        ("method", "path: { exact: /only }, methods: [PUT, DELETE]"),
        ("header", "headers: { x-tenant: \"acme-*\" }"),
    ];
    let upstreams = routes.map(|(name, _)| simulator(&[("name", name)]));
    let mut text = "upstreams:\n".to_owned();
    for ((name, _), upstream) in routes.iter().zip(&upstreams) {
        text += &format!("  {name}: {{ endpoints: [\"{}\"] }}\n", upstream.address());
    }
    text += "routes:\n";
    for (name, takes) in routes {
        text += &format!(
            "  - {{ name: {name}, match: {{ {takes} }}, split: [{{ upstream: {name} }}] }}\n"
        );
    }
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    let cases = [
        ("GET", "/v1/models", "exact"),
        ("GET", "/v1/models?limit=1", "exact"),
        ("GET", "/v1/models/", ""),
        ("POST", "/v1/models", ""),
        ("GET", "/v2", "prefix"),
        ("POST", "/v2/", "prefix"),
        ("GET", "/v2/a/b", "prefix"),
        ("GET", "/v20", ""),
        ("GET", "/files/7/content", "glob"),
        ("GET", "/files/7/8/content", ""),
        ("GET", "/deep/7/8/content", "deep"),
        ("PUT", "/only", "method"),
        ("DELETE", "/only", "method"),
        ("GET", "/only", ""),
    ];
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for (method, path, taken_by) in cases {
            let request = Request::builder().method(method).uri(path);
            let answer = client.answer(request.body(whole("")).unwrap()).await;
            assert_eq!(answer.upstream(), taken_by, "{method} {path} over {http:?}");
        }
        for (tenant, taken_by) in [("acme-7", "header"), ("acme", ""), ("other", "")] {
            let answer = client.answer(with(get("/"), "x-tenant", tenant)).await;
            assert_eq!(answer.upstream(), taken_by, "{tenant} over {http:?}");
        }
    }
}

async fn what_no_route_takes_is_not_found(transport: Transport) {
    let upstream = simulator(&[]);
    let text = format!(
        "upstreams:\n  a: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: one, match: {{ path: {{ exact: /one }} }}, split: [{{ upstream: a }}] }}\n",
        upstream.address()
    );
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(post("/v1/nothing", "{}")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.error_code(), "no_route");
        let answer = client.answer(get("/nothing")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.text(), "No route for GET /nothing.\n");
        let head = Request::head("/v1/nothing").body(whole("")).unwrap();
        let answer = client.answer(head).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
    }
    assert_eq!(upstream.requests(), 0);
}

async fn the_host_header_is_what_the_operator_wrote(transport: Transport) {
    let upstream = simulator(&[]);
    let address = upstream.address();
    let text = format!(
        "upstreams:\n  as-is: {{ endpoints: [\"{address}\"] }}\n  named: {{ endpoints: [\"{address}\"], host: api.example.com }}\nroutes:
  - {{ name: named, match: {{ path: {{ exact: /echo }} }}, split: [{{ upstream: named }}] }}
  - {{ name: rest, split: [{{ upstream: as-is }}] }}\n"
    );
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        upstream.forget_recorded();
        let mut client = Client::connect(proxy.address(), http).await;
        client.answer(post("/echo", "{}")).await;
        client.answer(get("/plain")).await;
        let hosts: Vec<_> = upstream
            .recorded()
            .iter()
            .map(|request| {
                let hosts = request.headers.get_all("host").iter();
                hosts
                    .map(|host| host.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(
            hosts,
            [["api.example.com"], ["penstock.test"]],
            "over {http:?}"
        );
    }
}

async fn plugins_of_the_chain_run(transport: Transport) {
    let upstream = simulator(&[]);
    let text = format!(
        "upstreams:\n  a: {{ endpoints: [\"{}\"] }}\nchain:\n  - request_id: {{}}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n",
        upstream.address()
    );
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            upstream.forget_recorded();
            client.answer(post("/echo", "{}")).await;
            let id = upstream.recorded()[0].headers["x-request-id"].clone();
            assert!(!seen.contains(&id), "an identifier came twice: {id:?}");
            seen.push(id);
        }
    }
}
