//! Lists and mappings without what is masked.

use serde::de::{self, DeserializeSeed, IntoDeserializer};

use super::super::tree::{Entry, Node};
use super::{De, DecodeError, Path};

pub(super) struct Items<'n, 'c> {
    pub(super) items: std::slice::Iter<'n, Node>,
    pub(super) parent: De<'n, 'c>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let context = self.parent.context;
        let Some(node) = self.items.find(|node| !context.is_masked(node)) else { return Ok(None) };
        let De { path, .. } = self.parent;
        seed.deserialize(De { node, context, path }).map(Some).map_err(|error| error.within(node))
    }
}

pub(super) struct Entries<'n, 'c> {
    pub(super) entries: std::slice::Iter<'n, Entry>,
    pub(super) value: Option<&'n Entry>,
    /// Of a struct its fields: other keys were noted and are left out.
    pub(super) known: Option<&'static [&'static str]>,
    pub(super) parent: De<'n, 'c>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Self { entries, known, parent, .. } = self;
        let wanted = |entry: &&Entry| {
            known.is_none_or(|known| known.contains(&entry.key.as_str()))
                && !parent.context.is_masked(&entry.value)
        };
        self.value = entries.find(wanted);
        match self.value {
            None => Ok(None),
            Some(entry) => {
                let key: de::value::StrDeserializer<'_, DecodeError> =
                    entry.key.as_str().into_deserializer();
                seed.deserialize(key).map(Some).map_err(|error| error.within(&entry.value))
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let entry = self.value.take().expect("serde asks for a value after its key");
        let De { context, path, .. } = &self.parent;
        let path = Path::Key(path, &entry.key);
        seed.deserialize(De { node: &entry.value, context, path })
            .map_err(|error| error.within(&entry.value))
    }
}
