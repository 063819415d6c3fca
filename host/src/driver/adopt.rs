//! Going on with what an earlier supervisor left: its runs, and what they were connected to.
//!
//! ```text
//!   prepare (blocks): run table + /proc ─► Restored      the first step of the loop: begin
//!     processes, output pipes, notification sockets,  ──►  runs are entered, the core is told,
//!     held sockets, what was remembered                    then it is configured
//! ```
//!
//! What cannot be connected again does not make a run worth less: it goes on, and what is
//! missing is told. Nothing of this happens when a supervisor begins with an empty
//! directory.

mod members;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use kennel_core::spec::Kind;
use kennel_core::{Input, Memory, Progress, RememberedPhase, RunId, ServiceSpec};

use members::Members;

use super::launch::{self, Descent, Job, Made};
use super::leftovers::Leftovers;
use super::note::{Condition, Note};
use super::notify::{Ears, Place};
use super::recall::{self, Boot};
use super::sockets::Sockets;
use super::survivors::{self, Completeness, Survivor, Survivors};
use super::{Driver, Facts, Parts};
use crate::config::{
    Command, Config, LaunchConfig, LogConfig, Notify, ReadyWhen, ServiceConfig, SocketConfig,
};
use crate::journal::Repaired;
use crate::logs::{Capture, Source, Stream};
use crate::os::{
    self, Cause, Cgroup, CgroupLimits, Cgroups, Credentials, HeldSocket, NotifyName, NotifySocket,
    StateId, proc,
};
use crate::state::{
    Began, CarriedSocket, CarriedStream, Damage, IdSource, Origin, Parcel, Record, RunTable,
    Scaled, Table, Who,
};

/// What an earlier supervisor left, ready to be gone on with.
pub(crate) struct Restored {
    pub(super) memory: Memory,
    pub(super) runs: Vec<Adopted>,
    pub(super) sockets: Sockets,
    /// Services whose definition is another one than their processes were made of.
    pub(super) changed: Vec<Arc<str>>,
    pub(super) scaled: Vec<Scaled>,
    /// Above every run that was ever named.
    pub(super) next_run: u64,
    /// What the operator is told.
    pub(super) notes: Vec<Note>,
    /// The version that was here before, in the same process.
    pub(super) upgraded_from: Option<String>,
}

/// A run that is taken over.
pub(super) struct Adopted {
    pub(super) run: RunId,
    pub(super) made: Made,
    /// It is not ready yet, as far as is known.
    pub(super) is_starting: bool,
}

/// What is found in the state directory.
pub(crate) struct Left {
    pub(crate) table: Table,
    pub(crate) damage: Option<Damage>,
    pub(crate) id_source: IdSource,
    /// What this program was given by the version before, with which it shares the process.
    pub(crate) handed_over: Option<HandedOver>,
}

/// What the version before has passed on.
pub(crate) struct HandedOver {
    pub(crate) from: String,
    pub(crate) parcel: Parcel,
}

impl Left {
    /// Finds what an earlier supervisor left and takes it over, with the parts of this one.
    /// Blocks as long as `/proc` and the disk do.
    pub(crate) fn restore(self, parts: &Parts) -> Restored {
        let context = Context {
            config: &parts.config,
            state_id: parts.state_id,
            // Nothing has happened yet under this supervisor.
            was_used: parts.journal.last_seq() > 0,
            journal: parts.journal.repaired(),
            cgroups: parts.cgroups.as_ref().ok(),
            table: &parts.table,
            capture: &parts.capture,
            facts: &parts.facts.0,
            place: Arc::new(Place::new(&parts.config.supervisor.state_dir)),
        };
        if self.handed_over.is_none() {
            context.place.clear();
        }
        let restored = restore(self, &context);
        // Whatever outlived an earlier supervisor is connected again.
        parts.capture.begin();
        restored
    }
}

/// What is needed to connect runs again.
struct Context<'a> {
    config: &'a Config,
    state_id: StateId,
    /// A supervisor has worked with the directory before.
    was_used: bool,
    /// What was done to its journal.
    journal: Option<Repaired>,
    cgroups: Option<&'a Arc<Cgroups>>,
    table: &'a RunTable,
    capture: &'a Capture,
    facts: &'a Facts,
    place: Arc<Place>,
}

