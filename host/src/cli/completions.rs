//! `kennel completions`

use std::io::Write as _;

use clap_complete::Shell;

use super::{ExitKind, Outcome};

/// Options of `kennel completions`.
#[derive(clap::Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let CompletionsArgs { shell } = args;
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut super::definition(), "kennel", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(ExitKind::Done)
}
