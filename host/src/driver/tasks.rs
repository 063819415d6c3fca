//! Runs that are tasks of the program: futures on its runtime, and threads.
//!
//! ```text
//!   make ─► Begun ─(entered)─► watch, a task of the supervisor a run
//!                                │ what it says, the latest of each kind, 100 times a
//!                                │ second at most; whether it works without a break
//!                                ▼
//!                     Fact::Task(run, TaskFact) ─► the loop
//! ```
//!
//! The supervisor has a thread of its own, so nothing that a task does keeps this from
//! being noticed. SIGTERM and its kin stand for cancellation here, SIGKILL for the abort.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kennel_core::{ExitStatus, Group, Human, Input, Notice, RunId, Signal};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::runs::CheckMemory;
use super::{Driver, Fact, Facts};
use crate::plugins::Slot;
use crate::task::{Noted, Talk, TaskBody, TaskContext, TaskEnd, TaskError, Words};

/// How often what a task says is fetched, at most.
const FETCH_EVERY: Duration = Duration::from_millis(10);
/// How often a task is looked at that may work without a break.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A task that has worked so long without a break holds up others.
const LONG_WORK: Duration = Duration::from_secs(1);

/// What is noticed of a task.
pub(crate) enum TaskFact {
    /// It has said this.
    Said(Words),
    /// It has worked so long without a break.
    Works(Duration),
    /// It has ended.
    Ended(TaskEnd),
}

/// A run of a task that has begun.
pub(crate) struct Begun {
    talk: Arc<Talk>,
    end: End,
}

/// How its end is known.
enum End {
    Future(JoinHandle<Result<(), TaskError>>),
    Thread(oneshot::Receiver<TaskEnd>),
}

/// Begins a run. `runtime` is the program's.
pub(super) fn make(
    body: TaskBody,
    name: Arc<str>,
    runtime: Option<&tokio::runtime::Handle>,
) -> Result<Begun, String> {
    let talk = Arc::new(Talk::new());
    let context = TaskContext { name: name.clone(), talk: talk.clone() };
    let end = match body {
        TaskBody::Async(body) => {
            let runtime = runtime.ok_or("the supervisor was not started on a tokio runtime")?;
            // What makes the future is the program's too, and may panic.
            let future = Box::pin(async move { body(context).await });
            End::Future(runtime.spawn(Noted { future, talk: talk.clone() }))
        }
        TaskBody::Blocking(body) => {
            let (done, end) = oneshot::channel();
            let thread = std::thread::Builder::new().name(format!("task-{name}"));
            let work = move || {
                let end = match catch_unwind(AssertUnwindSafe(|| body(context))) {
                    Ok(result) => ended(result),
                    Err(payload) => TaskEnd::of_panic(&*payload),
                };
                // Without a receiver there is no supervisor any more.
                let _ = done.send(end);
            };
            thread.spawn(work).map_err(|error| format!("cannot start a thread: {error}"))?;
            End::Thread(end)
        }
    };
    Ok(Begun { talk, end })
}

impl Begun {
    /// Ends a task that nobody will supervise.
    pub(super) fn kill(self) {
        self.talk.cancel();
        match self.end {
            End::Future(task) => task.abort(),
            End::Thread(_) => {}
        }
    }
}

fn ended(result: Result<(), TaskError>) -> TaskEnd {
    match result {
        Ok(()) => TaskEnd::Finished,
        Err(error) => TaskEnd::Failed(error.to_string()),
    }
}

/// What the end of a task is to restart policies.
pub(super) fn status(end: &TaskEnd) -> ExitStatus {
    match end {
        TaskEnd::Finished => ExitStatus::Code(0),
        TaskEnd::Failed(_) => ExitStatus::Code(1),
        TaskEnd::Panicked(_) => ExitStatus::Code(101),
        TaskEnd::Aborted | TaskEnd::RuntimeGone => {
            ExitStatus::Signal { signal: Signal::KILL, core_dumped: false }
        }
    }
}

/// The runs that are tasks.
#[derive(Default)]
pub(super) struct Tasks(HashMap<RunId, TaskRun>);

struct TaskRun {
    talk: Arc<Talk>,
    abort: Option<AbortHandle>,
    is_aborted: Arc<AtomicBool>,
    status: Option<Arc<str>>,
    checks: JoinSet<()>,
    memories: HashMap<Slot, CheckMemory>,
}

impl Tasks {
    /// Enters a run, which is watched from now on.
    pub(super) fn add(&mut self, run: RunId, begun: Begun, facts: &Facts) {
        let Begun { talk, end } = begun;
        let is_aborted = Arc::new(AtomicBool::new(false));
        let abort = match &end {
            End::Future(task) => Some(task.abort_handle()),
            End::Thread(_) => None,
        };
        tokio::spawn(watch(run, talk.clone(), end, is_aborted.clone(), facts.clone()));
        let (checks, memories) = (JoinSet::new(), HashMap::new());
        let entry = TaskRun { talk, abort, is_aborted, status: None, checks, memories };
        self.0.insert(run, entry);
    }

