//! What users write as one value or as a list of values.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::json::shape;

/// `signal: SIGKILL` or `signal: [SIGKILL, SIGSEGV]`. Is used as a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OneOrMany<T>(pub Vec<T>);

/// A word or a number, kept as the text that was written: `75`, `64-78`, `EX_TEMPFAIL`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text(pub String);

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_unit<E: Error>(self) -> Result<OneOrMany<T>, E> {
        Ok(OneOrMany(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<OneOrMany<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMany)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, one: D) -> Result<Self::Value, D::Error> {
        T::deserialize(one).map(|value| OneOrMany(vec![value]))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(shape::ONE_OR_MANY, OneOrManyVisitor(PhantomData))
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a number")
    }

    fn visit_unit<E: Error>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Text, E> {
        Ok(Text(value.to_owned()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Text, D::Error> {
        inner.deserialize_identifier(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_newtype_struct(shape::TEXT, TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Period;

    fn texts(json: &str) -> Result<Vec<String>, crate::json::Error> {
        let list: OneOrMany<Text> = crate::json::read(json.as_bytes())?;
        Ok(list.iter().map(|text| text.0.clone()).collect())
    }

    #[test]
    fn one_value_is_a_list_of_one() {
        assert_eq!(texts("\"a\"").unwrap(), ["a"]);
        assert_eq!(texts("75").unwrap(), ["75"]);
        assert_eq!(texts("[-1, 1.5, true, \"x\"]").unwrap(), ["-1", "1.5", "true", "x"]);
        assert!(texts("[]").unwrap().is_empty());
        for json in ["null", "{}", "[[1]]", "[null]"] {
            assert!(texts(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_is_said_of_the_value() {
        let error = crate::json::read::<OneOrMany<Period>>(b"\"soon\"").unwrap_err().to_string();
        assert!(error.contains("250ms"), "{error}");
        let error = crate::json::read::<OneOrMany<Period>>(b"[1]").unwrap_err().to_string();
        assert!(error.contains("250ms"), "{error}");
    }
}
