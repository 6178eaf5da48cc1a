//! The parts of a body of `multipart/form-data` (RFC 7578).
//!
//! Uploads are large and opaque: of a file only its name is looked at, of the other
//! parts those that are ordinary fields. The bytes between are skipped in one search.

use memchr::memmem;

/// Longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Longest head of a part that is read.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Most parts that are looked at.
const PARTS_MAX: usize = 1_000;

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'b> {
    /// The field's name.
    pub(super) name: &'b [u8],
    /// The file's name, if it is one.
    pub(super) file: Option<&'b [u8]>,
    /// What is in it.
    pub(super) content: &'b [u8],
}

/// The parts of a body, by the boundary that its `content-type` names; none if it names
/// none.
pub(super) fn parts<'b>(content_type: &[u8], body: &'b [u8]) -> impl Iterator<Item = Part<'b>> {
    let boundary = parameter(content_type, b"boundary")
        .filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()));
    let delimiter = boundary.map(|boundary| [b"--", boundary].concat());
    let mut rest = delimiter.as_deref().and_then(|delimiter| {
        let start = memmem::find(body, delimiter)?;
        body.get(start + delimiter.len()..)
    });
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let delimiter = delimiter.as_deref()?;
            let end = memmem::find(text, delimiter);
            let part = text.get(..end.unwrap_or(text.len()))?;
            rest = end.and_then(|end| text.get(end + delimiter.len()..));
            if let Some(part) = read(part) {
                return Some(part);
            }
        }
    })
    .take(PARTS_MAX)
}

/// What lies between two boundaries as a part; none for what is no part, such as the end.
fn read(text: &[u8]) -> Option<Part<'_>> {
    let window = text.get(..HEAD_BYTES_MAX.min(text.len()))?;
    let end = memmem::find(window, b"\r\n\r\n")?;
    let head = text.get(..end)?;
    let content = text.get(end + 4..)?;
    let lines = head.split(|byte| *byte == b'\n');
    let disposition = lines.map(<[u8]>::trim_ascii).find(|line| {
        let name = line.get(..20).unwrap_or_default();
        name.eq_ignore_ascii_case(b"content-disposition:")
    })?;
    Some(Part {
        name: parameter(disposition, b"name").unwrap_or_default(),
        file: parameter(disposition, b"filename*").or_else(|| parameter(disposition, b"filename")),
        content: content.strip_suffix(b"\r\n").unwrap_or(content),
    })
}

/// The value of a header's parameter, without its quotes.
fn parameter<'t>(header: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut rest = header;
    loop {
        let at = memchr::memchr(b';', rest)?;
        rest = rest.get(at + 1..)?.trim_ascii_start();
        let (head, tail) = rest.split_at_checked(name.len())?;
        if !head.eq_ignore_ascii_case(name) {
            continue;
        }
        let Some(value) = tail.trim_ascii_start().strip_prefix(b"=") else {
            continue;
        };
        let value = value.trim_ascii_start();
        return match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.get(..memchr::memchr(b'"', quoted)?),
            None => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                value.get(..end).map(<[u8]>::trim_ascii_end)
            }
        };
    }
}

#[cfg(test)]
mod tests;
