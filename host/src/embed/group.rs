//! Groups of services and tasks, described by a program.

use std::time::Duration;

use kennel_core::spec::{GiveUp, RestartLimit};
use kennel_core::{GroupSpec, Member, Strategy};

use super::{Supervised, Task};
use crate::config::Definition;
use crate::task::{TaskContext, TaskOutput};

/// Services, tasks and groups that start in the order in which they are given, each when the
/// one before is up, stop in the reverse order, and fail together as a strategy says.
///
/// The rules are those of supervisors in Erlang, `supervisor(3)` of OTP. Policies take the place
/// of restart types: [`always`](crate::Restart::always) is permanent,
/// [`on_failure`](crate::Restart::on_failure) is transient, as oneshots are, and
/// [`never`](crate::Restart::never) is temporary: it restarts nobody when it ends, and does not
/// come back when it was stopped with others.
///
/// When members fail more often than [`intensity`](Group::intensity) allows, the group has
/// failed: all of it stops, and it is restarted as a failed member of the group that it stands
/// in, by the strategy of that one. Where it stands in none, its members have failed until
/// somebody starts them.
///
/// Unlike in Erlang a member waits before it is restarted, as its [`Restart`](crate::Restart)
/// says, so the intensity wants a window that is longer than the waits. A member has a restart
/// limit only where it is given one; when it gives up its group has failed. What the operator has
/// stopped stays stopped whatever its group does.
///
/// Where each member fails alone ([`one_for_one`](Group::one_for_one)), a member does not wait for
/// the one before it while that one has failed and waits to be tried again. All members of a
/// group, with those of groups in it, are at most 1000.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let state = tempfile::tempdir()?;
/// use std::time::Duration;
/// use kennel::{Group, Service, Supervisor};
///
/// let storage = Group::new("storage")
///     .rest_for_one()
///     .service(Service::command("database", ["sleep", "1000"]))
///     .service(Service::command("pool", ["sleep", "1000"]));
/// let shop = Group::new("shop")
///     .one_for_all()
///     .intensity(3, Duration::from_secs(60))
///     .group(storage)
///     .task("orders", |context| async move { context.cancelled().await });
/// let supervisor = Supervisor::builder()
/// #   .state_dir(state.path())
///     .group(shop)
///     .start()
///     .await?;
/// # supervisor.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[must_use]
pub struct Group {
    spec: GroupSpec,
    services: Vec<Definition>,
}

impl Group {
    /// A group without members: [`one_for_one`](Group::one_for_one), with an
    /// [`intensity`](Group::intensity) of one restart in 5 seconds, as in Erlang. Names of groups
    /// are unique, and made of what names of services are.
    pub fn new(name: impl Into<String>) -> Group {
        Group { spec: GroupSpec::named(name.into()), services: Vec::new() }
    }

    /// Who has failed is restarted alone.
    pub fn one_for_one(self) -> Group {
        self.strategy(Strategy::OneForOne)
    }

    /// When one has failed all others are stopped, and all start again.
    pub fn one_for_all(self) -> Group {
        self.strategy(Strategy::OneForAll)
    }

    /// When one has failed those after it are stopped, and it and they start again.
    pub fn rest_for_one(self) -> Group {
        self.strategy(Strategy::RestForOne)
    }

    fn strategy(mut self, strategy: Strategy) -> Group {
        self.spec.strategy = strategy;
        self
    }

    /// The group fails when its members have to be restarted more than `max` times in that time,
    /// which is not zero.
    pub fn intensity(mut self, max: u32, within: Duration) -> Group {
        self.spec.intensity = RestartLimit { max, within };
        self
    }

    /// Ends the whole supervisor with code 1 when it fails and stands in no other group.
    pub fn exit_on_give_up(mut self) -> Group {
        self.spec.on_give_up = GiveUp::Exit;
        self
    }

    /// Has this service or task as its next member.
    pub fn service(mut self, service: impl Supervised) -> Group {
        let definition = service.define().of_a_group();
        self.spec.members.push(Member::Service(definition.name.as_str().into()));
        self.services.push(definition);
        self
    }

    /// Has this future as its next member, as [`Task::new`] describes.
    pub fn task<F, Fut>(self, name: impl Into<String>, body: F) -> Group
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput,
    {
        self.service(Task::new(name, body))
    }

    /// Has this group as its next member.
    pub fn group(mut self, group: Group) -> Group {
        let Group { spec, services } = group;
        self.spec.members.push(Member::Group(spec));
        self.services.extend(services);
        self
    }

    pub(super) fn define(self) -> (GroupSpec, Vec<Definition>) {
        (self.spec, self.services)
    }
}
