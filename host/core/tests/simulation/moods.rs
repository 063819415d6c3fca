//! How checks answer: in spells. For a while one tells the truth, for a while it lies,
//! flaps, hangs or is lost; after each bad spell it recovers. A spell outlives restarts,
//! as a check with a mistake in it does.

use std::collections::BTreeMap;

use kennel_core::{CheckId, CheckOutcome, Time};

use crate::processes::Key;
use crate::random::Random;

/// What a check answers by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Mood {
    /// What is so, a slip now and then aside.
    Truthful,
    /// All is well, whatever is so.
    Rosy,
    /// Nothing is well, whatever is so.
    Gloomy,
    /// Well and unwell by turns.
    Flapping,
    /// Always too late.
    Hanging,
    /// Neither well nor dead.
    Tired,
    /// It cannot be made, or nobody hears of it.
    Lost,
}

/// The moods that pass.
const BAD: [Mood; 6] =
    [Mood::Rosy, Mood::Gloomy, Mood::Flapping, Mood::Hanging, Mood::Tired, Mood::Lost];

/// How often checks were in a mood and told the truth again afterwards, in the order above.
pub(crate) type Recoveries = [u64; BAD.len()];

#[derive(Clone, Copy)]
struct Spell {
    mood: Mood,
    ends_at: Time,
    /// What a flapping check says next.
    is_up: bool,
}

/// The spells of all checks, by the instance they belong to.
#[derive(Default)]
pub(crate) struct Moods {
    spells: BTreeMap<(Key, Option<u32>), Spell>,
    pub(crate) recoveries: Recoveries,
}

impl Moods {
    /// What the check says now, and nothing if nobody hears of it. `lasting`: how many
    /// seconds a spell lasts.
    pub(crate) fn answer(
        &mut self,
        now: Time,
        check: (&Key, CheckId),
        is_sick: bool,
        lasting: (f64, f64),
        random: &mut Random,
    ) -> Option<CheckOutcome> {
        let fresh = |mood: Mood, random: &mut Random| {
            let ends_at = now + random.seconds(lasting.0, lasting.1);
            Spell { mood, ends_at, is_up: random.chance(0.5) }
        };
        let place = match check.1 {
            CheckId::Ready => None,
            CheckId::Health(place) => Some(place),
        };
        let spell = self
            .spells
            .entry((check.0.clone(), place))
            .or_insert_with(|| fresh(Mood::Truthful, random));
        if spell.ends_at <= now {
            let next = match BAD.iter().position(|mood| *mood == spell.mood) {
                Some(bad) => {
                    self.recoveries[bad] += 1;
                    Mood::Truthful
                }
                None => random.pick(&BAD),
            };
            *spell = fresh(next, random);
        }
        let broken = [CheckOutcome::Refused, CheckOutcome::Wrong, CheckOutcome::Late];
        let any = [
            CheckOutcome::Passed,
            CheckOutcome::Degraded,
            CheckOutcome::Refused,
            CheckOutcome::Wrong,
            CheckOutcome::Late,
            CheckOutcome::Impossible,
        ];
        match spell.mood {
            Mood::Truthful if random.chance(0.05) => Some(random.pick(&any)),
            Mood::Truthful if is_sick => Some(random.pick(&broken)),
            Mood::Truthful | Mood::Rosy => Some(CheckOutcome::Passed),
            Mood::Gloomy => Some(random.pick(&[CheckOutcome::Refused, CheckOutcome::Wrong])),
            Mood::Flapping => {
                spell.is_up = !spell.is_up;
                let is_up = spell.is_up;
                Some(if is_up { CheckOutcome::Passed } else { random.pick(&broken) })
            }
            Mood::Hanging => Some(CheckOutcome::Late),
            Mood::Tired => Some(CheckOutcome::Degraded),
            Mood::Lost => random.chance(0.5).then_some(CheckOutcome::Impossible),
        }
    }
}
