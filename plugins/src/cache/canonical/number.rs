//! Numbers by their mathematical value, exactly: no detour by floating point, in which
//! large integers and long fractions would fall together.
//!
//! A number is written as most clients write it, without an exponent and without zeros that
//! say nothing: `1`, `1.0` and `10e-1` are `1`, `15e2` is `1500`, `-25e-2` is `-0.25`. One
//! that would have more than [`DIGITS_MAX`] digits that way is its digits without zeros at
//! either end, and the power of ten that they are multiplied by: `1e400`. Zero has no sign.

use std::io::Write;

/// Most digits that a number has without an exponent: a 64-bit integer has as many.
const DIGITS_MAX: i64 = 20;

/// Largest exponent, as written, that has a form. No parser keeps a number beyond it
/// apart from infinity or zero.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// A number as it is written (RFC 8259 section 6).
pub(super) struct Number<'t> {
    negative: bool,
    first: u8,
    /// The digits between the first and the point.
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: Option<i64>,
}

impl<'t> Number<'t> {
    /// The number that begins with `first` and goes on in `rest`, and what comes after it.
    pub(super) fn read(first: u8, rest: &'t [u8]) -> Option<(Self, &'t [u8])> {
        let (negative, (first, rest)) = match first {
            b'-' => (
                true,
                rest.split_first().map(|(first, rest)| (*first, rest))?,
            ),
            _ => (false, (first, rest)),
        };
        let (whole, rest) = match first {
            b'0' => rest.split_at(0),
            b'1'..=b'9' => digits(rest),
            _ => return None,
        };
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => at_least_one(digits(rest))?,
            _ => rest.split_at(0),
        };
        let (exponent, rest) = exponent(rest)?;
        let number = Self {
            negative,
            first,
            whole,
            fraction,
            exponent,
        };
        Some((number, rest))
    }

    /// Whether it is written in its form.
    pub(super) fn is_canonical(&self) -> bool {
        let digits = 1 + self.whole.len() + self.fraction.len();
        let is_negative_zero = self.negative && self.first == b'0' && self.fraction.is_empty();
        self.exponent.is_none()
            && self.fraction.last() != Some(&b'0')
            && !is_negative_zero
            && digits <= DIGITS_MAX as usize
    }

    /// Appends its form.
    pub(super) fn write(&self, form: &mut Vec<u8>) -> Option<()> {
        let all = [&[self.first][..], self.whole, self.fraction].concat();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let significant = all.get(zeros..)?;
        let trimmed = significant.iter().rev();
        let trimmed = trimmed.take_while(|digit| **digit == b'0').count();
        let (digits, _) = significant.split_at(significant.len() - trimmed);
        if digits.is_empty() {
            form.push(b'0');
            return Some(());
        }
        if self.negative {
            form.push(b'-');
        }
        // The power of ten that the digits are multiplied by.
        let shift = self.exponent.unwrap_or(0) + i64::try_from(trimmed).ok()?
            - i64::try_from(self.fraction.len()).ok()?;
        let count = i64::try_from(digits.len()).ok()?;
        // Digits before the point, at least one of which is written.
        let point = count + shift;
        if count.max(point).max(1 - shift.min(0)) > DIGITS_MAX {
            form.extend_from_slice(digits);
            // Writing to memory cannot fail.
            return write!(form, "e{shift}").ok();
        }
        let zeros = |count: i64| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
        match usize::try_from(point) {
            Ok(whole @ 1..) => {
                let (whole, fraction) = digits.split_at(whole.min(digits.len()));
                form.extend_from_slice(whole);
                form.extend(zeros(shift));
                if !fraction.is_empty() {
                    form.push(b'.');
                    form.extend_from_slice(fraction);
                }
            }
            _ => {
                form.extend_from_slice(b"0.");
                form.extend(zeros(-point));
                form.extend_from_slice(digits);
            }
        }
        Some(())
    }
}

fn exponent(rest: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let [b'e' | b'E', rest @ ..] = rest else {
        return Some((None, rest));
    };
    let (sign, rest) = match rest {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, rest),
    };
    let (digits, rest) = at_least_one(digits(rest))?;
    let value = digits.iter().try_fold(0, |value, digit| {
        let value = value * 10 + i64::from(digit - b'0');
        (value <= EXPONENT_MAX).then_some(value)
    })?;
    Some((Some(sign * value), rest))
}

/// The digits that `text` begins with, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn at_least_one<'t>((digits, rest): (&'t [u8], &'t [u8])) -> Option<(&'t [u8], &'t [u8])> {
    (!digits.is_empty()).then_some((digits, rest))
}
