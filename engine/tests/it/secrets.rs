//! No log line, metric, admin page, error or header holds a credential or a prompt.
//!
//! Everything is on, every kind of request is made, and whatever was emitted is searched
//! for every secret, also as base64, percent-encoded and in hexadecimal.

mod markers;
mod requests;
mod site;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::client::{BOTH, Body, Client, Http, get, whole};
use crate::harness::process::{Process, command, output};
use crate::harness::raw::Raw;
use crate::harness::replace;
use markers::{Emitted, Marker};
use requests::{CHAT, bearer, chat, requests};
use site::{FROM_ENV, KEY, MISPLACED, PROMPT, STRANGER, Site, VARIABLE, token};

on_both!(
    nothing_secret_is_told_in_lines_of_json,
    nothing_secret_is_told_in_lines_of_text,
);

#[test]
fn a_planted_secret_is_found() {
    let marker = || [Marker::new("planted", PROMPT)];
    let encode = |before: &str| STANDARD.encode(format!("{before}{PROMPT} and more"));
    let bytes = PROMPT.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    for told in [
        format!("a line with {PROMPT} in it"),
        format!("cut: {}", &PROMPT[..20]),
        format!("cut: {}", &PROMPT[20..]),
        encode(""),
        encode("a"),
        encode("Basic "),
        encode("key:"),
        hex.to_uppercase(),
        hex,
        percent,
        format!("{bytes:?}"),
    ] {
        let mut emitted = Emitted::default();
        emitted.add("a log", "nothing");
        assert!(emitted.leaks(&marker()).is_empty());
        emitted.add("a log", told.clone());
        assert_eq!(emitted.leaks(&marker()).len(), 1, "{told} is overlooked");
    }
}

async fn nothing_secret_is_told_in_lines_of_json(transport: Transport) {
    nothing_secret_is_told(transport, "json").await;
}

async fn nothing_secret_is_told_in_lines_of_text(transport: Transport) {
    nothing_secret_is_told(transport, "text").await;
}

async fn nothing_secret_is_told(transport: Transport, format: &str) {
    let site = Site::new().await;
    let text = site.text(transport, format);
    let mut process = site.start(&text).await;
    let good = token("idp", 600);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let tokens = [good, forged, token("idp", -600), token("other", 600)];
    let mut told = Told::default();
    for http in BOTH {
        for request in requests(&tokens) {
            told.ask(&site, http, request).await;
        }
    }
    told.over_tls(&site).await;
    told.raw(&site).await;
    told.pages(&site).await;
    told.wrong_files(&site, &mut process, &text).await;
    told.commands(&site, &text).await;
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code().await, Some(0));
    let lines = process.lines();
    told.everywhere.add("the log", lines.join("\n"));

    told.is_of_every_kind();
    let count = lines
        .iter()
        .filter(|line| line.contains("chat/completions"));
    assert!(count.count() > 50, "the access log is on: {lines:#?}");
    let all = [site.of_clients(&tokens), site.of_ours(), site.of_prompts()];
    let all: Vec<Marker> = all.into_iter().flatten().collect();
    none(&told.everywhere, &all);
    none(&told.bodies_of_upstreams, &site.of_ours());
    let mut upstreams = Emitted::default();
    upstreams.add("an upstream", site.marked.received());
    for request in site.simulator.recorded() {
        upstreams.add("the simulator", format!("{request:?}"));
    }
    none(&upstreams, &site.of_clients(&tokens));
    let sent = String::from_utf8_lossy(&site.marked.received()).into_owned();
    assert!(sent.contains("x-user: search/"), "the chain is on: {sent}");
}

fn none(emitted: &Emitted, markers: &[Marker]) {
    let leaks = emitted.leaks(markers);
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}

/// What was told, and how.
#[derive(Default)]
struct Told {
    /// Where nothing secret may be.
    everywhere: Emitted,
    /// Where answers of models may be.
    bodies_of_upstreams: Emitted,
    statuses: std::collections::BTreeSet<u16>,
    hits: usize,
    broken: usize,
}

impl Told {
    async fn ask(&mut self, site: &Site, http: Http, request: Request<Body>) {
        let client = Client::connect(site.clear, http).await;
        self.ask_over(client, request).await;
    }

