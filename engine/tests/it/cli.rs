//! What the commands say, and their exit codes.

use std::io::{Seek, Write};
use std::path::Path;

use penstock::transport::Transport;

use crate::harness::client::{Client, Http, get};
use crate::harness::process::{Process, Said, command, output};
use crate::harness::{COUNTRIES, all_to, config, simulator};

on_both!(
    a_good_file_is_called_good,
    what_it_does_is_explained,
    every_mistake_is_told_with_its_place,
    what_cannot_be_built_is_told,
    the_schema_is_the_one_in_the_repository,
    a_new_key_is_made_and_its_hash_is_that_of_standard_input,
    a_key_that_can_be_guessed_is_refused,
    the_simulator_runs_alone,
    a_port_in_use_ends_the_start,
    a_wrong_file_ends_the_start,
);

async fn check(folder: &Path, text: &str) -> Said {
    let file = folder.join("penstock.yaml");
    std::fs::write(&file, text).unwrap();
    output(command(&["check", "-c", file.to_str().unwrap()])).await
}

async fn a_good_file_is_called_good(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let text = config(transport, "", &all_to(([127, 0, 0, 1], 1).into()));
    let said = check(folder.path(), &text).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("good"), "{}", said.out);
    assert_eq!(said.err, "");
}

async fn what_it_does_is_explained(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.yaml");
    let rest = r#"
upstreams:
  canary: { endpoints: ["127.0.0.1:3"], balance: hash, affinity: { header: X-Session }, ejection: off, protocol: auto, tls: { server_name: a.test, verify: chain } }
  stable:
    endpoints: [{ address: "127.0.0.1:1", weight: 2 }, { address: "127.0.0.1:2", zone: b, max_requests: 9 }]
    balance: least_busy
    slow_start: 30s
    ejection: { error_rate: { percent: 30 } }
    health_check: { interval: 5s }
    host: models.test
    timeouts: { connect: 1s, read: 2m }
chain:
  - request_id: {}
routes:
  - name: chat
    match: { path: { prefix: /v1 }, methods: [POST, PUT], models: ["gpt-*"], headers: { x-a: "b*" } }
    chain: [{ headers: { request: [{ set: { x-m: "{model}" } }], response: [{ remove: server }] } }]
    sticky: { header: X-User }
    split: [{ upstream: stable, weight: 95 }, { upstream: canary, weight: 5, model: new }]
  - { name: timed, match: { path: { exact: /t }, countries: [DE, FR] }, split: [{ upstream: stable }], fallback: [{ upstream: canary }], attempts: 3, deadline: 90s, retry: { statuses: [], first_token: 2s } }
  - { name: paid, match: { path: { exact: /p } }, split: [{ upstream: stable }], attempts: 1, on_disconnect: { drain: { time: 9s } } }
  - { name: copied, match: { path: { exact: /c } }, split: [{ upstream: stable }], attempts: 1, shadow: { upstream: canary, percent: 7, model: new } }
  - { name: twice, match: { path: { exact: /h } }, split: [{ upstream: stable }], hedge: { after: p95 }, retry: { statuses: [] } }
  - { name: all, split: [{ upstream: stable }], attempts: 1 }
"#;
    let rest = format!("geoip: {{ file: {COUNTRIES} }}{rest}");
    std::fs::write(&file, config(transport, "zone: a", &rest)).unwrap();
    let said = output(command(&[
        "check",
        "--explain",
        "-c",
        file.to_str().unwrap(),
    ]))
    .await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let wanted = "paths: several slashes are one; %2F and %5C are parts of a segment where as slashes they match the same route
route `chat`
  matches path /v1 and below, method POST or PUT, header x-a like b*, model like gpt-*
  plugin 1: request_id, runs at: tag
  plugin 2: headers (of this route), runs at: request, body
  body: read whole before it is sent
  95 % to upstream `stable`
  5 % to upstream `canary` as model new
  always the same for the same header x-user
  attempts: 2
  another after: a failed connection, status 429 or 500 or 502 or 503 or 504
route `timed`
  matches path /t, country DE or FR
  plugin 1: request_id, runs at: tag
  body: kept for another attempt
  100 % to upstream `stable`
  then to upstream `canary`
  attempts: 3
  another after: a failed connection, no first token in 2s
  deadline: an answer begins within 90s
route `paid`
  matches path /p
  plugin 1: request_id, runs at: tag
  body: kept since its client may leave
  100 % to upstream `stable`
  attempts: 1
  clients that leave: the answer is read on for 9s and 16MiB at most, 1000 at a time
route `copied`
  matches path /c
  plugin 1: request_id, runs at: tag
  body: read whole before it is sent
  100 % to upstream `stable`
  7 % also to upstream `canary` as model new, whose answer is thrown away
  attempts: 1
route `twice`
  matches path /h
  plugin 1: request_id, runs at: tag
  body: kept for another attempt
  100 % to upstream `stable`
  attempts: 2
  another after: a failed connection
  a second one beside the first: after p95 of the recent times to first token, for at most 10 % of the requests
route `all`
  matches every request
  plugin 1: request_id, runs at: tag
  body: streams through
  100 % to upstream `stable`
  attempts: 1
requests that no route matches
  plugin 1: request_id, runs at: tag
  answered with 404
upstream `canary`
  speaks HTTP/2 or HTTP/1.1 over TLS, certificate checked and its name not, asked for as a.test
  balance: hash by header x-session
  ejection: off
  100 % to 127.0.0.1:3
  retry budget: 20 %
  timeouts: connect 5s, read 10m, write 1m, idle 1m
upstream `stable`
  speaks HTTP/1.1 in cleartext
  balance: least_busy, slow start in 30s
  ejection: after 5 failures or 30 % of 20 requests in 30s, for 10s to 5m, at most 50 % of them
  health check: GET /health every 5s, within 2s
  100 % to 127.0.0.1:1
  100 % to 127.0.0.1:2 of what the own zone cannot take, at most 9 at a time
  host: models.test
  retry budget: 20 %
  timeouts: connect 1s, read 2m, write 1m, idle 1m
";
    let explained = said.out.rsplit_once("penstock.yaml: good").unwrap().0;
    let explained = explained.rsplit_once('\n').unwrap().0;
    assert_eq!(format!("{explained}\n"), wanted);
}

