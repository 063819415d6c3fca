//! Groups behave as supervisors in Erlang do: each row of the table names where OTP says so.
//!
//! Sources: `supervisor(3)` of stdlib (<https://www.erlang.org/doc/apps/stdlib/supervisor.html>)
//! and "Supervisor Behaviour" in the OTP design principles, here sup_princ
//! (<https://www.erlang.org/doc/system/sup_princ.html>). A permanent child is one whose policy is
//! `always`, a transient one `on_failure`, a temporary one `never`.

use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Backoff, Enabled, GiveUp, Kind, Policy, Ready, RestartLimit};
use kennel_core::{
    Core, Effect, ExitStatus, Graph, Group, GroupSpec, Input, InstanceId, Limits, Member, RunId,
    ServiceSpec, Signal, State, Strategy, Time,
};

use End::{Crash, Done};
use Strategy::{OneForAll, OneForOne, RestForOne};

/// How a process ends by itself.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// With code 0.
    Done,
    /// With code 1.
    Crash,
}

/// Services are letters; `a` is permanent, `at` transient, `ax` temporary, and `a1` a oneshot.
#[derive(Clone)]
enum M {
    S(&'static str),
    G(&'static str, Strategy, u32, Vec<M>),
}
use M::{G, S};

fn permanent() -> Vec<M> {
    vec![S("a"), S("b"), S("c")]
}

struct Row {
    source: &'static str,
    group: M,
    /// Who ends, one after the other, and how.
    ends: &'static [(&'static str, End)],
    /// What is done: `-a` is stopped, `+a` is started, `!` the supervisor ends.
    done: &'static str,
}

