//! From text to tree.

mod syntax;

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use super::{Content, Key, MERGE_KEY, Mark, Node};
use crate::located::found::Found;
use crate::unit::shown;

/// How deep lists and mappings may stand in each other. The types need seven levels;
/// recursion over the tree is safe far beyond this.
pub(super) const DEPTH_MAX: usize = 32;
/// Most values in a tree, those that aliases repeat included: ten thousand routes of
/// forty values each. It is what keeps a small file of aliases of aliases small.
pub(in crate::located) const NODES_MAX: usize = 400_000;

/// The text is not YAML, or not within the bounds; which and where is noted.
pub(in crate::located) struct Unreadable;

/// Reads any text that is YAML, as [`super::build`] says.
pub(super) fn build<'t>(text: &'t str, found: &mut Found) -> Result<Option<Node<'t>>, Unreadable> {
    let mut options = Options::default();
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    options.emit_comments = false;
    options.emit_unresolved_aliases = true;
    let mut builder = Builder {
        found,
        text,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax::syntax(&error)),
        };
        if let Err((mark, message, hint)) = step {
            let line = builder.line_bytes(mark);
            builder.found.mask_likely_secret(text, line);
            builder.found.at(mark, message, hint);
            return Err(Unreadable);
        }
    }
    Ok(builder
        .root
        .filter(|root| root.is_dropped() || !root.is_null()))
}

/// A mistake after which nothing can be read.
type Fatal = (Mark, String, Option<String>);

struct Builder<'a, 'text> {
    found: &'a mut Found,
    text: &'text str,
    /// The lists and mappings that have begun and not ended, outermost first.
    open: Vec<Open<'text>>,
    /// Values with an anchor, by the parser's number for it.
    anchors: HashMap<usize, Node<'text>>,
    nodes: usize,
    root: Option<Node<'text>>,
}

/// A list or mapping that has begun.
struct Open<'t> {
    mark: Mark,
    anchor: usize,
    tagged: bool,
    kind: Kind<'t>,
}

enum Kind<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping {
        entries: Vec<(Key<'t>, Node<'t>)>,
        /// Keys so far, with their lines.
        seen: HashMap<Cow<'t, str>, usize>,
        key: Pending<'t>,
    },
}

