//! The guide in `docs/` is tried: every command in a `console` block is run and has to show
//! what the page shows, and every `yaml` block has to pass `kennel check`. A page is tried from
//! top to bottom in one directory.
//!
//! ```text
//! console             run; the exit code is 0
//! console fails=2     the last command ends with this code
//! console background  the last command goes on; what it has said by then is shown
//! yaml                a whole configuration, or, indented by four, keys of a service
//! yaml file=NAME      the same, and the commands after it find it there
//! … file=NAME         a file for the commands; with `yaml file=NAME data` it is not checked
//! … ignore            it cannot be tried, and IGNORED below has it
//! ```
//!
//! A command that only looks (`kennel status`, `logs`, `events`, …) is repeated until it shows
//! that. `compare.rs` says what need not be the same. Ports that stand in the page as
//! `127.0.0.1:PORT` are replaced by free ones.

mod compare;
mod page;
mod trial;

use page::Kind;
use trial::try_page;

use crate::support::needs_program;

macro_rules! pages {
    ($($test:ident: $page:literal $(needs $program:literal)*;)*) => {
        const PAGES: &[(&str, &str)] = &[$(($page, include_str!(concat!("../../docs/", $page)))),*];

        $(#[test]
        fn $test() {
            if [$($program),*].iter().any(|program: &&str| needs_program(program)) {
                return;
            }
            let (page, text) = ($page, include_str!(concat!("../../docs/", $page)));
            if let Err(wrong) = try_page(text) {
                panic!("docs/{page}, {wrong}");
            }
        })*
    };
}

pages! {
    the_readme_is_as_it_says: "../README.md";
    the_quick_start_works_as_it_says: "quick-start.md" needs "python3" needs "curl";
    running_works_as_it_says: "running.md" needs "python3";
    writing_plugins_works_as_it_says: "writing-plugins.md" needs "python3" needs "clang";
    operations_work_as_they_say: "operations.md" needs "python3" needs "curl";
    moving_from_supervisord_works_as_it_says: "from-supervisord.md";
    moving_from_systemd_works_as_it_says: "from-systemd.md";
    moving_from_pm2_works_as_it_says: "from-pm2.md" needs "node" needs "curl";
    the_design_has_nothing_to_try: "design.md";
    the_peers_have_nothing_to_try: "peers.md";
    the_front_page_has_nothing_to_try: "README.md";
    adoption_works_as_it_says: "adoption.md";
    the_command_line_works_as_it_says: "cli.md";
    the_reference_has_nothing_to_try: "configuration.md";
    containers_work_as_they_say: "containers.md";
    embedding_works_as_it_says: "embedding.md";
    the_figures_have_nothing_to_try: "figures.md";
    notifications_work_as_they_say: "notify.md";
    scenarios_of_plugins_work_as_they_say: "plugin-scenarios.md";
    the_rqlite_sample_works_as_it_says: "rqlite.md";
    services_work_as_they_say: "services.md";
    systemd_works_as_it_says: "systemd.md";
}

/// Blocks that cannot be tried: the page, and how the block begins.
const IGNORED: &[(&str, &str)] = &[
    ("quick-start.md", "$ cargo install --path host"),
    ("plugin-scenarios.md", "config: { url: \"http://127.0.0.1:8090/stats.json\", limit: 10 }"),
    (
        "systemd.md",
        "# kennel systemd-unit -c /etc/kennel/house.yaml > /etc/systemd/system/kennel-house.service",
    ),
];

#[test]
fn every_page_of_the_book_is_tried() {
    let summary = include_str!("../../docs/SUMMARY.md");
    let listed = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for page in listed {
        assert!(PAGES.iter().any(|(known, _)| *known == page), "{page} is not tried");
    }
}

#[test]
fn what_cannot_be_tried_is_named_here() {
    let mut ignored = Vec::new();
    for (page, text) in PAGES {
        let blocks = page::blocks(text).unwrap_or_else(|bad| panic!("{page}, {bad}"));
        for block in blocks.iter().filter(|block| block.kind == Kind::Ignored) {
            ignored.push((*page, block.text.lines().next().unwrap_or_default().to_owned()));
        }
    }
    let ignored: Vec<_> = ignored.iter().map(|(page, line)| (*page, line.as_str())).collect();
    assert_eq!(ignored, IGNORED);
}

/// Indented code is never tried. The README has some, for it is short.
#[test]
fn commands_of_the_guide_stand_in_blocks() {
    for (page, text) in PAGES.iter().filter(|(page, _)| *page != "../README.md") {
        let command = text
            .lines()
            .find(|line| ["    kennel ", "    $ "].iter().any(|start| line.starts_with(start)));
        assert_eq!(command, None, "{page}: it belongs in a console block");
    }
}

/// A page with a mistake, and what is said of it.
#[test]
fn a_page_with_a_mistake_is_found_out() {
    let mistakes = [
        ("```console\n$ kennel frobnicate\n```\n", "unrecognized subcommand"),
        ("```console\n$ echo one\ntwo\n```\n", "--- said, code 0 ---\none"),
        ("```console\n$ echo one\n```\n", "--- said, code 0 ---\none"),
        ("```console\n$ exit 3\n$ true\n```\n", "--- said, code 3 ---"),
        ("```console fails=3\n$ true\n```\n", "--- said, code 0 ---"),
        ("```console\ntrue\n```\n", "without a command"),
        ("```yaml\nservices:\n  web: { comand: [nginx] }\n```\n", "did you mean \"command\"?"),
        ("```yaml\n    healthy: { tcp: \"127.0.0.1:80\" }\n```\n", "unknown key \"healthy\""),
        ("```yaml file=a.yaml\nservice: {}\n```\n", "unknown key \"service\""),
        ("```console\n$ true\n", "the block has no end"),
        ("```\n$ true\n```\n", "no language"),
        ("```sh\nkennel run\n```\n", "is tried or has a name"),
        ("```console ignored\n$ true\n```\n", "nobody knows the word \"ignored\""),
    ];
    for (page, what) in mistakes {
        let wrong = try_page(page).expect_err(page);
        assert!(wrong.contains(what), "{page}{wrong}");
    }
    let well = "```text file=a\nb\n```\n```console\n$ cat a\nb\n$ false\n```\n";
    assert!(try_page(well).is_err(), "a command that fails is found out");
    try_page(&well.replace("```console", "```console fails=1")).expect("nothing is wrong with it");
}
