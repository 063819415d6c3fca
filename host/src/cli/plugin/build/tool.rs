//! Programs of others that a build runs.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::{ExitKind, Failure};
use crate::os::find_program;

/// The first of `names` that is there: in one of `folders`, which come first, or in `PATH`.
pub(super) fn find(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH");
    let beside = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    let mut found = beside.filter(|file| find_program(file.as_os_str(), None, None).is_ok());
    found.next().or_else(|| {
        let mut found = names
            .iter()
            .filter_map(|name| find_program(OsStr::new(name), path.as_deref(), None).ok());
        found.next()
    })
}

/// That `what` is not there, and how it is had.
pub(super) fn missing(what: &str, hint: impl Into<String>) -> Failure {
    Failure::new(ExitKind::Failed, format!("{what} is not installed")).hint(hint)
}

/// Shows `command`, runs it, and fails if it does. What it says goes to standard error.
pub(super) fn run(command: &mut Command) -> Result<(), Failure> {
    let name = Path::new(command.get_program()).display().to_string();
    writeln!(std::io::stderr(), "$ {}", shown(command))?;
    // Standard output is for what was built.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let status =
        command.status().map_err(|error| Failure::from(error).doing(&format!("run \"{name}\"")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(ExitKind::Failed, format!("\"{name}\" failed: {status}")))
}

/// What a command says on its standard output; none when it fails.
pub(super) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = quoted(value?);
        Some(format!("{}={value}", name.display()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    let line = variables.chain(words).collect::<Vec<_>>().join(" ");
    match command.get_current_dir() {
        Some(folder) if folder != Path::new("") && folder != Path::new(".") => {
            format!("(cd {} && {line})", quoted(folder.as_os_str()))
        }
        Some(_) | None => line,
    }
}

fn quoted(word: &OsStr) -> String {
    shell_words::quote(&word.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_types_it() {
        let mut command = Command::new("clang");
        command.arg("-o").arg("a b.wasm").env("X", "1 2").current_dir("/src");
        assert_eq!(shown(&command), "(cd /src && X='1 2' clang -o 'a b.wasm')");
    }

    #[test]
    fn folders_come_before_the_path_and_what_is_nowhere_is_not_found() {
        let bin = [PathBuf::from("/bin")];
        assert_eq!(find(&["no-such-program", "sh"], &bin), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find(&["no-such-program"], &bin), None);
        assert!(find(&["sh"], &[]).is_some());
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "\"/bin/sh\" failed: exit status: 3");
    }
}
