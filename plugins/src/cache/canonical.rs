//! A JSON object in the one form that all spellings of its meaning share.
//!
//! Two objects mean the same when they differ only in white space, in the order of
//! members, in how strings are escaped and in how numbers are written. The form is
//! made in one pass over the text, without a tree, and is unambiguous: different
//! meanings have different forms.
//!
//! | value | form |
//! |---|---|
//! | `null`, `true`, `false` | `n`, `t`, `f` |
//! | number | `d`, then sign, digits and exponent as [`number`] has them, then `;` |
//! | string | `s`, its bytes without escapes, then 0xff, which UTF-8 never has |
//! | array | `[`, its elements, `]` |
//! | object | `{`, its members in order of their keys, `}` |
//! | large value | `h`, then the BLAKE3 hash of its form |
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

use std::cmp::Ordering;
use std::ops::Range;

use crate::json::DEPTH_MAX;

/// Containers at levels divisible by this are folded into their hash.
const FOLD_DEPTH: usize = 8;

/// Forms up to this length are not folded: a hash would hardly be shorter.
const FOLD_BYTES_MIN: usize = 64;

/// The end of a string.
const STRING_END: u8 = 0xff;

/// An object in canonical form, its outermost members apart.
pub(super) struct Canonical {
    form: Vec<u8>,
    /// In the order of their keys.
    members: Vec<Member>,
}

/// Where a member stands in the form.
struct Member {
    key: Range<usize>,
    value: Range<usize>,
}

impl Canonical {
    /// The form of `text`; none if it has none.
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        let mut writer = Writer {
            rest: text,
            form: Vec::with_capacity(text.len() + text.len() / 4),
            members: Vec::new(),
            open: Vec::new(),
            sorted: Vec::new(),
        };
        writer.whole()?;
        Some(Self {
            form: writer.form,
            members: writer.members,
        })
    }

    /// Keys and values, each in its form, in the order of the keys.
    pub(super) fn members(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.members.iter().filter_map(|member| {
            let key = self.form.get(member.key.clone())?;
            Some((key, self.form.get(member.value.clone())?))
        })
    }

    /// The form of the value of the outermost member `key`.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let text = |member: &Member| self.form.get(member.key.clone()).unwrap_or_default();
        let search = |member: &Member| order(text(member), key.as_bytes());
        let place = self.members.binary_search_by(search);
        let member = self.members.get(place.ok()?)?;
        self.form.get(member.value.clone())
    }

    /// Whether the value of the outermost member `key` is the string `text`.
    pub(super) fn is_string(&self, key: &str, text: &str) -> bool {
        let inner = self.value(key).and_then(|form| form.strip_prefix(b"s"));
        inner.and_then(|form| form.strip_suffix(&[STRING_END])) == Some(text.as_bytes())
    }

    /// Whether the outermost member `key` is there and is not `null`.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.value(key).is_some_and(|form| form != b"n")
    }

    /// Whether the value of the outermost member `key` is `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value(key) == Some(b"t")
    }

    /// Whether the value of the outermost member `key` is `false`.
    pub(super) fn is_false(&self, key: &str) -> bool {
        self.value(key) == Some(b"f")
    }

    /// Whether the value of the outermost member `key` is zero.
    pub(super) fn is_zero(&self, key: &str) -> bool {
        self.value(key) == Some(b"d0;")
    }
}

/// Reads the text from its beginning and writes the form to its end.
struct Writer<'t> {
    rest: &'t [u8],
    form: Vec<u8>,
    /// The members of the objects that are open, the innermost object's last.
    members: Vec<Member>,
    /// The containers around the place of reading.
    open: Vec<Container>,
    /// Where members are put in order.
    sorted: Vec<u8>,
}

/// An array or object whose end has yet to come.
struct Container {
    /// Where its form begins.
    start: usize,
    /// For an object, where in `members` its own begin.
    first_member: Option<usize>,
    /// Whether its members stand in order so far.
    in_order: bool,
}

/// What comes after a value.
enum Next {
    /// Another one, with this first byte.
    Value(u8),
    /// Nothing: the outermost object has ended.
    End,
}

