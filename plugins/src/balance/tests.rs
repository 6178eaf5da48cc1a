//! Who is chosen, in what share, and who is left out.

use std::collections::BTreeMap;

use super::*;

const NOW: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn settings(policy: Policy) -> Settings {
    Settings {
        policy,
        rules: Some(Rules {
            failures: NonZeroU32::new(1),
            error_rate: None,
            slowness: None,
            ejected: 10 * SECOND,
            ejected_max: 60 * SECOND,
        }),
        ejected_percent_max: 100,
        slow_start: Duration::ZERO,
    }
}

fn member(target: usize, weight: u32) -> Member<usize> {
    Member {
        target,
        weight: weight.try_into().unwrap(),
        near: true,
        requests_max: None,
        vitals: Arc::default(),
        seed: crate::split::mix(target as u64 + 1),
    }
}

fn pool(policy: Policy, weights: &[u32]) -> Pool<usize> {
    let members = weights.iter().enumerate();
    let members = members.map(|(target, weight)| member(target, *weight));
    Pool::new(settings(policy), members).unwrap()
}

fn ask(now: Duration) -> Ask<'static> {
    Ask {
        now,
        key: None,
        tried: &[],
    }
}

fn enter(pool: &Pool<usize>, ask: Ask<'_>) -> (usize, Flight) {
    let (member, flight) = pool.enter(ask).unwrap();
    (member.target, flight)
}

/// How many of `requests` each target gets, one after the other.
fn counts(pool: &Pool<usize>, requests: usize, now: Duration) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(enter(pool, ask(now)).0).or_default() += 1;
    }
    counts
}

fn eject(pool: &Pool<usize>, target: usize, now: Duration) {
    let member = pool
        .members()
        .find(|member| member.target == target)
        .unwrap();
    let mut flight = board(member, now).unwrap();
    assert!(pool.judge(&mut flight, Verdict::Bad, now).is_some());
}

#[test]
fn in_turn_each_gets_its_share_to_within_one_percent() {
    let pool = pool(Policy::RoundRobin, &[70, 20, 10, 0]);
    let counts = counts(&pool, 100_000, NOW);
    for (target, share) in [(0, 70_000), (1, 20_000), (2, 10_000)] {
        assert!(counts[&target].abs_diff(share) < 100, "{counts:?}");
    }
    assert_eq!(counts.len(), 3);
}

#[test]
fn shares_are_exact_over_any_number_of_pools() {
    let rounds = Arc::<Rounds>::default();
    let mut got = BTreeMap::<usize, usize>::new();
    for _ in 0..1_000 {
        let pool = pool(Policy::RoundRobin, &[9, 1]).continuing(rounds.clone());
        for (target, count) in counts(&pool, 4, NOW) {
            *got.entry(target).or_default() += count;
        }
    }
    assert!(got[&1].abs_diff(400) < 5, "{got:?}");
    let mut near = 0;
    for _ in 0..1_000 {
        let pool = zoned(2, 2).continuing(rounds.clone());
        eject(&pool, 0, NOW);
        near += usize::from(enter(&pool, ask(NOW + SECOND)).0 < 2);
    }
    assert!(near.abs_diff(700) < 5, "{near}");
}

#[test]
fn what_is_out_gets_nothing_and_the_others_its_share() {
    for policy in [Policy::RoundRobin, Policy::LeastBusy, Policy::Latency] {
        let pool = pool(policy, &[1, 1, 1]);
        eject(&pool, 1, NOW);
        let counts = counts(&pool, 3_000, NOW + SECOND);
        assert_eq!(counts.get(&1), None, "{policy:?}");
        assert!(
            counts[&0] > 1_300 && counts[&2] > 1_300,
            "{policy:?} {counts:?}"
        );
    }
}

#[test]
fn the_least_busy_of_two_evens_out_what_is_in_flight() {
    let pool = pool(Policy::LeastBusy, &[1; 10]);
    let flights: Vec<_> = (0..1_000).map(|_| enter(&pool, ask(NOW)).1).collect();
    let loads: Vec<_> = pool
        .members()
        .map(|member| member.vitals.in_flight())
        .collect();
    let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
    assert!(most - least <= 8, "{loads:?}");
    drop(flights);
    assert!(pool.members().all(|member| member.vitals.in_flight() == 0));
}

