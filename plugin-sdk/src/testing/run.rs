//! A plugin under test: its instances, its saved state, its clock.

use std::fmt::Debug;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::script::{LogLine, Script, take_log};
use crate::backend::Backend;
use crate::check::{CheckError, CheckInput, HealthCheck, Verdict};
use crate::config::{Problem, Problems};
use crate::host::Host;
use crate::policy::{Cause, Decision, PastRun, PolicyInput, RestartPolicy};
use crate::sink::{Batch, Event, EventSink, Failure, Taken};
use crate::state::Saved;
use crate::target::{Severity, Target};
use crate::typed;

/// When every test begins: 2027-01-15T08:00:00Z.
const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;

/// So many instances of different ages are asked each question.
const INSTANCES_MAX: usize = 8;

/// Everything that is wrong with a configuration, as `kennel check` would report it.
///
/// `new` is `<Plugin as HealthCheck>::new` or that of another kind.
pub fn problems<C: DeserializeOwned, P>(
    new: impl Fn(C) -> Result<P, Problems>,
    config: &str,
) -> Vec<Problem> {
    match typed::read(config).and_then(new) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().collect(),
    }
}

fn create<C: DeserializeOwned, P>(new: impl Fn(C) -> Result<P, Problems>, config: &str) -> P {
    match typed::read(config).and_then(new) {
        Ok(plugin) => plugin,
        Err(problems) => panic!("the configuration is refused: {problems:?}"),
    }
}

/// Instances of every age. What is asked of one is asked of all, and all have to say the same:
/// so an instance can be thrown away between any two calls.
struct Instances<P> {
    new: Box<dyn Fn() -> P>,
    alive: Vec<P>,
    host: Script,
    log: Vec<LogLine>,
}

impl<P> Instances<P> {
    fn new(host: Script, new: impl Fn() -> P + 'static) -> Instances<P> {
        Instances { new: Box::new(new), alive: Vec::new(), host, log: Vec::new() }
    }

    fn ask<A: PartialEq + Debug>(&mut self, question: impl Fn(&P) -> A) -> A {
        if self.alive.len() == INSTANCES_MAX {
            self.alive.remove(1);
        }
        self.alive.push((self.new)());
        let mut first: Option<A> = None;
        for plugin in &self.alive {
            self.host.rewind();
            drop(take_log());
            let answer = question(plugin);
            self.host.assert_done();
            match &first {
                None => {
                    self.log = take_log();
                    first = Some(answer);
                }
                Some(first) => assert_eq!(
                    *first, answer,
                    "a recycled instance gives another answer: what has to be remembered \
                     belongs in the saved state"
                ),
            }
        }
        self.host.forget();
        first.expect("one instance at least")
    }
}

fn host<K>(script: &Script) -> Host<K> {
    Host::new(Backend { script: script.clone() })
}

fn target() -> Target {
    Target {
        service: "web".to_owned(),
        pid: Some(4242),
        uptime: Duration::from_secs(60),
        ..Target::default()
    }
}

/// A health check under test.
pub struct Checking<P: HealthCheck> {
    /// What the next check is told. `sequence` counts by itself.
    pub input: CheckInput,
    /// What the next check may ask of the host.
    pub host: Script,
    /// What was saved by the last check.
    pub saved: Option<Saved>,
    instances: Instances<P>,
}

impl<P: HealthCheck> Checking<P> {
    /// A check with this configuration, as JSON. Panics where the configuration is refused.
    pub fn new(config: &str) -> Checking<P> {
        let (host, config) = (Script::default(), config.to_owned());
        let instances = Instances::new(host.clone(), move || create(P::new, &config));
        let input = CheckInput {
            target: target(),
            now_unix_ms: BEGIN_UNIX_MS,
            budget: Duration::from_secs(5),
            ..CheckInput::default()
        };
        Checking { input, host, saved: None, instances }
    }

