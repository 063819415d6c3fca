//! A small strict reader of the OpenMetrics text format, version 1.0.0.

use std::collections::{BTreeMap, BTreeSet};

/// Series by name and labels as written, with their values.
pub(crate) type Series = BTreeMap<String, f64>;

/// Reads an exposition.
///
/// # Errors
/// The first line that breaks a rule, with the rule.
pub(crate) fn parse(text: &str) -> Result<Series, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the text has to end with \"# EOF\\n\"")?;
    let mut series = Series::new();
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = "";
    for line in body.split_terminator('\n') {
        let broken = |rule: &str| format!("{rule}: {line:?}");
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (Some(what), Some(name), Some(value)) = (words.next(), words.next(), words.next())
            else {
                return Err(broken("metadata has three parts"));
            };
            if name != current && !seen.insert(name) {
                return Err(broken("the lines of a family stand together"));
            }
            current = name;
            let family = families.entry(name).or_default();
            if family.has_samples {
                return Err(broken("metadata stands before samples"));
            }
            let old = match what {
                "TYPE" => family.kind.replace(value),
                "UNIT" => family.unit.replace(value),
                "HELP" => family.help.replace(value),
                _ => return Err(broken("metadata is TYPE, UNIT or HELP")),
            };
            if old.is_some() {
                return Err(broken("metadata is said once"));
            }
            if what == "UNIT" && !name.ends_with(&format!("_{value}")) {
                return Err(broken("the name ends with the unit"));
            }
            continue;
        }
        let (name, labels, value) = sample(line).ok_or_else(|| broken("no sample"))?;
        let family = families.get_mut(current).ok_or_else(|| broken("a sample has a family"))?;
        let expected = match family.kind {
            Some("counter") => format!("{current}_total"),
            Some("gauge") => current.to_owned(),
            Some("info") => format!("{current}_info"),
            Some("histogram") => {
                let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|s| name.ends_with(s));
                if (suffix == Some("_bucket")) != labels.contains("le=\"") {
                    return Err(broken("buckets, and only they, have a bound"));
                }
                format!("{current}{}", suffix.unwrap_or("_bucket"))
            }
            _ => return Err(broken("the family has a type")),
        };
        if name != expected {
            return Err(broken(&format!("a sample of this family is named {expected}")));
        }
        if family.kind == Some("counter") && (value.is_nan() || value < 0.0) {
            return Err(broken("a counter is not negative"));
        }
        family.has_samples = true;
        if series
            .insert(format!("{name}{}", if labels == "{}" { "" } else { labels }), value)
            .is_some()
        {
            return Err(broken("a series stands there once"));
        }
    }
    Ok(series)
}

#[derive(Default)]
struct Family<'a> {
    kind: Option<&'a str>,
    unit: Option<&'a str>,
    help: Option<&'a str>,
    has_samples: bool,
}

/// Name, labels with their braces, and value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let labels_end = if rest.starts_with('{') { labels(rest)? } else { 0 };
    let (labels, value) = rest.split_at(labels_end);
    Some((name, labels, value.strip_prefix(' ')?.parse().ok()?))
}

/// The length of `{name="value",…}` at the beginning of `text`.
fn labels(text: &str) -> Option<usize> {
    let mut names = BTreeSet::new();
    let mut rest = text.strip_prefix('{')?;
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some(text.len() - after.len());
        }
        let (name, value) = rest.split_once("=\"")?;
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name || !names.insert(name) {
            return None;
        }
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => rest = more,
            Some(_) => return None,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

#[test]
fn the_reader_refuses_what_the_format_forbids() {
    let good = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                a_seconds_total{x=\"1\",y=\"a\\\"b\"} 2.5\n# TYPE b gauge\nb -1\n\
                # TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_sum 1.5\nh_count 2\n# EOF\n";
    let series = parse(good).unwrap();
    assert_eq!(series["a_seconds_total{x=\"1\",y=\"a\\\"b\"}"], 2.5);
    assert_eq!(series["b"], -1.0);
    for bad in [
        "",
        "# TYPE a gauge\na 1\n",
        "a 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE a gauge\na 1\na 2\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n",
        "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# TYPE a gauge\na{x=\"1\"\n# EOF\n",
        "# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n# EOF\n",
        "# TYPE a gauge\na{x=\"1\",} 1\n# EOF\n",
        "# TYPE a gauge\n\na 1\n# EOF\n",
        "# TYPE a gauge\na one\n# EOF\n",
        "# TYPE a histogram\na_bucket 1\n# EOF\n",
        "# TYPE a histogram\na 1\n# EOF\n",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}
