//! When an endpoint is left alone, for how long, and how it comes back.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_secs(1_000_000);

fn rules() -> Rules {
    Rules {
        failures: NonZeroU32::new(3),
        error_rate: None,
        slowness: None,
        ejected: 10 * SECOND,
        ejected_max: 60 * SECOND,
    }
}

fn by_rate(percent: u8, requests: u32) -> Rules {
    Rules {
        failures: None,
        error_rate: Some(ErrorRate {
            percent,
            requests: NonZeroU32::new(requests).unwrap(),
            window: 10 * SECOND,
        }),
        ..rules()
    }
}

fn judge(health: &Health, verdict: Verdict, now: Duration, rules: &Rules) -> Option<Change> {
    assert_eq!(health.out(now), None);
    let entry = health.enter().unwrap();
    health.judge(entry, verdict, now, rules, || true)
}

fn fail(health: &Health, times: usize, now: Duration) -> Option<Change> {
    (0..times).fold(None, |_, _| judge(health, Verdict::Bad, now, &rules()))
}

#[test]
fn failures_in_a_row_eject_and_others_do_not() {
    let health = Health::default();
    for _ in 0..10 {
        assert_eq!(fail(&health, 2, START), None);
        assert_eq!(judge(&health, Verdict::Unclear, START, &rules()), None);
        assert_eq!(judge(&health, Verdict::Good, START, &rules()), None);
    }
    assert_eq!(fail(&health, 2, START), None);
    assert_eq!(judge(&health, Verdict::Unclear, START, &rules()), None);
    let ejected = judge(&health, Verdict::Bad, START, &rules());
    assert_eq!(ejected, Some(Change::Ejected(10 * SECOND)));
    let until = START + 10 * SECOND;
    assert_eq!(health.out(START), Some(Out::Ejected(Some(until))));
    assert_eq!(
        health.out(until - Duration::from_nanos(1)),
        Some(Out::Ejected(Some(until)))
    );
    assert_eq!(health.out(until), None);
}

#[test]
fn one_request_at_a_time_finds_out_whether_it_is_back() {
    let health = Health::default();
    fail(&health, 3, START);
    let later = START + 11 * SECOND;
    assert_eq!(health.out(later), None);
    assert_eq!(health.enter(), Some(Entry::Trial));
    assert_eq!(health.enter(), None);
    assert_eq!(health.out(later), Some(Out::Ejected(None)));
    let back = health.judge(Entry::Trial, Verdict::Good, later, &rules(), || true);
    assert_eq!(back, Some(Change::Returned));
    assert_eq!(health.out(later), None);
    assert_eq!(health.enter(), Some(Entry::Usual));
    assert_eq!(health.back_for(later + SECOND), Some(SECOND));
}

#[test]
fn a_trial_without_a_verdict_makes_way_for_the_next() {
    let health = Health::default();
    fail(&health, 3, START);
    let later = START + 11 * SECOND;
    assert_eq!(health.enter(), Some(Entry::Trial));
    let unclear = health.judge(Entry::Trial, Verdict::Unclear, later, &rules(), || true);
    assert_eq!(unclear, None);
    assert_eq!(health.out(later), None);
    assert_eq!(health.enter(), Some(Entry::Trial));
    health.abandon(later);
    assert_eq!(health.enter(), Some(Entry::Trial));
}

#[test]
fn each_failed_trial_doubles_the_time_up_to_the_most() {
    let health = Health::default();
    let mut now = START;
    fail(&health, 3, now);
    for seconds in [20, 40, 60, 60] {
        now += 60 * SECOND;
        let again = judge(&health, Verdict::Bad, now, &rules());
        assert_eq!(again, Some(Change::Ejected(seconds * SECOND)));
    }
}

#[test]
fn what_fails_soon_after_its_return_stays_out_longer_and_later_does_not() {
    let health = Health::default();
    fail(&health, 3, START);
    let back = START + 10 * SECOND;
    judge(&health, Verdict::Good, back, &rules());
    let soon = fail(&health, 3, back + 30 * SECOND);
    assert_eq!(soon, Some(Change::Ejected(20 * SECOND)));
    let back = back + 50 * SECOND;
    judge(&health, Verdict::Good, back, &rules());
    let late = fail(&health, 3, back + 61 * SECOND);
    assert_eq!(late, Some(Change::Ejected(10 * SECOND)));
}

#[test]
fn what_began_before_the_ejection_does_not_end_or_prolong_it() {
    let health = Health::default();
    fail(&health, 3, START);
    for verdict in [Verdict::Good, Verdict::Bad] {
        let late = health.judge(Entry::Usual, verdict, START + SECOND, &rules(), || true);
        assert_eq!(late, None);
    }
    let until = START + 10 * SECOND;
    assert_eq!(health.out(START + SECOND), Some(Out::Ejected(Some(until))));
}

#[test]
fn one_that_may_not_be_ejected_goes_on() {
    let health = Health::default();
    for _ in 0..10 {
        let entry = health.enter().unwrap();
        let change = health.judge(entry, Verdict::Bad, START, &rules(), || false);
        assert_eq!(change, None);
    }
    assert_eq!(health.out(START), None);
    assert!(fail(&health, 1, START).is_some());
}

#[test]
fn a_share_of_failures_ejects_once_there_are_enough_requests() {
    let (health, rules) = (Health::default(), by_rate(50, 10));
    for n in 0..9 {
        let verdict = if n % 2 == 0 {
            Verdict::Bad
        } else {
            Verdict::Good
        };
        assert_eq!(judge(&health, verdict, START, &rules), None, "{n}");
    }
    // Five of ten with the next.
    assert_eq!(judge(&health, Verdict::Good, START, &rules), None);
    assert!(judge(&health, Verdict::Bad, START, &rules).is_some());
}

#[test]
fn what_has_left_the_window_does_not_count() {
    let (health, rules) = (Health::default(), by_rate(50, 10));
    for _ in 0..9 {
        judge(&health, Verdict::Bad, START, &rules);
    }
    let later = START + 11 * SECOND;
    for _ in 0..9 {
        assert_eq!(judge(&health, Verdict::Bad, later, &rules), None);
    }
    assert!(judge(&health, Verdict::Bad, later, &rules).is_some());
}

#[test]
fn a_pause_is_over_when_it_is_over_and_the_longer_one_holds() {
    let health = Health::default();
    health.pause(START + 5 * SECOND);
    health.pause(START + 3 * SECOND);
    let until = START + 5 * SECOND;
    assert_eq!(health.out(START + 4 * SECOND), Some(Out::Paused(until)));
    assert_eq!(health.out(until), None);
    assert_eq!(health.back_for(until), None);
}

#[test]
fn probes_are_news_once() {
    let health = Health::default();
    assert!(!health.probed(true, START));
    assert!(health.probed(false, START));
    assert!(!health.probed(false, START));
    assert_eq!(health.out(START), Some(Out::Unwell));
    assert!(health.probed(true, START + SECOND));
    assert_eq!(health.out(START + SECOND), None);
    assert_eq!(health.back_for(START + 3 * SECOND), Some(2 * SECOND));
}

#[test]
fn a_probe_that_succeeds_ends_an_ejection() {
    let health = Health::default();
    fail(&health, 3, START);
    health.probed(false, START);
    health.probed(true, START + SECOND);
    assert_eq!(health.out(START + SECOND), None);
    assert_eq!(health.enter(), Some(Entry::Usual));
}
