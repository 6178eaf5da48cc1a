//! The opening of a prompt: the text that a model reads first.
//!
//! What a server keeps of a prompt, it keeps from the beginning on, and uses it again for a
//! prompt that begins alike. Of messages and other parts only what is text counts, in order
//! and without escapes: how the JSON around it is written makes no difference, nor does the
//! order of fields.

#[cfg(test)]
mod tests;

use std::hash::Hasher;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use super::text::{Escape, Symbol};

/// Bytes of JSON that are looked through for text. What is no text, such as an image, may be
/// long.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// Ends a text. No UTF-8 has it.
const END: u8 = 0xff;

/// Where the values stand whose text a model reads, by the offsets of their first bytes in
/// the body: the first of each name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) system: Option<usize>,
    pub(crate) instructions: Option<usize>,
    pub(crate) messages: Option<usize>,
    pub(crate) input: Option<usize>,
    pub(crate) prompt: Option<usize>,
}

impl Places {
    /// The number that requests share for the same model whose prompts open alike: in the
    /// first `bytes` of text of the instructions that stand apart, and if they are shorter
    /// also of the rest. None without any text.
    pub(crate) fn key(&self, body: &[Bytes], model: Option<&str>, bytes: usize) -> Option<u64> {
        let mut opening = Opening::new();
        opening.take(model.unwrap_or_default().as_bytes());
        opening.take(&[END]);
        let mut read =
            |place: Option<usize>| place.map_or(0, |at| opening.read(from(body, at), bytes));
        let apart = read(self.system.or(self.instructions));
        let rest = match apart < bytes {
            true => read(self.messages.or(self.input).or(self.prompt)),
            false => 0,
        };
        (apart + rest > 0).then(|| opening.finish())
    }
}

/// The bytes of a body from an offset on, as many as are looked through.
fn from(body: &[Bytes], at: usize) -> impl Iterator<Item = u8> {
    let mut skip = at;
    let pieces = body.iter().flat_map(move |piece| {
        let before = skip.min(piece.len());
        skip -= before;
        piece.get(before..).unwrap_or_default()
    });
    pieces.copied().take(JSON_BYTES_MAX)
}

/// Hashes text, some bytes at a time.
struct Opening {
    hasher: SipHasher13,
    buffer: [u8; 64],
    length: usize,
}

impl Opening {
    fn new() -> Self {
        Self {
            hasher: SipHasher13::new(),
            buffer: [0; 64],
            length: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.length == self.buffer.len() {
                self.hasher.write(&self.buffer);
                self.length = 0;
            }
            if let Some(place) = self.buffer.get_mut(self.length) {
                *place = *byte;
            }
            self.length += 1;
        }
    }

    fn finish(mut self) -> u64 {
        self.hasher
            .write(self.buffer.get(..self.length).unwrap_or_default());
        self.hasher.finish()
    }

    /// Takes up to `bytes` of the text in a value. Gives how much there was.
    fn read(&mut self, json: impl Iterator<Item = u8>, bytes: usize) -> usize {
        let mut json = json;
        let mut way = Way::new();
        let mut left = bytes;
        let mut in_number = false;
        while left > 0 {
            let Some(byte) = json.next() else { break };
            match byte {
                b'"' if way.is_key() => way.key = Name::read(&mut json),
                b'"' if way.is_text() => {
                    let mut text = Text::default();
                    while let Some(bytes) = text.next(&mut json) {
                        let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
                        self.take(bytes);
                        left -= bytes.len();
                        if left == 0 {
                            break;
                        }
                    }
                    self.take(&[END]);
                }
                b'"' => skip(&mut json),
                b'{' | b'[' => way.open(byte == b'{'),
                b'}' | b']' => way.close(),
                b':' => way.awaits_key = false,
                b',' => {
                    way.awaits_key = way.in_object();
                    if std::mem::take(&mut in_number) {
                        self.take(b",");
                    }
                }
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                // Ids of tokens, in a list that stands for a text.
                _ if way.is_text() && way.is_list() => {
                    self.take(&[byte]);
                    in_number = true;
                    left -= 1;
                }
                _ => {}
            }
            if way.depth == 0 {
                break;
            }
        }
        // Prompts differ that end where others go on.
        self.take(&[END]);
        bytes - left
    }
}

