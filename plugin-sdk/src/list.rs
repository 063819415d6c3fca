//! What users write as one value or as a list of values.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

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

/// One value, which is an item.
macro_rules! one {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: Error>(self, value: $type) -> Result<OneOrMany<T>, E> {
            T::deserialize(value.into_deserializer()).map(|item| OneOrMany(vec![item]))
        })*
    };
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    one!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<OneOrMany<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMany)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<OneOrMany<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries)).map(|item| OneOrMany(vec![item]))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct TextVisitor;

/// A value as the text that it was.
macro_rules! text {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: Error>(self, value: $type) -> Result<Text, E> {
            Ok(Text(value.to_string()))
        })*
    };
}

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a number")
    }

    text!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Period;

    fn texts(json: &str) -> Result<Vec<String>, crate::json::Error> {
        let list: OneOrMany<Text> = crate::json::from_str(json)?;
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
        let error = crate::json::from_str::<OneOrMany<Period>>("\"soon\"").unwrap_err().to_string();
        assert!(error.contains("250ms"), "{error}");
        let error = crate::json::from_str::<OneOrMany<Period>>("[1]").unwrap_err().to_string();
        assert!(error.contains("250ms"), "{error}");
    }
}
