//! What came of a built-in check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kennel_core::CheckOutcome;

/// How a check went, with one line for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All is well.
    Passed {
        /// What was seen.
        reason: String,
    },
    /// It works, but not well.
    Degraded {
        /// What was seen.
        reason: String,
    },
    /// A definite failure.
    Failed {
        /// Of which kind.
        how: Failure,
        /// What was seen.
        reason: String,
    },
    /// There was no answer in time: slow is not dead.
    Late {
        /// What was waited for.
        reason: String,
    },
    /// The check could not be made, which says nothing of the service.
    Impossible {
        /// Why.
        reason: String,
    },
    /// The name of the host could not be resolved. Once or twice this says nothing of the
    /// service; again and again it is a failure.
    Unresolved {
        /// What the resolver said.
        reason: String,
    },
}

/// How a service failed a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nobody was there.
    Refused,
    /// It answered, and not as it should.
    Wrong,
}

impl Outcome {
    /// The line for people.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Passed { reason }
            | Outcome::Degraded { reason }
            | Outcome::Failed { how: _, reason }
            | Outcome::Late { reason }
            | Outcome::Impossible { reason }
            | Outcome::Unresolved { reason } => reason,
        }
    }
}

/// How often in a row the host of one check could not be resolved. Clones count together.
#[derive(Clone, Default, Debug)]
pub(crate) struct Unresolved(Arc<AtomicU32>);

/// So often it says nothing of the service: resolvers come up late, and hiccup.
const UNRESOLVED_MAX: u32 = 3;

impl Unresolved {
    /// An outcome as the core counts it.
    pub(crate) fn counted(&self, outcome: &Outcome) -> CheckOutcome {
        let unresolved = match outcome {
            Outcome::Unresolved { .. } => self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            Outcome::Passed { .. }
            | Outcome::Degraded { .. }
            | Outcome::Failed { .. }
            | Outcome::Late { .. }
            | Outcome::Impossible { .. } => {
                self.0.store(0, Ordering::Relaxed);
                0
            }
        };
        match outcome {
            Outcome::Passed { .. } => CheckOutcome::Passed,
            Outcome::Degraded { .. } => CheckOutcome::Degraded,
            Outcome::Failed { how: Failure::Refused, .. } => CheckOutcome::Refused,
            Outcome::Failed { how: Failure::Wrong, .. } => CheckOutcome::Wrong,
            Outcome::Late { .. } => CheckOutcome::Late,
            Outcome::Unresolved { .. } if unresolved > UNRESOLVED_MAX => CheckOutcome::Refused,
            Outcome::Impossible { .. } | Outcome::Unresolved { .. } => CheckOutcome::Impossible,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stays_unresolved_is_unknown_at_first_and_then_a_failure() {
        let unresolved = Outcome::Unresolved { reason: String::new() };
        let passed = Outcome::Passed { reason: String::new() };
        let names = Unresolved::default();
        let mut counted = Vec::new();
        for outcome in [&unresolved, &unresolved, &unresolved, &unresolved, &unresolved, &passed] {
            counted.push(names.counted(outcome));
        }
        use CheckOutcome::{Impossible, Passed, Refused};
        assert_eq!(counted, [Impossible, Impossible, Impossible, Refused, Refused, Passed]);
        assert_eq!(names.counted(&unresolved), Impossible, "it begins anew");
    }
}
