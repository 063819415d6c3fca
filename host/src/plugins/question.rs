//! What the driver asks plugins, and what it is answered. Plain data.

use std::sync::Arc;
use std::time::Duration;

use kennel_core::{Cause, CheckOutcome, ExitStatus, PolicyAnswer};
use kennel_wasm::model::{Attributes, policy};

/// Which question of a service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Slot {
    /// Whether it is ready.
    Ready,
    /// Its health check of this name.
    Health(Arc<str>),
    /// What follows the end of a run.
    Policy,
}

impl Slot {
    /// Whether people read the name of the plugin already, as that of the check.
    pub(crate) fn is_named(&self, plugin: &str) -> bool {
        match self {
            Slot::Health(name) => **name == *plugin,
            Slot::Ready | Slot::Policy => false,
        }
    }

    /// The word under which its memory is kept.
    pub(crate) fn word(&self) -> Arc<str> {
        match self {
            Slot::Ready => "ready".into(),
            Slot::Health(name) => format!("health/{name}").into(),
            Slot::Policy => "policy".into(),
        }
    }
}

/// Who may be unable to do without a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Requirer {
    /// A service, for its checks and its policy.
    Service(Arc<str>),
    /// The supervisor, for its sinks.
    Supervisor,
}

/// One instance at the moment of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct About {
    /// The service.
    pub(crate) service: Arc<str>,
    /// Which of its replicas, from 0.
    pub(crate) index: u32,
    /// The name of the instance: `web`, or `web/0`.
    pub(crate) instance: Arc<str>,
    /// Its main process, while there is one.
    pub(crate) pid: Option<i32>,
    /// How long that has run; of a policy question: how long the run was that has ended.
    pub(crate) uptime: Duration,
    /// Automatic restarts.
    pub(crate) restarts: u32,
    /// Its labels.
    pub(crate) labels: Attributes,
}

/// Whether an instance is ready or healthy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CheckQuestion {
    /// Who is checked.
    pub(crate) about: About,
    /// Which of its questions: [`Slot::Ready`] or [`Slot::Health`].
    pub(crate) slot: Slot,
    /// 1 for the first since the run began.
    pub(crate) sequence: u64,
    /// How long an answer is waited for.
    pub(crate) timeout: Duration,
}

/// How a check went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CheckReply {
    /// For the core.
    pub(crate) outcome: CheckOutcome,
    /// One sentence for people.
    pub(crate) reason: String,
    /// When the plugin wants to be asked next.
    pub(crate) next: Option<Duration>,
}

/// What shall follow the end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PolicyQuestion {
    /// Whose run it was.
    pub(crate) about: About,
    /// Why it ended.
    pub(crate) cause: policy::Cause,
    /// Earlier runs that ended by themselves, newest first, without this one.
    pub(crate) history: Vec<policy::PastRun>,
    /// Automatic restarts that the limit counts now.
    pub(crate) restarts_in_window: u32,
    /// The wait that runs already.
    pub(crate) default_delay: Duration,
}

/// What a policy wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PolicyReply {
    /// For the core.
    pub(crate) answer: PolicyAnswer,
    /// One sentence for people.
    pub(crate) reason: String,
}

/// The end of a run as policies are told of it.
pub(crate) fn cause(cause: &Cause) -> policy::Cause {
    let (kind, exit_code, signal) = match cause {
        Cause::Exited(ExitStatus::Code(code)) => ("exit", Some(*code), None),
        Cause::Exited(ExitStatus::Signal { signal, core_dumped: _ }) => {
            ("signal", None, Some(signal.number()))
        }
        Cause::Exited(ExitStatus::OutOfMemory) => {
            ("out-of-memory", None, Some(kennel_core::Signal::KILL.number()))
        }
        Cause::Exited(ExitStatus::Unknown) => ("unknown", None, None),
        Cause::StartFailed(_) => ("start-failed", None, None),
        Cause::NotReady(..) => ("not-ready", None, None),
        Cause::Unhealthy(_) => ("unhealthy", None, None),
        Cause::Watchdog(_) => ("watchdog", None, None),
    };
    policy::Cause { kind: kind.to_owned(), exit_code, signal, detail: cause.to_string() }
}
