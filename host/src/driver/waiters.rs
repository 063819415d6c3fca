//! Requests that wait for an outcome: `start` until it is up, `stop` until it is down.
//!
//! After every step the driver lets each waiting order look at the view. Nothing here
//! changes anything; a waiter that goes away is simply not answered.

use std::time::Duration;

use kennel_core::{Human, Input, InstanceId, RunId, State, Time, View, Wanted};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::runs::Runs;
use crate::handle::{Outcome, Verb, VerbError, Wait};
use crate::suggest;

/// How many names a wrong one is answered with.
const NEAR_NAMES: usize = 3;

/// What becomes of the rest when a rolling restart stops.
const NOT_ITS_TURN: &str = "not restarted, the rolling restart stopped before";

type Reply = oneshot::Sender<Result<Vec<Outcome>, VerbError>>;

#[derive(Default)]
pub(super) struct Waiters {
    waiting: Vec<Waiter>,
}

struct Waiter {
    order: Order,
    wait: Wait,
    begun: Time,
    /// None: never.
    gives_up: Option<Instant>,
    reply: Reply,
}

/// What was asked for, and how things stood then.
#[derive(Default)]
pub(super) struct Order {
    before: Vec<Before>,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// What this verb wants.
    Of(Verb),
    /// That it is no more.
    Gone,
    /// That it is up, if it is wanted so.
    Defined,
}

struct Before {
    id: InstanceId,
    goal: Goal,
    name: String,
    state: State,
    run: Option<RunId>,
}

/// The instances that `names` mean; all names must be known.
pub(super) fn resolve(view: View<'_>, names: &[String]) -> Result<Vec<InstanceId>, VerbError> {
    let mut ids = Vec::new();
    for name in names {
        let found = view.find(name);
        if found.is_empty() {
            let mut known: Vec<&str> = view.instances().map(|i| &**i.name()).collect();
            known.extend(view.instances().map(|i| &*i.spec().name));
            known.sort_unstable();
            known.dedup();
            let near = suggest::near(name, known.into_iter(), NEAR_NAMES);
            return Err(VerbError::UnknownService { name: name.clone(), near });
        }
        ids.extend(found.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    }
    Ok(ids)
}

pub(super) fn input(verb: Verb, ids: Vec<InstanceId>) -> Input {
    match verb {
        Verb::Start => Input::Start(ids),
        Verb::Stop => Input::Stop(ids),
        Verb::Restart => Input::Restart(ids),
        Verb::RollingRestart => Input::Roll(ids),
        // The driver configures what this needs before it wants all of them up.
        Verb::Scale(_) => Input::Start(ids),
        Verb::Reset => Input::Reset(ids),
        Verb::Signal(signal) => Input::Signal(ids, signal),
    }
}

impl Order {
    /// This and that.
    pub(super) fn and(mut self, other: Order) -> Order {
        self.before.extend(other.before);
        self
    }
}

impl Waiters {
    /// Notes how things stand before the core is told.
    pub(super) fn order(&self, goal: Goal, ids: &[InstanceId], view: View<'_>) -> Order {
        let before = ids.iter().filter_map(|&id| {
            let instance = view.instance(id)?;
            Some(Before {
                id,
                goal,
                name: instance.name().to_string(),
                state: instance.state(),
                run: instance.run(),
            })
        });
        Order { before: before.collect() }
    }

    pub(super) fn wait(&mut self, order: Order, wait: Wait, begun: Time, reply: Reply) {
        let gives_up = match wait {
            Wait::No => Some(Instant::now()),
            Wait::UpTo(timeout) => Instant::now().checked_add(timeout),
        };
        self.waiting.push(Waiter { order, wait, begun, gives_up, reply });
    }

    /// When somebody has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|waiter| waiter.gives_up).min()
    }

    /// Answers those whose order is settled, and those who have waited long enough.
    pub(super) fn answer(&mut self, view: View<'_>, now: Time, runs: &Runs) {
        if self.waiting.is_empty() {
            return;
        }
        let wall = Instant::now();
        let mut still_waiting = Vec::new();
        for waiter in self.waiting.drain(..) {
            let took = now.since(waiter.begun);
            let outlook = Outlook { view, now, took, runs };
            let out_of_time = waiter.gives_up.is_some_and(|at| at <= wall);
            let outcomes: Vec<Option<Outcome>> =
                waiter.order.before.iter().map(|before| outlook.settled(before)).collect();
            if outcomes.iter().any(Option::is_none) && !out_of_time {
                if !waiter.reply.is_closed() {
                    still_waiting.push(waiter);
                }
                continue;
            }
            let outcomes = outcomes
                .into_iter()
                .zip(&waiter.order.before)
                .map(|(outcome, before)| {
                    outcome.unwrap_or_else(|| outlook.unsettled(before, waiter.wait))
                })
                .collect();
            let _ = waiter.reply.send(Ok(outcomes));
        }
        self.waiting = still_waiting;
    }

    /// The supervisor ends: nobody is left to wait for.
    pub(super) fn give_up(&mut self) {
        for waiter in self.waiting.drain(..) {
            let _ = waiter.reply.send(Err(VerbError::ShuttingDown));
        }
    }
}

