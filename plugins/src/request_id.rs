//! Gives each request an identifier for logs on both sides.
//!
//! The client's own is kept where it is trusted and sane, because it already stands
//! in the client's logs. It goes upstream, into the answer (a refusal too) and into
//! the access log, all at once: the answer needs no second look.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, request};
use penstock_config::plugin;

use crate::exchange::Exchange;
use crate::role::Tagger;

/// Key of the identifier in the access log.
pub const NOTE: &str = "request_id";

/// Longest identifier of a client that is kept, in characters. It is repeated in
/// every log line, so it may not grow with the client's wishes.
const CLIENT_CHARS_MAX: usize = 128;

/// The plugin: see [`plugin::RequestId`] for what the operator writes.
#[derive(Clone, Debug)]
pub struct RequestId {
    header: HeaderName,
    trust_client: bool,
}

impl RequestId {
    /// The plugin as configured.
    pub fn new(config: &plugin::RequestId) -> Self {
        Self {
            header: config.header.as_ref().clone(),
            trust_client: config.trust_client,
        }
    }

    /// The client's identifier, if it is to be kept. Two of them are none: which one
    /// the upstream would read is anyone's guess.
    fn client_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        if !self.trust_client {
            return None;
        }
        let mut values = headers.get_all(&self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let sane = (1..=CLIENT_CHARS_MAX).contains(&value.len())
            && value.as_bytes().iter().all(u8::is_ascii_graphic);
        sane.then_some(value.as_bytes())
    }
}

impl Tagger for RequestId {
    fn tag(&self, exchange: &mut Exchange, head: &request::Parts) {
        let fresh = uuid_v4(exchange.id());
        let id = self.client_id(&head.headers).unwrap_or(&fresh);
        // Visible ASCII is always UTF-8 and a header value (RFC 9110 section 5.5).
        if let (Ok(text), Ok(value)) = (std::str::from_utf8(id), HeaderValue::from_bytes(id)) {
            exchange.note(NOTE, text.to_owned());
            exchange.request.set(self.header.clone(), value.clone());
            exchange.response.set(self.header.clone(), value);
        }
    }
}

/// The identifier of an exchange: the one that the plugin chose, if it ran before, else a
/// new one.
pub(crate) fn of(exchange: &Exchange) -> Cow<'_, str> {
    let chosen = exchange.notes().iter().find(|note| note.name == NOTE);
    match chosen {
        Some(note) => Cow::Borrowed(&note.value),
        None => Cow::Owned(uuid_v4(exchange.id()).map(char::from).iter().collect()),
    }
}

/// The text of the version 4 UUID that `random` makes (RFC 9562 section 5.4): 122 of
/// its bits are kept, the other six say version and variant.
fn uuid_v4(random: u128) -> [u8; 36] {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let bits = (random & !VERSION & !VARIANT) | (0x4 << 76) | (0b10 << 62);
    let mut text = [b'-'; 36];
    let digits = text.iter_mut().enumerate();
    let digits = digits.filter(|(place, _)| !DASHES.contains(place));
    for ((_, digit), shift) in digits.zip((0..128).step_by(4).rev()) {
        *digit = match (bits >> shift) as u8 & 0xf {
            value @ 0..=9 => b'0' + value,
            value => b'a' + value - 10,
        };
    }
    text
}

#[cfg(test)]
mod tests;
