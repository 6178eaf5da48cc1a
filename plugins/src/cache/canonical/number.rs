//! Numbers by their mathematical value, exactly: no detour by floating point, in which
//! large integers and long fractions would fall together.
//!
//! A number is its digits without zeros at either end, and the power of ten that they
//! are multiplied by, if it is not 1: `1`, `1.0` and `10e-1` are `1`, `1500` is `15e2`,
//! `-0.25` is `-25e-2`. Zero has no sign.

use std::io::Write;

/// Largest exponent, as written, that has a form. No parser keeps a number beyond it
/// apart from infinity or zero.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// Appends the number that begins with `first` and goes on in `rest` (RFC 8259 section
/// 6). Returns what comes after it.
pub(super) fn write<'t>(form: &mut Vec<u8>, first: u8, rest: &'t [u8]) -> Option<&'t [u8]> {
    let (negative, (first, rest)) = match first {
        b'-' => (true, rest.split_first()?),
        _ => (false, (&first, rest)),
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

    form.push(b'd');
    let sign = form.len();
    if negative {
        form.push(b'-');
    }
    let start = form.len();
    if *first != b'0' {
        form.push(*first);
        form.extend_from_slice(whole);
        form.extend_from_slice(fraction);
    } else {
        let zeros = fraction.iter().take_while(|digit| **digit == b'0').count();
        form.extend_from_slice(fraction.get(zeros..)?);
    }
    let significant = form.get(start..)?;
    let zeros = significant.iter().rev().take_while(|digit| **digit == b'0');
    let zeros = zeros.count();
    form.truncate(form.len() - zeros);
    if form.len() == start {
        form.truncate(sign);
        form.extend_from_slice(b"0;");
        return Some(rest);
    }
    let exponent = exponent + i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    if exponent != 0 {
        // Writing to memory cannot fail.
        write!(form, "e{exponent}").ok()?;
    }
    form.push(b';');
    Some(rest)
}

fn exponent(rest: &[u8]) -> Option<(i64, &[u8])> {
    let [b'e' | b'E', rest @ ..] = rest else {
        return Some((0, rest));
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
    Some((sign * value, rest))
}

/// The digits that `text` begins with, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn at_least_one<'t>((digits, rest): (&'t [u8], &'t [u8])) -> Option<(&'t [u8], &'t [u8])> {
    (!digits.is_empty()).then_some((digits, rest))
}
