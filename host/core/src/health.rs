//! Health checks of a run that is ready, and the tries to find out whether one is.
//!
//! ```text
//!   due ─► asked ─► answer ─► counters ─► the check's word ─► worst of all ─► health
//!    ▲                │                                                         │
//!    └──── every ─────┘                                 unhealthy ─► begin_stop ┘
//! ```
//!
//! A check lives inside the phase `Up`, a try for readiness inside `Starting`: leaving the
//! phase forgets both, so an answer that comes later finds nothing to change. Each question
//! has a number; an answer with another one is old news.
//!
//! Dead is not slow: a definite failure and a late answer are counted apart. A check that
//! could not be made counts as neither: it restarts nothing, and proves nothing.
//!
//! Deliberately absent: what a check is made of. The driver knows; here it is an index.

use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;
use crate::effect::Effect;
use crate::event::{EventKind, StopReason};
use crate::input::{CheckAnswer, CheckId, CheckOutcome};
use crate::instance::{Instance, Phase, Proof, Starting};
use crate::rng::Rng;
use crate::spec::{CheckSpec, Kind, OnUnhealthy, Ready};
use crate::{Health, InstanceId, RunId, Time};

/// How much longer than its timeout an answer is waited for: whoever makes the check cuts
/// it at the timeout and says so, and this is for the case that even that is not said.
const SILENCE: Duration = Duration::from_secs(2);

/// The first check of a run comes within this time, whatever its period, so that its
/// health is soon known. The second comes half a period to one and a half later, anywhere
/// in between: services that start together are not checked together for ever after.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// How far a plugin may move its next check from the period: down to a tenth of it, but
/// not below this, and up to ten times.
const NEXT_AT_LEAST: Duration = Duration::from_millis(100);

/// One check of the present run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Check {
    pub(crate) spec: CheckSpec,
    pub(crate) word: Health,
    pub(crate) reason: Arc<str>,
    grace: Grace,
    failures: u32,
    timeouts: u32,
    successes: u32,
    /// It was healthy no more; now `successes` good answers are asked for.
    fallen: bool,
    rhythm: Rhythm,
}

/// When a check is made.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rhythm {
    turn: Turn,
    /// How many there were.
    asked: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Turn {
    Due(Time),
    Asked { since: Time, silent_at: Time },
}

/// Whether bad answers count yet.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Grace {
    Until(Time),
    Over,
}

impl Rhythm {
    pub(crate) fn starting_at(due: Time) -> Rhythm {
        Rhythm { turn: Turn::Due(due), asked: 0 }
    }

    pub(crate) fn deadline(&self) -> Time {
        match self.turn {
            Turn::Due(at) | Turn::Asked { silent_at: at, .. } => at,
        }
    }

    /// Brings the next turn forward: another period holds from now on.
    fn not_after(&mut self, at: Time) {
        match &mut self.turn {
            Turn::Due(due) => *due = (*due).min(at),
            Turn::Asked { .. } => {}
        }
    }

    /// Forgets the question that is open and asks again at once; numbers go on after
    /// `asked`, so that no answer to an earlier question fits.
    fn ask_anew(&mut self, now: Time, asked: u32) {
        self.asked = asked;
        match self.turn {
            Turn::Due(_) => {}
            Turn::Asked { .. } => self.turn = Turn::Due(now),
        }
    }

    /// What is to be done at the deadline.
    fn pass(&mut self, now: Time, timeout: Duration) -> Passed {
        match self.turn {
            Turn::Due(_) => {
                self.asked = self.asked.wrapping_add(1);
                self.turn = Turn::Asked { since: now, silent_at: now + timeout + SILENCE };
                Passed::Ask(self.asked)
            }
            Turn::Asked { .. } => Passed::Silent(self.asked),
        }
    }

    /// Takes the answer to question `number` and plans the next one; false when nobody
    /// asked.
    fn answered(&mut self, now: Time, number: u32, next: Duration) -> bool {
        let Turn::Asked { since, .. } = self.turn else { return false };
        if number != self.asked {
            return false;
        }
        // Turns that have passed meanwhile are left out, so that checks keep their place
        // in time and a slow one does not become a busy one.
        let late = now.since(since);
        let turns = match next.as_nanos() {
            0 => 0,
            period => late.as_nanos().div_ceil(period).max(1),
        };
        let wait = next.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        self.turn = Turn::Due((since + wait).max(now));
        true
    }
}

