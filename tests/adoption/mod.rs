//! What outlives the supervisor: its services when it is killed, and what it knew of them.

mod connections;
mod damage;
mod intent;
mod kills;
mod memory;

use serde_json::Value;

use crate::support::{Kennel, Process};

/// Kills the supervisor as nothing else does, and starts the next one.
#[track_caller]
fn succeed(kennel: &mut Kennel) {
    kennel.kill_supervisor();
    kennel.start();
}

/// The processes that bear the mark of this house and of a run of `service`, which lead a
/// session: the main ones.
fn mains(kennel: &Kennel, service: &str) -> Vec<Process> {
    let id = kennel.read("state/id");
    let wanted = [format!("KENNEL_STATE_ID={}", id.trim()), format!("KENNEL_SERVICE={service}")];
    let mut found = kennel.processes();
    found.retain(|process| {
        let environment =
            std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let has = |wanted: &String| {
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        process.pid == process.group && wanted.iter().all(has)
    });
    found
}

/// The one event of this kind that is not of a service.
#[track_caller]
fn last_event(kennel: &Kennel, kind: &str) -> Value {
    let events = kennel.events();
    let found = events.into_iter().rfind(|event| event["kind"] == kind);
    found.unwrap_or_else(|| panic!("no event {kind}"))
}
