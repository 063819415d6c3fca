//! The driver: the one loop that owns the core.
//!
//! ```text
//!   requests (Handle, API, CLI) ──┐                       ┌─► spawn   (blocking pool)
//!   facts (exits, spawns, files) ─┼─► Core ──► effects ───┼─► signal  (pidfd, at once)
//!   time (next_deadline) ─────────┘      │                └─► watch   (one task a run)
//!                                        └──► events ─────► journal, status lines, waiters
//! ```
//!
//! It owns the core, the run table (which process stands behind which run), the
//! definitions (how a process of a service is made) and the requests that wait for an
//! outcome. It is the only place with concurrency, and it never waits for anything but
//! its three inputs: making a process, reading a file and asking `/proc` happen on the
//! blocking pool and come back as facts.
//!
//! What can go wrong is a fact like any other: a process that cannot be made is
//! [`Input::SpawnFailed`]; a signal that finds nobody is no error, the exit is on its
//! way. When every [`Handle`](crate::Handle) is gone the driver goes on supervising.
//!
//! Deliberately absent: timers of its own, retries, and any decision about services.

mod adopt;
mod change;
mod checks;
mod clock;
mod company;
mod end;
mod hand_over;
mod hooks;
mod launch;
mod leftovers;
mod manager;
mod news;
mod note;
mod notify;
mod processes;
mod progress;
mod recall;
mod reload;
mod remember;
mod requests;
mod runs;
mod scale;
mod snapshot;
mod sockets;
mod stop_command;
mod strays;
mod survivors;
mod tasks;
mod waiters;
mod words;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use kennel_core::{Core, Effect, EventKind, Input, InstanceId, Limits, Recipient, RunId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::{Command, Config, ServiceConfig, SupervisorSettings, Written};
use crate::fake_clock::FakeClock;
use crate::gate::{Gate, Pass};
use crate::handle::Request;
use crate::hooks::{Hook, HookEnd};
use crate::journal::Journal;
use crate::logs::{Capture, LogFact};
use crate::os::{Cgroups, NoCgroups, StateId, Unlimited};
use crate::plugins::{PluginFact, Plugins, Requirer};
use crate::service_manager::ServiceManager;
use crate::sinks::Sinks;
use crate::state::{Durability, Holder, HomeNotice, Record, RunTable, TableNotice};
use crate::tallies::CheckTallies;
use crate::usage::Meter;

use adopt::Restored;
pub(crate) use adopt::{HandedOver, Left};
use change::Changes;
use checks::Question;
pub(crate) use clock::Clock;
use hand_over::Handing;
use hooks::Hooks;
use launch::Made;
use manager::Manager;
use news::News;
use note::Note;
use notify::Heard;
use notify::Place;
pub(crate) use notify::try_notification;
use reload::{Loaded, Reads};
use runs::Runs;
use scale::Scaled;
use sockets::Sockets;
use strays::Swept;
use tasks::{Begun, TaskFact};
use waiters::Waiters;

/// Something that happened outside the loop.
pub(crate) enum Fact {
    /// A process was made for the run, or was not.
    Made(RunId, Result<Made, String>),
    /// A run of a task has begun, or could not.
    Begun(RunId, Result<Begun, String>),
    /// Something was noticed of a run of a task.
    Task(RunId, TaskFact),
    /// Something the core is to be told as it is.
    Input(Input),
    /// A configuration was read.
    Loaded(Box<Loaded>),
    /// What a configuration wants of plugins is loaded and tried.
    Prepared(Box<Loaded>, crate::plugins::Prepared),
    /// After the main process of the run nothing of it is left; these had left its group.
    RestEnded(RunId, Vec<Swept>),
    /// Commands beside a run left something when that was over.
    Outlived(Note),
    /// Limits of a service do not hold.
    Unlimited(Arc<str>, Vec<Unlimited>),
    /// The run has said something of itself.
    Notified(RunId, Heard),
    /// The run has closed the descriptor of this number, on which it was to say that it is
    /// ready.
    WordClosed(RunId, i32),
    /// The log threads report.
    Log(LogFact),
    /// Something happened to a plugin.
    Plugin(PluginFact),
    /// Something happened to the run table.
    Table(TableNotice),
    /// Something happened to the state directory.
    Home(HomeNotice),
    /// The plugins that sinks require are there, or why they will not come.
    SinksReady(Result<(), String>),
    /// A shutdown hook has ended.
    HookEnded(HookEnd),
    /// All have.
    HooksOver,
}

/// Where facts go. Not bounded by itself: each run has a handful of facts in its life,
/// and runs are bounded by the configuration.
pub(crate) type Facts = mpsc::UnboundedSender<Fact>;

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) source: Option<Source>,
    pub(crate) journal: Journal,
    pub(crate) capture: Capture,
    pub(crate) plugins: Plugins,
    pub(crate) sinks: Sinks,
    pub(crate) checks: CheckTallies,
    pub(crate) meter: Meter,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) facts: (Facts, mpsc::UnboundedReceiver<Fact>),
    pub(crate) ended: watch::Sender<Option<i32>>,
    pub(crate) status_lines: Option<StatusLines>,
    pub(crate) manager: Option<ServiceManager>,
    pub(crate) seed: u64,
    /// The id of the state directory.
    pub(crate) state_id: StateId,
    /// Where cgroups of runs are made, if they can be.
    pub(crate) cgroups: Result<Arc<Cgroups>, NoCgroups>,
    pub(crate) table: RunTable,
    /// The runtime of the program, for its tasks.
    pub(crate) task_runtime: Option<tokio::runtime::Handle>,
    /// Given up before the end is told.
    pub(crate) holder: Option<Holder>,
    pub(crate) gate: Gate,
    /// What the program wants done before anything is stopped.
    pub(crate) hooks: Vec<Hook>,
    /// Instead of the clock of the machine.
    pub(crate) clock: Option<FakeClock>,
}

