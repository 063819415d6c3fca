//! One world: a core, its processes, its operator and the rules, from load to exit.

use std::fmt::{self, Write as _};
use std::time::Duration;

use kennel_core::{
    Core, Effect, EventKind, GaveUp, Health, Input, Limits, RunId, StopReason, Time,
};

use crate::deaths::{self, Written};
use crate::moods::Recoveries;
use crate::operator::{Hits, Operator};
use crate::plan::{self, Pace};
use crate::processes::Processes;
use crate::random::Random;
use crate::rules::Rules;

/// What became of a world in which every rule held.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    /// Time lived, all instances together.
    pub(crate) service_seconds: f64,
    pub(crate) spawns: u64,
    pub(crate) hits: Hits,
    pub(crate) recoveries: Recoveries,
    pub(crate) turns: Turns,
    pub(crate) groups: Groups,
    /// How often the supervisor was killed.
    pub(crate) deaths: u64,
    /// Of the transcript; zero when none was written.
    pub(crate) hash: u64,
}

/// What health came to.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Turns {
    /// From degraded to healthy.
    pub(crate) from_degraded: u64,
    /// From unhealthy to healthy without a restart.
    pub(crate) from_unhealthy: u64,
    /// Runs that were stopped for their health.
    pub(crate) stops: u64,
}

impl Turns {
    fn count(&mut self, kind: &EventKind) {
        if let EventKind::HealthChanged { from, to: Health::Healthy, .. } = kind {
            self.from_degraded += u64::from(*from == Health::Degraded);
            self.from_unhealthy += u64::from(*from == Health::Unhealthy);
        }
        let is_for_health =
            matches!(kind, EventKind::Stopping { reason: StopReason::Unhealthy(_), .. });
        self.stops += u64::from(is_for_health);
    }
}

/// What groups came to.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Groups {
    /// Runs that were stopped because another one failed.
    pub(crate) restarts: u64,
    /// Instances that have failed with their group.
    pub(crate) ends: u64,
    /// Groups that were too much for the one above.
    pub(crate) escalations: u64,
}

impl Groups {
    fn count(&mut self, kind: &EventKind) {
        let restarts =
            matches!(kind, EventKind::Stopping { reason: StopReason::GroupRestarted(_), .. });
        let ends = matches!(kind, EventKind::Failed { reason: GaveUp::Group(_), .. });
        let escalates = matches!(kind, EventKind::GroupFailed { above: Some(_), .. });
        self.restarts += u64::from(restarts);
        self.ends += u64::from(ends);
        self.escalations += u64::from(escalates);
    }
}

/// What is kept of the transcript.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transcript {
    None,
    Hash,
    Text,
}

/// Lives through the world of `seed`. The error names the broken rule; `text` gets the
/// transcript if it is asked for.
pub(crate) fn live(
    pace: Pace,
    seed: u64,
    transcript: Transcript,
    text: &mut String,
) -> Result<Outcome, String> {
    let mut random = Random::new(seed);
    let limits = plan::limits(&mut random);
    let length = match pace {
        Pace::Busy => random.seconds(60.0, 1200.0),
        Pace::Calm => random.seconds(20.0 * 86_400.0, 90.0 * 86_400.0),
    };
    let ends_at = Time::ZERO + length;
    let operator = Operator::new(&mut random, pace, ends_at);
    let mut world = World {
        core: Core::new(limits, seed, RunId(1)),
        rules: Rules::new(limits),
        processes: Processes::default(),
        operator,
        written: Written::default(),
        deadly: if random.chance(0.5) { 0.0 } else { pace.deaths() },
        limits,
        seed,
        random,
        now: Time::ZERO,
        outcome: Outcome::default(),
        transcript,
        hasher: Hasher(0xcbf2_9ce4_8422_2325),
        text,
    };
    let load = world.operator.configuration(Vec::new());
    let lived = world.give(load).and_then(|()| world.live_on());
    lived.map_err(|broken| format!("at {}: {broken}", world.now))?;
    world.outcome.hits = world.operator.hits;
    world.outcome.recoveries = world.processes.moods.recoveries;
    if transcript == Transcript::Hash {
        world.outcome.hash = world.hasher.0;
    }
    Ok(world.outcome)
}

struct World<'a> {
    core: Core,
    rules: Rules,
    processes: Processes,
    operator: Operator,
    written: Written,
    /// How likely each step is the last one of a supervisor.
    deadly: f64,
    limits: Limits,
    seed: u64,
    random: Random,
    now: Time,
    outcome: Outcome,
    transcript: Transcript,
    hasher: Hasher,
    text: &'a mut String,
}

