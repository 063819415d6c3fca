//! The account of checks and of asked policies: what each answer must lead to, counted a
//! second time.

use std::time::Duration;

use kennel_core::spec::{Advice, CheckSpec, GiveUp, OnUnhealthy, Ready};
use kennel_core::{
    CheckAnswer, CheckId, CheckOutcome, Health, InstanceId, PolicyAnswer, RunId, Time,
};

use crate::account::{Account, Next, Run};
use crate::groups::Own;
use crate::processes::Processes;
use crate::rules::{Checked, Rules};

/// Nobody answers: it could not be made.
const SILENCE: Duration = Duration::from_secs(2);
/// A policy has this long beyond the built-in wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const ROUNDING: Duration = Duration::from_micros(1);

/// One check of a run that is up, or the looks whether it is ready.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) spec: CheckSpec,
    pub(crate) word: Health,
    pub(crate) question: Question,
    bad: u32,
    late: u32,
    good: u32,
    has_fallen: bool,
    grace_ends: Option<Time>,
}

/// What was asked last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Question {
    /// Its number, and when silence is an answer.
    open: Option<(u32, Time)>,
    number: u32,
    asked_at: Option<Time>,
    /// From the last one to the next, at least.
    wait: Duration,
}

impl Question {
    fn asked(&mut self, now: Time, number: u32, timeout: Duration) -> Checked {
        rule!(self.open.is_none(), "check no. {number} overlaps the one before");
        rule!(number == self.number + 1, "check no. {number} follows no. {}", self.number);
        let wait = self.wait.saturating_sub(ROUNDING);
        let soonest = self.asked_at.map_or(Time::ZERO, |at| at + wait);
        rule!(now >= soonest, "check no. {number} at {now} comes before {soonest}");
        self.number = number;
        self.asked_at = Some(now);
        self.open = Some((number, now + timeout + SILENCE));
        Ok(())
    }

