//! Keys that stand once, and plugins that can do what they are for.

use std::collections::HashSet;

use super::names::Names;
use super::{Unique, limits};
use crate::keys::Key;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::plugin::Authenticate;
use crate::plugin::jwt::JwtIssuer;
use crate::unit::{Identifier, KeyHash, Name, shown};
use crate::{Config, Plugin, Route};

pub(super) fn check(config: &Config, root: &Node<'_>, found: &mut Found) {
    let limits = limits::names(root);
    let global = chain(&config.chain, root, false, &limits, found);
    let routes = root.get("routes").into_iter().flat_map(Node::items);
    for (route, node) in config.routes.iter().zip(routes) {
        let authenticated = chain(&route.chain, node, global, &limits, found);
        if !authenticated {
            sticky(route, node, found);
        }
    }
}

/// What is known of identified clients alone keeps no request where nobody is identified.
fn sticky(route: &Route, node: &Node, found: &mut Found) {
    let Some((affinity, node)) = route.sticky.as_ref().zip(node.get("sticky")) else {
        return;
    };
    if affinity.needs_identity() {
        let message = format!("no request has a {affinity} where nothing says who asks");
        let hint = "put an `authenticate` into the chain, or write `sticky: { header: NAME }`";
        found.at(node.heading, message, Some(hint.to_owned()));
    }
}

/// Checks the plugins of `parent`'s chain. Says whether one of them authenticates, as
/// `authenticated` says of those before them.
fn chain(
    plugins: &[Plugin],
    parent: &Node<'_>,
    authenticated: bool,
    limits: &Names<'_>,
    found: &mut Found,
) -> bool {
    let nodes = || parent.get("chain").into_iter().flat_map(Node::items);
    let is_authenticate = |plugin: &Plugin| matches!(plugin, Plugin::Authenticate(_));
    // One with a mistake of its own, which is reported, may have been it.
    let unknown = parent.has_dropped("chain") || parent.get("chain").is_some_and(|n| !n.is_whole());
    let authenticated = authenticated || unknown || plugins.iter().any(is_authenticate);
    for (plugin, node) in plugins.iter().zip(nodes()) {
        match plugin {
            Plugin::Authenticate(config) => authenticate(config, node, limits, found),
            Plugin::Authorize(_) if !authenticated => found.at(
                node.mark,
                "`authorize` refuses every request where nothing says who asks",
                Some("put an `authenticate` into the chain".to_owned()),
            ),
            _ => {}
        }
    }
    authenticated
}

fn authenticate(config: &Authenticate, node: &Node<'_>, limits: &Names<'_>, found: &mut Found) {
    let Some(node) = node.get("authenticate") else {
        return;
    };
    let source = node.get("keys");
    if config.keys.is_empty() && config.jwt.is_empty() && node.is_whole() {
        let mark = source.map_or(node.heading, |source| source.heading);
        let hint = "write `keys: { file: PATH }`, or issuers of tokens under `jwt`";
        found.at(
            mark,
            "nobody could be authenticated: no keys are named",
            Some(hint.to_owned()),
        );
    }
    let jwt = node.get("jwt").into_iter().flat_map(Node::items);
    issuers(&config.jwt, jwt, found);
    let inline = source.and_then(|source| source.get("inline"));
    keys(
        &config.keys.inline,
        inline.into_iter().flat_map(Node::items),
        Some(limits),
        found,
    );
}

/// Each issuer stands once: by which of two a token is judged would be a guess.
fn issuers<'t>(
    issuers: &[JwtIssuer],
    nodes: impl Iterator<Item = &'t Node<'t>>,
    found: &mut Found,
) {
    let mut names = Unique::new();
    for (issuer, node) in issuers.iter().zip(nodes) {
        let mark = node.get("issuer").map_or(node.mark, |name| name.mark);
        if let Some(line) = names.earlier(&issuer.issuer, mark) {
            let message = format!(
                "the issuer `{}` stands here twice: first on line {line}",
                issuer.issuer
            );
            found.at(mark, message, None);
        }
    }
}

/// Whether [`keys`] has surely nothing to say about a key by itself, of which nothing was
/// dropped. What it says and where takes longer to find out, and is mostly not asked for.
pub(in crate::located) fn key_holds(key: &Key, limits: Option<&Names<'_>>) -> bool {
    let works = key
        .not_before
        .zip(key.expires)
        .is_none_or(|(from, until)| from < until);
    let is_known = |name: &Name| limits.is_none_or(|all| all.hint_for(name.as_str()).is_none());
    works && key.limits.keys().all(is_known)
}

/// What must differ among keys, so that [`keys`] surely has nothing to say about them
/// together either.
pub(in crate::located) struct Distinct {
    /// The beginnings of hashes. Where they differ, so do the hashes, and the public names
    /// that are made of them.
    prefixes: Vec<u64>,
    /// The public names that are written.
    ids: Vec<Identifier>,
}

impl Distinct {
    /// Of no key, with room for so many.
    pub(in crate::located) fn with_capacity(keys: usize) -> Self {
        Self {
            prefixes: Vec::with_capacity(keys),
            ids: Vec::new(),
        }
    }

    pub(in crate::located) fn add(&mut self, key: &Key) {
        self.prefixes.push(key.hash.prefix());
        self.ids.extend(key.id.clone());
    }

    pub(in crate::located) fn extend(&mut self, other: Self) {
        self.prefixes.extend(other.prefixes);
        self.ids.extend(other.ids);
    }

    /// Whether all of it differs.
    pub(in crate::located) fn holds(mut self) -> bool {
        self.prefixes.sort_unstable();
        let mut pairs = self.prefixes.iter().zip(self.prefixes.iter().skip(1));
        if !pairs.all(|(a, b)| a != b) {
            return false;
        }
        let mut seen = HashSet::with_capacity(self.ids.len());
        self.ids.iter().all(|id| {
            let made = id.as_str().rsplit_once('-');
            let made = made.and_then(|(_, digits)| KeyHash::parse_prefix(digits));
            let is_free = made.is_none_or(|made| self.prefixes.binary_search(&made).is_err());
            is_free && seen.insert(id)
        })
    }
}

/// Keys and their public names stand once, each key works at some time, and the limits
/// that it has numbers for are there, if it is known which are.
pub(in crate::located) fn keys<'t>(
    keys: &[Key],
    nodes: impl Iterator<Item = &'t Node<'t>>,
    limits: Option<&Names<'_>>,
    found: &mut Found,
) {
    let mut hashes = Unique::new();
    let mut ids = Unique::new();
    for (key, node) in keys.iter().zip(nodes) {
        let mark = |name: &str| node.get(name).map_or(node.mark, |node| node.mark);
        if let Some(line) = hashes.earlier(key.hash, mark("hash")) {
            let message = format!("this key stands here twice: first on line {line}");
            found.at(mark("hash"), message, None);
        } else if let Some(line) = ids.earlier(key.public_id(), mark("id")) {
            let message = format!(
                "the id `{}` is taken by the key on line {line}",
                key.public_id()
            );
            found.at(mark("id"), message, None);
        }
        if let (Some(from), Some(until)) = (key.not_before, key.expires)
            && from >= until
        {
            let message =
                format!("the key never works: it expires at {until}, and begins at {from}");
            found.at(mark("not_before"), message, None);
        }
        let own = node.get("limits").into_iter().flat_map(Node::entries);
        for (name, _) in own {
            if let Some(hint) = limits.and_then(|limits| limits.hint_for(&name.text)) {
                let message = format!("no limit is named {}", shown(&name.text));
                found.at(name.mark, message, Some(hint));
            }
        }
    }
}
