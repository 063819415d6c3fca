//! Links of the guide that leave `docs/`, when it becomes a book: mdBook runs this as a
//! preprocessor (`docs/book.toml`). In the repository they lead to a file; a book has no such file,
//! so there the name of the file stands in the text.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use serde_json::Value;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What mdBook asks first: `supports RENDERER`. All are.
    question: Vec<String>,
}

/// Reads `[context, book]` from standard input and writes the book, as mdBook wants it.
pub(crate) fn book(args: &Args) -> Result<()> {
    if !args.question.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let input: Value = serde_json::from_str(&text).context("this is for mdbook to run")?;
    let mut book = input.get(1).cloned().context("mdbook gives a book")?;
    chapters(&mut book);
    std::io::stdout().write_all(book.to_string().as_bytes())?;
    Ok(())
}

/// Chapters stand in each other, and in lists under names that differ between versions of mdBook;
/// their text is always `content`.
fn chapters(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "content" => *text = without_outer_links(text),
                    value => chapters(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(chapters),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `[the design](../ARCHITECTURE.md)` becomes ``the design (`ARCHITECTURE.md` in the repository)``.
fn without_outer_links(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](../") {
        let (Some((before, words)), Some((path, after))) =
            (before.rsplit_once('['), after.split_once(')'))
        else {
            done += before;
            done += "](../";
            rest = after;
            continue;
        };
        done += &format!("{before}{words} (`{path}` in the repository)");
        rest = after;
    }
    done + rest
}

#[test]
fn links_that_leave_the_book_become_names_of_files() {
    let cases = [
        (
            "see [the design](../ARCHITECTURE.md).",
            "see the design (`ARCHITECTURE.md` in the repository).",
        ),
        (
            "[a](b.md), [`c`](../c/README.md) and [d](../d)",
            "[a](b.md), `c` (`c/README.md` in the repository) and d (`d` in the repository)",
        ),
        ("none ](../ here", "none ](../ here"),
    ];
    for (text, expected) in cases {
        assert_eq!(without_outer_links(text), expected);
    }
    let mut book = serde_json::json!({ "items": [{ "Chapter": {
        "content": "[a](../a)", "sub_items": [{ "Chapter": { "content": "[b](../b)", "name": "[c](../c)" } }],
    } }] });
    chapters(&mut book);
    let text = book.to_string();
    assert!(text.contains("a (`a` in the repository)"), "{text}");
    assert!(text.contains("b (`b` in the repository)"), "{text}");
    assert!(text.contains("[c](../c)"), "{text}");
}