    /// Whether the run is a task.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.0.contains_key(&run)
    }

    /// Tells the task to end, or ends it. Signals that mean something else mean nothing to a
    /// task.
    pub(super) fn signal(&self, run: RunId, signal: Signal) {
        let Some(task) = self.0.get(&run) else { return };
        let ends = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGABRT, libc::SIGKILL];
        if !ends.contains(&signal.number()) {
            return;
        }
        task.talk.cancel();
        if signal == Signal::KILL
            && let Some(abort) = &task.abort
        {
            task.is_aborted.store(true, Ordering::Relaxed);
            abort.abort();
        }
    }

    /// Makes a check of the run; it ends with the run.
    pub(super) fn check(&mut self, run: RunId, check: impl Future<Output = ()> + Send + 'static) {
        if let Some(task) = self.0.get_mut(&run) {
            while task.checks.try_join_next().is_some() {}
            task.checks.spawn(check);
        }
    }

    /// What is remembered of a check of the run.
    pub(super) fn memory(&mut self, run: RunId, slot: &Slot) -> CheckMemory {
        let Some(task) = self.0.get_mut(&run) else { return CheckMemory::default() };
        task.memories.entry(slot.clone()).or_default().clone()
    }

    /// What it says of itself, to be shown.
    pub(super) fn status_text(&self, run: RunId) -> Option<String> {
        self.0.get(&run)?.status.as_ref().map(ToString::to_string)
    }

    pub(super) fn release(&mut self, run: RunId) {
        self.0.remove(&run);
    }
}

/// Watches one run until it has ended.
async fn watch(run: RunId, talk: Arc<Talk>, end: End, is_aborted: Arc<AtomicBool>, facts: Facts) {
    let tell = |fact| drop(facts.send(Fact::Task(run, fact)));
    let mut ended = std::pin::pin!(how_it_ends(end, is_aborted));
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_told = false;
    let end = loop {
        tokio::select! {
            end = &mut ended => break end,
            () = talk.said.notified() => {
                tell(TaskFact::Said(talk.fetch()));
                tokio::select! {
                    end = &mut ended => break end,
                    () = tokio::time::sleep(FETCH_EVERY) => {}
                }
            }
            _ = look.tick() => match talk.has_worked_for() {
                Some(time) if time >= LONG_WORK => {
                    if !std::mem::replace(&mut is_told, true) {
                        tell(TaskFact::Works(time));
                    }
                }
                Some(_) | None => is_told = false,
            },
        }
    };
    tell(TaskFact::Said(talk.fetch()));
    tell(TaskFact::Ended(end));
}

async fn how_it_ends(end: End, is_aborted: Arc<AtomicBool>) -> TaskEnd {
    match end {
        End::Future(task) => match task.await {
            Ok(result) => ended(result),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => TaskEnd::of_panic(&*payload),
                Err(_) if is_aborted.load(Ordering::Relaxed) => TaskEnd::Aborted,
                Err(_) => TaskEnd::RuntimeGone,
            },
        },
        // The thread sends in any case.
        End::Thread(end) => end.await.unwrap_or(TaskEnd::Aborted),
    }
}

impl Driver {
    pub(super) fn take_task_fact(&mut self, run: RunId, fact: TaskFact) {
        match fact {
            TaskFact::Said(words) => self.take_task_words(run, words),
            TaskFact::Works(time) => self.tell_long_work(run, time),
            TaskFact::Ended(end) => {
                let status = status(&end);
                self.news.task_ended(run, end);
                self.tell_core(Input::Exited { run, status, group: Group::Empty });
            }
        }
    }

    fn take_task_words(&mut self, run: RunId, words: Words) {
        let Words { ready, alive, status } = words;
        let view = self.core.view();
        let instance = view.instance_of(run).and_then(|id| view.instance(id));
        let Some(name) = instance.map(|instance| instance.spec().name.clone()) else { return };
        if let (Some(text), Some(task)) = (status, self.runs.tasks.0.get_mut(&run)) {
            task.status = (!text.is_empty()).then(|| Arc::from(text));
        }
        if ready {
            // Its definition may have changed since it began.
            let definition = self.definitions.get(&name);
            if definition.is_some_and(|definition| definition.ready.notify().is_some()) {
                self.tell_core(Input::Ready(run));
            }
        }
        if alive {
            self.tell_core(Input::Notified(run, Notice::Alive));
        }
    }

    fn tell_long_work(&mut self, run: RunId, time: Duration) {
        let view = self.core.view();
        let Some(instance) = view.instance_of(run).and_then(|id| view.instance(id)) else { return };
        let name = instance.name().clone();
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let message = format!(
            "the task has worked for {} without an await, and holds a thread of its runtime",
            Human(time)
        );
        tracing::warn!("{name}: {message}");
        let attributes = json!({"run": run.0, "for_ms": millis});
        self.news.said("task.busy", &name, message, attributes);
    }
}
