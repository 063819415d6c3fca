//! Reading the files of a configuration, and finding the included ones.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::source::{Problem, quoted};

/// No file of a configuration is larger.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;
/// No configuration has more included files.
pub(super) const MAX_INCLUDED_FILES: usize = 1000;

/// The shortest file that runs something.
pub(super) const EXAMPLE: &str =
    "services:\n  web:\n    command: [\"python3\", \"-m\", \"http.server\"]";

/// The text of a file that another one names, at most 1 MiB of UTF-8. What is wrong has no
/// place: who names the file knows it.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    // Opening a pipe waits for a writer, who may never come.
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() && !meta.is_dir() => {
            let name = quoted(&path.to_string_lossy());
            Err(Problem::nowhere(format!("cannot read {name}: it is no regular file")))
        }
        Ok(_) | Err(_) => read_any(path),
    }
}

/// As [`read`], from whatever can be read: `-c <(…)` is a pipe.
fn read_any(path: &Path) -> Result<String, Problem> {
    let name = quoted(&path.to_string_lossy());
    let cannot = |why: &str| Problem::nowhere(format!("cannot read {name}: {why}"));
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)
    });
    if let Err(error) = result {
        return Err(match error.kind() {
            ErrorKind::NotFound => cannot("no such file"),
            ErrorKind::IsADirectory => cannot("it is a directory").hint("name a file in it"),
            ErrorKind::PermissionDenied => cannot("permission denied"),
            _ => cannot(&error.to_string()),
        });
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(cannot("it is larger than 1 MiB").hint("split it with kennel.include"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        cannot(&format!("line {line} is not UTF-8 text")).hint("save the file as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The file given on the command line: a newcomer may have none yet.
pub(super) fn read_main(path: &Path) -> Result<String, Problem> {
    read_any(path).map_err(|problem| {
        if problem.hint.is_none() && !path.exists() {
            let hint =
                format!("name another file with -c FILE, or start with this one:\n{EXAMPLE}");
            problem.hint(hint)
        } else {
            problem
        }
    })
}

/// What an entry of `include` names.
pub(super) enum Included {
    /// These files, in order of their names.
    Files(Vec<PathBuf>),
    /// A pattern that matches nothing.
    Nothing,
}

/// The files that `pattern`, an absolute path, matches.
pub(super) fn included(pattern: &Path) -> Result<Included, Problem> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Ok(Included::Files(vec![pattern.to_owned()]));
    }
    let paths = glob::glob(&text).map_err(|error| {
        Problem::nowhere(format!("{} is no file pattern: {}", quoted(&text), error.msg))
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let name = quoted(&error.path().to_string_lossy());
            Problem::nowhere(format!("cannot read {name}: {}", error.error()))
        })?;
        if files.len() >= MAX_INCLUDED_FILES {
            let message = format!("the pattern matches more than {MAX_INCLUDED_FILES} files");
            return Err(Problem::nowhere(message));
        }
        if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(if files.is_empty() { Included::Nothing } else { Included::Files(files) })
}
