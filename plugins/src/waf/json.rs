//! The strings of a JSON body that are no prompt.
//!
//! One pass, no tree: the reader knows for each place what kind of place it is
//! ([`Zone`]), skips what stands in a prompt from quote to quote, and shows the rest.
//! It is lenient where a lenient parser behind would be, and says where the text is
//! not JSON at all.

mod zone;

#[cfg(test)]
mod tests;

use memchr::memchr2;

use super::rule::Target;
use zone::Zone;

pub(super) use zone::is_link;

/// Deepest nesting of arrays and objects.
const DEPTH_MAX: usize = 128;

/// As much of an address as is looked at: the host stands at its beginning, and what is
/// longer is an image in base64.
const ADDRESS_BYTES_MAX: usize = 8 * 1024;

/// Longest name of a field that is looked at together with its parent's.
const NAME_BYTES_MAX: usize = 256;

/// A text in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'b> {
    /// What it is.
    pub(super) target: Target,
    /// Key of the outermost object under which it stands; empty at the top.
    pub(super) top: &'b [u8],
    /// Key that it has itself, or the nearest above it.
    pub(super) key: &'b [u8],
    /// The inside of its quotes as written, with its escapes.
    pub(super) text: &'b [u8],
}

/// The text is not JSON from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Offset in the body, in bytes.
    pub(super) at: usize,
}

/// Shows every key and string that is no prompt to `look`, until that asks for no more.
/// Of several values one after another, as in JSON Lines, each is read.
pub(super) fn each<'b>(
    body: &'b [u8],
    mut look: impl FnMut(Text<'b>) -> bool,
) -> Result<(), Malformed> {
    let mut reader = Reader {
        body: body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body),
        at: 0,
        levels: Vec::new(),
    };
    while reader.peek().is_some() {
        match reader.value(&mut look) {
            Ok(()) => {}
            Err(Stop::Enough) => return Ok(()),
            Err(Stop::Fault) => return Err(Malformed { at: reader.at }),
        }
    }
    Ok(())
}

/// What a field at the top of a request is when it stands in a form; none for a prompt.
pub(super) fn target_of_root_field(name: &[u8], text: &[u8]) -> Option<Target> {
    Zone::Root.below(name).target(text)
}

/// Whether a body looks like JSON, whatever it is declared as.
pub(super) fn looks_like(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

/// An array or object around the place of reading.
#[derive(Clone, Copy)]
struct Level<'b> {
    object: bool,
    zone: Zone,
    /// Zone of the value that comes next.
    next: Zone,
    /// Its key, or the nearest above it.
    key: &'b [u8],
}

struct Reader<'b> {
    body: &'b [u8],
    at: usize,
    levels: Vec<Level<'b>>,
}

enum Stop {
    /// The one who looks has seen enough.
    Enough,
    /// The text is not JSON.
    Fault,
}

