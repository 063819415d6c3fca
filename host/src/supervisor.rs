//! Starting a supervisor inside a program.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kennel_wasm::Traps;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::{
    self, Config, ConfigError, ConfigErrors, Environment, Loaded, SupervisorSettings, Written,
};
use crate::driver::{Driver, Fact, HandedOver, Left, Parts, Source, StatusLines};
use crate::fake_clock::FakeClock;
use crate::forms::{self, NewerState};
use crate::gate::Gate;
use crate::handle::{Handle, Outcome};
use crate::hooks::Hook;
use crate::journal::{Journal, JournalOptions, OpenError};
use crate::logs::{Capture, CaptureError, CaptureOptions, Console, Logs};
use crate::os::{Cause, Cgroups, LockError, NoCgroups, StateLock};
use crate::plugins::Plugins;
use crate::service_manager::ServiceManager;
use crate::sinks::{self, Sinks};
use crate::state::{
    Holder, LockSource, OtherConfig, Parcel, Place, RunTable, StateIdError, TableError, state_id,
};
use crate::state_dir::{self, StateDirError};
use crate::tallies::CheckTallies;
use crate::upgrade::{Succession, Successor};
use crate::usage::Meter;

/// Requests that may wait for the driver before who asks has to wait.
const REQUESTS: usize = 256;

/// A supervisor that runs on the runtime of its program. It goes on when this is dropped;
/// what ends it is [`Handle::shutdown`].
pub struct Running {
    handle: Handle,
    driver: JoinHandle<Holder>,
}

/// A supervisor that has ended. Until this is dropped no other one can have its state
/// directory, so what else belongs to it can be put away.
#[derive(Debug)]
pub struct Ended {
    /// 0, or 1 when a service that gave up wanted it so.
    pub code: i32,
    _holder: Option<Holder>,
}