fn restore(left: Left, context: &Context<'_>) -> Restored {
    let Left { table: found, damage, id_source, handed_over } = left;
    let found = &found;
    let (upgraded_from, parcel) = match handed_over {
        Some(HandedOver { from, parcel }) => (Some(from), parcel),
        None => (None, Parcel::default()),
    };
    let origin = Origin {
        boot: proc::boot_id().unwrap_or_default(),
        host: os::host_id(),
        next_run: found.origin.next_run,
        state_id: context.state_id.to_string(),
    };
    let is_new = *found == Table::default();
    // Without the line that tells it nobody knows: then what runs decides.
    let is_same_boot = found.origin.boot.is_empty() || found.origin.boot == origin.boot;
    let boot = if is_same_boot { Boot::Same } else { Boot::Another };
    let completeness = match (&damage, is_new) {
        (None, false) => Completeness::Complete,
        (Some(_), _) | (None, true) => Completeness::Doubtful,
    };
    let condition = Condition {
        table: found,
        damage: damage.as_ref(),
        id_source,
        journal: context.journal.clone(),
        was_used: context.was_used,
        boot,
        is_same_host: found.origin.host == origin.host,
    };
    let mut notes = condition.notes(context.config);
    let survivors = match boot {
        Boot::Same => survivors::find(found, context.state_id, completeness),
        Boot::Another => Survivors::default(),
    };
    let replicas = |service: &str| {
        let configured = context.config.services.iter().find(|one| *one.spec.name == *service);
        configured.map_or(1, |one| one.spec.replicas)
    };
    let name = |who: &Who| -> Arc<str> {
        match (who.index, replicas(&who.service)) {
            (0, 0 | 1) => who.service.as_str().into(),
            (index, _) => format!("{}/{index}", who.service).into(),
        }
    };
    let mut memory = recall::memory(found, &survivors, boot, name);
    note_missed_words(&mut memory, &parcel, context.config);
    let next_run = survivors.living.keys().next_back().map_or(0, |run| run + 1);
    let next_run = origin.next_run.max(next_run);
    write_down(found, &survivors, Origin { next_run, ..origin }, context.table);
    let place = context.cgroups.map(|cgroups| cgroups.place().to_owned());
    let leftovers = Leftovers::find(found, &survivors, context.state_id, place);
    notes.extend(leftovers.sweep(&survivors, context.state_id, name));
    let mut hands = Hands { context, memory: &memory, notes, sockets: Sockets::default(), parcel };
    let mut changed = BTreeSet::new();
    let runs = survivors.living.into_iter();
    let runs =
        runs.filter_map(|(run, survivor)| hands.adopt(run, survivor, &mut changed)).collect();
    hands.hold_handed_over();
    hands.read_handed_over();
    let Hands { context: _, memory: _, notes, sockets, parcel: _ } = hands;
    let scaled = found.scaled.values().cloned().collect();
    let changed = changed.into_iter().collect();
    Restored { memory, runs, sockets, changed, scaled, next_run, notes, upgraded_from }
}

/// Who was not listened to all the time may have said that it is ready.
fn note_missed_words(memory: &mut Memory, parcel: &Parcel, config: &Config) {
    for instance in &mut memory.instances {
        let definition = config.services.iter().find(|one| one.spec.name == instance.service);
        let Some(run) = instance.run_mut() else { continue };
        let number = run.run.0;
        let was_listened_to = match definition.map(|definition| &definition.ready) {
            Some(ReadyWhen::Notifies(_)) => parcel.ears.iter().any(|(of, _)| *of == number),
            Some(ReadyWhen::Logs(_)) => parcel.streams.iter().any(|of| of.run == number),
            Some(ReadyWhen::Running | ReadyWhen::Passes(_)) | None => false,
        };
        if !was_listened_to {
            run.was_not_listened_to();
        }
    }
}

/// The table as it is from now on.
fn write_down(found: &Table, survivors: &Survivors, origin: Origin, table: &RunTable) {
    let mut records = vec![Record::Origin(origin)];
    let over = found.runs.keys().filter(|run| !survivors.living.contains_key(run));
    records.extend(over.map(|run| Record::Over(*run)));
    for (run, survivor) in &survivors.living {
        let is_known = found.runs.get(run).is_some_and(|known| known.made.is_some());
        if let (false, Some(start_time)) = (is_known, survivor.process.start_time()) {
            let began = Began { run: *run, who: survivor.who.clone(), at: survivor.began_at };
            records.push(Record::Began(began));
            records.push(Record::Made(Box::new(crate::state::Made {
                run: *run,
                pid: survivor.process.pid(),
                start_time,
                ..crate::state::Made::default()
            })));
        }
    }
    table.post(records, crate::state::Durability::Process);
}