fn table() -> Vec<Row> {
    let few = |strategy, members| G("top", strategy, 9, members);
    let row = |source, group, ends, done| Row { source, group, ends, done };
    vec![
        row(
            "sup_princ, starting: children start one after the other, from left to right",
            few(OneForOne, permanent()),
            &[],
            "+a +b +c",
        ),
        row(
            "supervisor(3), one_for_one: who has ended is restarted, and nobody else",
            few(OneForOne, permanent()),
            &[("b", Crash)],
            "+b",
        ),
        row(
            "supervisor(3), one_for_all: the others are terminated too, then all start, the one \
             that ended included",
            few(OneForAll, permanent()),
            &[("b", Crash)],
            "-c -a +a +b +c",
        ),
        row(
            "one_for_all, the first and the last",
            few(OneForAll, permanent()),
            &[("a", Crash), ("c", Crash)],
            "-c -b +a +b +c -b -a +a +b +c",
        ),
        row(
            "supervisor(3), rest_for_one: those that were started after it are terminated, then \
             it and they start",
            few(RestForOne, permanent()),
            &[("b", Crash)],
            "-c +b +c",
        ),
        row(
            "rest_for_one, the first",
            few(RestForOne, permanent()),
            &[("a", Crash)],
            "-c -b +a +b +c",
        ),
        row("rest_for_one, the last", few(RestForOne, permanent()), &[("c", Crash)], "+c"),
        row(
            "supervisor(3), restart type permanent: restarted however it ended",
            few(OneForAll, permanent()),
            &[("b", Done)],
            "-c -a +a +b +c",
        ),
        row(
            "supervisor(3), restart type transient: not restarted after a normal end",
            few(OneForAll, vec![S("a"), S("bt"), S("c")]),
            &[("b", Done)],
            "",
        ),
        row(
            "transient, abnormally",
            few(OneForAll, vec![S("a"), S("bt"), S("c")]),
            &[("b", Crash)],
            "-c -a +a +b +c",
        ),
        row(
            "transient: one that has ended is started with the others again, since its \
             specification is kept",
            few(OneForAll, vec![S("a"), S("bt"), S("c")]),
            &[("b", Done), ("c", Crash)],
            "-a +a +b +c",
        ),
        row(
            "a oneshot is a transient child",
            few(RestForOne, vec![S("a"), S("b1"), S("c")]),
            &[("b", Done), ("a", Crash)],
            "+c -c +a +b",
        ),
        row(
            "supervisor(3), restart type temporary: never restarted",
            few(OneForAll, vec![S("a"), S("bx"), S("c")]),
            &[("b", Crash)],
            "",
        ),
        row(
            "supervisor(3), restart type temporary: also not when it was terminated for the end of \
             a sibling, under one_for_all",
            few(OneForAll, vec![S("a"), S("bx"), S("c")]),
            &[("a", Crash)],
            "-c -b +a +c",
        ),
        row(
            "the same under rest_for_one",
            few(RestForOne, vec![S("a"), S("bx"), S("c")]),
            &[("a", Crash)],
            "-c -b +a +c",
        ),
        row(
            "supervisor(3), intensity and period: with more restarts than that, all children are \
             terminated, and the supervisor ends",
            G("top", OneForOne, 1, permanent()),
            &[("b", Crash), ("a", Crash)],
            "+b -c -b",
        ),
        row(
            "intensity 0: the first is one too many",
            G("top", OneForAll, 0, permanent()),
            &[("c", Crash)],
            "-b -a",
        ),
        row(
            "what is not restarted does not count",
            G("top", OneForOne, 0, vec![S("at"), S("bx"), S("c")]),
            &[("a", Done), ("b", Crash)],
            "",
        ),
        row(
            "sup_princ, maximum restart intensity: the supervisor above restarts the one that ended, \
             or ends itself; it restarts it, and that alone, one_for_one",
            few(OneForOne, vec![S("a"), G("in", OneForOne, 0, vec![S("b"), S("c")]), S("d")]),
            &[("b", Crash)],
            "-c +b +c",
        ),
        row(
            "the same under rest_for_one: with the rest",
            few(RestForOne, vec![S("a"), G("in", OneForOne, 0, vec![S("b"), S("c")]), S("d")]),
            &[("c", Crash)],
            "-d -b +b +c +d",
        ),
        row(
            "the same under one_for_all: with all",
            few(OneForAll, vec![S("a"), G("in", OneForOne, 0, vec![S("b"), S("c")]), S("d")]),
            &[("b", Crash)],
            "-d -c -a +a +b +c +d",
        ),
        row(
            "a group that was restarted has no restarts behind it",
            few(OneForOne, vec![G("in", OneForOne, 1, vec![S("a"), S("b")])]),
            &[("a", Crash), ("a", Crash), ("a", Crash), ("b", Crash)],
            "+a -b +a +b +a -a +a +b",
        ),
        row(
            "a group that restarts alone concerns no group above",
            G("top", OneForAll, 0, vec![S("a"), G("in", OneForAll, 1, vec![S("b"), S("c")])]),
            &[("b", Crash)],
            "-c +b +c",
        ),
        row(
            "the same, ends itself: all the way up",
            G(
                "top",
                OneForAll,
                0,
                vec![S("a"), G("in", OneForAll, 0, vec![G("low", OneForOne, 0, vec![S("b")])])],
            ),
            &[("b", Crash)],
            "-a",
        ),
        row(
            "sup_princ: a supervisor that is restarted starts all its children, the temporary ones \
             too",
            few(OneForAll, vec![S("a"), G("in", OneForAll, 9, vec![S("bx"), S("c")])]),
            &[("a", Crash)],
            "-c -b +a +b +c",
        ),
        row(
            "the same when it is restarted for too many restarts of its own",
            few(OneForOne, vec![S("a"), G("in", OneForAll, 0, vec![S("bx"), S("c")])]),
            &[("c", Crash)],
            "-b +b +c",
        ),
        row(
            "inside of a group that restarts as a whole its own order holds",
            few(RestForOne, vec![S("a"), G("in", OneForOne, 9, vec![S("b"), S("c")]), S("d")]),
            &[("a", Crash)],
            "-d -c -b +a +b +c +d",
        ),
    ]
}

fn spec(written: &str) -> ServiceSpec {
    let (name, kind) = written.split_at(1);
    let mut spec = ServiceSpec::daemon(name);
    spec.ready = Ready::Reported { timeout: Duration::from_secs(10) };
    spec.restart.limit = None;
    spec.restart.backoff = Backoff { initial: Duration::ZERO, jitter: 0.0, ..Backoff::default() };
    match kind {
        "" => {}
        "t" => spec.restart.policy = Policy::OnFailure,
        "x" => spec.restart.policy = Policy::Never,
        "1" => spec.kind = Kind::Oneshot,
        other => panic!("no kind {other:?}"),
    }
    spec
}

fn member(m: &M, specs: &mut Vec<ServiceSpec>) -> Member {
    match m {
        S(written) => {
            let spec = spec(written);
            let name = spec.name.clone();
            specs.push(spec);
            Member::Service(name)
        }
        G(name, strategy, max, members) => {
            let mut group = GroupSpec::named(*name);
            group.strategy = *strategy;
            group.intensity = RestartLimit { max: *max, within: Duration::from_secs(5) };
            group.members = members.iter().map(|inner| member(inner, specs)).collect();
            Member::Group(group)
        }
    }
}

/// Storm control stands above groups as above all; here it is not what is looked at.
fn limits() -> Limits {
    Limits { max_restarts_per_second: u32::MAX, ..Limits::default() }
}

struct World {
    core: Core,
    now: Time,
    done: Vec<String>,
}