enum Passed {
    Ask(u32),
    Silent(u32),
}

impl Check {
    fn new(spec: &CheckSpec, spawned_at: Time, now: Time, rng: &mut Rng) -> Check {
        let first = now + rng.share(spec.every.min(FIRST_WITHIN));
        Check {
            spec: spec.clone(),
            word: Health::Unknown,
            reason: "".into(),
            grace: Grace::Until(spawned_at + spec.grace),
            failures: 0,
            timeouts: 0,
            successes: 0,
            fallen: false,
            rhythm: Rhythm::starting_at(first),
        }
    }

    fn deadline(&self) -> Time {
        self.rhythm.deadline()
    }

    /// Takes one answer into account; a late one does not count while that is excused.
    fn take(&mut self, now: Time, outcome: CheckOutcome, is_excused: bool) {
        let in_grace = match self.grace {
            Grace::Until(end) => now < end,
            Grace::Over => false,
        };
        if outcome != CheckOutcome::Passed {
            self.successes = 0;
        }
        match outcome {
            CheckOutcome::Passed => {
                self.answers();
                self.successes = self.successes.saturating_add(1);
                if !self.fallen || self.successes >= self.spec.successes {
                    self.fallen = false;
                    self.word = Health::Healthy;
                }
            }
            CheckOutcome::Degraded => {
                self.answers();
                self.falls(Health::Degraded);
            }
            CheckOutcome::Refused | CheckOutcome::Wrong if !in_grace => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.spec.failures {
                    self.falls(Health::Unhealthy);
                }
            }
            CheckOutcome::Late if !in_grace && !is_excused => {
                self.timeouts = self.timeouts.saturating_add(1);
                if self.timeouts >= self.spec.timeouts {
                    self.falls(Health::Unhealthy);
                } else if self.word != Health::Unhealthy {
                    self.falls(Health::Degraded);
                }
            }
            CheckOutcome::Refused | CheckOutcome::Wrong | CheckOutcome::Late => {}
            CheckOutcome::Impossible => self.word = Health::Unknown,
        }
    }

    /// It works, well or not: the grace has served its purpose and nothing is in a row.
    fn answers(&mut self) {
        self.grace = Grace::Over;
        self.failures = 0;
        self.timeouts = 0;
    }

    fn falls(&mut self, to: Health) {
        self.fallen = true;
        self.word = to;
    }

    /// The answer with how often it came, for people.
    fn sentence(&self, outcome: CheckOutcome, answer: &str) -> String {
        let name = &self.spec.name;
        let times = match outcome {
            CheckOutcome::Refused | CheckOutcome::Wrong => self.failures,
            CheckOutcome::Late => self.timeouts,
            CheckOutcome::Passed | CheckOutcome::Degraded | CheckOutcome::Impossible => 0,
        };
        let said = if answer.is_empty() { default_words(outcome) } else { answer };
        match times {
            0 | 1 => format!("{name}: {said}"),
            times => format!("{name}: {said}, {times} times in a row"),
        }
    }
}

fn default_words(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Passed => "passed",
        CheckOutcome::Degraded => "degraded",
        CheckOutcome::Refused => "refused",
        CheckOutcome::Wrong => "wrong answer",
        CheckOutcome::Late => "no answer in time",
        CheckOutcome::Impossible => "could not be made",
    }
}

/// How a healthy period is asked for: at most ten times the period, at least a tenth.
fn next_wait(every: Duration, asked_for: Option<Duration>) -> Duration {
    match asked_for {
        None => every,
        Some(next) => {
            let least = (every / 10).max(NEXT_AT_LEAST);
            next.clamp(least, every.saturating_mul(10).max(least))
        }
    }
}

impl Instance {
    /// What its checks and it itself say, and why: the worst word counts.
    pub(crate) fn present_health(&self) -> (Health, Arc<str>) {
        let checks: &[Check] = match &self.phase {
            Phase::Up(up) => &up.checks,
            Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => &[],
        };
        let worst = checks.iter().max_by_key(|check| severity(check.word));
        match (worst, &self.reported) {
            (None, (said, why)) => (*said, why.clone()),
            (Some(check), (Health::Unknown, _)) => (check.word, check.reason.clone()),
            (Some(check), (said, why)) if severity(*said) >= severity(check.word) => {
                (*said, why.clone())
            }
            (Some(check), _) => (check.word, check.reason.clone()),
        }
    }

