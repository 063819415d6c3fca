//! `kennel man`: for packagers.

use std::path::PathBuf;

use super::{ExitKind, Failure, Outcome};

/// Options of `kennel man`.
#[derive(clap::Args, Debug)]
pub(super) struct ManArgs {
    /// Where to write the pages; made when it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn man(args: &ManArgs) -> Outcome {
    let ManArgs { directory } = args;
    let what = format!("write man pages to \"{}\"", directory.display());
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::definition(), directory))
        .map_err(|error| Failure::from(error).doing(&what))?;
    Ok(ExitKind::Done)
}
