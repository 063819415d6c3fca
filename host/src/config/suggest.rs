//! What somebody may have meant.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Words of other tools for what has another name or place here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("after", "write \"depends_on: [NAME]\""),
    ("args", "write the arguments into \"command\""),
    ("autorestart", "write \"restart: { policy: always }\""),
    ("autostart", "write \"enabled: true\""),
    ("cmd", "write \"command\""),
    ("cwd", "write \"working_dir\""),
    ("dir", "write \"working_dir\""),
    ("directory", "write \"working_dir\""),
    ("entrypoint", "write \"command\""),
    ("environment", "write \"env\""),
    ("exec", "write \"command\""),
    ("healthcheck", "write \"health\""),
    ("image", "kennel runs processes, not containers; write \"command\""),
    ("instances", "write \"replicas\""),
    ("liveness", "write \"health\""),
    ("logging", "write \"logs\""),
    ("max_restarts", "write \"restart: { limit: { max: 10, within: 10m } }\""),
    ("name", "the name of a service is its key under \"services\""),
    ("needs", "write \"depends_on: [NAME]\""),
    ("numprocs", "write \"replicas\""),
    ("oneshot", "write \"type: oneshot\""),
    ("priority", "write \"nice\", or \"depends_on\" for an order"),
    ("processes", "write \"services\""),
    ("programs", "write \"services\""),
    ("readiness", "write \"ready\""),
    ("requires", "write \"depends_on: [NAME]\""),
    ("restart_delay", "write \"restart: { backoff: { initial: 1s } }\""),
    ("restart_policy", "write \"restart: { policy: always }\""),
    ("rlimits", "write \"limits\""),
    ("scale", "write \"replicas\""),
    ("stdout", "write \"logs: { to: file }\""),
    ("stderr", "write \"logs: { to: file }\""),
    ("stop_grace_period", "write \"stop: { steps: [{ signal: SIGTERM, wait: 10s }] }\""),
    ("stop_signal", "write \"stop: { steps: [{ signal: SIGTERM, wait: 10s }] }\""),
    ("stop_timeout", "write \"stop: { steps: [{ signal: SIGTERM, wait: 10s }] }\""),
    ("ulimits", "write \"limits\""),
    ("workdir", "write \"working_dir\""),
    ("workingdir", "write \"working_dir\""),
];

