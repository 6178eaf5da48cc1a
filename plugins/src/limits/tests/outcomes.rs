//! What an exchange costs, by how it ended.

use super::*;

const LIMITS: &str =
    "[{ name: t, tokens: 1000, per: 1m, by: [key] }, { name: r, requests: 1000, per: 1m },
    { name: n, concurrent: 9 }, { name: p, prompt_tokens: 1000, per: 1m }]";

/// What is spent of tokens, prompt tokens and requests.
fn spent(world: &World) -> (u64, u64, u64) {
    assert_eq!(world.spent("n"), 0);
    (world.spent("t"), world.spent("p"), world.spent("r"))
}

fn reserved(world: &World) -> (u64, u64) {
    (world.held("t").reserved, world.held("p").reserved)
}

#[test]
fn what_never_was_sent_used_no_tokens() {
    for (outcome, attempts, requests) in [
        (Outcome::Refused, 0, 0),
        (Outcome::ClientGone, 0, 1),
        (Outcome::Internal, 0, 1),
        // Answered from a cache.
        (Outcome::Completed, 0, 1),
        // It may have been sent, but there was no answer.
        (Outcome::UpstreamFailed, 2, 1),
        (Outcome::UpstreamTimeout, 1, 1),
    ] {
        let world = World::new(LIMITS);
        let sent = CLIENT.send(&world, T0).unwrap();
        assert!(reserved(&world) > (10, 3));
        sent.end(&world, outcome, attempts, SECOND);
        assert_eq!(
            spent(&world),
            (0, 0, requests),
            "{outcome:?} after {attempts}"
        );
    }
}

#[test]
fn an_error_of_the_upstream_uses_no_tokens() {
    for status in [400, 401, 429, 500, 503] {
        let world = World::new(LIMITS);
        let mut sent = CLIENT.send(&world, T0).unwrap();
        sent.answer(&world, status, "application/json", &[r#"{"error":{}}"#]);
        sent.end(&world, Outcome::Completed, 1, SECOND);
        assert_eq!(spent(&world), (0, 0, 1), "{status}");
    }
}

#[test]
fn without_usage_the_reservation_counts() {
    for (content_type, body) in [
        ("application/json", "{}"),
        ("application/json", "{\"usage\":"),
        ("text/plain", "{\"usage\":{\"prompt_tokens\":1}}"),
        ("text/event-stream", "data: [DONE]\n\n"),
    ] {
        for outcome in [
            Outcome::Completed,
            Outcome::ClientGone,
            Outcome::UpstreamFailed,
        ] {
            let world = World::new(LIMITS);
            let mut sent = CLIENT.send(&world, T0).unwrap();
            let (tokens, prompt) = reserved(&world);
            sent.answer(&world, 200, content_type, &[body]);
            sent.end(&world, outcome, 1, SECOND);
            assert_eq!(spent(&world), (tokens, prompt, 1), "{body} {outcome:?}");
        }
    }
    let world = World::new(LIMITS);
    let sent = CLIENT.send(&world, T0).unwrap();
    let (tokens, prompt) = reserved(&world);
    sent.end(&world, Outcome::ClientGone, 1, SECOND);
    assert_eq!(spent(&world), (tokens, prompt, 1), "a model may be at it");
}

#[test]
fn an_exchange_that_is_dropped_leaves_nothing_reserved() {
    let world = World::new(LIMITS);
    let sent = CLIENT.send(&world, T0).unwrap();
    let (tokens, prompt) = reserved(&world);
    drop(sent);
    assert_eq!(spent(&world), (tokens, prompt, 1));
    let sent = CLIENT.send(&world, T0).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _sent = sent;
        std::panic::resume_unwind(Box::new("gone"));
    }));
    assert!(panicked.is_err());
    assert_eq!(spent(&world), (2 * tokens, 2 * prompt, 2));
}

#[test]
fn a_cut_stream_costs_what_is_known_at_least() {
    let begin = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":70,\"output_tokens\":1}}}\n\n";
    let delta = "data: {\"type\":\"content_block_delta\"}\n\n";
    let world = World::new(LIMITS);
    let mut sent = Client {
        path: "/v1/messages",
        ..CLIENT
    }
    .send(&world, T0)
    .unwrap();
    let mut pieces = vec![begin];
    pieces.extend([delta; 99]);
    sent.answer(&world, 200, "text/event-stream", &pieces);
    sent.end(&world, Outcome::ClientGone, 1, SECOND);
    assert_eq!(
        spent(&world),
        (170, 70, 1),
        "the prompt is stated, and a hundred events came"
    );
}

