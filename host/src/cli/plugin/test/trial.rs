//! One scenario and one plugin: asking, step by step.

use std::sync::Arc;
use std::time::Duration;

use kennel_wasm::model::{SavedState, Target, check, policy, sink};
use kennel_wasm::{Binding, CallLimits, Fault, Kind, Plugin, Subject};

use super::expect;
use super::scenario::{Period, Scenario, Step};
use super::script::{Line, Played, Script};
use crate::cli::plugin::lab::{Lab, Loaded};
use crate::cli::plugin::source::Source;
use crate::cli::{ExitKind, Failure};

/// Whether calls go to the same instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Instances {
    Kept,
    Recycled,
}

/// What the plugin said.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Said {
    Check(Result<check::Verdict, String>),
    Decide(Result<policy::Decision, String>),
    Deliver(sink::Delivery),
}

/// What became of one step.
pub(super) struct Stepped {
    pub(super) name: String,
    pub(super) faults: Vec<String>,
    pub(super) log: Vec<String>,
}

/// A call that can be made again, with something in it gone wrong.
#[derive(Clone)]
pub(in super::super) struct Call<'a> {
    pub(super) step: &'a Step,
    pub(super) lines: Vec<Line>,
    pub(super) state: Option<SavedState>,
    sequence: u64,
    now_unix_ms: u64,
}

/// A scenario with the plugin that it is for.
pub(in super::super) struct Trial<'a> {
    lab: &'a Lab,
    source: &'a Source,
    scenario: &'a Scenario,
    kind: Kind,
    config: String,
    script: Script,
    plugin: Plugin,
    loading: Duration,
}