/// Where in a value the reading is.
struct Way {
    depth: u32,
    /// Which of the brackets around it are objects, the outermost at bit 0.
    objects: u128,
    /// Of which of them the values are text.
    texts: u128,
    /// The next string in the innermost object is a key.
    awaits_key: bool,
    /// The last key in the innermost object.
    key: Name,
}

impl Way {
    fn new() -> Self {
        Self {
            depth: 0,
            objects: 0,
            texts: 0,
            awaits_key: false,
            key: Name::Other,
        }
    }

    fn in_object(&self) -> bool {
        self.bit(self.objects)
    }

    fn is_list(&self) -> bool {
        self.depth > 0 && !self.in_object()
    }

    fn is_key(&self) -> bool {
        self.in_object() && self.awaits_key
    }

    /// Whether a string or a number that begins here is text.
    fn is_text(&self) -> bool {
        match (self.depth, self.in_object()) {
            (0, _) => true,
            (_, true) => self.key == Name::Text,
            (_, false) => self.bit(self.texts),
        }
    }

    fn bit(&self, of: u128) -> bool {
        self.depth > 0 && of >> (self.depth - 1) & 1 == 1
    }

    fn open(&mut self, object: bool) {
        let is_text = self.is_text();
        // The scan has found that there are no more brackets than bits.
        let bit = 1_u128.checked_shl(self.depth).unwrap_or(0);
        self.objects = self.objects & !bit | if object { bit } else { 0 };
        self.texts = self.texts & !bit | if is_text { bit } else { 0 };
        self.depth = (self.depth + 1).min(u128::BITS);
        self.awaits_key = object;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        // Whatever key the object around it was at, another one comes.
        self.key = Name::Other;
    }
}

/// What a key says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// It is text, or a list of parts with text.
    Text,
    Other,
}

impl Name {
    /// Reads the rest of a key.
    fn read(json: &mut impl Iterator<Item = u8>) -> Name {
        let mut kept = [0; 8];
        let mut length = 0_usize;
        let mut text = Text::default();
        while let Some(bytes) = text.next(json) {
            for byte in bytes {
                if let Some(place) = kept.get_mut(length) {
                    *place = *byte;
                }
                length = length.saturating_add(1);
            }
        }
        match kept.get(..length) {
            Some(b"content" | b"text") => Name::Text,
            _ => Name::Other,
        }
    }
}

/// Skips the rest of a string.
fn skip(json: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = json.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                json.next();
            }
            _ => {}
        }
    }
}

/// A string without its escapes.
#[derive(Default)]
struct Text {
    /// The first half of a surrogate pair whose second has yet to come.
    high: Option<u16>,
    utf8: [u8; 8],
}

impl Text {
    /// The next character, or a byte of one; none at the end.
    fn next(&mut self, json: &mut impl Iterator<Item = u8>) -> Option<&[u8]> {
        let mut escape = Escape::None;
        loop {
            // The scan has found no fault in it.
            match escape.step(json.next()?).ok()? {
                None => {}
                Some(Symbol::Close) => return None,
                Some(Symbol::Byte(byte)) => {
                    self.high = None;
                    let [first, ..] = &mut self.utf8;
                    *first = byte;
                    return self.utf8.get(..1);
                }
                Some(Symbol::Unit(high @ 0xd800..=0xdbff)) => self.high = Some(high),
                Some(Symbol::Unit(unit)) => {
                    let units = self.high.take().into_iter().chain([unit]);
                    // Half a pair stands for no character.
                    let characters = char::decode_utf16(units)
                        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER));
                    let mut length = 0;
                    for character in characters {
                        if let Some(room) = self.utf8.get_mut(length..)
                            && room.len() >= character.len_utf8()
                        {
                            length += character.encode_utf8(room).len();
                        }
                    }
                    return self.utf8.get(..length);
                }
            }
        }
    }
}
