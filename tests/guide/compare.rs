//! Whether a command said what the guide shows.
//!
//! `…` stands for any text; on a line of its own, for any lines. What differs between two runs
//! need not be the same: times of day and dates, durations and sizes with their unit, numbers
//! from 1000 on (pids, ports), and the width of gaps. Everything else does, small numbers too.

use std::sync::LazyLock;

use regex::{Captures, Regex};

const UNITS: &str = "(?:ms|s|min|h|d|B|KiB|MiB|GiB|%)";

/// What need not be the same, each with what may stand there.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    let quantity = format!(r"\d+(?:\.\d+)? ?{UNITS}");
    let parts = [
        r"(?<any>…)".to_owned(),
        r"(?<date>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?)".to_owned(),
        r"(?<clock>\b\d\d:\d\d:\d\d(?:\.\d+)?\b)".to_owned(),
        format!(r"(?<quantity>\b{quantity}(?: {quantity})*(?: ago)?(?:\b|\B))"),
        r"(?<number>\b\d{4,}\b)".to_owned(),
        r"(?<gap>[ \t]+)".to_owned(),
    ];
    Regex::new(&parts.join("|")).expect("it is written well")
});

/// Whether `said` is what is `shown`.
pub(super) fn fits(shown: &str, said: &str) -> bool {
    let mut pattern = String::from(r"\A");
    for line in shown.trim_end().lines() {
        if line.trim() == "…" {
            pattern += r"(?:[^\n]*\n)*";
        } else {
            pattern += &of_line(line.trim());
            pattern += r"[ \t]*\n";
        }
    }
    pattern += r"\z";
    let lines: Vec<&str> = said.trim_end().lines().map(str::trim).collect();
    let said: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&said))
}

fn of_line(line: &str) -> String {
    let mut pattern = String::new();
    let mut end = 0;
    for found in VARIABLE.captures_iter(line) {
        let whole = found.get_match();
        pattern += &regex::escape(&line[end..whole.start()]);
        pattern += &in_its_place(&found);
        end = whole.end();
    }
    pattern + &regex::escape(&line[end..])
}

fn in_its_place(found: &Captures<'_>) -> String {
    let is = |name| found.name(name).is_some();
    let quantity = format!(r"\d+(?:\.\d+)? ?{UNITS}(?: \d+(?:\.\d+)? ?{UNITS})*");
    if is("any") {
        "[^\\n]*".to_owned()
    } else if is("date") {
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?".to_owned()
    } else if is("clock") {
        r"\d\d:\d\d:\d\d(?:\.\d+)?".to_owned()
    } else if let Some(shown) = found.name("quantity") {
        let ago = if shown.as_str().ends_with(" ago") { " ago" } else { "" };
        format!("(?:{quantity}{ago}|now)")
    } else if is("number") {
        r"\d+".to_owned()
    } else {
        r"[ \t]+".to_owned()
    }
}

#[test]
fn what_differs_between_two_runs_need_not_be_the_same_and_all_else_must() {
    let fitting = [
        ("web: up in 27 ms, pid 4711", "web: up in 1.3 s, pid 17"),
        ("web  up  1234  0  now", "web      up  99  0  now"),
        ("6 s ago  exited with code 3", "1 min 3 s ago  exited with code 3"),
        ("a\n…\nz", "a\nb\nc\nz\n"),
        ("a\n…\nz", "a\nz"),
        ("state …", "state /tmp/x"),
        ("12:00:01.5 web", "23:59:59 web"),
        ("2026-01-01T00:00:00Z  INFO x", "2027-12-31T10:00:00.123Z  INFO x"),
        ("", "\n"),
    ];
    for (shown, said) in fitting {
        assert!(fits(shown, said), "{shown:?} is not {said:?}");
    }
    let other = [
        ("exited with code 3", "exited with code 4"),
        ("web: up", "web: down"),
        ("a\n…\nz", "a\nb"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("", "a"),
        ("27 ms", "soon"),
        ("web up 1234", "web up -"),
        ("a.b", "axb"),
    ];
    for (shown, said) in other {
        assert!(!fits(shown, said), "{shown:?} is taken for {said:?}");
    }
}
