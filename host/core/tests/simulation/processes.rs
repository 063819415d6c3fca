//! The world below the driver: processes that start late, ignore signals, leave others
//! behind, are frozen, or hang in the kernel; and reports of all that which come late,
//! twice and out of order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{
    CheckAnswer, CheckId, CheckOutcome, Effect, ExitStatus, Group, Health, Input, Notice,
    PolicyAnswer, Recipient, RunId, Signal, Time,
};

use crate::moods::Moods;
use crate::plan::{EXTENSION_AT_MOST, KILL_AT_MOST, REPORT_AT_MOST, SPAWN_AT_MOST, Temper};
use crate::random::Random;

/// Service and number of the replica: what must never run twice.
pub(crate) type Key = (Arc<str>, u32);

pub(crate) struct Process {
    pub(crate) key: Key,
    temper: Temper,
    life: Life,
    /// Others of its group that outlive the main process.
    others: bool,
    stubborn: bool,
    frozen: bool,
    /// A signal that waits until it is continued.
    pending: bool,
    watched: bool,
    /// SIGKILL was sent to the group: whatever appears in it ends.
    killed: bool,
    command: bool,
    released: bool,
    /// How often it asked for time.
    extensions: u32,
    born_at: Time,
}

/// What a new supervisor finds of a run.
pub(crate) enum Found {
    Nothing,
    Alive { since: Time },
    Ended { since: Time, status: ExitStatus, group: Group },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Unborn,
    Alive,
    Ended(ExitStatus),
    NeverWas,
}

/// What comes about at its time, told to nobody yet.
#[derive(Clone, PartialEq)]
enum Happening {
    Report(Input),
    Born(RunId),
    Dies(RunId, ExitStatus),
    OthersDie(RunId),
    EndSeen(RunId),
    CommandEnds(RunId),
    HealthChanges(RunId),
    Speaks(RunId),
}

struct Entry {
    at: Time,
    number: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
pub(crate) struct Processes {
    queue: BinaryHeap<Reverse<Entry>>,
    number: u64,
    pub(crate) by_run: BTreeMap<RunId, Process>,
    pub(crate) moods: Moods,
}

/// What was left of a run has ended; some of it may have had to be swept.
fn rest_ended(run: RunId, random: &mut Random) -> Input {
    if random.chance(0.3) { Input::Swept(run) } else { Input::GroupEnded(run) }
}

impl Processes {
    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    /// Lets the next thing happen; the fact that the core is told, if there is one.
    pub(crate) fn step(&mut self, random: &mut Random) -> Option<Input> {
        let Reverse(Entry { at, what, .. }) = self.queue.pop()?;
        match what {
            Happening::Report(input) => {
                if random.chance(0.03) {
                    let again = at + random.seconds(0.001, 30.0);
                    self.plan(again, Happening::Report(input.clone()));
                }
                return Some(input);
            }
            Happening::Born(run) => self.is_born(at, run, random),
            Happening::Dies(run, status) => self.dies(at, run, status, random),
            Happening::OthersDie(run) => self.others_die(at, run, random),
            Happening::EndSeen(run) => {
                let process = self.by_run.get(&run)?;
                let Life::Ended(status) = process.life else { return None };
                let group = if process.others { Group::Left } else { Group::Empty };
                self.plan(at, Happening::Report(Input::Exited { run, status, group }));
            }
            Happening::CommandEnds(run) => {
                let process = self.by_run.get_mut(&run)?;
                if process.command {
                    process.command = false;
                    self.report(at, Input::StopCommandEnded(run), random);
                }
            }
            Happening::HealthChanges(run) => self.health_changes(at, run, random),
            Happening::Speaks(run) => self.speaks(at, run, random),
        }
        self.forget_what_is_over();
        None
    }

    /// Nobody supervises any more: what was being made comes to be or not, and stop
    /// commands are nobody's.
    pub(crate) fn supervisor_dies(&mut self, now: Time, random: &mut Random) {
        let mut born = Vec::new();
        for (run, process) in &mut self.by_run {
            process.command = false;
            if process.life == Life::Unborn && random.chance(0.5) {
                process.life = Life::NeverWas;
            } else if process.life == Life::Unborn {
                born.push(*run);
            }
        }
        for run in born {
            self.is_born(now, run, random);
        }
    }