impl<'a> Trial<'a> {
    pub(in super::super) fn begin(
        lab: &'a Lab,
        source: &'a Source,
        scenario: &'a Scenario,
    ) -> Result<Trial<'a>, Failure> {
        let script = Script::default();
        let Loaded { plugin, took: loading } =
            lab.load(source, scenario.limits.checked(), Arc::new(script.clone()))?;
        let kind = lab.kind(&plugin, scenario.kind)?;
        scenario.check_kind(kind)?;
        let config = match &scenario.config {
            serde_json::Value::Null => "{}".to_owned(),
            config => config.to_string(),
        };
        let trial = Trial { lab, source, scenario, kind, config, script, plugin, loading };
        lab.configure(&trial.plugin, kind, &trial.config)?;
        Ok(trial)
    }

    /// How long loading the plugin took.
    pub(in super::super) fn loading(&self) -> Duration {
        self.loading
    }

    /// Memory of all instances that there are now.
    pub(in super::super) fn memory_bytes(&self) -> u64 {
        self.plugin.stats().memory_bytes
    }

    /// A binding that keeps its instance.
    pub(in super::super) fn keep(&self) -> Result<Binding, Failure> {
        self.bind(&self.plugin)
    }

    /// Makes one call, with the instance that is there, and says how long it took.
    pub(in super::super) fn ask_kept(
        &self,
        binding: &Binding,
        call: &Call<'_>,
    ) -> (Result<(), Fault>, Duration) {
        let (said, took, _) = self.ask_timed(binding, call);
        (said.map(|_| ()), took)
    }

    pub(super) fn limits(&self) -> CallLimits {
        self.scenario.limits.checked()
    }

    /// Goes through all steps.
    pub(super) fn go_through(&self, instances: Instances) -> Result<Vec<Stepped>, Failure> {
        let mut kept = None;
        let mut done = Vec::new();
        self.each(|call| {
            let binding = match (instances, &kept) {
                (Instances::Kept, Some(binding)) => Binding::clone(binding),
                (Instances::Kept, None) | (Instances::Recycled, _) => self.bind(&self.plugin)?,
            };
            kept = Some(binding.clone());
            let (said, Played { complaints, log }) = self.ask(&binding, call);
            let mut faults = complaints;
            faults.extend(expect::differences(&call.step.expect, &said));
            done.push(Stepped { name: call.step.name.clone(), faults, log });
            Ok(said.ok())
        })?;
        Ok(done)
    }

    /// Every call of the scenario, as it is when all goes as it should.
    pub(in super::super) fn calls(&self) -> Result<Vec<Call<'a>>, Failure> {
        let mut calls = Vec::new();
        self.each(|call| {
            calls.push(call.clone());
            let binding = self.bind(&self.plugin)?;
            Ok(self.ask(&binding, call).0.ok())
        })?;
        Ok(calls)
    }

    /// Has `make` make each call in turn; what one asks to remember the next is told.
    fn each(
        &self,
        mut make: impl FnMut(&Call<'a>) -> Result<Option<Said>, Failure>,
    ) -> Result<(), Failure> {
        let Scenario { steps, state, now, .. } = self.scenario;
        let mut state = state.as_ref().map(|state| state.saved());
        let mut now_unix_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        for (index, step) in steps.iter().enumerate() {
            let Period(wait) = step.wait;
            now_unix_ms += u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let lines = step.answers.iter().map(Line::of).collect::<Result<_, _>>();
            let lines = lines.map_err(|reason| Failure::new(ExitKind::Invalid, reason))?;
            let sequence = index as u64 + 1;
            let call = Call { step, lines, state: state.clone(), sequence, now_unix_ms };
            let new = match make(&call)? {
                Some(Said::Check(Ok(verdict))) => verdict.state,
                Some(Said::Decide(Ok(decision))) => decision.state,
                Some(Said::Check(Err(_)) | Said::Decide(Err(_)) | Said::Deliver(_)) | None => None,
            };
            state = new.or(state);
        }
        Ok(())
    }

    /// The same plugin under other limits.
    pub(super) fn with_limits(&self, limits: CallLimits) -> Result<Plugin, Failure> {
        let Loaded { plugin, .. } =
            self.lab.load(self.source, limits, Arc::new(self.script.clone()))?;
        Ok(plugin)
    }

    /// A binding with no instance yet.
    fn bind(&self, plugin: &Plugin) -> Result<Binding, Failure> {
        self.lab.bind(plugin, self.kind, &self.config)
    }

    /// Makes one call with a new instance.
    pub(super) fn ask_anew(&self, call: &Call<'_>) -> (Result<Said, Fault>, Played) {
        self.ask_anew_of(&self.plugin, call)
    }

    /// The same, of a plugin under other limits.
    pub(super) fn ask_anew_of(
        &self,
        plugin: &Plugin,
        call: &Call<'_>,
    ) -> (Result<Said, Fault>, Played) {
        match self.bind(plugin) {
            Ok(binding) => self.ask(&binding, call),
            // It could be bound before: the runtime is going away.
            Err(_) => (Err(Fault::Gone), self.script.end()),
        }
    }

    fn ask(&self, binding: &Binding, call: &Call<'_>) -> (Result<Said, Fault>, Played) {
        let (said, _, played) = self.ask_timed(binding, call);
        (said, played)
    }

    fn ask_timed(
        &self,
        binding: &Binding,
        call: &Call<'_>,
    ) -> (Result<Said, Fault>, Duration, Played) {
        self.script.begin(call.lines.clone());
        let subject = self.subject();
        // What a call is told is made before the clock starts.
        let (said, took) = match self.kind {
            Kind::HealthCheck => {
                let (input, limit) = (self.check_input(call), self.limits().time);
                let asked = binding.check(subject, input, limit);
                self.lab.time(async { asked.await.map(Said::Check) })
            }
            Kind::RestartPolicy => {
                let asked = binding.decide(subject, self.policy_input(call));
                self.lab.time(async { asked.await.map(Said::Decide) })
            }
            Kind::EventSink => {
                let asked = binding.deliver(batch(call));
                self.lab.time(async { asked.await.map(Said::Deliver) })
            }
        };
        (said, took, self.script.end())
    }

    fn subject(&self) -> Subject {
        let target = &self.scenario.target;
        Subject { service: target.service.as_str().into(), instance: target.instance }
    }

    fn target(&self, call: &Call<'_>) -> Target {
        let target = self.scenario.target.clone();
        let Period(uptime) = call.step.uptime.unwrap_or(target.uptime);
        Target {
            service: target.service,
            instance: target.instance,
            // A policy is asked when the run is over.
            pid: target.pid.filter(|_| call.step.cause.is_none()),
            uptime,
            restarts: target.restarts,
            usage: None,
            labels: target.labels.into_iter().collect(),
        }
    }

    fn check_input(&self, call: &Call<'_>) -> check::Input {
        check::Input {
            target: self.target(call),
            now_unix_ms: call.now_unix_ms,
            sequence: call.sequence,
            state: call.state.clone(),
        }
    }

    fn policy_input(&self, call: &Call<'_>) -> policy::Input {
        let Step { cause, history, restarts_in_window, default_delay, .. } = call.step;
        let history = history
            .iter()
            .map(|run| {
                let (Period(ago), Period(uptime)) = (run.ended, run.uptime);
                let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                let ended_unix_ms = call.now_unix_ms.saturating_sub(ago);
                policy::PastRun { ended_unix_ms, uptime, cause: run.cause.checked() }
            })
            .collect();
        let Period(delay) = default_delay.unwrap_or(Period(Duration::from_secs(1)));
        policy::Input {
            target: self.target(call),
            now_unix_ms: call.now_unix_ms,
            cause: cause.clone().unwrap_or_default().checked(),
            history,
            restarts_in_window: *restarts_in_window,
            default_action: policy::Action::RestartAfter(delay),
            state: call.state.clone(),
        }
    }
}

fn batch(call: &Call<'_>) -> sink::Batch {
    // Steps do not overlap, however many events one has.
    let first = call.sequence * 1000;
    let events = call.step.events.iter().zip(first..);
    let events = events.map(|(event, sequence)| event.checked(sequence, call.now_unix_ms));
    sink::Batch {
        events: events.collect(),
        dropped: call.step.dropped,
        now_unix_ms: call.now_unix_ms,
    }
}