impl World<'_> {
    fn live_on(&mut self) -> Result<(), String> {
        loop {
            let deadline = self.core.next_deadline();
            let (process, command) = (self.processes.next(), self.operator.next());
            let Some(next) = [deadline, process, command].into_iter().flatten().min() else {
                return Err("nothing will ever happen".into());
            };
            // A while longer, for facts that come late.
            if self.rules.exited.is_some_and(|at| next > at + Duration::from_secs(60)) {
                return Ok(());
            }
            self.pass(next);
            let input = if deadline == Some(next) {
                Some(Input::Tick)
            } else if process == Some(next) {
                self.processes.step(&mut self.random)
            } else {
                self.operator.step(&self.core, &mut self.random)
            };
            if let Some(input) = input {
                self.give(input)?;
            }
            if self.rules.exited.is_none() && self.random.chance(self.deadly) {
                self.die_and_return()?;
            }
        }
    }

    /// The supervisor is killed; time passes, and another one goes on.
    fn die_and_return(&mut self) -> Result<(), String> {
        self.outcome.deaths += 1;
        self.written.is_complete(&self.core)?;
        let restarts_before = deaths::restarts(&self.core);
        self.write(format_args!("the supervisor is killed"));
        self.processes.supervisor_dies(self.now, &mut self.random);
        let returns_at = self.now + deaths::gap(&mut self.random);
        while let Some(at) = self.processes.next().filter(|at| *at <= returns_at) {
            self.pass(at);
            let unheard = self.processes.step(&mut self.random);
            self.write(format_args!("nobody hears: {unheard:?}"));
        }
        self.pass(returns_at);
        if self.rules.ending.is_some() {
            let later = self.now + self.random.seconds(0.001, 600.0);
            self.operator.shut_down_at(later);
        }
        let memory = self.written.memory(&self.processes, &mut self.random);
        let changes = self.random.chance(0.3);
        let input = if changes {
            self.operator.change_any(&mut self.random)
        } else {
            self.operator.configuration(Vec::new())
        };
        let Input::Configure { graph, mut restart } = input else { return Ok(()) };
        // Otherwise what follows the ends comes first, and the account has it the other way.
        if deaths::some_ended(&memory) {
            restart.clear();
        }
        self.write(format_args!("another one returns with {memory:?}"));
        let first_run = self.core.next_run();
        self.core = Core::new(self.limits, self.seed ^ self.outcome.deaths, first_run);
        let now = self.now;
        self.core.handle(now, Input::Restore(memory.clone()));
        self.core.handle(now, Input::Configure { graph: graph.clone(), restart: restart.clone() });
        self.rules.restored(now, (&graph, &restart), &memory, &self.core)?;
        for (key, restarts) in deaths::restarts(&self.core) {
            let before = restarts_before.get(&key).copied().unwrap_or(0);
            // One that ended unseen may restart at once.
            if restarts < before || restarts > before + 1 {
                return Err(format!("{key:?} had {before} restarts and has {restarts}"));
            }
        }
        self.core.handle(now, Input::Tick);
        self.perform()?;
        self.rules.all_adopted()
    }

    fn pass(&mut self, to: Time) {
        // A deadline may lie in the past only by mistake; time never goes back.
        let to = to.max(self.now);
        if self.rules.exited.is_none() {
            let instances = self.core.view().instances().count() as f64;
            self.outcome.service_seconds += to.since(self.now).as_secs_f64() * instances;
        }
        self.now = to;
    }

    fn give(&mut self, input: Input) -> Result<(), String> {
        let now = self.now;
        self.outcome.steps += 1;
        self.write(format_args!("{input:?}"));
        self.rules.told(now, &input, &self.core)?;
        let configured = if let Input::Configure { graph, restart } = &input {
            Some((graph.clone(), restart.clone()))
        } else {
            None
        };
        self.core.handle(now, input);
        if let Some((graph, restart)) = configured {
            self.rules.configured(now, &graph, &restart, &self.core)?;
        }
        self.perform()
    }

    /// Does what the core wants done, and holds it against the rules.
    fn perform(&mut self) -> Result<(), String> {
        let now = self.now;
        while let Some(event) = self.core.poll_event() {
            let name = event.name.as_deref().unwrap_or("supervisor");
            self.write(format_args!("  {name}: {:?}", event.kind));
            self.outcome.turns.count(&event.kind);
            self.outcome.groups.count(&event.kind);
            self.rules.heard(now, &event)?;
        }
        while let Some(effect) = self.core.poll_effect() {
            self.write(format_args!("  -> {effect:?}"));
            self.rules.seen(now, effect, &self.processes, &self.core)?;
            if let Effect::Spawn { instance, run } = effect {
                self.outcome.spawns += 1;
                let Some(view) = self.core.view().instance(instance) else {
                    return Err("it spawns an instance that there is not".into());
                };
                let key = (view.spec().name.clone(), view.index());
                let temper = self.operator.temper(&key.0);
                self.processes.spawn(now, run, key, temper, &mut self.random);
            }
            self.processes.perform(now, effect, &mut self.random);
        }
        self.written.follow(&mut self.core);
        self.rules.after(now, &self.processes, &self.core)?;
        self.operator.watch(now, &self.core, &mut self.random);
        Ok(())
    }

    fn write(&mut self, line: fmt::Arguments<'_>) {
        let now = self.now;
        match self.transcript {
            Transcript::None => {}
            Transcript::Hash => {
                let _ = writeln!(self.hasher, "{now} {line}");
            }
            Transcript::Text => {
                let line: String = line.to_string().chars().take(400).collect();
                let _ = writeln!(self.text, "{now} {line}");
            }
        }
    }
}

/// FNV-1a, of whatever is written to it.
struct Hasher(u64);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