    pub(crate) fn found(&self, run: RunId) -> Found {
        let Some(process) = self.by_run.get(&run) else { return Found::Nothing };
        let since = process.born_at;
        match process.life {
            Life::Unborn | Life::NeverWas => Found::Nothing,
            Life::Alive => Found::Alive { since },
            Life::Ended(status) => {
                let group = if process.others { Group::Left } else { Group::Empty };
                Found::Ended { since, status, group }
            }
        }
    }

    /// Whether a process of this instance exists or is being made, other than `but`.
    pub(crate) fn occupied(&self, key: &Key, but: RunId) -> bool {
        let mut others = self.by_run.iter().filter(|(run, p)| p.key == *key && **run != but);
        others.any(|(_, process)| process.exists())
    }

    /// Whether the process of that run, or another of its group, exists or is being made.
    pub(crate) fn exists(&self, run: RunId) -> bool {
        self.by_run.get(&run).is_some_and(Process::exists)
    }

    pub(crate) fn spawn(
        &mut self,
        now: Time,
        run: RunId,
        key: Key,
        temper: Temper,
        random: &mut Random,
    ) {
        let takes = if random.chance(0.1) {
            random.seconds(0.1, SPAWN_AT_MOST)
        } else {
            random.seconds(0.0002, 0.02)
        };
        let fails = random.chance(temper.spawn_fails);
        let life = if fails { Life::NeverWas } else { Life::Unborn };
        let stubborn = random.chance(temper.ignores_signals);
        let frozen = random.chance(0.03);
        let process = Process {
            key,
            temper,
            life,
            others: false,
            stubborn,
            frozen,
            pending: false,
            watched: false,
            killed: false,
            command: false,
            released: false,
            extensions: 0,
            born_at: now,
        };
        self.by_run.insert(run, process);
        if fails {
            let failed = Input::SpawnFailed(run, "no memory".into());
            self.plan(now + takes, Happening::Report(failed));
        } else {
            self.plan(now + takes, Happening::Born(run));
        }
    }

    pub(crate) fn perform(&mut self, now: Time, effect: Effect, random: &mut Random) {
        match effect {
            Effect::Spawn { .. } | Effect::Exit { .. } => {}
            Effect::Signal { run, signal, to: Recipient::Group } => {
                self.signal(now, run, signal, random);
            }
            Effect::Signal { to: Recipient::Main, .. } => {}
            Effect::RunStopCommand { run, timeout: _ } => {
                if let Some(process) = self.by_run.get_mut(&run) {
                    process.command = true;
                    let obeys = !process.stubborn && random.chance(0.5);
                    let takes = random.seconds(0.01, 20.0);
                    self.plan(now + takes, Happening::CommandEnds(run));
                    if obeys {
                        let after = random.seconds(0.01, 30.0);
                        self.plan(now + after, Happening::Dies(run, ExitStatus::Code(0)));
                    }
                }
            }
            Effect::EndStopCommand { run } => {
                if let Some(process) = self.by_run.get_mut(&run) {
                    process.command = false;
                }
            }
            Effect::WatchGroup { run } => {
                if let Some(process) = self.by_run.get_mut(&run) {
                    process.watched = true;
                    if !process.others {
                        let ended = rest_ended(run, random);
                        self.report(now, ended, random);
                    }
                }
            }
            Effect::Check { run, check, number, timeout } => {
                self.is_checked(now, run, check, number, timeout, random);
            }
            Effect::AskPolicy { instance, run, delay } => {
                if random.chance(0.8) {
                    let answer = match random.below(5) {
                        0 | 1 => PolicyAnswer::Default,
                        2 => PolicyAnswer::GiveUp,
                        3 => PolicyAnswer::RestartAfter(delay / 3),
                        _ => PolicyAnswer::RestartAfter(random.seconds(0.001, 300.0)),
                    };
                    let reason = "because".to_owned();
                    let decided = Input::PolicyDecided { instance, run, answer, reason };
                    let after = random.seconds(0.001, 3.0);
                    self.plan(now + after, Happening::Report(decided));
                }
            }
            Effect::Release { run } => {
                if let Some(process) = self.by_run.get_mut(&run) {
                    process.released = true;
                }
            }
        }
    }

