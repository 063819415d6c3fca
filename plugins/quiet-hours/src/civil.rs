//! Dates of the Gregorian calendar as numbers: days and seconds since 1970.

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const WEEK: i64 = 7 * DAY;

/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// Days from 1970-01-01 to the first of January of `year`.
pub(crate) fn year_start(year: i64) -> i64 {
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    past * 365 + leap_days - YEAR_ONE_TO_1970
}

/// Days from 0001-01-01 to 1970-01-01.
const YEAR_ONE_TO_1970: i64 = 719_162;

/// The year in which the day lies that is `days` after 1970-01-01.
pub(crate) fn year_of(days: i64) -> i64 {
    // At most one year off, since years differ by one day.
    let guess = 1970 + (days * 400).div_euclid(DAYS_PER_ERA);
    if year_start(guess) > days {
        guess - 1
    } else if year_start(guess + 1) <= days {
        guess + 1
    } else {
        guess
    }
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to the first of the month; months from 1 to 12.
pub(crate) fn month_start(year: i64, month: u8) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_day = i64::from(month > 2 && is_leap(year));
    year_start(year) + BEFORE[usize::from(month.clamp(1, 12)) - 1] + leap_day
}

/// How many days the month has.
pub(crate) fn month_length(year: i64, month: u8) -> i64 {
    if month >= 12 { 31 } else { month_start(year, month + 1) - month_start(year, month) }
}

/// The day of the week, 0 for Monday. 1970-01-01 was a Thursday.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// Seconds since Monday 00:00 of what a local clock shows.
pub(crate) fn week_second(local: i64) -> i64 {
    (local + 3 * DAY).rem_euclid(WEEK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_agrees_with_jiff_over_eight_hundred_years() {
        let mut date = jiff::civil::date(1600, 1, 1);
        let mut days = year_start(1600);
        assert_eq!(days, -135_140);
        while date.year() < 2400 {
            assert_eq!(year_of(days), i64::from(date.year()), "{date}");
            let month = u8::try_from(date.month()).unwrap();
            let first = month_start(i64::from(date.year()), month);
            assert_eq!(first + i64::from(date.day()) - 1, days, "{date}");
            assert_eq!(
                month_length(i64::from(date.year()), month),
                i64::from(date.days_in_month()),
                "{date}"
            );
            assert_eq!(weekday(days), i64::from(date.weekday().to_monday_zero_offset()), "{date}");
            date = date.tomorrow().unwrap();
            days += 1;
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = year_start(2026) + 326;
        assert_eq!(week_second(monday * DAY), 0);
        assert_eq!(week_second(monday * DAY - 1), WEEK - 1);
        assert_eq!(week_second(0), 3 * DAY);
    }
}