/// What a mapping's next value belongs to.
enum Pending<'t> {
    /// No key yet: the next node is one.
    None,
    Key(Key<'t>),
    /// A key that is a mistake: its value is kept as dropped, so that what is missed
    /// for its sake is not reported as well.
    Refused(Key<'t>),
}

impl<'t> Builder<'_, 't> {
    fn take(&mut self, event: Event<'t>, span: &Span) -> Result<(), Fatal> {
        let mark = mark(&span.start);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err((
                mark,
                "a second document begins here: a configuration is one document".to_owned(),
                Some("remove the `---`, or pass each document as a file of its own".to_owned()),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = self.note_tag(tag.as_deref(), span);
                let content = Content::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain,
                };
                self.finish(Node::new(mark, end(span), content), anchor, tagged)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tagged = self.note_tag(tag.as_deref(), span);
                self.begin(Open {
                    mark,
                    anchor,
                    tagged,
                    kind: Kind::Sequence(Vec::new()),
                })
            }
            Event::MappingStart(_, anchor, tag) => {
                let tagged = self.note_tag(tag.as_deref(), span);
                let kind = Kind::Mapping {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: Pending::None,
                };
                self.begin(Open {
                    mark,
                    anchor,
                    tagged,
                    kind,
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let hint = "quote the value if its `*` is meant as a character";
                let message = format!(
                    "no anchor {} comes before this alias",
                    shown(&format!("&{name}"))
                );
                self.found.at(mark, message, Some(hint.to_owned()));
                self.finish(unknown(span), 0, false)
            }
            _ => Ok(()),
        }
    }

    /// Notes a tag: it would change what the value means, and nothing here has a use
    /// for that. Says whether there was one.
    fn note_tag(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        let Some(tag) = tag else { return false };
        let at = span.tag_start().unwrap_or(span.start);
        self.found.at(
            mark(&at),
            format!(
                "the tag {} means nothing here: remove it",
                shown(&tag.original())
            ),
            None,
        );
        true
    }

    fn begin(&mut self, open: Open<'t>) -> Result<(), Fatal> {
        // The parser bounds lists and mappings in each other one kind at a time.
        if self.open.len() >= DEPTH_MAX {
            return Err((
                open.mark,
                format!("nested too deep: at most {DEPTH_MAX} levels are read"),
                None,
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, span: &Span) -> Result<(), Fatal> {
        let Some(Open {
            mark,
            anchor,
            tagged,
            kind,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let content = match kind {
            Kind::Sequence(items) => Content::Sequence(items),
            Kind::Mapping { entries, .. } => Content::Mapping(entries),
        };
        self.finish(Node::new(mark, end(span), content), anchor, tagged)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), Fatal> {
        let mark = mark(&span.start);
        let Some(target) = self.anchors.get(&anchor) else {
            self.found
                .at(mark, "this alias stands within what it refers to", None);
            return self.finish(unknown(span), 0, false);
        };
        // One less, because `finish` counts the node itself.
        self.nodes = self.nodes.saturating_add(target.count() - 1);
        self.check_nodes(mark)?;
        // What is wrong with the value as a whole is wrong here, where it is used;
        // what is wrong within it is wrong where it is written.
        let node = Node::new(mark, end(span), target.content.clone());
        node.dropped.set(target.is_dropped());
        self.finish(node, 0, false)
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, node: Node<'t>, anchor: usize, tagged: bool) -> Result<(), Fatal> {
        if tagged {
            // As in `!secret abc`: what was meant by it is unknown.
            self.found.mask(node.bytes());
            node.drop_out();
        }
        self.nodes = self.nodes.saturating_add(1);
        if anchor != 0 {
            self.nodes = self.nodes.saturating_add(node.count());
            self.anchors.insert(anchor, node.clone());
        }
        self.check_nodes(node.mark)?;
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::Sequence(items)) => items.push(node),
            Some(Kind::Mapping { entries, seen, key }) => {
                match std::mem::replace(key, Pending::None) {
                    Pending::None => *key = accept_key(node, seen, self.found),
                    Pending::Key(key) => entries.push(announced(key, node)),
                    Pending::Refused(key) => {
                        self.found.mask(node.bytes());
                        node.drop_out();
                        entries.push((key, node));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_nodes(&self, mark: Mark) -> Result<(), Fatal> {
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message = format!(
            "the file holds more than {NODES_MAX} values, those that aliases repeat included"
        );
        Err((mark, message, None))
    }

    fn line_bytes(&self, mark: Mark) -> std::ops::Range<usize> {
        let before = self.text.get(..mark.byte()).unwrap_or_default();
        let after = self.text.get(mark.byte()..).unwrap_or_default();
        let start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let end = after
            .find(['\n', '\r'])
            .map_or(self.text.len(), |at| mark.byte() + at);
        start..end
    }
}

/// A value that is a mistake already.
fn unknown(span: &Span) -> Node<'static> {
    let mark = mark(&span.start);
    let content = Content::Scalar {
        text: Cow::Borrowed(""),
        plain: false,
    };
    let node = Node::new(mark, mark.byte(), content);
    node.drop_out();
    node
}

fn announced<'t>(key: Key<'t>, mut node: Node<'t>) -> (Key<'t>, Node<'t>) {
    node.heading = key.mark;
    if node.is_null() {
        // The parser sees an absent value only at what comes next.
        node.mark = key.mark;
    }
    (key, node)
}

fn accept_key<'t>(
    node: Node<'t>,
    seen: &mut HashMap<Cow<'t, str>, usize>,
    found: &mut Found,
) -> Pending<'t> {
    let mark = node.mark;
    let Content::Scalar { text, plain } = node.content else {
        found.at(mark, "a key must be a name, not a list or a mapping", None);
        return Pending::Refused(Key {
            text: Cow::Borrowed(""),
            mark,
        });
    };
    if text == MERGE_KEY && plain {
        let hint = "merge keys are not part of YAML 1.2: use an alias for a whole value, or repeat the keys";
        found.at(
            mark,
            "the merge key `<<` is not read",
            Some(hint.to_owned()),
        );
        return Pending::Refused(Key { text, mark });
    }
    if let Some(line) = seen.get(&text) {
        found.at(
            mark,
            format!(
                "the key {} stands here twice: first on line {line}",
                shown(&text)
            ),
            None,
        );
        return Pending::Refused(Key { text, mark });
    }
    seen.insert(text.clone(), mark.line());
    Pending::Key(Key { text, mark })
}

/// Where a value ends; where it begins, if the parser does not say.
fn end(span: &Span) -> usize {
    let begin = mark(&span.start).byte();
    span.end.byte_offset().unwrap_or(begin)
}

fn mark(marker: &granit_parser::Marker) -> Mark {
    let column = marker.col().saturating_add(1);
    let byte = marker.byte_offset().unwrap_or_default();
    Mark::new(marker.line().max(1), column, byte)
}
