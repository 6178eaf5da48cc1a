//! Targets get their share.

use super::*;

fn distribution(weights: &[u32]) -> Distribution<usize> {
    let targets = weights.iter().enumerate();
    Distribution::new(targets.map(|(index, weight)| (Weight::try_from(*weight).unwrap(), index)))
        .unwrap()
}

/// How often each target is picked in `picks` picks.
fn count(targets: usize, picks: usize, mut pick: impl FnMut() -> usize) -> Vec<usize> {
    let mut counts = vec![0; targets];
    for _ in 0..picks {
        counts[pick()] += 1;
    }
    counts
}

/// The largest distance of a target's count from its exact share.
fn error(weights: &[u32], counts: &[usize]) -> f64 {
    let picks: usize = counts.iter().sum();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let exact = weights.iter().map(|w| f64::from(*w) / total * picks as f64);
    counts
        .iter()
        .zip(exact)
        .map(|(count, exact)| (*count as f64 - exact).abs())
        .fold(0.0, f64::max)
}

const WEIGHTS: [&[u32]; 7] = [
    &[1, 1],
    &[90, 10],
    &[1, 999_999],
    &[95, 4, 1],
    &[1, 2, 3, 4, 5, 6, 7],
    &[0, 3, 0, 1, 0],
    &[1_000_000, 1, 1_000_000],
];

#[test]
fn shares_are_exact_within_a_few_requests() {
    for weights in WEIGHTS {
        let split = distribution(weights);
        let counts = count(weights.len(), 100_000, || *split.pick());
        let error = error(weights, &counts);
        assert!(error <= 5.0, "{weights:?} gave {counts:?}, off by {error}");
    }
    let equal = [1; 1000];
    let split = distribution(&equal);
    let counts = count(1000, 100_000, || *split.pick());
    assert!(
        error(&equal, &counts) <= 5.0,
        "a thousand equals: {counts:?}"
    );
}

/// A tenth of a request would be the canary's between two reloads: it has them all the same.
#[test]
fn shares_are_exact_however_often_weights_are_loaded_again() {
    const PICKS: usize = 100_000;
    const BETWEEN: usize = 2;
    let turns = Arc::<Turns>::default();
    for weights in [[95, 5], [90, 10], [999, 1]] {
        let mut split = distribution(&weights).continuing(turns.clone());
        let mut picked = 0;
        let counts = count(2, PICKS, || {
            if picked % BETWEEN == 0 {
                split = distribution(&weights).continuing(turns.clone());
            }
            picked += 1;
            *split.pick()
        });
        let error = error(&weights, &counts);
        assert!(error <= 5.0, "{weights:?} gave {counts:?}, off by {error}");
    }
}

