//! Values with a unit or a small grammar of their own, written as one word.

use std::borrow::Cow;
use std::time::Duration;

use kennel_core::Signal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::super::decode::HINT;
use super::super::source::quoted;
use super::super::suggest;

/// A scalar type: its name and pattern in the schema, and how its text is read. The
/// reader's error may hold a hint after [`HINT`].
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident($value:ty), $title:literal, $types:expr, $pattern:expr, $read:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug)]
        pub(in super::super) struct $name(pub(in super::super) $value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                struct Reader;
                impl Visitor<'_> for Reader {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($title)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $read(text).map($name).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Reader)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": $types, "pattern": $pattern })
            }
        }
    };
}

scalar! {
    /// A time with its unit: `250ms`, `10s`, `5m`, `2h`, `1d`, `1h30m`.
    RawDuration(Duration), "Duration", "string", r"^([0-9]+(ms|s|m|h|d))+$|\$\{", duration
}
scalar! {
    /// A number of bytes with its unit: `64KiB`, `10MiB`, `1GB`.
    RawSize(u64), "Size", "string", r"^[0-9]+(B|[KMGT]i?B)$|\$\{", size
}
scalar! {
    /// Bytes per second, `10MiB/s`, or `none`.
    RawRate(Option<u64>), "Rate", "string", r"^([0-9]+(B|[KMGT]i?B)/s|none)$|\$\{", rate
}
scalar! {
    /// A share: `10%`; the value is 0.1.
    RawPercent(f64), "Percent", "string", r"^[0-9]+(\.[0-9]+)?%$|\$\{", percent
}
scalar! {
    /// HTTP status codes: `200`, `200-399`, `200-299,404`.
    RawStatus(Vec<(u16, u16)>), "StatusCodes", ["string", "integer"],
    r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?)*$|\$\{", status
}
scalar! {
    /// A signal by name or number: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
    RawSignal(Signal), "Signal", ["string", "integer"], r"^[A-Za-z0-9+-]+$|\$\{", signal
}
scalar! {
    /// A file mode creation mask in octal: `022`.
    RawUmask(u32), "Umask", ["string", "integer"], r"^(0o)?[0-7]{1,4}$|\$\{", umask
}
scalar! {
    /// Who may do what with a file, in octal: `0660`.
    RawMode(u32), "FileMode", ["string", "integer"], r"^(0o)?[0-7]{1,4}$|\$\{", mode
}
scalar! {
    /// A resource limit: `65536`, `unlimited`, `1024:4096` (soft and hard).
    RawRlimit(RlimitPair), "ResourceLimit", ["string", "integer"],
    r"^([0-9]+|unlimited)(:([0-9]+|unlimited))?$|\$\{", rlimit
}
scalar! {
    /// Any scalar as the text that was written.
    Text(String), "Text", ["string", "number", "boolean", "null"], "", text
}

/// Soft and hard value of a resource limit; none is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct RlimitPair {
    pub(in super::super) soft: Option<u64>,
    pub(in super::super) hard: Option<u64>,
}

/// No wait is longer: ten years.
const MAX_DURATION_MS: u64 = 3650 * 86_400_000;

fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Splits `12MiB` into `12` and `MiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads `250ms`, `10s`, `5m`, `2h`, `1d` and several of them as in `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let fault = |why: &str| {
        format!("{} is no duration{why}{HINT}write 250ms, 10s, 5m, 2h or 1d", quoted(text))
    };
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Err(format!(
            "{} is no duration: the unit is missing{HINT}{}",
            quoted(text),
            if text.contains('.') {
                format!("write {}ms", (number.abs() * 1000.0).round())
            } else {
                format!("write {}s for seconds", number.abs())
            }
        ));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| fault(""))?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            unit => return Err(fault(&format!(": unknown unit {}", quoted(unit)))),
        };
        rest = &rest[letters..];
        total = number
            .checked_mul(factor)
            .and_then(|ms| total.checked_add(ms))
            .filter(|total| *total <= MAX_DURATION_MS)
            .ok_or_else(|| format!("{} is longer than ten years", quoted(text)))?;
    }
    if text.is_empty() { Err(fault("")) } else { Ok(Duration::from_millis(total)) }
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    let fault =
        |why: &str| format!("{} is no size{why}{HINT}write 64KiB, 10MiB or 1GiB", quoted(text));
    let (number, unit) = number_and_unit(text).ok_or_else(|| fault(""))?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "" => return Err(fault(": the unit is missing")),
        unit => return Err(fault(&format!(": unknown unit {}", quoted(unit)))),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{} is too large", quoted(text)))
}

