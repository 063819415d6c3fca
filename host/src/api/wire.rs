//! The JSON on the wire: what clients of the API see, and nothing else serialises.
//!
//! Names and shapes are a contract. Fields are only ever added; a client ignores those it
//! does not know. Times are RFC 3339 in UTC with milliseconds, durations are whole
//! milliseconds and say so in their names.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A supervisor and its services at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The supervisor itself.
    pub supervisor: Supervisor,
    /// Every instance of every service, dependencies before dependents.
    pub services: Vec<Service>,
}

/// The supervisor itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Supervisor {
    /// Its name in the configuration.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: String,
    /// Its place in a failover group: leader, standby or single.
    pub role: String,
    /// Whether it is shutting down.
    #[serde(default)]
    pub stopping: bool,
    /// Whether runs have cgroups of their own.
    #[serde(default)]
    pub cgroups: Cgroups,
}

/// Whether runs have cgroups of their own, by which what leaves its process group is found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cgroups {
    /// Whether they have.
    pub used: bool,
    /// The directory that they are made in.
    pub place: Option<String>,
    /// Why they have none.
    pub reason: Option<String>,
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// `web`, or `web/0` when there are several.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// What the operator wants.
    pub wanted: Wanted,
    /// Its main process, while there is one.
    pub pid: Option<i32>,
    /// Whether it is up.
    pub ready: bool,
    /// What its checks say.
    pub health: Health,
    /// Automatic restarts since it was added or reset.
    pub restarts: u32,
    /// When it came into this state.
    pub since: String,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// One sentence on why it is so; empty when there is nothing to say.
    pub reason: String,
    /// How long until the next run is due.
    pub next_restart_in_ms: Option<u64>,
    /// Resident memory of all its processes, while it runs.
    pub memory_bytes: Option<u64>,
    /// User and system time of its processes, while it runs.
    pub cpu_ms: Option<u64>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// The service it is an instance of.
    pub service: String,
    /// How long the present or last run took to become ready.
    pub start_ms: Option<u64>,
    /// Where its output goes.
    pub logs_to: LogsTo,
    /// The sockets that are held for it and its replicas.
    #[serde(default)]
    pub sockets: Vec<Socket>,
    /// What the service says of itself, by STATUS of sd_notify(3).
    #[serde(default)]
    pub status_text: Option<String>,
}

/// A socket that is held for a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    /// How the service knows it.
    pub name: String,
    /// Where it is, such as `tcp://127.0.0.1:8080`.
    pub address: String,
    /// Whether it is open: who connects is served or waits.
    pub open: bool,
}

/// Several instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// Each of them.
    pub services: Vec<Service>,
}

/// Where an instance is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// Not running, and nobody wants it to.
    Down,
    /// Wants to start, and waits for a dependency or its turn.
    Waiting,
    /// Its process runs and is not ready yet; a oneshot: at work.
    Starting,
    /// Ready.
    Up,
    /// On its way down.
    Stopping,
    /// It ended by itself and starts again after a wait.
    Backoff,
    /// It ended by itself and does not start again by itself.
    Failed,
    /// It ended with success, and that was all.
    Done,
}

/// Where the output of an instance goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LogsTo {
    /// To its log.
    File,
    /// To the output of the supervisor itself; there is no log.
    Inherit,
    /// Nowhere.
    None,
}

/// What the operator wants of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Wanted {
    /// It should run.
    Up,
    /// It should not run.
    Down,
}

/// What the checks of an instance say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Health {
    /// There is no check, or none has said anything yet.
    Unknown,
    /// All is well.
    Healthy,
    /// It works, but not well.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// How a process ended. With neither code nor signal, nobody could tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// It exited with this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// This signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The kernel killed it because its memory had reached a limit, or there was none left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// When.
    pub at: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number; each event has a higher one than the one before.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Its dotted kind, as in `service.started`.
    pub kind: String,
    /// The instance it concerns; none when it concerns the supervisor.
    pub service: Option<String>,
    /// One sentence.
    pub message: String,
    /// Facts for programs.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// Stands in an event stream where events are missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// How many events are no longer there.
    pub missed: u64,
    /// Whether the number that was asked after has never been given in this journal: what the
    /// client has seen came from another one. All events of this one follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begins_anew: bool,
}

/// One line of an event stream in the form `ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EventLine {
    /// An event.
    Event(Event),
    /// Events are missing here.
    Gap(Gap),
}

/// The program that takes the place of this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upgrade {
    /// Its file.
    pub binary: String,
    /// What it says of its version.
    pub version: String,
}

/// One line of output of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// The instance that wrote it.
    pub service: String,
    /// When; none where the log is kept without time stamps.
    pub at: Option<String>,
    /// `stdout`, `stderr`, or `kennel` for a note of the supervisor.
    pub stream: Option<String>,
    /// The line without its newline; what is not UTF-8 is replaced.
    pub text: String,
}

/// What became of a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    /// Whether every instance is as it was wanted.
    pub success: bool,
    /// Each instance.
    pub outcomes: Vec<Outcome>,
}

/// What became of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// `web`, or `web/0` when there are several.
    pub name: String,
    /// Whether it is as it was wanted; without waiting: whether it was accepted.
    pub success: bool,
    /// Its state now.
    pub state: State,
    /// Its main process now.
    pub pid: Option<i32>,
    /// What happened, as in `up in 0.4 s, pid 4711`.
    pub message: String,
}