/// Where the configuration came from, to read it again.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// None: the program has described everything.
    pub(crate) file: Option<PathBuf>,
    pub(crate) environment: crate::config::Environment,
    /// Instead of what the file says.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
    /// What the program describes beside the file.
    pub(crate) written: Arc<Written>,
}

/// Is given a plain status line at every change. Must not block.
pub type StatusLines = Box<dyn Fn(&str) + Send>;

pub(crate) struct Driver {
    core: Core,
    clock: Clock,
    config: Config,
    source: Option<Source>,
    definitions: HashMap<Arc<str>, Arc<ServiceConfig>>,
    runs: Runs,
    gate: Gate,
    sockets: Sockets,
    place: Arc<Place>,
    state_id: StateId,
    table: RunTable,
    /// What the table is told with the next step.
    records: Vec<Record>,
    restored: Option<Restored>,
    waiters: Waiters,
    scaled: Scaled,
    reads: Reads,
    changes: Changes,
    task_runtime: Option<tokio::runtime::Handle>,
    holder: Option<Holder>,
    hooks: Hooks,
    news: News,
    capture: Capture,
    plugins: Plugins,
    sinks: Sinks,
    checks: CheckTallies,
    meter: Meter,
    requests: mpsc::Receiver<Request>,
    facts: Facts,
    incoming: mpsc::UnboundedReceiver<Fact>,
    ended: watch::Sender<Option<i32>>,
    manager: Option<Manager>,
    /// A successor waits for what is passed on.
    handing_over: Option<Handing>,
    exit: Option<i32>,
}

impl Driver {
    pub(crate) fn new(parts: Parts, restored: Restored) -> Driver {
        let Parts {
            config,
            source,
            journal,
            capture,
            plugins,
            sinks,
            checks,
            meter,
            requests,
            facts,
            ended,
            status_lines,
            manager,
            seed,
            state_id,
            cgroups,
            table,
            task_runtime,
            holder,
            gate,
            hooks,
            clock,
        } = parts;
        // Nearly every run has an event, so the number of the next event is about above
        // every run that was ever named here; the table has the rest.
        let upgraded_from = restored.upgraded_from.clone();
        let first_run = RunId(restored.next_run.max(journal.last_seq() + 1));
        let core = Core::new(limits(&config.supervisor), seed, first_run);
        let mut driver = Driver {
            core,
            clock: Clock::start(clock),
            definitions: HashMap::new(),
            runs: Runs::new(cgroups, gate.clone()),
            gate,
            sockets: Sockets::default(),
            place: Arc::new(Place::new(&config.supervisor.state_dir)),
            state_id,
            table,
            records: Vec::new(),
            restored: Some(restored),
            waiters: Waiters::default(),
            scaled: Scaled::default(),
            reads: Reads::default(),
            changes: Changes::default(),
            task_runtime,
            holder,
            hooks: Hooks::Waiting(hooks),
            news: News::new(journal, status_lines),
            source,
            capture,
            plugins,
            sinks,
            checks,
            meter,
            requests,
            facts: facts.0,
            incoming: facts.1,
            ended,
            manager: manager.map(Manager::new),
            handing_over: None,
            exit: None,
            config,
        };
        match &upgraded_from {
            Some(from) => driver.news.supervisor_upgraded(&driver.config.supervisor.name, from),
            None => driver.news.supervisor_started(&driver.config.supervisor.name),
        }
        driver.define_services();
        driver.plugins.start(&driver.config);
        let program = driver.task_runtime.clone();
        driver.sinks.start(Arc::new(driver.plugins.clone()), program);
        match driver.plugins.required(Requirer::Supervisor) {
            None => driver.begin(),
            Some(required) => {
                let facts = driver.facts.clone();
                tokio::spawn(async move { drop(facts.send(Fact::SinksReady(required.await))) });
            }
        }
        driver
    }

