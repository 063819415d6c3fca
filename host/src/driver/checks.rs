//! Making the checks that the core asks for.
//!
//! ```text
//!   Effect::Check ─► what the definition looks at ─► a task ─► Input::Checked
//! ```
//!
//! A task a check, and it ends with the run: an answer that nobody waits for any more is
//! not made. What a check costs in time is bounded by its timeout here, and by the core
//! once more. Where answers are late, [`progress`](super::progress) tells what the service
//! did meanwhile. A policy that is asked is a task too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kennel_core::{
    CheckAnswer, CheckId, CheckOutcome, Human, Input, InstanceId, InstanceView, PolicyAnswer, RunId,
};
use kennel_wasm::model::policy::PastRun;

use super::progress::{Answer, Output, Watch};
use super::runs::CheckMemory;
use super::{Clock, Driver, Fact};
use crate::checks::{self, CheckContext, CheckKind, Looked, Unresolved, UsageLimit, Window};
use crate::config::{LogTarget, ReadyWhen, ServiceConfig};
use crate::own::{CheckTarget, Decision, EarlierRun, EndedRun, Verdict};
use crate::plugins::{self, About, CheckQuestion, PolicyQuestion, Slot};
use crate::tallies::Checked;

/// How old a look at `/proc` may be that is compared with a limit, and never older than half
/// a period: with many limits, one look a second serves all.
const USAGE_AGE: Duration = Duration::from_secs(1);

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
        let Some(Looks { kind, slot, name, every }) = looks_at(definition, check) else { return };
        if !self.runs.has(run) {
            return;
        }
        let pid = self.runs.pid(run);
        let checked = Checked {
            service: instance.spec().name.clone(),
            instance: instance.name().clone(),
            check: name,
        };
        let watch = Watch {
            meter: self.meter.clone(),
            capture: self.capture.clone(),
            instance: instance.name().clone(),
            sessions: self.runs.sessions(run),
            messages: self.runs.said(run).map(|said| said.messages.clone()).unwrap_or_default(),
            output: match definition.logs.to {
                LogTarget::File | LogTarget::Inherit => Output::Seen,
                LogTarget::None => Output::Unseen,
            },
        };
        let (facts, tallies, began) = (self.facts.clone(), self.checks.clone(), Instant::now());
        let answer = move |answer: Answer| {
            let Answer { outcome, reason, next } = answer;
            tallies.count(&checked, outcome, began.elapsed());
            let answer = CheckAnswer { run, check, number, outcome, reason, next };
            // Without a receiver there is no supervisor any more.
            let _ = facts.send(Fact::Input(Input::Checked(answer)));
        };
        let CheckMemory { unresolved, streak, window } = self.runs.memory(run, &slot);
        match kind {
            CheckKind::BuiltIn(probe) => {
                let context = CheckContext { launcher: self.runs.launcher(run) };
                let probe = probe.clone();
                let asking = async move {
                    let outcome = checks::run(&probe, &context, timeout).await;
                    let reason = outcome.reason().to_owned();
                    Answer { outcome: unresolved.counted(&outcome), reason, next: None }
                };
                self.runs.check(run, async move {
                    answer(watch.over(asking, timeout, &streak).await);
                });
            }
            CheckKind::Usage(limit) => {
                let (limit, age) = (*limit, USAGE_AGE.min(every / 2));
                self.runs.check(run, async move {
                    answer(used(&watch, &limit, &window, (age, timeout)).await);
                });
            }
            CheckKind::Plugin(_) => {
                let about = about(instance, definition, pid, &self.clock);
                let question = CheckQuestion { about, slot, sequence: u64::from(number), timeout };
                let reply = self.plugins.check(question);
                let asking = async move {
                    let reply = reply.await;
                    Answer { outcome: reply.outcome, reason: reply.reason, next: reply.next }
                };
                self.runs.check(run, async move {
                    answer(watch.over(asking, timeout, &streak).await);
                });
            }
            CheckKind::Own(own) => {
                let target = target(about(instance, definition, pid, &self.clock));
                let (own, program) = (own.clone(), self.task_runtime.clone());
                let asking = async move {
                    let looking = own.look(program.as_ref(), target);
                    // Dropped when it is late; who blocks goes on, and keeps its turn.
                    tokio::time::timeout(timeout, looking)
                        .await
                        .map_or_else(|_| late(timeout), said)
                };
                self.runs.check(run, async move {
                    answer(watch.over(asking, timeout, &streak).await);
                });
            }
        }
    }

    pub(super) fn ask_policy(&mut self, id: InstanceId, run: RunId, delay: Duration) {
        let Some(instance) = self.core.view().instance(id) else { return };
        let Some(definition) = self.definitions.get(&instance.spec().name) else { return };
        let mut runs = instance.history();
        let Some(ended) = runs.next() else { return };
        let mut about = about(instance, definition, None, &self.clock);
        about.uptime = ended.uptime;
        if let Some(policy) = &definition.own_policy {
            let question = EndedRun {
                target: target(about),
                cause: ended.cause.clone(),
                history: runs.map(|past| earlier(past, &self.clock)).collect(),
                restarts_in_window: instance.restarts_in_window(self.clock.now()),
                default_delay: delay,
            };
            let (policy, program) = (policy.clone(), self.task_runtime.clone());
            let facts = self.facts.clone();
            tokio::spawn(async move {
                let decided = policy.decide(program.as_ref(), question).await;
                let (answer, reason) = decision(decided);
                let decided = Input::PolicyDecided { instance: id, run, answer, reason };
                let _ = facts.send(Fact::Input(decided));
            });
            return;
        }
        let question = PolicyQuestion {
            about,
            cause: plugins::cause(&ended.cause),
            history: runs.map(|past| past_run(past, &self.clock)).collect(),
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

/// Compares what a run uses with a limit.
async fn used(
    watch: &Watch,
    limit: &UsageLimit,
    window: &Mutex<Window>,
    (age, timeout): (Duration, Duration),
) -> Answer {
    let seen = tokio::time::timeout(timeout, watch.meter.see(&watch.sessions, age)).await;
    let Ok(seen) = seen else {
        // It is /proc that is slow, not the service.
        let reason = format!("/proc has not said within {} what it uses", Human(timeout));
        return Answer { outcome: CheckOutcome::Impossible, reason, next: None };
    };
    let Looked { outcome, next } =
        window.lock().unwrap_or_else(PoisonError::into_inner).look(limit, seen);
    let reason = outcome.reason().to_owned();
    Answer { outcome: Unresolved::default().counted(&outcome), reason, next }
}

/// What a check of a service looks at, and its names.
struct Looks<'a> {
    kind: &'a CheckKind,
    slot: Slot,
    name: Arc<str>,
    every: Duration,
}

/// What a check of this number looks at, if the definition still has it.
fn looks_at(definition: &ServiceConfig, check: CheckId) -> Option<Looks<'_>> {
    match check {
        CheckId::Ready => match &definition.ready {
            ReadyWhen::Passes(kind) => {
                let every = Duration::ZERO;
                Some(Looks { kind, slot: Slot::Ready, name: "ready".into(), every })
            }
            ReadyWhen::Running | ReadyWhen::Logs(_) | ReadyWhen::Notifies(_) => None,
        },
        CheckId::Health(index) => {
            let index = index as usize;
            let spec = definition.spec.health.get(index)?;
            let (name, every) = (spec.name.clone(), spec.every);
            let kind = definition.health.get(index)?;
            Some(Looks { kind, slot: Slot::Health(name.clone()), name, every })
        }
    }
}

