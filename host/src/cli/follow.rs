//! Going on with what is followed when another supervisor has taken over, after an upgrade
//! or a crash.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::api::{Client, ClientError};

/// How long a supervisor may be away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Whether a supervisor answers again.
pub(super) async fn comes_back(client: &Client) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if client.status(&[]).await.is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a connection was cut rather than ended.
pub(super) fn is_cut(error: &ClientError) -> bool {
    match error {
        ClientError::Interrupted { .. } => true,
        ClientError::NotRunning { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Silent { .. }
        | ClientError::Refused { .. }
        | ClientError::Unreadable { .. } => false,
    }
}

/// How far the output of services was shown, in times of lines.
///
/// A time alone is no place, since many lines are read at one; the how-manieth of that time
/// a line is makes it one.
#[derive(Default)]
pub(super) struct Shown {
    of: BTreeMap<String, Place>,
    began: Option<Timestamp>,
}

struct Place {
    at: Timestamp,
    /// How many lines of that time were shown.
    lines: u64,
    /// How many of them are still to come once more; none when all that comes is new.
    again: Option<u64>,
}

impl Shown {
    /// Nothing was shown yet; lines from now on are new whatever their service.
    pub(super) fn new() -> Shown {
        Shown { of: BTreeMap::new(), began: Some(Timestamp::now()) }
    }

    /// Takes note of a line that comes; false when it was shown already.
    pub(super) fn is_new(&mut self, service: &str, at: Option<Timestamp>) -> bool {
        // Kept without times: what comes is taken for new.
        let Some(at) = at else { return true };
        let Some(place) = self.of.get_mut(service) else {
            self.of.insert(service.to_owned(), Place { at, lines: 1, again: None });
            return true;
        };
        match place.again {
            Some(_) if at < place.at => return false,
            Some(left) if at == place.at && left > 0 => {
                place.again = Some(left - 1);
                return false;
            }
            Some(_) => place.again = None,
            None => {}
        }
        if at == place.at {
            place.lines += 1;
        } else {
            *place = Place { at, lines: 1, again: None };
        }
        true
    }

    /// All begins anew: from when on lines have to be asked for.
    pub(super) fn again(&mut self) -> Option<String> {
        for place in self.of.values_mut() {
            place.again = Some(place.lines);
        }
        let oldest = self.of.values().map(|place| place.at).chain(self.began).min();
        oldest.map(|at| format!("{at:.9}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_shown_once_however_many_have_one_time() {
        let at = |second| Timestamp::from_second(second).ok();
        let lines = [("a", 1), ("a", 2), ("b", 2), ("a", 2), ("a", 3)];
        let mut shown = Shown::default();
        assert!(lines[..4].iter().all(|(name, second)| shown.is_new(name, at(*second))));
        // Once more from the oldest place on, and further.
        assert_eq!(shown.again().as_deref(), Some("1970-01-01T00:00:02.000000000Z"));
        let new: Vec<_> = lines[1..]
            .iter()
            .chain(&[("a", 2), ("b", 2), ("c", 1)])
            .filter(|(name, second)| shown.is_new(name, at(*second)))
            .collect();
        assert_eq!(new, [&("a", 3), &("a", 2), &("b", 2), &("c", 1)]);
        assert!(shown.is_new("a", None));
    }

    #[test]
    fn what_comes_again_for_the_sake_of_another_service_is_not_shown_again() {
        let at = |second| Timestamp::from_second(second).ok();
        let mut shown = Shown::default();
        let lines = [("a", 1), ("b", 1), ("a", 2)];
        assert!(lines.iter().all(|(name, second)| shown.is_new(name, at(*second))));
        assert_eq!(shown.again().as_deref(), Some("1970-01-01T00:00:01.000000000Z"));
        let mut again = vec![("a", 1), ("b", 1), ("a", 2), ("a", 2), ("b", 2)];
        again.retain(|(name, second)| shown.is_new(name, at(*second)));
        assert_eq!(again, [("a", 2), ("b", 2)]);
    }
}
