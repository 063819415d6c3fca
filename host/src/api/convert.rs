//! From what the supervisor knows to what stands on the wire.

use std::time::SystemTime;

use jiff::Timestamp;
use kennel_core as core;

use super::wire::{
    Action, Cgroups, Change, Event, Exit, Health, LogLine, LogsTo, Outcome, Outcomes, Part,
    PartAction, PartChange, Plan, Plugin, PluginFault, PluginState, PluginUse, Service, Sink,
    Socket, State, Status, Supervisor, SupervisorChange, Wanted,
};
use crate::{config, handle, journal, logs, plugins, sinks, status};

/// A wall-clock time as it stands on the wire; times that no calendar has are clamped.
pub(crate) fn time(at: SystemTime) -> String {
    let stamp = Timestamp::try_from(at).unwrap_or_else(|_| {
        if at < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX }
    });
    format!("{stamp:.3}")
}

impl From<&status::Status> for Status {
    fn from(status: &status::Status) -> Status {
        let status::Status { supervisor, services } = status;
        let status::SupervisorStatus { name, pid, version, started_at, role, stopping, cgroups } =
            supervisor;
        Status {
            supervisor: Supervisor {
                name: name.clone(),
                pid: *pid,
                version: (*version).to_owned(),
                started_at: time(*started_at),
                role: role.as_str().to_owned(),
                stopping: *stopping,
                cgroups: match cgroups {
                    status::CgroupStatus::Used { place } => Cgroups {
                        used: true,
                        place: Some(place.display().to_string()),
                        reason: None,
                    },
                    status::CgroupStatus::Unavailable { reason } => {
                        Cgroups { used: false, place: None, reason: Some(reason.clone()) }
                    }
                },
            },
            services: services.iter().map(Service::from).collect(),
        }
    }
}

impl From<&status::ServiceStatus> for Service {
    fn from(status: &status::ServiceStatus) -> Service {
        let status::ServiceStatus {
            name,
            service,
            state,
            wanted,
            pid,
            sessions: _,
            ready,
            health,
            restarts,
            since,
            exit,
            reason,
            status_text,
            ignored_notifications: _,
            next_restart_in,
            memory_bytes,
            cpu,
            start_time,
            restarts_by_cause: _,
            labels,
            sockets,
            // Its exit says it too.
            task_end: _,
            logs_to,
        } = status;
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Service {
            name: name.clone(),
            state: (*state).into(),
            wanted: (*wanted).into(),
            pid: *pid,
            ready: *ready,
            health: (*health).into(),
            restarts: *restarts,
            since: time(*since),
            exit: exit.map(|(status, at)| Exit::new(status, at)),
            reason: reason.clone(),
            status_text: status_text.clone(),
            next_restart_in_ms: next_restart_in.map(millis),
            memory_bytes: *memory_bytes,
            cpu_ms: cpu.map(millis),
            labels: labels.clone(),
            service: service.clone(),
            start_ms: start_time.map(millis),
            logs_to: match logs_to {
                config::LogTarget::File => LogsTo::File,
                config::LogTarget::Inherit => LogsTo::Inherit,
                config::LogTarget::None => LogsTo::None,
            },
            sockets: sockets.iter().map(Socket::from).collect(),
        }
    }
}

impl From<&status::SocketStatus> for Socket {
    fn from(status: &status::SocketStatus) -> Socket {
        let status::SocketStatus { name, address, open } = status;
        Socket { name: name.clone(), address: address.clone(), open: *open }
    }
}

impl Exit {
    fn new(status: core::ExitStatus, at: SystemTime) -> Exit {
        let at = time(at);
        match status {
            core::ExitStatus::Code(code) => {
                Exit { code: Some(code), signal: None, out_of_memory: false, at }
            }
            core::ExitStatus::Signal { signal, core_dumped: _ } => {
                let signal = Some(signal.to_string());
                Exit { code: None, signal, out_of_memory: false, at }
            }
            core::ExitStatus::OutOfMemory => {
                let signal = Some(core::Signal::KILL.to_string());
                Exit { code: None, signal, out_of_memory: true, at }
            }
            core::ExitStatus::Unknown => {
                Exit { code: None, signal: None, out_of_memory: false, at }
            }
        }
    }
}

impl From<&handle::Outcome> for Outcome {
    fn from(outcome: &handle::Outcome) -> Outcome {
        let handle::Outcome { name, success, state, pid, message } = outcome;
        Outcome {
            name: name.clone(),
            success: *success,
            state: (*state).into(),
            pid: *pid,
            message: message.clone(),
        }
    }
}

impl Outcomes {
    pub(crate) fn new(outcomes: &[handle::Outcome]) -> Outcomes {
        Outcomes {
            success: outcomes.iter().all(|outcome| outcome.success),
            outcomes: outcomes.iter().map(Outcome::from).collect(),
        }
    }
}

impl From<&config::Plan> for Plan {
    fn from(plan: &config::Plan) -> Plan {
        let config::Plan { changes, parts, supervisor, refused } = plan;
        Plan {
            empty: plan.is_empty(),
            changes: changes.iter().map(Change::from).collect(),
            parts: parts.iter().map(PartChange::from).collect(),
            supervisor: supervisor.iter().map(SupervisorChange::from).collect(),
            refused: refused.clone(),
        }
    }
}

