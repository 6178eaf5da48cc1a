//! Requests with all sorts of credentials, without a socket.

use std::path::PathBuf;

use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, StatusCode};

use super::*;
use crate::build::Given;
use crate::chain::{Chain, ChainBuilder};
use crate::edit::Edit;
use crate::exchange::Arrival;
use crate::facts::Facts;
use crate::refusal::{Kind, Refusal};
use crate::routes::RouteTable;
use crate::shared::Shared;

const KEY: &str = "psk_dGhpcyBpcyBub3QgYSBrZXkgb2YgYW55Ym9keQ";
const OTHER: &str = "psk_bm9yIGlzIHRoaXMgb25lIGEga2V5IG9mIGFueQ";

/// A route table whose chain is this plugin with these settings. `HASH` and `OTHER` in
/// them, and in the file `keys.yaml`, stand for the hashes of the two keys.
fn table(settings: &str, file: &str) -> Result<RouteTable, String> {
    let hashed = |text: &str| {
        text.replace("OTHER", &hash(OTHER.as_bytes()).to_string())
            .replace("HASH", &hash(KEY.as_bytes()).to_string())
    };
    let config = format!(
        "upstreams: {{ u: {{ endpoints: [u:1] }} }}
chain: [{{ authenticate: {settings} }}]
routes: [{{ name: chat, split: [{{ upstream: u }}] }}]"
    );
    let config = penstock_config::parse(&hashed(&config)).map_err(|report| report.to_string())?;
    let mut given = Given::default();
    given
        .files
        .insert(PathBuf::from("keys.yaml"), hashed(file).into_bytes());
    RouteTable::new(&config, &Shared::default(), &given)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn with_file(file: &str) -> RouteTable {
    table("{ keys: { file: keys.yaml } }", file).unwrap()
}

fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 1,
        client: None,
        generation: 1,
        at: Duration::from_secs(1_000),
        dialect: crate::Dialect::OpenAi,
    })
}

fn head(headers: &[(HeaderName, &[u8])]) -> request::Parts {
    let mut request = Request::post("/v1/chat/completions").body(()).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request.into_parts().0
}

fn bearer(key: &str) -> request::Parts {
    head(&[(AUTHORIZATION, format!("Bearer {key}").as_bytes())])
}

fn authenticate(table: &RouteTable, head: &request::Parts) -> Result<Exchange, Box<Refusal>> {
    let mut exchange = exchange();
    table.global().authenticate(&mut exchange, head)?;
    Ok(exchange)
}

/// Lets a request with a key through all that comes before the upstream.
fn send(table: &RouteTable, key: &str, body: &'static str) -> Verdict {
    let head = bearer(key);
    let mut exchange = authenticate(table, &head)?;
    let route = table.get(0).unwrap();
    exchange.enter(route);
    let chain: &Chain = route.chain();
    chain.request(&mut exchange, &head)?;
    if chain.needs_body() {
        exchange.learn(Facts::of(body.as_bytes()).unwrap_or_default());
        chain.body(&mut exchange, &head, &Bytes::from_static(body.as_bytes()))?;
    }
    Ok(())
}

#[test]
fn a_key_says_who_asks_and_goes_no_further() {
    let table = with_file("- { hash: HASH, consumer: search, tenant: acme, roles: [chat] }");
    for name in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
        let head = match name {
            "authorization" => bearer(KEY),
            name => head(&[(HeaderName::from_static(name), KEY.as_bytes())]),
        };
        let exchange = authenticate(&table, &head).unwrap();
        let identity = exchange.identity().unwrap();
        assert_eq!(&*identity.consumer, "search");
        assert_eq!(&*identity.tenant, "acme");
        assert!(identity.key.starts_with("search-") && identity.has_role("chat"));
        let stripped = exchange.request.stripped();
        assert!(
            stripped.contains(&HeaderName::from_static(name)),
            "{name} travels upstream"
        );
        assert!(stripped.contains(&PROXY_AUTHORIZATION));
        assert!(
            exchange.request.iter().next().is_none(),
            "nothing is set unasked"
        );
        assert!(!format!("{exchange:?}").contains(KEY));
    }
}

