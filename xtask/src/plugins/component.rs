//! From a core module to a component, and what a component exports.

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::WorldItem;
use wit_component::{ComponentEncoder, DecodedWasm};

/// Makes a component of a core module that says in a custom section what it has.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().module(module)?.validate(true).encode()
}

/// The kinds of plugin that a component is, by the interfaces it exports: `health-check`, ….
pub(crate) fn kinds(component: &[u8]) -> Result<Vec<String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("it is a package, not a component");
    };
    let mut kinds = Vec::new();
    for item in resolve.worlds[world].exports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let name = resolve.interfaces[*id].name.as_deref().context("an interface has a name")?;
        if name != "lifecycle" {
            kinds.push(name.to_owned());
        }
    }
    Ok(kinds)
}
