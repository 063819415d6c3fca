//! The contract in `wit/`, and bindings made of it.

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};

use crate::cli::plugin::project::Project;
use crate::cli::{ExitKind, Failure};

/// A world of a contract.
pub(super) struct Contract {
    pub(super) resolve: Resolve,
    pub(super) world: WorldId,
}

impl Contract {
    /// Reads the `wit/` of a project.
    pub(super) fn open(project: &Project) -> Result<Contract, Failure> {
        let path = project.wit();
        let mut resolve = Resolve::default();
        let world = resolve
            .push_path(&path)
            .and_then(|(package, _sources)| resolve.select_world(&[package], Some(project.world())))
            .map_err(|error| {
                let message = format!("cannot read \"{}\": {error:#}", path.display());
                Failure::new(ExitKind::Invalid, message)
            })?;
        Ok(Contract { resolve, world })
    }

    /// Writes what `generator` makes of it into `folder`, apart from `except`.
    pub(super) fn write_bindings(
        mut self,
        generator: &mut dyn WorldGenerator,
        folder: &Path,
        except: &[&str],
    ) -> Result<(), Failure> {
        let mut files = Files::default();
        generator
            .generate(&mut self.resolve, self.world, &mut files)
            .map_err(|error| Failure::new(ExitKind::Failed, format!("no bindings: {error:#}")))?;
        for (name, bytes) in files.iter().filter(|(name, _)| !except.contains(name)) {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(())
    }
}
