//! From the tree to the raw types, by serde, with every error at its place.
//!
//! Scalars are read as what the type asks for, so nothing is guessed: the same `1.10` is
//! a text for an `env` value and no whole number for `replicas`.
//!
//! serde stops at the first error. To find all of them, the node of an error is masked,
//! that is treated as if it were not there, and decoding starts again, until nothing is
//! left to complain about. Every raw field is optional, so masking always makes progress.
//! Unknown keys are no errors to serde: `deserialize_struct` is told the known ones and
//! notes the others, so one pass finds them all.
//!
//! A value of several shapes (`limit: none` and `limit: { max: 10 }`) is an enum named
//! [`SHAPE`] with the variants `Scalar`, `Sequence` and `Mapping`; the node's kind picks
//! the variant. serde's untagged enums would lose the place and the reason of an error.

mod access;
mod shape;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

use super::source::{Problem, Problems, Span};
use super::suggest;
use super::tree::{Entry, Kind, Node, Scalar, Style};
use access::{Entries, Items};
use shape::ShapeOf;

/// The serde name of an enum whose variant is chosen by the kind of the node.
pub(super) const SHAPE: &str = "!shape";
/// Between message and hint in the text of a custom error.
pub(super) const HINT: &str = "\nhint: ";
/// Errors in one part of the file beyond that many are not looked for.
const MAX_ERRORS: usize = 50;

/// Decodes `node`; what is wrong goes to `problems` and is left out of the result.
/// `scope` names what is decoded: `service "web"`, or nothing for the whole file.
pub(super) fn decode<T>(node: &Node, scope: &str, problems: &mut Problems) -> T
where
    T: serde::de::DeserializeOwned + Default,
{
    let context = Context { scope, masked: RefCell::default(), unknown: RefCell::new(Vec::new()) };
    let mut result = T::default();
    let mut found = Vec::new();
    for _ in 0..MAX_ERRORS {
        context.unknown.borrow_mut().clear();
        match T::deserialize(De { node, context: &context, path: Path::Root }) {
            Ok(value) => {
                result = value;
                break;
            }
            Err(error) => {
                let (at, span) = error.at.unwrap_or((std::ptr::from_ref(node), node.span));
                found.push(Problem::at(span, error.message).maybe_hint(error.hint));
                if !context.masked.borrow_mut().insert(at) || at == std::ptr::from_ref(node) {
                    break;
                }
            }
        }
    }
    for problem in context.unknown.into_inner().into_iter().chain(found) {
        problems.error(problem);
    }
    result
}

struct Context<'a> {
    scope: &'a str,
    /// By address: the tree does not move while it is decoded.
    masked: RefCell<HashSet<*const Node>>,
    unknown: RefCell<Vec<Problem>>,
}

impl Context<'_> {
    fn is_masked(&self, node: &Node) -> bool {
        self.masked.borrow().contains(&std::ptr::from_ref(node))
    }
}

/// The way from the root to a node, for messages.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
        }
    }
}

/// What serde reports; the place is filled in on the way up.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct DecodeError {
    at: Option<(*const Node, Span)>,
    message: String,
    hint: Option<String>,
}

impl DecodeError {
    fn at(node: &Node, message: String, hint: Option<String>) -> DecodeError {
        DecodeError { at: Some((std::ptr::from_ref(node), node.span)), message, hint }
    }

    /// Places the error at `node` unless something deeper already did.
    fn within(mut self, node: &Node) -> DecodeError {
        self.at.get_or_insert((std::ptr::from_ref(node), node.span));
        self
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> DecodeError {
        let text = message.to_string();
        match text.split_once(HINT) {
            Some((message, hint)) => {
                DecodeError { at: None, message: message.to_owned(), hint: Some(hint.to_owned()) }
            }
            None => DecodeError { at: None, message: text, hint: None },
        }
    }
}

#[derive(Clone, Copy)]
struct De<'n, 'c> {
    node: &'n Node,
    context: &'c Context<'c>,
    path: Path<'c>,
}

impl<'n> De<'n, '_> {
    fn expected(&self, what: &str) -> DecodeError {
        DecodeError::at(self.node, format!("expected {what}, found {}", self.node.noun()), None)
    }

