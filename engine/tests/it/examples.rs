//! Every example of a configuration serves, with only its addresses and files replaced.

use std::path::Path;

use penstock::transport::Transport;
use penstock_config::Config;

use crate::harness::certificates::Authority;
use crate::harness::client::{Answer, Client, Http, chat, get, post, with};
use crate::harness::{COUNTRIES, Proxy, simulator};
use crate::jwt::Key;

on_both!(
    every_example_serves,
    models_go_where_the_example_says,
    testers_get_the_canary,
    requests_get_an_identifier,
    upstreams_get_their_credentials,
    headers_are_filled_in,
    keys_open_what_the_example_says,
    tokens_open_what_the_example_says,
);

/// An example's file, by name.
fn example(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples");
    std::fs::read_to_string(Path::new(folder).join(name)).unwrap()
}

fn names() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples");
    let files = std::fs::read_dir(folder).unwrap();
    let name =
        |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name().into_string().unwrap();
    files
        .map(name)
        .filter(|name| name.ends_with(".yaml"))
        .collect()
}

/// The example as it can run here: on a free port, and with simulators, named like their
/// upstream, in the place of its servers.
struct Here {
    proxy: Proxy,
    authority: Option<Authority>,
    /// Signs for every issuer of tokens.
    issuer: Key,
    two: bool,
    _simulators: Vec<penstock_simulator::Simulator>,
    _folder: tempfile::TempDir,
}