#[test]
fn the_last_request_costs_its_estimate_and_not_all_that_it_closed() {
    let world = World::new("[{ name: t, tokens: 1000, per: 1m, answer_tokens: 300 }]");
    let open = Client {
        body: r#"{"messages":["hi"]}"#,
        ..CLIENT
    };
    let first: Vec<_> = (0..3).map(|_| open.send(&world, T0).unwrap()).collect();
    let before = world.held("t").reserved;
    let last = open.send(&world, T0).unwrap();
    assert_eq!(world.held("t").reserved, before + 1000);
    drop(last);
    assert_eq!(world.held("t").spent, before / 3);
    drop(first);
    assert_eq!(world.spent("t"), before / 3 * 4);
}

#[test]
fn tokens_count_from_the_end_of_the_exchange() {
    let world = World::new("[{ name: t, tokens: 20, per: 1m }]");
    let mut sent = CLIENT.send(&world, T0).unwrap();
    let late = T0 + SECOND * 600;
    assert_eq!(
        code(CLIENT.send(&world, late)),
        "rate_limit_exceeded",
        "it is reserved still"
    );
    sent.answer(
        &world,
        200,
        "application/json",
        &[r#"{"usage":{"total_tokens":20}}"#],
    );
    sent.end(&world, Outcome::Completed, 1, SECOND * 600);
    let soon = late + SECOND * 60;
    assert_eq!(
        code(CLIENT.send(&world, soon)),
        "rate_limit_exceeded",
        "it was spent then"
    );
    assert_eq!(code(CLIENT.send(&world, soon + SECOND)), "sent");
}

#[test]
fn a_stream_is_asked_for_its_usage_and_the_client_does_not_notice() {
    const ASKED: &str = "data: {\"choices\":[{}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n";
    let world = World::new(LIMITS);
    for (body, edited, got) in [
        (r#"{"stream":true}"#, true, "data: {\"choices\":[{}]}\n\n"),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            true,
            "data: {\"choices\":[{}]}\n\n",
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            false,
            ASKED,
        ),
        (r#"{"stream":false}"#, false, ASKED),
    ] {
        let before = world.spent("t");
        let mut sent = Client { body, ..CLIENT }.send(&world, T0).unwrap();
        assert_eq!(sent.exchange.body_edits.is_empty(), !edited, "{body}");
        let edits: Vec<_> = sent.exchange.request.iter().collect();
        assert!(
            format!("{edits:?}").contains("identity"),
            "an answer that can be read"
        );
        assert_eq!(sent.answer(&world, 200, "text/event-stream", &[ASKED]), got);
        sent.end(&world, Outcome::Completed, 1, SECOND);
        assert_eq!(world.spent("t") - before, 5);
    }
    for path in ["/v1/messages", "/v1/responses"] {
        let sent = Client {
            path,
            body: r#"{"stream":true}"#,
            ..CLIENT
        }
        .send(&world, T0)
        .unwrap();
        assert!(
            sent.exchange.body_edits.is_empty(),
            "{path} states it anyway"
        );
        sent.complete(&world, 1, 1);
    }
}

#[test]
fn two_plugins_read_the_usage_once() {
    let shared = Shared::default();
    let config = penstock_config::parse(
        "upstreams: { u: { endpoints: [u:1] } }
chain: [{ limits: [{ name: a, tokens: 1000, per: 1m }] }]
routes: [{ name: r, split: [{ upstream: u }], chain: [{ limits: [{ name: b, tokens: 1000, per: 1m }] }] }]",
    );
    let table = RouteTable::new(&config.unwrap(), &shared, &Given::default()).unwrap();
    let world = World { shared, table };
    let mut sent = Client {
        body: r#"{"stream":true}"#,
        ..CLIENT
    }
    .send(&world, T0)
    .unwrap();
    let text = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n";
    assert_eq!(sent.answer(&world, 200, "text/event-stream", &[text]), "");
    sent.end(&world, Outcome::Completed, 1, SECOND);
    assert_eq!((world.spent("a"), world.spent("b")), (5, 5));
}
