//! The short way from text to tree, for files as they are mostly written.
//!
//! A configuration or a file of keys is read while the proxy serves, on the processors
//! that serve, so that reading ten thousand keys must cost little. Most files keep to a
//! small part of YAML: ASCII, `key: value` and `- element` by indentation, lists and
//! mappings in brackets within one line, scalars within one line, quotes without
//! escapes, comments. That part is read here in one pass. At the first sign of anything
//! else, a mistake included, this reader gives up, and the full one ([`super::build`])
//! reads the text from its beginning. So whatever is read here is the very tree that
//! the full reader would have made, which `tests` checks, and it alone tells mistakes.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::{memchr, memchr3, memmem};

use super::build::{DEPTH_MAX, NODES_MAX};
use super::{Content, Key, Mark, Node};

/// Longest key in bytes. YAML has longer ones (1.2.2 section 7.4.2), nobody else has.
const KEY_BYTES_MAX: usize = 128;

/// Up to this many keys of a mapping are compared with each other one by one.
const FEW_KEYS: usize = 16;

/// The tree of a text; none if the text is not as plain as this reader wants it, or is
/// empty.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    let mut reader = Reader::new(text)?;
    reader.skip_to_content();
    if reader.is_at_end() || reader.column() != 0 {
        return None;
    }
    let root = reader.block(0)?;
    reader.is_at_end().then_some(root)
}

/// Hands out the elements of a text that is a list, one after the other, so that no tree
/// of them all is made. Says how many values they hold; none if the text is not as plain
/// as this reader wants it, is no list, or an element was refused.
///
/// No element is told where it stands in the file, so that the text may be a part of one.
pub(in crate::located) fn elements<'t>(
    text: &'t str,
    mut take: impl FnMut(&Node<'t>) -> Option<()>,
) -> Option<usize> {
    let mut reader = Reader::new(text)?;
    reader.skip_to_content();
    reader.enter()?;
    while reader.is_within(0) && reader.is_at_element() {
        take(&reader.element(0)?)?;
    }
    reader.is_at_end().then_some(reader.nodes)
}

/// Divides a list into about as many lists as wanted, each with whole elements: in a text
/// that [`elements`] reads, an element of the outermost list begins wherever a line begins
/// like one.
pub(in crate::located) fn parts(text: &str, wanted: usize) -> Vec<&str> {
    let mut parts = Vec::with_capacity(wanted);
    let mut rest = text;
    for left in (2..=wanted).rev() {
        let from = rest.len() / left;
        let after = rest.as_bytes().get(from..).unwrap_or_default();
        let Some(end) = memmem::find(after, b"\n- ") else {
            break;
        };
        let Some((part, others)) = rest.split_at_checked(from + end + 1) else {
            break;
        };
        parts.push(part);
        rest = others;
    }
    parts.push(rest);
    parts
}

struct Reader<'t> {
    text: &'t str,
    /// The next byte.
    at: usize,
    /// Of the next byte, from 1.
    line: usize,
    /// Where that line begins.
    line_start: usize,
    /// Lists and mappings that have begun and not ended.
    depth: usize,
    /// Values so far, keys included.
    nodes: usize,
    /// What is known of the lists that have begun and not ended, the innermost last. Each
    /// is taken out when it ends and then occupies no more than it needs.
    items: Vec<Node<'t>>,
    /// Likewise of the mappings.
    entries: Vec<(Key<'t>, Node<'t>)>,
}

/// Where a scalar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// By indentation: the scalar ends with its line.
    Block,
    /// In brackets: it ends with the element.
    Flow,
}

