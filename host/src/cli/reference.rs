//! The reference of the command line in `docs/cli.md` is made from its definition.

use std::path::Path;

/// Every command's help, as wide as a page.
fn reference() -> String {
    let mut root = super::definition().term_width(90).disable_help_subcommand(true);
    root.build();
    let mut text = String::from(
        "# The command line\n\n\
         Made from the definitions in `host/src/cli`; `KENNEL_BLESS=1 cargo test cli` writes it anew.\n\n",
    );
    text.push_str(&format!("## kennel\n\n```text\n{}\n```\n", help(&mut root)));
    of_commands(&mut root, "kennel", &mut text);
    text
}

/// Those below `command`, and below those.
fn of_commands(command: &mut clap::Command, path: &str, text: &mut String) {
    for command in command.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        text.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", help(command)));
        of_commands(command, &path, text);
    }
}

fn help(command: &mut clap::Command) -> String {
    let help = command.render_help().to_string();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn the_reference_in_docs_is_what_the_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let reference = reference();
    if std::env::var_os("KENNEL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &reference).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == reference,
        "docs/cli.md is not what the help says; KENNEL_BLESS=1 writes it anew"
    );
}

#[test]
fn the_definition_holds_together() {
    super::definition().debug_assert();
}
