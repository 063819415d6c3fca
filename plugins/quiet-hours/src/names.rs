//! Time zones by name.

use kennel_plugin::nearest;

use crate::zone::Zone;

/// The zones of the IANA database, each line a rule and the zones that follow it.
const ZONES: &str = include_str!("zones.txt");

/// No description of a time zone is longer.
const TEXT_MAX: usize = 100;

/// Zones whose clocks change by the lunar calendar, which no rule can say.
const LUNAR: [&str; 4] = ["Africa/Casablanca", "Africa/El_Aaiun", "Asia/Gaza", "Asia/Hebron"];

/// Reads a time zone: a name, an offset or a TZ string of POSIX.
pub(crate) fn zone(text: &str) -> Result<Zone, String> {
    let text = text.trim();
    if text.len() > TEXT_MAX {
        return Err("no time zone is described by so long a text".to_owned());
    }
    if let Some(rule) = rule_of(text) {
        return Zone::posix(rule);
    }
    if let Some(zone) = Zone::offset(text) {
        return Ok(zone);
    }
    let upper = text.to_ascii_uppercase();
    if let Some(rest) = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT"))
        && rest.starts_with(['+', '-'])
    {
        return Err(format!(
            "\"{text}\" means opposite things to people and to POSIX: write the offset alone, \
             such as +02:00 for two hours ahead of UTC"
        ));
    }
    if LUNAR.contains(&text) {
        return Err(format!(
            "the clocks of \"{text}\" follow the lunar calendar, which is not known here: write \
             an offset such as +01:00"
        ));
    }
    let looks_like_a_rule =
        text.contains([',', '<']) || text.contains(|c: char| c.is_ascii_digit());
    if looks_like_a_rule {
        return Zone::posix(text);
    }
    Err(match near(text) {
        Some(name) => format!("\"{text}\" is no time zone: did you mean \"{name}\"?"),
        None => format!(
            "\"{text}\" is no time zone: write a name such as Europe/Berlin, an offset such as \
             +02:00, or a TZ string such as CET-1CEST,M3.5.0,M10.5.0/3"
        ),
    })
}

/// All names, each with its rule.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ZONES.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
        let (rule, names) = line.split_once(' ').unwrap_or((line, ""));
        names.split(' ').map(move |name| (name, rule))
    })
}

fn rule_of(name: &str) -> Option<&'static str> {
    all().find(|(known, _)| *known == name).map(|(_, rule)| rule)
}

/// A name that may have been meant: the same in other letters, its city, or nearly the same.
fn near(text: &str) -> Option<&'static str> {
    if text.len() < 3 {
        return None;
    }
    let wanted = text.replace(' ', "_");
    let names: Vec<&str> = all().map(|(name, _)| name).collect();
    let exact = names.iter().find(|name| {
        name.eq_ignore_ascii_case(&wanted) || city(name).eq_ignore_ascii_case(&wanted)
    });
    exact.copied().or_else(|| nearest(&wanted, &names))
}

fn city(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
