//! Time zones as text: offsets, and the TZ strings of POSIX.
//!
//! ```text
//! CET-1CEST,M3.5.0,M10.5.0/3
//! │  │ │   │       └ ends on the last Sunday of October at 03:00 summer time
//! │  │ │   └ begins on the last Sunday of March, at 02:00 where nothing is said
//! │  │ └ the name of summer time; one hour ahead where nothing is said
//! │  └ how far UTC is ahead: POSIX counts westwards
//! └ the name of standard time, or <+01> where it is not letters
//! ```
//!
//! The grammar is that of POSIX.1-2024 (environment variables, TZ), with the extension of
//! RFC 9636, section 3.3.1, by which times of change go from -167 to 167 hours.

use crate::civil::{HOUR, MINUTE};
use crate::zone::{Change, Clock, Day, OFFSET_MAX, Summer, Zone};

/// Reads `UTC`, `Z`, `+02:00`, `-0330` and `+2`.
pub(crate) fn offset(text: &str) -> Option<Zone> {
    if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("gmt") || text == "Z" {
        return Some(Zone::fixed(0));
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        (_, _) => return None,
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some(parts), 5) => parts,
        (None, 4) => digits.split_at_checked(2)?,
        (None, 1 | 2) => (digits, "0"),
        (Some(_) | None, _) => return None,
    };
    let number = |text: &str| text.parse::<i64>().ok().filter(|_| is_digits(text));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * HOUR + minutes * MINUTE;
    (hours <= 24 && minutes < 60 && seconds <= OFFSET_MAX).then(|| Zone::fixed(sign * seconds))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a TZ string; an error says what was expected and where.
pub(crate) fn zone(text: &str) -> Result<Zone, String> {
    let mut reader = Reader { text, rest: text };
    let name = reader.name()?;
    let behind = reader.offset()?.ok_or_else(|| reader.expected("an offset such as -1"))?;
    let standard = Clock { name, offset: -behind };
    if reader.rest.is_empty() {
        return Ok(Zone { standard, summer: None });
    }
    let name = reader.name()?;
    let offset = match reader.offset()? {
        Some(behind) => -behind,
        None => standard.offset + HOUR,
    };
    let clock = Clock { name, offset };
    if reader.rest.is_empty() {
        return Err(format!(
            "\"{text}\" does not say when {} begins and ends, as in {text},M3.5.0,M10.5.0/3",
            clock.name
        ));
    }
    let begins = reader.change()?;
    let ends = reader.change()?;
    if !reader.rest.is_empty() {
        return Err(reader.expected("the end"));
    }
    Ok(Zone { standard, summer: Some(Summer { clock, begins, ends }) })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn expected(&self, what: &str) -> String {
        let place = self.text.len() - self.rest.len();
        if self.rest.is_empty() {
            format!("\"{}\" ends where {what} is expected", self.text)
        } else {
            let found = self.rest;
            format!("{what} is expected at \"{found}\", character {} of the zone", place + 1)
        }
    }

    /// Takes the longest beginning whose bytes `wanted` accepts.
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !wanted(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, byte: &str) -> bool {
        match self.rest.strip_prefix(byte) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Result<String, String> {
        const WANTED: &str = "a name of three letters or more, or <+01>,";
        let before = self.rest;
        let name = if self.skip("<") {
            let name = self.take(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-');
            if self.skip(">") { name } else { "" }
        } else {
            self.take(|b| b.is_ascii_alphabetic())
        };
        if name.len() < 3 || name.len() > 16 {
            self.rest = before;
            return Err(self.expected(WANTED));
        }
        Ok(name.to_owned())
    }

    /// Seconds that UTC is ahead.
    fn offset(&mut self) -> Result<Option<i64>, String> {
        match self.rest.bytes().next() {
            Some(b'+' | b'-' | b'0'..=b'9') => self.time(24).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// `[+-]h[h[h]][:mm[:ss]]` in seconds.
    fn time(&mut self, hours_max: i64) -> Result<i64, String> {
        let before = self.rest;
        let sign = if self.skip("-") {
            -1
        } else {
            self.skip("+");
            1
        };
        let hours = self.number(hours_max, "hours")?;
        let minutes = if self.skip(":") { self.number(59, "minutes")? } else { 0 };
        let seconds = if self.skip(":") { self.number(59, "seconds")? } else { 0 };
        let total = hours * HOUR + minutes * MINUTE + seconds;
        if total > hours_max * HOUR + HOUR - 1 {
            self.rest = before;
            return Err(self.expected("a smaller offset"));
        }
        Ok(sign * total)
    }

    fn number(&mut self, max: i64, what: &str) -> Result<i64, String> {
        let before = self.rest;
        let digits = self.take(|byte| byte.is_ascii_digit());
        match digits.parse::<i64>() {
            Ok(number) if number <= max => Ok(number),
            Ok(_) | Err(_) => {
                self.rest = before;
                Err(self.expected(&format!("a number of {what} up to {max}")))
            }
        }
    }

    /// `,day[/time]`.
    fn change(&mut self) -> Result<Change, String> {
        if !self.skip(",") {
            return Err(self.expected("a comma and a day such as M3.5.0"));
        }
        let day = if self.skip("M") {
            let month = self.ranged(1, 12, "a month from 1 to 12")?;
            self.dot()?;
            let week = self.ranged(1, 5, "a week from 1 to 5")?;
            self.dot()?;
            let day = self.ranged(0, 6, "a weekday from 0, for Sunday, to 6")?;
            Day::Weekday { month: month as u8, week: week as u8, day: day as u8 }
        } else if self.skip("J") {
            Day::Julian(self.ranged(1, 365, "a day from 1 to 365")?)
        } else {
            Day::Ordinal(self.ranged(0, 365, "a day such as M3.5.0, J60 or 59")?)
        };
        let time = if self.skip("/") { self.time(167)? } else { 2 * HOUR };
        Ok(Change { day, time })
    }

    fn dot(&mut self) -> Result<(), String> {
        if self.skip(".") { Ok(()) } else { Err(self.expected("a dot, as in M3.5.0,")) }
    }

    fn ranged(&mut self, min: u16, max: u16, what: &str) -> Result<u16, String> {
        let before = self.rest;
        match self.take(|byte| byte.is_ascii_digit()).parse::<u16>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                self.rest = before;
                Err(self.expected(what))
            }
        }
    }
}