    /// Whether this is the answer that is waited for. The next question follows after
    /// `every`, or when the answer asks for it, within bounds.
    fn answered(&mut self, number: u32, every: Duration, next: Option<Duration>) -> bool {
        match self.open {
            Some((asked, _)) if asked == number => {
                self.open = None;
                let least = (every / 10).max(Duration::from_millis(100));
                self.wait = next.map_or(every, |next| next.max(least).min((every * 10).max(least)));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Checks have changed places: what is open is asked again at once, under a new number.
    fn renumber(&mut self, last: u32) {
        self.number = last;
        if self.open.take().is_some() {
            self.wait = Duration::ZERO;
        }
    }

    /// The second check of a run comes anywhere from half a period on.
    fn spread_out(&mut self, next: Option<Duration>) {
        if self.number == 1 && next.is_none() {
            self.wait /= 2;
        }
    }
}

impl Counts {
    pub(crate) fn new(spec: &CheckSpec, spawned_at: Time) -> Counts {
        Counts {
            spec: spec.clone(),
            word: Health::Unknown,
            question: Question::default(),
            bad: 0,
            late: 0,
            good: 0,
            has_fallen: false,
            grace_ends: Some(spawned_at + spec.grace),
        }
    }

    fn take(&mut self, now: Time, outcome: CheckOutcome, excused_until: Option<Time>) {
        let is_bad = match outcome {
            CheckOutcome::Refused | CheckOutcome::Wrong | CheckOutcome::Late => true,
            CheckOutcome::Passed | CheckOutcome::Degraded | CheckOutcome::Impossible => false,
        };
        self.good = if outcome == CheckOutcome::Passed { self.good + 1 } else { 0 };
        if outcome == CheckOutcome::Late && excused_until.is_some_and(|end| now < end) {
            return;
        }
        if is_bad && self.grace_ends.is_some_and(|end| now < end) {
            return;
        }
        if matches!(outcome, CheckOutcome::Passed | CheckOutcome::Degraded) {
            (self.bad, self.late, self.grace_ends) = (0, 0, None);
        }
        self.bad += u32::from(matches!(outcome, CheckOutcome::Refused | CheckOutcome::Wrong));
        self.late += u32::from(outcome == CheckOutcome::Late);
        let enough = !self.has_fallen || self.good >= self.spec.successes;
        let word = match outcome {
            CheckOutcome::Passed if enough => Health::Healthy,
            CheckOutcome::Passed => self.word,
            CheckOutcome::Degraded => Health::Degraded,
            CheckOutcome::Refused | CheckOutcome::Wrong if self.bad >= self.spec.failures => {
                Health::Unhealthy
            }
            CheckOutcome::Refused | CheckOutcome::Wrong => self.word,
            CheckOutcome::Late if self.late >= self.spec.timeouts => Health::Unhealthy,
            CheckOutcome::Late if self.word == Health::Unhealthy => Health::Unhealthy,
            CheckOutcome::Late => Health::Degraded,
            CheckOutcome::Impossible => Health::Unknown,
        };
        self.has_fallen = match outcome {
            CheckOutcome::Passed => self.has_fallen && !enough,
            CheckOutcome::Degraded | CheckOutcome::Late => true,
            CheckOutcome::Refused | CheckOutcome::Wrong => {
                self.has_fallen || self.bad >= self.spec.failures
            }
            CheckOutcome::Impossible => self.has_fallen,
        };
        self.word = word;
    }

    fn wants_restart(&self) -> bool {
        self.word == Health::Unhealthy && self.spec.on_unhealthy == OnUnhealthy::Restart
    }
}

impl Run {
    /// The worst word of its checks and of itself.
    pub(crate) fn health(&self) -> Health {
        let order = [Health::Unhealthy, Health::Degraded, Health::Unknown, Health::Healthy];
        let said =
            (self.reported != Health::Unknown || self.checks.is_empty()).then_some(self.reported);
        let words = || self.checks.iter().map(|check| check.word).chain(said);
        order.into_iter().find(|word| words().any(|said| said == *word)).unwrap_or_default()
    }

    pub(crate) fn is_passing(&self) -> bool {
        match self.health() {
            Health::Healthy => true,
            Health::Unknown => self.checks.is_empty(),
            Health::Degraded | Health::Unhealthy => false,
        }
    }

    /// Whether it has to be stopped for its health.
    pub(crate) fn must_stop_for_health(&self) -> bool {
        self.reported == Health::Unhealthy || self.check_says_restart
    }

    /// Lets a change of health count towards being stable.
    pub(crate) fn changes(
        &mut self,
        now: Time,
        reset_after: Duration,
        change: impl FnOnce(&mut Run),
    ) {
        let before = self.is_passing();
        change(self);
        match (before, self.is_passing()) {
            (true, false) => self.stable_at = None,
            (false, true) if self.is_up() && !self.stable => {
                self.stable_at = Some(now + reset_after);
            }
            (true, true) | (false, false) | (false, true) => {}
        }
    }

    /// Silence is an answer too, after its time.
    pub(crate) fn pass_silence(&mut self, now: Time, reset_after: Duration) {
        if !self.is_up() {
            return;
        }
        for index in 0..self.checks.len() {
            let check = &mut self.checks[index];
            let Some((number, silent_at)) = check.question.open else { continue };
            if silent_at <= now {
                check.question.answered(number, check.spec.every, None);
                check.question.spread_out(None);
                self.changes(now, reset_after, |run| {
                    run.checks[index].take(silent_at, CheckOutcome::Impossible, None);
                });
            }
        }
    }
}

impl Account {
    /// A reload: what is known of a check goes on under its name.
    pub(crate) fn rearrange_checks(&mut self, now: Time) {
        let spec = self.spec.clone();
        let Some(run) = self.run.as_mut().filter(|run| run.is_up()) else { return };
        let Some(spawned_at) = run.spawned_at else { return };
        let reset_after = spec.restart.reset_after;
        run.changes(now, reset_after, |run| {
            let old = std::mem::take(&mut run.checks);
            let known = |spec: &CheckSpec| old.iter().find(|check| check.spec.name == spec.name);
            run.checks = spec
                .health
                .iter()
                .map(|spec| match known(spec) {
                    Some(check) => {
                        let mut known = Counts { spec: spec.clone(), ..check.clone() };
                        if check.spec.every != spec.every {
                            known.question.wait = Duration::ZERO;
                        }
                        known
                    }
                    None => Counts::new(spec, spawned_at),
                })
                .collect();
            let names = |checks: &[Counts]| -> Vec<_> {
                checks.iter().map(|check| check.spec.name.clone()).collect()
            };
            if names(&old) != names(&run.checks) {
                let last = old.iter().map(|check| check.question.number).max().unwrap_or(0);
                for check in &mut run.checks {
                    check.question.renumber(last);
                }
            }
        });
    }
}

impl Rules {
    pub(crate) fn check_asked(
        &mut self,
        now: Time,
        run: RunId,
        check: CheckId,
        number: u32,
        timeout: Duration,
        processes: &Processes,
    ) -> Checked {
        let Some((spec, r)) = self.run(run) else {
            return Err(format!("run {run} is checked, which is over"));
        };
        rule!(r.stopping.is_none(), "run {run} is checked while it stops");
        match check {
            CheckId::Ready => {
                let Ready::Checked { every, attempt, .. } = spec.ready else {
                    return Err(format!("run {run} is looked at although looks say nothing"));
                };
                rule!(r.ready_at.is_none(), "run {run} is ready and looked at");
                rule!(attempt == timeout, "a look has another timeout");
                if let Some((asked, silent_at)) = r.looks.open
                    && silent_at <= now
                {
                    r.looks.answered(asked, every, None);
                }
                r.looks.asked(now, number, timeout)
            }
            CheckId::Health(index) => {
                rule!(r.ready_at.is_some(), "run {run} is checked before it is ready");
                let known = processes.exists(run) || r.exit.is_none();
                rule!(known, "run {run} is checked and there is no process");
                let Some(counts) = r.checks.get_mut(index as usize) else {
                    return Err(format!("run {run} has no check {index}"));
                };
                rule!(counts.spec.timeout == timeout, "a check has another timeout");
                counts.question.asked(now, number, timeout)
            }
        }
    }

    pub(crate) fn check_answered(&mut self, now: Time, answer: &CheckAnswer) {
        let Some((spec, r)) = self.run(answer.run) else { return };
        if r.stopping.is_some() || r.exit.is_some() {
            return;
        }
        match answer.check {
            CheckId::Ready => {
                let Ready::Checked { every, .. } = spec.ready else { return };
                let is_waited_for =
                    r.ready_at.is_none() && r.looks.answered(answer.number, every, answer.next);
                let says_ready =
                    matches!(answer.outcome, CheckOutcome::Passed | CheckOutcome::Degraded);
                if is_waited_for && says_ready {
                    r.becomes_ready(now, &spec);
                }
            }
            CheckId::Health(index) => {
                let index = index as usize;
                let Some(counts) = r.checks.get_mut(index).filter(|_| r.ready_at.is_some()) else {
                    return;
                };
                if counts.question.answered(answer.number, counts.spec.every, answer.next) {
                    counts.question.spread_out(answer.next);
                    r.changes(now, spec.restart.reset_after, |run| {
                        let excused = run.notices.excused_until;
                        run.checks[index].take(now, answer.outcome, excused);
                    });
                    // By what its check is configured to do when it answers.
                    r.check_says_restart = r.checks[index].wants_restart();
                }
            }
        }
    }

    pub(crate) fn policy_asked(&mut self, now: Time, id: InstanceId, run: RunId) -> Checked {
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        let asks = account.spec.restart.advice == Advice::Ask;
        rule!(asks, "{:?} asks a policy that it has not", account.key);
        rule!(account.run.is_none(), "{:?} asks a policy while it runs", account.key);
        match account.next {
            Next::Backoff(from, to) => account.next = Next::Backoff(from, to.max(now + PATIENCE)),
            Next::AtOnce => account.next = Next::Backoff(now, now + PATIENCE),
            // Another that ended unseen in the same moment wanted the supervisor to end.
            Next::Free if self.ending.is_some() => return Ok(()),
            // Its group gave up because of it, or of another one, in the same moment.
            Next::Failed | Next::Retry(_) if account.ended_with_group_at == Some(now) => {
                return Ok(());
            }
            // A rolling restart has taken it, in the same moment, as one that does not run.
            Next::Free if self.rolls.iter().any(|roll| roll.under_way.contains(&id)) => {
                return Ok(());
            }
            Next::Free | Next::Done | Next::Failed | Next::Retry(_) => {
                return Err(format!("{:?} asks a policy that has nothing to say", account.key));
            }
        }
        account.question = Some((run, now));
        Ok(())
    }

    pub(crate) fn policy_answered(
        &mut self,
        now: Time,
        id: InstanceId,
        run: RunId,
        answer: &PolicyAnswer,
        in_backoff: bool,
    ) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        let Some((after, ended_at)) = account.question.filter(|_| in_backoff) else { return };
        if after != run {
            return;
        }
        match answer {
            PolicyAnswer::Default => account.question = None,
            PolicyAnswer::RestartAfter(wait) => {
                let until = (ended_at + (*wait).min(WEEK)).max(now);
                account.next = Next::Backoff(until, until);
                account.question = None;
            }
            PolicyAnswer::GiveUp => {
                account.question = None;
                account.next = match account.spec.restart.on_give_up {
                    GiveUp::Stay | GiveUp::Exit => Next::Failed,
                    GiveUp::RetryAfter(delay) => Next::Retry(now + delay),
                };
                account.by_policy = Own::No;
                let then = account.spec.restart.on_give_up;
                if then == GiveUp::Exit {
                    self.end(now, kennel_core::Shutdown::GaveUp);
                }
                self.renew_dependents(id);
                if then == GiveUp::Stay {
                    self.member_failed(now, id, true);
                }
            }
        }
    }
}
