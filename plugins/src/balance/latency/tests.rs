//! What the average makes of peaks and of time.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn average(observations: &[(u64, u64)]) -> u128 {
    let average = PeakAverage::default();
    for (latency, at) in observations {
        average.observe(Duration::from_millis(*latency), Duration::from_millis(*at));
    }
    average.get().unwrap().as_millis()
}

#[test]
fn nothing_is_known_at_first() {
    assert_eq!(PeakAverage::default().get(), None);
}

#[test]
fn a_peak_counts_at_once() {
    assert_eq!(average(&[(10, 0), (10, 100), (900, 200)]), 900);
}

#[test]
fn half_of_a_peak_is_forgotten_in_a_half_life() {
    let later = 200 + HALF_LIFE.as_millis() as u64;
    assert_eq!(average(&[(900, 200), (100, later)]), 500);
    assert_eq!(average(&[(900, 200), (100, 200 + 1_000_000)]), 100);
}

#[test]
fn a_late_thread_changes_no_more_than_a_timely_one() {
    assert_eq!(average(&[(900, 5_000), (100, 4_999)]), 900);
}

#[test]
fn the_stamp_may_wrap() {
    let average = PeakAverage::default();
    let before = Duration::from_millis(u64::from(u32::MAX) - 4);
    average.observe(900 * MS, before);
    average.observe(100 * MS, before + HALF_LIFE);
    assert_eq!(average.get(), Some(500 * MS));
}