    async fn ask_over(&mut self, mut client: Client, request: Request<Body>) {
        let what = format!("{} {:?}", request.method(), request.headers());
        // Nonsense is answered by closing.
        let Ok(answer) = client.try_answer(request).await else {
            return;
        };
        self.statuses.insert(answer.status.as_u16());
        let error = b"\"upstream_failed\"";
        let is_told = answer.body.windows(error.len()).any(|part| part == error);
        self.broken += usize::from(answer.status == 200 && is_told);
        self.hits += usize::from(answer.header("x-cache") == "hit");
        let from_upstream = answer.headers.contains_key("x-served-for")
            && (answer.status == 200 || answer.headers.contains_key("x-upstream-name"));
        let head = format!("{:?}", answer.headers);
        self.everywhere.add(format!("the head for {what}"), head);
        let bodies = match from_upstream {
            true => &mut self.bodies_of_upstreams,
            false => &mut self.everywhere,
        };
        bodies.add(format!("the body for {what}"), answer.body.to_vec());
    }

    async fn over_tls(&mut self, site: &Site) {
        for (protocol, http) in [("h2", Http::Two), ("http/1.1", Http::One)] {
            for key in [KEY, STRANGER] {
                let name = "penstock.test";
                let stream = site.authority.connect(site.tls, name, &[protocol]).await;
                let client = Client::over(stream.unwrap(), http).await.unwrap();
                self.ask_over(client, bearer(chat("simulator-small"), key))
                    .await;
            }
        }
    }

