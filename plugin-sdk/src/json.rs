//! JSON, small: what plugins read of answers and write into requests.

use std::fmt;

use serde::Serialize;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order it was written.
    Object(Vec<(String, Value)>),
}

/// Text that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Reads a value.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| Error { message: error.to_string() })?;
    Ok(from_serde(value))
}

fn from_serde(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => {
            Value::Array(items.into_iter().map(from_serde).collect())
        }
        serde_json::Value::Object(entries) => Value::Object(
            entries.into_iter().map(|(key, value)| (key, from_serde(value))).collect(),
        ),
    }
}

/// Writes anything that serde can serialise. What JSON has no place for becomes `null`.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

impl Value {
    /// The entry of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Object(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The item of an array.
    pub fn at(&self, index: usize) -> Option<&Value> {
        let Value::Array(items) = self else { return None };
        items.get(index)
    }

    /// What a JSON pointer (RFC 6901) points to: `/store/nodes/0/leader`.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut value = self;
        if pointer.is_empty() {
            return Some(value);
        }
        for step in pointer.strip_prefix('/')?.split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            value = match value {
                Value::Array(_) => value.at(step.parse().ok()?)?,
                _ => value.get(&step)?,
            };
        }
        Some(value)
    }

    /// The text, where it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The number, where it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    /// The truth value, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The items, where it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }

    /// The entries, where it is an object.
    pub fn as_object(&self) -> Option<&[(String, Value)]> {
        if let Value::Object(entries) = self { Some(entries) } else { None }
    }
}

/// Reads anything that serde can deserialise.
pub fn read<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error { message: error.to_string() })
}
