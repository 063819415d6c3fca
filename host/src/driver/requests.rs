//! What is asked of the driver through a [`Handle`](crate::Handle).

use kennel_core::{Input, InstanceId};

use super::waiters::{self, Goal};
use super::{Driver, reload, snapshot};
use crate::handle::{Request, Verb, VerbError};

impl Driver {
    pub(super) fn take_request(&mut self, request: Request) {
        if self.clock.is_fake() {
            // Who has let time pass sees what follows from it.
            self.tell_core(Input::Tick);
            self.settle();
        }
        match request {
            Request::Status { reply } => {
                let mut status = snapshot::status(
                    self.core.view(),
                    &self.clock,
                    &self.config,
                    &self.definitions,
                    &self.runs,
                    &self.news,
                    &self.sockets,
                );
                // Also while hooks run, of which the core knows nothing.
                status.supervisor.stopping = self.is_shutting_down();
                let _ = reply.send(status);
            }
            Request::Act { verb, names: _, wait: _, reply } if self.refuses(verb) => {
                let _ = reply.send(Err(VerbError::ShuttingDown));
            }
            Request::Act { verb: Verb::Scale(to), names, wait, reply } => {
                match self.scale(to, &names) {
                    Err(error) => drop(reply.send(Err(error))),
                    Ok(order) => {
                        let now = self.clock.now();
                        self.waiters.wait(order, wait, now, reply);
                    }
                }
            }
            Request::Act { verb, names, wait, reply } => {
                match waiters::resolve(self.core.view(), &names) {
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                    Ok(ids) => {
                        let goal = Goal::Of(verb);
                        let order = self.waiters.order(goal, &ids, self.core.view());
                        self.tell_policies(verb, &ids);
                        self.tell_core(waiters::input(verb, ids));
                        let now = self.clock.now();
                        self.waiters.wait(order, wait, now, reply);
                    }
                }
            }
            Request::Plan { file, reply } => self.read_config(file, reload::Purpose::Plan, reply),
            Request::Reload { reply } => self.read_config(None, reload::Purpose::Reload, reply),
            Request::HandOver { reply, failed } => self.handing_over = Some((reply, failed)),
            Request::Await { names, reply } => self.await_up(&names, reply),
            Request::Change { change, reply } => self.change(*change, reply),
            Request::Announce => {
                if let Some(manager) = &mut self.manager {
                    manager.announce();
                }
            }
            Request::Shutdown(mode) => self.shut_down(mode),
        }
    }

    /// Where counters are forgotten, policies forget too.
    fn tell_policies(&self, verb: Verb, ids: &[InstanceId]) {
        match verb {
            Verb::Stop | Verb::Signal(_) | Verb::Scale(_) => return,
            Verb::Start | Verb::Restart | Verb::RollingRestart | Verb::Reset => {}
        }
        for instance in ids.iter().filter_map(|id| self.core.view().instance(*id)) {
            self.plugins.operator_spoke(&instance.spec().name, instance.index());
        }
    }

    /// Whether it is too late for this order: everything is on its way down.
    fn refuses(&self, verb: Verb) -> bool {
        let is_late = match verb {
            Verb::Start | Verb::Restart | Verb::RollingRestart | Verb::Scale(_) | Verb::Reset => {
                true
            }
            Verb::Stop | Verb::Signal(_) => false,
        };
        is_late && self.is_shutting_down()
    }
}