impl World {
    fn new(group: &M, on_give_up: GiveUp) -> World {
        let mut specs = Vec::new();
        let Member::Group(mut group) = member(group, &mut specs) else { panic!("a group") };
        group.on_give_up = on_give_up;
        // The order of the text is not the order of the group.
        specs.reverse();
        let graph = Graph::grouped(specs, vec![group]).expect("fits");
        let core = Core::new(limits(), 1, RunId(1));
        let mut world = World { core, now: Time::ZERO, done: Vec::new() };
        world.give(Input::Configure { graph, restart: Vec::new() });
        world
    }

    fn name(&self, id: InstanceId) -> Arc<str> {
        self.core.view().instance(id).expect("it is there").name().clone()
    }

    fn id(&self, name: &str) -> InstanceId {
        let mut instances = self.core.view().instances();
        instances.find(|instance| &**instance.name() == name).expect("it is there").id()
    }

    fn state(&self, name: &str) -> State {
        self.core.view().instance(self.id(name)).expect("it is there").state()
    }

    /// Processes start, are ready and end at once; what is due now happens now.
    fn give(&mut self, input: Input) {
        self.core.handle(self.now, input);
        loop {
            let Some(effect) = self.core.poll_effect() else {
                if self.core.next_deadline().is_none_or(|due| due > self.now) {
                    return;
                }
                self.core.handle(self.now, Input::Tick);
                continue;
            };
            match effect {
                Effect::Spawn { instance, run } => {
                    self.done.push(format!("+{}", self.name(instance)));
                    self.core.handle(self.now, Input::Spawned(run));
                    self.core.handle(self.now, Input::Ready(run));
                }
                Effect::Signal { run, signal: Signal::TERM, .. } => {
                    let runs = self.core.view().instances();
                    let mut of = runs.filter(|instance| instance.run() == Some(run));
                    let name = of.next().expect("it runs").name().clone();
                    drop(of);
                    self.done.push(format!("-{name}"));
                    let status = ExitStatus::Signal { signal: Signal::TERM, core_dumped: false };
                    self.core.handle(self.now, Input::Exited { run, status, group: Group::Empty });
                }
                Effect::Exit { .. } => self.done.push("!".into()),
                Effect::RunStopCommand { .. }
                | Effect::EndStopCommand { .. }
                | Effect::Signal { .. }
                | Effect::WatchGroup { .. }
                | Effect::Check { .. }
                | Effect::AskPolicy { .. }
                | Effect::Release { .. } => {}
            }
        }
    }

    /// What is done when the process of this name ends by itself.
    fn end(&mut self, name: &str, end: End) {
        self.now = self.now + Duration::from_millis(10);
        self.give(Input::Tick);
        let view = self.core.view().instance(self.id(name)).expect("it is there");
        let run = view.run().unwrap_or_else(|| panic!("{name} does not run"));
        let status = ExitStatus::Code(match end {
            Done => 0,
            Crash => 1,
        });
        self.give(Input::Exited { run, status, group: Group::Empty });
    }

    fn done(&mut self) -> String {
        std::mem::take(&mut self.done).join(" ")
    }
}

