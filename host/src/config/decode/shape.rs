//! Values of several shapes: the node's kind picks the variant of an enum.

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::super::suggest;
use super::super::tree::{Kind, Node};
use super::{De, DecodeError};

/// The variant for a node.
pub(super) fn of(node: &Node) -> &'static str {
    match &node.kind {
        Kind::Scalar(_) => "Scalar",
        Kind::Sequence(_) => "Sequence",
        Kind::Mapping(_) => "Mapping",
    }
}

/// What the shapes among `variants` are called, but for `except`.
pub(super) fn nouns(variants: &[&str], except: &str) -> Vec<&'static str> {
    let shapes = [("Scalar", "a text"), ("Sequence", "a list"), ("Mapping", "a mapping")];
    let named = shapes.into_iter().filter(|(shape, _)| variants.contains(shape));
    named.filter(|(shape, _)| *shape != except).map(|(_, noun)| noun).collect()
}

/// A node as the enum variant that its kind names, holding the node itself.
pub(super) struct ShapeOf<'n, 'c> {
    pub(super) de: De<'n, 'c>,
    /// What else the node might have been.
    pub(super) others: Vec<&'static str>,
}

impl<'de> de::EnumAccess<'de> for ShapeOf<'_, '_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name: de::value::StrDeserializer<'_, DecodeError> =
            of(self.de.node).into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for ShapeOf<'_, '_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        let Self { de, others } = self;
        seed.deserialize(de).map_err(|error| {
            let mut error = error.within(de.node);
            let here = error.at.is_some_and(|(at, _)| at == std::ptr::from_ref(de.node));
            // A wrong word where a mapping may stand too: say so.
            if here && let Some((wanted, found)) = error.message.split_once(", found ") {
                let wanted = wanted.replace(" or ", ", ");
                error.message = format!("{wanted} or {}, found {found}", others.join(" or "));
                if error.hint.is_none() && others.contains(&"a mapping") {
                    error.hint = suggest::keys_below(&de.path.to_string());
                }
            }
            error
        })
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.de.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.de.deserialize_struct("", fields, visitor)
    }
}