/// Connects runs again.
struct Hands<'a> {
    context: &'a Context<'a>,
    memory: &'a Memory,
    notes: Vec<Note>,
    sockets: Sockets,
    parcel: Parcel,
}

impl Hands<'_> {
    /// Takes a run over; none when another one has its place.
    fn adopt(
        &mut self,
        run: u64,
        survivor: Survivor,
        changed: &mut BTreeSet<Arc<str>>,
    ) -> Option<Adopted> {
        let Survivor { who, process, named, made, began_at: _, members } = survivor;
        let remembered = self
            .memory
            .instances
            .iter()
            .find(|one| *one.service == *who.service && one.index == who.index)?;
        let RememberedPhase::Run(known) = &remembered.phase else { return None };
        if known.run != RunId(run) {
            // Two of one instance can be only when the table was lost. The later one stays.
            let _ = process.signal_group(kennel_core::Signal::KILL.number());
            return None;
        }
        let is_starting = known.progress == Progress::Starting;
        let definition = self.definition(&who.service);
        if let Some(made) = &made
            && !made.digest.is_empty()
            && made.digest != definition.digest()
        {
            changed.insert(definition.spec.name.clone());
        }
        let job = Job {
            definition,
            name: remembered.name.clone(),
            index: who.index,
            run: RunId(run),
            state_id: self.context.state_id,
            cgroups: self.context.cgroups.cloned(),
            capture: self.context.capture.clone(),
            place: self.context.place.clone(),
            table: self.context.table.clone(),
            facts: self.context.facts.clone(),
        };
        let members = Members {
            known: members,
            session: process.pid(),
            has_ended: named.is_none() && process.has_ended(),
        };
        self.reopen_outputs(&job, made.as_ref(), &members);
        let ears = self.ears(&job, made.as_ref(), &members, is_starting);
        self.hold_sockets(&job, made.as_ref(), &members);
        let cgroup = self.cgroup(&job, made.as_ref());
        let descent = Descent::TakenOver { named: named.map(Arc::new) };
        let made = Made { process, ears, job, cgroup, descent };
        Some(Adopted { run: RunId(run), made, is_starting })
    }

    /// Its cgroup, which may be another supervisor's place.
    fn cgroup(&self, job: &Job, made: Option<&crate::state::Made>) -> Option<Cgroup> {
        let Job { name, run, state_id, .. } = job;
        let noted = made.and_then(|made| made.cgroup.as_deref());
        let noted = noted.and_then(|path| Cgroup::at(path, *state_id, name, run.0));
        noted.or_else(|| self.context.cgroups?.existing(name, run.0))
    }

    /// The definition of a service; of one that is configured no more, what it takes to
    /// stop it.
    fn definition(&self, service: &str) -> Arc<ServiceConfig> {
        let configured = self.context.config.services.iter().find(|s| *s.spec.name == *service);
        Arc::new(configured.cloned().unwrap_or_else(|| unconfigured(service)))
    }

    /// Tells what is missing of a run, unless that is at its end anyway: the descriptors of
    /// a zombie are gone or not to be seen.
    fn tell(&mut self, job: &Job, members: &Members, text: String) {
        if members.has_ended {
            return;
        }
        self.notes.push(Note::of(&job.name, "service.adopted_in_part", text));
    }

    /// Reads on where the supervisor before stopped.
    fn reopen_outputs(&mut self, job: &Job, made: Option<&crate::state::Made>, members: &Members) {
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let number = index as i32 + 1;
            let opened = match made.map(|made| made.outputs[index]) {
                Some(Some(inode)) => {
                    self.passed_on(inode).map_or_else(|| members.reopen(inode), Ok)
                }
                // It was made without one.
                Some(None) if made.is_some_and(|made| !made.digest.is_empty()) => continue,
                // Nothing was written down: what it writes to now, if that is a pipe.
                Some(None) | None => match launch::is_captured(job) {
                    true => os::reopen_output(members.session, number),
                    false => continue,
                },
            };
            match opened {
                Ok(fd) => {
                    if let Ok(inode) = os::pipe_inode(&fd) {
                        self.parcel.streams.retain(|carried| carried.pipe != inode);
                    }
                    job.capture.add(launch::source(job, stream, fd));
                }
                // Nobody holds it any more, so nothing can come.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let word = match stream {
                        Stream::Stdout => "standard output",
                        Stream::Stderr | Stream::Kennel => "standard error",
                    };
                    let cause = Cause::from_io(&error);
                    self.tell(
                        job,
                        members,
                        format!("its {word} cannot be followed any more: {cause}"),
                    );
                }
            }
        }
    }

    /// The pipe with this inode, if it was passed on.
    fn passed_on(&mut self, inode: u64) -> Option<OwnedFd> {
        let at = self.parcel.streams.iter().position(|carried| carried.pipe == inode)?;
        Some(self.parcel.streams.swap_remove(at).fd)
    }

    /// Reads on what was passed on and is of no run that is taken over: whoever wrote it may
    /// have ended meanwhile, and then nobody else has it.
    fn read_handed_over(&mut self) {
        for carried in std::mem::take(&mut self.parcel.streams) {
            let CarriedStream { instance, run, stream, pipe: _, fd } = carried;
            let Some(stream) = Stream::ALL.into_iter().find(|one| one.name() == stream) else {
                continue;
            };
            let service = instance.split_once('/').map_or(&*instance, |(service, _)| service);
            let settings = launch::log_settings(&self.definition(service).logs);
            let service = instance.as_str().into();
            self.context.capture.add(Source { service, run, stream, fd, settings, tap: None });
        }
    }

    /// What the run can still tell by.
    fn ears(
        &mut self,
        job: &Job,
        made: Option<&crate::state::Made>,
        members: &Members,
        is_starting: bool,
    ) -> Ears {
        match job.definition.ready.notify() {
            None => Ears::None,
            Some(Notify::Systemd) => match self.notify_socket(job, made) {
                Ok(socket) => Ears::Socket(socket),
                Err(error) => {
                    let cause = Cause::from_io(&error);
                    self.tell(job, members, format!("it cannot notify any more: {cause}"));
                    Ears::None
                }
            },
            Some(Notify::Fd(number)) => {
                let Some((_, inode)) = made.and_then(|made| made.ready_pipe) else {
                    return Ears::None;
                };
                if !is_starting {
                    return Ears::None;
                }
                let passed = self.ear(job);
                let passed = passed.filter(|pipe| os::pipe_inode(pipe).ok() == Some(inode));
                let reader = passed.map_or_else(|| members.reopen(inode), Ok);
                match reader {
                    Ok(reader) => Ears::Pipe(reader, number),
                    Err(error) => {
                        let text = match error.kind() {
                            ErrorKind::NotFound => format!(
                                "descriptor {number} was closed while nobody listened: whether \
                                 it is ready is not known"
                            ),
                            _ => format!(
                                "descriptor {number} cannot be read any more: {}",
                                Cause::from_io(&error)
                            ),
                        };
                        self.tell(job, members, text);
                        Ears::None
                    }
                }
            }
        }
    }

    /// The notification socket: the one that was passed on, else another one at its address.
    fn notify_socket(
        &mut self,
        job: &Job,
        made: Option<&crate::state::Made>,
    ) -> io::Result<NotifySocket> {
        let name = notify_name(job, made)?;
        let passed = self.ear(job);
        // It may have told otherwise before the configuration was changed.
        match passed.filter(|_| made.is_some_and(|made| made.notify.is_some())) {
            Some(socket) => Ok(NotifySocket::inherited(socket, name)),
            None => NotifySocket::bind(name),
        }
    }

    /// What was passed on that the run is heard by.
    fn ear(&mut self, job: &Job) -> Option<OwnedFd> {
        let at = self.parcel.ears.iter().position(|(run, _)| *run == job.run.0)?;
        Some(self.parcel.ears.swap_remove(at).1)
    }

    /// Holds all sockets that were passed on and are still configured, whether their services
    /// have a run or wait for one.
    fn hold_handed_over(&mut self) {
        for CarriedSocket { service, address, fd } in std::mem::take(&mut self.parcel.sockets) {
            let configured = self.context.config.services.iter();
            let Some(definition) = configured.into_iter().find(|s| *s.spec.name == *service) else {
                continue;
            };
            let sockets = &definition.launch.sockets;
            let socket = sockets.iter().find(|socket| socket.address.to_string() == address);
            if let Some(socket) = socket {
                let held = HeldSocket::taken_over(&socket.address, fd);
                self.sockets.hold(&definition.spec.name, held);
            }
        }
    }

    /// Holds the sockets of its service again, unless another instance has given them back.
    fn hold_sockets(&mut self, job: &Job, made: Option<&crate::state::Made>, members: &Members) {
        let Some(made) = made else { return };
        let service = &job.definition.spec.name;
        let mut missing = Vec::new();
        for socket in &job.definition.launch.sockets {
            let SocketConfig { address, name: _, backlog: _, mode: _ } = socket;
            let written = address.to_string();
            let is_same = |carried: &CarriedSocket| {
                *carried.service == **service && carried.address == written
            };
            if self.sockets.holds(service, address) || self.parcel.sockets.iter().any(is_same) {
                continue;
            }
            let given = made.sockets.iter().find(|(at, _)| *at == written);
            let Some((_, inode)) = given else { continue };
            match members.borrow(*inode) {
                Ok(fd) => self.sockets.hold(service, HeldSocket::taken_over(address, fd)),
                Err(error) => missing.push(format!("{written}: {}", Cause::from_io(&error))),
            }
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            self.tell(
                job,
                members,
                format!("its sockets are not held until its next start, only by itself: {missing}"),
            );
        }
    }
}

