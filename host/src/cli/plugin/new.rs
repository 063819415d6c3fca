//! `kennel plugin new`

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::args::NewArgs;
use super::project::wrong_name;
use super::templates::{self, File};
use crate::cli::{ExitKind, Failure, Outcome};

pub(super) fn new(args: &NewArgs) -> Outcome {
    let NewArgs { kind, lang, directory } = args;
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    if let Some(reason) = wrong_name(&name) {
        let message = format!("cannot make a plugin \"{name}\": the name {reason}");
        return Err(Failure::new(ExitKind::Invalid, message));
    }
    let what = format!("make \"{}\"", directory.display());
    let doing = |error| Failure::from(error).doing(&what);
    // Nothing is written into what is there already.
    let parent = directory.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent).map_err(doing)?;
    fs::create_dir(directory).map_err(doing)?;
    for File { path, text } in templates::files(*kind, *lang, &name) {
        let path = directory.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(doing)?;
        }
        fs::write(path, text).map_err(doing)?;
    }
    let directory = directory.display();
    writeln!(std::io::stdout(), "{directory}: a plugin in {}", lang.name())?;
    writeln!(std::io::stderr(), "\nnext: kennel plugin build {directory}")?;
    Ok(ExitKind::Done)
}
