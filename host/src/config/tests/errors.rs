//! Every mistake and exactly what is said about it, from `errors.txt`.
//!
//! A case is a line `=== sentence`, the text of a configuration, a line `---`, and what
//! is shown. `KENNEL_BLESS=1` rewrites the file with what is shown now.

use std::fmt::Write;

use super::report;

const CASES: &str = include_str!("errors.txt");

#[test]
fn every_mistake_is_shown_with_its_place_and_a_hint() {
    let mut now = String::new();
    for case in CASES.split("=== ").skip(1) {
        let (sentence, rest) = case.split_once('\n').expect("a sentence ends its line");
        let (text, _) = rest.split_once("---\n").expect("a case has a --- line");
        // Written out, so that an editor does not take it for a mistake of its own.
        let shown = report(&text.replace("<TAB>", "\t"));
        write!(now, "=== {sentence}\n{text}---\n{shown}\n\n").unwrap();
    }
    if std::env::var_os("KENNEL_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/errors.txt");
        std::fs::write(path, &now).unwrap();
        return;
    }
    let pairs = CASES.split("=== ").zip(now.split("=== "));
    for (expected, shown) in pairs {
        pretty_eq(expected, shown);
    }
    assert_eq!(CASES.len(), now.len());
}

fn pretty_eq(expected: &str, shown: &str) {
    assert!(expected == shown, "expected\n{expected}\nbut it is\n{shown}");
}
