//! The raw values of a service that are one of a few words, or of one of a few shapes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    RawDependencyLong, RawHealth, RawLimit, RawNotifyFd, RawRetryAfter, RawSocketLong, Text,
};

macro_rules! words {
    ($($(#[$doc:meta])* enum $name:ident = $title:tt {
        $($(#[$word_doc:meta])* $word:ident,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(rename = $title)]
        pub(in super::super) enum $name {
            $($(#[$word_doc])* $word,)*
        }
    )*};
}

/// Values of several shapes: the variants are named by the kind of the node.
macro_rules! shapes {
    ($($(#[$doc:meta])* enum $name:ident = $title:tt { $($shape:ident($type:ty),)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
        #[serde(rename = "!shape")]
        #[schemars(rename = $title, untagged)]
        pub(in super::super) enum $name {
            $(#[allow(missing_docs, reason = "the name of the shape")] $shape($type),)*
        }
    )*};
}

words! {
    /// Whether a service runs on or comes to an end.
    enum RawKind = "Type" {
        /// Runs until it is stopped.
        Daemon,
        /// Is done when it exits with success.
        Oneshot,
    }
    /// What a dependency has to have reached.
    enum RawCondition = "Condition" {
        /// Its process runs.
        Started,
        /// It is ready.
        Ready,
        /// It has ended with success.
        Done,
    }
    /// On which supervisors a service runs.
    enum RawRunOn = "RunOn" {
        /// On every one.
        All,
        /// On the one that leads.
        Leader,
    }
    /// A protocol by which a service tells that it is ready.
    enum RawNotifyWord = "NotifyProtocol" {
        /// READY=1 on $NOTIFY_SOCKET, sd_notify(3).
        Systemd,
    }
    /// What follows when a service is unhealthy.
    enum RawOnUnhealthy = "OnUnhealthy" {
        /// It is restarted.
        Restart,
        /// It is only told.
        Report,
    }
    /// Which ends lead to another run.
    enum RawPolicy = "RestartPolicy" {
        /// Every one.
        Always,
        /// Every one but success.
        OnFailure,
        /// None.
        Never,
    }
    /// What follows when the restart limit is reached.
    enum RawGiveUpWord = "GiveUp" {
        /// It stays failed.
        Stay,
        /// The supervisor shuts down and exits with 1.
        Exit,
        /// Leadership is handed over.
        Resign,
    }
    /// No limit.
    enum RawNone = "None" {
        /// No limit.
        None,
    }
    /// What an instance has to be before the next one restarts.
    enum RawWaitFor = "WaitFor" {
        /// It is ready.
        Ready,
        /// Its health checks pass.
        Healthy,
    }
    /// Where output goes.
    enum RawLogTarget = "LogTarget" {
        /// To a file in the state directory.
        File,
        /// To the supervisor's own output.
        Inherit,
        /// Nowhere.
        None,
    }
}

shapes! {
    /// A program with its arguments: a list, or one string that is split as a shell would.
    enum RawCommand = "Command" { Scalar(String), Sequence(Vec<Text>), }
    /// One text, or a list of them.
    enum OneOrMany = "OneOrMany" { Scalar(String), Sequence(Vec<String>), }
    /// `tcp://127.0.0.1:8080`, or `{ listen: tcp://127.0.0.1:8080, name: http }`.
    enum RawSocket = "SocketOrAddress" { Scalar(String), Mapping(RawSocketLong), }
    /// `[db]`, or `{ db: ready }`.
    enum RawDependsOn = "Dependencies" {
        Sequence(Vec<String>),
        Mapping(BTreeMap<String, RawDependency>),
    }
    /// `ready`, or `{ for: ready, required: false }`.
    enum RawDependency = "DependencyOrCondition" {
        Scalar(RawCondition),
        Mapping(RawDependencyLong),
    }
    /// `systemd`, or `{ fd: 3 }`.
    enum RawNotify = "Notify" { Scalar(RawNotifyWord), Mapping(RawNotifyFd), }
    /// One check, or a list of them.
    enum RawHealthChecks = "HealthChecks" {
        Mapping(Box<RawHealth>),
        Sequence(Vec<RawHealth>),
    }
    /// `none`, or `{ max: 10, within: 10m }`.
    enum RawRestartLimit = "RestartLimitOrNone" { Scalar(RawNone), Mapping(RawLimit), }
    /// A word, or `{ retry_after: 10m }`.
    enum RawOnGiveUp = "OnGiveUp" { Scalar(RawGiveUpWord), Mapping(RawRetryAfter), }
}
