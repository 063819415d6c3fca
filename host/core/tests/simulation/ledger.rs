//! The account over all instances: wishes, dependencies, places.

use std::collections::BTreeSet;
use std::sync::Arc;

use kennel_core::spec::{Condition, Dependents, Kind, Ready};
use kennel_core::{InstanceId, RunId, ServiceSpec, Shutdown, StopReason, Time, Wanted};

use crate::account::{Account, Bond, Edge, Next, Run};
use crate::processes::Key;
use crate::rules::Rules;

impl Rules {
    /// What the time alone brings about.
    pub(crate) fn pass(&mut self, now: Time) {
        self.now = now;
        for account in self.accounts.values_mut() {
            if matches!(account.next, Next::Retry(at) if now >= at) {
                account.forget();
            }
            let Some(r) = &mut account.run else { continue };
            if let (Ready::After(wait), Some(at)) = (account.spec.ready, r.spawned_at)
                && now >= at + wait
            {
                let found = r.restored_at.unwrap_or(Time::ZERO);
                r.becomes_ready(found.max(at + wait), &account.spec);
            }
            if let (Ready::Reported { timeout }, Some(at), Some(found)) =
                (account.spec.ready, r.spawned_at, r.restored_at)
            {
                // Its word may have been lost: it is taken for ready in the end.
                let end = r.notices.excused_until.max(Some(at + timeout));
                if let Some(end) = end.filter(|end| now >= *end) {
                    r.becomes_ready(end.max(found), &account.spec);
                }
            }
            r.pass_silence(now, account.spec.restart.reset_after);
            if r.stable_at.is_some_and(|at| now >= at) {
                r.stable_at = None;
                r.stable = true;
                account.forget();
            }
        }
    }

    pub(crate) fn run(&mut self, run: RunId) -> Option<(Arc<ServiceSpec>, &mut Run)> {
        let mut accounts = self.accounts.values_mut();
        accounts.find_map(|account| {
            let spec = account.spec.clone();
            account.run.as_mut().filter(|r| r.id == run).map(|r| (spec, r))
        })
    }

    pub(crate) fn spawned(&mut self, now: Time, run: RunId) {
        if let Some((_, r)) = self.run(run)
            && r.exit.is_none()
        {
            r.spawned_at.get_or_insert(now);
        }
    }

