//! Why a probe brought no answer.

use std::fmt;
use std::io;
use std::time::Duration;

use kennel_core::Human;
use kennel_wasm::grants::Denied;
use kennel_wasm::probe;

use crate::os::Cause;

/// Why a probe brought no answer, in one sentence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The plugin that asks may not go there.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It was not done in time.
    #[error("{}", late(*stage, to, *within))]
    Late {
        /// What was under way.
        stage: Stage,
        /// The address, path, name or program.
        to: String,
        /// The time that there was.
        within: Duration,
    },
    /// The name could not be resolved.
    #[error("cannot resolve \"{host}\": {reason}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// There is no connection.
    #[error("{}", connection(to, how))]
    Connect {
        /// The address or path, with the addresses of a name.
        to: String,
        /// How it failed.
        how: ConnectFailure,
    },
    /// There is a connection, but no secure one.
    #[error("cannot agree on TLS with {to}: {reason}")]
    Tls {
        /// The address.
        to: String,
        /// What is wrong.
        reason: String,
    },
    /// What came is not what the protocol says.
    #[error("wrong answer of {to}: {reason}")]
    Protocol {
        /// The address or path.
        to: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than what may be kept.
    #[error("the answer of {to} is larger than {} bytes", max)]
    TooLarge {
        /// The address.
        to: String,
        /// What may be kept.
        max: usize,
    },
    /// The command cannot be run.
    #[error("{0}")]
    Command(String),
    /// What was asked for makes no sense, or cannot be had here.
    #[error("{0}")]
    Invalid(String),
}

/// A step of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The name is being resolved.
    Resolve,
    /// A connection is being made.
    Connect,
    /// TLS is being agreed on.
    Tls,
    /// Something is being sent.
    Send,
    /// The answer is waited for.
    Answer,
    /// The answer has begun.
    Body,
    /// A command runs.
    Command,
}

/// How a connection failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectFailure {
    /// Nobody listens.
    Refused,
    /// It was broken by the other side.
    Reset,
    /// There is no such file.
    NoSocket,
    /// The network does not lead there.
    Unreachable(Cause),
    /// This side cannot make it: it says nothing of the other one.
    Here(Cause),
}

impl ConnectFailure {
    pub(super) fn of(error: &io::Error) -> ConnectFailure {
        use nix::errno::Errno;
        let cause = Cause::from_io(error);
        match cause.0 {
            Errno::ECONNREFUSED => ConnectFailure::Refused,
            Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => ConnectFailure::Reset,
            Errno::ENOENT | Errno::ENOTDIR => ConnectFailure::NoSocket,
            Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::ETIMEDOUT
            | Errno::ENONET => ConnectFailure::Unreachable(cause),
            // Descriptors, memory, ports, permission, address families.
            _ => ConnectFailure::Here(cause),
        }
    }
}

impl ProbeError {
    /// A failure on a connection that was there.
    pub(super) fn broken(to: &str, error: &io::Error) -> ProbeError {
        ProbeError::Connect { to: to.to_owned(), how: ConnectFailure::of(error) }
    }
}

fn late(stage: Stage, to: &str, within: Duration) -> String {
    let within = Human(within);
    match stage {
        Stage::Resolve => format!("the name \"{to}\" was not resolved within {within}"),
        Stage::Connect => format!("no connection to {to} within {within}"),
        Stage::Tls => format!("no TLS with {to} within {within}"),
        Stage::Send => format!("{to} did not take what was sent within {within}"),
        Stage::Answer => format!("no answer of {to} within {within}"),
        Stage::Body => format!("the answer of {to} was not complete within {within}"),
        Stage::Command => format!("\"{to}\" did not end within {within}"),
    }
}

fn connection(to: &str, how: &ConnectFailure) -> String {
    match how {
        ConnectFailure::Refused => format!("connection to {to} refused"),
        ConnectFailure::Reset => format!("connection to {to} broken by the other side"),
        ConnectFailure::NoSocket => format!("there is no socket {to}"),
        ConnectFailure::Unreachable(cause) | ConnectFailure::Here(cause) => {
            format!("cannot connect to {to}: {cause}")
        }
    }
}

/// As plugins are told.
impl From<ProbeError> for probe::ProbeError {
    fn from(error: ProbeError) -> probe::ProbeError {
        let text = error.to_string();
        match error {
            ProbeError::Denied(_) => probe::ProbeError::Denied(text),
            ProbeError::Late { .. } => probe::ProbeError::Timeout,
            ProbeError::Dns { host, reason } => probe::ProbeError::Dns(format!("{host}: {reason}")),
            ProbeError::Connect { .. } => probe::ProbeError::Connect(text),
            ProbeError::Tls { to, reason } => probe::ProbeError::Tls(format!("{to}: {reason}")),
            ProbeError::Protocol { to, reason } => {
                probe::ProbeError::Protocol(format!("{to}: {reason}"))
            }
            ProbeError::TooLarge { .. } => probe::ProbeError::TooLarge,
            ProbeError::Command(_) | ProbeError::Invalid(_) => probe::ProbeError::Other(text),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "resolving the name",
            Stage::Connect => "connecting",
            Stage::Tls => "agreeing on TLS",
            Stage::Send => "sending",
            Stage::Answer => "waiting for the answer",
            Stage::Body => "reading the answer",
            Stage::Command => "running the command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_told_the_kind_of_error_and_the_words_once() {
        let to = || "10.0.0.1:80".to_owned();
        let reason = || "why".to_owned();
        let within = Duration::from_secs(3);
        for (error, words) in [
            (Denied { grant: "exec: true".into() }.into(), "denied: needs grants: { exec: true }"),
            (ProbeError::Late { stage: Stage::Answer, to: to(), within }, "timed out"),
            (
                ProbeError::Dns { host: "db".into(), reason: reason() },
                "cannot resolve the name: db: why",
            ),
            (
                ProbeError::Connect { to: to(), how: ConnectFailure::Refused },
                "cannot connect: connection to 10.0.0.1:80 refused",
            ),
            (
                ProbeError::Tls { to: to(), reason: reason() },
                "cannot agree on TLS: 10.0.0.1:80: why",
            ),
            (
                ProbeError::Protocol { to: to(), reason: reason() },
                "wrong protocol: 10.0.0.1:80: why",
            ),
            (ProbeError::TooLarge { to: to(), max: 1 }, "too large"),
            (ProbeError::Invalid(reason()), "why"),
            (ProbeError::Command(reason()), "why"),
        ] {
            assert_eq!(probe::ProbeError::from(error).to_string(), words);
        }
    }
}
