//! Why a process could not be started, in words a person can act on.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::cause::Cause;
use super::program::ProgramError;
use super::rlimit::{Resource, UNLIMITED};

/// Why a process could not be started. None of these leaves a process behind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpawnError {
    /// There is not even a program in the command.
    #[error("the command is empty")]
    EmptyCommand,
    /// The kernel's interface ends a text at its first NUL byte.
    #[error("cannot pass {what} that holds a NUL byte")]
    Nul {
        /// What holds it: `an argument`, `the variable "X"`, ….
        what: String,
    },
    /// An extra descriptor has a number that is taken or out of range.
    #[error(
        "cannot give the process descriptor {number}: the number must be 3 or more, below 1024, and unique"
    )]
    DescriptorNumber {
        /// The number asked for.
        number: i32,
    },
    /// There is nothing to execute.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The kernel refused a step.
    #[error("cannot {step}: {cause}")]
    Refused {
        /// What was to be done.
        step: Step,
        /// What the kernel said.
        cause: Cause,
    },
    /// The program's first line names an interpreter that is missing, or its dynamic
    /// loader is: the kernel's own "no such file" would point at the wrong file.
    #[error("cannot run \"{}\": its interpreter {} does not exist", program.display(), interpreter.as_deref().map_or_else(|| "or loader".to_owned(), |name| format!("\"{name}\"")))]
    Interpreter {
        /// The program, which exists.
        program: PathBuf,
        /// What its `#!` line names.
        interpreter: Option<String>,
    },
}

/// One thing done on the way to a running program; displays as the words after "cannot".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening `/dev/null` for the standard streams.
    OpenNull,
    /// Creating the process, its stack included.
    Create,
    /// A session of its own, `setsid(2)`.
    Session,
    /// Entering the cgroup of its run, `cgroups(7)`.
    Cgroup,
    /// The score of the out-of-memory killer.
    OomScoreAdj(i32),
    /// The scheduling priority.
    Nice(i32),
    /// Putting a descriptor under its number.
    Descriptor(i32),
    /// Closing what is not for the process, `close_range(2)`.
    CloseRest,
    /// A resource limit.
    Limit {
        /// What is limited.
        resource: Resource,
        /// The soft limit asked for.
        soft: u64,
        /// The hard limit asked for.
        hard: u64,
    },
    /// The supplementary groups.
    Groups,
    /// The group id.
    Group(u32),
    /// The user id.
    User(u32),
    /// Entering the working directory.
    WorkingDir(PathBuf),
    /// Executing the program.
    Execute(PathBuf),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenNull => f.write_str("open \"/dev/null\""),
            Self::Create => f.write_str("create a process"),
            Self::Session => f.write_str("start a session"),
            Self::Cgroup => f.write_str("enter the cgroup of the run"),
            Self::OomScoreAdj(score) => write!(f, "set oom_score_adj to {score}"),
            Self::Nice(nice) => write!(f, "set nice to {nice}"),
            Self::Descriptor(number) => write!(f, "give the process descriptor {number}"),
            Self::CloseRest => f.write_str("close the supervisor's descriptors"),
            Self::Limit { resource, soft, hard } => {
                write!(f, "set {resource} limit to ")?;
                write_limit(f, *soft)?;
                if soft != hard {
                    f.write_str(" (hard ")?;
                    write_limit(f, *hard)?;
                    f.write_str(")")?;
                }
                Ok(())
            }
            Self::Groups => f.write_str("set supplementary groups"),
            Self::Group(gid) => write!(f, "change to group {gid}"),
            Self::User(uid) => write!(f, "change to user {uid}"),
            Self::WorkingDir(path) => {
                write!(f, "change to working directory \"{}\"", path.display())
            }
            Self::Execute(path) => write!(f, "run \"{}\"", path.display()),
        }
    }
}

impl Step {
    fn hint(&self, errno: Errno) -> Option<&'static str> {
        const PROCESSES: &str =
            "the user's limit of processes (nproc), pids_max or kernel.pid_max is reached";
        match self {
            Self::Execute(_) => match errno {
                Errno::ENOEXEC => Some(
                    "a script needs a first line such as #!/bin/sh, a binary must be made for this machine",
                ),
                Errno::EACCES => Some(
                    "its user must be allowed to execute the file and to enter every directory above it",
                ),
                Errno::EAGAIN => Some(PROCESSES),
                _ => None,
            },
            Self::Create => (errno == Errno::EAGAIN).then_some(PROCESSES),
            Self::Limit { .. } | Self::Nice(_) | Self::OomScoreAdj(_) => {
                matches!(errno, Errno::EPERM | Errno::EACCES)
                    .then_some("only root may go beyond what the supervisor itself was given")
            }
            Self::OpenNull
            | Self::Session
            | Self::Cgroup
            | Self::Descriptor(_)
            | Self::CloseRest
            | Self::Groups
            | Self::Group(_)
            | Self::User(_)
            | Self::WorkingDir(_) => None,
        }
    }
}

fn write_limit(f: &mut fmt::Formatter<'_>, limit: u64) -> fmt::Result {
    if limit == UNLIMITED { f.write_str("unlimited") } else { write!(f, "{limit}") }
}

impl SpawnError {
    /// What to try, when that can be told.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Program(error) => error.hint(),
            Self::Refused { step, cause } => step.hint(cause.0).map(str::to_owned),
            Self::EmptyCommand
            | Self::Nul { .. }
            | Self::DescriptorNumber { .. }
            | Self::Interpreter { .. } => None,
        }
    }

    /// The error for a refused `execve(2)` of `program`, which stood at `seen` from here.
    pub(super) fn execute(program: PathBuf, seen: &Path, cause: Cause) -> Self {
        if cause.0 == Errno::ENOENT && seen.exists() {
            return Self::Interpreter { program, interpreter: interpreter(seen) };
        }
        Self::Refused { step: Step::Execute(program), cause }
    }
}

/// The interpreter that the `#!` line of a script names (`execve(2)`).
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    std::fs::File::open(script).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}
