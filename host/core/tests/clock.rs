//! A clock that is set back or jumps ahead.

use std::time::Duration;

use kennel_core::{
    Core, Effect, ExitStatus, Graph, Group, Input, Limits, RunId, ServiceSpec, State, Time,
};

fn at(seconds: u64) -> Time {
    Time::from_origin(Duration::from_secs(seconds))
}

fn spawned(core: &mut Core, now: Time) -> RunId {
    let Some(Effect::Spawn { run, .. }) = core.poll_effect() else { panic!("a spawn is due") };
    core.handle(now, Input::Spawned(run));
    run
}

fn supervising() -> Core {
    let graph = Graph::new(vec![ServiceSpec::daemon("web")]).expect("fits");
    let mut core = Core::new(Limits::default(), 1, RunId(1));
    core.handle(at(100), Input::Configure { graph, restart: Vec::new() });
    core
}

fn state(core: &Core) -> State {
    core.view().instances().next().expect("there is one").state()
}

#[test]
fn a_clock_that_goes_back_stands_still_for_the_core() {
    let mut core = supervising();
    let run = spawned(&mut core, at(100));
    core.handle(at(102), Input::Exited { run, status: ExitStatus::Code(1), group: Group::Empty });
    assert_eq!(state(&core), State::Backoff);
    let due = core.next_deadline();
    core.handle(at(5), Input::Tick);
    assert_eq!((state(&core), core.next_deadline()), (State::Backoff, due));
    core.handle(at(104), Input::Tick);
    assert_eq!(state(&core), State::Starting, "the wait ends when it was to end");
}

#[test]
fn a_clock_that_jumps_ahead_makes_what_is_due_happen_once() {
    let mut core = supervising();
    let run = spawned(&mut core, at(100));
    let year = 365 * 86_400;
    core.handle(at(100 + year), Input::Tick);
    assert_eq!(state(&core), State::Up);
    core.handle(
        at(100 + year),
        Input::Exited { run, status: ExitStatus::Code(1), group: Group::Empty },
    );
    let spawns = |core: &mut Core| {
        std::iter::from_fn(|| core.poll_effect())
            .filter(|effect| matches!(effect, Effect::Spawn { .. }))
            .count()
    };
    assert_eq!(spawns(&mut core), 0, "never stable, so it waits");
    core.handle(at(100 + 2 * year), Input::Tick);
    assert_eq!(spawns(&mut core), 1);
}
