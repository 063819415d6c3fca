//! The guide in `docs/` hangs together: every page is in its table of contents, every link leads
//! somewhere, and Rust that is shown stands in a file that is compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text without fenced blocks, so that what looks like a link or heading in there is none.
fn prose(text: &str) -> String {
    let mut in_block = false;
    let mut prose = String::new();
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        if !in_block && !is_fence {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// Where the links of a text lead: `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// What headings can be linked to as, the way mdBook and forges name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// The links of the file `name` that lead nowhere.
fn dead_links(folder: &Path, name: &str, text: &str) -> Vec<String> {
    let mut dead = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = folder.join(path);
        let has_anchor = || match path {
            _ if anchor.is_empty() => true,
            "" => anchors(text).contains(anchor),
            _ => anchors(&read(&target)).contains(anchor),
        };
        if !target.exists() || !has_anchor() {
            dead.push(format!("{name}: {link}"));
        }
    }
    dead
}

fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs")).expect("readable").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let mut listed = links(&summary);
    listed.sort();
    assert_eq!(listed, pages().into_iter().collect::<Vec<_>>());
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    let docs = pages().into_iter().map(|page| ("docs", page));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
        .map(|page| (".", page.to_owned()));
    let below = ["plugins", "plugins/examples", "wit", "plugin-sdk"]
        .map(|folder| (folder, "README.md".to_owned()));
    for (folder, page) in docs.chain(others).chain(below) {
        let folder = root().join(folder);
        dead.extend(dead_links(&folder, &page, &read(&folder.join(&page))));
    }
    assert!(dead.is_empty(), "these lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let folder = root().join("docs");
    let text = "# A page: its *end*\n[a](#a-page-its-end) [b](cli.md#kennel-run) [c](gone.md)\n\
                [d](#gone) [e](cli.md#gone) [f](https://example.com/gone)\n```text\n[g](gone.md)\n```\n";
    let dead = dead_links(&folder, "page", text);
    assert_eq!(dead, ["page: gone.md", "page: #gone", "page: cli.md#gone"]);
}

/// What is wrong with the Rust of a page. A block is `rust from=PATH` and stands in that file,
/// line by line; Rust that is merely indented would be compiled by nobody.
fn uncompiled(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for block in text.split("```rust").skip(1) {
        let (mark, rest) = block.split_once('\n').expect("a block has lines");
        let (code, _) = rest.split_once("```").expect("a block has an end");
        match mark.strip_prefix(" from=") {
            Some(file) if read(&root().join(file)).contains(code) => {}
            Some(file) => wrong.push(format!("{name}: this does not stand in {file}:\n{code}")),
            None => wrong.push(format!("{name}: say from which file this is:\n{code}")),
        }
    }
    let marks = ["let ", "use ", "async ", "fn ", "Service::", "Group::", "Supervisor::"];
    let prose = prose(text);
    let indented = prose.lines().filter(|line| line.starts_with("    "));
    let code = indented.filter(|line| marks.iter().any(|mark| line.trim_start().starts_with(mark)));
    wrong.extend(code.map(|line| format!("{name}: write this as a block of Rust: {line}")));
    wrong
}

#[test]
fn rust_that_is_shown_is_rust_that_is_compiled() {
    let docs = pages().into_iter().map(|page| format!("docs/{page}"));
    let wrong: Vec<String> = docs
        .chain(["README.md".to_owned(), "plugins/README.md".to_owned()])
        .flat_map(|page| uncompiled(&page, &read(&root().join(&page))))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rust_that_is_compiled_by_nobody_is_found() {
    let file = "host/examples/minimal.rs";
    let good = format!("```rust from={file}\nuse std::time::Duration;\n```\n");
    let page = |text: &str| uncompiled("page", text).len();
    assert_eq!(page(&good), 0);
    assert_eq!(page(&good.replace("Duration", "Instant")), 1);
    assert_eq!(page("```rust\nlet x = 1;\n```\n"), 1);
    assert_eq!(page("Text:\n\n    let x = 1;\n    cargo run\n"), 1);
}
