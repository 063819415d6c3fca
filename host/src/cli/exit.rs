//! How a command ends: exit codes, and what people are told when it fails.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::StartError;
use crate::api::{BindError, ClientError};
use crate::config::ConfigErrors;
use crate::os::{Cause, LockError, PidFileError};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExitKind {
    /// It did what was asked.
    Done,
    /// The operation failed.
    Failed,
    /// The command line or the configuration is wrong.
    Invalid,
    /// No supervisor can be reached.
    NoSupervisor,
    /// Another supervisor runs already.
    AlreadyRunning,
}

impl ExitKind {
    /// What this exit code of ours says.
    pub(crate) fn from_code(code: i32) -> Option<ExitKind> {
        [
            ExitKind::Done,
            ExitKind::Failed,
            ExitKind::Invalid,
            ExitKind::NoSupervisor,
            ExitKind::AlreadyRunning,
        ]
        .into_iter()
        .find(|kind| i32::from(kind.code()) == code)
    }

    /// The exit code that scripts see. This is the only place that knows.
    pub(crate) fn code(self) -> u8 {
        match self {
            ExitKind::Done => 0,
            ExitKind::Failed => 1,
            ExitKind::Invalid => 2,
            ExitKind::NoSupervisor => 3,
            ExitKind::AlreadyRunning => 4,
        }
    }
}

impl From<ExitKind> for ExitCode {
    fn from(kind: ExitKind) -> ExitCode {
        ExitCode::from(kind.code())
    }
}

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ExitKind,
    /// Empty when there is nothing to say, or all has been said.
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: ExitKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), hint: None }
    }

    /// What was to be said has been said.
    pub(crate) fn silent(kind: ExitKind) -> Failure {
        Failure::new(kind, "")
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Says what could not be done: `doing("start web")` makes `cannot start web: …`.
    pub(crate) fn doing(mut self, what: &str) -> Failure {
        // A supervisor that is not there is the reason of all that cannot be done.
        if !self.message.is_empty() && self.kind != ExitKind::NoSupervisor {
            self.message = format!("cannot {what}: {}", self.message);
        }
        self
    }

    /// A configuration that a supervisor refused: first all that is wrong with it, in the
    /// form that editors jump to, then what that means.
    pub(crate) fn of_reload(error: ClientError, what: &str, consequence: &str) -> Failure {
        if !error.is_invalid_configuration() {
            return Failure::from(error).doing(what);
        }
        let text = format!("{error}\n\ncannot {what}: the configuration has errors{consequence}");
        Failure::new(ExitKind::Invalid, text)
    }

    pub(crate) fn kind(&self) -> ExitKind {
        self.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            // Whoever read our output has seen enough.
            io::ErrorKind::BrokenPipe => Failure::silent(ExitKind::Done),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let cause = Cause::from_io(&error);
                Failure::new(ExitKind::Failed, format!("cannot write the output: {cause}"))
            }
            _ if error.raw_os_error().is_some() => {
                Failure::new(ExitKind::Failed, Cause::from_io(&error).to_string())
            }
            _ => Failure::new(ExitKind::Failed, error.to_string()),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Failure {
        Failure::new(ExitKind::Invalid, errors.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        let kind = match &error {
            StartError::Config(_) | StartError::OtherConfig(_) => ExitKind::Invalid,
            StartError::Lock(LockError::HeldBy { .. }) => ExitKind::AlreadyRunning,
            StartError::Lock(LockError::File { .. } | LockError::Silent { .. })
            | StartError::StateDir(_)
            | StartError::Newer(_)
            | StartError::StateId(_)
            | StartError::Table(_)
            | StartError::Journal(_)
            | StartError::Logs(_)
            | StartError::Thread(_)
            | StartError::Services { .. } => ExitKind::Failed,
        };
        let hint = match &error {
            StartError::Lock(error) => error.hint().map(str::to_owned),
            StartError::StateDir(error) => error.hint(),
            StartError::Table(error) => error.hint().map(str::to_owned),
            StartError::StateId(error) => error.hint().map(str::to_owned),
            StartError::Newer(error) => Some(error.hint().to_owned()),
            StartError::OtherConfig(error) => Some(error.hint().to_owned()),
            StartError::Config(_)
            | StartError::Journal(_)
            | StartError::Logs(_)
            | StartError::Thread(_)
            | StartError::Services { .. } => None,
        };
        let failure = Failure::new(kind, error.to_string());
        match (kind, hint) {
            (ExitKind::AlreadyRunning, hint) => {
                failure.doing("start a supervisor").hint(hint.unwrap_or_else(|| BESIDE.to_owned()))
            }
            (_, Some(hint)) => failure.hint(hint),
            (_, None) => failure,
        }
    }
}

/// What to do when another supervisor runs.
const BESIDE: &str = "see it with \"kennel status\"; to run another one beside it, give that one another name or --state-dir";

impl From<PidFileError> for Failure {
    fn from(error: PidFileError) -> Failure {
        let failure = Failure::new(ExitKind::Failed, error.to_string());
        match error {
            PidFileError::InTheWay { .. } => failure.hint("name another one with --pid-file"),
            PidFileError::System { .. } => failure,
        }
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Failure {
        let hint = match &error {
            BindError::TooLong { .. } | BindError::NotASocket { .. } | BindError::InUse { .. } => {
                Some("choose another one with --socket or kennel.socket")
            }
            BindError::OpenDirectory { .. } => Some(
                "choose another directory with --socket or kennel.socket, or take the right to write there from others",
            ),
            BindError::Directory { .. } | BindError::System { .. } => None,
        };
        let failure = Failure::new(ExitKind::Failed, error.to_string());
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let message = error.to_string();
        let is_invalid = error.is_invalid_configuration();
        match error {
            ClientError::NotRunning { .. } => Failure::new(ExitKind::NoSupervisor, message).hint(
                "start one with \"kennel run\", or say which one is meant with -c FILE, --socket SOCKET or KENNEL_SOCKET",
            ),
            ClientError::Unreachable { .. }
            | ClientError::Silent { .. }
            | ClientError::Interrupted { .. } => Failure::new(ExitKind::NoSupervisor, message),
            ClientError::Refused { error, status: _ } => {
                let kind = if is_invalid { ExitKind::Invalid } else { ExitKind::Failed };
                Failure { kind, message, hint: error.hint }
            }
            ClientError::Unreadable { .. } => Failure::new(ExitKind::Failed, message)
                .hint("kennel and the supervisor may be of different versions; see \"kennel --version\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_that_are_documented() {
        for (kind, code) in [
            (ExitKind::Done, 0),
            (ExitKind::Failed, 1),
            (ExitKind::Invalid, 2),
            (ExitKind::NoSupervisor, 3),
            (ExitKind::AlreadyRunning, 4),
        ] {
            assert_eq!(kind.code(), code);
            assert_eq!(ExitKind::from_code(code.into()), Some(kind));
        }
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(ExitKind::Failed, "no service is named \"wbe\"")
            .hint("did you mean \"web\"?")
            .doing("start wbe");
        assert_eq!(
            failure.to_string(),
            "cannot start wbe: no service is named \"wbe\"\n\nhint: did you mean \"web\"?"
        );
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).doing("print");
        assert_eq!((failure.kind(), failure.to_string().as_str()), (ExitKind::Done, ""));
    }
}