fn rate(text: &str) -> Result<Option<u64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let fault = || format!("{} is no rate{HINT}write 10MiB/s or none", quoted(text));
    let amount = text.strip_suffix("/s").ok_or_else(fault)?;
    match size(amount.trim()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(fault()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let fault = |hint: String| format!("{} is no percentage{HINT}{hint}", quoted(text));
    let read = |digits: &str| {
        digits.trim().parse::<f64>().ok().filter(|n| n.is_finite() && !digits.contains(['e', 'E']))
    };
    match text.strip_suffix('%') {
        Some(digits) => {
            read(digits).map(|n| n / 100.0).ok_or_else(|| fault("write 10%".to_owned()))
        }
        None => match read(text) {
            Some(share) if share > 0.0 && share <= 1.0 => {
                Err(fault(format!("write {}%", share * 100.0)))
            }
            Some(number) => Err(fault(format!("write {number}%"))),
            None => Err(fault("write 10%".to_owned())),
        },
    }
}

fn status(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let fault =
        || format!("{} is no status code{HINT}write 200, 200-399 or 200-299,404", quoted(text));
    let code = |text: &str| {
        text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code)).ok_or_else(fault)
    };
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (code(low)?, code(high)?);
            if low <= high { Ok((low, high)) } else { Err(fault()) }
        })
        .collect()
}

fn signal(text: &str) -> Result<Signal, String> {
    Signal::parse(text).ok_or_else(|| {
        let upper = text.to_uppercase();
        let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        let hint = suggest::did_you_mean(&full, Signal::names())
            .unwrap_or_else(|| "write a name such as SIGTERM, or a number".to_owned());
        format!("{} is no signal{HINT}{hint}", quoted(text))
    })
}

fn umask(text: &str) -> Result<u32, String> {
    permissions(text)
        .ok_or_else(|| format!("{} is no umask{HINT}write it in octal, such as 022", quoted(text)))
}

fn mode(text: &str) -> Result<u32, String> {
    permissions(text).ok_or_else(|| {
        format!("{} is no file mode{HINT}write it in octal, such as 0660", quoted(text))
    })
}

/// Nine bits in octal.
fn permissions(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let bits = u32::from_str_radix(digits, 8).ok()?;
    (bits <= 0o777 && !digits.starts_with('+')).then_some(bits)
}

fn rlimit(text: &str) -> Result<RlimitPair, String> {
    let fault = || {
        format!(
            "{} is no resource limit{HINT}write 65536, unlimited, or soft:hard such as 1024:65536",
            quoted(text)
        )
    };
    let one = |text: &str| match text.trim() {
        "unlimited" | "infinity" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| fault()),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let pair = RlimitPair { soft: one(soft)?, hard: one(hard)? };
    let size = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if size(pair.soft) > size(pair.hard) {
        return Err(format!("the soft limit of {} is above the hard one", quoted(text)));
    }
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in
            [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, error) in [
            ("10", "\"10\" is no duration: the unit is missing\nhint: write 10s for seconds"),
            ("1.5", "\"1.5\" is no duration: the unit is missing\nhint: write 1500ms"),
            (
                "10x",
                "\"10x\" is no duration: unknown unit \"x\"\nhint: write 250ms, 10s, 5m, 2h or 1d",
            ),
            ("", "\"\" is no duration\nhint: write 250ms, 10s, 5m, 2h or 1d"),
            ("9999999999d", "\"9999999999d\" is longer than ten years"),
        ] {
            assert_eq!(duration(text), Err(error.to_owned()), "{text}");
        }
        for text in ["s", "-5s", "1h 30m", "inf", "nan", "99999999999999999999s", "1.5s", "5µs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates_have_units() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(rate("10MiB/s"), Ok(Some(10 << 20)));
        assert_eq!(rate("none"), Ok(None));
        for text in ["", "64", "64K", "MiB", "-1MiB", "99999999999TiB", "1.5MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["10MiB", "10/s", "MiB/s", "10MiB/m"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_other_scalars_say_what_they_want() {
        assert_eq!(percent("10%"), Ok(0.1));
        assert_eq!(percent("0.1"), Err("\"0.1\" is no percentage\nhint: write 10%".to_owned()));
        assert_eq!(status("200-299, 404"), Ok(vec![(200, 299), (404, 404)]));
        for text in ["", "99", "600", "300-200", "2xx", "200-"] {
            assert!(status(text).is_err(), "{text}");
        }
        assert_eq!(
            signal("SIGTREM"),
            Err("\"SIGTREM\" is no signal\nhint: did you mean \"SIGTERM\"?".to_owned())
        );
        assert_eq!(umask("022"), Ok(0o22));
        assert_eq!(umask("0o77"), Ok(0o77));
        assert_eq!(mode("0660"), Ok(0o660));
        for text in ["", "8", "1000", "-1", "+22", "rwx"] {
            assert!(umask(text).is_err(), "{text}");
            assert!(mode(text).is_err(), "{text}");
        }
        assert_eq!(rlimit("1024:unlimited"), Ok(RlimitPair { soft: Some(1024), hard: None }));
        for text in ["", "many", "10:5", "unlimited:5", "-1", "1:2:3"] {
            assert!(rlimit(text).is_err(), "{text}");
        }
    }
}
