//! What stands under `config:`.

use kennel_plugin::Url;
use kennel_plugin::prelude::*;

use crate::Slack;

/// Where messages go, and what is in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The incoming webhook: whoever has it can post.
    url: Url,
    /// Events that matter less are left out.
    #[serde(default)]
    min_severity: Severity,
    /// How many lines a message has at most.
    max_lines: Option<u32>,
    /// Who is told of errors.
    mention: Option<String>,
    /// Which supervisor this is.
    source: Option<String>,
    /// How long a request may take.
    timeout: Option<Period>,
}

const MAX_LINES: u32 = 20;
const MAX_LINES_MAX: u32 = 50;
const SOURCE_MAX: usize = 80;

impl Config {
    pub(crate) fn check(self) -> Result<Slack, Problems> {
        let Config { url, min_severity, max_lines, mention, source, timeout } = self;
        let mut problems = Problems::new();
        let max_lines = max_lines.unwrap_or(MAX_LINES);
        problems.require(
            (1..=MAX_LINES_MAX).contains(&max_lines),
            "max_lines",
            format!("is not from 1 to {MAX_LINES_MAX}"),
        );
        let mention = mention.and_then(|who| problems.take("mention", read_mention(&who)));
        let no_time = timeout.is_some_and(|timeout| timeout.0.is_zero());
        problems.require(!no_time, "timeout", "there is no time in 0s");
        let too_long = source.as_ref().is_some_and(|source| source.chars().count() > SOURCE_MAX);
        problems.require(!too_long, "source", format!("is longer than {SOURCE_MAX} characters"));
        problems.into_result()?;
        Ok(Slack {
            url,
            min_severity,
            max_lines: max_lines as usize,
            mention,
            source,
            timeout: timeout.map(|timeout| timeout.0),
        })
    }
}

/// Reads `here`, `channel`, a user's id and a user group's id, into what Slack makes a mention of.
fn read_mention(who: &str) -> Result<String, String> {
    let is_id = who.len() >= 6 && who.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    match who.strip_prefix('@').unwrap_or(who) {
        "here" => Ok("<!here>".to_owned()),
        "channel" => Ok("<!channel>".to_owned()),
        id if is_id && id.starts_with(['U', 'W']) => Ok(format!("<@{id}>")),
        id if is_id && id.starts_with('S') => Ok(format!("<!subteam^{id}>")),
        _ => Err(format!(
            "\"{who}\" is nobody: write here, channel, or the id of a user (U…) or group (S…)"
        )),
    }
}
