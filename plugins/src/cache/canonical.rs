//! A JSON object in the one form that all spellings of its meaning share.
//!
//! Two objects mean the same when they differ only in white space, in the order of
//! members, in how strings are escaped and in how numbers are written. The form is JSON
//! again, in the spelling that most clients use, and is unambiguous: different meanings
//! have different forms.
//!
//! | value | form |
//! |---|---|
//! | `null`, `true`, `false` | the word |
//! | number | sign, digits and exponent as [`number`] has them |
//! | string | its text in quotes, with the escapes that [`text`] has |
//! | array | its elements with commas between them, in brackets |
//! | object | its members in order of their keys, with commas, in braces |
//! | large value | `h`, then the BLAKE3 hash of its form |
//!
//! It is made in one pass over the text, without a tree. What stands in its form already is
//! not touched: it is left where it is until something else comes that must be written,
//! and of a body that is in its form as a whole not a byte is copied.
//!
//! Members are moved into order when their object ends, so a byte may be moved once for
//! each object around it. Lest deep nesting make that expensive, a container at each
//! [`FOLD_DEPTH`]th level is folded into its hash.
//!
//! What parsers are known to read differently has no form: a key that stands twice in an
//! object (RFC 8259 section 4), half a surrogate pair (section 8.2), a byte order mark,
//! control characters in strings, and whatever is no JSON at all.

mod number;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::json::DEPTH_MAX;
use crate::lanes::{self, LANES};
use number::Number;

/// Containers at levels divisible by this are folded into their hash.
const FOLD_DEPTH: usize = 8;

/// Forms up to this length are not folded: a hash would hardly be shorter.
const FOLD_BYTES_MIN: usize = 64;

/// An object in canonical form, its outermost members apart.
pub(super) struct Canonical<'t> {
    form: Cow<'t, [u8]>,
    /// In the order of their keys.
    members: Vec<Member>,
}

/// Where a member stands in the form.
struct Member {
    /// The inside of the key, after its opening quote.
    key: Range<usize>,
    /// The end of the value, which begins two bytes after the key. Known once the object has
    /// ended.
    end: usize,
}

impl Member {
    fn value(&self) -> Range<usize> {
        self.key.end + 2..self.end
    }

    /// All of it.
    fn whole(&self) -> Range<usize> {
        self.key.start - 1..self.end
    }
}

impl<'t> Canonical<'t> {
    /// The form of `text`; none if it has none.
    pub(super) fn new(text: &'t [u8]) -> Option<Self> {
        let mut writer = Writer {
            form: Vec::new(),
            run: text,
            members: Vec::new(),
            around: Vec::new(),
            sorted: Vec::new(),
        };
        writer.whole(text)?;
        Some(Self {
            form: match writer.form.is_empty() {
                true => Cow::Borrowed(writer.run),
                false => Cow::Owned(writer.form),
            },
            members: writer.members,
        })
    }

    /// Keys and values, each in its form, in the order of the keys.
    pub(super) fn members(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.members.iter().filter_map(|member| {
            let key = self.form.get(member.key.clone())?;
            Some((key, self.form.get(member.value())?))
        })
    }

    /// The form of the value of the outermost member `key`, which has nothing to escape.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let text = |member: &Member| self.form.get(member.key.clone()).unwrap_or_default();
        let search = |member: &Member| order(text(member), key.as_bytes());
        let place = self.members.binary_search_by(search);
        let member = self.members.get(place.ok()?)?;
        self.form.get(member.value())
    }

    /// Whether the value of the outermost member `key` is the string `text`. Neither has
    /// anything to escape.
    pub(super) fn is_string(&self, key: &str, text: &str) -> bool {
        let inner = self.value(key).and_then(|form| form.strip_prefix(b"\""));
        inner.and_then(|form| form.strip_suffix(b"\"")) == Some(text.as_bytes())
    }

    /// Whether the outermost member `key` is there and is not `null`.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.value(key).is_some_and(|form| form != b"null")
    }

    /// Whether the value of the outermost member `key` is `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value(key) == Some(b"true")
    }

    /// Whether the value of the outermost member `key` is `false`.
    pub(super) fn is_false(&self, key: &str) -> bool {
        self.value(key) == Some(b"false")
    }

    /// Whether the value of the outermost member `key` is zero.
    pub(super) fn is_zero(&self, key: &str) -> bool {
        self.value(key) == Some(b"0")
    }
}

/// Writes the form while it reads the text.
struct Writer<'t> {
    /// The form up to where `run` begins.
    form: Vec<u8>,
    /// The text from there on. Between its beginning and the place of reading it is its own
    /// form.
    run: &'t [u8],
    /// The members of the objects that are open, the innermost object's last.
    members: Vec<Member>,
    /// The containers around the innermost.
    around: Vec<Container>,
    /// Where members are put in order.
    sorted: Vec<u8>,
}

