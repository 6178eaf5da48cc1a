//! What the SDKs read.

use super::*;

fn standing(limit: u64, left: u64, reset_s: u64) -> Standing {
    Standing {
        limit,
        left,
        reset: Duration::from_secs(reset_s),
    }
}

fn told(standings: &Standings, dialect: Dialect) -> Vec<String> {
    let mut told = Vec::new();
    let now = Duration::from_millis(1_708_603_199_500);
    standings.headers(dialect, now, |name, value| {
        told.push(format!("{name}: {}", value.to_str().unwrap()));
    });
    told
}

#[test]
fn the_tightest_limit_is_told() {
    let mut standings = Standings::default();
    assert!(told(&standings, Dialect::OpenAi).is_empty());
    standings.note(Class::Requests, standing(600, 599, 61));
    standings.note(Class::Requests, standing(10, 3, 2));
    standings.note(Class::Requests, standing(1000, 50, 3600));
    standings.note(Class::PromptTokens, standing(9000, 700, 60));
    standings.note(Class::Tokens, standing(8000, 900, 60));
    let openai = [
        "x-ratelimit-limit-requests: 10",
        "x-ratelimit-remaining-requests: 3",
        "x-ratelimit-reset-requests: 2s",
        "x-ratelimit-limit-tokens: 9000",
        "x-ratelimit-remaining-tokens: 700",
        "x-ratelimit-reset-tokens: 1m0s",
    ];
    assert_eq!(told(&standings, Dialect::OpenAi), openai);
    assert_eq!(told(&standings, Dialect::Plain), openai);
    let anthropic = [
        "anthropic-ratelimit-requests-limit: 10",
        "anthropic-ratelimit-requests-remaining: 3",
        "anthropic-ratelimit-requests-reset: 2024-02-22T12:00:02Z",
        "anthropic-ratelimit-tokens-limit: 8000",
        "anthropic-ratelimit-tokens-remaining: 900",
        "anthropic-ratelimit-tokens-reset: 2024-02-22T12:01:00Z",
        "anthropic-ratelimit-input-tokens-limit: 9000",
        "anthropic-ratelimit-input-tokens-remaining: 700",
        "anthropic-ratelimit-input-tokens-reset: 2024-02-22T12:01:00Z",
    ];
    assert_eq!(told(&standings, Dialect::Anthropic), anthropic);
}

#[test]
fn durations_are_written_as_openai_does() {
    for (ms, text) in [
        (0, "0s"),
        (17, "17ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1001, "2s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (3_599_001, "1h0m0s"),
        (90_061_000, "25h1m1s"),
    ] {
        assert_eq!(duration(Duration::from_millis(ms)), text);
    }
    assert_eq!(duration(Duration::from_nanos(1)), "1ms");
}

#[test]
fn dates_are_of_the_gregorian_calendar() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(date(Duration::from_secs(seconds)), text);
    }
    assert_eq!(date(Duration::from_millis(1)), "1970-01-01T00:00:01Z");
}