async fn every_mistake_is_told_with_its_place(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let rest = "upstreams:\n  a: { endpoints: [] }\nroutes:\n  - name: all\n    split: [{ upstream: nobody }]\n    atempts: 3\n";
    let text = config(transport, "workers: 0", rest);
    let said = check(folder.path(), &text).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    for mistake in ["workers: 0", "endpoints", "nobody", "atempts"] {
        let (at, line) = text
            .lines()
            .enumerate()
            .find(|(_, line)| line.contains(mistake))
            .unwrap();
        let place = format!("penstock.yaml:{}:", at + 1);
        assert!(
            said.err.contains(&place),
            "{line:?} is not named: {}",
            said.err
        );
    }
}

async fn what_cannot_be_built_is_told(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let rest = "upstreams:\n  a: { endpoints: [\"no-such-host.invalid:80\"] }\n  b: { endpoints: [\"127.0.0.1:1\"], tls: { ca: /nowhere/ca.pem } }\nroutes:\n  - { name: all, split: [{ upstream: a }, { upstream: b }] }\n";
    let listener = crate::reload::tls_listener(Path::new("/nowhere"));
    let said = check(folder.path(), &config(transport, &listener, rest)).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    for cause in [
        "no-such-host.invalid",
        "/nowhere/ca.pem",
        "/nowhere/cert.pem",
    ] {
        assert!(said.err.contains(cause), "{cause} is missing: {}", said.err);
    }
    let nothing = output(command(&["check", "-c", "/nowhere/penstock.yaml"])).await;
    assert_eq!(nothing.code, Some(1));
    assert!(
        nothing.err.contains("/nowhere/penstock.yaml"),
        "{}",
        nothing.err
    );
}

