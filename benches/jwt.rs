//! What a JSON Web Token costs the request that shows it: under 500 ns if it was verified
//! before. Beside it a forged one, which pays for the signature each time.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench, not an interface"
)]

#[path = "../plugins/tests/jwt/signer.rs"]
mod signer;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::build::Given;
use penstock_plugins::{Arrival, Dialect, Exchange, RouteTable, Shared};
use serde_json::json;

use signer::{Signer, claims, now};

const ISSUER: &str = "https://id.example.com/";

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

fn table(signer: &Signer) -> RouteTable {
    let config = penstock_config::parse(&format!(
        "upstreams: {{ u: {{ endpoints: [\"127.0.0.1:1\"] }} }}
chain:
- authenticate:
    jwt:
    - issuer: {ISSUER}
      audiences: [penstock]
      algorithms: [RS256, ES256, EdDSA]
      keys: {{ jwks: keys.json }}
      claims: {{ tenant: /org/id, roles: /realm_access/roles }}
routes: [{{ name: chat, split: [{{ upstream: u }}] }}]"
    ));
    let keys = json!({ "keys": ALGORITHMS.map(|algorithm| signer.jwk(algorithm)) });
    let mut given = Given::default();
    let file = keys.to_string().into_bytes();
    given.files.insert("keys.json".into(), file);
    RouteTable::new(&config.unwrap(), &Shared::default(), &given).unwrap()
}

/// As long as an identity provider's access tokens are.
fn token(signer: &Signer, algorithm: Algorithm, subject: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}","typ":"JWT"}}"#);
    let more = json!({
        "sub": subject,
        "jti": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
        "azp": "chat-frontend",
        "scope": "openid profile email",
        "org": { "id": "acme" },
        "realm_access": { "roles": ["chat", "batch", "offline_access"] },
        "email": "alice@example.com",
        "name": "Alice Example",
    });
    signer.token(algorithm, &header, &claims(ISSUER, more))
}

fn head(token: &str) -> Parts {
    let request = http::Request::post("/v1/chat/completions")
        .header("host", "bench")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: now(),
        dialect: Dialect::OpenAi,
    })
}

fn a_token(criterion: &mut Criterion) {
    let signer = Signer::default();
    let table = table(&signer);
    let authenticate = |head: &Parts| {
        let verdict = table.global().authenticate(&mut exchange(), head);
        verdict.is_ok()
    };
    for algorithm in ALGORITHMS {
        let token = |subject| token(&signer, algorithm, subject);
        let (genuine, other) = (token("alice"), token("mallory"));
        // The claims of one with the signature of another.
        let (signed, _) = genuine.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{signature}");
        let name = format!("{algorithm} token of {} bytes", genuine.len());
        let mut group = criterion.benchmark_group(name);
        for (kind, token, passes) in [
            ("verified before", &genuine, true),
            ("forged", &forged, false),
        ] {
            let head = head(token);
            assert_eq!(authenticate(&head), passes, "{kind}");
            group.bench_function(kind, |bencher| {
                bencher.iter(|| authenticate(black_box(&head)));
            });
        }
    }
}

criterion_group!(benches, a_token);
criterion_main!(benches);