fn about(
    instance: InstanceView<'_>,
    definition: &ServiceConfig,
    pid: Option<i32>,
    clock: &Clock,
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

fn target(about: About) -> CheckTarget {
    let About { service, index, instance, pid, uptime, restarts, labels } = about;
    CheckTarget {
        service: service.to_string(),
        instance: instance.to_string(),
        index,
        pid,
        uptime,
        restarts,
        labels: labels.into_iter().collect(),
    }
}

/// What a check of the program has said, for the core.
fn said(verdict: Result<Verdict, String>) -> Answer {
    let (outcome, reason) = match verdict {
        Ok(Verdict::Healthy) => (CheckOutcome::Passed, String::new()),
        Ok(Verdict::Degraded(reason)) => (CheckOutcome::Degraded, reason),
        Ok(Verdict::Unhealthy(reason)) => (CheckOutcome::Wrong, reason),
        Ok(Verdict::Unknown(reason)) | Err(reason) => (CheckOutcome::Impossible, reason),
    };
    Answer { outcome, reason, next: None }
}

fn late(timeout: Duration) -> Answer {
    let reason = format!("no answer within {}", Human(timeout));
    Answer { outcome: CheckOutcome::Late, reason, next: None }
}

/// What a policy of the program has decided, for the core.
fn decision(decided: Result<Decision, String>) -> (PolicyAnswer, String) {
    match decided {
        Ok(Decision::Default) => (PolicyAnswer::Default, String::new()),
        Ok(Decision::RestartAfter(wait)) => (PolicyAnswer::RestartAfter(wait), String::new()),
        Ok(Decision::GiveUp(reason)) => (PolicyAnswer::GiveUp, reason),
        Err(why) => {
            tracing::warn!("{why}; the built-in wait holds");
            (PolicyAnswer::Default, why)
        }
    }
}

fn earlier(past: &kennel_core::PastRun, clock: &Clock) -> EarlierRun {
    let kennel_core::PastRun { ended_at, uptime, cause } = past;
    EarlierRun { ended_at: clock.wall(*ended_at), uptime: *uptime, cause: cause.clone() }
}

fn past_run(past: &kennel_core::PastRun, clock: &Clock) -> PastRun {
    let kennel_core::PastRun { ended_at, uptime, cause } = past;
    let ended = clock.wall(*ended_at).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    PastRun {
        ended_unix_ms: u64::try_from(ended.as_millis()).unwrap_or(u64::MAX),
        uptime: *uptime,
        cause: plugins::cause(cause),
    }
}
