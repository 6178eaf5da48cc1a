//! Keys keep their targets.

use super::*;
use crate::balance::hash;

const KEYS: u64 = 100_000;

/// The key of a user.
fn user(number: u64) -> u64 {
    hash(format!("user-{number}").as_bytes())
}

/// Targets by name.
fn among<'t>(targets: &[(&'t str, u32)]) -> Rendezvous<&'t str> {
    let targets = targets.iter().map(|(name, weight)| {
        let weight = Weight::try_from(*weight).unwrap();
        (weight, hash(name.as_bytes()), *name)
    });
    Rendezvous::new(targets).unwrap()
}

/// How many users go from where to where.
fn moved<'t>(
    before: &Rendezvous<&'t str>,
    after: &Rendezvous<&'t str>,
) -> Vec<(&'t str, &'t str, f64)> {
    let mut moved: Vec<(&str, &str, f64)> = Vec::new();
    for user in (0..KEYS).map(user) {
        let (from, to) = (*before.pick(user), *after.pick(user));
        if from == to {
            continue;
        }
        match moved.iter_mut().find(|(f, t, _)| (*f, *t) == (from, to)) {
            Some((.., count)) => *count += 1.0,
            None => moved.push((from, to, 1.0)),
        }
    }
    moved
}

/// The part of all users that `moved` are.
fn part(moved: &[(&str, &str, f64)]) -> f64 {
    moved.iter().map(|(.., count)| count).sum::<f64>() / KEYS as f64
}

#[test]
fn keys_are_divided_by_the_weights() {
    let weights: [&[(&str, u32)]; 4] = [
        &[("stable", 95), ("canary", 5)],
        &[("a", 1), ("b", 1), ("c", 1)],
        &[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 90)],
        &[("a", 1_000_000), ("b", 0), ("c", 500_000)],
    ];
    for targets in weights {
        let all: u32 = targets.iter().map(|(_, weight)| weight).sum();
        let keyed = among(targets);
        for (name, weight) in targets {
            let count = (0..KEYS).filter(|n| *keyed.pick(user(*n)) == *name).count();
            let share = count as f64 / KEYS as f64;
            let exact = f64::from(*weight) / f64::from(all);
            assert!((share - exact).abs() < 0.005, "{targets:?}: {name} {share}");
            assert!(*weight > 0 || count == 0, "{name} is turned off");
        }
    }
}

#[test]
fn a_canary_that_grows_takes_users_and_sends_none_back() {
    let steps = [0, 1, 5, 10, 25, 50, 100];
    for step in steps.windows(2) {
        let of = |canary| among(&[("stable", 100 - canary), ("canary", canary)]);
        let (before, after) = (of(step[0]), of(step[1]));
        let moved = moved(&before, &after);
        assert_eq!(moved.len(), 1, "{step:?}: {moved:?}");
        assert_eq!((moved[0].0, moved[0].1), ("stable", "canary"));
        let grown = f64::from(step[1] - step[0]) / 100.0;
        assert!((part(&moved) - grown).abs() < 0.005, "{step:?}: {moved:?}");
    }
}

#[test]
fn the_weight_of_one_target_concerns_nobody_but_its_own_users() {
    let of = |weight| among(&[("a", 40), ("b", weight), ("c", 30), ("d", 20)]);
    for (before, after) in [(10, 20), (20, 5), (0, 10), (10, 0)] {
        let moved = moved(&of(before), &of(after));
        for (from, to, _) in &moved {
            let one = if after > before { to } else { from };
            assert_eq!(*one, "b", "{before} to {after}: {moved:?}");
        }
        let share = |weight: u32| f64::from(weight) / f64::from(90 + weight);
        let changed = (share(after) - share(before)).abs();
        let part = part(&moved);
        assert!((part - changed).abs() < 0.005, "{part} of {changed}");
    }
}

#[test]
fn nobody_moves_to_a_target_that_has_not_grown_in_relation_to_the_own() {
    let (before, after) = ([30, 20, 40, 10], [30, 10, 50, 30]);
    let names = ["a", "b", "c", "d"];
    let of = |weights: [u32; 4]| {
        let targets: Vec<_> = names.into_iter().zip(weights).collect();
        among(&targets)
    };
    let relation = |weights: [u32; 4], name: &str, other: &str| {
        let weight = |name| f64::from(weights[names.iter().position(|n| *n == name).unwrap()]);
        weight(name) / weight(other)
    };
    let moved = moved(&of(before), &of(after));
    assert!(!moved.is_empty());
    for (from, to, count) in moved {
        assert!(
            relation(after, to, from) > relation(before, to, from),
            "{count} users went from {from} to {to}"
        );
    }
}

#[test]
fn the_order_of_the_file_does_not_matter() {
    let targets = [("a", 1), ("b", 2), ("c", 3), ("d", 0), ("e", 5)];
    let keyed = among(&targets);
    for turn in 0..targets.len() {
        let mut turned = targets;
        turned.rotate_left(turn);
        turned[1..].reverse();
        assert_eq!(moved(&keyed, &among(&turned)), [], "{turned:?}");
    }
}

#[test]
fn a_target_that_stands_twice_has_both_weights() {
    let twice = among(&[("a", 30), ("b", 10), ("a", 60)]);
    assert_eq!(moved(&among(&[("a", 90), ("b", 10)]), &twice), []);
}

/// Users must find their targets again after an upgrade: whoever changes this moves them all.
/// The numbers are those of another implementation.
#[test]
fn the_hash_is_fixed() {
    assert_eq!(hash(b"user-1"), 494_161_297_526_395_808);
    let keyed = among(&[("a", 1), ("b", 1), ("c", 2)]);
    let targets: String = (0..32).map(|number| *keyed.pick(user(number))).collect();
    assert_eq!(targets, "caaaacbccbcbacaccccccccbcbccacca");
}

#[test]
fn there_must_be_a_target() {
    let off = [(Weight::try_from(0).unwrap(), 1, ())];
    assert_eq!(Rendezvous::new(off).err(), Some(NoWeight));
    assert_eq!(Rendezvous::<()>::new([]).err(), Some(NoWeight));
}

#[test]
fn no_distance_is_below_its_bound() {
    for number in 0..KEYS {
        let (key, seed) = (user(number), hash(&number.to_le_bytes()));
        let weight = f64::from(number as u32 % 1_000 + 1);
        let bound = Bound::new(seed, weight);
        let (least, distance) = (bound.of(key), distance(key, seed, weight));
        assert!(least <= distance, "{key:#x} {seed:#x}: {least} {distance}");
        let unit = (-distance * weight).exp();
        assert!(
            ((1.0 - unit) / weight - least).abs() < 2e-9 / weight,
            "{key:#x} {seed:#x}: {least} says too little"
        );
    }
}