#[test]
fn shares_are_exact_while_a_reload_changes_them() {
    const PICKS: usize = 25_000;
    let turns = Arc::<Turns>::default();
    let of = |weights: &[u32]| distribution(weights).continuing(turns.clone());
    let (before, after) = ([95, 4, 1], [60, 10, 30]);
    let current = std::sync::RwLock::new((0, of(&before)));
    let counts: Vec<[Vec<usize>; 2]> = std::thread::scope(|scope| {
        let run = || {
            let mut counts = [vec![0; 3], vec![0; 3]];
            for _ in 0..PICKS {
                let guard = current.read().unwrap();
                counts[guard.0][*guard.1.pick()] += 1;
            }
            counts
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        // In the middle of it all, as far as a thread can tell.
        while turns.picks.at.load(Ordering::Relaxed) == 0 && !threads[0].is_finished() {
            std::thread::yield_now();
        }
        *current.write().unwrap() = (1, of(&after));
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (generation, weights) in [before, after].iter().enumerate() {
        let sum = |target: usize| counts.iter().map(|c| c[generation][target]).sum();
        let sums: Vec<usize> = (0..3).map(sum).collect();
        let picks: usize = sums.iter().sum();
        let error = error(weights, &sums);
        assert!(
            error <= 5.0_f64.max(picks as f64 * 0.005),
            "{weights:?} gave {sums:?}"
        );
    }
}

#[test]
fn any_window_of_a_thousand_requests_has_nearly_exact_shares() {
    for weights in WEIGHTS {
        let split = distribution(weights);
        let picks: Vec<usize> = (0..20_000).map(|_| *split.pick()).collect();
        for window in picks.windows(1000).step_by(7) {
            let mut window = window.iter();
            let counts = count(weights.len(), 1000, || *window.next().unwrap());
            let error = error(weights, &counts);
            assert!(error <= 15.0, "{weights:?} gave {counts:?}, off by {error}");
        }
    }
}

#[test]
fn a_rare_target_comes_as_often_as_its_weight_says() {
    let split = distribution(&[1, 999_999]);
    let counts = count(2, 10_000_000, || *split.pick());
    assert!((8..=12).contains(&counts[0]), "10 expected: {counts:?}");
}

#[test]
fn traffic_with_a_rhythm_is_spread_as_evenly() {
    let weights = [3, 1];
    for period in 2..=16 {
        let split = distribution(&weights);
        let mut every_nth = || {
            let picked = *split.pick();
            (1..period).for_each(|_| _ = split.pick());
            picked
        };
        let counts = count(2, 10_000, &mut every_nth);
        let error = error(&weights, &counts);
        assert!(error <= 20.0, "every {period}th: {counts:?}");
    }
}

#[test]
fn a_target_of_weight_zero_is_never_picked() {
    let split = distribution(&[0, 1, 0, 1, 0]);
    for _ in 0..10_000 {
        assert!([1, 3].contains(split.pick()));
        assert_eq!(split.pick_excluding(|target| *target == 1), Some(&3));
    }
    assert_eq!(split.targets().collect::<Vec<_>>(), [&1, &3]);
    let nothing = [(Weight::try_from(0).unwrap(), ())];
    assert_eq!(Distribution::new(nothing).err(), Some(NoWeight));
    assert_eq!(Distribution::<()>::new([]).err(), Some(NoWeight));
}

#[test]
fn a_single_target_needs_no_counter() {
    let split = distribution(&[0, 7]);
    assert_eq!(split.pick(), &1);
    assert_eq!(split.turns.picks.at.load(Ordering::Relaxed), 0);
}

#[test]
fn a_retry_takes_the_others_by_their_weights() {
    let weights = [5, 3, 1, 1];
    let split = distribution(&weights);
    let counts = count(4, 100_000, || {
        *split.pick_excluding(|target| *target == 0).unwrap()
    });
    let error = error(&[0, 3, 1, 1], &counts);
    assert!(error <= 5.0, "{counts:?}, off by {error}");
    assert_eq!(split.pick_excluding(|_| true), None);
}

#[test]
fn retries_do_not_shift_the_shares_of_first_picks() {
    let weights = [1, 1];
    let split = distribution(&weights);
    let counts = count(2, 10_000, || {
        let first = *split.pick();
        if first == 0 {
            split.pick_excluding(|target| *target == 0);
        }
        first
    });
    assert!(error(&weights, &counts) <= 5.0, "{counts:?}");
}

#[test]
fn threads_share_one_sequence() {
    let weights = [2, 1];
    let split = distribution(&weights);
    let counts: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| count(2, 30_000, || *split.pick()));
        let threads: Vec<_> = (0..4).map(|_| run()).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let sum: Vec<usize> = (0..2).map(|i| counts.iter().map(|c| c[i]).sum()).collect();
    assert!(error(&weights, &sum) <= 5.0, "{sum:?}");
}

#[test]
fn turns_that_are_taken_together_are_not_of_each_other() {
    let (one, other) = ([1, 1, 2], [1, 3]);
    let (first, second) = (distribution(&one), distribution(&other));
    let second = second.continuing(Arc::new(Turns::aside()));
    let counts = count(6, 80_000, || first.pick() * 2 + second.pick());
    let error = error(&[1, 3, 1, 3, 2, 6], &counts);
    assert!(error <= 40.0, "{counts:?} is off by {error}");
    let alone = distribution(&other).continuing(Arc::new(Turns::aside()));
    let alone = count(2, 100_000, || *alone.pick());
    assert!(self::error(&other, &alone) <= 5.0, "{alone:?}");
}
