//! Local time: how far a clock on the wall is ahead of UTC at a given moment.
//!
//! A plugin has no time zone database to ask, so a zone is an offset, or two offsets with
//! the yearly rules by which they alternate. That is exact for the present and the future
//! as far as they are decided, which is all that a policy needs.

use std::fmt;

use crate::civil::{DAY, HOUR, MINUTE, month_length, month_start, weekday, year_of, year_start};

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) standard: Clock,
    pub(crate) summer: Option<Summer>,
}

/// What a wall clock shows while one offset holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clock {
    /// `CET`, or `+02` where the zone has no letters.
    pub(crate) name: String,
    /// Seconds ahead of UTC.
    pub(crate) offset: i64,
}

/// Daylight saving time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summer {
    pub(crate) clock: Clock,
    /// When it begins, as the standard clock shows.
    pub(crate) begins: Change,
    /// When it ends, as the summer clock shows.
    pub(crate) ends: Change,
}

/// The yearly moment at which clocks are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) day: Day,
    /// Seconds after the day's midnight; may be negative, and more than a day.
    pub(crate) time: i64,
}

/// A day of every year, in the three ways of POSIX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    /// `Jn`: from 1 to 365, the 29th of February does not count.
    Julian(u16),
    /// `n`: from 0 to 365.
    Ordinal(u16),
    /// `Mm.w.d`: the weekday, 0 for Sunday, for the w-th time in the month; 5 is the last.
    Weekday { month: u8, week: u8, day: u8 },
}

impl Zone {
    /// A zone of one offset, in seconds ahead of UTC.
    pub(crate) fn fixed(offset: i64) -> Zone {
        Zone { standard: Clock { name: offset_name(offset), offset }, summer: None }
    }

    /// The clock that holds at `at`, in seconds since 1970.
    pub(crate) fn clock(&self, at: i64) -> &Clock {
        let Some(summer) = &self.summer else { return &self.standard };
        let last = self.changes_around(summer, at).into_iter().rfind(|change| change.at <= at);
        match last.map(|change| change.season) {
            Some(Season::Summer) => &summer.clock,
            Some(Season::Standard) | None => &self.standard,
        }
    }

    /// The first moment after `at` from which another offset may hold.
    pub(crate) fn next_change(&self, at: i64) -> Option<i64> {
        let summer = self.summer.as_ref()?;
        self.changes_around(summer, at).into_iter().map(|c| c.at).find(|change| *change > at)
    }

    /// The changes of the years around `at`, in order.
    fn changes_around(&self, summer: &Summer, at: i64) -> Vec<Moment> {
        let year = year_of((at + self.standard.offset).div_euclid(DAY));
        let mut moments = Vec::with_capacity(8);
        for year in year - 2..=year + 2 {
            let ends = summer.ends.local(year) - summer.clock.offset;
            moments.push(Moment { at: ends, season: Season::Standard });
            let begins = summer.begins.local(year) - self.standard.offset;
            moments.push(Moment { at: begins, season: Season::Summer });
        }
        // At the same moment summer wins: that is how a summer that lasts all year is written.
        moments.sort_unstable_by_key(|moment| (moment.at, moment.season));
        moments
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Season {
    Standard,
    Summer,
}

#[derive(Clone, Copy)]
struct Moment {
    at: i64,
    season: Season,
}

impl Change {
    /// Seconds since 1970 of a clock that shows the change.
    fn local(self, year: i64) -> i64 {
        self.day.in_year(year) * DAY + self.time
    }
}

impl Day {
    /// Days since 1970.
    fn in_year(self, year: i64) -> i64 {
        match self {
            Day::Julian(day) => {
                let after_february = i64::from(day >= 60 && crate::civil::is_leap(year));
                year_start(year) + i64::from(day) - 1 + after_february
            }
            Day::Ordinal(day) => year_start(year) + i64::from(day),
            Day::Weekday { month, week, day } => {
                let first = month_start(year, month);
                // POSIX counts from Sunday, `weekday` from Monday.
                let wanted = (i64::from(day) + 6) % 7;
                let day = (wanted - weekday(first)).rem_euclid(7) + 7 * (i64::from(week) - 1);
                let last = month_length(year, month) - 1;
                first + if day > last { day - 7 } else { day }
            }
        }
    }
}

/// `UTC`, `+02:00`, `-03:30`.
fn offset_name(offset: i64) -> String {
    if offset == 0 {
        return "UTC".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / MINUTE;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The largest offset from UTC that POSIX allows.
pub(crate) const OFFSET_MAX: i64 = 25 * HOUR - 1;