#[test]
fn refusals_are_401_with_a_challenge_and_without_the_key() {
    let table = with_file(
        "- { hash: HASH, consumer: a, expires: 1970-01-01T00:16:40Z }
- { hash: OTHER, consumer: b, not_before: 1970-01-01T00:16:41Z }",
    );
    let megabyte = "k".repeat(1 << 20);
    let invalid = Some("invalid_request");
    let wrong = Some("invalid_token");
    let x_api_key = HeaderName::from_static("x-api-key");
    for (head, code, error) in [
        (head(&[]), "missing_api_key", None),
        (
            bearer("psk_of-someone-else-0123456789"),
            "invalid_api_key",
            wrong,
        ),
        (bearer(KEY), "expired", wrong),
        (bearer(OTHER), "not_yet_valid", wrong),
        (bearer(&megabyte), "invalid_api_key", wrong),
        (
            head(&[(x_api_key.clone(), b"\xff\xfe")]),
            "invalid_api_key",
            invalid,
        ),
        (
            head(&[(AUTHORIZATION, b"Basic azE6")]),
            "invalid_api_key",
            invalid,
        ),
        (
            head(&[
                (AUTHORIZATION, format!("Bearer {KEY}").as_bytes()),
                (x_api_key, OTHER.as_bytes()),
            ]),
            "invalid_api_key",
            invalid,
        ),
    ] {
        let refusal = authenticate(&table, &head).unwrap_err();
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        assert_eq!((refusal.kind, refusal.code), (Kind::Authentication, code));
        let challenge = match error {
            Some(error) => format!("Bearer error=\"{error}\""),
            None => "Bearer".to_owned(),
        };
        let challenge = HeaderValue::from_str(&challenge).unwrap();
        assert_eq!(*refusal.headers, [(WWW_AUTHENTICATE, challenge)], "{code}");
        let told = format!("{refusal:?} {refusal}");
        for secret in [KEY, OTHER, "azE6", "someone-else", "kkkk"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[test]
fn nobody_in_particular_may_ask_only_where_that_is_allowed() {
    let keys = "- { hash: HASH, consumer: a }";
    let table = table("{ keys: { file: keys.yaml }, anonymous: allow }", keys).unwrap();
    let exchange = authenticate(&table, &head(&[])).unwrap();
    assert!(exchange.identity().is_none());
    assert!(
        !exchange.request.stripped().is_empty(),
        "or a client could make itself a name"
    );
    assert!(
        authenticate(&table, &bearer(KEY))
            .unwrap()
            .identity()
            .is_some()
    );
    assert!(
        authenticate(&table, &bearer(OTHER)).is_err(),
        "a wrong key is never overlooked"
    );
    assert!(authenticate(&table, &head(&[(AUTHORIZATION, b"")])).is_err());
}

#[test]
fn the_upstream_is_told_who_asks_where_the_operator_wants_it() {
    let keys = "- { hash: HASH, consumer: search, tenant: acme, id: k1, roles: [chat, admin] }";
    let table = table(
        "{ keys: { file: keys.yaml }, identity_headers: true }",
        keys,
    )
    .unwrap();
    let exchange = authenticate(&table, &bearer(KEY)).unwrap();
    let edits: Vec<_> = exchange.request.iter().cloned().collect();
    let set = |name, value| {
        Edit::Set(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    assert_eq!(
        edits,
        [
            set("x-penstock-consumer", "search"),
            set("x-penstock-tenant", "acme"),
            set("x-penstock-key", "k1"),
            set("x-penstock-roles", "chat,admin"),
        ]
    );
    for edit in edits {
        let Edit::Set(name, _) = edit else {
            panic!("{edit:?}")
        };
        assert!(
            exchange.request.stripped().contains(&name),
            "a client may set {name}"
        );
    }
}

#[test]
fn names_that_a_header_cannot_hold_are_left_out() {
    let identity = Identity {
        consumer: "a\r\nx-admin: yes".into(),
        tenant: "Zoë".into(),
        key: " k".into(),
        roles: ["a,admin", "chat", "b\0"].map(Into::into).into(),
        ..Identity::default()
    };
    let mut edits = crate::edit::HeaderEdits::default();
    headers::tell(&identity, &mut edits);
    let roles = HeaderName::from_static("x-penstock-roles");
    let expected = Edit::Set(roles, HeaderValue::from_static("chat"));
    assert_eq!(edits.iter().collect::<Vec<_>>(), [&expected]);
}

#[test]
fn a_key_opens_its_routes_and_models_only() {
    let table = with_file(
        "- { hash: HASH, consumer: a, models: ['gpt-4o*'], routes: ['ch*'] }
- { hash: OTHER, consumer: b, routes: [embeddings] }",
    );
    let refused = |key, body| send(&table, key, body).unwrap_err();
    assert!(send(&table, KEY, r#"{"model":"gpt-4o-mini"}"#).is_ok());
    assert!(
        send(&table, KEY, "").is_ok(),
        "a request without a body asks for no model"
    );
    for body in [
        r#"{"model":"gpt-4"}"#,
        r#"{"messages":[]}"#,
        "[]",
        "model=gpt-4o",
        r#"{"model":"#,
    ] {
        let refusal = refused(KEY, body);
        assert_eq!(refusal.status, StatusCode::FORBIDDEN, "{body}");
        assert_eq!(
            (refusal.kind, refusal.code),
            (Kind::Permission, "model_not_allowed")
        );
        assert!(!refusal.to_string().contains("gpt"), "{refusal}");
    }
    let refusal = refused(OTHER, r#"{"model":"gpt-4"}"#);
    assert_eq!(
        (refusal.kind, refusal.code),
        (Kind::Permission, "route_not_allowed")
    );
    assert_eq!(refusal.status, StatusCode::FORBIDDEN);
}

#[test]
fn bodies_are_waited_for_only_where_a_key_is_for_certain_models() {
    let free = with_file("- { hash: HASH, consumer: a, roles: [x], routes: [chat] }");
    assert!(!free.get(0).unwrap().needs_body());
    let bound =
        with_file("- { hash: HASH, consumer: a, models: [m] }\n- { hash: OTHER, consumer: b }");
    assert!(bound.get(0).unwrap().needs_body());
    assert!(
        send(&bound, OTHER, "[]").is_ok(),
        "the other key is for all models"
    );
}

#[test]
fn what_is_wrong_with_the_keys_is_said_with_its_place() {
    let refused = |settings: &str, file: &str| table(settings, file).err().unwrap();
    let file = "{ keys: { file: keys.yaml } }";
    let error = refused(
        file,
        "- { hash: HASH, consumer: a }\n- { hash: HASH, consumer: b }",
    );
    assert!(
        error.contains("keys.yaml:2:11: this key stands here twice"),
        "{error}"
    );
    let error = refused(file, &format!("- hash: {KEY}\n  consumer: a"));
    assert!(
        error.contains("keys.yaml:1:9: not the hash of a key"),
        "{error}"
    );
    assert!(!error.contains(KEY), "{error}");
    let error = refused("{ keys: { file: elsewhere.yaml } }", "");
    assert!(error.contains("elsewhere.yaml cannot be read"), "{error}");
    let both = "{ keys: { file: keys.yaml, inline: [{ hash: HASH, consumer: b, id: k1 }] } }";
    let error = refused(both, "- { hash: HASH, consumer: a, id: k1 }");
    assert!(
        error.contains("`k1` stands in the file of keys and under `inline`"),
        "{error}"
    );
    let table = table(both, "- { hash: OTHER, consumer: a }").unwrap();
    for key in [KEY, OTHER] {
        assert!(
            authenticate(&table, &bearer(key)).is_ok(),
            "keys of both places work"
        );
    }
    let mut given = Given::default();
    given
        .files
        .insert(PathBuf::from("keys.yaml"), vec![0xff, 0xfe]);
    let config = penstock_config::parse(&format!("chain: [{{ authenticate: {file} }}]")).unwrap();
    let chain = ChainBuilder::default().plugins(&config.chain, &Shared::default(), &given);
    let errors = chain.err().unwrap();
    assert!(
        errors[0].1.to_string().contains("is not UTF-8 text"),
        "{errors:?}"
    );
}

#[test]
fn tokens_and_keys_stand_side_by_side() {
    // {"alg":"EdDSA"}.{"iss":"idp"}, with a signature that no key made.
    const TOKEN: &[u8] = b"eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJpZHAifQ.AAAA";
    let jwt = "jwt: [{ issuer: idp, audiences: any, algorithms: [EdDSA], \
               keys: { jwks_url: 'https://id.example.com/' } }]";
    let dotted = hash(b"my.dotted.key");
    let keys = format!(
        "keys: {{ inline: [{{ hash: HASH, consumer: c }}, {{ hash: '{dotted}', consumer: d }}] }}"
    );
    let table = table(&format!("{{ {jwt}, {keys} }}"), "").unwrap();
    let show = |credential: &[u8]| {
        let mut exchange = exchange();
        let value = [b"Bearer ", credential].concat();
        let head = head(&[(AUTHORIZATION, &value)]);
        let verdict = table.global().authenticate(&mut exchange, &head);
        verdict.map(|()| exchange.identity().unwrap().consumer.clone())
    };
    assert_eq!(&*show(KEY.as_bytes()).unwrap(), "c");
    assert_eq!(
        &*show(b"my.dotted.key").unwrap(),
        "d",
        "what is no token may be a key"
    );
    let pending = show(TOKEN).unwrap_err();
    assert_eq!(pending.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (pending.kind, pending.code),
        (Kind::Overloaded, "keys_pending")
    );
    for wrong in [
        &b"not.a.token"[..],
        b"eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.AAAA",
        b"a.b.c.d.e",
    ] {
        let refusal = show(wrong).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code),
            (StatusCode::UNAUTHORIZED, "invalid_token")
        );
        let challenge = refusal
            .headers
            .iter()
            .find(|(name, _)| *name == WWW_AUTHENTICATE);
        assert_eq!(challenge.unwrap().1, r#"Bearer error="invalid_token""#);
    }
}

#[test]
fn a_key_for_some_models_opens_those_of_path_and_body_alike() {
    let table = with_file("- { hash: HASH, consumer: c, models: [small, other] }");
    let send = |deployment: &str, body: &'static str| {
        let path = format!("/openai/deployments/{deployment}/chat/completions");
        let head = bearer(KEY);
        let mut exchange = authenticate(&table, &head).unwrap();
        exchange.deploy(crate::Deployment::of(&path).unwrap());
        exchange.learn(Facts::of(body.as_bytes()).unwrap_or_default());
        let chain = table.get(0).unwrap().chain();
        let verdict = chain.body(&mut exchange, &head, &Bytes::from_static(body.as_bytes()));
        verdict.err().map(|refusal| refusal.code)
    };
    for (deployment, body) in [
        ("small", ""),
        ("small", "{}"),
        ("small", "no object"),
        ("small", r#"{"model":"small"}"#),
        ("small", r#"{"model":"other"}"#),
        ("%73mall", ""),
    ] {
        assert_eq!(send(deployment, body), None, "{deployment} {body}");
    }
    for (deployment, body) in [
        ("large", ""),
        ("large", "{}"),
        ("large", r#"{"model":"small"}"#),
        ("small", r#"{"model":"large"}"#),
        ("Small", ""),
    ] {
        let refused = Some("model_not_allowed");
        assert_eq!(send(deployment, body), refused, "{deployment} {body}");
    }
}

#[test]
fn a_number_for_a_limit_that_is_not_there_is_a_mistake() {
    let file = "- { hash: HASH, consumer: c, limits: { per-kye: 5 } }";
    let told = table("{ keys: { file: keys.yaml } }", file).err().unwrap();
    let column = "- { hash: , consumer: c, limits: { ".len() + 71 + 1;
    let place = format!("keys.yaml:1:{column}: no limit is named `per-kye`");
    assert!(told.contains(&place), "{told}");
}
