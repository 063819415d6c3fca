//! What follows from what a service says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use kennel_core::spec::Kind;
use kennel_core::{Input, InstanceId, Notice, RunId, State};
use serde_json::json;
use tokio::sync::oneshot;

use super::super::Driver;
use super::ignored::Ignored;
use super::message::Word;
use crate::config::{Notify, ReadyWhen};
use crate::os::Process;

/// What was heard of a run at a time.
pub(crate) struct Heard {
    pub(super) words: Vec<Word>,
    /// How many messages they came in.
    pub(super) messages: u64,
    pub(super) main: Option<NewMain>,
    pub(super) ignored: Ignored,
    /// Dropped or sent when all of it has had its effect.
    pub(super) taken: oneshot::Sender<()>,
}

/// The process that `MAINPID` named.
pub(super) enum NewMain {
    /// The one that was spawned.
    Spawned,
    /// Another one.
    Named(Arc<Process>),
}

/// Why a service with this status is not ready.
fn not_yet(status: &str) -> Arc<str> {
    if status.is_empty() {
        return "no READY=1 arrived".into();
    }
    format!("no READY=1 arrived; last status: {status}").into()
}

/// Whose words are taken.
#[derive(Clone, Copy)]
struct Speaker<'a> {
    run: RunId,
    id: InstanceId,
    name: &'a str,
}

impl Driver {
    /// The process of a run exists that may have to tell that it is ready.
    pub(in super::super) fn waits_for_word(&mut self, run: RunId, ready: &ReadyWhen) {
        let why = match ready {
            // The core knows what its looks have said.
            ReadyWhen::Running | ReadyWhen::Passes(_) => return,
            ReadyWhen::Notifies(Notify::Systemd) => not_yet(""),
            ReadyWhen::Notifies(Notify::Fd(number)) => {
                format!("no newline came on descriptor {number}").into()
            }
            ReadyWhen::Logs(pattern) => {
                format!("no line of output matches \"{}\"", pattern.as_str()).into()
            }
        };
        self.unready(run, why);
    }

    /// What a run was to say its word by is closed.
    pub(in super::super) fn take_closed(&mut self, run: RunId, number: i32) {
        let why = format!("descriptor {number} was closed before a newline came");
        self.unready(run, why.into());
    }

    /// Why a run is not ready yet; what it says when it is, or stops, is none of that.
    fn unready(&mut self, run: RunId, why: Arc<str>) {
        let view = self.core.view();
        let instance = view.instance_of(run).and_then(|id| view.instance(id));
        let Some(instance) = instance else { return };
        let id = instance.id();
        match (instance.state(), instance.spec().kind) {
            (State::Starting, Kind::Daemon) => {}
            // A oneshot at work is starting too, and nobody waits for its word.
            (State::Starting, Kind::Oneshot) => return,
            (
                State::Down
                | State::Waiting
                | State::Up
                | State::Stopping
                | State::Backoff
                | State::Failed
                | State::Done,
                Kind::Daemon | Kind::Oneshot,
            ) => return,
        }
        self.news.hearsay(id).unready(run, why);
    }

    pub(in super::super) fn take_notified(&mut self, run: RunId, heard: Heard) {
        let Heard { words, messages, main, ignored, taken } = heard;
        if let Some(said) = self.runs.said(run) {
            said.messages.fetch_add(messages, Ordering::Relaxed);
        }
        let view = self.core.view();
        let Some(id) = view.instance_of(run) else { return };
        let Some(name) = view.instance(id).map(|instance| instance.name().clone()) else { return };
        let speaker = Speaker { run, id, name: &name };
        if ignored.count > 0 {
            self.news.ignored(id, &name, &ignored);
        }
        if let Some(main) = main {
            self.take_main(speaker, main);
        }
        for word in words {
            self.take_word(speaker, word);
        }
        // The listener may have ended meanwhile.
        let _ = taken.send(());
    }

    fn take_word(&mut self, speaker: Speaker<'_>, word: Word) {
        let Speaker { run, id, name: _ } = speaker;
        match word {
            Word::Ready => {
                self.reloaded(speaker);
                self.tell_core(Input::Ready(run));
            }
            Word::Reloading => self.reloading(speaker),
            Word::Status(text) => {
                self.unready(run, not_yet(&text));
                if let Some(said) = self.runs.said(run) {
                    said.status = (!text.is_empty()).then(|| Arc::from(text));
                }
            }
            Word::Errno(errno) => self.news.hearsay(id).errno(run, errno),
            // Taken with the batch.
            Word::MainPid(_) => {}
            Word::Extend(time) => self.tell_core(Input::Notified(run, Notice::Extend(time))),
            Word::Alive => self.tell_core(Input::Notified(run, Notice::Alive)),
            Word::Stuck => self.tell_core(Input::Notified(run, Notice::Stuck)),
            Word::WatchdogEvery(every) => {
                self.tell_core(Input::Notified(run, Notice::WatchdogEvery(every)));
            }
            Word::Stopping => self.tell_core(Input::Notified(run, Notice::Stopping)),
        }
    }

    fn take_main(&mut self, speaker: Speaker<'_>, main: NewMain) {
        let Speaker { run, id: _, name } = speaker;
        let named = match main {
            NewMain::Spawned => None,
            NewMain::Named(process) => Some(process),
        };
        if !self.runs.name_main(run, named) {
            tracing::warn!("{name} names too many main processes; the last one is ignored");
            return;
        }
        self.remember_main(run);
        let pid = self.runs.pid(run);
        let message = pid.map_or("its main process is gone".to_owned(), |pid| {
            format!("its main process is {pid} from now on")
        });
        self.tell(speaker, "service.main_pid", message, json!({"run": run.0, "pid": pid}));
    }

    fn reloading(&mut self, speaker: Speaker<'_>) {
        let run = speaker.run;
        let Some(said) = self.runs.said(run) else { return };
        if said.reloading.replace(Instant::now()).is_none() {
            let message = "reloads its configuration".to_owned();
            self.tell(speaker, "service.reloading", message, json!({"run": run.0}));
        }
    }

    fn reloaded(&mut self, speaker: Speaker<'_>) {
        let run = speaker.run;
        let Some(since) = self.runs.said(run).and_then(|said| said.reloading.take()) else {
            return;
        };
        let took = since.elapsed();
        let message = format!("has reloaded after {}", kennel_core::Human(took));
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.tell(speaker, "service.reloaded", message, json!({"run": run.0, "after_ms": millis}));
    }

    fn tell(
        &mut self,
        speaker: Speaker<'_>,
        kind: &'static str,
        message: String,
        attributes: serde_json::Value,
    ) {
        let now = Instant::now();
        if self.runs.said(speaker.run).is_some_and(|said| said.may_tell(now)) {
            self.news.said(kind, speaker.name, message, attributes);
        }
    }
}
