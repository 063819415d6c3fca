//! From the view of the core to what people are shown.

use std::collections::HashMap;
use std::sync::Arc;

use kennel_core::{InstanceView, State, View};

use super::Clock;
use super::news::News;
use super::runs::Runs;
use crate::config::{Config, LogTarget, ServiceConfig};
use crate::status::{Role, ServiceStatus, Status, SupervisorStatus};

pub(super) fn status(
    view: View<'_>,
    clock: Clock,
    config: &Config,
    definitions: &HashMap<Arc<str>, Arc<ServiceConfig>>,
    runs: &Runs,
    news: &News,
) -> Status {
    let services = view.instances().map(|instance| {
        service(instance, clock, runs, news, definitions.get(&instance.spec().name))
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
        },
    }
}

fn service(
    instance: InstanceView<'_>,
    clock: Clock,
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
        ready: instance.state() == State::Up,
        health: instance.health(),
        restarts: instance.restarts(),
        since: clock.wall(instance.since()),
        exit: instance.last_exit().map(|(status, at)| (status, clock.wall(at))),
        reason: instance.reason(now),
        next_restart_in: instance.next_restart().map(|at| at.since(now)),
        memory_bytes: None,
        cpu: None,
        start_time: news.ready_after(instance.id()),
        restarts_by_cause: news.restarts_by_cause(instance.id()),
        labels: definition.map(|definition| definition.labels.clone()).unwrap_or_default(),
        logs_to: definition.map_or(LogTarget::File, |definition| definition.logs.to),
    }
}
