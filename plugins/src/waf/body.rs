//! What of a request's body is looked at, and as what.

use http::{header, request};

use super::finding::{Findings, Place};
use super::json::{self, Name, Text};
use super::rule::Target;
use super::{Waf, multipart};
use crate::media_type;

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As JSON.
    Json,
    /// As the parameters of a form.
    Parameters,
    /// As the parts of a form.
    Parts,
    /// As text of XML.
    Xml,
    /// Not at all.
    Opaque,
}

impl Waf {
    /// Holds the parts of a body against the rules. Says whether to go on.
    pub(super) fn look_at_body(
        &self,
        head: &request::Parts,
        body: &[u8],
        found: &mut Findings,
    ) -> bool {
        let content_type = content_type(head);
        if body.is_empty() || !self.checks.encoding(head, found) {
            return found.is_open();
        }
        match form(content_type, body) {
            Form::Json => self.look_at_json(found, body),
            Form::Parameters => self.look_at_parameters(found, "form", body),
            Form::Parts => self.look_at_parts(found, content_type, body),
            Form::Xml => self.look(found, Target::Xml, Place::Bare("body"), body),
            Form::Opaque => true,
        }
    }

    fn look_at_json(&self, found: &mut Findings, body: &[u8]) -> bool {
        let read = json::each(body, |text| self.look_at_text(found, text));
        if read.is_err() && found.is_open() {
            return self.checks.malformed(found);
        }
        found.is_open()
    }

    fn look_at_text(&self, found: &mut Findings, text: Text<'_>) -> bool {
        let Text {
            target,
            top,
            key,
            text,
        } = text;
        let place = Place::Json { top, key };
        match target {
            // `a` in `b` says more than each alone.
            Target::JsonKey => {
                let name = Name::new(key, text);
                self.look(found, target, place, name.as_bytes())
            }
            _ => self.look(found, target, place, text),
        }
    }

    fn look_at_parts(&self, found: &mut Findings, content_type: &[u8], body: &[u8]) -> bool {
        multipart::parts(content_type, body).all(|part| {
            let place = Place::Named("part", part.name);
            if let Some(file) = part.file {
                return self.look(found, Target::FileName, place, file);
            }
            let root = json::target_of_root_field(part.name, part.content);
            self.look(found, Target::ParameterName, Place::Bare("part"), part.name)
                && root.is_none_or(|target| self.look(found, target, place, part.content))
        })
    }
}

/// The declared type of a request's body; empty if there is none.
fn content_type(head: &request::Parts) -> &[u8] {
    let value = head.headers.get(header::CONTENT_TYPE);
    value.map_or(b"", |value| value.as_bytes())
}

/// How a body is read. One that looks like JSON is, whatever it is declared as, because
/// there are upstreams that do not ask; but a form begins otherwise.
fn form(content_type: &[u8], body: &[u8]) -> Form {
    let essence = media_type::essence(content_type);
    let is = |wanted: &str| essence.eq_ignore_ascii_case(wanted.as_bytes());
    let ends = |end: &str| media_type::ends_with(essence, end);
    match () {
        () if is("multipart/form-data") => Form::Parts,
        () if ends("/json") || ends("+json") || json::looks_like(body) => Form::Json,
        () if is("application/x-www-form-urlencoded") => Form::Parameters,
        () if ends("/xml") || ends("+xml") || body.starts_with(b"<?xml") => Form::Xml,
        () => Form::Opaque,
    }
}
