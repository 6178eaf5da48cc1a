//! Distributions keep to their bounds, and texts that are none are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn what_is_printed_reads_back() {
    for text in [
        "0ms",
        "50ms",
        "1500us",
        "2s",
        "7ns",
        "uniform(10ms,80ms)",
        "normal(50ms,10ms)",
        "lognormal(120ms,0.5)",
        "exponential(3s)",
    ] {
        let pace: Pace = text.parse().unwrap();
        assert_eq!(pace.to_string(), text);
        assert_eq!(pace.to_string().parse::<Pace>().unwrap(), pace);
    }
    for text in [
        "64",
        "uniform(16,256)",
        "normal(64,16)",
        "lognormal(64,0.25)",
        "exponential(9)",
    ] {
        assert_eq!(text.parse::<Count>().unwrap().to_string(), text);
    }
    assert_eq!("1.5s".parse::<Pace>().unwrap().to_string(), "1500ms");
    assert_eq!(
        " uniform( 1ms , 2ms )".parse::<Pace>().unwrap().to_string(),
        "uniform(1ms,2ms)"
    );
}

#[test]
fn a_mistake_is_refused_with_its_reason() {
    for (text, reason) in [
        ("50", "as 50ms"),
        ("", "as 50ms"),
        ("-5ms", "as 50ms"),
        ("61m", "up to one hour"),
        ("5 parsecs", "as 50ms"),
        ("poisson(5ms)", "uniform(low,high)"),
        ("uniform(10ms,80ms", "closing parenthesis"),
        ("uniform(80ms,10ms)", "low end is above"),
        ("normal(50ms)", "two parameters"),
        ("lognormal(50ms,-1)", "sigma"),
        ("lognormal(50ms,NaN)", "sigma"),
    ] {
        let error = text.parse::<Pace>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    for text in ["0", "1.5", "1000001", "uniform(0,4)", "12ms"] {
        let error = text.parse::<Count>().unwrap_err().to_string();
        assert!(error.contains("from 1 to 1000000"), "{text}: {error}");
    }
}

#[test]
fn means_are_what_the_text_says() {
    for (text, mean_ms) in [
        ("50ms", 50.0),
        ("uniform(10ms,80ms)", 45.0),
        ("normal(50ms,10ms)", 50.0),
        // The mean of a log-normal is the median times exp(sigma² / 2).
        ("lognormal(50ms,0.5)", 50.0 * 0.125_f64.exp()),
        ("exponential(50ms)", 50.0),
    ] {
        let pace: Pace = text.parse().unwrap();
        let mut random = Random::new(1, 2);
        let draws = 50_000;
        let total: Duration = (0..draws).map(|_| pace.sample(&mut random)).sum();
        let mean = total.as_secs_f64() * 1e3 / f64::from(draws);
        assert!(
            (mean / mean_ms - 1.0).abs() < 0.02,
            "{text}: mean {mean} ms"
        );
    }
}

#[test]
fn draws_stay_inside_their_limits() {
    let mut random = Random::new(3, 4);
    let wide: Pace = "normal(1ms,1m)".parse().unwrap();
    let far: Pace = "lognormal(60m,10)".parse().unwrap();
    let ends: Count = "uniform(1,3)".parse().unwrap();
    let low: Count = "normal(1,100)".parse().unwrap();
    let mut seen = [0; 4];
    for _ in 0..3_000 {
        assert!(wide.sample(&mut random) <= PACE_MAX);
        assert!(far.sample(&mut random) <= PACE_MAX);
        assert!(low.sample(&mut random) >= 1);
        *seen.get_mut(ends.sample(&mut random) as usize).unwrap() += 1;
    }
    let [none, one, two, three] = seen;
    assert_eq!(none, 0);
    for times in [one, two, three] {
        assert!(
            (850..1150).contains(&times),
            "both ends are as likely as the middle: {seen:?}"
        );
    }
}
