//! What a client reads.

use super::*;
use crate::limits::key::Key;
use crate::limits::meter::Counts;

fn refused(sent: Result<Sent, Box<Refusal>>) -> Box<Refusal> {
    match sent {
        Ok(_) => panic!("it was let through"),
        Err(refusal) => refusal,
    }
}

fn headers(refusal: &Refusal) -> HeaderMap {
    refusal.headers.iter().cloned().collect()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn a_refusal_says_when_to_try_again() {
    let world = World::new("[{ name: a, requests: 2, per: 1m }]");
    CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
    CLIENT
        .send(&world, T0 + SECOND * 10)
        .unwrap()
        .complete(&world, 1, 1);
    let later = T0 + SECOND * 20;
    let refusal = refused(CLIENT.send(&world, later));
    assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (refusal.kind, refusal.code),
        (Kind::RateLimit, "rate_limit_exceeded")
    );
    assert!(
        refusal.message.contains("`a` of 2 requests in 1m"),
        "{}",
        refusal.message
    );
    let headers = headers(&refusal);
    let wait: u64 = text(&headers, "retry-after").unwrap().parse().unwrap();
    assert!((40..=41).contains(&wait), "the first was 20 s ago: {wait}");
    assert_eq!(text(&headers, "x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(text(&headers, "x-ratelimit-remaining-requests"), Some("0"));
    let reset = text(&headers, "x-ratelimit-reset-requests").unwrap();
    assert!(["50s", "51s"].contains(&reset), "{reset}");
    assert!(
        CLIENT.send(&world, later + SECOND * wait as u32).is_ok(),
        "as it said"
    );
}

#[test]
fn tokens_are_refused_with_their_own_headers() {
    let world = World::new("[{ name: a, tokens: 20, per: 1m, by: [key] }]");
    let _first = CLIENT.send(&world, T0).unwrap();
    let refusal = refused(CLIENT.send(&world, T0));
    let openai = headers(&refusal);
    assert_eq!(
        text(&openai, "retry-after"),
        Some("1"),
        "it depends on another request"
    );
    assert_eq!(text(&openai, "x-ratelimit-limit-tokens"), Some("20"));
    let anthropic = Client {
        path: "/v1/messages",
        ..CLIENT
    };
    let anthropic = headers(&refused(anthropic.send(&world, T0)));
    assert_eq!(
        text(&anthropic, "anthropic-ratelimit-tokens-limit"),
        Some("20")
    );
    assert!(text(&anthropic, "x-ratelimit-limit-tokens").is_none());
}

#[test]
fn what_can_never_fit_is_told_so() {
    let world = World::new("[{ name: a, tokens: 100, per: 1m }]");
    let body = r#"{"max_tokens":1000,"messages":[]}"#;
    let refusal = refused(Client { body, ..CLIENT }.send(&world, T0));
    assert_eq!(
        (refusal.status, refusal.kind),
        (StatusCode::TOO_MANY_REQUESTS, Kind::RateLimit)
    );
    assert_eq!(text(&headers(&refusal), "x-should-retry"), Some("false"));
    assert!(text(&headers(&refusal), "retry-after").is_none());
    assert!(
        refusal.message.contains("at least 10"),
        "{}",
        refusal.message
    );
}

/// An answer of unknown length may use up what is left and more: as long as it does
/// nobody else is let in, not even when others settle to less than they reserved.
#[test]
fn what_may_not_fit_is_let_in_as_the_last_one() {
    let world = World::new("[{ name: a, tokens: 100, per: 1m }]");
    let open = Client {
        body: r#"{"messages":["hi"]}"#,
        ..CLIENT
    };
    let others = [CLIENT.send(&world, T0), CLIENT.send(&world, T0)];
    let last = open.send(&world, T0).unwrap();
    for other in others {
        other.unwrap().complete(&world, 1, 1);
        assert_eq!(code(CLIENT.send(&world, T0)), "rate_limit_exceeded");
        assert_eq!(code(open.send(&world, T0)), "rate_limit_exceeded");
    }
    last.complete(&world, 1, 5);
    assert_eq!(world.spent("a"), 10);
    let next = open.send(&world, T0).unwrap();
    assert_eq!(
        code(open.send(&world, T0)),
        "rate_limit_exceeded",
        "one at a time"
    );
    next.complete(&world, 1, 200);
    assert_eq!(world.spent("a"), 211, "over the limit by the last request");
    assert_eq!(code(CLIENT.send(&world, T0)), "rate_limit_exceeded");
}

#[test]
fn concurrency_is_refused_for_a_second() {
    let world = World::new("[{ name: a, concurrent: 1 }]");
    let _first = CLIENT.send(&world, T0).unwrap();
    let refusal = refused(CLIENT.send(&world, T0));
    assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
    let headers = headers(&refusal);
    assert_eq!(text(&headers, "retry-after"), Some("1"));
    assert_eq!(headers.len(), 1, "no window, no rate");
}

#[test]
fn an_answer_tells_how_the_client_stands() {
    let limits = "[{ name: a, requests: 9, per: 1m }, { name: b, requests: 5, per: 1h }, { name: c, tokens: 1000, per: 1m },
        { name: d, requests: 1, per: 1m, by: [model], mode: shadow }]";
    let world = World::new(limits);
    let exchange = CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
    let told: Vec<_> = exchange
        .response
        .iter()
        .map(|edit| format!("{edit:?}"))
        .collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told[0].contains("x-ratelimit-limit-requests") && told[0].contains("\"5\""));
    assert!(told[1].contains("x-ratelimit-remaining-requests") && told[1].contains("\"4\""));
    assert!(told[2].contains("x-ratelimit-reset-requests") && told[2].contains("1h"));
    assert!(told[3].contains("x-ratelimit-limit-tokens"), "{told:?}");
    assert!(told[5].contains("1m"), "{told:?}");
}

