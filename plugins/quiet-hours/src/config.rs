//! What stands under `config:`.

use kennel_plugin::OneOrMany;
use kennel_plugin::prelude::*;

use crate::names;
use crate::week::{self, Days, Hours, Week, time_of_day};
use crate::zone::Zone;

/// When restarts wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// In which zone the hours are meant.
    #[serde(default = "utc")]
    time_zone: String,
    /// Restarts wait until these hours are over.
    quiet: Option<Vec<RawHours>>,
    /// Restarts wait until one of these begins.
    maintenance: Option<Vec<RawHours>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    days: Option<OneOrMany<String>>,
    from: String,
    to: String,
}

/// Whether the configured hours are those in which restarts wait, or those in which they
/// do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Quiet,
    Maintenance,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Config {
    /// The zone and the quiet hours of a week.
    pub(crate) fn check(self) -> Result<(Zone, Week, Kind), Problems> {
        let Config { time_zone, quiet, maintenance } = self;
        let mut problems = Problems::new();
        let zone = problems.take("time_zone", names::zone(&time_zone));
        let week = match (quiet, maintenance) {
            (Some(raw), None) => {
                let hours = read_hours("quiet", raw, &mut problems);
                Some((Week::quiet_in(&hours), Kind::Quiet))
            }
            (None, Some(raw)) => {
                let hours = read_hours("maintenance", raw, &mut problems);
                Some((Week::quiet_outside(&hours), Kind::Maintenance))
            }
            (Some(_), Some(_)) => {
                problems.add("maintenance", "either quiet or maintenance, not both");
                None
            }
            (None, None) => {
                problems.add("", "quiet or maintenance has to say which hours are meant");
                None
            }
        };
        if problems.is_empty()
            && let Some((week, Kind::Quiet)) = &week
            && week.is_full()
        {
            problems.add("quiet", "no time of the week is left for restarts");
        }
        match (zone, week) {
            (Some(zone), Some((week, kind))) if problems.is_empty() => Ok((zone, week, kind)),
            (Some(_) | None, Some(_) | None) => Err(problems),
        }
    }
}

fn read_hours(key: &str, raw: Vec<RawHours>, problems: &mut Problems) -> Vec<Hours> {
    if raw.is_empty() {
        problems.add(key, "no hours: write { days: mon-fri, from: \"22:00\", to: \"06:00\" }");
    }
    let read = |(index, raw)| read_one(&format!("{key}[{index}]"), raw, problems);
    raw.into_iter().enumerate().filter_map(read).collect()
}

fn read_one(path: &str, raw: RawHours, problems: &mut Problems) -> Option<Hours> {
    let RawHours { days, from, to } = raw;
    let days = match days {
        None => Some(Days::ALL),
        Some(days) => read_days(path, &days, problems),
    };
    let from = problems.take(&format!("{path}.from"), time_of_day(&from));
    let to = problems.take(&format!("{path}.to"), time_of_day(&to));
    let hours = Hours { days: days?, from: from?, to: to? };
    if hours.from == week::DAY {
        problems.add(format!("{path}.from"), "24:00 is an end; write 00:00 of the next day");
        return None;
    }
    if hours.from == hours.to {
        let why = "from and to are the same: for the whole day write 00:00 and 24:00";
        problems.add(format!("{path}.to"), why);
        return None;
    }
    Some(hours)
}

fn read_days(path: &str, days: &OneOrMany<String>, problems: &mut Problems) -> Option<Days> {
    let mut all = Some(Days::NONE);
    if days.is_empty() {
        problems.add(format!("{path}.days"), "no day: leave it out for every day");
        return None;
    }
    for day in days.iter() {
        let day = problems.take(&format!("{path}.days"), Days::parse(day));
        all = all.zip(day).map(|(all, day)| all.or(day));
    }
    all
}
