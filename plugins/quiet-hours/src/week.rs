//! The hours of a week that are quiet, as a local clock shows them.
//!
//! What decides is what the clock on the wall reads. So where an hour comes twice, in
//! autumn, hours within it are quiet twice, and where one is missing, in spring, they end
//! (or begin) as the clock jumps over it.

use crate::zone::Zone;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// Quiet stretches of the week in seconds since Monday 00:00: in order, apart from each
/// other, none empty, each ends by the end of the week.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Week {
    quiet: Vec<(i64, i64)>,
}

/// Hours on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hours {
    pub(crate) days: Days,
    /// Seconds after midnight.
    pub(crate) from: i64,
    /// Seconds after midnight; of the next day where it is not after `from`.
    pub(crate) to: i64,
}

/// A set of days of the week, bit 0 for Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days(u8);

impl Week {
    /// The hours are quiet, all others are not.
    pub(crate) fn quiet_in(hours: &[Hours]) -> Week {
        let mut pieces = Vec::new();
        for Hours { days, from, to } in hours {
            let length = if to > from { to - from } else { to + DAY - from };
            for day in days.iter() {
                let begin = day * DAY + from;
                pieces.push((begin, (begin + length).min(WEEK)));
                if begin + length > WEEK {
                    pieces.push((0, begin + length - WEEK));
                }
            }
        }
        pieces.sort_unstable();
        let mut quiet: Vec<(i64, i64)> = Vec::new();
        for (begin, end) in pieces {
            match quiet.last_mut() {
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => quiet.push((begin, end)),
            }
        }
        Week { quiet }
    }

    /// The hours are not quiet, all others are.
    pub(crate) fn quiet_outside(hours: &[Hours]) -> Week {
        let mut quiet = Vec::new();
        let mut at = 0;
        for (begin, end) in Week::quiet_in(hours).quiet {
            if begin > at {
                quiet.push((at, begin));
            }
            at = end;
        }
        if at < WEEK {
            quiet.push((at, WEEK));
        }
        Week { quiet }
    }

    /// Whether no moment of the week is left.
    pub(crate) fn is_full(&self) -> bool {
        self.quiet == [(0, WEEK)]
    }

    /// How long it is quiet when the clock shows this second of the week; none when it is
    /// not.
    fn quiet_left(&self, second: i64) -> Option<i64> {
        let (_, end) =
            self.quiet.iter().find(|(begin, end)| (*begin..*end).contains(&second)).copied()?;
        let begins_quiet = self.quiet.first().filter(|(begin, _)| *begin == 0);
        let next_week = match begins_quiet {
            Some((_, end)) if !self.is_full() => *end,
            Some(_) | None => 0,
        };
        Some(end - second + if end == WEEK { next_week } else { 0 })
    }

    /// When the quiet hours end that hold at `at`, in seconds since 1970; `at` itself when
    /// there are none.
    pub(crate) fn quiet_until(&self, at: i64, zone: &Zone) -> i64 {
        // One step for each change of the clocks on the way. A week has at most two.
        const STEPS_MAX: usize = 16;
        let mut until = at;
        for _ in 0..STEPS_MAX {
            let local = until + zone.clock(until).offset;
            let Some(left) = self.quiet_left(week_second(local)) else { return until };
            // What the clock will show then is known as far as nobody changes it.
            let change = zone.next_change(until).unwrap_or(i64::MAX);
            until = (until + left).min(change);
        }
        until
    }
}

impl Days {
    /// All seven.
    pub(crate) const ALL: Days = Days(0b111_1111);

    fn iter(self) -> impl Iterator<Item = i64> {
        (0..7).filter(move |day| self.0 & (1 << day) != 0)
    }

    pub(crate) fn or(self, other: Days) -> Days {
        Days(self.0 | other.0)
    }

    /// No day at all; not what anybody configures.
    pub(crate) const NONE: Days = Days(0);

    /// Reads `mon`, `Monday`, `mon-fri`, `fri-mon`, `weekdays`, `weekend` and `daily`.
    pub(crate) fn parse(text: &str) -> Result<Days, String> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "daily" => return Ok(Days::ALL),
            "weekday" | "weekdays" => return Ok(Days(0b001_1111)),
            "weekend" | "weekends" => return Ok(Days(0b110_0000)),
            _ => {}
        }
        let (first, last) = lower.split_once('-').unwrap_or((&lower, &lower));
        match (day(first.trim()), day(last.trim())) {
            (Some(first), Some(last)) => {
                let length = (last + 7 - first) % 7;
                Ok(Days((0..=length).fold(0, |days, next| days | 1 << ((first + next) % 7))))
            }
            (_, _) => Err(format!(
                "\"{text}\" is no day of the week: write mon, mon-fri, weekdays, weekend or daily"
            )),
        }
    }
}

const NAMES: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// From 0 for Monday; three letters are enough.
fn day(text: &str) -> Option<u8> {
    let found = NAMES.iter().position(|name| text.len() >= 3 && name.starts_with(text))?;
    u8::try_from(found).ok()
}

/// Reads `22:00` as seconds after midnight; `24:00` is the end of the day.
pub(crate) fn time_of_day(text: &str) -> Result<i64, String> {
    let fault = || format!("\"{text}\" is no time of day: write hours and minutes, as in 22:00");
    let (hours, minutes) = text.trim().split_once(':').ok_or_else(fault)?;
    let number = |digits: &str| {
        let fits = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if fits { digits.parse::<i64>().map_err(|_| fault()) } else { Err(fault()) }
    };
    if minutes.len() != 2 {
        return Err(fault());
    }
    let seconds = number(hours)? * HOUR + number(minutes)? * MINUTE;
    if number(minutes)? < 60 && seconds <= DAY { Ok(seconds) } else { Err(fault()) }
}

