//! Playing a scenario: the core between a script and a transcript.
//!
//! Time moves from one deadline to the next, so that whatever a timer does appears at
//! the timer's own time, whatever the script waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{
    CheckAnswer, CheckId, Core, Effect, ExitStatus, Graph, Group, GroupSpec, Health, Input,
    InstanceId, Limits, Member, Memory, Notice, PolicyAnswer, Recipient, Remembered, RunId,
    ServiceSpec, Signal, Time,
};

use crate::script::{self, Assumption, Line};
use crate::written::Written;

/// The file with the transcript that the core gives today.
pub(crate) fn play(text: &str) -> String {
    let mut stage = Stage::default();
    let mut out = String::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("    ")).collect();
    for (at, line) in lines.iter().enumerate() {
        // What stands between two steps belongs to the second one.
        let next_step = lines[at..].iter().find_map(|line| script::read(line).time());
        if let Some(time) = next_step {
            stage.pass_until(Time::from_origin(time));
            out.push_str(&std::mem::take(&mut stage.transcript));
        }
        let _ = writeln!(out, "{}", line.trim_end());
        match script::read(line) {
            Line::Text => {}
            Line::Service(spec) => {
                match stage.services.iter_mut().find(|known| known.name == spec.name) {
                    Some(known) => *known = *spec,
                    None => stage.services.push(*spec),
                }
            }
            Line::Group(group) => stage.add_group(*group),
            Line::Remove(name) => stage.services.retain(|spec| &*spec.name != name),
            Line::Limits(limits) => stage.limits = limits,
            Line::Seed(seed) => stage.seed = seed,
            Line::Assume(assumption) => stage.assumptions.push(assumption),
            Line::Step(_, command) => {
                stage.perform(command);
                out.push_str(&std::mem::take(&mut stage.transcript));
            }
        }
    }
    out
}

#[derive(Default)]
struct Stage {
    services: Vec<ServiceSpec>,
    groups: Vec<GroupSpec>,
    assumptions: Vec<Assumption>,
    limits: Limits,
    seed: u64,
    core: Option<Core>,
    /// What the driver would have written down.
    written: Written,
    now: Time,
    /// Facts that the assumptions bring about, in the order of their coming.
    coming: BTreeMap<(Time, u32), (Input, String)>,
    facts: u32,
    /// The instance of every run there ever was.
    runs: BTreeMap<RunId, (InstanceId, Arc<str>)>,
    transcript: String,
}

impl Stage {
    fn core(&mut self) -> &mut Core {
        self.core.as_mut().expect("the first step must be load")
    }

    fn pass_until(&mut self, at: Time) {
        assert!(at >= self.now, "time goes forward: {at} stands after {}", self.now);
        let mut steps = 0;
        loop {
            let fact = self.coming.keys().next().copied();
            let deadline = self.core.as_ref().and_then(Core::next_deadline);
            let next = [fact.map(|(at, _)| at), deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= at) else { break };
            steps += 1;
            assert!(
                steps < 100_000,
                "time does not pass: a deadline at {next} comes back for ever"
            );
            self.now = self.now.max(next);
            match fact.filter(|(at, _)| *at <= next) {
                Some(key) => {
                    let (input, told) = self.coming.remove(&key).expect("just seen");
                    self.print(&format!("<- {told}"));
                    self.give(input);
                }
                None => self.give(Input::Tick),
            }
        }
        self.now = at;
    }

    fn give(&mut self, input: Input) {
        let now = self.now;
        if self.core.is_none() {
            return self.written.miss(now, &input);
        }
        self.core().handle(now, input);
        while let Some(effect) = self.core().poll_effect() {
            self.note(effect);
        }
        while let Some(event) = self.core().poll_event() {
            assert_eq!(event.at, self.now, "an event bears the time of its input");
            match &event.name {
                Some(name) => self.print(&format!("{name}: {}", event.kind)),
                None => self.print(&format!("supervisor: {}", event.kind)),
            }
        }
        let core = self.core.as_mut().expect("looked at above");
        self.written.follow(core);
    }

