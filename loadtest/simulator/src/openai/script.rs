//! What an answer will be: its words and when each is due, all from the seed and the request.

use std::time::Duration;

use crate::distribution::{Count, Pace};
use crate::openai::words::WORDS;
use crate::random::{Random, body_hash};

/// How an answer is to be drawn: the settings, as a request's headers changed them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) first_token: Pace,
    pub(crate) between_tokens: Pace,
    pub(crate) tokens: Count,
    /// What every wait is multiplied by.
    pub(crate) slowness: f64,
}

/// One answer. Words, times and length come from generators of their own, so that a change of pace
/// does not change what is said.
#[derive(Debug)]
pub(crate) struct Script {
    /// Unique to the seed and the request's body.
    pub(crate) id: [u8; 32],
    /// At least one.
    pub(crate) tokens: u32,
    /// Whether the request's limit made it end.
    pub(crate) is_cut: bool,
    /// From the end of the request to the first token.
    pub(crate) first: Duration,
    manner: Manner,
    words: Random,
    times: Random,
    is_begun: bool,
}

impl Script {
    pub(crate) fn new(seed: u64, body: &[u8], manner: Manner, tokens_max: Option<u64>) -> Script {
        let seed = seed ^ body_hash(body);
        let mut times = Random::new(seed, 1);
        let drawn = manner.tokens.sample(&mut Random::new(seed, 2));
        let tokens = tokens_max
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(u32::MAX)
            .min(drawn);
        Script {
            id: id(&mut Random::new(seed, 3)),
            tokens,
            is_cut: tokens < drawn,
            first: manner
                .first_token
                .sample(&mut times)
                .mul_f64(manner.slowness),
            manner,
            words: Random::new(seed, 4),
            times,
            is_begun: false,
        }
    }

    /// The next token: a word, with the space before it unless it is the first.
    pub(crate) fn write_token(&mut self, out: &mut Vec<u8>) {
        if self.is_begun {
            out.push(b' ');
        }
        self.is_begun = true;
        out.extend_from_slice(self.words.pick(&WORDS).as_bytes());
    }

    /// From the latest token to the next.
    pub(crate) fn gap(&mut self) -> Duration {
        self.manner
            .between_tokens
            .sample(&mut self.times)
            .mul_f64(self.manner.slowness)
    }

    /// From the end of the request to the last token.
    pub(crate) fn duration(&mut self) -> Duration {
        let gaps = 1..self.tokens;
        gaps.fold(self.first, |total, _| total.saturating_add(self.gap()))
    }

    pub(crate) fn finish_reason(&self) -> &'static str {
        if self.is_cut { "length" } else { "stop" }
    }
}

fn id(random: &mut Random) -> [u8; 32] {
    let (mut high, mut low) = (random.next(), random.next());
    let mut id = [0; 32];
    for digit in &mut id {
        let nibble = (high >> 60) as u8;
        *digit = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        };
        high = (high << 4) | (low >> 60);
        low <<= 4;
    }
    id
}
