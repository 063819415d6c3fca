//! How long the server's certificate is valid.

use kennel_plugin::prelude::*;

use crate::answer::Finding;

const DAY_S: i64 = 86_400;

/// When a certificate is too old.
#[derive(Debug, Default)]
pub(crate) struct Certificate {
    /// With less time left than this the service is degraded.
    pub(crate) degraded_below: Option<Duration>,
}

impl Certificate {
    /// The host verifies the certificate as well and refuses one that is not valid; here it is
    /// said beforehand.
    pub(crate) fn look(
        &self,
        answer: &Response,
        now_unix_ms: u64,
        findings: &mut Vec<Finding>,
        samples: &mut Vec<(&str, f64, &str)>,
    ) {
        let Some(end) = answer.ext("tls.not-after-unix-s").and_then(|end| end.parse().ok()) else {
            if self.degraded_below.is_some() {
                findings.push(Finding::degraded("there is no certificate".to_owned()));
            }
            return;
        };
        let end: i64 = end;
        let left_s = end.saturating_sub_unsigned(now_unix_ms / 1000);
        samples.push(("certificate_left", left_s as f64, "s"));
        if left_s <= 0 {
            let ago = days(-left_s);
            findings.push(Finding::unhealthy(format!("the certificate expired {ago} ago")));
        } else if self.degraded_below.is_some_and(|below| (left_s as u64) < below.as_secs()) {
            let left = days(left_s);
            findings.push(Finding::degraded(format!("the certificate expires in {left}")));
        }
    }
}

/// `3 days`, `5 hours`
fn days(seconds: i64) -> String {
    let (count, unit) =
        if seconds >= 2 * DAY_S { (seconds / DAY_S, "days") } else { (seconds / 3600, "hours") };
    if count == 1 { "1 hour".to_owned() } else { format!("{count} {unit}") }
}