#[test]
fn groups_behave_as_supervisors_in_erlang_do() {
    let mut wrong = Vec::new();
    for Row { source, group, ends, done } in table() {
        let mut world = World::new(&group, GiveUp::Stay);
        if !ends.is_empty() {
            world.done();
        }
        for (name, end) in ends {
            world.end(name, *end);
        }
        let found = world.done();
        if found != done {
            wrong.push(format!("{source}\n  expected: {done}\n  found:    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn restarts_that_are_older_than_the_window_do_not_count() {
    let mut world = World::new(&G("top", OneForOne, 1, permanent()), GiveUp::Stay);
    world.done();
    for _ in 0..5 {
        world.end("a", Crash);
        assert_eq!(world.done(), "+a");
        world.now = world.now + Duration::from_millis(5001);
    }
    world.end("a", Crash);
    world.end("b", Crash);
    assert_eq!(world.done(), "+a -c -a");
}

#[test]
fn who_is_in_a_group_that_gave_up_has_failed_until_somebody_starts_it() {
    let mut world = World::new(&G("top", OneForOne, 0, permanent()), GiveUp::Stay);
    world.end("b", Crash);
    assert!(["a", "b", "c"].iter().all(|name| world.state(name) == State::Failed));
    world.done();
    let ids = ["a", "b", "c"].map(|name| world.id(name)).to_vec();
    world.give(Input::Start(ids));
    assert_eq!(world.done(), "+a +b +c");
}

#[test]
fn past_the_top_group_the_supervisor_ends_where_that_is_wanted() {
    let mut world = World::new(&G("top", OneForOne, 0, permanent()), GiveUp::Exit);
    world.done();
    world.end("b", Crash);
    assert_eq!(world.done(), "-c -a !");
}

#[test]
fn a_group_that_gave_up_is_tried_again_where_that_is_wanted() {
    let later = GiveUp::RetryAfter(Duration::from_secs(60));
    let mut world = World::new(&G("top", OneForAll, 0, permanent()), later);
    world.end("b", Crash);
    world.done();
    // Each is tried again by itself, and starts when the one before it is up.
    while world.done.len() < 3
        && let Some(due) = world.core.next_deadline()
    {
        world.now = due;
        world.give(Input::Tick);
    }
    assert_eq!(world.done(), "+a +b +c");
}

/// What the operator wants stands above what a group does; Erlang would start it again.
#[test]
fn what_the_operator_stopped_stays_stopped_when_its_group_restarts() {
    let mut world = World::new(&G("top", OneForAll, 9, permanent()), GiveUp::Stay);
    world.done();
    let b = world.id("b");
    world.give(Input::Stop(vec![b]));
    assert_eq!(world.done(), "-b", "and nobody else");
    world.end("a", Crash);
    assert_eq!(world.done(), "-c +a +c");
    assert_eq!(world.state("b"), State::Down);
}

#[test]
fn a_member_that_gives_up_takes_its_group_with_it() {
    let mut specs = Vec::new();
    let group = G("in", OneForOne, 9, vec![S("a"), S("b")]);
    let top = member(&G("top", OneForOne, 9, vec![group, S("c")]), &mut specs);
    let Member::Group(top) = top else { panic!("a group") };
    let limit = RestartLimit { max: 0, within: Duration::from_secs(60) };
    specs.iter_mut().find(|spec| &*spec.name == "b").expect("there").restart.limit = Some(limit);
    let graph = Graph::grouped(specs, vec![top]).expect("fits");
    let core = Core::new(limits(), 1, RunId(1));
    let mut world = World { core, now: Time::ZERO, done: Vec::new() };
    world.give(Input::Configure { graph, restart: Vec::new() });
    world.done();
    world.end("b", Crash);
    assert_eq!(world.done(), "-a +a +b", "the group above restarts it");
}

#[test]
fn all_stop_in_reverse_order_at_the_end() {
    let group = G("in", RestForOne, 9, vec![S("b"), S("c")]);
    let mut world = World::new(&G("top", OneForOne, 9, vec![S("a"), group, S("d")]), GiveUp::Stay);
    world.done();
    world.give(Input::Shutdown);
    assert_eq!(world.done(), "-d -c -b -a !");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let services = || vec![spec("a"), spec("b")];
    let group = |name: &str, members: &[&str]| {
        let mut group = GroupSpec::named(name);
        group.members = members.iter().map(|name| Member::Service((*name).into())).collect();
        group
    };
    let refusal = |specs, groups| Graph::grouped(specs, groups).expect_err("refused").to_string();
    assert_eq!(
        refusal(services(), vec![group("g", &["a"]), group("g", &["b"])]),
        "two groups are named \"g\""
    );
    assert_eq!(
        refusal(services(), vec![group("g", &["a", "z"])]),
        "group \"g\" has service \"z\", which does not exist"
    );
    assert_eq!(
        refusal(services(), vec![group("g", &["a"]), group("h", &["b", "a"])]),
        "service \"a\" stands in groups twice"
    );
    let mut first = spec("a");
    first.depends_on.push(kennel_core::spec::Dependency {
        service: "b".into(),
        condition: kennel_core::spec::Condition::Ready,
        strength: kennel_core::spec::Strength::Required,
    });
    assert_eq!(
        refusal(vec![first, spec("b")], vec![group("g", &["a", "b"])]),
        "services depend on each other in a circle: a → b → a"
    );
}

/// Each instance stands behind all of the service before it: that are 12 to the power of 12 ways.
#[test]
fn many_replicas_in_one_group_are_no_more_work_than_they_are_many() {
    const REPLICAS: u32 = 12;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    let mut group = GroupSpec::named("top");
    group.strategy = OneForAll;
    let specs = names.iter().map(|name| {
        group.members.push(Member::Service((*name).into()));
        let mut spec = spec(name);
        spec.replicas = REPLICAS;
        spec.enabled = if *name == "m" { Enabled::Yes } else { Enabled::No };
        spec
    });
    let specs: Vec<ServiceSpec> = specs.collect();
    let graph = Graph::grouped(specs, vec![group]).expect("fits");
    let core = Core::new(limits(), 1, RunId(1));
    let mut world = World { core, now: Time::ZERO, done: Vec::new() };
    world.give(Input::Configure { graph, restart: Vec::new() });
    assert_eq!(world.done.len(), REPLICAS as usize, "the last starts though nobody else is to");
}