#[test]
fn requests_in_flight_follow_the_weights() {
    let pool = pool(Policy::LeastBusy, &[3, 1]);
    let _flights: Vec<_> = (0..400).map(|_| enter(&pool, ask(NOW)).1).collect();
    let loads: Vec<_> = pool
        .members()
        .map(|member| member.vitals.in_flight())
        .collect();
    assert!(loads[0].abs_diff(300) < 5, "{loads:?}");
}

#[test]
fn the_slow_one_of_two_gets_little() {
    let pool = pool(Policy::Latency, &[1, 1]);
    let mut now = NOW;
    let mut counts = [0, 0];
    for _ in 0..1_000 {
        let (target, flight) = enter(&pool, ask(now));
        counts[target] += 1;
        now += Duration::from_millis(1);
        flight.first_byte(now + Duration::from_millis(if target == 0 { 200 } else { 10 }));
    }
    assert!(counts[0] < 20, "{counts:?}");
}

#[test]
fn a_new_one_is_tried_but_not_by_everybody() {
    let pool = pool(Policy::Latency, &[1, 1]);
    let (known, flight) = enter(&pool, ask(NOW));
    flight.first_byte(NOW + Duration::from_millis(50));
    drop(flight);
    let (tried, _flight) = enter(&pool, ask(NOW));
    assert_ne!(tried, known);
    for _ in 0..10 {
        assert_eq!(enter(&pool, ask(NOW)).0, known);
    }
}

fn by_key(pool: &Pool<usize>, key: u64) -> usize {
    let key = Some(crate::split::mix(key));
    enter(pool, Ask { key, ..ask(NOW) }).0
}

#[test]
fn a_key_stays_and_moves_only_with_its_endpoint() {
    const KEYS: u64 = 100_000;
    for weights in [[1; 10], [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]] {
        let pool = pool(Policy::Hash, &weights);
        let before: Vec<_> = (0..KEYS).map(|key| by_key(&pool, key)).collect();
        let total: u32 = weights.iter().sum();
        for (target, weight) in weights.iter().enumerate() {
            let share = u64::from(*weight) * KEYS / u64::from(total);
            let has = before.iter().filter(|one| **one == target).count() as u64;
            assert!(
                has.abs_diff(share) < KEYS / 200,
                "{target} has {has} of {share}"
            );
        }
        eject(&pool, 4, NOW);
        let mut moved = 0;
        for (key, was) in before.iter().enumerate() {
            let is = by_key(&pool, key as u64);
            moved += u64::from(is != *was);
            assert!(is == *was || *was == 4, "{key} moved from {was} to {is}");
        }
        let share = u64::from(weights[4]) * KEYS / u64::from(total);
        assert!(moved.abs_diff(share) < KEYS / 200, "{moved} moved");
    }
}

#[test]
fn few_prompts_move_when_an_endpoint_goes() {
    const PROMPTS: usize = 10_000;
    let key = |company: usize| {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"system","content":"You answer for company {company}."}}]}}"#
        );
        let facts = crate::Facts::of(body.as_bytes()).unwrap();
        facts.opening(&[body.into()], facts.model(), 1024)
    };
    let keys: Vec<_> = (0..PROMPTS).map(key).collect();
    for n in [2, 3, 5, 10, 50] {
        // As the proxy knows them, by their addresses.
        let homes = |endpoints: std::ops::Range<usize>| {
            let members = endpoints.map(|endpoint| Member {
                seed: hash(format!("10.0.0.{endpoint}:8000").as_bytes()),
                ..member(endpoint, 1)
            });
            let pool = Pool::new(settings(Policy::Hash), members).unwrap();
            let homes = keys.iter().map(|key| {
                let ask = Ask {
                    key: *key,
                    ..ask(NOW)
                };
                enter(&pool, ask).0
            });
            homes.collect::<Vec<_>>()
        };
        let (before, after) = (homes(0..n), homes(1..n));
        let pairs = || before.iter().zip(&after);
        let moved = pairs().filter(|(was, is)| was != is).count();
        assert!(
            moved <= PROMPTS / n + PROMPTS / 50,
            "{moved} of {n} endpoints' moved"
        );
        assert!(pairs().all(|(was, is)| was == is || *was == 0));
    }
}