/// Seconds since Monday 00:00 of what a local clock shows. 1970-01-01 was a Thursday.
fn week_second(local: i64) -> i64 {
    (local + 3 * DAY).rem_euclid(WEEK)
}

/// `Mon 06:00`, as a local clock shows it.
pub(crate) fn shown(local: i64) -> String {
    let second = week_second(local);
    let name = NAMES[usize::try_from(second / DAY).unwrap_or_default() % 7];
    let (head, tail) = name.split_at(1);
    let minutes = second % DAY / MINUTE;
    format!("{}{} {:02}:{:02}", head.to_ascii_uppercase(), &tail[..2], minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(days: &str, from: &str, to: &str) -> Hours {
        Hours {
            days: Days::parse(days).unwrap(),
            from: time_of_day(from).unwrap(),
            to: time_of_day(to).unwrap(),
        }
    }

    #[test]
    fn days_are_read_as_people_write_them() {
        for (text, days) in [
            ("mon", 0b000_0001),
            ("Monday", 0b000_0001),
            ("SUN", 0b100_0000),
            ("mon-fri", 0b001_1111),
            ("fri-mon", 0b111_0001),
            ("tue - thu", 0b000_1110),
            ("weekdays", 0b001_1111),
            ("weekend", 0b110_0000),
            ("daily", 0b111_1111),
            ("thurs", 0b000_1000),
        ] {
            assert_eq!(Days::parse(text), Ok(Days(days)), "{text}");
        }
        for text in ["", "-", "mo", "m", "monday-", "mon-tue-wed", "mondayy", "1", "ſun", "日"] {
            assert!(Days::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_day_have_hours_and_minutes() {
        for (text, seconds) in [("00:00", 0), ("6:30", 23_400), ("22:00", 79_200), ("24:00", DAY)] {
            assert_eq!(time_of_day(text), Ok(seconds), "{text}");
        }
        for text in ["", ":", "22", "22:0", "22:60", "24:01", "25:00", "-1:00", "+1:00", "1:1:1"] {
            assert!(time_of_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hours_that_touch_or_overlap_are_one_stretch() {
        let week = Week::quiet_in(&[
            hours("mon", "08:00", "10:00"),
            hours("mon", "10:00", "12:00"),
            hours("mon", "09:00", "09:30"),
            hours("sun", "22:00", "06:00"),
        ]);
        let expected = [(0, 6 * HOUR), (8 * HOUR, 12 * HOUR), (6 * DAY + 22 * HOUR, WEEK)];
        assert_eq!(week.quiet, expected);
        assert_eq!(week.quiet_left(WEEK - 1), Some(6 * HOUR + 1), "over the end of the week");
        assert_eq!(week.quiet_left(6 * HOUR), None, "the end is not quiet any more");
        assert_eq!(week.quiet_left(6 * HOUR - 1), Some(1));
    }

    #[test]
    fn what_is_outside_is_everything_else() {
        let hours = [hours("sat", "02:00", "04:00"), hours("sun", "00:00", "24:00")];
        let outside = Week::quiet_outside(&hours);
        assert_eq!(outside.quiet, [(0, 5 * DAY + 2 * HOUR), (5 * DAY + 4 * HOUR, 6 * DAY)]);
        assert!(Week::quiet_outside(&[]).is_full());
        let daily = self::hours("daily", "00:00", "24:00");
        assert_eq!(Week::quiet_outside(&[daily]).quiet, []);
        assert!(Week::quiet_in(&[daily]).is_full());
        assert!(Week::quiet_in(&[self::hours("daily", "06:00", "06:00")]).is_full());
    }

    /// Asked for every minute of a week, it says what looking at every minute says.
    #[test]
    fn the_end_of_quiet_is_the_first_moment_that_is_not() {
        let zone = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let week = Week::quiet_in(&[
            hours("sun", "01:30", "02:30"),
            hours("sat", "22:00", "01:00"),
            hours("mon-fri", "23:59", "00:00"),
        ]);
        // The weeks of both changes in 2026: 29 March and 25 October, 01:00 UTC.
        for change in [1_774_746_000, 1_792_890_000] {
            let minutes = (-3 * DAY / MINUTE..4 * DAY / MINUTE).rev();
            let mut expected = None;
            for at in minutes.map(|minute| change + minute * MINUTE) {
                let local = at + zone.clock(at).offset;
                let is_quiet = week.quiet_left(week_second(local)).is_some();
                if !is_quiet {
                    expected = Some(at);
                }
                if let Some(expected) = expected {
                    assert_eq!(week.quiet_until(at, &zone), expected, "at {at}");
                }
            }
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = 1_795_392_000;
        assert_eq!(week_second(monday), 0);
        assert_eq!(week_second(monday - 1), WEEK - 1);
        assert_eq!(week_second(0), 3 * DAY);
    }

    #[test]
    fn a_clock_reading_is_shown_with_its_day() {
        assert_eq!(shown(0), "Thu 00:00");
        assert_eq!(shown(4 * DAY + 6 * HOUR + 5 * MINUTE), "Mon 06:05");
        assert_eq!(shown(-MINUTE), "Wed 23:59");
    }
}