impl Here {
    async fn start(transport: Transport, name: &str) -> Here {
        let written = penstock_config::parse(&example(name));
        let config = written.unwrap_or_else(|report| panic!("{name}: {report:?}"));
        let folder = tempfile::tempdir().unwrap();
        let tls = config.server.listen[0].tls.is_some();
        let authority = tls.then(Authority::new);
        if let Some(authority) = &authority {
            authority.issue("penstock.test").write(folder.path());
        }
        let mut value: serde_json::Value = serde_json::to_value(&config).unwrap();
        let server = &mut value["server"];
        server["transport"] = transport.as_str().into();
        server["admin"] = "off".into();
        server["workers"] = 2.into();
        for listener in server["listen"].as_array_mut().unwrap() {
            listener["address"] = "127.0.0.1:0".into();
            let tls = listener
                .get_mut("tls")
                .and_then(serde_json::Value::as_object_mut);
            if let (Some(tls), Some(authority)) = (tls, &authority) {
                // The names of the others are those of a site.
                tls.remove("certificates");
                if let Some(clients) = tls.get_mut("client_certificates") {
                    clients["ca"] = authority.write(folder.path()).to_str().unwrap().into();
                }
                listener["tls"]["certificate"] = path(folder.path(), "cert.pem");
                listener["tls"]["private_key"] =
                    serde_json::json!({ "file": path(folder.path(), "key.pem") });
            }
        }
        let secret = folder.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        give_key(&mut value);
        let issuer = Key::new("1");
        if value["geoip"].is_object() {
            value["geoip"]["file"] = COUNTRIES.into();
        }
        let key_set = folder.path().join("jwks.json");
        std::fs::write(&key_set, format!(r#"{{"keys":[{}]}}"#, issuer.jwk())).unwrap();
        give_issuer(&mut value, &key_set);
        let mut simulators = Vec::new();
        for (name, upstream) in value["upstreams"].as_object_mut().unwrap() {
            // One more where there are several, which a route may demand.
            let count = upstream["endpoints"].as_array().unwrap().len().min(2);
            let alike: Vec<_> = (0..count).map(|_| simulator(&[("name", name)])).collect();
            let addresses: Vec<_> = alike.iter().map(|one| one.address().to_string()).collect();
            upstream["endpoints"] = addresses.into();
            // The simulator has no TLS; the module on TLS tests that.
            upstream.as_object_mut().unwrap().remove("tls");
            simulators.extend(alike);
            let credentials = upstream.get_mut("credentials");
            let credentials = credentials.and_then(serde_json::Value::as_array_mut);
            for credential in credentials.into_iter().flatten() {
                give_secret(credential, &secret);
            }
        }
        let proxy = Proxy::start(&serde_json::to_string(&value).unwrap()).await;
        Here {
            proxy,
            authority,
            issuer,
            two: config.server.listen[0].http2 == Some(true),
            _simulators: simulators,
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        let address = self.proxy.address();
        match &self.authority {
            Some(authority) => {
                let stream = authority.connect(address, "penstock.test", &["h2"]).await;
                Client::over(stream.unwrap(), Http::Two).await.unwrap()
            }
            None if self.two => Client::connect(address, Http::Two).await,
            None => Client::connect(address, Http::One).await,
        }
    }

    async fn answer(&self, request: http::Request<crate::harness::client::Body>) -> Answer {
        let request = with(request, "authorization", &format!("Bearer {KEY}"));
        self.client().await.answer(request).await
    }
}

/// What stands in for every secret.
const SECRET: &str = "sk-example-0123456789";

/// Points each reference to a secret, however deep, to this file.
fn give_secret(value: &mut serde_json::Value, file: &Path) {
    let Some(entries) = value.as_object_mut() else {
        return;
    };
    if entries.len() == 1 && (entries.contains_key("env") || entries.contains_key("file")) {
        *value = serde_json::json!({ "file": file });
        return;
    }
    for value in entries.values_mut() {
        give_secret(value, file);
    }
}

/// A key that opens whatever an example guards.
const KEY: &str = "psk_dGhpcyBpcyBub3QgYSBrZXkgb2YgYW55Ym9keQ";

/// Puts the key in the place of those that the example knows, with every role of the
/// example.
fn give_key(config: &mut serde_json::Value) {
    let Some(chain) = config["chain"].as_array_mut() else {
        return;
    };
    let roles = chain
        .iter()
        .filter_map(|plugin| plugin["authorize"]["roles"].as_object());
    let roles: Vec<String> = roles.flat_map(|roles| roles.keys().cloned()).collect();
    let hash = penstock_plugins::authenticate::hash(KEY.as_bytes()).to_string();
    for plugin in chain {
        if let Some(authenticate) = plugin.get_mut("authenticate") {
            let key = serde_json::json!({ "hash": hash, "consumer": "tests", "roles": roles });
            authenticate["keys"] = serde_json::json!({ "inline": [key] });
        }
    }
}

/// Puts the key set in the place of those of the example's issuers.
fn give_issuer(config: &mut serde_json::Value, key_set: &Path) {
    let plugins = config["chain"].as_array_mut().into_iter().flatten();
    for plugin in plugins {
        let issuers = plugin.pointer_mut("/authenticate/jwt");
        let issuers = issuers.and_then(serde_json::Value::as_array_mut);
        for issuer in issuers.into_iter().flatten() {
            issuer["keys"] = serde_json::json!({ "jwks": key_set });
            issuer["algorithms"] = serde_json::json!(["ES256"]);
        }
    }
}

fn path(folder: &Path, file: &str) -> serde_json::Value {
    folder.join(file).to_str().unwrap().into()
}

async fn every_example_serves(transport: Transport) {
    let names = names();
    assert!(names.len() >= 7, "the examples are not where they were");
    for name in names {
        let here = Here::start(transport, &name).await;
        let answer = here.answer(get("/v1/models")).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert!(
            !answer.upstream().is_empty(),
            "{name}: no upstream answered"
        );
        if name != "models.yaml" {
            assert_eq!(here.answer(chat()).await.status, 200, "{name}");
        }
        let first = example(&name).lines().next().unwrap().to_owned();
        assert!(
            first.contains("schema.json"),
            "{name}: editors find no schema"
        );
        let _: Config = penstock_config::parse(&example(&name)).unwrap();
    }
}

async fn models_go_where_the_example_says(transport: Transport) {
    let here = Here::start(transport, "models.yaml").await;
    for (model, upstream, sent) in [
        ("llama-3", "llama", "llama-3"),
        ("meta-llama/Llama-3", "llama", "meta-llama/Llama-3"),
        ("chat-small", "qwen", "Qwen/Qwen2.5-7B-Instruct"),
    ] {
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#);
        let answer = here.answer(post("/v1/chat/completions", body)).await;
        assert_eq!(answer.upstream(), upstream, "{model}: {answer:?}");
        let answered: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answered["model"], sent);
    }
    let answer = here
        .answer(post("/v1/chat/completions", r#"{"model":"other"}"#))
        .await;
    assert_eq!(answer.status, 404);
}

async fn testers_get_the_canary(transport: Transport) {
    let here = Here::start(transport, "split.yaml").await;
    for _ in 0..20 {
        let answer = here.answer(with(get("/plain"), "x-canary", "yes")).await;
        assert_eq!(answer.upstream(), "canary");
    }
}

async fn requests_get_an_identifier(transport: Transport) {
    let here = Here::start(transport, "request-id.yaml").await;
    let answer = here.answer(chat()).await;
    assert_eq!(answer.status, 200);
    let recorded = here._simulators[0].recorded();
    assert!(
        recorded[0].headers.contains_key("x-request-id"),
        "{recorded:?}"
    );
}

async fn upstreams_get_their_credentials(transport: Transport) {
    let here = Here::start(transport, "credentials.yaml").await;
    for (path, upstream, header, value) in [
        ("/v1/messages", "anthropic", "x-api-key", SECRET),
        ("/openai/deployments", "azure", "api-key", SECRET),
        ("/v1beta/models", "gemini", "x-goog-api-key", SECRET),
        ("/internal", "internal", "x-internal-token", SECRET),
        (
            "/v1/models",
            "openai",
            "authorization",
            "Bearer sk-example-0123456789",
        ),
    ] {
        here.answer(get(path)).await;
        let recorded = here._simulators.iter().flat_map(|s| s.recorded());
        let sent: Vec<_> = recorded.filter(|r| r.path_and_query == path).collect();
        let [sent] = sent.as_slice() else {
            panic!("{path}: {sent:?}")
        };
        assert_eq!(sent.headers[header], value, "{upstream}");
        let clients = format!("Bearer {KEY}");
        let clients = sent.headers.values().any(|value| *value == *clients);
        assert!(!clients, "{upstream}: {:?}", sent.headers);
    }
}

async fn headers_are_filled_in(transport: Transport) {
    let here = Here::start(transport, "headers.yaml").await;
    let answer = here.answer(with(chat(), "x-tenant", "forged")).await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let recorded = here._simulators[0].recorded();
    let headers = &recorded[0].headers;
    assert_eq!(headers["x-model"], "simulator-small");
    let trace = format!("chat/{}", headers["x-request-id"].to_str().unwrap());
    assert_eq!(headers["x-trace"], trace.as_str());
    assert!(!headers.contains_key("x-tenant"), "nobody is known here");
}

async fn keys_open_what_the_example_says(transport: Transport) {
    let here = Here::start(transport, "keys.yaml").await;
    let anonymous = here.client().await.answer(chat()).await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(
        here.answer(chat()).await.status,
        200,
        "the role `admin` opens all"
    );
    let answered = here._simulators[0].recorded();
    assert!(
        !answered[0].headers.contains_key("authorization"),
        "{answered:?}"
    );
}

async fn tokens_open_what_the_example_says(transport: Transport) {
    const LOGIN: &str = r#""iss":"https://login.example.com/","aud":"https://models.example.com","sub":"alice","email_verified":true"#;
    const CLAIMS: &str =
        r#""org_id":"acme","plan":"team","realm_access":{"roles":["chat"]},"models":["gpt-4o*"]"#;
    let here = Here::start(transport, "jwt.yaml").await;
    let status = async |claims: &str, path: &str, model: &str| {
        let token = here.issuer.signed("1", claims);
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}],"prompt":"Hi"}}"#
        );
        let request = post(path, body);
        let request = with(request, "authorization", &format!("Bearer {token}"));
        here.client().await.answer(request).await.status.as_u16()
    };
    let alice = format!("{LOGIN},{CLAIMS}");
    let batch = r#""iss":"batch","aud":"penstock","sub":"nightly","scope":"batch other""#;
    let (chat, other) = ("/v1/chat/completions", "/v1/completions");
    for (claims, path, model, wanted) in [
        (alice.as_str(), chat, "gpt-4o-mini", 200),
        (alice.as_str(), chat, "other", 403),
        (alice.as_str(), other, "gpt-4o-mini", 403),
        (&*alice.replace("true", "false"), chat, "gpt-4o-mini", 401),
        (
            &*alice.replace("https://models.", "https://mail."),
            chat,
            "gpt-4o-mini",
            401,
        ),
        (&*alice.replace("org_id", "org"), chat, "gpt-4o-mini", 401),
        (
            &*alice.replace("models\":[", "model\":["),
            chat,
            "gpt-4o-mini",
            403,
        ),
        (batch, other, "any", 200),
        (batch, chat, "any", 403),
        (&*batch.replace("penstock", "others"), other, "any", 401),
    ] {
        let status = status(claims, path, model).await;
        assert_eq!(status, wanted, "{claims} {path} {model}");
    }
    let requests = here._simulators[0].recorded();
    assert!(
        requests
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
}
