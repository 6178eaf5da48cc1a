//! Changes that plugins asked for, made to the heads that pass.

use http::{HeaderName, HeaderValue};
use penstock_plugins::{BodyEdits, Edit, HeaderEdits, Target};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::context::Context;

/// What changes in a body for a target: what plugins asked for, and the model.
pub(super) fn of_body(ctx: &Context, target: &Target) -> BodyEdits {
    let mut edits = ctx.exchange.body_edits.clone();
    let renamed = target.model.as_ref().zip(ctx.exchange.facts());
    if let Some(edit) = renamed.and_then(|(new, facts)| facts.rename_model(new.as_str())) {
        edits.add(edit);
    }
    edits
}

/// A head whose headers can be changed. Pingora's two types of head do not share one.
pub(super) trait Head {
    /// Replaces every value of a header by one.
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()>;
    /// Adds a value beside those that are there.
    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()>;
    /// Removes every value of a header.
    fn remove(&mut self, name: &HeaderName);
}

impl Head for RequestHeader {
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(drop)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

impl Head for ResponseHeader {
    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(drop)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

/// Makes the changes in order, after what is stripped.
pub(super) fn apply(edits: &HeaderEdits, head: &mut impl Head) -> Result<()> {
    for name in edits.stripped() {
        head.remove(name);
    }
    for edit in edits {
        match edit {
            Edit::Set(name, value) => head.set(name.clone(), value.clone())?,
            Edit::Add(name, value) => head.add(name.clone(), value.clone())?,
            Edit::Remove(name) => head.remove(name),
        }
    }
    Ok(())
}
