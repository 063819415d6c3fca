//! Who may speak for a run: its own processes and nobody else.
//!
//! The kernel tells which process sent a message; `/proc` tells where that one belongs.
//! It is part of the run when
//!
//! ```text
//!   it is in the cgroup of the run, where that has one; or
//!   it is in the process group or the session of the run's process, or of one that
//!   MAINPID named; or one of its ancestors is; or
//!   its topmost ancestor was orphaned, has come to us (a subreaper) and was started with
//!   the mark of this run in its environment: a daemon that has detached itself. Of a run
//!   that an earlier supervisor has started, any ancestor with that mark will do
//! ```
//!
//! A process can be asked about only while it exists. Who sends a message and ends at once
//! may be gone when it is read; that is known of `sd_notify(3)`, and `sd_notify_barrier(3)`
//! is the remedy. Such a sender counts when it is the run's process itself, or was seen to
//! be part of the run before, or spoke while nothing was read (`listener.rs`); else its
//! message is ignored.

use std::collections::HashSet;

use crate::os::{Cgroup, Mark, RunMark, proc};

/// How many senders are remembered. Past it all are forgotten: those that still run are
/// known again with their next message.
const SEEN_MAX: usize = 256;

/// Longer chains of ancestors are not followed.
const ANCESTORS_MAX: usize = 64;

/// What is known of a sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is part of the run.
    Member,
    /// It is not.
    Stranger,
    /// It has ended, and nobody knows what it was.
    Gone,
}

/// Where a process belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
}

/// What can be asked about processes.
pub(super) trait Registry {
    /// Where a process belongs; none when there is none of that number.
    fn place(&self, pid: i32) -> Option<Place>;
    /// Which run it was started for, by its environment.
    fn mark(&self, pid: i32) -> Option<RunMark>;
    /// Whether it is in this cgroup.
    fn is_in(&self, pid: i32, cgroup: &Cgroup) -> bool;
}

/// `/proc`.
pub(super) struct Proc;

impl Registry for Proc {
    fn place(&self, pid: i32) -> Option<Place> {
        let proc::Stat { parent, group, session, .. } = proc::stat(pid).ok()?;
        Some(Place { parent, group, session })
    }

    fn mark(&self, pid: i32) -> Option<RunMark> {
        Mark::of(pid).map(|mark| mark.run)
    }

    fn is_in(&self, pid: i32, cgroup: &Cgroup) -> bool {
        cgroup.holds(pid)
    }
}

/// Where the kernel brings processes of a run whose parent has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Orphans {
    /// To the supervisor, if it is a subreaper.
    ComeToUs,
    /// To PID 1 or whoever stands above: nobody below them can be told from others by its
    /// parent.
    GoElsewhere,
}

/// The processes of a run, as far as they speak.
pub(super) struct Family {
    own_pid: i32,
    spawned: i32,
    mark: RunMark,
    cgroup: Option<Cgroup>,
    orphans: Orphans,
    /// Groups and sessions of the run.
    circles: HashSet<i32>,
    /// Processes that are part of it, or were.
    seen: HashSet<i32>,
}

impl Family {
    /// The family of the process `spawned`, which leads a group and a session; `mark` is
    /// what all of it were started with. `own_pid` is the supervisor.
    pub(super) fn new(own_pid: i32, spawned: i32, mark: RunMark) -> Family {
        let circles = HashSet::from([spawned]);
        let (cgroup, orphans, seen) = (None, Orphans::ComeToUs, HashSet::new());
        Family { own_pid, spawned, mark, cgroup, orphans, circles, seen }
    }

    /// The same with the cgroup of the run, whose processes all belong to it.
    pub(super) fn within(mut self, cgroup: Option<Cgroup>) -> Family {
        self.cgroup = cgroup;
        self
    }

    /// The same for a run that another supervisor has started: its orphans have gone elsewhere.
    pub(super) fn taken_over(mut self) -> Family {
        self.orphans = Orphans::GoElsewhere;
        self
    }

