//! From JSON to an author's own type, with every problem at its place.
//!
//! serde gives up at the first problem. What it complains of is therefore put right in the
//! document, an unknown key by taking it out and anything else by a stand-in, and the document
//! is read again until nobody complains any more:
//!
//! ```text
//!  document ──► serde ──► a value ──────────────────► done, or all problems
//!     ▲           └─────► a fault ──► a problem, unless a stand-in is to blame
//!     └──── put right ◄──────┘
//! ```
//!
//! Where no stand-in fits, such as for a type with a rule of its own, what was found up to
//! there is reported.

mod fault;
mod words;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::Problems;
use fault::{Fault, Kind, Step};

/// A document is read no more often: enough for dozens of problems.
const ROUNDS_MAX: usize = 300;

/// Reads a configuration; everything that is wrong with it is found at once.
pub(crate) fn read<C: DeserializeOwned>(json: &str) -> Result<C, Problems> {
    let mut document: Value = serde_json::from_slice(json.as_bytes())
        .map_err(|error| Problems::one("", format!("not JSON: {error}")))?;
    if document.is_null() {
        document = Value::Object(Map::new());
    }
    // serde would take the items for the fields, in their order.
    if document.is_array() {
        return Err(Problems::one("", "expected a mapping, found a list"));
    }
    let mut repairs = Repairs::default();
    for _ in 0..ROUNDS_MAX {
        let fault = match serde_path_to_error::deserialize::<_, C>(&document) {
            Ok(config) if repairs.problems.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => Fault::new(error.path(), &error.inner().to_string(), &mut document),
        };
        if repairs.make(&mut document, fault).is_none() {
            break;
        }
    }
    Err(repairs.problems)
}

/// What was found wrong, and what stands in its place now.
#[derive(Default)]
struct Repairs {
    problems: Problems,
    stand_ins: Vec<StandIns>,
}

/// What was not tried yet at a place.
struct StandIns {
    place: Vec<Step>,
    untried: Vec<Value>,
}

impl Repairs {
    /// Puts a fault right in the document; none where it cannot.
    fn make(&mut self, document: &mut Value, fault: Fault) -> Option<()> {
        let Fault { place, shown, message, kind } = fault;
        let is_ours = |place: &Vec<Step>| {
            self.stand_ins.iter().any(|stand_ins| place.starts_with(&stand_ins.place))
        };
        // What is wrong with a stand-in is not the user's fault.
        if !place.as_ref().is_some_and(is_ours) {
            self.problems.insert(shown, message);
        }
        let place = place?;
        match kind {
            Kind::Unknown => remove(document, &place),
            Kind::Wrong { words } => {
                let untried = self.untried(&place);
                untried.extend(words.into_iter().map(Value::String));
                let stand_in = untried.pop()?;
                put(document, &place, stand_in)
            }
        }
    }

    fn untried(&mut self, place: &[Step]) -> &mut Vec<Value> {
        let known = self.stand_ins.iter().position(|stand_ins| stand_ins.place == place);
        let known = known.unwrap_or_else(|| {
            self.stand_ins.push(StandIns { place: place.to_vec(), untried: stand_ins() });
            self.stand_ins.len() - 1
        });
        &mut self.stand_ins[known].untried
    }
}

/// What fits most types, tried from the last to the first.
fn stand_ins() -> Vec<Value> {
    let mut all = vec![Value::Null, Value::Object(Map::new()), Value::Array(Vec::new())];
    all.extend([Value::from(false), Value::from(1), Value::from(0)]);
    all.extend(["http://localhost/", "/", "1s"].map(Value::from));
    all
}

/// The mapping that has the value at `place`, and its key.
fn parent<'a, 'b>(
    document: &'a mut Value,
    place: &'b [Step],
) -> Option<(&'a mut Map<String, Value>, &'b String)> {
    let (Step::Key(key), above) = place.split_last()? else { return None };
    Some((fault::at(document, above)?.as_object_mut()?, key))
}

fn remove(document: &mut Value, place: &[Step]) -> Option<()> {
    let (parent, key) = parent(document, place)?;
    for (name, value) in std::mem::take(parent) {
        if name != *key {
            parent.insert(name, value);
        }
    }
    Some(())
}

fn put(document: &mut Value, place: &[Step], value: Value) -> Option<()> {
    if let Some(there) = fault::at(document, place) {
        *there = value;
    } else {
        let (parent, key) = parent(document, place)?;
        parent.insert(key.clone(), value);
    }
    Some(())
}

#[cfg(test)]
mod tests;