/// What the notification socket of a run is called.
fn notify_name(job: &Job, made: Option<&crate::state::Made>) -> io::Result<NotifyName> {
    if let Some(name) = made.and_then(|made| made.notify.as_deref()) {
        return Ok(match name.strip_prefix('@') {
            Some(name) => NotifyName::Abstract(name.to_owned()),
            None => NotifyName::Path(name.into()),
        });
    }
    let LaunchConfig { user, group, .. } = &job.definition.launch;
    let credentials = match (user, group) {
        (None, None) => None,
        (user, group) => Credentials::resolve(user.as_deref(), group.as_deref()).ok(),
    };
    job.place.name(&job.name, job.run, credentials.as_ref())
}

/// What it takes to stop a service that is configured no more.
fn unconfigured(service: &str) -> ServiceConfig {
    ServiceConfig {
        spec: ServiceSpec { kind: Kind::Daemon, ..ServiceSpec::daemon(service) },
        launch: LaunchConfig {
            command: Command::Argv(Vec::new()),
            working_dir: PathBuf::from("/"),
            env: std::collections::BTreeMap::new(),
            user: None,
            group: None,
            umask: None,
            rlimits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            cgroup: CgroupLimits::default(),
            sockets: Vec::new(),
        },
        ready: ReadyWhen::Running,
        health: Vec::new(),
        policy_plugin: None,
        own_policy: None,
        logs: LogConfig::default(),
        stop_command: None,
        labels: std::collections::BTreeMap::new(),
    }
}

impl Driver {
    /// Enters what was taken over, and tells the core of it and then what to supervise.
    pub(super) fn go_on(&mut self, restored: Restored) {
        let Restored { memory, runs, sockets, changed, scaled, notes, .. } = restored;
        for note in notes {
            self.news.restored(note);
        }
        self.sockets = sockets;
        self.scaled.restore(scaled);
        self.scaled.hold_in(&mut self.config);
        self.scaled.forget(&self.config);
        self.define_services();
        let mut starting = Vec::new();
        for Adopted { run, made, is_starting } in runs {
            let (subject, name) = made.subject();
            if is_starting {
                starting.push((run, made.definition().clone()));
            }
            self.runs.add(run, made, &self.facts);
            if let Some(launcher) = self.runs.launcher(run) {
                self.plugins.run_began(run, subject, name, launcher);
            }
        }
        self.tell_core(Input::Restore(memory));
        let graph = self.config.graph.clone();
        self.tell_core(Input::Configure { graph, restart: changed });
        for (run, definition) in starting {
            self.waits_for_word(run, &definition.ready);
        }
    }
}
