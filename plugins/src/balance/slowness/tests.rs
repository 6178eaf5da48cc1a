//! Who is too slow, and who only seems to be.

use std::sync::Arc;

use super::super::{Member, Policy, Settings, Verdict, board};
use super::*;

const START: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(200);
const SLOW: Duration = Duration::from_millis(2_000);

fn rules() -> Slowness {
    Slowness {
        factor: 3,
        floor: SECOND,
        requests: NonZeroU32::new(20).unwrap(),
        window: 30 * SECOND,
    }
}

fn pool(members: usize, percent: u8) -> Pool<usize> {
    let settings = Settings {
        policy: Policy::RoundRobin,
        rules: Some(Rules {
            failures: NonZeroU32::new(5),
            error_rate: None,
            slowness: Some(rules()),
            ejected: 10 * SECOND,
            ejected_max: 60 * SECOND,
        }),
        ejected_percent_max: percent,
        slow_start: Duration::ZERO,
    };
    let member = |target| Member {
        target,
        weight: 1.try_into().unwrap(),
        near: true,
        requests_max: None,
        vitals: Arc::default(),
        seed: target as u64,
    };
    Pool::new(settings, (0..members).map(member)).unwrap()
}

/// An answer that begins now, after so long. Gives what it has changed.
fn answer(pool: &Pool<usize>, target: usize, took: Duration, now: Duration) -> Option<Change> {
    let member = pool.members().find(|member| member.target == target);
    let mut flight = board(member?, now - took)?;
    pool.judge(&mut flight, Verdict::Good, now)
}

/// Each of the endpoints answers so often, over ten seconds, after these times. Gives who is
/// out then.
fn serve(pool: &Pool<usize>, start: Duration, times: u32, took: &[Duration]) -> Vec<usize> {
    for n in 0..times {
        let now = start + 10 * SECOND * n / times;
        for (target, took) in took.iter().enumerate() {
            let vitals = &pool.members().nth(target).unwrap().vitals;
            if vitals.is_up(now) {
                answer(pool, target, *took, now);
            }
        }
    }
    let now = start + 10 * SECOND;
    let out = pool.members().filter(|member| !member.vitals.is_up(now));
    out.map(|member| member.target).collect()
}

#[test]
fn times_are_kept_to_within_an_eighth() {
    let mut micros = 1.0_f64;
    while micros < 4e9 {
        let time = Duration::from_micros(micros as u64);
        let ratio = middle(bucket(time)).as_secs_f64() / time.as_secs_f64().max(64e-6);
        assert!((0.87..=1.13).contains(&ratio), "{time:?}: {ratio}");
        micros *= 1.07;
    }
    assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
}

#[test]
fn the_slow_one_is_out_as_soon_as_enough_is_known() {
    let pool = pool(4, 50);
    let took = [SLOW, QUICK, QUICK, QUICK];
    assert!(serve(&pool, START, 19, &took).is_empty(), "too few answers");
    let mut now = START + 10 * SECOND;
    for target in 1..4 {
        answer(&pool, target, QUICK, now);
    }
    now += SECOND;
    let Some(Change::TooSlow { time, took, others }) = answer(&pool, 0, SLOW, now) else {
        panic!("the twentieth answer shows it");
    };
    assert_eq!(time, 10 * SECOND);
    assert!(took > Duration::from_millis(1_700) && others < Duration::from_millis(250));
    let vitals = &pool.members().next().unwrap().vitals;
    assert_eq!(
        (vitals.ejections(), vitals.ejections_for_slowness()),
        (0, 1)
    );
}

#[test]
fn when_all_are_slow_nobody_is_to_blame() {
    let long = Duration::from_secs(20);
    assert!(serve(&pool(4, 100), START, 100, &[long; 4]).is_empty());
    // Nor who is alone, or below the floor, or not slow enough.
    assert!(serve(&pool(1, 100), START, 100, &[long]).is_empty());
    let below = Duration::from_millis(800);
    let quick = Duration::from_millis(10);
    assert!(serve(&pool(2, 100), START, 100, &[below, quick]).is_empty());
    assert!(serve(&pool(2, 100), START, 100, &[SLOW, below]).is_empty());
}

#[test]
fn a_few_long_prompts_and_silent_peers_eject_nobody() {
    let pool = pool(2, 100);
    for n in 0..300_u32 {
        let now = START + 20 * SECOND * n / 300;
        // Four of ten are twenty times as long, all at one endpoint.
        let took = if n % 10 < 4 { 20 * QUICK } else { QUICK };
        assert_eq!(answer(&pool, 0, took, now), None);
        assert_eq!(answer(&pool, 1, QUICK, now), None);
    }
    let later = START + 60 * SECOND;
    for n in 0..100_u32 {
        let change = answer(&pool, 0, SLOW, later + SECOND * n / 10);
        assert_eq!(change, None, "what the other took is long ago");
    }
}

#[test]
fn only_so_many_may_be_out() {
    let long = Duration::from_secs(20);
    let took = [long, long, QUICK, QUICK, QUICK];
    assert_eq!(serve(&pool(5, 50), START, 100, &took).len(), 2);
    assert_eq!(serve(&pool(5, 20), START, 100, &took).len(), 1);
}

#[test]
fn a_trial_must_be_quick_and_each_slow_one_doubles_the_time() {
    let pool = pool(3, 50);
    let took = [SLOW, QUICK, QUICK];
    assert_eq!(serve(&pool, START, 30, &took), [0]);
    let mut now = START + 20 * SECOND;
    for seconds in [20, 40] {
        for n in 0..40_u32 {
            for target in 1..3 {
                answer(&pool, target, QUICK, now + SECOND * n / 4);
            }
        }
        now += 10 * SECOND;
        let Some(Change::TooSlow { time, .. }) = answer(&pool, 0, SLOW, now) else {
            panic!("a slow trial brings nobody back");
        };
        assert_eq!(time, seconds * SECOND);
        now += time;
    }
    for n in 0..40_u32 {
        answer(&pool, 1, QUICK, now + SECOND * n / 4);
    }
    now += 10 * SECOND;
    assert_eq!(answer(&pool, 0, QUICK, now), Some(Change::Returned));
    // It begins anew, and what was sent to it before it came back does not count.
    for n in 1..100_u32 {
        let then = now + SECOND * n / 100;
        answer(&pool, 1, QUICK, then);
        assert_eq!(answer(&pool, 0, SLOW, then), None);
    }
}

#[test]
fn one_that_failed_comes_back_however_slow_it_is() {
    let pool = pool(2, 50);
    serve(&pool, START, 30, &[QUICK, QUICK]);
    let now = START + 10 * SECOND;
    for _ in 0..5 {
        let mut flight = board(pool.members().next().unwrap(), now).unwrap();
        pool.judge(&mut flight, Verdict::Bad, now);
    }
    let later = now + 11 * SECOND;
    assert_eq!(answer(&pool, 0, SLOW, later), Some(Change::Returned));
}
