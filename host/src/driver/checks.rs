//! Making the checks that the core asks for.
//!
//! ```text
//!   Effect::Check ─► what the definition looks at ─► a task ─► Input::Checked
//! ```
//!
//! A task a check, and it ends with the run: an answer that nobody waits for any more is
//! not made. What a check costs in time is bounded by its timeout here, and by the core
//! once more. A policy that is asked is a task too.

use std::time::{Duration, Instant};

use kennel_core::{CheckAnswer, CheckId, Input, InstanceId, InstanceView, RunId};
use kennel_wasm::model::policy::PastRun;

use super::{Clock, Driver, Fact};
use crate::checks::{self, CheckContext, CheckKind};
use crate::config::{ReadyWhen, ServiceConfig};
use crate::plugins::{self, About, CheckQuestion, PolicyQuestion, Slot};
use crate::tallies::Checked;

/// What the core wants to know.
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) run: RunId,
    pub(super) check: CheckId,
    pub(super) number: u32,
    pub(super) timeout: Duration,
}

impl Driver {
    pub(super) fn make_check(&mut self, question: Question) {
        let Question { run, check, number, timeout } = question;
        let view = self.core.view();
        let Some(instance) = view.instance_of(run).and_then(|id| view.instance(id)) else { return };
        let Some(definition) = self.definitions.get(&instance.spec().name) else { return };
        let Some((kind, slot)) = looks_at(definition, check) else { return };
        let checked = Checked {
            service: instance.spec().name.clone(),
            instance: instance.name().clone(),
            check: match &slot {
                Slot::Ready | Slot::Policy => "ready".into(),
                Slot::Health(name) => name.clone(),
            },
        };
        let (facts, tallies, began) = (self.facts.clone(), self.checks.clone(), Instant::now());
        let answer = move |outcome, reason, next| {
            tallies.count(&checked, outcome, began.elapsed());
            let answer = CheckAnswer { run, check, number, outcome, reason, next };
            // Without a receiver there is no supervisor any more.
            let _ = facts.send(Fact::Input(Input::Checked(answer)));
        };
        match kind {
            CheckKind::BuiltIn(probe) => {
                let context = CheckContext { launcher: self.runs.launcher(run) };
                let (probe, unresolved) = (probe.clone(), self.runs.unresolved(run, check));
                self.runs.check(run, async move {
                    let outcome = checks::run(&probe, &context, timeout).await;
                    answer(unresolved.counted(&outcome), outcome.reason().to_owned(), None);
                });
            }
            CheckKind::Plugin(_) => {
                let pid = self.runs.pid(run);
                let about = about(instance, definition, pid, self.clock);
                let question = CheckQuestion { about, slot, sequence: u64::from(number), timeout };
                let reply = self.plugins.check(question);
                self.runs.check(run, async move {
                    let reply = reply.await;
                    answer(reply.outcome, reply.reason, reply.next);
                });
            }
        }
    }

    pub(super) fn ask_policy(&mut self, id: InstanceId, run: RunId, delay: Duration) {
        let Some(instance) = self.core.view().instance(id) else { return };
        let Some(definition) = self.definitions.get(&instance.spec().name) else { return };
        let mut runs = instance.history();
        let Some(ended) = runs.next() else { return };
        let mut about = about(instance, definition, None, self.clock);
        about.uptime = ended.uptime;
        let question = PolicyQuestion {
            about,
            cause: plugins::cause(&ended.cause),
            history: runs.map(|past| past_run(past, self.clock)).collect(),
            restarts_in_window: instance.restarts_in_window(self.clock.now()),
            default_delay: delay,
        };
        let (reply, facts) = (self.plugins.decide(question), self.facts.clone());
        tokio::spawn(async move {
            let plugins::PolicyReply { answer, reason } = reply.await;
            let decided = Input::PolicyDecided { instance: id, run, answer, reason };
            let _ = facts.send(Fact::Input(decided));
        });
    }
}

/// What a check of this number looks at, if the definition still has it.
fn looks_at(definition: &ServiceConfig, check: CheckId) -> Option<(&CheckKind, Slot)> {
    match check {
        CheckId::Ready => match &definition.ready {
            ReadyWhen::Passes(kind) => Some((kind, Slot::Ready)),
            ReadyWhen::Running | ReadyWhen::Logs(_) => None,
        },
        CheckId::Health(index) => {
            let index = index as usize;
            let name = definition.spec.health.get(index)?.name.clone();
            Some((definition.health.get(index)?, Slot::Health(name)))
        }
    }
}

fn about(
    instance: InstanceView<'_>,
    definition: &ServiceConfig,
    pid: Option<i32>,
    clock: Clock,
) -> About {
    let labels = definition.labels.iter();
    About {
        service: instance.spec().name.clone(),
        index: instance.index(),
        instance: instance.name().clone(),
        pid,
        uptime: instance.spawned_at().map_or(Duration::ZERO, |at| clock.now().since(at)),
        restarts: instance.restarts(),
        labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn past_run(past: &kennel_core::PastRun, clock: Clock) -> PastRun {
    let kennel_core::PastRun { ended_at, uptime, cause } = past;
    let ended = clock.wall(*ended_at).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    PastRun {
        ended_unix_ms: u64::try_from(ended.as_millis()).unwrap_or(u64::MAX),
        uptime: *uptime,
        cause: plugins::cause(cause),
    }
}