    /// A new supervisor goes on with what the last one wrote down.
    fn return_with(&mut self, memory: Memory, restart: &[&str]) {
        // The runs that are remembered it has to keep clear of by itself.
        let is_over = |run: &RunId| {
            !memory.instances.iter().filter_map(Remembered::run).any(|known| known.run == *run)
        };
        let last = self.runs.keys().copied().filter(is_over).max().unwrap_or(RunId(0));
        let mut core = Core::new(self.limits, self.seed, RunId(last.0 + 1));
        core.handle(self.now, Input::Restore(memory.clone()));
        assert_eq!(core.memory(), memory, "it remembers before it is configured");
        self.core = Some(core);
        self.configure(restart);
    }

    fn note(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Spawn { instance, run } => {
                let view = self.core().view().instance(instance).expect("it exists");
                let (name, service) = (view.name().clone(), view.spec().name.clone());
                assert!(self.runs.insert(run, (instance, name)).is_none(), "a run is named once");
                self.print(&format!("-> spawn {}", self.name(run)));
                for assumption in self.assumptions.clone() {
                    match assumption {
                        Assumption::SpawnsSucceed => self.expect_fact(now, Input::Spawned(run)),
                        Assumption::Ready { service: s, after } if *s == *service => {
                            self.expect_fact(now + after, Input::Ready(run));
                        }
                        Assumption::Exits { service: s, code, after } if *s == *service => {
                            let status = ExitStatus::Code(code);
                            let exited = Input::Exited { run, status, group: Group::Empty };
                            self.expect_fact(now + after, exited);
                        }
                        Assumption::Ready { .. }
                        | Assumption::Exits { .. }
                        | Assumption::Answers { .. }
                        | Assumption::Ends { .. } => {}
                    }
                }
            }
            Effect::Signal { run, signal, to } => {
                let to = match to {
                    Recipient::Main => "the main process",
                    Recipient::Group => "the group",
                };
                self.print(&format!("-> {signal} to {to} of {}", self.name(run)));
                self.note_signal(run, signal);
            }
            Effect::RunStopCommand { run, timeout } => {
                let name = self.name(run);
                self.print(&format!("-> run the stop command of {name} for up to {timeout:?}"));
            }
            Effect::EndStopCommand { run } => {
                self.print(&format!("-> end the stop command of {}", self.name(run)));
            }
            Effect::WatchGroup { run } => {
                self.print(&format!("-> watch the group of {}", self.name(run)));
            }
            Effect::Check { run, check, number, timeout: _ } => {
                let name = self.check_name(run, check);
                self.print(&format!("-> check {name} of {} (no. {number})", self.name(run)));
                self.note_check(run, check, number, &name);
            }
            Effect::AskPolicy { instance: _, run, delay } => {
                let name = self.name(run);
                self.print(&format!("-> ask the policy after {name}, built-in wait {delay:?}"));
            }
            Effect::Release { run } => {
                self.coming.retain(|_, (input, _)| about(input) != Some(run));
                self.print(&format!("-> release {}", self.name(run)));
            }
            Effect::Exit { code } => self.print(&format!("-> exit with code {code}")),
        }
    }

    /// `ready`, or the name that the service gives its check.
    fn check_name(&mut self, run: RunId, check: CheckId) -> String {
        let CheckId::Health(index) = check else { return "ready".to_owned() };
        let instance = self.instance_of(run);
        let view = self.core().view().instance(instance).expect("it exists");
        view.spec().health[index as usize].name.to_string()
    }

    /// The instance of a run: another id under another supervisor.
    fn instance_of(&mut self, run: RunId) -> InstanceId {
        let (known, _) = self.runs[&run];
        self.core().view().instance_of(run).unwrap_or(known)
    }

    fn note_check(&mut self, run: RunId, check: CheckId, number: u32, name: &str) {
        let assumed = self.assumptions.iter().rev().find_map(|assumption| match assumption {
            Assumption::Answers { check, outcome, after } if check == name => {
                outcome.map(|outcome| (outcome, *after))
            }
            Assumption::Answers { .. }
            | Assumption::SpawnsSucceed
            | Assumption::Ready { .. }
            | Assumption::Exits { .. }
            | Assumption::Ends { .. } => None,
        });
        if let Some((outcome, after)) = assumed {
            let now = self.now;
            let reason = String::new();
            let answer = CheckAnswer { run, check, number, outcome, reason, next: None };
            self.expect_fact(now + after, Input::Checked(answer));
        }
    }

    fn note_signal(&mut self, run: RunId, signal: Signal) {
        let name = self.runs.get(&run).map(|(_, name)| name.to_string()).unwrap_or_default();
        let service = name.split('/').next().unwrap_or_default().to_owned();
        for assumption in self.assumptions.clone() {
            if let Assumption::Ends { signal: deadly, service: whose, after } = assumption
                && deadly == signal
                && whose.as_ref().is_none_or(|whose| *whose == service)
            {
                let status = ExitStatus::Signal { signal, core_dumped: false };
                let now = self.now;
                self.expect_fact(now + after, Input::Exited { run, status, group: Group::Empty });
            }
        }
    }

    fn expect_fact(&mut self, at: Time, input: Input) {
        let run = about(&input).expect("a fact names a run");
        let name = self.name(run);
        let told = match &input {
            Input::Checked(CheckAnswer { check, number, outcome, .. }) => {
                let (check, number, outcome) = (*check, *number, *outcome);
                let check = self.check_name(run, check);
                format!("{check} of {name} (no. {number}): {outcome:?}").to_lowercase()
            }
            Input::Spawned(_) => format!("spawned {name}"),
            Input::Ready(_) => format!("ready {name}"),
            Input::Exited { status, .. } => format!("{name} {status}"),
            Input::Tick
            | Input::Restore(_)
            | Input::Configure { .. }
            | Input::Start(_)
            | Input::Stop(_)
            | Input::Restart(_)
            | Input::Roll(_)
            | Input::Reset(_)
            | Input::Signal(..)
            | Input::Shutdown
            | Input::ShutdownNow
            | Input::SpawnFailed(..)
            | Input::HealthChanged(..)
            | Input::PolicyDecided { .. }
            | Input::GroupEnded(_)
            | Input::Swept(_)
            | Input::Notified(..)
            | Input::StopCommandEnded(_) => unreachable!("no assumption brings about {input:?}"),
        };
        self.facts += 1;
        self.coming.insert((at, self.facts), (input, told));
    }

    fn perform(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["state", names @ ..] => self.state(names),
            ["deadline"] => {
                let deadline = self.core().next_deadline();
                let told = deadline.map_or("none".into(), |at| at.to_string());
                self.print(&format!("next deadline: {told}"));
            }
            ["load"] => {
                self.core = Some(Core::new(self.limits, self.seed, RunId(1)));
                self.configure(&[]);
            }
            ["supervisor", "dies"] => self.core = None,
            ["supervisor", "returns"] => {
                let memory = self.written.memory();
                self.return_with(memory, &[]);
            }
            ["supervisor", "is", "upgraded"] => {
                let memory = self.written.memory_of_who_was_listened_to();
                self.return_with(memory, &[]);
            }
            ["supervisor", "returns", "restarting", names @ ..] => {
                let memory = self.written.memory();
                self.return_with(memory, names);
            }
            ["supervisor", "returns", "after", "another", "boot"] => {
                self.coming.clear();
                let instances = self.written.memory().instances;
                let instances = instances.into_iter().map(Remembered::of_another_boot).collect();
                self.return_with(Memory { instances }, &[]);
            }
            ["reload"] => self.configure(&[]),
            ["reload", "restarting", names @ ..] => self.configure(names),
            ["limit"] => {
                let limits = self.limits;
                self.core().set_limits(limits);
                self.give(Input::Tick);
            }
            _ => {
                let input = self.input(command, &words);
                self.give(input);
            }
        }
    }

    /// Members that are groups move into it.
    fn add_group(&mut self, mut group: GroupSpec) {
        for member in &mut group.members {
            let Member::Service(name) = &*member else { continue };
            let inner = self.groups.iter().position(|other| other.name == *name);
            if let Some(at) = inner {
                *member = Member::Group(self.groups.remove(at));
            }
        }
        self.groups.push(group);
    }

    fn configure(&mut self, restart: &[&str]) {
        let graph = Graph::grouped(self.services.clone(), self.groups.clone())
            .expect("services fit together");
        let restart = restart.iter().map(|name| (*name).into()).collect();
        self.give(Input::Configure { graph, restart });
    }

    fn input(&mut self, command: &str, words: &[&str]) -> Input {
        let reason = command.split_once(": ").map_or("", |(_, reason)| reason).to_owned();
        match words {
            ["start", names @ ..] => Input::Start(self.ids(names)),
            ["stop", "command", "ended", run] => Input::StopCommandEnded(self.run(run)),
            ["stop", names @ ..] => Input::Stop(self.ids(names)),
            ["restart", names @ ..] => Input::Restart(self.ids(names)),
            ["roll", names @ ..] => Input::Roll(self.ids(names)),
            ["reset", names @ ..] => Input::Reset(self.ids(names)),
            ["signal", signal, names @ ..] => {
                Input::Signal(self.ids(names), script::signal(signal))
            }
            ["shutdown"] => Input::Shutdown,
            ["shutdown", "now"] => Input::ShutdownNow,
            ["spawned", run] => Input::Spawned(self.run(run)),
            ["spawn", "failed", run, ..] => Input::SpawnFailed(self.run(run), reason),
            ["ready", run] => Input::Ready(self.run(run)),
            ["extends", run, "by", time] => {
                Input::Notified(self.run(run), Notice::Extend(script::duration(time)))
            }
            ["alive", run] => Input::Notified(self.run(run), Notice::Alive),
            ["stuck", run] => Input::Notified(self.run(run), Notice::Stuck),
            ["watchdog", run, "every", time] => {
                Input::Notified(self.run(run), Notice::WatchdogEvery(script::duration(time)))
            }
            ["stopping", run] => Input::Notified(self.run(run), Notice::Stopping),
            ["unknown", run, ..] => Input::HealthChanged(self.run(run), Health::Unknown, reason),
            ["healthy", run, ..] => Input::HealthChanged(self.run(run), Health::Healthy, reason),
            ["degraded", run, ..] => Input::HealthChanged(self.run(run), Health::Degraded, reason),
            ["unhealthy", run, ..] => {
                Input::HealthChanged(self.run(run), Health::Unhealthy, reason)
            }
            ["answer", run, check, number, word, ..] => {
                let run = self.run(run);
                let instance = self.instance_of(run);
                let view = self.core().view().instance(instance).expect("it exists");
                let place = view.spec().health.iter().position(|known| &*known.name == *check);
                let check = match (*check, place) {
                    ("ready", _) => CheckId::Ready,
                    (_, Some(place)) => CheckId::Health(place as u32),
                    (other, None) => panic!("no check {other:?}"),
                };
                let (number, next) = match number.split_once('+') {
                    Some((number, next)) => (number, Some(script::duration(next))),
                    None => (*number, None),
                };
                let number = script::number(number);
                let outcome = script::outcome(word.trim_end_matches(':'));
                Input::Checked(CheckAnswer { run, check, number, outcome, reason, next })
            }
            ["policy", "after", run, answer @ ..] => {
                let run = self.run(run);
                let (instance, _) = self.runs[&run];
                let answer: Vec<&str> =
                    answer.iter().map(|word| word.trim_end_matches(':')).collect();
                let answer = match answer.as_slice() {
                    ["default", ..] => PolicyAnswer::Default,
                    ["restarts", "after", wait, ..] => {
                        PolicyAnswer::RestartAfter(script::duration(wait))
                    }
                    ["gives", "up", ..] => PolicyAnswer::GiveUp,
                    other => panic!("no answer of a policy: {other:?}"),
                };
                Input::PolicyDecided { instance, run, answer, reason }
            }
            ["exited", run, how @ ..] => {
                let (how, group) = match how {
                    [how @ .., "leaving", "others"] => (how, Group::Left),
                    how => (how, Group::Empty),
                };
                let status = match how {
                    ["code", code] => ExitStatus::Code(script::number(code)),
                    ["signal", name] => {
                        ExitStatus::Signal { signal: script::signal(name), core_dumped: false }
                    }
                    ["signal", name, "core"] => {
                        ExitStatus::Signal { signal: script::signal(name), core_dumped: true }
                    }
                    ["out", "of", "memory"] => ExitStatus::OutOfMemory,
                    ["unknown"] => ExitStatus::Unknown,
                    other => panic!("no way to exit: {other:?}"),
                };
                Input::Exited { run: self.run(run), status, group }
            }
            ["group", "ended", run] => Input::GroupEnded(self.run(run)),
            ["swept", run] => Input::Swept(self.run(run)),
            _ => panic!("no command {command:?}"),
        }
    }

    fn state(&mut self, names: &[&str]) {
        let all: Vec<InstanceId> = self.core().view().instances().map(|view| view.id()).collect();
        let ids = if names.is_empty() { all } else { self.ids(names) };
        for id in ids {
            let now = self.now;
            let Some(view) = self.core().view().instance(id) else { continue };
            let mut line = format!("{} is {}, wanted {}", view.name(), view.state(), view.wanted());
            if view.restarts() > 0 {
                let _ = write!(line, ", restarts {}", view.restarts());
            }
            if view.health() != Health::Unknown {
                let _ = write!(line, ", {}", view.health());
            }
            let reason = view.reason(now);
            if !reason.is_empty() {
                let _ = write!(line, " ({reason})");
            }
            self.print(&line);
        }
    }

    fn ids(&mut self, names: &[&str]) -> Vec<InstanceId> {
        let mut found = Vec::new();
        for name in names {
            let ids = self.core().view().find(name);
            assert!(!ids.is_empty(), "no service {name:?}");
            found.extend(ids);
        }
        found
    }

    fn name(&self, run: RunId) -> String {
        let name = self.runs.get(&run).map_or("?", |(_, name)| name);
        format!("{name}#{run}")
    }

    /// `web#3`, perhaps with a colon. Facts about runs that are over may be told too.
    fn run(&self, name: &str) -> RunId {
        let name = name.trim_end_matches(':');
        let (_, number) = name.split_once('#').unwrap_or_else(|| panic!("{name:?} is no run"));
        let run = RunId(script::number(number));
        assert!(self.runs.contains_key(&run), "there is no run {name:?}");
        assert_eq!(self.name(run), name, "that run is called otherwise");
        run
    }

    fn print(&mut self, line: &str) {
        let at: Duration = self.now.since_origin();
        let seconds = format!("{}.{:03}", at.as_secs(), at.subsec_millis());
        let _ = writeln!(self.transcript, "    {seconds:>8}  {line}");
    }
}

/// The run that a fact is about.
pub(crate) fn about(input: &Input) -> Option<RunId> {
    match input {
        Input::Spawned(run)
        | Input::SpawnFailed(run, _)
        | Input::Ready(run)
        | Input::Notified(run, _)
        | Input::HealthChanged(run, _, _)
        | Input::Checked(CheckAnswer { run, .. })
        | Input::PolicyDecided { run, .. }
        | Input::Exited { run, .. }
        | Input::GroupEnded(run)
        | Input::Swept(run)
        | Input::StopCommandEnded(run) => Some(*run),
        Input::Tick
        | Input::Restore(_)
        | Input::Configure { .. }
        | Input::Start(_)
        | Input::Stop(_)
        | Input::Restart(_)
        | Input::Roll(_)
        | Input::Reset(_)
        | Input::Signal(..)
        | Input::Shutdown
        | Input::ShutdownNow => None,
    }
}
