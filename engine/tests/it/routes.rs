//! Which requests a route takes, and what those get that none takes.

use std::net::{IpAddr, SocketAddr};

use http::Request;
use penstock::transport::Transport;
use tokio::net::TcpSocket;

use crate::harness::client::{BOTH, Client, Http, get, post, whole, with};
use crate::harness::{COUNTRIES, Proxy, config, simulator};

on_both!(
    a_route_takes_what_it_matches,
    what_no_route_takes_is_not_found,
    the_host_header_is_what_the_operator_wrote,
    plugins_of_the_chain_run,
    a_country_is_that_of_the_client,
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

/// A client whose address is this one of the machine's own.
async fn from(address: &str, proxy: SocketAddr, http: Http) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    let ip: IpAddr = address.parse().unwrap();
    socket.bind(SocketAddr::new(ip, 0)).unwrap();
    let stream = socket.connect(proxy).await.unwrap();
    Client::over(stream, http).await.unwrap()
}

async fn a_country_is_that_of_the_client(transport: Transport) {
    let (near, far) = (simulator(&[("name", "de")]), simulator(&[("name", "us")]));
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("countries.mmdb");
    let known = std::fs::read(COUNTRIES).unwrap();
    std::fs::write(&database, &known).unwrap();
    let rest = format!(
        "geoip: {{ file: {} }}
upstreams:
  de: {{ endpoints: [\"{}\"] }}
  us: {{ endpoints: [\"{}\"] }}
routes:
  - {{ name: de, match: {{ countries: [DE] }}, split: [{{ upstream: de }}] }}
  - {{ name: us, match: {{ countries: [US, CA] }}, split: [{{ upstream: us }}] }}
",
        database.display(),
        near.address(),
        far.address()
    );
    let text = config(transport, "", &rest);
    let proxy = Proxy::start(&text).await;
    let taken_by = async |address: &str, http| {
        let mut client = from(address, proxy.address(), http).await;
        let answer = client.answer(get("/plain")).await;
        (answer.status.as_u16(), answer.upstream().to_owned())
    };
    for http in BOTH {
        assert_eq!(taken_by("127.0.0.1", http).await, (200, "de".to_owned()));
        assert_eq!(taken_by("127.0.1.1", http).await, (200, "us".to_owned()));
        let unknown = taken_by("127.0.2.1", http).await;
        assert_eq!(unknown, (404, String::new()), "no country, no route");
    }

    std::fs::write(&database, "no database").unwrap();
    let refused = proxy.reload(&text).await.unwrap_err();
    let place = format!("geoip.file: {} cannot be read", database.display());
    assert!(refused.contains(&place), "{refused}");
    let still = taken_by("127.0.1.1", Http::One).await;
    assert_eq!(still.1, "us", "the old one serves on");

    // A new edition of the database, in which the two have changed places.
    let codes = [(*b"BDE", *b"BXX"), (*b"BUS", *b"BDE"), (*b"BXX", *b"BUS")];
    let edition = codes.iter().fold(known, |bytes, (from, to)| {
        let at = bytes.windows(3).enumerate();
        let at: Vec<_> = at.filter(|(_, w)| w == from).map(|(at, _)| at).collect();
        assert!(!at.is_empty(), "no entry has this code");
        let mut bytes = bytes.clone();
        for at in at {
            bytes[at..at + 3].copy_from_slice(to);
        }
        bytes
    });
    std::fs::write(&database, edition).unwrap();
    proxy.reload(&text).await.unwrap();
    assert_eq!(taken_by("127.0.1.1", Http::One).await.1, "de");
    assert_eq!(taken_by("127.0.0.1", Http::Two).await.1, "us");
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