async fn the_schema_is_the_one_in_the_repository(_: Transport) {
    for (arguments, file) in [
        (&["schema"][..], "schema.json"),
        (&["schema", "--keys"], "keys.schema.json"),
    ] {
        let said = output(command(arguments)).await;
        assert_eq!(said.code, Some(0));
        let printed: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let stored = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../config")
            .join(file);
        let stored: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(stored).unwrap()).unwrap();
        assert_eq!(printed, stored, "config/{file} is out of date");
    }
}

/// What `penstock hash-key` makes of this on its standard input.
async fn hash_key(arguments: &[&str], input: &str) -> Said {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.as_bytes()).unwrap();
    file.rewind().unwrap();
    let mut command = command(&[&["hash-key"], arguments].concat());
    command.stdin(file);
    output(command).await
}

async fn a_new_key_is_made_and_its_hash_is_that_of_standard_input(_: Transport) {
    let said = hash_key(&["--new"], "").await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let value = |name: &str| {
        let mut lines = said.out.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", said.out))
            .to_owned()
    };
    let (key, hash) = (value("key"), value("hash"));
    assert!(key.starts_with("psk_") && key.len() == 47, "{key}");
    let again = hash_key(&[], &format!("{key}\n")).await;
    assert_eq!((again.code, again.out.trim_end()), (Some(0), hash.as_str()));
    let entry = format!("- {{ hash: {hash}, consumer: a }}");
    assert!(penstock_config::keys::parse(&entry).is_ok(), "{entry}");
}

async fn a_key_that_can_be_guessed_is_refused(_: Transport) {
    let short = hash_key(&[], "hunter2\n").await;
    assert_eq!((short.code, short.out.as_str()), (Some(1), ""));
    assert!(short.err.contains("can be guessed"), "{}", short.err);
    assert!(!short.err.contains("hunter2"), "{}", short.err);
    let told = hash_key(&["--allow-short"], "hunter2\n").await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let argument = hash_key(&["psk_0123456789abcdef"], "").await;
    assert_eq!(
        argument.code,
        Some(2),
        "a key is never taken from the command line"
    );
}

async fn the_simulator_runs_alone(_: Transport) {
    let mut process = Process::start(command(&["simulate", "--listen", "127.0.0.1:0"]));
    let line = process.line("simulator listening").await;
    let address = line
        .rsplit("http://")
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let mut client = Client::connect(address, Http::One).await;
    assert_eq!(client.answer(get("/v1/models")).await.status, 200);
    process.signal(rustix::process::Signal::TERM);
    drop(client);
    assert_eq!(process.exit_code().await, Some(0));
}

async fn a_port_in_use_ends_the_start(transport: Transport) {
    let upstream = simulator(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.yaml");
    let listen = format!("listen: [{{ address: \"{address}\" }}]");
    for server in [listen, format!("admin: \"{address}\"")] {
        std::fs::write(
            &file,
            config(transport, &server, &all_to(upstream.address())),
        )
        .unwrap();
        let said = output(command(&["-c", file.to_str().unwrap()])).await;
        assert_eq!(said.code, Some(1), "{server}: {}", said.err);
        let wanted = format!("cannot listen on {address}: ");
        assert!(said.err.contains(&wanted), "{server}: {}", said.err);
    }
}

async fn a_wrong_file_ends_the_start(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.yaml");
    let text = config(transport, "", &all_to(([127, 0, 0, 1], 1).into()));
    std::fs::write(&file, text.replace("split", "spilt")).unwrap();
    let said = output(command(&["run", "-c", file.to_str().unwrap()])).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("spilt"), "{}", said.err);
    let said = output(command(&["--upgrade"])).await;
    assert_eq!(said.code, Some(2), "--upgrade needs a file: {}", said.err);
}
