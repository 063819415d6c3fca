//! JSON, small: what plugins read of answers and write into requests.
//!
//! Numbers are kept as they were written, so nothing is lost on the way, and the code that turns
//! text into floating point numbers is part of a plugin only where it needs it.
//!
//! ```
//! use kennel_plugin::json;
//!
//! let status = json::parse(br#"{"store": {"nodes": [{"leader": true, "lag_ms": 12}]}}"#)?;
//! assert_eq!(status.pointer("/store/nodes/0/lag_ms").and_then(|lag| lag.as_u64()), Some(12));
//! assert_eq!(status["store"]["nodes"][0]["leader"], true);
//! # Ok::<(), json::Error>(())
//! ```

mod access;
mod de;
mod parse;
pub(crate) mod shape;
mod write;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use de::{Fault, Input, Known};
pub use parse::parse;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order it was written.
    Object(Vec<(String, Value)>),
}

/// A JSON number, as it was written.
#[derive(Debug, Clone)]
pub struct Number {
    text: String,
}

/// Text that is no JSON, or JSON that is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    fn new(message: String) -> Error {
        Error { message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Reads anything that serde can deserialise. The message of an error says where it is.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let value = parse(text)?;
    T::deserialize(Input::new(&value, Known::NOTHING)).map_err(|fault| {
        if fault.path.is_empty() {
            Error::new(fault.message)
        } else {
            Error::new(format!("{}: {}", fault.path, fault.message))
        }
    })
}

/// Writes anything that serde can serialise, without blanks. What JSON has no place for, such as
/// a number that is infinite, becomes `null`.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> String {
    let mut text = String::new();
    if value.serialize(write::Writer::new(&mut text)).is_err() {
        return "null".to_owned();
    }
    text
}