#[test]
fn a_body_whose_tokens_would_not_be_counted_is_refused() {
    let enforced = World::new("[{ name: a, tokens: 1000, per: 1m }]");
    // The engine scans no body that is declared as something else; here that is one
    // which does not parse.
    let disguised = Client {
        body: " {\"messages\":[],]",
        ..CLIENT
    };
    let refusal = refused(disguised.send(&enforced, T0));
    assert_eq!(
        (refusal.status, refusal.code),
        (StatusCode::BAD_REQUEST, "invalid_json")
    );
    assert_eq!(enforced.spent("a"), 0);
    let shadow = World::new("[{ name: a, tokens: 1000, per: 1m, mode: shadow }]");
    assert!(disguised.send(&shadow, T0).is_ok());
    let requests = World::new("[{ name: a, requests: 1000, per: 1m, by: [model] }]");
    assert!(disguised.send(&requests, T0).is_ok());
    let file = Client {
        body: "--boundary\r\n",
        path: "/v1/files",
        ..CLIENT
    };
    assert!(file.send(&enforced, T0).is_ok());
}

#[test]
fn when_there_are_too_many_keys_new_ones_are_refused() {
    let world = World::new("[{ name: a, requests: 9, per: 1m, by: [key] }]");
    let meters = Meter::all(&world.shared);
    let Counts::Exact(table) = meters[0].counts() else {
        panic!("it is exact")
    };
    for number in 0..table::KEYS_MAX as u64 * 11 / 10 {
        let _ = table.take(Key::numbered(number), T0, |counter| counter.spend(T0, 1, 1));
    }
    let refusal = refused(CLIENT.send(&world, T0));
    assert_eq!(
        (refusal.status, refusal.kind),
        (StatusCode::SERVICE_UNAVAILABLE, Kind::Overloaded)
    );
    assert_eq!(meters[0].read().keys_full, 1);
}