impl From<&config::Change> for Change {
    fn from(change: &config::Change) -> Change {
        let config::Change { service, action, reasons } = change;
        let action = match action {
            config::Action::Start => Action::Start,
            config::Action::Stop => Action::Stop,
            config::Action::Restart => Action::Restart,
            config::Action::InPlace => Action::InPlace,
        };
        Change { service: service.clone(), action, reasons: reasons.clone() }
    }
}

impl From<&config::PartChange> for PartChange {
    fn from(change: &config::PartChange) -> PartChange {
        let config::PartChange { part, name, action, reasons } = change;
        PartChange {
            part: match part {
                config::Part::Plugin => Part::Plugin,
                config::Part::Sink => Part::Sink,
            },
            name: name.clone(),
            action: match action {
                config::PartAction::Add => PartAction::Add,
                config::PartAction::Change => PartAction::Change,
                config::PartAction::Remove => PartAction::Remove,
            },
            reasons: reasons.clone(),
        }
    }
}

impl From<&config::SupervisorChange> for SupervisorChange {
    fn from(change: &config::SupervisorChange) -> SupervisorChange {
        let config::SupervisorChange { key, when } = change;
        let needs_supervisor_restart = match when {
            config::When::Reload => false,
            config::When::SupervisorRestart => true,
        };
        SupervisorChange { key: (*key).to_owned(), needs_supervisor_restart }
    }
}

impl From<&sinks::SinkStatus> for Sink {
    fn from(status: &sinks::SinkStatus) -> Sink {
        let sinks::SinkStatus {
            name,
            plugin,
            next,
            behind,
            taken,
            rejected,
            dropped,
            failures,
            error,
        } = status;
        Sink {
            name: name.to_string(),
            plugin: plugin.to_string(),
            next_seq: *next,
            behind: *behind,
            taken: *taken,
            rejected: *rejected,
            dropped: *dropped,
            failures: *failures,
            error: error.clone(),
        }
    }
}

impl From<core::State> for State {
    fn from(state: core::State) -> State {
        match state {
            core::State::Down => State::Down,
            core::State::Waiting => State::Waiting,
            core::State::Starting => State::Starting,
            core::State::Up => State::Up,
            core::State::Stopping => State::Stopping,
            core::State::Backoff => State::Backoff,
            core::State::Failed => State::Failed,
            core::State::Done => State::Done,
        }
    }
}

impl From<core::Wanted> for Wanted {
    fn from(wanted: core::Wanted) -> Wanted {
        match wanted {
            core::Wanted::Up => Wanted::Up,
            core::Wanted::Down => Wanted::Down,
        }
    }
}

impl From<core::Health> for Health {
    fn from(health: core::Health) -> Health {
        match health {
            core::Health::Unknown => Health::Unknown,
            core::Health::Healthy => Health::Healthy,
            core::Health::Degraded => Health::Degraded,
            core::Health::Unhealthy => Health::Unhealthy,
        }
    }
}

impl From<&journal::Record> for Event {
    fn from(record: &journal::Record) -> Event {
        let journal::Record { seq, at, kind, service, message, attributes } = record;
        Event {
            seq: *seq,
            at: format!("{at:.6}"),
            kind: kind.clone(),
            service: service.clone(),
            message: message.clone(),
            attributes: attributes.clone(),
        }
    }
}

impl From<&logs::LogLine> for LogLine {
    fn from(line: &logs::LogLine) -> LogLine {
        let logs::LogLine { service, at, stream, text } = line;
        LogLine {
            service: service.to_string(),
            at: at.map(|at| format!("{at:.9}")),
            stream: stream.map(|stream| stream.name().to_owned()),
            text: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

impl From<&plugins::PluginStatus> for Plugin {
    fn from(status: &plugins::PluginStatus) -> Plugin {
        let plugins::PluginStatus {
            name,
            source,
            sha256,
            kinds,
            state,
            reason,
            uses,
            calls,
            faults,
            skipped,
            log_dropped,
            latency,
            memory_bytes,
            last_fault,
        } = status;
        let quantile = |share| {
            let time = plugins::quantile(latency, share)?;
            u64::try_from(time.as_micros()).ok()
        };
        Plugin {
            name: name.to_string(),
            source: source.clone(),
            sha256: sha256.clone(),
            kinds: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            state: (*state).into(),
            reason: reason.clone(),
            uses: uses.iter().map(PluginUse::from).collect(),
            calls: *calls,
            faults: *faults,
            skipped: *skipped,
            log_dropped: *log_dropped,
            latency_p50_us: quantile(0.5),
            latency_p99_us: quantile(0.99),
            memory_bytes: *memory_bytes,
            last_fault: last_fault.as_ref().map(PluginFault::from),
        }
    }
}

impl From<&plugins::UseStatus> for PluginUse {
    fn from(status: &plugins::UseStatus) -> PluginUse {
        let plugins::UseStatus { by, kind, error } = status;
        PluginUse { by: by.clone(), kind: kind.name().to_owned(), error: error.clone() }
    }
}

impl From<&plugins::LastFault> for PluginFault {
    fn from(fault: &plugins::LastFault) -> PluginFault {
        let plugins::LastFault { at, word, reason } = fault;
        PluginFault { at: time(*at), fault: (*word).to_owned(), reason: reason.clone() }
    }
}

impl From<plugins::PluginState> for PluginState {
    fn from(state: plugins::PluginState) -> PluginState {
        match state {
            plugins::PluginState::Loading => PluginState::Loading,
            plugins::PluginState::Ready => PluginState::Ready,
            plugins::PluginState::Failed => PluginState::Failed,
            plugins::PluginState::Disabled => PluginState::Disabled,
        }
    }
}