/// What a reload does, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Whether nothing changes.
    pub empty: bool,
    /// The services that change.
    pub changes: Vec<Change>,
    /// The plugins and sinks that change.
    #[serde(default)]
    pub parts: Vec<PartChange>,
    /// Settings of the supervisor itself that change.
    pub supervisor: Vec<SupervisorChange>,
    /// Of a reload: plugins that were refused, each with the reason and what goes on
    /// instead.
    #[serde(default)]
    pub refused: Vec<String>,
}

/// What happens to one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Its name.
    pub service: String,
    /// What is done.
    pub action: Action,
    /// Why, without values.
    pub reasons: Vec<String>,
}

/// What a reload does to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Action {
    /// It starts.
    Start,
    /// It stops.
    Stop,
    /// What runs is replaced.
    Restart,
    /// Its settings change while it runs on.
    InPlace,
}

/// What happens to a plugin or a sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartChange {
    /// What it is.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// What is done.
    pub action: PartAction,
    /// Why, without values.
    pub reasons: Vec<String>,
}

/// What a configuration has besides services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Part {
    /// A plugin.
    Plugin,
    /// An event sink.
    Sink,
}

/// What a reload does to a plugin or a sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum PartAction {
    /// It is there from now on.
    Add,
    /// A plugin is loaded anew; the settings of a sink change.
    Change,
    /// It is no longer there.
    Remove,
}

/// A setting of the supervisor itself that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SupervisorChange {
    /// The key under `kennel`.
    pub key: String,
    /// Whether it takes effect only when the supervisor itself is started again.
    pub needs_supervisor_restart: bool,
}

/// The plugins of a supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugins {
    /// Each of them, by name.
    pub plugins: Vec<Plugin>,
    /// The event sinks, by name.
    #[serde(default)]
    pub sinks: Vec<Sink>,
}

/// One event sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// The plugin that takes the events.
    pub plugin: String,
    /// The number of the next event that it is to be given.
    pub next_seq: u64,
    /// Events of all kinds from there on.
    pub behind: u64,
    /// Events that it took since the supervisor started.
    pub taken: u64,
    /// Events that it rejected since then: they are passed over.
    pub rejected: u64,
    /// Events of all kinds that the journal gave up before the sink was given them.
    pub dropped: u64,
    /// Tries that brought nothing since the supervisor started.
    pub failures: u64,
    /// Why the last try brought nothing.
    pub error: Option<String>,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugin {
    /// The name it is configured under.
    pub name: String,
    /// Where it comes from: `stock:redis`, or a path.
    pub source: String,
    /// The SHA-256 of the component; none while none is loaded.
    pub sha256: Option<String>,
    /// What it is for: health-check, restart-policy, event-sink.
    pub kinds: Vec<String>,
    /// Where it is.
    pub state: PluginState,
    /// Why it is so; empty when there is nothing to say.
    pub reason: String,
    /// Who asks it.
    pub uses: Vec<PluginUse>,
    /// Calls that were answered or failed.
    pub calls: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Calls that were not made, since too many waited or it was disabled.
    pub skipped: u64,
    /// Messages that were too many for its log.
    pub log_dropped: u64,
    /// Half of the calls took no longer than this, in microseconds.
    pub latency_p50_us: Option<u64>,
    /// 99 of 100 calls took no longer than this, in microseconds.
    pub latency_p99_us: Option<u64>,
    /// Memory of all its instances.
    pub memory_bytes: u64,
    /// Its last fault.
    pub last_fault: Option<PluginFault>,
}

/// One who asks a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginUse {
    /// Who: `web health redis`, `web ready`, `web restart.policy_plugin`, `sink webhook`.
    pub by: String,
    /// As what: health-check, restart-policy or event-sink.
    pub kind: String,
    /// Why it cannot be asked as configured.
    pub error: Option<String>,
}

/// A call of a plugin that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginFault {
    /// When.
    pub at: String,
    /// In one word: trap, deadline, cpu, memory, bad-answer.
    pub fault: String,
    /// In a sentence.
    pub reason: String,
}

/// Where a plugin is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum PluginState {
    /// It is being read and compiled.
    Loading,
    /// It is asked.
    Ready,
    /// It was refused.
    Failed,
    /// It failed too often and rests.
    Disabled,
}

/// The supervisor has taken an order that it carries out from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Always true: a refusal is an error.
    pub accepted: bool,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [State; 8] = [
        State::Down,
        State::Waiting,
        State::Starting,
        State::Up,
        State::Stopping,
        State::Backoff,
        State::Failed,
        State::Done,
    ];

    /// The state in a sentence after a name: `is up`, `has failed`.
    pub fn phrase(self) -> &'static str {
        match self {
            State::Down => "is down",
            State::Waiting => "is waiting",
            State::Starting => "is starting",
            State::Up => "is up",
            State::Stopping => "is stopping",
            State::Backoff => "is in backoff",
            State::Failed => "has failed",
            State::Done => "is done",
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Up => "up",
            State::Stopping => "stopping",
            State::Backoff => "backoff",
            State::Failed => "failed",
            State::Done => "done",
        }
    }
}

impl Health {
    /// Every health.
    pub const ALL: [Health; 4] =
        [Health::Unknown, Health::Healthy, Health::Degraded, Health::Unhealthy];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
        }
    }
}

impl PluginState {
    /// Every state.
    pub const ALL: [PluginState; 4] =
        [PluginState::Loading, PluginState::Ready, PluginState::Failed, PluginState::Disabled];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PluginState::Loading => "loading",
            PluginState::Ready => "ready",
            PluginState::Failed => "failed",
            PluginState::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}
