//! From values to what serde can deserialise, with the place of what is wrong.
//!
//! serde gives up at the first thing that is wrong. A configuration is therefore read again and
//! again: what was found wrong before is [`Known`] and gets a stand-in that fits whatever is
//! wanted, so that the next problem comes to light.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::{Value, shape};
use crate::near::nearest;

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) kind: FaultKind,
    placed: bool,
}

/// How a value is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It is not what it should be.
    Wrong,
    /// It should not be there.
    Unknown,
    /// It should be there.
    Missing(&'static str),
}

impl Fault {
    fn new(message: String) -> Fault {
        Fault { path: String::new(), message, kind: FaultKind::Wrong, placed: false }
    }

    /// Says where it is, unless somebody nearer has said so.
    fn at(mut self, path: &str) -> Fault {
        if !self.placed {
            self.placed = true;
            self.path = match self.kind {
                FaultKind::Missing(field) => child(path, field),
                FaultKind::Wrong | FaultKind::Unknown => path.to_owned(),
            };
        }
        self
    }
}

/// The path of an entry of a mapping.
pub(crate) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// `"a", "b"`
fn quoted(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('"');
        text.push_str(word);
        text.push('"');
    }
    text
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::new(format!("expected {}, found {}", wanted(expected), noun(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::new(format!("expected {}, found {}", wanted(expected), noun(found)))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Fault {
        Fault::new(format!("expected {}, found {found} items", wanted(expected)))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Fault {
        Fault::new(format!("expected one of {}, found \"{found}\"", quoted(expected)))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Fault {
        let near = nearest(found, expected);
        let hint = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the keys are {}", quoted(expected)),
        };
        let mut fault = Fault::new(format!("unknown key \"{found}\"; {hint}"));
        fault.kind = FaultKind::Unknown;
        fault
    }

    fn missing_field(field: &'static str) -> Fault {
        let mut fault = Fault::new(format!("\"{field}\" is required"));
        fault.kind = FaultKind::Missing(field);
        fault
    }

    fn duplicate_field(field: &'static str) -> Fault {
        Fault::new(format!("\"{field}\" stands there twice"))
    }
}

/// What was expected, in words of a configuration file rather than of Rust.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let words = match text.as_str() {
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other if other.starts_with("struct ") => "a mapping",
        _ => return text,
    };
    words.to_owned()
}

/// What was found, in words of a configuration file.
fn noun(found: Unexpected<'_>) -> String {
    let noun = match found {
        Unexpected::Bool(value) => return value.to_string(),
        Unexpected::Unsigned(value) => return value.to_string(),
        Unexpected::Signed(value) => return value.to_string(),
        Unexpected::Str(text) => return format!("{text:?}"),
        Unexpected::Other(text) => return text.to_owned(),
        Unexpected::Char(c) => return format!("{c:?}"),
        // What a number was is not said, so that plugins without floating point numbers can do
        // without the code that writes them.
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq | Unexpected::TupleVariant => "a list",
        Unexpected::Map | Unexpected::StructVariant => "a mapping",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::NewtypeStruct | Unexpected::Enum => "something else",
        Unexpected::UnitVariant | Unexpected::NewtypeVariant => "something else",
    };
    noun.to_owned()
}

/// What is already known to be wrong.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    faults: &'a [Fault],
}

impl<'a> Known<'a> {
    pub(crate) const NOTHING: Known<'static> = Known { faults: &[] };

    pub(crate) fn new(faults: &'a [Fault]) -> Known<'a> {
        Known { faults }
    }

    pub(crate) fn of(self, path: &str) -> Option<FaultKind> {
        self.faults.iter().find(|fault| fault.path == path).map(|fault| fault.kind)
    }

    /// A field of the mapping at `path` that is missing, after the first `skip` of them.
    fn missing(self, path: &str, skip: usize) -> Option<&'static str> {
        let fields = self.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Missing(field) if child(path, field) == fault.path => Some(field),
            FaultKind::Missing(_) | FaultKind::Wrong | FaultKind::Unknown => None,
        });
        fields.skip(skip).next()
    }
}