/// An array or object whose end has yet to come.
#[derive(Clone, Copy)]
struct Container {
    /// Where its form begins.
    start: usize,
    /// Where in `members` its own begin.
    first_member: usize,
    is_object: bool,
    /// Whether its members stand in order so far.
    in_order: bool,
    /// That of the last key.
    rank: Option<usize>,
}

// Each of these takes the text from the place of reading on, and gives what comes after
// what it has read.
impl<'t> Writer<'t> {
    fn whole(&mut self, text: &'t [u8]) -> Option<()> {
        let (b'{', rest) = self.token(text)? else {
            return None;
        };
        let rest = self.object(rest)?;
        if !self.form.is_empty() {
            self.flush(rest);
        }
        // Anything but white space after the object would be another parser's guess.
        rest.iter().all(|byte| is_space(*byte)).then_some(())
    }

    /// The outermost object after its opening brace.
    fn object(&mut self, mut rest: &'t [u8]) -> Option<&'t [u8]> {
        let mut inner = self.open(b'{', rest);
        let mut is_first = true;
        loop {
            let (mut byte, mut after) = self.token(rest)?;
            if byte == inner.closing() {
                self.close(&inner, byte, after)?;
                (rest, is_first) = (after, false);
                match self.around.pop() {
                    Some(outer) => inner = outer,
                    None => return Some(rest),
                }
                continue;
            }
            if !is_first {
                if byte != b',' {
                    return None;
                }
                (byte, after) = self.token(after)?;
            }
            if inner.is_object {
                if byte != b'"' {
                    return None;
                }
                after = self.key(&mut inner, after)?;
                (byte, after) = self.token(after)?;
            }
            is_first = matches!(byte, b'{' | b'[');
            if is_first {
                if self.around.len() + 1 == DEPTH_MAX {
                    return None;
                }
                self.around.push(inner);
                inner = self.open(byte, after);
                rest = after;
            } else {
                rest = self.leaf(byte, after)?;
            }
        }
    }

    /// The next byte that is not white space.
    #[inline(always)]
    fn token(&mut self, rest: &'t [u8]) -> Option<(u8, &'t [u8])> {
        let (byte, after) = rest.split_first()?;
        match *byte {
            ..=b' ' => self.spaced_token(rest),
            byte => Some((byte, after)),
        }
    }

    fn spaced_token(&mut self, mut rest: &'t [u8]) -> Option<(u8, &'t [u8])> {
        self.flush(rest);
        loop {
            let (byte, after) = rest.split_first()?;
            if !is_space(*byte) {
                self.run = rest;
                return Some((*byte, after));
            }
            rest = after;
        }
    }

    /// A string, number or literal after its first byte.
    #[inline(always)]
    fn leaf(&mut self, byte: u8, rest: &'t [u8]) -> Option<&'t [u8]> {
        match byte {
            b'"' => self.string(rest),
            b'n' => rest.strip_prefix(b"ull"),
            b't' => rest.strip_prefix(b"rue"),
            b'f' => rest.strip_prefix(b"alse"),
            b'-' | b'0'..=b'9' => self.number(byte, rest),
            _ => None,
        }
    }

    fn number(&mut self, first: u8, rest: &'t [u8]) -> Option<&'t [u8]> {
        let (number, after) = Number::read(first, rest)?;
        if !number.is_canonical() {
            // Its first byte too was its own form as far as anybody knew.
            self.flush(rest);
            self.form.pop();
            number.write(&mut self.form)?;
            self.run = after;
        }
        Some(after)
    }

    /// A string after its opening quote.
    #[inline(always)]
    fn string(&mut self, inside: &'t [u8]) -> Option<&'t [u8]> {
        // Most strings are short.
        if let Some(near) = inside.first_chunk::<LANES>() {
            let length = lanes::specials(near).trailing_zeros() as usize;
            if length < LANES && inside.get(length) == Some(&b'"') {
                return inside.get(length + 1..);
            }
        }
        self.long_string(inside)
    }

    fn long_string(&mut self, inside: &'t [u8]) -> Option<&'t [u8]> {
        let rest = text::after_canonical(inside);
        if let [b'"', after @ ..] = rest {
            return Some(after);
        }
        self.flush(rest);
        let after = text::write(&mut self.form, rest)?;
        self.run = after;
        Some(after)
    }

    /// A key after its opening quote, and the colon.
    #[inline(always)]
    fn key(&mut self, object: &mut Container, inside: &'t [u8]) -> Option<&'t [u8]> {
        let start = self.length(inside);
        let rest = self.string(inside)?;
        let key = start..self.length(rest) - 1;
        let (b':', rest) = self.token(rest)? else {
            return None;
        };
        let rank = Some(rank(key.len()));
        object.in_order &= match object.rank.cmp(&rank) {
            Ordering::Less => true,
            Ordering::Equal => self.is_before(&key),
            Ordering::Greater => false,
        };
        object.rank = rank;
        self.members.push(Member { key, end: 0 });
        Some(rest)
    }

    /// Whether the last key that was read comes before this one of the same length.
    fn is_before(&self, key: &Range<usize>) -> bool {
        let text = |key: &Range<usize>| written(&self.form, self.run, key.clone());
        let last = self.members.last();
        last.is_some_and(|last| order(text(&last.key), text(key)).is_lt())
    }

    /// Begins a container whose bracket was read last.
    fn open(&mut self, bracket: u8, rest: &'t [u8]) -> Container {
        Container {
            start: self.length(rest) - 1,
            first_member: self.members.len(),
            is_object: bracket == b'{',
            in_order: true,
            rank: None,
        }
    }

    /// Ends a container whose closing bracket was read last.
    fn close(&mut self, container: &Container, bracket: u8, rest: &'t [u8]) -> Option<()> {
        let level = self.around.len() + 1;
        if container.is_object {
            let first = container.first_member;
            if !container.in_order || level == 1 {
                self.end_members(first, self.length(rest) - 1);
            }
            if !container.in_order {
                self.sort(first)?;
            }
            if level == 1 {
                // Whoever asked for the form takes its members one by one.
                return Some(());
            }
            if !container.in_order {
                self.flush(rest);
                self.move_members(container.start + 1, first);
                self.form.push(bracket);
            }
            self.members.truncate(first);
        }
        if level.is_multiple_of(FOLD_DEPTH) {
            self.flush(rest);
            fold(&mut self.form, container.start);
        }
        Some(())
    }

    /// Takes down where the members from `first` on end, the last of which ends at `end`:
    /// before a comma and the quote of the next one.
    fn end_members(&mut self, first: usize, mut end: usize) {
        for member in self.members.iter_mut().skip(first).rev() {
            member.end = end;
            end = member.key.start.saturating_sub(2);
        }
    }

    /// Length of the form up to the place of reading.
    #[inline(always)]
    fn length(&self, rest: &[u8]) -> usize {
        self.form.len() + self.run.len() - rest.len()
    }

    /// Writes the run up to the place of reading.
    fn flush(&mut self, rest: &'t [u8]) {
        let length = self.run.len() - rest.len();
        if length > 0 && self.form.capacity() == 0 {
            self.form.reserve(self.run.len());
        }
        text::write_plain(&mut self.form, self.run, length);
        self.run = rest;
    }

    /// Puts the members from `first` on in order. None if a key stands there twice.
    fn sort(&mut self, first: usize) -> Option<()> {
        let text = |member: &Member| written(&self.form, self.run, member.key.clone());
        let members = self.members.get_mut(first..)?;
        members.sort_unstable_by(|a, b| order(text(a), text(b)));
        let mut pairs = members.iter().zip(members.iter().skip(1));
        pairs.all(|(a, b)| text(a) != text(b)).then_some(())
    }

    /// Moves the members from `first` on, whose forms fill the end of the form from
    /// `start`, into their order.
    fn move_members(&mut self, start: usize, first: usize) {
        self.sorted.clear();
        for member in self.members.get(first..).unwrap_or_default() {
            if !self.sorted.is_empty() {
                self.sorted.push(b',');
            }
            let form = self.form.get(member.whole()).unwrap_or_default();
            self.sorted.extend_from_slice(form);
        }
        self.form.truncate(start);
        self.form.extend_from_slice(&self.sorted);
    }
}

impl Container {
    fn closing(&self) -> u8 {
        match self.is_object {
            true => b'}',
            false => b']',
        }
    }
}

/// What stands in the form, be it written or in the run; nothing that begins in one and ends
/// in the other.
#[inline(always)]
fn written<'a>(form: &'a [u8], run: &'a [u8], range: Range<usize>) -> &'a [u8] {
    let part = match range.start.checked_sub(form.len()) {
        Some(start) => run.get(start..range.end - form.len()),
        None => form.get(range),
    };
    part.unwrap_or_default()
}

/// White space between tokens (RFC 8259 section 2).
#[inline(always)]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The order of members: by the lengths of their keys, and of the same length the greater
/// ones first. Any order would do. This is the one in which clients write most of what there
/// is in large bodies, so that it is seldom moved: `role` before `content`, `type` before
/// `text`, `name` before `description` and `parameters`, `properties` before `required`.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    rank(a.len()).cmp(&rank(b.len())).then_with(|| b.cmp(a))
}

/// Where keys of a length stand: shorter ones first, but those of 11 and 10 bytes before
/// those of 8.
fn rank(length: usize) -> usize {
    match length {
        8 => 11,
        9 => 8,
        11 => 9,
        other => other,
    }
}

/// Replaces what stands in the form from `start` by its hash, unless it is short.
fn fold(form: &mut Vec<u8>, start: usize) {
    let value = form.get(start..).unwrap_or_default();
    if value.len() > FOLD_BYTES_MIN {
        let hash = blake3::hash(value);
        form.truncate(start);
        form.push(b'h');
        form.extend_from_slice(hash.as_bytes());
    }
}
