//! One spelling for each path (RFC 3986 section 6.2.2), so that a route matches what the
//! upstream will serve.

use std::borrow::Cow;

use super::rule::Rule;

/// Separators as they are escaped in a normal path.
const SEPARATORS: [&str; 2] = ["%2F", "%5C"];

/// Which of them a server may take for separators.
const READINGS: [&[&str]; 3] = [&SEPARATORS, &["%2F"], &["%5C"]];

/// What becomes of an escaped slash or backslash, `%2F` and `%5C`: to one server it
/// separates segments, to another it is part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaped {
    /// Refused.
    #[default]
    Refuse,
    /// It separates, here and upstream.
    Unescape,
    /// It is passed on as part of a segment, in which it cannot hide another one.
    Keep,
    /// The same, where whoever routes finds that it makes no [difference](Paths::readings).
    KeepIfSame,
}

/// How paths are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Several slashes are one.
    pub merge_slashes: bool,
    /// What becomes of escaped slashes and backslashes.
    pub escaped: Escaped,
}

impl Default for Paths {
    fn default() -> Self {
        Paths {
            merge_slashes: true,
            escaped: Escaped::default(),
        }
    }
}

impl Paths {
    /// The path, without a query, as it is routed and sent: letters, digits and `-._~` not
    /// escaped, other escapes in upper case, no `.` and `..`, and no empty segments if they
    /// are merged. Normalising twice changes nothing more. What is not a path, as `*`, stays
    /// as it is, and nothing is allocated for a path that is normal.
    ///
    /// # Errors
    /// An escape that is none or that hides a NUL, a separator or ASCII; a path above its
    /// root; `..;`, in which some servers see parameters of `..`.
    pub fn normalise<'p>(&self, path: &'p str) -> Result<Cow<'p, str>, Rule> {
        if !path.starts_with('/') || !needs_work(path.as_bytes(), self.merge_slashes) {
            return Ok(Cow::Borrowed(path));
        }
        let unescaped = self.unescape(path)?;
        self.resolve(&unescaped).map(Cow::Owned)
    }

    /// The other readings of a path that is normal, with slashes for escaped separators that are
    /// kept on condition: for those of one kind, and for all.
    pub fn readings<'p>(&self, path: &'p str) -> impl Iterator<Item = String> + use<'p> {
        let is_open = self.escaped == Escaped::KeepIfSame && path.contains('%');
        let paths = *self;
        let has = move |escape: &&str| path.contains(*escape);
        let readings = READINGS.iter().filter(move |escapes| {
            // Of both only where there are both.
            is_open && escapes.iter().all(has)
        });
        readings.map(move |escapes| {
            let separate = |path: String, escape: &&str| path.replace(*escape, "/");
            let path = escapes.iter().fold(path.to_owned(), separate);
            // Nothing hides dots in a path that is normal.
            paths.resolve(&path).unwrap_or(path)
        })
    }

    fn unescape(&self, path: &str) -> Result<String, Rule> {
        let mut out = String::with_capacity(path.len());
        let mut rest = path;
        // The byte that was escaped just before.
        let mut before = None;
        while let Some(next) = rest.chars().next() {
            if next != '%' {
                out.push(next);
                before = None;
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                continue;
            }
            let digits = rest.get(1..3).ok_or(Rule::PathEscape)?;
            let byte = byte(digits).ok_or(Rule::PathEscape)?;
            if before.is_some_and(|before| is_overlong(before, byte)) {
                return Err(Rule::PathEscape);
            }
            self.escape(byte, &mut out)?;
            before = Some(byte);
            rest = rest.get(3..).unwrap_or_default();
        }
        Ok(out)
    }

    /// Writes a byte that was escaped as it is to stand.
    fn escape(&self, byte: u8, out: &mut String) -> Result<(), Rule> {
        match (byte, self.escaped) {
            (0, _) => return Err(Rule::PathNul),
            (b'/' | b'\\', Escaped::Refuse) => return Err(Rule::PathSeparator),
            (b'/' | b'\\', Escaped::Unescape) => out.push('/'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.extend([byte >> 4, byte & 15].map(|digit| {
                    let digit = char::from_digit(u32::from(digit), 16).unwrap_or_default();
                    digit.to_ascii_uppercase()
                }));
            }
        }
        Ok(())
    }

    /// Takes out dot segments (RFC 3986 section 5.2.4), and empty ones if they are merged.
    fn resolve(&self, path: &str) -> Result<String, Rule> {
        let mut out = String::with_capacity(path.len());
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            match segment {
                "" if is_last => out.push('/'),
                "" if self.merge_slashes => {}
                "." if is_last => out.push('/'),
                "." => {}
                ".." => {
                    let parent = out.rfind('/').ok_or(Rule::PathDots)?;
                    out.truncate(parent);
                    if is_last {
                        out.push('/');
                    }
                }
                _ if hides_dots(segment) => return Err(Rule::PathDots),
                _ => {
                    out.push('/');
                    out.push_str(segment);
                    continue;
                }
            }
            if segment.is_empty() && !is_last && !self.merge_slashes {
                out.push('/');
            }
        }
        if out.is_empty() {
            out.push('/');
        }
        Ok(out)
    }
}

/// Whether something in the path may have to change: an escape, a segment that begins with
/// a dot, or an empty one.
fn needs_work(path: &[u8], merge_slashes: bool) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'%' => return true,
            b'.' if after_slash => return true,
            b'/' if after_slash && merge_slashes => return true,
            _ => after_slash = byte == b'/',
        }
    }
    false
}

fn byte(digits: &str) -> Option<u8> {
    // `from_str_radix` would take a sign.
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hexadecimal
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Whether these two escaped bytes begin a longer spelling of a shorter character, which
/// UTF-8 forbids (RFC 3629 section 3) and some servers read: `%C0%AF` was a slash to them.
fn is_overlong(before: u8, byte: u8) -> bool {
    match before {
        0xC0 | 0xC1 => matches!(byte, 0x80..=0xBF),
        0xE0 => matches!(byte, 0x80..=0x9F),
        0xF0 => matches!(byte, 0x80..=0x8F),
        _ => false,
    }
}

/// Whether a server that takes parameters off segments, or separates at escapes, may see
/// `.` or `..` in this one.
fn hides_dots(segment: &str) -> bool {
    let mut rest = segment;
    loop {
        let end = SEPARATORS.iter().filter_map(|escape| rest.find(escape));
        let end = end.min().unwrap_or(rest.len());
        let part = rest.get(..end).unwrap_or_default();
        let bare = part.split_once(';').map_or(part, |(name, _)| name);
        let bare = bare.split_once("%3B").map_or(bare, |(name, _)| name);
        if matches!(bare, "." | "..") {
            return true;
        }
        match rest.get(end + 3..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
}