/// A value on its way to serde.
pub(crate) struct Input<'a> {
    /// None is the stand-in.
    value: Option<&'a Value>,
    path: String,
    known: Known<'a>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(value: &'a Value, known: Known<'a>) -> Input<'a> {
        Input { value: Some(value), path: String::new(), known }.or_stand_in()
    }

    fn or_stand_in(mut self) -> Input<'a> {
        if self.known.of(&self.path).is_some() {
            self.value = None;
        }
        self
    }

    fn below(&self, path: String, value: Option<&'a Value>) -> Input<'a> {
        Input { value, path, known: self.known }.or_stand_in()
    }

    /// A type that serde did not expect, or that has to be whatever it is.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(value) = self.value else { return visitor.visit_unit() };
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(_) => self.list(visitor),
            Value::Object(_) => self.mapping(visitor, &[]),
        }
    }

    /// The same without floating point numbers, whose code is large.
    fn unexpected<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Some(Value::Number(number)) => {
                Err(Fault::invalid_type(Unexpected::Other(number.as_str()), &visitor))
            }
            Some(Value::Array(_)) => Err(Fault::invalid_type(Unexpected::Seq, &visitor)),
            Some(Value::Object(_)) => Err(Fault::invalid_type(Unexpected::Map, &visitor)),
            Some(Value::Bool(value)) => {
                Err(Fault::invalid_type(Unexpected::Bool(*value), &visitor))
            }
            Some(Value::String(text)) => Err(Fault::invalid_type(Unexpected::Str(text), &visitor)),
            Some(Value::Null) | None => Err(Fault::invalid_type(Unexpected::Unit, &visitor)),
        }
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None => visitor.visit_u64(0),
            Some(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => self.unexpected(visitor),
            },
            Some(_) => self.unexpected(visitor),
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None => visitor.visit_str(""),
            Some(Value::String(text)) => visitor.visit_str(text),
            Some(_) => self.unexpected(visitor),
        }
    }

    /// A name, or the number of one.
    fn identifier<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Some(Value::Number(_)) = self.value {
            self.integer(visitor)
        } else {
            self.text(visitor)
        }
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None => visitor.visit_seq(StandIns { of: &self, left: 0 }),
            Some(Value::Array(items)) => visitor.visit_seq(Items { of: &self, items, at: 0 }),
            Some(_) => self.unexpected(visitor),
        }
    }

    fn mapping<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: &'static [&'static str],
    ) -> Result<V::Value, Fault> {
        match self.value {
            None => visitor.visit_map(Fields { of: &self, fields, at: 0 }),
            Some(Value::Object(entries)) => {
                visitor.visit_map(Entries { of: &self, entries, at: 0, missing: 0 })
            }
            Some(_) => self.unexpected(visitor),
        }
    }
}

/// The items of a list.
struct Items<'a, 'b> {
    of: &'b Input<'a>,
    items: &'a [Value],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.at) else { return Ok(None) };
        let path = format!("{}[{}]", self.of.path, self.at);
        self.at += 1;
        seed.deserialize(self.of.below(path, Some(item))).map(Some)
    }
}

/// Stand-ins for the items of a tuple.
struct StandIns<'a, 'b> {
    of: &'b Input<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for StandIns<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.of.below(self.of.path.clone(), None)).map(Some)
    }
}

/// The entries of a mapping, without those that are known not to belong there and with
/// stand-ins for those that are known to be missing.
struct Entries<'a, 'b> {
    of: &'b Input<'a>,
    entries: &'a [(String, Value)],
    at: usize,
    missing: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        while let Some((key, _)) = self.entries.get(self.at) {
            let path = child(&self.of.path, key);
            if self.of.known.of(&path) == Some(FaultKind::Unknown) {
                self.at += 1;
                continue;
            }
            let key: StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|fault| fault.at(&path));
        }
        let Some(field) = self.of.known.missing(&self.of.path, self.missing) else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        if let Some((key, value)) = self.entries.get(self.at) {
            self.at += 1;
            return seed.deserialize(self.of.below(child(&self.of.path, key), Some(value)));
        }
        let field = self.of.known.missing(&self.of.path, self.missing).unwrap_or_default();
        self.missing += 1;
        seed.deserialize(self.of.below(child(&self.of.path, field), None))
    }
}