impl<'b> Reader<'b> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.body.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => return Some(*byte),
            }
        }
        None
    }

    /// Takes the next byte, which was peeked at.
    fn step(&mut self) {
        self.at += 1;
    }

    /// Reads one value with all that is in it. Each turn of the loop takes a value, or
    /// closes a bracket.
    fn value(&mut self, look: &mut impl FnMut(Text<'b>) -> bool) -> Result<(), Stop> {
        loop {
            match self.peek().ok_or(Stop::Fault)? {
                b'{' => self.open(true)?,
                b'[' => self.open(false)?,
                b'"' => {
                    let text = self.string()?;
                    self.show(text, look)?;
                    self.after_value()?;
                }
                byte if is_scalar(byte) => {
                    self.scalar();
                    self.after_value()?;
                }
                b']' | b'}' => {
                    // Only an empty array or object may close before a value.
                    self.close()?;
                    self.after_value()?;
                }
                _ => return Err(Stop::Fault),
            }
            // In an object a key comes before each value.
            match self.levels.last().copied() {
                None => return Ok(()),
                Some(Level { object: true, .. }) if self.peek() != Some(b'}') => self.key(look)?,
                Some(_) => {}
            }
        }
    }

    /// Enters an array or object.
    fn open(&mut self, object: bool) -> Result<(), Stop> {
        if self.levels.len() == DEPTH_MAX {
            return Err(Stop::Fault);
        }
        self.step();
        let outer = self.levels.last();
        let zone = outer.map_or(Zone::Root, |outer| outer.next);
        let level = Level {
            object,
            zone,
            next: zone,
            key: outer.map_or(&[], |outer| outer.key),
        };
        self.levels.push(level);
        Ok(())
    }

    /// Leaves the innermost array or object.
    fn close(&mut self) -> Result<(), Stop> {
        let level = self.levels.pop().ok_or(Stop::Fault)?;
        let wanted = if level.object { b'}' } else { b']' };
        if self.peek() != Some(wanted) {
            return Err(Stop::Fault);
        }
        self.step();
        Ok(())
    }

    /// What may stand after a value: commas and the ends of what it is in.
    fn after_value(&mut self) -> Result<(), Stop> {
        while let Some(level) = self.levels.last().copied() {
            match (self.peek(), level.object) {
                (Some(b','), _) => {
                    self.step();
                    return Ok(());
                }
                (Some(b'}'), true) | (Some(b']'), false) => self.close()?,
                _ => return Err(Stop::Fault),
            }
        }
        Ok(())
    }

    /// Reads a key and its colon.
    fn key(&mut self, look: &mut impl FnMut(Text<'b>) -> bool) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return Err(Stop::Fault);
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(Stop::Fault);
        }
        self.step();
        let top = self.top();
        let Some(level) = self.levels.last_mut() else {
            return Err(Stop::Fault);
        };
        let parent = level.zone;
        level.key = key;
        level.next = parent.below(key);
        if parent.shows_keys() && !level.next.is_known() {
            let text = Text {
                target: Target::JsonKey,
                top,
                key: self.parent_key().unwrap_or_default(),
                text: key,
            };
            if !look(text) {
                return Err(Stop::Enough);
            }
        }
        Ok(())
    }

    /// Key under which the innermost object stands.
    fn parent_key(&self) -> Option<&'b [u8]> {
        let outer = self.levels.len().checked_sub(2)?;
        self.levels.get(outer).map(|level| level.key)
    }

    /// Key of the outermost object under which the reader is.
    fn top(&self) -> &'b [u8] {
        match self.levels.as_slice() {
            [top, _, ..] => top.key,
            _ => &[],
        }
    }

    fn show(&self, text: &'b [u8], look: &mut impl FnMut(Text<'b>) -> bool) -> Result<(), Stop> {
        let level = self.levels.last();
        let zone = level.map_or(Zone::Plain, |level| level.next);
        let Some(target) = zone.target(text) else {
            return Ok(());
        };
        let text = match target {
            Target::JsonMedia => text.get(..ADDRESS_BYTES_MAX).unwrap_or(text),
            _ => text,
        };
        let text = Text {
            target,
            top: self.top(),
            key: level.map_or(&[], |level| level.key),
            text,
        };
        match look(text) {
            true => Ok(()),
            false => Err(Stop::Enough),
        }
    }

    /// Takes a string, which begins here, and gives what is between its quotes.
    fn string(&mut self) -> Result<&'b [u8], Stop> {
        self.step();
        let start = self.at;
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            let Some(plain) = quote_or_backslash(rest) else {
                self.at = self.body.len();
                return Err(Stop::Fault);
            };
            self.at += plain;
            if rest.get(plain) == Some(&b'"') {
                let text = self.body.get(start..self.at).unwrap_or_default();
                self.step();
                return Ok(text);
            }
            // A backslash, and whatever it escapes.
            self.at += 2;
        }
    }

    /// Takes a number or a word.
    fn scalar(&mut self) {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_scalar(**byte));
        self.at += length.count();
    }
}

/// Where the next quote or backslash is. Keys and what stands between two escapes are
/// short, and over before a search by many bytes at a time has begun.
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const NEAR: usize = 16;
    let is_wanted = |byte: &u8| matches!(byte, b'"' | b'\\');
    let near = text.get(..NEAR).unwrap_or(text);
    near.iter().position(is_wanted).or_else(|| {
        let rest = text.get(NEAR..)?;
        Some(NEAR + memchr2(b'"', b'\\', rest)?)
    })
}

/// Characters of numbers and literals, those of lenient parsers (`NaN`, `-Infinity`)
/// included.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// A key after its parent's and a dot, for rules that look at both. Kept without memory
/// of its own.
pub(super) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl Name {
    /// A key under a parent. A long one is cut at its end.
    pub(super) fn new(parent: &[u8], key: &[u8]) -> Self {
        let mut name = Self {
            bytes: [0; NAME_BYTES_MAX],
            length: 0,
        };
        let dot: &[u8] = if parent.is_empty() { b"" } else { b"." };
        let parent = parent.get(..NAME_BYTES_MAX / 2).unwrap_or(parent);
        let bytes = parent.iter().chain(dot).chain(key);
        for (place, byte) in name.bytes.iter_mut().zip(bytes) {
            *place = *byte;
            name.length += 1;
        }
        name
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
