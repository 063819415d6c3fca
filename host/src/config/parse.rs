//! YAML text to a tree.
//!
//! Built from the parser's events and not through serde, which would have resolved the
//! scalars to types and lost their text.
//!
//! The text may be hostile. Bounded are its bytes (by who reads the file), the depth,
//! and the number of nodes, in which those that aliases repeat are counted, so that a
//! few lines cannot blow up. A syntax error ends the reading of its file; duplicate
//! keys, odd keys and tags do not.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle};

use super::source::{FileId, Problem, Problems, Sources, Span, quoted};
use super::syntax;
use super::tree::{Entry, Kind, Node, Scalar, Style};

/// How deep collections may be nested. The deepest key of the reference stands at 7.
pub(super) const MAX_DEPTH: usize = 32;
/// How many nodes a file may have, counting what aliases repeat.
pub(super) const MAX_NODES: usize = 250_000;

/// An open collection.
struct Open {
    span: Span,
    anchor: usize,
    /// Nodes inside it so far, itself included.
    size: usize,
    /// Levels of collections inside it so far, itself included.
    height: usize,
    parts: Parts,
}

enum Parts {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    /// None: the key was refused, its value is dropped.
    name: Option<String>,
    span: Span,
    merge: bool,
}

struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

struct Builder<'a> {
    sources: &'a Sources,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

/// Why the rest of a file is not read.
struct Stop(Problem);

/// The tree of a file that is in `sources`, of one with nothing in it an empty mapping;
/// none when it cannot be read.
pub(super) fn parse(file: FileId, sources: &Sources, problems: &mut Problems) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let text = sources.text(file);
    let mut builder = Builder {
        sources,
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
    };
    for item in Parser::new_from_str_with_options(text, options) {
        let step = match item {
            Ok((event, span)) => {
                let span = syntax::span(file, &span.start, span.len());
                builder.event(event, span)
            }
            Err(error) => Err(Stop(syntax::problem(&error, file, sources))),
        };
        if let Err(Stop(problem)) = step {
            builder.problems.error(problem);
            return None;
        }
    }
    let start = Span { file, line: 1, column: 1, len: 1 };
    Some(builder.root.filter(|root| !root.is_null()).unwrap_or_else(|| Node::empty(start)))
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.as_deref().and_then(|tag| tag.core_suffix());
                if tag.is_some() && tagged.is_none() {
                    self.tag(span);
                }
                let style = match style {
                    ScalarStyle::Plain if tagged != Some("str") => Style::Plain,
                    _ => Style::Quoted,
                };
                // A value that is not there comes as "~"; nothing was written.
                let text = if span.len == 0 { String::new() } else { text.into_owned() };
                let scalar = Scalar { text, style };
                let node = Node { span, kind: Kind::Scalar(scalar) };
                self.count(1, span)?;
                self.remember(anchor, &node, 1, 0);
                self.place(node, 1, 0)
            }
            Event::Alias(id) => self.alias(id, span),
            Event::SequenceStart(_, anchor, tag) => {
                if tag.is_some_and(|tag| tag.is_custom()) {
                    self.tag(span);
                }
                self.begin(span, anchor, Parts::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                if tag.is_some_and(|tag| tag.is_custom()) {
                    self.tag(span);
                }
                let parts = Parts::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(span, anchor, parts)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::at(span, "a second document starts here")
                        .hint("a file holds one document; put the other into a file of its own and name it under kennel.include");
                    return Err(Stop(problem));
                }
                Ok(())
            }
            // The enum is the parser's and may grow; nothing else is asked for.
            _ => Ok(()),
        }
    }

    fn tag(&mut self, span: Span) {
        self.problems.error(
            Problem::at(span, "tags are not understood")
                .hint("leave out the word that starts with !"),
        );
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Stop(
                Problem::at(span, format!("the file has more than {MAX_NODES} values"))
                    .hint("what aliases repeat counts each time"),
            ));
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node, size: usize, height: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Stop(Problem::at(span, "the alias stands inside what it stands for")));
        };
        let Anchored { size, height, .. } = *anchored;
        if self.open.len() + height > MAX_DEPTH {
            return Err(Stop(too_deep(span)));
        }
        self.count(size, span)?;
        let node = self.anchors[&id].node.clone();
        self.place(node, size, height)
    }

    fn begin(&mut self, span: Span, anchor: usize, parts: Parts) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Stop(too_deep(span)));
        }
        self.count(1, span)?;
        // A collection that is a value is shown by its key: that is one word.
        let span = match self.open.last() {
            Some(Open { parts: Parts::Mapping { key: Some(key), .. }, .. }) => key.span,
            Some(_) | None => Span { len: 1, ..span },
        };
        self.open.push(Open { span, anchor, size: 1, height: 1, parts });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(Open { span, anchor, size, height, parts }) = self.open.pop() else {
            return Ok(());
        };
        let kind = match parts {
            Parts::Sequence(items) => Kind::Sequence(items),
            Parts::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        let node = Node { span, kind };
        self.remember(anchor, &node, size, height);
        self.place(node, size, height)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, mut node: Node, size: usize, height: usize) -> Result<(), Stop> {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        open.size += size;
        open.height = open.height.max(height + 1);
        match &mut open.parts {
            Parts::Sequence(items) => items.push(node),
            Parts::Mapping { entries, seen, key } => match key.take() {
                None => *key = Some(new_key(node, seen, self.sources, self.problems)),
                Some(Key { span, merge: true, .. }) => {
                    let problem = Problem::at(span, "merge keys are not understood")
                        .hint("what services share goes under \"defaults\"");
                    self.problems.error(problem);
                }
                Some(Key { name: None, .. }) => {}
                Some(Key { name: Some(name), span, .. }) => {
                    if node.span.len == 0 {
                        node.span = span;
                    }
                    entries.push(Entry { key: name, key_span: span, value: node });
                }
            },
        }
        Ok(())
    }
}

fn too_deep(span: Span) -> Problem {
    Problem::at(span, format!("nested more than {MAX_DEPTH} levels deep"))
}

fn new_key(
    node: Node,
    seen: &mut HashMap<String, Span>,
    sources: &Sources,
    problems: &mut Problems,
) -> Key {
    let span = node.span;
    let Kind::Scalar(Scalar { text, style }) = node.kind else {
        problems.error(Problem::at(span, "a key has to be a word").hint("quote it: \"…\""));
        return Key { name: None, span, merge: false };
    };
    if text == "<<" && style == Style::Plain {
        return Key { name: None, span, merge: true };
    }
    if let Some(first) = seen.get(&text) {
        let message =
            format!("duplicate key {}, first given at {}", quoted(&text), sources.name(*first));
        problems.error(Problem::at(span, message).hint("keep one of them"));
        return Key { name: None, span, merge: false };
    }
    seen.insert(text.clone(), span);
    Key { name: Some(text), span, merge: false }
}