    /// Clients that send nonsense, and clients that leave.
    async fn raw(&mut self, site: &Site) {
        let head = format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n");
        let body = format!(r#"{{"model":"simulator-small","stream":true,"x":"{PROMPT}"}}"#);
        let long = format!("{KEY}{STRANGER}").repeat(400);
        for request in [
            format!("{head}no header {STRANGER}\r\n\r\n"),
            format!(
                "GET {CHAT} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {STRANGER}\r\nx-long: {long}\r\n\r\n"
            ),
            format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\n{PROMPT}"),
            format!("{head}transfer-encoding: chunked\r\n\r\n{PROMPT}\r\n\r\n"),
            format!(
                "{head}connection: close\r\nx-simulate: 500\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            format!("{PROMPT} {KEY}\r\n\r\n"),
            format!("GET /{CHAT} HTTP/1.0\r\nauthorization: Bearer {STRANGER}\r\n\r\n"),
        ] {
            let mut raw = Raw::connect(site.clear).await;
            raw.send(&request).await;
            let (answer, _) = raw.read_to_end().await;
            self.everywhere
                .add(format!("the answer to {request:.80}"), answer);
        }
        for rest in [
            format!("content-length: 5000\r\n\r\n{PROMPT}"),
            format!(
                "content-length: {}\r\nx-simulate-pace: 20ms\r\n\r\n{body}",
                body.len()
            ),
        ] {
            let mut raw = Raw::connect(site.clear).await;
            raw.send(format!("{head}{rest}")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn pages(&mut self, site: &Site) {
        for path in [
            "/metrics",
            "/config",
            "/config.json",
            "/generations",
            "/",
            "/healthz",
        ] {
            let mut client = Client::connect(site.admin, Http::One).await;
            let answer = client.answer(get(path)).await;
            assert_eq!(answer.status, 200, "{path}");
            self.everywhere.add(path, answer.body.to_vec());
        }
    }

    /// Reloads of files with secrets where they do not belong.
    async fn wrong_files(&mut self, site: &Site, process: &mut Process, right: &str) {
        let keys = site.folder.path().join("keys.yaml");
        let good = std::fs::read_to_string(&keys).unwrap();
        for wrong in wrong_configurations(right) {
            replace(&site.file(), &wrong);
            self.refused(site, &wrong).await;
        }
        replace(&site.file(), right);
        for wrong in [
            format!("- hash: {MISPLACED}\n  consumer: a\n"),
            format!("- {MISPLACED}\n"),
            format!("{MISPLACED}: {{ consumer: a }}\n"),
            format!("- hash: \"{MISPLACED}\n  consumer: a\n"),
            format!("{good}- {{ hash: {MISPLACED}, consumer: b, limits: {{ other: 1 }} }}\n"),
        ] {
            replace(&keys, &wrong);
            self.refused(site, &wrong).await;
        }
        replace(&keys, &good);
        let private_key = site.folder.path().join("key.pem");
        let pem = std::fs::read_to_string(&private_key).unwrap();
        replace(&private_key, &format!("{pem}{MISPLACED}\n{}", &pem[..80]));
        let answer = self.reload(site).await;
        replace(&private_key, &pem);
        self.everywhere.add("a reload with a broken key", answer.1);
        let mut broken_keys = good.clone();
        broken_keys.push_str(&format!("# {MISPLACED}\n"));
        replace(&keys, &broken_keys);
        process.signal(Signal::HUP);
        process.line("configuration reloaded").await;
        self.pages(site).await;
    }

    async fn reload(&mut self, site: &Site) -> (u16, Vec<u8>) {
        let mut client = Client::connect(site.admin, Http::One).await;
        let request = Request::post("/reload").body(whole("")).unwrap();
        let answer = client.answer(request).await;
        (answer.status.as_u16(), answer.body.to_vec())
    }

    async fn refused(&mut self, site: &Site, wrong: &str) {
        let (status, answer) = self.reload(site).await;
        assert_eq!(status, 409, "{wrong}");
        self.everywhere.add("a refused reload", answer);
        self.pages(site).await;
        self.command(site, &["check"], Some(1)).await;
    }

    async fn commands(&mut self, site: &Site, right: &str) {
        for arguments in COMMANDS {
            self.command(site, arguments, None).await;
        }
        let changed = right.replace("requests: 100000", "requests: 100001");
        replace(&site.file(), &changed);
        for arguments in COMMANDS {
            self.command(site, arguments, None).await;
        }
    }

    async fn command(&mut self, site: &Site, arguments: &[&str], at_least: Option<i32>) {
        let file = site.file();
        let arguments = [arguments, &["--config", file.to_str().unwrap()]].concat();
        let mut command = command(&arguments);
        command.env(VARIABLE, FROM_ENV);
        let said = output(command).await;
        assert!(
            said.code >= at_least,
            "{arguments:?}: {}{}",
            said.out,
            said.err
        );
        let what = arguments.join(" ");
        self.everywhere.add(format!("{what}, out"), said.out);
        self.everywhere.add(format!("{what}, err"), said.err);
    }

    /// What was asked was answered in every way that there is.
    fn is_of_every_kind(&self) {
        for status in [200, 400, 401, 403, 404, 413, 429, 500, 502, 504] {
            let seen = &self.statuses;
            assert!(seen.contains(&status), "no {status} among {seen:?}");
        }
        assert!(self.hits > 0, "the cache answers");
        assert!(self.broken > 0, "streams break off");
    }
}

const COMMANDS: [&[&str]; 3] = [&["check"], &["check", "--explain"], &["diff"]];

/// The configuration with a key where a reference, a hash or a name belongs.
fn wrong_configurations(right: &str) -> Vec<String> {
    let by = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        right.replacen(from, to, 1)
    };
    let bearer = format!("bearer: {{ env: {VARIABLE} }}");
    vec![
        by("keys: { file:", &format!("keys: {{ {MISPLACED}: a, file:")),
        by(
            "keys: { file:",
            &format!("keys: {{ inline: [{MISPLACED}], file:"),
        ),
        by(
            "keys: { file:",
            &format!("keys: {{ inline: [{{ hash: {MISPLACED}, consumer: a }}], file:"),
        ),
        by(
            "keys: { file:",
            &format!("keys: {{ inline: [{{ {MISPLACED}: {{ consumer: a }} }}], file:"),
        ),
        by(
            "keys: { file:",
            &format!("keys: {MISPLACED}\n    x: {{ file:"),
        ),
        by(
            "keys: { secret: {",
            &format!("keys: {{ secret: {MISPLACED}, x: {{"),
        ),
        by(&bearer, &format!("bearer: {MISPLACED}")),
        by(&bearer, &format!("bearer: \"{MISPLACED}")),
        by(&bearer, &format!("bearer: {{ value: {MISPLACED} }}")),
        by(&bearer, &format!("{MISPLACED}: {{}}")),
        by(&bearer, MISPLACED),
        by(
            &bearer,
            &format!("header: {{ name: x-token, value: {MISPLACED} }}"),
        ),
        by(
            "private_key: {",
            &format!("private_key: {MISPLACED}, x: {{"),
        ),
    ]
}
