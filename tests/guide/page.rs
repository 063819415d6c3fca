//! A page of the guide: its fenced blocks, and what their marks ask for.

use std::fmt;

/// A fenced block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// The line of its fence, from 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// What is done with a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `console`: commands that are run, each with what it shows.
    Console(Ending),
    /// `yaml`, `yaml file=NAME`: a configuration that is checked, and written if it has a name.
    Configuration(Option<String>),
    /// `LANGUAGE file=NAME data`, or any language but YAML with a name: a file that commands
    /// work with.
    File(String),
    /// `console ignore`, `yaml ignore`: it cannot be tried here.
    Ignored,
    /// Neither commands nor a configuration.
    Text,
}

/// How the last command of a block ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// `console`, `console fails=N`: by itself, with this exit code.
    Code(i32),
    /// `console background`: it goes on while the rest of the page is tried.
    Background,
}

/// A block whose mark is wrong.
#[derive(Debug)]
pub(super) struct BadMark {
    line: usize,
    why: String,
}

impl fmt::Display for BadMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// The fenced blocks of a page, in order.
pub(super) fn blocks(page: &str) -> Result<Vec<Block>, BadMark> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let bad = |why: String| BadMark { line: at + 1, why };
        let Some(mark) = line.strip_prefix("```") else {
            continue;
        };
        let kind = kind(mark).map_err(bad)?;
        let mut text = String::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((_, line)) => text += &format!("{line}\n"),
                None => return Err(BadMark { line: at + 1, why: "the block has no end".into() }),
            }
        }
        blocks.push(Block { line: at + 1, kind, text });
    }
    Ok(blocks)
}

fn kind(mark: &str) -> Result<Kind, String> {
    let mut words = mark.split_whitespace();
    let language = words.next().ok_or("the block has no language")?;
    let (mut file, mut ending, mut is_data, mut is_ignored) = (None, None, false, false);
    for word in words {
        match (language, word.split_once('=').unwrap_or((word, ""))) {
            (_, ("file", name)) => file = Some(name.to_owned()),
            ("yaml", ("data", "")) => is_data = true,
            ("console" | "yaml", ("ignore", "")) => is_ignored = true,
            ("console", ("background", "")) => ending = Some(Ending::Background),
            ("console", ("fails", code)) => {
                let code = code.parse().map_err(|_| format!("{code:?} is no exit code"))?;
                ending = Some(Ending::Code(code));
            }
            // Those of other languages are for others.
            ("rust", _) => {}
            (_, _) => return Err(format!("nobody knows the word {word:?}")),
        }
    }
    match (language, file) {
        (_, _) if is_ignored => Ok(Kind::Ignored),
        ("console", None) => Ok(Kind::Console(ending.unwrap_or(Ending::Code(0)))),
        ("yaml", file) if !is_data => Ok(Kind::Configuration(file)),
        (_, Some(name)) => Ok(Kind::File(name)),
        ("sh" | "bash" | "shell" | "yaml", None) => {
            Err(format!("a block of {language:?} is tried or has a name"))
        }
        (_, None) => Ok(Kind::Text),
    }
}

/// A command of a console block, and what it shows.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) command: String,
    pub(super) shown: String,
}

/// The commands of a console block: lines after `$ `, which a backslash continues. What stands
/// before the first one belongs to none.
pub(super) fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("$ ") {
            let mut command = command.to_owned();
            while command.ends_with('\\') {
                command += "\n";
                command += lines.next().unwrap_or_default();
            }
            steps.push(Step { command, shown: String::new() });
        } else if let Some(step) = steps.last_mut() {
            step.shown += &format!("{line}\n");
        }
    }
    steps
}