impl<'t> Reader<'t> {
    /// A reader at the beginning of a text of nothing but ASCII and line feeds. Then bytes
    /// are characters, and no line break or blank has a second form.
    fn new(text: &'t str) -> Option<Self> {
        let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) | (*byte == b'\n');
        // Without a branch for each byte, of which a file of keys has a million.
        let mut blocks = text.as_bytes().chunks(256);
        let all = blocks.all(|block| block.iter().fold(true, |all, byte| all & is_plain(byte)));
        all.then(|| Reader {
            text,
            at: 0,
            line: 1,
            line_start: 0,
            depth: 0,
            nodes: 0,
            items: Vec::new(),
            entries: Vec::new(),
        })
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn peek_second(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at + 1).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn mark(&self) -> Mark {
        Mark::new(self.line, self.column() + 1, self.at)
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Goes on to the next byte of content: past spaces, comments and line breaks. To be
    /// called at the beginning of a line or after a blank.
    fn skip_to_content(&mut self) {
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(b'#') => self.at += memchr(b'\n', self.rest()).unwrap_or(self.rest().len()),
                Some(b'\n') => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                }
                _ => return,
            }
        }
    }

    /// Goes on to the next content after a value that must be the last of its line.
    /// Content that stands further right than `indent` would belong to the value.
    fn end_line(&mut self, indent: usize) -> Option<()> {
        match self.peek() {
            None | Some(b'\n' | b' ') => {}
            Some(_) => return None,
        }
        let line = self.line;
        self.skip_to_content();
        (self.is_at_end() || (self.line > line && self.column() <= indent)).then_some(())
    }

    fn node(&mut self, mark: Mark, end: usize, content: Content<'t>) -> Option<Node<'t>> {
        self.nodes += 1;
        (self.nodes <= NODES_MAX).then(|| Node::new(mark, end, content))
    }

    fn enter(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth < DEPTH_MAX).then_some(())
    }

    /// Ends the list that began when so many items were there.
    fn sequence(&mut self, mark: Mark, begun: usize) -> Option<Node<'t>> {
        self.depth -= 1;
        let items = match begun {
            // Nothing else is in there, and it may be a list of all keys.
            0 => std::mem::take(&mut self.items),
            _ => self.items.drain(begun..).collect(),
        };
        self.node(mark, self.at, Content::Sequence(items))
    }

    /// Ends the mapping that began when so many entries were there.
    fn mapping(&mut self, mark: Mark, begun: usize) -> Option<Node<'t>> {
        self.depth -= 1;
        let entries: Vec<_> = self.entries.drain(begun..).collect();
        if repeats(&entries) {
            return None;
        }
        self.node(mark, self.at, Content::Mapping(entries))
    }

    /// A list or mapping by indentation, whose first element is the next content.
    fn block(&mut self, indent: usize) -> Option<Node<'t>> {
        match self.is_at_element() {
            true => self.block_sequence(indent, self.mark()),
            false => self.block_mapping(indent),
        }
    }

    fn is_at_element(&self) -> bool {
        self.peek() == Some(b'-') && self.peek_second() == Some(b' ')
    }

    /// Whether what comes next still belongs to the list or mapping at this indentation.
    fn is_within(&self, indent: usize) -> bool {
        !self.is_at_end() && self.column() == indent
    }

    fn block_sequence(&mut self, indent: usize, mark: Mark) -> Option<Node<'t>> {
        self.enter()?;
        let begun = self.items.len();
        while self.is_within(indent) && self.is_at_element() {
            let item = self.element(indent)?;
            self.items.push(item);
        }
        self.sequence(mark, begun)
    }

    /// The element of a list with this indentation, from its `-` on.
    fn element(&mut self, indent: usize) -> Option<Node<'t>> {
        self.at += 1;
        self.skip_spaces();
        if self.is_at_key() {
            return self.block_mapping(self.column());
        }
        let value = self.value(Context::Block)?;
        self.end_line(indent)?;
        Some(value)
    }

    fn block_mapping(&mut self, indent: usize) -> Option<Node<'t>> {
        self.enter()?;
        let mark = self.mark();
        let begun = self.entries.len();
        while self.is_within(indent) {
            let key = self.key()?;
            self.skip_spaces();
            let value = match self.peek() {
                None | Some(b'\n' | b'#') => self.block_below(indent)?,
                Some(_) => {
                    let value = self.value(Context::Block)?;
                    self.end_line(indent)?;
                    value
                }
            };
            self.entries.push(announced(key, value)?);
        }
        self.mapping(mark, begun)
    }

    /// The value of a key of a mapping with this indentation, on the lines below it.
    fn block_below(&mut self, indent: usize) -> Option<Node<'t>> {
        self.skip_to_content();
        match self.column() {
            _ if self.is_at_end() => None,
            column if column > indent => self.block(column),
            // A list may stand as far left as the key that it belongs to. The full reader
            // has it begin with its first element.
            column if column == indent && self.is_at_element() => {
                let blanks = self.rest().iter().skip(1).take_while(|byte| **byte == b' ');
                let offset = 1 + blanks.count();
                let column = column + 1 + offset;
                let mark = Mark::new(self.line, column, self.at + offset);
                self.block_sequence(indent, mark)
            }
            _ => None,
        }
    }

    fn is_at_key(&self) -> bool {
        self.is_key(key_length(self.rest()))
    }

    /// Whether the next so many bytes are followed by what ends a key.
    fn is_key(&self, length: usize) -> bool {
        let after = self.rest().get(length..).unwrap_or_default();
        matches!(after, [b':'] | [b':', b' ' | b'\n', ..])
    }

    /// A key without quotes, and its colon, which a space or the line's end follows.
    fn key(&mut self) -> Option<Key<'t>> {
        let mark = self.mark();
        let length = key_length(self.rest());
        let text = self.text.get(self.at..self.at + length)?;
        if length == 0 || length > KEY_BYTES_MAX || !self.is_key(length) {
            return None;
        }
        self.at += length + 1;
        self.nodes += 1;
        Some(Key {
            text: Cow::Borrowed(text),
            mark,
        })
    }

    /// A value that stands within its line.
    fn value(&mut self, context: Context) -> Option<Node<'t>> {
        match self.peek()? {
            b'{' => self.flow_mapping(),
            b'[' => self.flow_sequence(),
            quote @ (b'"' | b'\'') => self.quoted(quote),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'/' | b'.' | b'+' => {
                self.unquoted(context)
            }
            _ => None,
        }
    }

    fn flow_sequence(&mut self) -> Option<Node<'t>> {
        self.enter()?;
        let (mark, begun) = (self.mark(), self.items.len());
        let mut more = self.is_open(b']')?;
        while more {
            let item = self.value(Context::Flow)?;
            self.items.push(item);
            more = self.is_past_comma(b']')?;
        }
        self.sequence(mark, begun)
    }

    fn flow_mapping(&mut self) -> Option<Node<'t>> {
        self.enter()?;
        let (mark, begun) = (self.mark(), self.entries.len());
        let mut more = self.is_open(b'}')?;
        while more {
            let key = self.key()?;
            self.skip_spaces();
            let value = self.value(Context::Flow)?;
            self.entries.push(announced(key, value)?);
            more = self.is_past_comma(b'}')?;
        }
        self.mapping(mark, begun)
    }

    /// Passes the opening bracket, and the closing one if nothing is between them, which
    /// is then false.
    fn is_open(&mut self, close: u8) -> Option<bool> {
        self.at += 1;
        self.skip_spaces();
        let is_empty = self.peek()? == close;
        self.at += usize::from(is_empty);
        Some(!is_empty)
    }

    /// After an element in brackets: passes the comma before the next one, or the bracket
    /// that closes the whole, which is then false. None if neither is there.
    fn is_past_comma(&mut self, close: u8) -> Option<bool> {
        self.skip_spaces();
        let byte = self.peek()?;
        self.at += 1;
        if byte == close {
            return Some(false);
        }
        self.skip_spaces();
        (byte == b',').then_some(true)
    }

    /// A scalar in quotes that has no escape and no quote in it.
    fn quoted(&mut self, quote: u8) -> Option<Node<'t>> {
        let mark = self.mark();
        self.at += 1;
        let rest = self.rest();
        let length = memchr3(quote, b'\\', b'\n', rest)?;
        let closes = rest.get(length) == Some(&quote) && rest.get(length + 1) != Some(&quote);
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        // After a key in quotes comes a colon, which no caller takes.
        if !closes || self.peek() == Some(b'#') {
            return None;
        }
        self.scalar(mark, text, false)
    }

    fn unquoted(&mut self, context: Context) -> Option<Node<'t>> {
        let mark = self.mark();
        let rest = self.rest();
        let mut length = 0;
        let mut last = b' ';
        for &byte in rest {
            let ends = match byte {
                b'\n' => true,
                b'#' => last == b' ',
                b',' | b'[' | b']' | b'{' | b'}' => context == Context::Flow,
                _ => false,
            };
            // A colon that ends a key is not for here.
            if last == b':' && (ends || byte == b' ') {
                return None;
            }
            if ends {
                break;
            }
            last = byte;
            length += 1;
        }
        if last == b':' {
            return None;
        }
        let text = self
            .text
            .get(self.at..self.at + length)?
            .trim_end_matches(' ');
        self.at += text.len();
        self.scalar(mark, text, true)
    }

    fn scalar(&mut self, mark: Mark, text: &'t str, plain: bool) -> Option<Node<'t>> {
        let text = Cow::Borrowed(text);
        self.node(mark, self.at, Content::Scalar { text, plain })
    }
}

/// How many of the first bytes could be a key.
fn key_length(bytes: &[u8]) -> usize {
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match bytes.first() {
        Some(first) if first.is_ascii_alphanumeric() || *first == b'_' => {
            let most = bytes.iter().take(KEY_BYTES_MAX + 1);
            most.take_while(|byte| is_key(byte)).count()
        }
        _ => 0,
    }
}

/// An entry; none if its value says that there is none.
fn announced<'t>(key: Key<'t>, mut value: Node<'t>) -> Option<(Key<'t>, Node<'t>)> {
    value.heading = key.mark;
    (!value.is_null()).then_some((key, value))
}

/// Whether a key stands there twice.
fn repeats(entries: &[(Key<'_>, Node<'_>)]) -> bool {
    match entries.len() {
        0..=FEW_KEYS => entries.iter().enumerate().any(|(index, (key, _))| {
            let mut earlier = entries.iter().take(index);
            earlier.any(|(other, _)| other.text == key.text)
        }),
        many => {
            let mut seen = HashSet::with_capacity(many);
            !entries.iter().all(|(key, _)| seen.insert(&*key.text))
        }
    }
}
