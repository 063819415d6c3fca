//! What a driver writes down of a core, and what the next one finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_core::{
    Core, ExitStatus, Group, Input, Memory, MemoryChange, Remembered, RememberedRun, RunId, Time,
};

#[derive(Default)]
pub(crate) struct Written {
    instances: BTreeMap<(Arc<str>, u32), Remembered>,
    /// Processes that came to be while nobody supervised.
    born: BTreeMap<RunId, Time>,
    /// Those that ended meanwhile.
    ended: BTreeMap<RunId, (ExitStatus, Group)>,
}

impl Written {
    /// Writes down what has changed, which must be all that has.
    pub(crate) fn follow(&mut self, core: &mut Core) {
        while let Some(change) = core.poll_memory() {
            match change {
                MemoryChange::Now(instance) => {
                    let key = (instance.service.clone(), instance.index);
                    self.instances.insert(key, *instance);
                }
                MemoryChange::Gone { service, index } => {
                    self.instances.remove(&(service, index));
                }
            }
        }
        let is = |memory: Memory| -> BTreeMap<_, _> {
            let key = |one: &Remembered| (one.service.clone(), one.index);
            memory.instances.into_iter().map(|one| (key(&one), one)).collect()
        };
        assert_eq!(self.instances, is(core.memory()), "a change was not told");
    }

    /// Something happens, and there is no supervisor.
    pub(crate) fn miss(&mut self, now: Time, input: &Input) {
        match input {
            Input::Spawned(run) => {
                self.born.insert(*run, now);
            }
            Input::Exited { run, status, group } => {
                self.ended.insert(*run, (*status, *group));
            }
            Input::GroupEnded(run) => {
                let (status, _) =
                    self.ended.get(run).copied().unwrap_or((ExitStatus::Unknown, Group::Left));
                self.ended.insert(*run, (status, Group::Empty));
            }
            Input::Ready(_)
            | Input::Notified(..)
            | Input::HealthChanged(..)
            | Input::Checked(_)
            | Input::PolicyDecided { .. }
            | Input::SpawnFailed(..)
            | Input::Swept(_)
            | Input::StopCommandEnded(_) => {}
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
            | Input::ShutdownNow => panic!("nobody is there for {input:?}"),
        }
    }

    /// What was written down, with what is found of the processes.
    ///
    /// Nobody has listened meanwhile.
    pub(crate) fn memory(&mut self) -> Memory {
        let mut memory = self.memory_of_who_was_listened_to();
        let runs = memory.instances.iter_mut().filter_map(Remembered::run_mut);
        runs.for_each(RememberedRun::was_not_listened_to);
        memory
    }

    /// The same when somebody has listened all the time, as over an upgrade.
    pub(crate) fn memory_of_who_was_listened_to(&mut self) -> Memory {
        let mut instances: Vec<Remembered> = self.instances.values().cloned().collect();
        for run in instances.iter_mut().filter_map(Remembered::run_mut) {
            run.spawned_at = run.spawned_at.or(self.born.remove(&run.run));
            run.ended = self.ended.remove(&run.run);
        }
        Memory { instances }
    }
}
