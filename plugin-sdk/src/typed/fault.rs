//! What serde complains of, and where.

use std::fmt::Write as _;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::words;

/// Something that is wrong with a document.
pub(super) struct Fault {
    /// Where in the document; none where the type hides it.
    pub(super) place: Option<Vec<Step>>,
    /// The place as users write it: `expect[1].key`.
    pub(super) shown: String,
    /// What is wrong.
    pub(super) message: String,
    pub(super) kind: Kind,
}

/// From a value to one that it contains.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// How a value is wrong.
pub(super) enum Kind {
    /// It should not be there.
    Unknown,
    /// It is not there, or not what it should be; where one of some words is wanted, these.
    Wrong { words: Vec<String> },
}

impl Fault {
    pub(super) fn new(path: &Path, message: &str, document: &mut Value) -> Fault {
        let mut place = Some(Vec::new());
        let mut shown = String::new();
        for segment in path {
            extend(&mut place, &mut shown, segment, document);
        }
        if let Some(field) = words::missing(message) {
            place.iter_mut().for_each(|place| place.push(Step::Key(field.to_owned())));
            show(&mut shown, field);
        }
        let kind = if words::is_unknown_key(message) {
            Kind::Unknown
        } else {
            Kind::Wrong { words: words::wanted(message) }
        };
        Fault { place, shown, message: words::plain(message), kind }
    }
}

fn extend(
    place: &mut Option<Vec<Step>>,
    shown: &mut String,
    segment: &Segment,
    document: &mut Value,
) {
    let step = match segment {
        Segment::Seq { index } => {
            let _ = write!(shown, "[{index}]");
            Step::Index(*index)
        }
        Segment::Map { key: name } | Segment::Enum { variant: name } => {
            show(shown, name);
            Step::Key(name.clone())
        }
        Segment::Unknown => {
            *place = None;
            return;
        }
    };
    if let Some(place) = place {
        place.push(step);
        // A variant without anything in it is a text, not a mapping with one entry.
        if matches!(segment, Segment::Enum { .. }) && at(document, place).is_none() {
            place.pop();
        }
    }
}

/// `a`, `a.b`
fn show(shown: &mut String, key: &str) {
    if !shown.is_empty() {
        shown.push('.');
    }
    shown.push_str(key);
}

/// What is there.
pub(super) fn at<'a>(document: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place.iter().try_fold(document, |value, step| match (value, step) {
        (Value::Object(entries), Step::Key(key)) => entries.get_mut(key),
        (Value::Array(items), Step::Index(index)) => items.get_mut(*index),
        (_, Step::Key(_) | Step::Index(_)) => None,
    })
}
