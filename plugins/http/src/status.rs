//! Status codes: `200-399`, `2xx`, `204`.

use std::fmt;

use kennel_plugin::{OneOrMany, Problems, Text};

/// Ranges of status codes, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusSet {
    ranges: Vec<(u16, u16)>,
}

impl StatusSet {
    /// What is expected where nothing else is said.
    pub(crate) fn usual() -> StatusSet {
        StatusSet { ranges: vec![(200, 399)] }
    }

    pub(crate) fn read(texts: &OneOrMany<Text>, problems: &mut Problems) -> StatusSet {
        let mut ranges = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match range(text) {
                Some(range) => ranges.push(range),
                None => problems.add(
                    if texts.len() == 1 {
                        "expect.status".to_owned()
                    } else {
                        format!("expect.status[{index}]")
                    },
                    format!("{:?} is no status: write 204, 200-399 or 2xx", text.0),
                ),
            }
        }
        problems.require(!texts.is_empty(), "expect.status", "no status is expected at all");
        StatusSet { ranges }
    }

    pub(crate) fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let code = |text: &str| {
        let code: u16 = text.trim().parse().ok()?;
        (100..=599).contains(&code).then_some(code)
    };
    if let Some(hundreds) = text.strip_suffix("xx") {
        let low = code(&format!("{hundreds}00"))?;
        return Some((low, low + 99));
    }
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (code(low)?, code(high)?),
        None => (code(text)?, code(text)?),
    };
    (low <= high).then_some((low, high))
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(" or ")?;
            }
            if low == high { write!(f, "{low}")? } else { write!(f, "{low}-{high}")? }
        }
        Ok(())
    }
}

/// `503 Service Unavailable` (RFC 9110).
pub(crate) fn named(status: u16) -> String {
    let phrase = match status {
        200 => " OK",
        201 => " Created",
        204 => " No Content",
        301 => " Moved Permanently",
        302 => " Found",
        304 => " Not Modified",
        307 => " Temporary Redirect",
        308 => " Permanent Redirect",
        400 => " Bad Request",
        401 => " Unauthorized",
        403 => " Forbidden",
        404 => " Not Found",
        405 => " Method Not Allowed",
        429 => " Too Many Requests",
        500 => " Internal Server Error",
        502 => " Bad Gateway",
        503 => " Service Unavailable",
        504 => " Gateway Timeout",
        _ => "",
    };
    format!("{status}{phrase}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_in_three_ways() {
        for (text, expected) in [
            ("204", Some((204, 204))),
            ("200-399", Some((200, 399))),
            ("200 - 204", Some((200, 204))),
            ("2xx", Some((200, 299))),
            ("5xx", Some((500, 599))),
            ("6xx", None),
            ("399-200", None),
            ("99", None),
            ("600", None),
            ("ok", None),
            ("", None),
            ("xx", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