    /// Whether it is on its way to being stable. Without any check, being ready is all
    /// there is to ask for; a check that cannot be made proves nothing.
    pub(crate) fn is_passing(&self) -> bool {
        match self.health {
            Health::Healthy => true,
            Health::Unknown => match &self.phase {
                Phase::Up(up) => up.checks.is_empty(),
                Phase::Starting(_)
                | Phase::Stopping(_)
                | Phase::Down
                | Phase::Waiting(_)
                | Phase::Backoff(_)
                | Phase::Failed { .. }
                | Phase::Done => true,
            },
            Health::Degraded | Health::Unhealthy => false,
        }
    }

    /// The next thing that is due in its checks.
    pub(crate) fn check_deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Up(up) => up.checks.iter().map(Check::deadline).min(),
            Phase::Starting(Starting { tries, .. }) => tries.as_ref().map(Rhythm::deadline),
            Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => None,
        }
    }
}

/// The larger, the worse.
fn severity(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::Unhealthy => 3,
    }
}

impl Core {
    /// The checks of a run that has just become ready.
    pub(crate) fn new_checks(&mut self, id: InstanceId, spawned_at: Time) -> Vec<Check> {
        let Some(instance) = self.instances.get(&id) else { return Vec::new() };
        let (spec, now) = (instance.spec.clone(), self.now);
        spec.health.iter().map(|check| Check::new(check, spawned_at, now, &mut self.rng)).collect()
    }

    /// A changed configuration: checks that are as they were go on, others begin anew.
    pub(crate) fn change_checks(&mut self, id: InstanceId) {
        let Some(Phase::Up(up)) = self.instances.get(&id).map(|instance| &instance.phase) else {
            return;
        };
        let (spawned_at, now) = (up.spawned_at, self.now);
        let mut old = up.checks.clone();
        let last_asked = old.iter().map(|check| check.rhythm.asked).max().unwrap_or(0);
        let fresh = self.new_checks(id, spawned_at);
        let checks: Vec<Check> = fresh
            .into_iter()
            .map(|check| match old.iter().position(|old| old.spec.name == check.spec.name) {
                Some(at) => {
                    let mut known = old.swap_remove(at);
                    if known.spec.every != check.spec.every {
                        known.rhythm.not_after(now + check.spec.every);
                    }
                    Check { spec: check.spec, ..known }
                }
                None => check,
            })
            .collect();
        if let Some(Phase::Up(up)) = self.instances.get_mut(&id).map(|i| &mut i.phase) {
            let names = |checks: &[Check]| -> Vec<Arc<str>> {
                checks.iter().map(|check| check.spec.name.clone()).collect()
            };
            let have_moved = names(&up.checks) != names(&checks);
            up.checks = checks;
            if have_moved {
                // An answer bears the place of its check, and another may stand there now.
                up.checks.iter_mut().for_each(|check| check.rhythm.ask_anew(now, last_asked));
            }
        }
        self.weigh_health(id);
    }