/// The view with what an answer needs beside it.
struct Outlook<'a> {
    view: View<'a>,
    now: Time,
    took: Duration,
    runs: &'a Runs,
}

impl Outlook<'_> {
    /// What became of an instance, once that is certain.
    fn settled(&self, before: &Before) -> Option<Outcome> {
        let Some(instance) = self.view.instance(before.id) else {
            let success = [Goal::Gone, Goal::Of(Verb::Stop)].contains(&before.goal);
            return Some(self.outcome(before, success, State::Down, "removed".into()));
        };
        let (state, took) = (instance.state(), Human(self.took));
        let pid = instance.run().and_then(|run| self.runs.pid(run));
        let with_pid = |sentence: String| match pid {
            Some(pid) => format!("{sentence}, pid {pid}"),
            None => sentence,
        };
        let told = |success, message| Some(self.outcome(before, success, state, message));
        let verb = match before.goal {
            Goal::Of(verb) => verb,
            Goal::Gone => return None,
            Goal::Defined if instance.wanted() == Wanted::Down => {
                return told(true, "not wanted up".into());
            }
            Goal::Defined => Verb::Start,
        };
        match verb {
            Verb::Reset => told(true, "failures forgotten".into()),
            Verb::Signal(signal) => match pid {
                Some(pid) => told(true, format!("{signal} sent to pid {pid}")),
                None => told(false, format!("not running, {signal} not sent")),
            },
            Verb::Stop => match state {
                State::Down if before.state == State::Down => told(true, "already down".into()),
                State::Down => match instance.last_exit() {
                    Some((status, _)) if before.run.is_some() => {
                        told(true, format!("down in {took}, {status}"))
                    }
                    Some(_) | None => told(true, "down, no process was running".into()),
                },
                _ if instance.wanted() == Wanted::Up => {
                    told(false, "wanted up again meanwhile".into())
                }
                State::Waiting
                | State::Starting
                | State::Up
                | State::Stopping
                | State::Backoff
                | State::Failed
                | State::Done => None,
            },
            Verb::RollingRestart if self.view.is_rolling(&instance.spec().name) => None,
            Verb::Start | Verb::Restart | Verb::RollingRestart | Verb::Scale(_) => {
                let same_run = before.run.is_some() && instance.run() == before.run;
                if verb == Verb::Restart && same_run {
                    return None;
                }
                if verb == Verb::RollingRestart && same_run {
                    return told(false, with_pid(NOT_ITS_TURN.into()));
                }
                match state {
                    State::Up if same_run && before.state == State::Up => {
                        told(true, with_pid("already up".into()))
                    }
                    State::Up => told(true, with_pid(format!("up in {took}"))),
                    State::Done => told(true, format!("done in {took}")),
                    State::Backoff | State::Failed => told(false, instance.reason(self.now)),
                    State::Down => told(false, "stopped meanwhile".into()),
                    // A roll that is over waits for nothing any more.
                    State::Waiting | State::Starting | State::Stopping
                        if verb == Verb::RollingRestart =>
                    {
                        told(false, format!("{state}: {}", instance.reason(self.now)))
                    }
                    State::Waiting | State::Starting | State::Stopping => None,
                }
            }
        }
    }

    /// What is to be said of an instance that is not there yet.
    fn unsettled(&self, before: &Before, wait: Wait) -> Outcome {
        let Some(instance) = self.view.instance(before.id) else {
            return self.outcome(before, false, State::Down, "removed".into());
        };
        let (state, reason) = (instance.state(), instance.reason(self.now));
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        match wait {
            Wait::No => {
                let what = match before.goal {
                    Goal::Of(Verb::Start | Verb::Scale(_)) | Goal::Defined => "started",
                    Goal::Of(Verb::Stop) => "stopped",
                    Goal::Of(Verb::Restart) => "restarted",
                    Goal::Of(Verb::RollingRestart) => "restarted in its turn",
                    Goal::Of(Verb::Reset | Verb::Signal(_)) => "done",
                    Goal::Gone => "stopped and removed",
                };
                let message = format!("to be {what}, {state} now");
                self.outcome(before, true, state, message)
            }
            Wait::UpTo(_) => {
                let message = format!("still {state} after {}{reason}", Human(self.took));
                self.outcome(before, false, state, message)
            }
        }
    }

    fn outcome(&self, before: &Before, success: bool, state: State, message: String) -> Outcome {
        let run = self.view.instance(before.id).and_then(|instance| instance.run());
        let pid = run.and_then(|run| self.runs.pid(run));
        Outcome { name: before.name.clone(), success, state, pid, message }
    }
}