    /// A check is made, and answers as its mood is. Some answers bear a number that nobody
    /// asked for.
    fn is_checked(
        &mut self,
        now: Time,
        run: RunId,
        check: CheckId,
        number: u32,
        timeout: Duration,
        random: &mut Random,
    ) {
        let Some(process) = self.by_run.get(&run) else { return };
        let (is_sick, lasting) = (process.stubborn, process.temper.spells);
        let mood = self.moods.answer(now, (&process.key, check), is_sick, lasting, random);
        let Some(outcome) = mood.filter(|_| random.chance(0.98)) else { return };
        let takes = match outcome {
            CheckOutcome::Late => timeout,
            CheckOutcome::Passed
            | CheckOutcome::Degraded
            | CheckOutcome::Refused
            | CheckOutcome::Wrong
            | CheckOutcome::Impossible => random.seconds(0.0001, timeout.as_secs_f64()),
        };
        let next = random.chance(0.05).then(|| random.seconds(0.001, 600.0));
        let number = if random.chance(0.01) { number.wrapping_sub(1) } else { number };
        let reason = String::new();
        let answer = CheckAnswer { run, check, number, outcome, reason, next };
        self.plan(now + takes, Happening::Report(Input::Checked(answer)));
    }

    fn signal(&mut self, now: Time, run: RunId, signal: Signal, random: &mut Random) {
        let Some(process) = self.by_run.get_mut(&run) else { return };
        let status = ExitStatus::Signal { signal, core_dumped: false };
        if signal == Signal::KILL {
            process.killed = true;
            let hard = random.chance(process.temper.hard_to_kill);
            let (low, high) = if hard { (1.0, KILL_AT_MOST) } else { (0.001, 0.05) };
            let (main, others) = (random.seconds(low, high), random.seconds(low, high));
            self.plan(now + main, Happening::Dies(run, status));
            self.plan(now + others, Happening::OthersDie(run));
            return;
        }
        if signal == Signal::CONT {
            process.frozen = false;
            if !std::mem::take(&mut process.pending) {
                return;
            }
        } else if process.frozen {
            process.pending = true;
            return;
        }
        if process.stubborn {
            return;
        }
        let (low, high) = process.temper.stop_delay;
        let (main, others) = (random.seconds(low, high), random.seconds(low, high));
        self.plan(now + main, Happening::Dies(run, status));
        if random.chance(0.7) {
            self.plan(now + others, Happening::OthersDie(run));
        }
    }

    fn is_born(&mut self, now: Time, run: RunId, random: &mut Random) {
        let Some(process) = self.by_run.get_mut(&run) else { return };
        if process.life != Life::Unborn {
            return;
        }
        process.life = Life::Alive;
        process.born_at = now;
        let temper = process.temper.clone();
        let lifetime = if random.chance(temper.dies_early) {
            random.seconds(0.001, 3.0)
        } else {
            random.seconds(temper.lifetime.0, temper.lifetime.1)
        };
        let status = match random.below(20) {
            _ if random.chance(temper.exits_well) => ExitStatus::Code(0),
            0 => ExitStatus::Unknown,
            6 => ExitStatus::OutOfMemory,
            1..=5 => ExitStatus::Signal { signal: Signal::ABRT, core_dumped: true },
            _ => ExitStatus::Code(1),
        };
        self.report(now, Input::Spawned(run), random);
        self.plan(now + lifetime, Happening::Dies(run, status));
        if !random.chance(temper.never_ready) {
            let (low, high) = temper.ready_delay;
            let at = now + random.seconds(low, high);
            self.report(at, Input::Ready(run), random);
        }
        if let Some((low, high)) = temper.health_changes {
            let at = now + random.seconds(low, high);
            self.plan(at, Happening::HealthChanges(run));
        }
        if let Some((low, high)) = temper.speaks {
            let at = now + random.seconds(low, high);
            self.plan(at, Happening::Speaks(run));
        }
    }

