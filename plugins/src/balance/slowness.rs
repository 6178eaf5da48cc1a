//! Whether an endpoint answers much later than the others.
//!
//! What counts is the median of the times that an endpoint's good answers took to begin: a
//! few long prompts do not move it, where they would move a mean. It is compared with the
//! median of what the others have, so that all of them may be slow together and none is to
//! blame. Times are counted in buckets that are an eighth to a fifth as wide as they are
//! long, without a lock; what they add up to is looked at a few times in a second.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::health::{Change, Entry, Rules};
use super::{Flight, Pool, Vitals};

/// From one look at an endpoint's answers to the next.
const LOOK: Duration = Duration::from_millis(100);

/// Buckets in which times double.
const PARTS: u32 = 4;

/// Times below two to the power of this, in microseconds, are counted as one of it.
const LEAST: u32 = 6;

const BUCKETS: usize = ((u32::BITS - LEAST) * PARTS) as usize;

/// When an endpoint is too slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slowness {
    /// When it takes more than so many times as long as the others.
    pub factor: u32,
    /// What takes no longer than this is never too slow.
    pub floor: Duration,
    /// Of an endpoint with fewer answers in the window nothing is known.
    pub requests: NonZeroU32,
    /// How far back answers count; it moves on by halves.
    pub window: Duration,
}

impl Slowness {
    /// Whether one that takes so long is too slow where the others take so long.
    fn is_exceeded(&self, took: Duration, others: Duration) -> bool {
        took > self.floor && took > others.saturating_mul(self.factor)
    }

    /// The half of a window that a moment lies in, counted from the epoch.
    fn half(&self, now: Duration) -> u64 {
        let half = (self.window / 2).as_nanos().max(1);
        u64::try_from(now.as_nanos() / half).unwrap_or(u64::MAX)
    }
}

/// How long the answers of one endpoint took to begin. All moments are durations since the
/// epoch.
pub(super) struct Recent {
    even: Half,
    odd: Half,
    /// The median when it was last looked at, and when that was: microseconds above,
    /// milliseconds since the epoch (modulo 2³²) below. Zero if it is not known.
    typical: AtomicU64,
    /// The nanosecond of the last look.
    looked: AtomicU64,
}

/// The answers of one half of a window.
struct Half {
    /// Which one.
    number: AtomicU64,
    counts: [AtomicU32; BUCKETS],
}

impl Default for Half {
    fn default() -> Self {
        Self {
            number: AtomicU64::new(0),
            counts: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            even: Half::default(),
            odd: Half::default(),
            typical: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }
    }
}

impl Recent {
    /// Counts an answer. Gives what is usual now, if it is time to look and if there are
    /// enough answers.
    fn observe(&self, took: Duration, now: Duration, rules: &Slowness) -> Option<Duration> {
        let number = rules.half(now);
        let half = match number % 2 {
            0 => &self.even,
            _ => &self.odd,
        };
        half.count(took, number);
        if !self.is_due(now) {
            return None;
        }
        let usual = self.median(number, rules.requests)?;
        let micros = u32::try_from(usual.as_micros()).unwrap_or(u32::MAX);
        let word = u64::from(micros) << 32 | u64::from(stamp(now));
        self.typical.store(word, Ordering::Relaxed);
        Some(usual)
    }

    /// What was usual when it was last looked at; none if that is longer ago than a window.
    fn usual(&self, now: Duration, rules: &Slowness) -> Option<Duration> {
        let word = self.typical.load(Ordering::Relaxed);
        let (micros, then) = ((word >> 32) as u32, word as u32);
        let passed = stamp(now).wrapping_sub(then);
        // A stamp that lies before the last one comes from a thread that was late.
        let is_fresh = passed > u32::MAX / 2 || u128::from(passed) <= rules.window.as_millis();
        (micros > 0 && is_fresh).then(|| Duration::from_micros(micros.into()))
    }

    /// Begins anew.
    fn forget(&self) {
        self.even.number.store(0, Ordering::Relaxed);
        self.odd.number.store(0, Ordering::Relaxed);
        self.typical.store(0, Ordering::Relaxed);
    }

