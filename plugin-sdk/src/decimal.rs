//! Numbers in answers of servers, read and shown without the 25 KB that the standard library
//! takes for every corner of floating point.

use std::fmt;

/// Reads a decimal number: `42`, `-1.5`, `0.25`. None where it is anything else, such as `1e9`,
/// `inf` or `NaN`.
///
/// ```
/// assert_eq!(kennel_plugin::decimal::parse("37.12"), Some(37.12));
/// assert_eq!(kennel_plugin::decimal::parse("NaN"), None);
/// ```
pub fn parse(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.bytes() {
        value = value * 10.0 + read_digit(digit)?;
    }
    // More digits are checked, but they are past what a number can hold.
    let (mut part, mut scale) = (0.0, 1.0);
    for (place, digit) in fraction.bytes().enumerate() {
        let digit = read_digit(digit)?;
        if place < 15 {
            part = part * 10.0 + digit;
            scale *= 10.0;
        }
    }
    Some(sign * (value + part / scale)).filter(|value| value.is_finite())
}

fn read_digit(byte: u8) -> Option<f64> {
    byte.is_ascii_digit().then(|| f64::from(byte - b'0'))
}

/// Shows a number with one digit behind the point, and none where that is zero: `12.3`, `12`.
#[derive(Debug, Clone, Copy)]
pub struct Tenths(pub f64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.abs() * 10.0 + 0.5) as u64;
        if self.0 < 0.0 && tenths > 0 {
            f.write_str("-")?;
        }
        match tenths % 10 {
            0 => write!(f, "{}", tenths / 10),
            tenth => write!(f, "{}.{tenth}", tenths / 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_are_read_and_nothing_else() {
        for (text, value) in [
            ("0", 0.0),
            ("42", 42.0),
            ("-1", -1.0),
            ("37.12", 37.12),
            ("0.000001", 0.000_001),
            ("1048576", 1_048_576.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("1.50000000000000000000", 1.5),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        let endless = "9".repeat(400);
        for text in
            ["", "-", ".", ".5", "5.", "1e9", "inf", "NaN", "+1", "--1", "1.2.3", " 1", &endless]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn tenths_are_rounded() {
        for (value, shown) in [
            (0.0, "0"),
            (12.34, "12.3"),
            (12.35, "12.4"),
            (12.0, "12"),
            (0.96, "1"),
            (-0.01, "0"),
            (-1.5, "-1.5"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(Tenths(value).to_string(), shown);
        }
    }
}
