//! From the view of the core to what people are shown.

use std::collections::HashMap;
use std::sync::Arc;

use kennel_core::{InstanceView, State, Time, View};

use super::Clock;
use super::news::News;
use super::runs::Runs;
use super::sockets::Sockets;
use crate::config::{Config, LogTarget, ServiceConfig};
use crate::status::{CgroupStatus, Role, ServiceStatus, Status, SupervisorStatus};

pub(super) fn status(
    view: View<'_>,
    clock: &Clock,
    config: &Config,
    definitions: &HashMap<Arc<str>, Arc<ServiceConfig>>,
    runs: &Runs,
    news: &News,
    sockets: &Sockets,
) -> Status {
    let services = view.instances().map(|instance| {
        let definition = definitions.get(&instance.spec().name);
        let mut status = service(instance, clock, runs, news, definition);
        if let Some(definition) = definition {
            status.sockets = sockets.status(&status.service, &definition.launch.sockets);
        }
        status
    });
    Status {
        services: services.collect(),
        supervisor: SupervisorStatus {
            name: config.supervisor.name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: clock.started_at,
            role: Role::Single,
            stopping: view.course() == kennel_core::Course::ShuttingDown,
            cgroups: match runs.cgroups() {
                Ok(cgroups) => CgroupStatus::Used { place: cgroups.place().to_owned() },
                Err(why) => CgroupStatus::Unavailable { reason: why.to_string() },
            },
        },
    }
}

fn service(
    instance: InstanceView<'_>,
    clock: &Clock,
    runs: &Runs,
    news: &News,
    definition: Option<&Arc<ServiceConfig>>,
) -> ServiceStatus {
    let now = clock.now();
    ServiceStatus {
        name: instance.name().to_string(),
        service: instance.spec().name.to_string(),
        state: instance.state(),
        wanted: instance.wanted(),
        pid: instance.run().and_then(|run| runs.pid(run)),
        sessions: instance.run().map(|run| runs.sessions(run)).unwrap_or_default(),
        ready: instance.state() == State::Up,
        health: instance.health(),
        restarts: instance.restarts(),
        since: clock.wall(instance.since()),
        exit: instance.last_exit().map(|(status, at)| (status, clock.wall(at))),
        task_end: news.task_end(instance.id()).cloned(),
        reason: reason(instance, now, news),
        status_text: instance.run().and_then(|run| runs.status_text(run)),
        ignored_notifications: news.heard(instance.id()).map_or(0, |heard| heard.ignored()),
        next_restart_in: instance.next_restart().map(|at| at.since(now)),
        memory_bytes: None,
        cpu: None,
        start_time: news.ready_after(instance.id()),
        restarts_by_cause: news.restarts_by_cause(instance.id()),
        labels: definition.map(|definition| definition.labels.clone()).unwrap_or_default(),
        sockets: Vec::new(),
        logs_to: definition.map_or(LogTarget::File, |definition| definition.logs.to),
    }
}

/// Why it is as it is; of one that is not ready, or has failed, with what it says of that.
fn reason(instance: InstanceView<'_>, now: Time, news: &News) -> String {
    let mut reason = instance.reason(now);
    let heard = news.heard(instance.id());
    let hint = match (instance.state(), instance.run()) {
        (State::Starting, Some(run)) => heard.and_then(|heard| heard.why_unready(run)),
        (State::Backoff | State::Failed, _) => heard.and_then(|heard| heard.last()),
        (State::Starting, None)
        | (State::Down | State::Waiting | State::Up | State::Stopping | State::Done, _) => None,
    };
    reason.extend(hint.map(|hint| format!("; {hint}")));
    reason
}
