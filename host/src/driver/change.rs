//! Adding, changing and removing services of the program while they run.
//!
//! A change is carried out like a reload: what the program describes is changed, all of it
//! is checked again, over the file if there is one, and only what differs is touched.
//! Changes are made one after the other, and a reload that one of them has overtaken reads
//! again, so that none is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Driver;
use super::reload::{Purpose, Reply};
use super::waiters::{self, Goal, Order};
use crate::config::{Definition, Written};
use crate::handle::{Change, ChangeError, Later, Outcome, ReloadError, Verb, VerbError, Wait};

/// Changes that may wait.
const WAITING_MAX: usize = 1000;

impl Change {
    fn name(&self) -> &str {
        match self {
            Change::Add(definition) | Change::Replace(definition) => &definition.name,
            Change::Remove(name) => name,
        }
    }

    /// What the program describes with this change.
    pub(super) fn apply(&self, written: &Written) -> Result<Written, ChangeError> {
        let mut written = written.clone();
        let is_member = written.groups.iter().any(|group| group.has(self.name()));
        let defined = |definition: &Definition| {
            let definition = definition.clone();
            if is_member { definition.of_a_group() } else { definition }
        };
        let at = written.services.iter().position(|service| service.name == self.name());
        let name = || self.name().to_owned();
        match (self, at) {
            // The check tells of a second one, with the place of the first.
            (Change::Add(_), Some(_)) => return Err(ChangeError::Exists { name: name() }),
            (Change::Add(definition), None) => written.services.push(defined(definition)),
            (Change::Replace(definition), Some(at)) => written.services[at] = defined(definition),
            (Change::Remove(_), Some(at)) => drop(written.services.remove(at)),
            (Change::Replace(_) | Change::Remove(_), None) => {
                return Err(ChangeError::Unknown { name: name() });
            }
        }
        Ok(written)
    }
}

/// The changes that wait for their turn: one at a time, since each begins where the one
/// before it ended.
#[derive(Default)]
pub(super) struct Changes {
    waiting: VecDeque<(Change, Answer)>,
    is_under_way: bool,
}

type Answer = oneshot::Sender<Result<Later, ChangeError>>;

impl Driver {
    /// Answers when these are up, without wanting anything of them.
    pub(super) fn await_up(
        &mut self,
        names: &[String],
        reply: oneshot::Sender<Result<Vec<Outcome>, VerbError>>,
    ) {
        match waiters::resolve(self.core.view(), names) {
            Err(error) => drop(reply.send(Err(error))),
            Ok(ids) => {
                let order = self.waiters.order(Goal::Of(Verb::Start), &ids, self.core.view());
                let now = self.clock.now();
                self.waiters.wait(order, Wait::UpTo(Duration::MAX), now, reply);
            }
        }
    }

    pub(super) fn change(&mut self, change: Change, answer: Answer) {
        if self.changes.waiting.len() >= WAITING_MAX {
            let _ = answer.send(Err(ChangeError::Busy));
            return;
        }
        self.changes.waiting.push_back((change, answer));
        self.next_change();
    }

    fn next_change(&mut self) {
        while !self.changes.is_under_way {
            let Some((change, answer)) = self.changes.waiting.pop_front() else { return };
            // Every supervisor that can be asked for it has a source.
            let Some(mut source) = self.source.clone() else { return };
            match change.apply(&source.written) {
                Ok(written) => {
                    source.written = Arc::new(written);
                    self.changes.is_under_way = true;
                    let reply = self.reply_to(&change, answer);
                    self.read_source(source, Purpose::Change, reply);
                }
                Err(error) => drop(answer.send(Err(error))),
            }
        }
    }

    /// What is to be done when the change is made, or cannot be.
    fn reply_to(&self, change: &Change, answer: Answer) -> Reply {
        let name = change.name().to_owned();
        // Of one that is to go, who it was is not to be found out afterwards.
        let leaving = match change {
            Change::Add(_) | Change::Replace(_) => None,
            Change::Remove(name) => Some(self.order_of(Goal::Gone, name)),
        };
        Box::new(move |driver, result| {
            let result = result.map_err(ChangeError::from).map(|_| {
                let order = leaving.unwrap_or_else(|| driver.order_of(Goal::Defined, &name));
                let (told, later) = oneshot::channel();
                let now = driver.clock.now();
                driver.waiters.wait(order, Wait::UpTo(Duration::MAX), now, told);
                later
            });
            let _ = answer.send(result);
            driver.changes.is_under_way = false;
            driver.next_change();
        })
    }

    fn order_of(&self, goal: Goal, name: &str) -> Order {
        let view = self.core.view();
        self.waiters.order(goal, &view.find(name), view)
    }
}

impl From<ReloadError> for ChangeError {
    fn from(error: ReloadError) -> ChangeError {
        match error {
            ReloadError::Invalid(errors) => ChangeError::Invalid(errors),
            ReloadError::Busy => ChangeError::Busy,
            ReloadError::ShuttingDown => ChangeError::ShuttingDown,
            ReloadError::NoFile | ReloadError::Stopped => ChangeError::Stopped,
        }
    }
}