    /// Goes on with what an earlier supervisor left, and tells the core what to supervise.
    fn begin(&mut self) {
        if let Some(restored) = self.restored.take() {
            self.go_on(restored);
        }
    }

    /// The plugins are there that sinks require, or will not come: then nothing begins.
    fn begin_with_sinks(&mut self, required: Result<(), String>) {
        match required {
            Ok(()) => self.begin(),
            Err(why) => {
                tracing::error!("cannot start: {why}");
                self.exit = Some(1);
            }
        }
    }

    /// Supervises until everything has ended.
    pub(crate) async fn run(mut self) {
        loop {
            self.settle();
            // Before it has begun, what an earlier supervisor left is in nobody's hands.
            if self.restored.is_none()
                && let Some((reply, failed)) = self.handing_over.take()
            {
                self.hand_over(reply, failed).await;
                continue;
            }
            if let Some(code) = self.exit {
                return self.end(code).await;
            }
            let deadline = self.core.next_deadline();
            if deadline.is_some_and(|deadline| deadline <= self.clock.now()) {
                // The runtime's timer would let up to two milliseconds pass.
                self.tell_core(Input::Tick);
                continue;
            }
            let wake = deadline.and_then(|deadline| self.clock.instant(deadline));
            let wakes = [wake, self.waiters.next_deadline(), self.manager_deadline()];
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                Some(fact) = self.incoming.recv() => self.take_fact(fact),
                Some(request) = self.requests.recv() => self.take_request(request),
                () = sleep_until(wake), if wake.is_some() => self.tell_core(Input::Tick),
                () = self.clock.reached(deadline) => self.tell_core(Input::Tick),
            }
        }
    }

    fn tell_core(&mut self, input: Input) {
        self.core.handle(self.clock.now(), input);
    }

    /// Does what the core wants done, tells what it wants told, answers who waits.
    fn settle(&mut self) {
        let mut spawns = Vec::new();
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Spawn { instance, run } => spawns.push((instance, run)),
                effect => self.perform(effect),
            }
        }
        let mut durability = Durability::Process;
        let events: Vec<_> = std::iter::from_fn(|| self.core.poll_event()).collect();
        if events.iter().any(|event| matches!(event.kind, EventKind::Wanted(..))) {
            durability = Durability::Power;
        }
        self.remember(durability);
        for (instance, run) in spawns {
            self.spawn(instance, run);
        }
        for event in events {
            self.sockets.note(&event);
            self.news.publish(&event, &self.runs);
        }
        self.sockets.close_unused(self.core.view());
        for name in self.news.status_lines(self.core.view(), &self.runs) {
            self.capture.remove(&name);
        }
        self.waiters.answer(self.core.view(), self.clock.now(), &self.runs);
        self.tell_manager();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { instance, run } => self.spawn(instance, run),
            Effect::RunStopCommand { run, timeout } => {
                self.runs.run_stop_command(run, timeout, &self.facts);
            }
            Effect::EndStopCommand { run } => self.runs.end_stop_command(run),
            Effect::Signal { run, signal, to: Recipient::Main } => self.runs.signal(run, signal),
            Effect::Signal { run, signal, to: Recipient::Group } => {
                self.runs.signal_group(run, signal);
            }
            Effect::WatchGroup { run } => self.runs.watch_group(run, &self.facts),
            Effect::Check { run, check, number, timeout } => {
                self.make_check(Question { run, check, number, timeout });
            }
            Effect::AskPolicy { instance, run, delay } => self.ask_policy(instance, run, delay),
            Effect::Release { run } => {
                self.plugins.run_ended(run);
                self.runs.release(run);
                self.records.push(Record::Over(run.0));
            }
            Effect::Exit { code } => self.exit = Some(code),
        }
    }

    fn spawn(&mut self, instance: InstanceId, run: RunId) {
        let view = self.core.view().instance(instance);
        let known = view.and_then(|view| {
            let definition = self.definitions.get(&view.spec().name)?.clone();
            let service = view.spec().name.clone();
            Some((definition, service, view.name().clone(), view.index()))
        });
        let Some((definition, service, name, index)) = known else {
            let error = "its definition is gone".to_owned();
            return self.tell_core(Input::SpawnFailed(run, error));
        };
        if let Command::Task(body) = &definition.launch.command {
            let (facts, runtime) = (self.facts.clone(), self.task_runtime.clone());
            let body = body.clone();
            let begin = move |_pass: Pass| {
                let begun = tasks::make(body, name, runtime.as_ref());
                if let Err(mpsc::error::SendError(Fact::Begun(_, Ok(begun)))) =
                    facts.send(Fact::Begun(run, begun))
                {
                    begun.kill();
                }
            };
            return self.make_when_allowed(run, service, begin);
        }
        let given = &definition.launch.sockets;
        let sockets = self.sockets.wanted(&service, given).map(|held| {
            let company = sockets::company(self.core.view(), instance, &service);
            (held, company)
        });
        let (capture, facts, place) =
            (self.capture.clone(), self.facts.clone(), self.place.clone());
        let (state_id, table, told) = (self.state_id, self.table.clone(), facts.clone());
        let job = launch::Job {
            definition,
            name,
            index,
            run,
            state_id,
            cgroups: self.runs.cgroups().ok().cloned(),
            capture,
            place,
            table,
            facts: told,
        };
        let make = move |pass: Pass| {
            let made = launch::make(job, sockets);
            // Without a receiver there is no supervisor any more that could stop it.
            if let Err(mpsc::error::SendError(Fact::Made(_, Ok(made)))) =
                facts.send(Fact::Made(run, made))
            {
                made.kill();
            }
            drop(pass);
        };
        self.make_when_allowed(run, service, make);
    }

    /// Makes the process of a run, or begins its task, when that may be: at once as a rule.
    fn make_when_allowed(
        &self,
        run: RunId,
        service: Arc<str>,
        make: impl FnOnce(Pass) + Send + 'static,
    ) {
        match (self.plugins.required(Requirer::Service(service)), self.gate.try_enter()) {
            (None, Some(pass)) => drop(tokio::task::spawn_blocking(move || make(pass))),
            (None, None) => self.make_when(run, std::future::ready(Ok(())), make),
            (Some(required), _) => self.make_when(run, required, make),
        }
    }

    /// Makes the process of a run when the plugins are there that its service requires, and
    /// processes may be made.
    fn make_when(
        &self,
        run: RunId,
        required: impl Future<Output = Result<(), String>> + Send + 'static,
        make: impl FnOnce(Pass) + Send + 'static,
    ) {
        let (facts, gate) = (self.facts.clone(), self.gate.clone());
        tokio::spawn(async move {
            match required.await {
                Ok(()) => {
                    let pass = gate.enter().await;
                    tokio::task::spawn_blocking(move || make(pass));
                }
                Err(error) => drop(facts.send(Fact::Made(run, Err(error)))),
            }
        });
    }

    fn take_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Made(run, Ok(made)) => {
                let (subject, name) = made.subject();
                self.waits_for_word(run, &made.definition().ready);
                self.runs.add(run, made, &self.facts);
                if let Some(launcher) = self.runs.launcher(run) {
                    self.plugins.run_began(run, subject, name, launcher);
                }
                self.tell_core(Input::Spawned(run));
            }
            Fact::Made(run, Err(error)) | Fact::Begun(run, Err(error)) => {
                self.tell_core(Input::SpawnFailed(run, error));
            }
            Fact::Begun(run, Ok(begun)) => {
                self.runs.tasks.add(run, begun, &self.facts);
                self.tell_core(Input::Spawned(run));
            }
            Fact::Task(run, fact) => self.take_task_fact(run, fact),
            Fact::Input(input) => self.tell_core(input),
            Fact::Loaded(loaded) => self.take_loaded(*loaded),
            Fact::Prepared(loaded, prepared) => self.take_prepared(*loaded, prepared),
            Fact::RestEnded(run, swept) if swept.is_empty() => {
                self.tell_core(Input::GroupEnded(run));
            }
            Fact::RestEnded(run, swept) => {
                self.news.will_be_swept(run, swept);
                self.tell_core(Input::Swept(run));
            }
            Fact::Outlived(note) => self.news.restored(note),
            Fact::Unlimited(name, limits) => self.news.unlimited(&name, &limits),
            Fact::Notified(run, heard) => self.take_notified(run, heard),
            Fact::WordClosed(run, number) => self.take_closed(run, number),
            Fact::Log(fact) => self.news.log_fact(&fact),
            Fact::Plugin(fact) => self.news.plugin_fact(&fact),
            Fact::Table(notice) => self.news.table(notice),
            Fact::Home(notice) => self.take_home(notice),
            Fact::SinksReady(required) => self.begin_with_sinks(required),
            Fact::HookEnded(end) => self.hook_ended(&end),
            Fact::HooksOver => self.hooks_over(),
        }
    }
}

/// The limits that span all services.
fn limits(settings: &SupervisorSettings) -> Limits {
    Limits {
        max_concurrent_starts: settings.max_concurrent_starts,
        max_restarts_per_second: settings.max_restarts_per_second,
        shutdown_timeout: settings.shutdown_timeout,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