    /// What `pid` is to the run.
    pub(super) fn standing(&mut self, pid: i32, registry: &impl Registry) -> Standing {
        if pid <= 1 || pid == self.own_pid {
            return Standing::Stranger;
        }
        let Some(place) = registry.place(pid) else {
            let is_known = pid == self.spawned || self.seen.contains(&pid);
            return if is_known { Standing::Member } else { Standing::Gone };
        };
        if !self.is_member(pid, place, registry) {
            // The number may have belonged to a member before.
            self.seen.remove(&pid);
            return Standing::Stranger;
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(pid);
        Standing::Member
    }

    /// A member is the main process from now on: its group and session are part of the run.
    pub(super) fn adopt(&mut self, pid: i32, registry: &impl Registry) {
        let Some(Place { parent: _, group, session }) = registry.place(pid) else { return };
        let own = registry.place(self.own_pid);
        for circle in [group, session] {
            // One that has stayed in ours would make everybody a member.
            if own.is_none_or(|own| circle != own.group && circle != own.session) {
                self.circles.insert(circle);
            }
        }
    }

    fn is_member(&self, pid: i32, place: Place, registry: &impl Registry) -> bool {
        if self.cgroup.as_ref().is_some_and(|cgroup| registry.is_in(pid, cgroup)) {
            return true;
        }
        let (mut pid, mut place) = (pid, place);
        for _ in 0..ANCESTORS_MAX {
            let is_inside = |circle| self.circles.contains(circle);
            if pid == self.spawned || is_inside(&place.group) || is_inside(&place.session) {
                return true;
            }
            let may_be_orphan = match self.orphans {
                Orphans::ComeToUs => place.parent == self.own_pid,
                Orphans::GoElsewhere => true,
            };
            if may_be_orphan && registry.mark(pid) == Some(self.mark) {
                return true;
            }
            if place.parent == self.own_pid {
                return false;
            }
            if place.parent <= 1 {
                return false;
            }
            let Some(above) = registry.place(place.parent) else { return false };
            (pid, place) = (place.parent, above);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::StateId;

    const OWN: i32 = 100;
    const SPAWNED: i32 = 200;
    const MARK: RunMark = RunMark { state: StateId(1), run: 7 };

    /// Pid, parent, group, session, and the mark it was started with.
    struct Table(Vec<(i32, i32, i32, i32, Option<RunMark>)>);

    impl Registry for Table {
        fn place(&self, pid: i32) -> Option<Place> {
            let row = self.0.iter().find(|row| row.0 == pid)?;
            Some(Place { parent: row.1, group: row.2, session: row.3 })
        }

        fn mark(&self, pid: i32) -> Option<RunMark> {
            self.0.iter().find(|row| row.0 == pid)?.4
        }

        fn is_in(&self, _: i32, _: &Cgroup) -> bool {
            false
        }
    }

    fn processes() -> Table {
        Table(vec![
            (1, 0, 1, 1, None),
            (OWN, 1, 90, 90, None),
            (SPAWNED, OWN, SPAWNED, SPAWNED, Some(MARK)),
            // In its group; in its session only; a descendant that has left both.
            (201, SPAWNED, SPAWNED, SPAWNED, None),
            (202, 1, 202, SPAWNED, None),
            (203, 201, 203, 203, None),
            (204, 203, 204, 204, None),
            // A daemon that has detached itself, and what it has started.
            (210, OWN, 210, 210, Some(MARK)),
            (211, 210, 211, 211, None),
            // A daemon of another run; a child of the supervisor that says nothing; others.
            (220, OWN, 220, 220, Some(RunMark { run: 77, ..MARK })),
            (221, OWN, 221, 221, None),
            (222, OWN, 222, 222, Some(RunMark { state: StateId(2), ..MARK })),
            (230, 1, 230, 230, Some(MARK)),
            (231, 230, 231, 231, Some(MARK)),
        ])
    }

    fn family() -> Family {
        Family::new(OWN, SPAWNED, MARK)
    }

    #[test]
    fn its_group_its_session_and_its_descendants_are_members_and_others_are_strangers() {
        let processes = processes();
        for pid in [SPAWNED, 201, 202, 203, 204, 210, 211] {
            assert_eq!(family().standing(pid, &processes), Standing::Member, "{pid}");
        }
        for pid in [-1, 0, 1, OWN, 220, 221, 222, 230, 231] {
            assert_eq!(family().standing(pid, &processes), Standing::Stranger, "{pid}");
        }
    }

    #[test]
    fn who_has_ended_counts_as_what_it_was_seen_to_be() {
        let mut family = family();
        assert_eq!(family.standing(203, &processes()), Standing::Member);
        let nobody = Table(Vec::new());
        assert_eq!(family.standing(SPAWNED, &nobody), Standing::Member);
        assert_eq!(family.standing(203, &nobody), Standing::Member);
        assert_eq!(family.standing(204, &nobody), Standing::Gone);
        // The number now belongs to somebody else.
        let reused = Table(vec![(203, 1, 203, 203, None)]);
        assert_eq!(family.standing(203, &reused), Standing::Stranger);
        assert_eq!(family.standing(203, &nobody), Standing::Gone);
    }

    #[test]
    fn the_group_of_a_process_that_was_named_belongs_to_the_run() {
        let mut processes = processes();
        let mut family = family();
        // Forked off by the daemon and orphaned, without the mark in its environment.
        processes.0.push((212, OWN, 210, 210, None));
        assert_eq!(family.standing(212, &processes), Standing::Stranger);
        family.adopt(210, &processes);
        assert_eq!(family.standing(212, &processes), Standing::Member);
        // One that shares our own session opens the door to nobody.
        processes.0.push((240, OWN, 240, 90, Some(MARK)));
        processes.0.push((241, 1, 241, 90, None));
        family.adopt(240, &processes);
        assert_eq!(family.standing(241, &processes), Standing::Stranger);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let mut family = family();
        let many: Vec<_> = (1000..2000).map(|pid| (pid, SPAWNED, SPAWNED, SPAWNED, None)).collect();
        let many = Table(many);
        for pid in 1000..2000 {
            assert_eq!(family.standing(pid, &many), Standing::Member);
            assert!(family.seen.len() <= SEEN_MAX);
        }
    }

    #[test]
    fn a_ring_of_ancestors_has_an_end() {
        let ring = Table(vec![(300, 301, 300, 300, None), (301, 300, 301, 301, None)]);
        assert_eq!(family().standing(300, &ring), Standing::Stranger);
    }
}
