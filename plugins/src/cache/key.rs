//! The key of a request: a hash of everything that its answer depends on.
//!
//! Each part is hashed with its length or in a form that says where it ends, so that no
//! two lists of parts run together to the same bytes: tenant `a` with route `b|c` and
//! tenant `a|b` with route `c` differ from the second byte on.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, Method, header};
use penstock_config::credential_headers;

use super::canonical::Canonical;
use crate::role::CacheKey;

#[cfg(test)]
mod tests;

/// Names this use of the hash and its layout, so that its output means nothing elsewhere
/// (BLAKE3 specification, section 2.3).
const CONTEXT: &str = "Penstock 2026-11 cache key, layout 4";

/// The hash's key, made of the context once. It is no secret.
static KEY: LazyLock<[u8; blake3::KEY_LEN]> = LazyLock::new(|| blake3::derive_key(CONTEXT, b""));

/// Values whose form is longer are hashed by themselves. The hash works on many
/// kilobytes at once if they begin at its beginning, and several times slower if not.
const LARGE_BYTES: usize = 1024;

/// What the hash works on at once with the vectors of most servers, eight chunks of a
/// kilobyte. Fewer take it longer: one by itself nearly as long as eight together.
const GROUP_BYTES: usize = 8 * 1024;

/// What is hashed sooner in single chunks than as a whole group.
const ALONE_BYTES: usize = 1024;

/// Most that is gathered before it is hashed.
const PARTS_BYTES: usize = 2 * LARGE_BYTES;

/// Headers that carry who the client is. They join the key of a client that nobody has
/// identified, since then the upstream decides what such a client may see.
static CREDENTIALS: LazyLock<[HeaderName; 6]> = LazyLock::new(|| {
    // In the order of the layout.
    let [authorization, x_api_key, api_key, x_goog_api_key, proxy] = credential_headers::ALL;
    [
        authorization,
        header::COOKIE,
        proxy,
        api_key,
        x_api_key,
        x_goog_api_key,
    ]
});

/// Headers by which the dialects choose the version and the features of an answer, the
/// account that it is made for, and its media type. They join every key.
const VARY: [HeaderName; 7] = [
    header::ACCEPT,
    header::ORIGIN,
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

/// Whether a header, in any case, joins the key of a cache that also takes `further` into
/// it.
pub(super) fn varies_by(further: &[HeaderName], name: &[u8]) -> bool {
    VARY.iter()
        .chain(further)
        .any(|joined| joined.as_str().as_bytes().eq_ignore_ascii_case(name))
}

/// A request as the key sees it.
pub(super) struct Subject<'a> {
    /// Tenant of the identified client. None is not the same as any name, the empty one
    /// included.
    pub(super) tenant: Option<&'a str>,
    /// Name of the route.
    pub(super) route: &'a str,
    /// Name of the upstream that the request would be sent to.
    pub(super) upstream: &'a str,
    /// The host that it is asked for; none if that is the same for every client.
    pub(super) host: Option<&'a str>,
    /// Model that replaces the body's; none leaves it alone.
    pub(super) model: Option<&'a str>,
    /// What else plugins write into the body on its way upstream.
    pub(super) edits: &'a [&'a [u8]],
    pub(super) method: &'a Method,
    pub(super) path_and_query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Further headers that the answer depends on.
    pub(super) vary: &'a [HeaderName],
    pub(super) body: &'a Canonical<'a>,
    /// Fields of the body that do not change the answer.
    pub(super) ignored: &'a [&'a str],
}

impl Subject<'_> {
    /// The key.
    pub(super) fn key(&self) -> CacheKey {
        let mut hash = Hash::new();
        match self.tenant {
            Some(tenant) => {
                hash.tag(1);
                hash.text(tenant.as_bytes());
            }
            None => {
                hash.tag(0);
                hash.headers(self.headers, CREDENTIALS.as_slice());
            }
        }
        hash.text(self.route.as_bytes());
        hash.text(self.upstream.as_bytes());
        for part in [self.host, self.model] {
            match part {
                Some(part) => {
                    hash.tag(1);
                    hash.text(part.as_bytes());
                }
                None => hash.tag(0),
            }
        }
        hash.number(self.edits.len());
        for edit in self.edits {
            hash.text(edit);
        }
        hash.text(self.method.as_str().as_bytes());
        hash.text(self.path_and_query.as_bytes());
        hash.headers(self.headers, &VARY);
        hash.number(self.vary.len());
        for name in self.vary {
            hash.text(name.as_str().as_bytes());
        }
        hash.headers(self.headers, self.vary);
        for (key, value) in self.body.members() {
            if self.counts(key) {
                hash.text(key);
                hash.value(value);
            }
        }
        hash.finish()
    }

    /// Whether a field of the body changes the answer.
    fn counts(&self, key: &[u8]) -> bool {
        let replaced = self.model.is_some() && key == b"model";
        let search = |ignored: &&str| ignored.as_bytes().cmp(key);
        !replaced && self.ignored.binary_search_by(search).is_err()
    }
}

/// A hash of parts that cannot run together.
struct Hash {
    hasher: blake3::Hasher,
    /// Parts that are not yet hashed: most have a few bytes, and each call of the hasher
    /// costs more than these.
    parts: Vec<u8>,
}

impl Hash {
    fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new_keyed(&KEY),
            parts: Vec::with_capacity(PARTS_BYTES),
        }
    }

    fn part(&mut self, part: &[u8]) {
        if self.parts.len() + part.len() > PARTS_BYTES {
            self.hasher.update(&self.parts);
            self.parts.clear();
        }
        if part.len() > PARTS_BYTES {
            self.hasher.update(part);
        } else {
            self.parts.extend_from_slice(part);
        }
    }

    fn finish(mut self) -> CacheKey {
        self.hasher.update(&self.parts);
        CacheKey(*self.hasher.finalize().as_bytes())
    }

    fn tag(&mut self, tag: u8) {
        self.part(&[tag]);
    }

    /// Seven bits to the byte, the lowest first, and a bit that says whether more follow
    /// (LEB128). Most numbers have one byte, where the hash has its price by the byte.
    fn number(&mut self, mut number: usize) {
        while number > 0x7f {
            self.tag(number as u8 | 0x80);
            number >>= 7;
        }
        self.tag(number as u8);
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len());
        self.part(text);
    }

    /// The values that each of `names` has, in their order.
    fn headers(&mut self, headers: &HeaderMap, names: &[HeaderName]) {
        for name in names {
            let values = headers.get_all(name);
            self.number(values.iter().count());
            for value in values {
                self.text(value.as_bytes());
            }
        }
    }

    /// A value of the body. Its length says whether its form follows or the hash of that.
    fn value(&mut self, form: &[u8]) {
        self.number(form.len());
        if form.len() > LARGE_BYTES {
            self.part(large(form).as_bytes());
        } else {
            self.part(form);
        }
    }
}

/// The hash of a large form, filled up with zeros where that is faster. Since its length is
/// hashed beside it, no two forms are taken for one.
fn large(form: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let (groups, rest) = form.as_chunks::<GROUP_BYTES>();
    hasher.update(groups.as_flattened());
    if rest.len() > ALONE_BYTES {
        hasher.update(&filled_up(rest));
    } else {
        hasher.update(rest);
    }
    hasher.finalize()
}

/// By itself, lest a group be cleared that is not needed.
#[inline(never)]
fn filled_up(rest: &[u8]) -> [u8; GROUP_BYTES] {
    let mut group = [0; GROUP_BYTES];
    if let Some(filled) = group.get_mut(..rest.len()) {
        filled.copy_from_slice(rest);
    }
    group
}