    /// Begins to look whether a run is ready, stops looking, or goes on, as its spec says.
    pub(crate) fn change_tries(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let looks = match (instance.spec.kind, instance.spec.ready) {
            (Kind::Daemon, Ready::Checked { .. }) => true,
            (Kind::Daemon, Ready::After(_) | Ready::Reported { .. }) | (Kind::Oneshot, _) => false,
        };
        let Phase::Starting(Starting { spawned_at: Some(_), tries, .. }) = &mut instance.phase
        else {
            return;
        };
        match (looks, &tries) {
            (true, None) => *tries = Some(Rhythm::starting_at(now)),
            (false, Some(_)) => *tries = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Asks what is due, and takes silence for a late answer.
    pub(crate) fn pass_check_deadlines(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let mut asked = Vec::new();
        let mut silent = Vec::new();
        let run = match &mut instance.phase {
            Phase::Starting(Starting { run, tries: Some(tries), .. }) => {
                if tries.deadline() <= now
                    && let Ready::Checked { attempt, .. } = instance.spec.ready
                {
                    match tries.pass(now, attempt) {
                        Passed::Ask(number) => asked.push((CheckId::Ready, number, attempt)),
                        Passed::Silent(number) => silent.push((CheckId::Ready, number)),
                    }
                }
                *run
            }
            Phase::Up(up) => {
                for (index, check) in up.checks.iter_mut().enumerate() {
                    let check_id = CheckId::Health(index as u32);
                    let timeout = check.spec.timeout;
                    if check.deadline() <= now {
                        match check.rhythm.pass(now, timeout) {
                            Passed::Ask(number) => asked.push((check_id, number, timeout)),
                            Passed::Silent(number) => silent.push((check_id, number)),
                        }
                    }
                }
                up.run
            }
            Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => return,
        };
        for (check, number, timeout) in asked {
            self.effect(Effect::Check { run, check, number, timeout });
        }
        for (check, number) in silent {
            let outcome = CheckOutcome::Impossible;
            let reason = "nobody answered whether it passed".to_owned();
            self.checked(CheckAnswer { run, check, number, outcome, reason, next: None });
        }
    }

    pub(crate) fn checked(&mut self, answer: CheckAnswer) {
        let Some(id) = self.instance_of(answer.run) else { return };
        match answer.check {
            CheckId::Ready => self.tried(id, answer),
            CheckId::Health(_) => self.health_checked(id, answer),
        }
    }

    fn tried(&mut self, id: InstanceId, answer: CheckAnswer) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Ready::Checked { every, .. } = instance.spec.ready else { return };
        let Phase::Starting(Starting { run, tries: Some(tries), last_try, .. }) =
            &mut instance.phase
        else {
            return;
        };
        let next = next_wait(every, answer.next);
        if *run != answer.run || !tries.answered(now, answer.number, next) {
            return;
        }
        match answer.outcome {
            CheckOutcome::Passed | CheckOutcome::Degraded => self.ready(answer.run),
            CheckOutcome::Refused
            | CheckOutcome::Wrong
            | CheckOutcome::Late
            | CheckOutcome::Impossible => {
                let words = answer.reason;
                let words =
                    if words.is_empty() { default_words(answer.outcome).into() } else { words };
                *last_try = Some(words.into());
            }
        }
    }

    fn health_checked(&mut self, id: InstanceId, answer: CheckAnswer) {
        let now = self.now;
        let CheckAnswer { run, check: CheckId::Health(index), number, outcome, reason, next } =
            answer
        else {
            return;
        };
        let anywhere = self.rng.share(Duration::from_secs(1)).as_secs_f64();
        let Some(Phase::Up(up)) = self.instances.get_mut(&id).map(|i| &mut i.phase) else { return };
        let Some(check) = up.checks.get_mut(index as usize) else { return };
        let every = check.spec.every;
        let next = match (number, next) {
            (1, None) => every.mul_f64(0.5 + anywhere),
            (_, next) => next_wait(every, next),
        };
        if up.run != run || !check.rhythm.answered(now, number, next) {
            return;
        }
        let is_excused = up.excused_until.is_some_and(|until| now < until);
        check.take(now, outcome, is_excused);
        check.reason = check.sentence(outcome, &reason).into();
        let stop = match (check.word, check.spec.on_unhealthy) {
            (Health::Unhealthy, OnUnhealthy::Restart) => Some(check.reason.to_string()),
            (Health::Unhealthy, OnUnhealthy::Report)
            | (Health::Unknown | Health::Healthy | Health::Degraded, _) => None,
        };
        self.weigh_health(id);
        if let Some(why) = stop {
            self.begin_stop(id, StopReason::Unhealthy(why));
        }
    }

    /// Lets the health follow what was said, tells it, and lets the time to being stable
    /// begin anew or stop.
    pub(crate) fn weigh_health(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let (to, reason) = instance.present_health();
        let from = std::mem::replace(&mut instance.health, to);
        let is_passing = instance.is_passing();
        let reset_after = instance.spec.restart.reset_after;
        let run: Option<RunId> = instance.phase.run();
        if let Phase::Up(up) = &mut instance.phase {
            up.proof = match (up.proof, is_passing) {
                (Proof::Given, _) => Proof::Given,
                (Proof::Until(at), true) => Proof::Until(at),
                (Proof::Interrupted, true) => Proof::Until(now + reset_after),
                (Proof::Until(_) | Proof::Interrupted, false) => Proof::Interrupted,
            };
        }
        // A roll may wait for that.
        self.is_unsettled |= from != to && !self.rolls.is_empty();
        if let (true, Some(run)) = (from != to, run) {
            let reason = reason.to_string();
            self.tell(id, EventKind::HealthChanged { run, from, to, reason });
        }
    }
}