/// Stand-ins for all fields of a struct.
struct Fields<'a, 'b> {
    of: &'b Input<'a>,
    fields: &'static [&'static str],
    at: usize,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(field) = self.fields.get(self.at) else { return Ok(None) };
        self.at += 1;
        seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(self.of.below(self.of.path.clone(), None))
    }
}

/// A variant of an enum: its name and what is in it.
struct Variant<'a, 'b> {
    of: &'b Input<'a>,
    name: &'a str,
    /// None where the name is all there is.
    content: Option<&'a Value>,
}

impl<'a, 'b, 'de> EnumAccess<'de> for Variant<'a, 'b> {
    type Error = Fault;
    type Variant = Variant<'a, 'b>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Variant<'a, 'b>), Fault> {
        let name: StrDeserializer<'_, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'a> Variant<'a, '_> {
    fn content(&self) -> Result<Input<'a>, Fault> {
        let path = child(&self.of.path, self.name);
        if self.content.is_none() && self.of.value.is_some() {
            return Err(Fault::new(format!("\"{}\" says nothing more", self.name)));
        }
        Ok(self.of.below(path, self.content))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None | Some(Value::Null) => Ok(()),
            Some(value) => {
                let message =
                    format!("\"{}\" is all there can be, found {}", self.name, value.noun());
                Err(Fault::new(message))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content()?.deserialize_struct("", fields, visitor)
    }
}

macro_rules! deserialize {
    ($($method:ident: $how:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let path = self.path.clone();
            self.$how(visitor).map_err(|fault| fault.at(&path))
        })*
    };
}

impl<'de> Deserializer<'de> for Input<'_> {
    type Error = Fault;

    deserialize!(
        deserialize_any: any,
        deserialize_i8: integer,
        deserialize_i16: integer,
        deserialize_i32: integer,
        deserialize_i64: integer,
        deserialize_u8: integer,
        deserialize_u16: integer,
        deserialize_u32: integer,
        deserialize_u64: integer,
        deserialize_char: text,
        deserialize_str: text,
        deserialize_string: text,
        deserialize_identifier: identifier,
        deserialize_seq: list,
        deserialize_bytes: list,
        deserialize_byte_buf: list,
    );

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let result = match self.value {
            None => visitor.visit_bool(false),
            Some(Value::Bool(value)) => visitor.visit_bool(*value),
            Some(_) => self.unexpected(visitor),
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let result = match self.value {
            None => visitor.visit_f64(0.0),
            Some(Value::Number(number)) => visitor.visit_f64(number.as_f64()),
            Some(_) => self.unexpected(visitor),
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let result = match self.value {
            None | Some(Value::Null) => visitor.visit_unit(),
            Some(_) => self.unexpected(visitor),
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let result = match self.value {
            None if shape::is_ours(name) => visitor.visit_unit(),
            Some(Value::Array(_)) if name == shape::ONE_OR_MANY => self.list(visitor),
            Some(value) if name == shape::TEXT => match value {
                Value::String(text) => visitor.visit_str(text),
                Value::Number(number) => visitor.visit_str(number.as_str()),
                Value::Bool(true) => visitor.visit_str("true"),
                Value::Bool(false) => visitor.visit_str("false"),
                Value::Null | Value::Array(_) | Value::Object(_) => self.unexpected(visitor),
            },
            None | Some(_) => visitor.visit_newtype_struct(self),
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let result = if self.value.is_none() {
            visitor.visit_seq(StandIns { of: &self, left: len })
        } else {
            self.list(visitor)
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        self.mapping(visitor, fields).map_err(|fault| fault.at(&path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let variant = match self.value {
            None => variants.first().map(|name| (*name, None)),
            Some(Value::String(name)) => Some((name.as_str(), None)),
            Some(Value::Object(entries)) => match entries.as_slice() {
                [(name, content)] => Some((name.as_str(), Some(content))),
                [] | [_, _, ..] => None,
            },
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => None,
        };
        let result = match variant {
            Some((name, content)) => visitor.visit_enum(Variant { of: &self, name, content }),
            None => Err(Fault::new(format!("expected one of {}", quoted(variants)))),
        };
        result.map_err(|fault| fault.at(&path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}