    fn scalar(&self, what: &str) -> Result<&'n Scalar, DecodeError> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Ok(scalar),
            Kind::Sequence(_) | Kind::Mapping(_) => Err(self.expected(what)),
        }
    }

    /// A whole number; the visitor's type bounds it.
    fn number<T: std::str::FromStr>(&self, min: i64, max: u64) -> Result<T, DecodeError> {
        const WHAT: &str = "a whole number";
        let text = self.scalar(WHAT)?.text.trim();
        text.parse().map_err(|_| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                self.expected(&format!("a whole number from {min} to {max}"))
            } else {
                self.expected(WHAT)
            }
        })
    }

    fn unknown_key(&self, entry: &Entry, fields: &[&str]) {
        let Context { scope, unknown, .. } = self.context;
        let place = match (self.path, scope.is_empty()) {
            (Path::Root, true) => String::new(),
            (Path::Root, false) => format!(" in {scope}"),
            (path, true) => format!(" in \"{path}\""),
            (path, false) => format!(" in \"{path}\" of {scope}"),
        };
        let message = format!("unknown key {}{place}", super::source::quoted(&entry.key));
        let hint = suggest::for_key(&entry.key, fields, &self.path.to_string());
        unknown.borrow_mut().push(Problem::at(entry.key_span, message).maybe_hint(hint));
    }

    /// The error of a visitor belongs to this node unless something deeper has it.
    fn place<T>(self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|error| error.within(self.node))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let number: $type = self.number(<$type>::MIN as i64, <$type>::MAX as u64)?;
            self.place(visitor.$visit(number))
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_, '_> {
    type Error = DecodeError;

    /// By the rules of YAML 1.2's core schema; only free-form values (the `config` of a
    /// plugin) ask for it.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.kind {
            Kind::Scalar(Scalar { text, style: Style::Plain }) => {
                let result = if self.node.is_null() {
                    visitor.visit_unit()
                } else if let Some(truth) = truth(text) {
                    visitor.visit_bool(truth)
                } else if let Ok(number) = text.parse() {
                    visitor.visit_i64(number)
                } else if let Ok(number) = text.parse() {
                    visitor.visit_u64(number)
                } else if let Some(number) = decimal(text) {
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(text)
                };
                self.place(result)
            }
            Kind::Scalar(scalar) => self.place(visitor.visit_str(&scalar.text)),
            Kind::Sequence(_) => self.deserialize_seq(visitor),
            Kind::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let text = &self.scalar("true or false")?.text;
        match truth(text) {
            Some(value) => self.place(visitor.visit_bool(value)),
            None => {
                let mut error = self.expected("true or false");
                error.hint = match text.to_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" => Some("write true".to_owned()),
                    "no" | "off" | "n" | "0" => Some("write false".to_owned()),
                    _ => None,
                };
                Err(error)
            }
        }
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let text = self.scalar("a number")?.text.trim();
        let number = decimal(text).ok_or_else(|| self.expected("a number"))?;
        self.place(visitor.visit_f64(number))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let text = &self.scalar("a text")?.text;
        self.place(visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.expected("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Kind::Sequence(items) = &self.node.kind else { return Err(self.expected("a list")) };
        self.place(visitor.visit_seq(Items { items: items.iter(), parent: self }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Kind::Mapping(entries) = &self.node.kind else {
            return Err(self.expected("a mapping"));
        };
        let entries = Entries { entries: entries.iter(), value: None, known: None, parent: self };
        self.place(visitor.visit_map(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let Kind::Mapping(entries) = &self.node.kind else {
            let mut error = self.expected("a mapping");
            let meant = self.node.text().and_then(|word| suggest::for_word(word, name));
            error.hint = meant.or_else(|| Some(format!("known here: {}", fields.join(", "))));
            return Err(error);
        };
        for entry in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
            self.unknown_key(entry, fields);
        }
        let entries =
            Entries { entries: entries.iter(), value: None, known: Some(fields), parent: self };
        self.place(visitor.visit_map(entries))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == SHAPE {
            let shape = shape::of(self.node);
            if variants.contains(&shape) {
                let shape = ShapeOf { de: self, others: shape::nouns(variants, shape) };
                return self.place(visitor.visit_enum(shape));
            }
            return Err(self.expected(&suggest::one_of(shape::nouns(variants, ""))));
        }
        let wanted = suggest::one_of(variants.iter().copied());
        let text = self.scalar(&wanted)?.text.as_str();
        if variants.contains(&text) {
            let word: de::value::StrDeserializer<'_, DecodeError> = text.into_deserializer();
            return self.place(visitor.visit_enum(word));
        }
        let mut error = self.expected(&wanted);
        error.hint = suggest::did_you_mean(text, variants.iter().copied());
        Err(error)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A finite decimal number; `inf` and `nan` are words.
fn decimal(text: &str) -> Option<f64> {
    let starts = text.trim_start_matches(['-', '+', '.']).starts_with(|c: char| c.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| starts && number.is_finite())
}