    /// Makes one check; a check that could not be made is a verdict `unknown`, as for the host.
    pub fn check(&mut self) -> Verdict {
        self.input.sequence += 1;
        let (input, script, saved) = (&self.input, &self.host, &self.saved);
        let (verdict, saved) = self.instances.ask(|plugin| {
            let mut state = Saved::open(saved.as_ref());
            let verdict = match plugin.check(input, &mut state, &mut host(script)) {
                Ok(verdict) | Err(CheckError::Failed(verdict)) => verdict,
                Err(CheckError::NotMade(reason)) => Verdict::unknown(reason),
            };
            (verdict, Saved::of(&state))
        });
        self.saved = saved;
        verdict
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.input.now_unix_ms += time.as_millis() as u64;
        self.input.target.uptime += time;
    }

    /// What the last check logged.
    pub fn log(&self) -> &[LogLine] {
        &self.instances.log
    }

    /// What the last check left in its state.
    pub fn state(&self) -> P::State {
        Saved::open(self.saved.as_ref())
    }
}

/// A restart policy under test.
pub struct Deciding<P: RestartPolicy> {
    /// What the next decision is told. `cause`, `history` and the clock follow from
    /// [`ends`](Deciding::ends).
    pub input: PolicyInput,
    /// What was saved by the last decision.
    pub saved: Option<Saved>,
    instances: Instances<P>,
}

impl<P: RestartPolicy> Deciding<P> {
    /// A policy with this configuration, as JSON. Panics where the configuration is refused.
    pub fn new(config: &str) -> Deciding<P> {
        let config = config.to_owned();
        let instances = Instances::new(Script::default(), move || create(P::new, &config));
        let target = Target { pid: None, ..target() };
        let input = PolicyInput { target, now_unix_ms: BEGIN_UNIX_MS, ..PolicyInput::default() };
        Deciding { input, saved: None, instances }
    }

    /// A run ends after this time, and the policy decides; the run becomes the newest of the
    /// history.
    pub fn ends(&mut self, cause: Cause, uptime: Duration) -> Decision {
        self.advance(uptime);
        self.input.target.uptime = uptime;
        self.input.cause = cause;
        let decision = self.decide();
        let (ended_unix_ms, cause) = (self.input.now_unix_ms, self.input.cause.clone());
        self.input.history.insert(0, PastRun { ended_unix_ms, uptime, cause });
        decision
    }

    /// Decides on [`input`](Deciding::input) as it is.
    pub fn decide(&mut self) -> Decision {
        let (input, saved) = (&self.input, &self.saved);
        let (decision, saved) = self.instances.ask(|plugin| {
            let mut state = Saved::open(saved.as_ref());
            let decision = plugin.decide(input, &mut state);
            (decision, Saved::of(&state))
        });
        self.saved = saved;
        decision.unwrap_or_else(|reason| panic!("the policy could not decide: {reason}"))
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.input.now_unix_ms += time.as_millis() as u64;
    }

    /// What the last decision logged.
    pub fn log(&self) -> &[LogLine] {
        &self.instances.log
    }
}

/// An event sink under test.
pub struct Delivering<P: EventSink> {
    /// What the next delivery may ask of the host.
    pub host: Script,
    /// The time of the next delivery.
    pub now_unix_ms: u64,
    instances: Instances<P>,
}

impl<P: EventSink> Delivering<P> {
    /// A sink with this configuration, as JSON. Panics where the configuration is refused.
    pub fn new(config: &str) -> Delivering<P> {
        let (host, config) = (Script::default(), config.to_owned());
        let instances = Instances::new(host.clone(), move || create(P::new, &config));
        Delivering { host, now_unix_ms: BEGIN_UNIX_MS, instances }
    }

    /// Delivers these events.
    pub fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        self.deliver_batch(&Batch {
            events: events.to_vec(),
            now_unix_ms: self.now_unix_ms,
            ..Batch::default()
        })
    }

    /// Delivers a batch.
    pub fn deliver_batch(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let script = &self.host;
        self.instances.ask(|plugin| plugin.deliver(batch, &mut host(script)))
    }

    /// What the last delivery logged.
    pub fn log(&self) -> &[LogLine] {
        &self.instances.log
    }
}

/// An event about the service `web`.
pub fn event(sequence: u64, kind: &str, message: &str) -> Event {
    Event {
        sequence,
        at_unix_ms: BEGIN_UNIX_MS + sequence,
        kind: kind.to_owned(),
        severity: Severity::Info,
        service: Some("web".to_owned()),
        instance: Some(0),
        message: message.to_owned(),
        attributes: Vec::new(),
    }
}
