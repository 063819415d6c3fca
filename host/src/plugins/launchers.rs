//! Which runs there are that a plugin can be asked about, and how commands run as they do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_core::RunId;
use kennel_wasm::Subject;

use crate::checks::Launcher;

/// The present run of each instance.
#[derive(Default)]
pub(super) struct Launchers(Mutex<Held>);

#[derive(Default)]
struct Held {
    runs: HashMap<RunId, Subject>,
    present: HashMap<Subject, Present>,
}

struct Present {
    run: RunId,
    /// The name of the instance.
    name: Arc<str>,
    launcher: Arc<dyn Launcher>,
}

impl Launchers {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(
        &self,
        run: RunId,
        subject: Subject,
        name: Arc<str>,
        launcher: Arc<dyn Launcher>,
    ) {
        let mut held = self.lock();
        held.runs.insert(run, subject.clone());
        held.present.insert(subject, Present { run, name, launcher });
    }

    /// Forgets a run; whose it was, if that has no later one already.
    pub(super) fn remove(&self, run: RunId) -> Option<Subject> {
        let mut held = self.lock();
        let subject = held.runs.remove(&run)?;
        held.present.get(&subject).is_some_and(|present| present.run == run).then(|| {
            held.present.remove(&subject);
            subject
        })
    }

    /// How a command runs as the present run does; none while there is none.
    pub(super) fn of(&self, subject: &Subject) -> Option<Arc<dyn Launcher>> {
        self.lock().present.get(subject).map(|present| Arc::clone(&present.launcher))
    }

    /// The name of the instance, as in `web/0`.
    pub(super) fn name(&self, subject: &Subject) -> String {
        match self.lock().present.get(subject) {
            Some(present) => present.name.to_string(),
            None => subject.service.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Launch;

    struct Nothing;

    impl Launcher for Nothing {
        fn launch(&self, _: &[String]) -> Result<Launch, String> {
            Err("nothing is started here".to_owned())
        }
    }

    #[test]
    fn an_old_run_that_ends_late_takes_nothing_from_the_new_one() {
        let launchers = Launchers::default();
        let subject = Subject { service: "web".into(), instance: 1 };
        for run in [1, 2] {
            launchers.add(RunId(run), subject.clone(), "web/1".into(), Arc::new(Nothing));
        }
        assert_eq!(launchers.remove(RunId(1)), None);
        assert!(launchers.of(&subject).is_some());
        assert_eq!(launchers.name(&subject), "web/1");
        assert_eq!(launchers.remove(RunId(2)), Some(subject.clone()));
        assert!(launchers.of(&subject).is_none());
        assert_eq!(launchers.remove(RunId(2)), None);
        assert_eq!(launchers.name(&subject), "web");
    }
}