impl Writer<'_> {
    fn whole(&mut self) -> Option<()> {
        let mut byte = self.token()?;
        if byte != b'{' {
            return None;
        }
        loop {
            let opened = self.value(byte)?;
            match self.after(opened)? {
                Next::Value(first) => byte = first,
                Next::End => break,
            }
        }
        // Anything but white space after the object would be another parser's guess.
        self.token().is_none().then_some(())
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
        }
    }

    /// Writes the value that begins with `byte`, or its beginning if it is a container.
    /// True if it is.
    fn value(&mut self, byte: u8) -> Option<bool> {
        match byte {
            b'{' | b'[' => {
                self.begin(byte)?;
                return Some(true);
            }
            b'"' => {
                self.form.push(b's');
                self.string()?;
            }
            b'n' => self.literal(b'n', b"ull")?,
            b't' => self.literal(b't', b"rue")?,
            b'f' => self.literal(b'f', b"alse")?,
            b'-' | b'0'..=b'9' => self.rest = number::write(&mut self.form, byte, self.rest)?,
            _ => return None,
        }
        Some(false)
    }

    fn literal(&mut self, form: u8, rest: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(rest)?;
        self.form.push(form);
        Some(())
    }

    /// The text of a string after its opening quote.
    fn string(&mut self) -> Option<()> {
        self.rest = text::write(&mut self.form, self.rest)?;
        self.form.push(STRING_END);
        Some(())
    }

    fn begin(&mut self, bracket: u8) -> Option<()> {
        if self.open.len() == DEPTH_MAX {
            return None;
        }
        self.open.push(Container {
            start: self.form.len(),
            first_member: (bracket == b'{').then_some(self.members.len()),
            in_order: true,
        });
        self.form.push(bracket);
        Some(())
    }

    /// Reads on to the next value. `first` if a container has just begun.
    fn after(&mut self, mut first: bool) -> Option<Next> {
        while let Some(container) = self.open.last() {
            let object = container.first_member.is_some();
            if let (true, false, Some(member)) = (object, first, self.members.last_mut()) {
                member.value.end = self.form.len();
            }
            let mut byte = self.token()?;
            if byte == if object { b'}' } else { b']' } {
                self.end(byte)?;
                first = false;
                continue;
            }
            if !first {
                if byte != b',' {
                    return None;
                }
                byte = self.token()?;
            }
            if object {
                if byte != b'"' {
                    return None;
                }
                self.key()?;
                byte = self.token()?;
            }
            return Some(Next::Value(byte));
        }
        Some(Next::End)
    }

    /// A key after its opening quote, and the colon.
    fn key(&mut self) -> Option<()> {
        self.form.push(b's');
        let start = self.form.len();
        self.string()?;
        if self.token()? != b':' {
            return None;
        }
        let key = start..self.form.len() - 1;
        let object = self.open.last_mut()?;
        let earlier = self.members.get(object.first_member?..)?.last();
        if let Some(earlier) = earlier {
            let text = |range: &Range<usize>| self.form.get(range.clone());
            let order = order(text(&earlier.key)?, text(&key)?);
            object.in_order &= order.is_lt();
        }
        let value = self.form.len()..self.form.len();
        self.members.push(Member { key, value });
        Some(())
    }

    /// The closing bracket of the innermost container.
    fn end(&mut self, bracket: u8) -> Option<()> {
        let level = self.open.len();
        let container = self.open.pop()?;
        if let Some(first) = container.first_member {
            if !container.in_order {
                self.sort(first)?;
            }
            if level == 1 {
                // Whoever asked for the form takes its members one by one.
                return Some(());
            }
            if !container.in_order {
                self.move_members(container.start + 1, first);
            }
            self.members.truncate(first);
        }
        self.form.push(bracket);
        if level.is_multiple_of(FOLD_DEPTH) {
            fold(&mut self.form, container.start);
        }
        Some(())
    }

    /// Puts the members from `first` on in order. None if a key stands there twice.
    fn sort(&mut self, first: usize) -> Option<()> {
        let text = |member: &Member| self.form.get(member.key.clone()).unwrap_or_default();
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
            // The tag of the key stands before it.
            let range = member.key.start - 1..member.value.end;
            let form = self.form.get(range).unwrap_or_default();
            self.sorted.extend_from_slice(form);
        }
        self.form.truncate(start);
        self.form.extend_from_slice(&self.sorted);
    }
}

/// The order of members: shorter keys first, and of the same length the greater ones. Any
/// order would do. This is the one in which clients write most of what there is in large
/// bodies, so that it is seldom moved: `role` before `content`, `type` before `text`.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| b.cmp(a))
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