/// The candidate nearest to `word`, when it is near enough to be a slip.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Distances to a hostile, very long word cost time and tell nothing.
    if word.len() > 64 {
        return None;
    }
    let slips = (word.chars().count() / 3).clamp(1, 3);
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain(word), &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= slips && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "…"?`
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean \"{candidate}\"?"))
}

/// `a, b or c`
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Advice on a key that does not exist where `known` do. `here` is the place as in
/// [`key_paths`], of a service without the leading `services.*`.
pub(super) fn for_key(key: &str, known: &[&str], here: &str) -> Option<String> {
    if let Some(hint) = did_you_mean(key, known.iter().copied()) {
        return Some(hint);
    }
    let lower = key.to_lowercase().replace('-', "_");
    let of_others = ELSEWHERE.iter().find(|(word, _)| *word == lower);
    let of_others = of_others.map(|(_, hint)| (*hint).to_owned());
    // What other tools call so in a service is meant there, rather than our key of that name.
    let is_service = here.is_empty() && known.contains(&"command");
    if let Some(hint) = of_others.clone().filter(|_| is_service) {
        return Some(hint);
    }
    if let Some(hint) = elsewhere(key, here).or(of_others) {
        return Some(hint);
    }
    if known.len() <= 12 && !known.is_empty() {
        return Some(format!("known here: {}", known.join(", ")));
    }
    None
}

/// Advice on a single word where a mapping belongs, of this raw type: other tools say
/// `restart: always`.
pub(super) fn for_word(word: &str, raw: &str) -> Option<String> {
    let policy = match (raw, &*word.to_lowercase().replace('-', "_")) {
        ("RawRestart", "always" | "unless_stopped" | "yes" | "true") => "always",
        ("RawRestart", "on_failure") => "on_failure",
        ("RawRestart", "never" | "no" | "false") => "never",
        _ => return None,
    };
    Some(format!("write \"restart: {{ policy: {policy} }}\""))
}

/// The keys of the mapping that may stand at this place of a service.
pub(super) fn keys_below(path: &str) -> Option<String> {
    let below = |key: &'static String| {
        let key = key.strip_prefix("services.*.")?.strip_prefix(path)?.strip_prefix('.')?;
        (!key.contains('.')).then_some(key)
    };
    let keys: Vec<&str> = key_paths().iter().filter_map(below).collect();
    (!keys.is_empty()).then(|| format!("the mapping has the keys {}", keys.join(", ")))
}

/// Where the key does exist, when there is one such place or all are alike.
fn elsewhere(key: &str, here: &str) -> Option<String> {
    let in_service = !here.is_empty() || key_paths().contains(&format!("services.*.{key}"));
    let mut places: Vec<&str> = key_paths()
        .iter()
        .filter_map(|path| path.strip_suffix(key)?.strip_suffix('.'))
        .filter(|place| !place.contains("defaults"))
        .collect();
    if key_paths().contains(key) {
        return Some(format!("\"{key}\" stands at the top level of the file"));
    }
    if in_service && places.iter().any(|place| place.starts_with("services.*")) {
        places.retain(|place| place.starts_with("services.*"));
    }
    match places.as_slice() {
        ["services.*"] => Some(format!("\"{key}\" belongs to a service")),
        [place] => {
            let place = place.trim_start_matches("services.*.");
            Some(format!("\"{key}\" belongs under \"{place}\""))
        }
        [one, other] => {
            let [one, other] = [one, other].map(|place| place.trim_start_matches("services.*."));
            Some(format!("\"{key}\" belongs under \"{one}\" or \"{other}\""))
        }
        _ => None,
    }
}

/// The dotted path of every key, `*` for names that the operator chooses.
pub(super) fn key_paths() -> &'static BTreeSet<String> {
    static PATHS: OnceLock<BTreeSet<String>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let schema = super::schema::schema();
        let mut paths = BTreeSet::new();
        collect(&schema, &schema, "", &mut paths);
        paths
    })
}

fn collect(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    at: &str,
    paths: &mut BTreeSet<String>,
) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    if let Some(target) = schema.get("$ref").and_then(|name| name.as_str())
        && let Some(target) = target.strip_prefix('#').and_then(|path| root.pointer(path))
    {
        collect(root, target, at, paths);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for schema in schema.get(word).and_then(|list| list.as_array()).into_iter().flatten() {
            collect(root, schema, at, paths);
        }
    }
    for (key, schema) in
        schema.get("properties").and_then(|map| map.as_object()).into_iter().flatten()
    {
        paths.insert(below(key));
        collect(root, schema, &below(key), paths);
    }
    if let Some(items) = schema.get("items") {
        collect(root, items, at, paths);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        collect(root, values, &below("*"), paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        for (word, expected) in [
            ("comand", Some("command")),
            ("Command", Some("command")),
            ("working-dir", Some("working_dir")),
            ("conmmad", Some("command")),
            ("banana", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, ["command", "env", "working_dir"]), expected, "{word}");
        }
    }

    #[test]
    fn a_key_of_another_place_is_sent_there() {
        for (key, here, expected) in [
            ("backoff", "", Some("\"backoff\" belongs under \"restart\" or \"start\"")),
            ("policy", "", Some("\"policy\" belongs under \"restart\"")),
            ("services", "kennel", Some("\"services\" stands at the top level of the file")),
            ("replicas", "restart", Some("\"replicas\" belongs to a service")),
            ("environment", "", Some("write \"env\"")),
            ("wholly_made_up", "", None),
        ] {
            assert_eq!(for_key(key, &[], here).as_deref(), expected, "{key}");
        }
        let of_a_service = ["command", "env", "working_dir", "replicas", "restart", "logs"];
        assert_eq!(for_key("dir", &of_a_service, "").as_deref(), Some("write \"working_dir\""));
        let elsewhere = Some("\"policy\" belongs under \"restart\"");
        assert_eq!(for_key("policy", &of_a_service, "").as_deref(), elsewhere);
    }
}
