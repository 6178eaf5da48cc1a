//! Faults as text: what is read, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn what_is_printed_reads_back() {
    for (text, printed) in [
        ("refuse", "refuse"),
        ("refuse; at=body", "refuse;at=body"),
        ("reset", "reset;after=1"),
        ("cut; after=0", "cut;after=0"),
        ("stall", "stall;at=head"),
        ("stall; for=10s; at=first", "stall;at=first;for=10s"),
        ("stall;at=7;for=1500ms", "stall;at=7;for=1500ms"),
        ("429", "429;retry-after=1"),
        ("429; retry-after=30; at=body", "429;retry-after=30;at=body"),
        ("status; code=503", "503"),
        ("malformed", "malformed;after=0"),
        ("slow; factor=2.5", "slow;factor=2.5"),
    ] {
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.to_string(), printed);
        assert_eq!(printed.parse::<Fault>().unwrap(), fault);
    }
    let faults: Faults = "500=0.01, reset;after=3=0.005".parse().unwrap();
    assert_eq!(faults.to_string(), "500=0.01,reset;after=3=0.005");
    assert!("".parse::<Faults>().unwrap().is_empty());
}

#[test]
fn a_mistake_is_refused_with_its_reason() {
    for (text, reason) in [
        ("explode", "refuse, reset, cut, stall"),
        ("200", "status from 400 to 599"),
        ("status", "needs `code`"),
        ("reset; at=3", "no parameter `at`"),
        ("reset; after=x", "whole number"),
        ("cut; after", "not `key=value`"),
        ("stall; at=end", "body, head, first"),
        ("stall; for=10", "as 10s"),
        ("slow; factor=inf", "0 to 1000"),
    ] {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    for (text, reason) in [
        ("500", "probability is missing"),
        ("500=2", "from 0 to 1"),
        ("500=0.6,reset=0.5", "more than 1"),
        ("explode=0.1", "unknown kind"),
    ] {
        let error = text.parse::<Faults>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn faults_come_as_often_as_they_are_asked_for() {
    let faults: Faults = "500=0.2,refuse=0.05".parse().unwrap();
    let mut random = Random::new(5, 6);
    let (mut errors, mut refused) = (0, 0);
    for _ in 0..20_000 {
        match faults.draw(&mut random) {
            Some(Fault::Status { .. }) => errors += 1,
            Some(_) => refused += 1,
            None => {}
        }
    }
    assert!((3_800..4_200).contains(&errors), "{errors} of 20000 at 0.2");
    assert!(
        (900..1_100).contains(&refused),
        "{refused} of 20000 at 0.05"
    );
}
