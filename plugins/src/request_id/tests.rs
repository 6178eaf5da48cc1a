//! Which identifiers are kept, and what a new one looks like.

use std::time::Duration;

use http::Request;

use super::*;
use crate::edit::Edit;
use crate::exchange::Arrival;

const RANDOM: u128 = 0x9191_08f7_52d1_3320_dbac_f847_db41_48a8;

fn run(trust_client: bool, sent: &[&str]) -> Exchange {
    let filter = RequestId::new(&plugin::RequestId {
        trust_client,
        ..plugin::RequestId::default()
    });
    let mut request = Request::builder().uri("/v1/chat/completions");
    for value in sent {
        request = request.header("x-request-id", *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let mut exchange = Exchange::new(Arrival {
        dialect: crate::Dialect::OpenAi,
        id: RANDOM,
        client: None,
        generation: 1,
        at: Duration::ZERO,
    });
    filter.tag(&mut exchange, &head);
    exchange
}

fn note(exchange: &Exchange) -> &str {
    let [note] = exchange.notes() else {
        panic!("one note expected, not {:?}", exchange.notes());
    };
    assert_eq!(note.name, "request_id");
    &note.value
}

#[test]
fn version_and_variant_are_set_whatever_the_random_bits() {
    // The example of RFC 9562 appendix A.3, with the six fixed bits cleared.
    let uuid_v4 = |random| String::from_utf8(uuid_v4(random).to_vec()).unwrap();
    assert_eq!(uuid_v4(RANDOM), "919108f7-52d1-4320-9bac-f847db4148a8");
    assert_eq!(uuid_v4(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(uuid_v4(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

#[test]
fn the_identifier_goes_upstream_into_the_answer_and_into_the_log() {
    let exchange = run(true, &["abc-123"]);
    let set = Edit::Set(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("abc-123"),
    );
    assert_eq!(exchange.request.iter().collect::<Vec<_>>(), [&set]);
    assert_eq!(exchange.response.iter().collect::<Vec<_>>(), [&set]);
    assert_eq!(note(&exchange), "abc-123");
}

#[test]
fn an_untrusted_or_unusable_identifier_is_replaced() {
    let fresh = std::str::from_utf8(&uuid_v4(RANDOM)).unwrap().to_owned();
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    assert_eq!(note(&run(true, &[&longest])), longest);
    assert_eq!(note(&run(false, &["abc"])), fresh, "not trusted");
    assert_eq!(note(&run(true, &[])), fresh, "none sent");
    assert_eq!(note(&run(true, &[""])), fresh, "empty");
    assert_eq!(note(&run(true, &[&too_long])), fresh, "too long");
    assert_eq!(note(&run(true, &["a b"])), fresh, "a space is not visible");
    assert_eq!(note(&run(true, &["é"])), fresh, "not ASCII");
    assert_eq!(note(&run(true, &["a", "b"])), fresh, "ambiguous");
}