    pub(crate) fn want(&mut self, id: InstanceId, wanted: Wanted) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.want(wanted);
        }
    }

    pub(crate) fn want_required(&mut self, id: InstanceId) {
        for (on, _, bond) in self.edges(id).to_vec() {
            if bond == Bond::Required {
                self.want(on, Wanted::Up);
                // A retry whose time has come waits like any other restart.
                let failed = self.accounts.get(&on).is_some_and(|account| {
                    match (&account.run, account.next) {
                        (Some(r), _) => self.groups.ends(account, r),
                        (None, Next::Failed) => true,
                        (None, Next::Retry(at)) => self.now < at,
                        (None, Next::Free | Next::Backoff(..) | Next::AtOnce | Next::Done) => false,
                    }
                });
                if failed {
                    self.anew(on);
                }
                self.want_required(on);
            }
        }
    }

    pub(crate) fn anew(&mut self, id: InstanceId) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        let ends = account.run.as_ref().is_some_and(|r| self.groups.ends(account, r));
        match &mut account.run {
            Some(r) if ends => r.is_asked_for(StopReason::Restart),
            Some(_) => {}
            None => {
                account.forget();
                account.next = Next::Free;
                account.done = false;
            }
        }
    }

    pub(crate) fn renew(&mut self, id: InstanceId, reason: StopReason) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        account.forget();
        match &mut account.run {
            Some(r) => {
                r.is_asked_for(reason);
                self.renew_dependents(id);
            }
            None => {
                account.next = Next::Free;
                account.done = false;
            }
        }
    }

    pub(crate) fn renew_dependents(&mut self, id: InstanceId) {
        let Some(account) = self.accounts.get(&id) else { return };
        let name = account.name();
        match account.spec.restart.dependents {
            Dependents::Keep => return,
            Dependents::Restart => {}
        }
        let dependents: Vec<InstanceId> = self
            .dependents(id)
            .filter(|d| self.edges(*d).iter().any(|e| e.0 == id && e.2 == Bond::Required))
            .collect();
        for dependent in dependents {
            let Some(r) = self.accounts.get_mut(&dependent).and_then(|a| a.run.as_mut()) else {
                continue;
            };
            if r.renewal.is_none() {
                r.renewal = Some(StopReason::DependencyRestarted(name.clone()));
                self.renew_dependents(dependent);
            }
        }
    }

    pub(crate) fn end(&mut self, now: Time, how: Shutdown) {
        if self.ending.is_none() {
            self.ending = Some((now, how));
            for account in self.accounts.values_mut().filter(|account| account.run.is_none()) {
                account.next = Next::Free;
            }
        }
    }

    pub(crate) fn edges(&self, id: InstanceId) -> &[Edge] {
        self.accounts.get(&id).map_or(&[], |account| &account.edges)
    }

    /// What `account` depends on: those that did not leave the configuration before it.
    pub(crate) fn find_edges(&self, account: &Account) -> Vec<Edge> {
        let mut found = Vec::new();
        for dependency in &account.spec.depends_on {
            for (other, on) in &self.accounts {
                let older = on.removed.unwrap_or(u64::MAX) < account.removed.unwrap_or(u64::MAX);
                if on.key.0 == dependency.service && !older {
                    found.push((*other, dependency.condition, dependency.strength.into()));
                }
            }
        }
        if account.removed.is_some() {
            return found;
        }
        for (service, bond) in self.groups.before(&account.key.0) {
            let of_service =
                self.accounts.iter().filter(|(_, on)| on.key.0 == service && on.removed.is_none());
            found.extend(of_service.map(|(other, _)| (*other, Condition::Ready, bond)));
        }
        found
    }

    pub(crate) fn dependents(&self, id: InstanceId) -> impl Iterator<Item = InstanceId> {
        self.accounts.get(&id).into_iter().flat_map(|account| account.dependents.iter().copied())
    }

    /// Dependents of `id`, near and far, that have to end too and still run. Behind one that
    /// does not run others may stand that do.
    pub(crate) fn live_dependents(&self, id: InstanceId) -> Vec<Key> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        let mut live = Vec::new();
        while let Some(next) = open.pop() {
            for dependent in self.dependents(next) {
                if !seen.insert(dependent) {
                    continue;
                }
                let Some(account) = self.accounts.get(&dependent) else { continue };
                match (&account.run, account.removed) {
                    (Some(r), _) if r.renewal.is_some() || self.is_down(dependent) => {
                        live.push(account.key.clone());
                    }
                    // What left the configuration and does not run is gone, and leads nowhere.
                    (Some(_), _) | (None, Some(_)) => {}
                    (None, None) => open.push(dependent),
                }
            }
        }
        live
    }

    /// Names lead from dependencies to dependents, see [`plan::name`].
    pub(crate) fn in_order(&self) -> Vec<InstanceId> {
        let mut ids: Vec<InstanceId> = self.accounts.keys().copied().collect();
        ids.sort_by_key(|id| self.accounts[id].key.clone());
        ids
    }

    /// Whether it may not run: by the operator's will here, or at what it requires.
    pub(crate) fn is_down(&self, id: InstanceId) -> bool {
        let Some(account) = self.accounts.get(&id) else { return false };
        self.ending.is_some()
            || account.removed.is_some()
            || account.wanted == Wanted::Down
            || !account.spec.depends_on.is_empty()
                && self
                    .edges(id)
                    .iter()
                    .any(|(on, _, bond)| *bond == Bond::Required && self.is_down(*on))
    }

    pub(crate) fn reached(&self, now: Time, id: InstanceId, condition: Condition) -> bool {
        let Some(account) = self.accounts.get(&id) else { return true };
        match &account.run {
            Some(r) if r.stopping.is_none() && r.renewal.is_none() => match condition {
                Condition::Started => r.spawned_at.is_some_and(|at| at <= now),
                Condition::Ready => r.is_up(),
                Condition::Done => false,
            },
            Some(_) => false,
            None => {
                account.done
                    && (condition != Condition::Ready || account.spec.kind == Kind::Oneshot)
            }
        }
    }

    pub(crate) fn starting(&self) -> usize {
        let on_their_way = self.accounts.values().filter(|account| {
            account.run.as_ref().is_some_and(|r| {
                let reported =
                    matches!(account.spec.ready, Ready::Reported { .. } | Ready::Checked { .. })
                        && account.spec.kind == Kind::Daemon;
                r.stopping.is_none() && !r.is_up() && (r.spawned_at.is_none() || reported)
            })
        });
        on_their_way.count()
    }
}