#[test]
fn without_a_key_a_hash_takes_turns() {
    let counts = counts(&pool(Policy::Hash, &[1, 1]), 1_000, NOW);
    assert!(counts[&0].abs_diff(500) < 5, "{counts:?}");
}

#[test]
fn one_that_was_tried_is_chosen_only_when_there_is_no_other() {
    for policy in [
        Policy::RoundRobin,
        Policy::LeastBusy,
        Policy::Latency,
        Policy::Hash,
    ] {
        let pool = pool(policy, &[1, 1, 1]);
        let seeds: Vec<_> = pool.members().map(|member| member.seed).collect();
        for _ in 0..100 {
            let ask = Ask {
                tried: &seeds[..2],
                key: Some(7),
                ..ask(NOW)
            };
            assert_eq!(enter(&pool, ask).0, 2, "{policy:?}");
            let ask = Ask {
                tried: &seeds,
                ..ask
            };
            pool.enter(ask).unwrap();
        }
    }
}

#[test]
fn when_all_are_out_it_says_why_and_until_when() {
    let mut members: Vec<_> = (0..4).map(|target| member(target, 1)).collect();
    members[3].requests_max = NonZeroU32::new(1);
    let pool = Pool::new(settings(Policy::RoundRobin), members).unwrap();
    eject(&pool, 0, NOW);
    let vitals: Vec<_> = pool.members().map(|member| member.vitals.clone()).collect();
    vitals[1].probed(false, NOW);
    vitals[2].health.pause(NOW + 3 * SECOND);
    let (last, _flight) = enter(&pool, ask(NOW));
    assert_eq!(last, 3);
    let Err(none) = pool.enter(ask(NOW)) else {
        panic!("somebody takes requests")
    };
    assert_eq!(none.until, Some(NOW + 3 * SECOND));
    assert_eq!(
        none.to_string(),
        "no endpoint is available: 1 ejected, 1 failing their health checks, \
         1 paused at their own request, 1 at their limit of requests"
    );
}

