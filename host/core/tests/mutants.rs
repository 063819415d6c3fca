//! The list of deliberate faults stays in step with the code. That the tests catch each
//! of them is shown by `cargo xtask mutants`.

#[path = "../mutants/list.rs"]
mod list;

use std::collections::BTreeSet;
use std::path::Path;

fn mutants() -> Vec<list::Mutant> {
    list::parse(include_str!("../mutants/mutants.txt")).expect("the list can be read")
}

#[test]
fn the_text_of_every_mutant_stands_in_its_file_exactly_once() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let drifted: Vec<String> = mutants()
        .iter()
        .filter_map(|mutant| {
            let source = std::fs::read_to_string(src.join(&mutant.file)).expect("it is there");
            mutant.apply(&source).err()
        })
        .collect();
    assert!(drifted.is_empty(), "{}", drifted.join("\n"));
}

#[test]
fn every_mutant_changes_something_and_has_a_title_of_its_own() {
    let mutants = mutants();
    assert!(mutants.len() >= 20, "only {} mutants", mutants.len());
    let titles: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.title.as_str()).collect();
    assert_eq!(titles.len(), mutants.len(), "two mutants have one title");
    for mutant in &mutants {
        assert_ne!(mutant.text, mutant.replacement, "{}", mutant.title);
        assert!(!mutant.rule.is_empty(), "{}", mutant.title);
    }
}

#[test]
fn a_list_that_cannot_be_read_is_an_error_with_its_line() {
    for (list, error) in [
        ("nonsense", "line 1: expected \"== title\""),
        ("\n== a\nrule: b", "line 2: no file: "),
        ("== a\nfile: b\nrule: c\n---\n+++\n.", "line 1: the text is empty"),
    ] {
        let refused = list::parse(list).expect_err("must be refused");
        assert!(refused.ends_with(error), "{refused}");
    }
}