    /// Whether to look now: one thread does, others go on.
    fn is_due(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let looked = self.looked.load(Ordering::Relaxed);
        let due = now.saturating_sub(looked) >= LOOK.as_nanos() as u64;
        due && self
            .looked
            .compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The median of the halves up to this one; none if there are fewer answers.
    fn median(&self, number: u64, requests: NonZeroU32) -> Option<Duration> {
        let mut tally = Tally::default();
        for half in [&self.even, &self.odd] {
            let of = half.number.load(Ordering::Relaxed);
            if of == number || of + 1 == number {
                for (total, count) in tally.counts.iter_mut().zip(&half.counts) {
                    *total = total.saturating_add(count.load(Ordering::Relaxed));
                }
            }
        }
        let median = tally.median()?;
        (tally.total() >= u64::from(requests.get())).then_some(median)
    }
}

impl Half {
    fn count(&self, took: Duration, number: u64) {
        let before = self.number.load(Ordering::Relaxed);
        if before == number + 2 {
            // This thread is late, and its half is over.
            return;
        }
        let begins = before != number
            && self
                .number
                .compare_exchange(before, number, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if begins {
            // What others count meanwhile may be lost, which a median can do without.
            for count in &self.counts {
                count.store(0, Ordering::Relaxed);
            }
        }
        if let Some(count) = self.counts.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T> Pool<T> {
    /// Takes down how long a good answer took to begin. Its endpoint is ejected if that is
    /// what it usually takes and if it is too slow, or if the answer is the one that shows
    /// whether an endpoint that was too slow is back.
    pub(super) fn judge_time(
        &self,
        flight: &Flight,
        now: Duration,
        rules: &Rules,
        slowness: &Slowness,
    ) -> Option<Change> {
        let Flight { vitals, began, .. } = flight;
        let health = &vitals.health;
        let took = now.saturating_sub(*began);
        let took = match flight.entry {
            Entry::Trial if health.is_slow() => took,
            Entry::Trial => return None,
            // What began before it was ejected or came back says nothing new.
            Entry::Usual if health.is_ejected() => return None,
            Entry::Usual if health.back_for(now).is_some_and(|back| back < took) => return None,
            Entry::Usual => vitals.recent().observe(took, now, slowness)?,
        };
        let others = self.others_take(vitals, now, slowness)?;
        if !slowness.is_exceeded(took, others) {
            return None;
        }
        let may_eject = || self.may_leave_alone(now);
        let time = health.eject_slow(flight.entry, now, rules, may_eject)?;
        vitals.recent().forget();
        vitals
            .ejections_for_slowness
            .fetch_add(1, Ordering::Relaxed);
        Some(Change::TooSlow { time, took, others })
    }

    /// What answers of the others usually take that lie as far away and take requests; none
    /// if nothing is known of any.
    fn others_take(&self, of: &Vitals, now: Duration, slowness: &Slowness) -> Option<Duration> {
        let is_it = |vitals: &Vitals| std::ptr::eq(vitals, of);
        let near = self.members().find(|member| is_it(&member.vitals))?.near;
        let mut usual = Tally::default();
        for member in self.members() {
            let vitals = &member.vitals;
            if member.near == near && !is_it(vitals) && vitals.is_up(now) {
                let recent = vitals.recent.get();
                let known = recent.and_then(|recent| recent.usual(now, slowness));
                known.into_iter().for_each(|time| usual.add(time));
            }
        }
        usual.median()
    }
}

impl Vitals {
    fn recent(&self) -> &Recent {
        self.recent.get_or_init(Box::default)
    }
}

/// Times by their buckets.
struct Tally {
    counts: [u32; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

impl Tally {
    fn add(&mut self, time: Duration) {
        if let Some(count) = self.counts.get_mut(bucket(time)) {
            *count = count.saturating_add(1);
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The time in the middle, of two the longer one; none without any.
    fn median(&self) -> Option<Duration> {
        let before = self.total() / 2;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen > before
        });
        found.map(middle)
    }
}

/// The bucket that a time is counted in.
fn bucket(time: Duration) -> usize {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let micros = micros.max(1 << LEAST);
    let octave = micros.ilog2();
    // The two bits below the highest one.
    let part = (micros >> (octave - 2)) % PARTS;
    ((octave - LEAST) * PARTS + part) as usize
}

/// A time in the middle of a bucket.
fn middle(bucket: usize) -> Duration {
    let (octave, part) = (
        bucket as u64 / u64::from(PARTS),
        bucket as u64 % u64::from(PARTS),
    );
    let width = 1 << (octave + u64::from(LEAST) - 2);
    Duration::from_micros((u64::from(PARTS) + part) * width + width / 2)
}

fn stamp(now: Duration) -> u32 {
    now.as_millis() as u32
}
