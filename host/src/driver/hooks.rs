//! Shutdown hooks: what the program wants done before anything is stopped.
//!
//! An orderly shutdown begins with them, while all services are still up; only when they are
//! over the core hears of it. Where the supervisor comes to its end by itself, as when a
//! service gives up, they run last. Who wants everything killed at once does not want them.

use serde_json::json;
use tokio::task::{AbortHandle, JoinSet};

use super::{Driver, Fact};
use crate::handle::{Request, ShutdownMode};
use crate::hooks::{self, Hook, HookEnd};
use kennel_core::{Course, Input};

/// Where the hooks are.
pub(super) enum Hooks {
    /// Nobody wants an end yet.
    Waiting(Vec<Hook>),
    /// They run.
    Running(AbortHandle),
    /// They have run, or will not.
    Over,
}

impl Driver {
    pub(super) fn shut_down(&mut self, mode: ShutdownMode) {
        let again = self.is_shutting_down();
        match (mode, again) {
            (ShutdownMode::OrderlyOnce, true) => {}
            (ShutdownMode::Orderly | ShutdownMode::OrderlyOnce, false) => self.run_hooks(),
            (ShutdownMode::Now, _) | (ShutdownMode::Orderly, true) => {
                if let Hooks::Running(hooks) = std::mem::replace(&mut self.hooks, Hooks::Over) {
                    hooks.abort();
                }
                self.tell_core(Input::ShutdownNow);
            }
        }
    }

    /// Whether everything is on its way down, or about to be.
    pub(super) fn is_shutting_down(&self) -> bool {
        let runs_hooks = matches!(self.hooks, Hooks::Running(_));
        runs_hooks || self.core.view().course() == Course::ShuttingDown
    }

    fn run_hooks(&mut self) {
        let hooks = match std::mem::replace(&mut self.hooks, Hooks::Over) {
            Hooks::Waiting(hooks) if !hooks.is_empty() => hooks,
            Hooks::Waiting(_) | Hooks::Running(_) | Hooks::Over => {
                return self.tell_core(Input::Shutdown);
            }
        };
        let (facts, program) = (self.facts.clone(), self.task_runtime.clone());
        let running = tokio::spawn(async move {
            hooks::run(hooks, program, |end| drop(facts.send(Fact::HookEnded(end)))).await;
            let _ = facts.send(Fact::HooksOver);
        });
        self.hooks = Hooks::Running(running.abort_handle());
    }

    pub(super) fn hooks_over(&mut self) {
        if let Hooks::Running(_) = self.hooks {
            self.hooks = Hooks::Over;
            self.tell_core(Input::Shutdown);
        }
    }

    /// Those that have not run when everything has ended by itself.
    pub(super) async fn run_last_hooks(&mut self) {
        let Hooks::Waiting(hooks) = std::mem::replace(&mut self.hooks, Hooks::Over) else { return };
        let program = self.task_runtime.clone();
        let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(hooks::run(hooks, program, move |end| drop(ends.send(end))));
        loop {
            tokio::select! {
                end = ended.recv() => match end {
                    Some(end) => self.hook_ended(&end),
                    None => return,
                },
                Some(request) = self.requests.recv() => match request {
                    // What runs is aborted with the tasks.
                    Request::Shutdown(ShutdownMode::Now) => return,
                    Request::Status { .. } => self.take_request(request),
                    // Whoever waits for an answer is told that there is none.
                    Request::Shutdown(ShutdownMode::Orderly | ShutdownMode::OrderlyOnce)
                    | Request::Act { .. }
                    | Request::Plan { .. }
                    | Request::Reload { .. }
                    | Request::Announce
                    | Request::HandOver { .. }
                    | Request::Await { .. }
                    | Request::Change { .. } => {}
                },
            }
        }
    }

    pub(super) fn hook_ended(&mut self, end: &HookEnd) {
        let millis = u64::try_from(end.took.as_millis()).unwrap_or(u64::MAX);
        let attributes = json!({"hook": end.name, "outcome": end.outcome.word(), "ms": millis});
        self.news.told("supervisor.hook", end.to_string(), attributes);
    }
}