#[test]
fn no_more_than_its_limit_are_in_flight_however_many_ask() {
    let mut only = member(0, 1);
    only.requests_max = NonZeroU32::new(5);
    let pool = Pool::new(settings(Policy::RoundRobin), [only]).unwrap();
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    if let Ok((member, _flight)) = pool.enter(ask(NOW)) {
                        most.fetch_max(member.vitals.in_flight(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // A request that finds it full is counted for a moment.
    assert!(most.into_inner() <= 5 + 4);
    assert_eq!(pool.members().next().unwrap().vitals.in_flight(), 0);
}

#[test]
fn as_many_are_ejected_as_the_limit_allows_but_one_of_several_always() {
    for (members, percent, most) in [(10, 50, 5), (10, 0, 1), (1, 50, 0), (1, 100, 1), (3, 50, 1)] {
        let mut settings = settings(Policy::RoundRobin);
        settings.ejected_percent_max = percent;
        let members = (0..members).map(|target| member(target, 1));
        let pool = Pool::new(settings, members).unwrap();
        for member in pool.members() {
            let mut flight = board(member, NOW).unwrap();
            pool.judge(&mut flight, Verdict::Bad, NOW);
        }
        let out = pool
            .members()
            .filter(|member| member.vitals.out(NOW).is_some());
        assert_eq!(out.count(), most);
    }
}

#[test]
fn a_pause_is_obeyed_while_another_takes_requests() {
    for (members, percent, obeyed) in [(1, 50, 0), (1, 100, 1), (2, 50, 1), (4, 50, 2), (2, 0, 1)] {
        let mut settings = settings(Policy::RoundRobin);
        settings.ejected_percent_max = percent;
        let members = (0..members).map(|target| member(target, 1));
        let pool = Pool::new(settings, members).unwrap();
        let until = NOW + SECOND;
        let paused = pool.members().filter(|member| {
            let flight = board(member, NOW).unwrap();
            pool.pause(&flight, until, NOW)
        });
        assert_eq!(paused.count(), obeyed);
        let out = |now| {
            let out = pool.members().filter(|member| !member.vitals.is_up(now));
            out.count()
        };
        assert_eq!((out(NOW), out(until)), (obeyed, 0));
    }
}

#[test]
fn without_rules_nobody_is_left_alone_and_who_was_comes_back() {
    let before = pool(Policy::RoundRobin, &[1, 1]);
    eject(&before, 0, NOW);
    let mut settings = settings(Policy::RoundRobin);
    settings.rules = None;
    let members = before.members().map(|old| Member {
        vitals: old.vitals.clone(),
        ..member(old.target, 1)
    });
    let after = Pool::new(settings, members).unwrap();
    let later = NOW + 10 * SECOND;
    for verdict in [Verdict::Bad, Verdict::Bad, Verdict::Bad] {
        let (_, mut flight) = enter(&after, ask(later));
        assert!(!after.pause(&flight, later + SECOND, later));
        after.judge(&mut flight, verdict, later);
    }
    assert!(after.members().all(|member| member.vitals.is_up(later)));
}

#[test]
fn what_comes_back_is_given_more_and_more() {
    for policy in [Policy::RoundRobin, Policy::Hash] {
        let mut settings = settings(policy);
        settings.slow_start = 100 * SECOND;
        let pool = Pool::new(settings, (0..2).map(|target| member(target, 1))).unwrap();
        let vitals = pool.members().next().unwrap().vitals.clone();
        vitals.probed(false, NOW);
        vitals.probed(true, NOW);
        for (seconds, least, most) in [(0, 400, 1_000), (50, 2_400, 3_500), (101, 4_800, 5_200)] {
            let now = NOW + seconds * SECOND;
            let mut got = 0;
            for key in 0..10_000 {
                let key = Some(crate::split::mix(key));
                got += usize::from(enter(&pool, Ask { key, ..ask(now) }).0 == 0);
            }
            assert!(
                (least..=most).contains(&got),
                "{policy:?} {seconds} s: {got}"
            );
        }
    }
}

#[test]
fn a_trial_is_one_request_and_its_end_makes_way() {
    let pool = pool(Policy::RoundRobin, &[1]);
    eject(&pool, 0, NOW);
    let later = NOW + 10 * SECOND;
    let (_, trial) = enter(&pool, ask(later));
    let Err(none) = pool.enter(ask(later)) else {
        panic!("a second trial")
    };
    assert_eq!((none.ejected, none.until), (1, None));
    drop(trial);
    let (_, mut trial) = enter(&pool, ask(later));
    assert_eq!(
        pool.judge(&mut trial, Verdict::Good, later),
        Some(Change::Returned)
    );
    assert_eq!(pool.judge(&mut trial, Verdict::Bad, later), None);
    assert_eq!(enter(&pool, ask(later)).0, 0);
}

fn zoned(near: usize, far: usize) -> Pool<usize> {
    let members = (0..near + far).map(|target| Member {
        near: target < near,
        ..member(target, 1)
    });
    Pool::new(settings(Policy::RoundRobin), members).unwrap()
}

/// Requests of 10,000 that stay in the own zone with `out` of its 10 endpoints out.
fn kept(out: usize) -> usize {
    let pool = zoned(10, 10);
    for target in 0..out {
        eject(&pool, target, NOW);
    }
    let counts = counts(&pool, 10_000, NOW + SECOND);
    counts
        .iter()
        .filter(|(target, _)| **target < 10)
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn the_own_zone_comes_first_and_spills_over_as_it_shrinks() {
    assert_eq!(kept(0), 10_000);
    assert_eq!(kept(2), 10_000);
    assert!(kept(5).abs_diff(7_000) < 50, "{}", kept(5));
    assert!(kept(9).abs_diff(1_400) < 50, "{}", kept(9));
    assert_eq!(kept(10), 0);
}

#[test]
fn another_zone_is_better_than_none() {
    assert_eq!(counts(&zoned(0, 2), 10, NOW).len(), 2);
    let pool = zoned(1, 1);
    eject(&pool, 1, NOW);
    assert_eq!(counts(&pool, 10, NOW + SECOND).len(), 1);
}