    fn dies(&mut self, now: Time, run: RunId, status: ExitStatus, random: &mut Random) {
        let Some(process) = self.by_run.get_mut(&run) else { return };
        if process.life != Life::Alive {
            return;
        }
        process.life = Life::Ended(status);
        process.command = false;
        let killed = process.killed;
        process.others = random.chance(process.temper.leaves_remnants);
        if process.others && (killed || random.chance(0.5)) {
            // They hold out for a while; even those that get SIGKILL end a little later.
            let (low, high) = if killed { (0.001, KILL_AT_MOST) } else { (0.01, 3600.0) };
            let after = random.seconds(low, high);
            self.plan(now + after, Happening::OthersDie(run));
        }
        let seen = now + self.latency(random);
        self.plan(seen, Happening::EndSeen(run));
    }

    fn others_die(&mut self, now: Time, run: RunId, random: &mut Random) {
        let Some(process) = self.by_run.get_mut(&run) else { return };
        if !std::mem::take(&mut process.others) {
            return;
        }
        if process.watched {
            let ended = rest_ended(run, random);
            self.report(now, ended, random);
        }
    }

    fn health_changes(&mut self, now: Time, run: RunId, random: &mut Random) {
        let Some(process) = self.by_run.get(&run) else { return };
        if process.life != Life::Alive {
            return;
        }
        let health = match random.below(10) {
            0..=4 => Health::Healthy,
            5..=7 => Health::Degraded,
            8 => Health::Unknown,
            _ => Health::Unhealthy,
        };
        if let Some((low, high)) = process.temper.health_changes {
            let at = now + random.seconds(low, high);
            self.plan(at, Happening::HealthChanges(run));
        }
        self.report(now, Input::HealthChanged(run, health, String::new()), random);
    }

    /// It says something of itself. Time is asked for three times at most, so that the
    /// bounds of a stop hold.
    fn speaks(&mut self, now: Time, run: RunId, random: &mut Random) {
        let Some(process) = self.by_run.get_mut(&run) else { return };
        let Some((low, high)) = process.temper.speaks.filter(|_| process.life == Life::Alive)
        else {
            return;
        };
        let notice = match random.below(40) {
            0..=3 if process.extensions < 3 => {
                process.extensions += 1;
                Notice::Extend(random.seconds(0.01, EXTENSION_AT_MOST))
            }
            4 | 5 => Notice::WatchdogEvery(random.seconds(low, 3.0 * high)),
            6 => Notice::WatchdogEvery(Duration::ZERO),
            7 => Notice::Stuck,
            8 => Notice::Stopping,
            _ => Notice::Alive,
        };
        let at = now + random.seconds(low, high);
        self.plan(at, Happening::Speaks(run));
        self.report(now, Input::Notified(run, notice), random);
    }

    fn latency(&self, random: &mut Random) -> Duration {
        if random.chance(0.05) {
            random.seconds(0.05, REPORT_AT_MOST)
        } else {
            random.seconds(0.0001, 0.01)
        }
    }

    fn report(&mut self, at: Time, input: Input, random: &mut Random) {
        let at = at + self.latency(random);
        self.plan(at, Happening::Report(input));
    }

    fn plan(&mut self, at: Time, what: Happening) {
        self.number += 1;
        self.queue.push(Reverse(Entry { at, number: self.number, what }));
    }

    fn forget_what_is_over(&mut self) {
        if self.by_run.len() > 64 {
            self.by_run.retain(|_, process| process.exists() || !process.released);
        }
    }
}

impl Process {
    fn exists(&self) -> bool {
        match self.life {
            Life::Unborn | Life::Alive => true,
            Life::Ended(_) | Life::NeverWas => self.others,
        }
    }
}