/// Why a supervisor could not be started. Nothing was started then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has errors.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The state directory cannot be made, or is not ours alone.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// Something in the state directory was written by a newer version.
    #[error(transparent)]
    Newer(#[from] NewerState),
    /// The state directory is that of another configuration of the same name.
    #[error(transparent)]
    OtherConfig(#[from] OtherConfig),
    /// The id of the state directory cannot be read or made, or is not that of the table.
    #[error(transparent)]
    StateId(#[from] StateIdError),
    /// Another supervisor has the state directory, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The run table cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The log threads cannot be started.
    #[error(transparent)]
    Logs(#[from] CaptureError),
    /// The thread that supervises cannot be started.
    #[error("cannot start the thread that supervises: {}", Cause::from_io(.0))]
    Thread(io::Error),
    /// Services failed to start. What had started was stopped again.
    #[error("{}", not_started(failed, *code))]
    Services {
        /// Those that failed first.
        failed: Vec<Outcome>,
        /// What the supervisor ended with.
        code: i32,
    },
}

fn not_started(failed: &[Outcome], code: i32) -> String {
    let failed = failed.iter().map(|one| format!("cannot start {}: {}", one.name, one.message));
    match failed.collect::<Vec<_>>().join("; ") {
        failed if failed.is_empty() => format!("the supervisor ended with code {code}"),
        failed => failed,
    }
}

/// What a supervisor is started with.
pub struct Builder {
    config: Config,
    warnings: Vec<ConfigError>,
    source: Option<Source>,
    status_lines: Option<StatusLines>,
    console: Console,
    plugin_traps: Traps,
    uses_cgroups: bool,
    steps_aside: bool,
    manager: Option<ServiceManager>,
    handover: Option<(OwnedFd, HandedOver)>,
}

impl Builder {
    /// The services of a configuration file, which [`Handle::reload`] reads again.
    ///
    /// `environment` is what `${VAR}` in the file is looked up in.
    ///
    /// # Errors
    /// Every error of the file and of those it includes.
    pub fn from_file(file: &Path, environment: Environment) -> Result<Builder, ConfigErrors> {
        let loaded = config::load(file, &environment)?;
        Ok(Builder::of(loaded, Some(file.to_owned()), environment, Written::default()))
    }

    /// What was loaded from these.
    pub(crate) fn of(
        loaded: Loaded,
        file: Option<PathBuf>,
        environment: Environment,
        written: Written,
    ) -> Builder {
        let (state_dir, socket) = (None, None);
        let written = Arc::new(written);
        Builder {
            config: loaded.config,
            warnings: loaded.warnings,
            source: Some(Source { file, environment, state_dir, socket, written }),
            status_lines: None,
            console: Console::default(),
            plugin_traps: Traps::Checked,
            uses_cgroups: true,
            steps_aside: false,
            manager: None,
            handover: None,
        }
    }

    /// What looks wrong in the configuration and is no error.
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps state, journal and logs there rather than where the configuration says.
    #[must_use]
    pub fn state_dir(mut self, dir: PathBuf) -> Builder {
        if let Some(source) = &mut self.source {
            source.state_dir = Some(dir.clone());
        }
        self.config.supervisor.state_dir = dir;
        self
    }

    /// Has the control socket there rather than where the configuration says.
    #[must_use]
    pub fn socket(mut self, socket: PathBuf) -> Builder {
        if let Some(source) = &mut self.source {
            source.socket = Some(socket.clone());
        }
        self.config.supervisor.socket = socket;
        self
    }

    /// Is given a plain status line at every change of a service. Must not block.
    #[must_use]
    pub fn status_lines(mut self, lines: StatusLines) -> Builder {
        self.status_lines = Some(lines);
        self
    }

    /// Where the output of services with `logs.to: inherit` goes.
    #[must_use]
    pub fn console(mut self, console: Console) -> Builder {
        self.console = console;
        self
    }

    /// How plugins are kept from what they must not do. Unless said otherwise nothing of this
    /// program is touched for it; [`Traps::Signals`] is faster, and installs handlers of
    /// SIGSEGV, SIGILL, SIGFPE and SIGBUS with the first plugin.
    #[must_use]
    pub fn plugin_traps(mut self, traps: Traps) -> Builder {
        self.plugin_traps = traps;
        self
    }

    /// Makes no cgroup for any run, also where that is possible. What has left its process
    /// group is then known by its environment alone.
    #[must_use]
    pub fn without_cgroups(mut self) -> Builder {
        self.uses_cgroups = false;
        self
    }

    /// Lets this program go to a cgroup of its own when a service has `cgroup` limits: the
    /// kernel gives controllers to cgroups only where no process is in the one above them.
    /// Unless said otherwise limits that need it do not hold, which is told.
    #[must_use]
    pub fn may_leave_its_cgroup(mut self) -> Builder {
        self.steps_aside = true;
        self
    }

    /// Tells the service manager above this program, by `sd_notify(3)`: that it is ready when
    /// [`Handle::announce_ready`] says so, how many services are up, when it reloads and when
    /// it stops; and gives it the signs of life that it wants, as long as supervision goes on.
    /// Unless said otherwise nobody is told anything.
    #[must_use]
    pub fn service_manager(mut self, manager: ServiceManager) -> Builder {
        self.manager = Some(manager);
        self
    }

    /// Goes on in the process of another version, with what that one has passed on.
    pub(crate) fn handover(mut self, from: String, lock: OwnedFd, parcel: Parcel) -> Builder {
        self.handover = Some((lock, HandedOver { from, parcel }));
        self
    }

    /// Takes the state directory and opens what is in it; nothing is started yet.
    ///
    /// # Errors
    /// When the state directory cannot be used, or another supervisor uses it.
    pub fn prepare(self) -> Result<Prepared, StartError> {
        let Builder {
            config,
            warnings: _,
            source,
            status_lines,
            console,
            plugin_traps,
            uses_cgroups,
            steps_aside,
            manager,
            handover,
        } = self;
        let state_dir = config.supervisor.state_dir.clone();
        state_dir::prepare(&state_dir)?;
        let (lock, handed_over) = match handover {
            Some((lock, handed_over)) if StateLock::is_of(&lock, &state_dir) => {
                (StateLock::carried_over(lock, &state_dir), Some(handed_over))
            }
            Some(_) | None => (StateLock::acquire(&state_dir)?, None),
        };
        if let Some(network) = lock.network() {
            tracing::warn!("{}", state_dir::on_network(&state_dir, network));
        }
        forms::check(&state_dir)?;
        let place = take_place(&config.supervisor, source.as_ref())?;
        let holder = Holder::new(&state_dir, lock);
        let (facts, incoming) = mpsc::unbounded_channel();
        let table_facts = facts.clone();
        let tell = move |notice| drop(table_facts.send(Fact::Table(notice)));
        let (table, found, damage) = RunTable::open(&state_dir, tell)?;
        let (state_id, id_source) = state_id(&state_dir, found.origin.state_id())?;
        let home_facts = facts.clone();
        let tell = move |notice| drop(home_facts.send(Fact::Home(notice)));
        holder.watch(state_id, place, tell).map_err(StartError::Thread)?;
        table.live_in(holder.home());
        let cgroups = if uses_cgroups { Cgroups::find(state_id) } else { Err(NoCgroups::Off) };
        let cgroups = cgroups
            .map(|cgroups| Arc::new(if steps_aside { cgroups.may_step_aside() } else { cgroups }));
        let left = Left { table: found, damage, id_source, handed_over };
        let journal = Journal::open(&state_dir.join("journal"), JournalOptions::default())?;
        journal.live_in(holder.home());
        let log_facts = facts.clone();
        let log_dir = state_dir.join("logs");
        let capture = Capture::start(CaptureOptions {
            dir: log_dir.clone(),
            spool: state_dir.join("spool"),
            console,
            facts: Box::new(move |fact| {
                // Without a receiver there is no supervisor any more.
                let _ = log_facts.send(Fact::Log(fact));
            }),
        })?;
        capture.live_in(holder.home());
        let plugin_facts = facts.clone();
        let tell = Arc::new(move |fact| drop(plugin_facts.send(Fact::Plugin(fact))));
        let plugins = Plugins::new(state_dir.clone(), plugin_traps, tell);
        // Before the first event of this supervisor has a number.
        let sinks = Sinks::open(sinks::dir_in(&state_dir), journal.clone(), &config.sinks);
        let (requests, orders) = mpsc::channel(REQUESTS);
        let (ended_sender, ended) = watch::channel(None);
        let (checks, meter) = (CheckTallies::default(), Meter::default());
        let gate = Gate::default();
        let handle = Handle {
            requests,
            ended,
            journal: journal.clone(),
            logs: Logs::new(capture.clone(), log_dir),
            meter: meter.clone(),
            plugins: plugins.clone(),
            sinks: sinks.states(),
            checks: checks.clone(),
            table: table.clone(),
            gate: gate.clone(),
            succession: None,
        };
        let parts = Parts {
            config,
            source,
            journal,
            capture,
            plugins,
            sinks,
            checks,
            meter,
            requests: orders,
            facts: (facts, incoming),
            ended: ended_sender,
            status_lines,
            manager,
            seed: seed(),
            state_id,
            cgroups,
            table,
            task_runtime: None,
            holder: None,
            gate,
            hooks: Vec::new(),
            clock: None,
        };
        Ok(Prepared { handle, parts, left, holder })
    }

    /// [`Builder::prepare`] and [`Prepared::start`] in one.
    ///
    /// # Errors
    /// Those of [`Builder::prepare`].
    pub fn start(self) -> Result<Running, StartError> {
        Ok(self.prepare()?.start())
    }
}

/// A supervisor that holds its state directory and has not started anything.
pub struct Prepared {
    handle: Handle,
    parts: Parts,
    left: Left,
    holder: Holder,
}

impl Prepared {
    /// The lock on the state directory, to be passed on.
    pub(crate) fn lock(&self) -> LockSource {
        self.holder.lock_source()
    }

    /// The program can replace itself.
    pub(crate) fn with_successor(mut self, successor: impl Successor + 'static) -> Prepared {
        self.handle.succession = Some(Succession::new(successor));
        self
    }

    /// Starts to supervise, on the present tokio runtime, which needs I/O and time.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Running {
        let Prepared { handle, parts, left, holder } = self;
        let driver = tokio::spawn(async move {
            let restoring = tokio::task::spawn_blocking(move || {
                let restored = left.restore(&parts);
                (parts, restored)
            });
            // It fails when the runtime ends.
            if let Ok((parts, restored)) = restoring.await {
                Driver::new(parts, restored).run().await;
            }
            holder
        });
        Running { handle, driver }
    }
}

impl Prepared {
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How many services there are.
    pub(crate) fn services(&self) -> usize {
        self.parts.config.services.len()
    }

    /// Runs code of the program there.
    pub(crate) fn within_program(mut self, tasks: Option<tokio::runtime::Handle>) -> Prepared {
        self.parts.task_runtime = tasks;
        self
    }

    /// Runs these before anything is stopped, the last one first.
    pub(crate) fn hooks(mut self, hooks: Vec<Hook>) -> Prepared {
        self.parts.hooks = hooks;
        self
    }

    /// Decides by this clock.
    pub(crate) fn clock(mut self, clock: Option<FakeClock>) -> Prepared {
        self.parts.clock = clock;
        self
    }

    /// Supervises to the end. The state directory is free when that is told.
    pub(crate) async fn run(self) {
        let Prepared { handle, mut parts, left, holder } = self;
        drop(handle);
        parts.holder = Some(holder);
        // On the thread that supervises, which has nothing else to do yet.
        let restored = left.restore(&parts);
        Driver::new(parts, restored).run().await;
    }
}

impl Running {
    /// A way to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns when it has ended and no process of it is left.
    pub async fn ended(self) -> Ended {
        let code = self.handle.ended().await;
        Ended { code, _holder: self.driver.await.ok() }
    }
}

/// Writes down whose state this is, unless it is that of another file of the same name.
fn take_place(
    settings: &SupervisorSettings,
    source: Option<&Source>,
) -> Result<Place, OtherConfig> {
    let dir = &settings.state_dir;
    let file = source.and_then(|source| source.file.as_deref());
    let config = file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    let was_chosen = source.is_some_and(|source| source.state_dir.is_some());
    if let Some(ours) = &config
        && settings.is_named_after_file
        && !was_chosen
    {
        Place::read(dir).check(dir, ours)?;
    }
    let place = Place { config, socket: Some(settings.socket.clone()) };
    if let Err(error) = place.write(dir) {
        let cause = Cause::from_io(&error);
        tracing::warn!("cannot write \"{}\": {cause}", dir.join("place").display());
    }
    Ok(place)
}

/// A seed for jitter that differs between supervisors: std's hasher is keyed at random.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::{ReloadError, ShutdownMode, Verb, VerbError, Wait};

    fn builder(dir: &Path, text: &str) -> Builder {
        let file = dir.join("services.yaml");
        fs::write(&file, text).unwrap();
        Builder::from_file(&file, Environment::current())
            .unwrap()
            .state_dir(dir.join("elsewhere"))
            .socket(dir.join("elsewhere.sock"))
            .console(Console { writer: Box::new(io::sink()), colour: false, width: 0 })
    }

    #[tokio::test]
    async fn what_was_given_beside_the_file_is_no_change_at_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let text = "services:\n  web: { command: [sleep, \"1000\"] }\n";
        let supervisor = builder(dir.path(), text).start().unwrap();
        let handle = supervisor.handle().clone();
        for plan in [handle.plan(None).await.unwrap(), handle.reload().await.unwrap()] {
            assert!(plan.is_empty(), "{plan}");
        }
        handle.shutdown(ShutdownMode::Orderly).await.unwrap();
        assert_eq!(supervisor.ended().await.code, 0);
    }

    #[tokio::test]
    async fn on_its_way_down_it_takes_orders_to_stop_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let text = "services:\n  web:\n    shell: \"trap '' TERM; while :; do sleep 0.1; done\"\n";
        let supervisor = builder(dir.path(), text).start().unwrap();
        let handle = supervisor.handle().clone();
        let names = || vec!["web".to_owned()];
        handle.act(Verb::Start, names(), Wait::UpTo(Duration::from_secs(20))).await.unwrap();
        handle.shutdown(ShutdownMode::Orderly).await.unwrap();
        for verb in [Verb::Start, Verb::Restart, Verb::RollingRestart, Verb::Reset] {
            let refused = handle.act(verb, names(), Wait::No).await;
            assert_eq!(refused, Err(VerbError::ShuttingDown), "{verb:?}");
        }
        assert!(matches!(handle.reload().await, Err(ReloadError::ShuttingDown)));
        assert!(handle.act(Verb::Stop, names(), Wait::No).await.unwrap()[0].success);
        handle.shutdown(ShutdownMode::Now).await.unwrap();
        assert_eq!(supervisor.ended().await.code, 0);
    }

    #[tokio::test]
    async fn a_panic_of_the_thread_that_supervises_is_an_end_for_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let text = "services:\n  web: { command: [sleep, \"1000\"] }\n";
        let prepared = builder(dir.path(), text).prepare().unwrap();
        let handle = prepared.handle.clone();
        let thread = std::thread::spawn(move || {
            let _prepared = prepared;
            panic!("a defect");
        });
        assert!(thread.join().is_err());
        let ended = tokio::time::timeout(Duration::from_secs(20), handle.ended()).await;
        assert_eq!(ended, Ok(1));
        let order = handle.act(Verb::Stop, vec!["web".to_owned()], Wait::No).await;
        assert_eq!(order, Err(VerbError::Stopped));
        // The state directory is free again.
        builder(dir.path(), text).prepare().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_loop_that_is_stuck_gives_no_sign_of_life() {
        const WANTED: Duration = Duration::from_millis(100);
        let dir = tempfile::tempdir().unwrap();
        let above = std::os::unix::net::UnixDatagram::bind(dir.path().join("above")).unwrap();
        above.set_nonblocking(true).unwrap();
        let signs = || {
            let mut text = [0; 512];
            std::iter::from_fn(|| above.recv(&mut text).ok().map(|n| text[..n].to_vec()))
                .filter(|text| text == b"WATCHDOG=1")
                .count()
        };
        // Status lines are printed by the loop itself: one that blocks is a loop that is stuck.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (stuck, is_stuck) = std::sync::mpsc::channel();
        let text = "services:\n  web: { command: [sleep, \"1000\"] }\n";
        let manager =
            ServiceManager::new(dir.path().join("above").as_os_str(), Some(WANTED)).unwrap();
        let lines = Box::new(move |line: &str| {
            if line.contains("UP") {
                let _ = stuck.send(());
                // Only this task is stuck: another thread takes over the timers.
                let _ = tokio::task::block_in_place(|| released.recv());
            }
        });
        let builder = builder(dir.path(), text).service_manager(manager).status_lines(lines);
        let supervisor = builder.start().unwrap();
        let handle = supervisor.handle().clone();
        tokio::task::block_in_place(|| is_stuck.recv_timeout(Duration::from_secs(20))).unwrap();
        assert!(signs() > 0, "before, there were some");
        tokio::time::sleep(WANTED * 5).await;
        assert_eq!(signs(), 0, "other threads go on, and the loop does not");
        drop(release);
        handle.shutdown(ShutdownMode::Orderly).await.unwrap();
        assert_eq!(supervisor.ended().await.code, 0);
    }
}
