//! A page is tried: its files are written, its configurations checked, its commands run, in
//! the order of the page, in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;

use super::compare;
use super::page::{Block, Ending, Kind, Step, blocks, steps};
use crate::support::Kennel;
use crate::support::kennel::binary;
use crate::support::output::{Background, Output};
use crate::support::process::MARK;
use crate::support::servers::free_port;

/// Programs and verbs that change nothing: what they show is waited for.
const LOOKING: &[&str] = &["cat", "curl"];
const LOOKING_VERBS: &[&str] = &["status", "logs", "events", "why"];

/// How long a command may take, and the wait for what it shows. Pages compile plugins, several
/// at a time beside whatever else the machine does; only a hang takes so long.
const BOUND: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(20);

/// What was found wrong, with its place.
pub(super) type Wrong = String;

/// Tries a page.
pub(super) fn try_page(page: &str) -> Result<(), Wrong> {
    let blocks = blocks(page).map_err(|bad| bad.to_string())?;
    let mut trial = Trial::new(&blocks);
    let result = blocks.iter().try_for_each(|block| {
        trial.block(block).map_err(|wrong| format!("line {}: {wrong}", block.line))
    });
    trial.end();
    result
}

struct Trial {
    /// Its directory and whatever is left of its processes end with it.
    fixture: Kennel,
    background: Vec<Background>,
    /// Ports that the page names, and those that are used in their place.
    ports: BTreeMap<String, String>,
    checked: usize,
}

impl Trial {
    fn new(blocks: &[Block]) -> Trial {
        let named = Regex::new(r"127\.0\.0\.1:(\d+)").expect("it is written well");
        let texts = blocks.iter().map(|block| block.text.as_str());
        let ports = texts.flat_map(|text| named.captures_iter(text).map(|c| c[1].to_owned()));
        let ports = ports.map(|port| (port, free_port().to_string())).collect();
        let trial = Trial {
            fixture: Kennel::new("services: {}"),
            background: Vec::new(),
            ports,
            checked: 0,
        };
        fs::create_dir(trial.place()).expect("the directory is ours");
        trial.make_executable("bin/kennel", &trial.wrapper());
        trial
    }

    /// Where the commands of the page are run.
    fn place(&self) -> PathBuf {
        self.fixture.path("page")
    }

    /// `kennel` as the page knows it: only its state is elsewhere than root would have it.
    fn wrapper(&self) -> String {
        let (kennel, state) = (binary(), self.fixture.path("state"));
        let (kennel, state) = (kennel.display(), state.display());
        format!(
            "#!/bin/sh\n[ \"$1\" = run ] && shift && set -- run --state-dir '{state}' \"$@\"\n\
             exec '{kennel}' \"$@\"\n"
        )
    }

    /// A program is copied by a process of its own: while this one has it open for writing, a
    /// child that another thread starts has so too, and it could not be executed, `execve(2)`.
    fn make_executable(&self, name: &str, text: &str) {
        let text_file = format!("{name}.text");
        self.write(&text_file, text);
        let (from, to) = (self.fixture.path(&text_file), self.fixture.path(name));
        let copied = Command::new("install").args(["-m", "755"]).args([&from, &to]).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} is copied", from.display());
        fs::remove_file(from).expect("the directory is ours");
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.fixture.path(name);
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("ours");
        fs::write(&path, text).expect("the directory is ours");
    }

    fn block(&mut self, block: &Block) -> Result<(), Wrong> {
        let text = self.with_own_ports(&block.text);
        match &block.kind {
            Kind::Console(ending) => self.console(&text, *ending),
            Kind::Configuration(name) => self.configuration(name.as_deref(), &text),
            Kind::File(name) => {
                let name = format!("page/{name}");
                if text.starts_with("#!") {
                    self.make_executable(&name, &text);
                } else {
                    self.write(&name, &text);
                }
                Ok(())
            }
            Kind::Ignored | Kind::Text => Ok(()),
        }
    }

    // Configurations.

    fn configuration(&mut self, name: Option<&str>, text: &str) -> Result<(), Wrong> {
        let (name, text) = match name {
            Some(name) => (name.to_owned(), text.to_owned()),
            None => {
                self.checked += 1;
                (format!("part-{}/services.yaml", self.checked), whole(text))
            }
        };
        self.write(&format!("page/{name}"), &text);
        let said = self.run(&format!("kennel check -c {name}"));
        if said.code == 0 { Ok(()) } else { Err(format!("kennel check: {}", said.stdout)) }
    }

    // Commands.

    fn console(&mut self, text: &str, ending: Ending) -> Result<(), Wrong> {
        let steps = steps(text);
        let Some(last) = steps.len().checked_sub(1) else {
            return Err("a console block without a command after \"$ \"".into());
        };
        for (at, step) in steps.iter().enumerate() {
            match ending {
                Ending::Background if at == last => self.background(step)?,
                Ending::Code(code) if at == last => self.step(step, code)?,
                Ending::Background | Ending::Code(_) => self.step(step, 0)?,
            }
        }
        Ok(())
    }

    fn step(&self, step: &Step, code: i32) -> Result<(), Wrong> {
        let begun = Instant::now();
        loop {
            let said = self.run(&step.command);
            if said.code == code && compare::fits(&self.with_named_ports(&step.shown), &said.stdout)
            {
                return Ok(());
            }
            if !is_looking(&step.command) || begun.elapsed() > BOUND {
                let Output { code: other, stdout, .. } = said;
                return Err(format!(
                    "$ {}\n--- shown, code {code} ---\n{}--- said, code {other} ---\n{stdout}",
                    step.command, step.shown
                ));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Starts a command that goes on, and waits until it has said what is shown.
    fn background(&mut self, step: &Step) -> Result<(), Wrong> {
        let running = Background::start(
            self.shell(&format!("exec {}", step.command)),
            self.fixture.directory(),
        );
        let begun = Instant::now();
        let shown = self.with_named_ports(&step.shown);
        loop {
            let said = self.with_named_ports(&running.stdout());
            if compare::fits(&shown, &said) {
                self.background.push(running);
                return Ok(());
            }
            if begun.elapsed() > BOUND {
                return Err(format!(
                    "$ {}\n--- shown ---\n{shown}--- said ---\n{said}",
                    step.command
                ));
            }
            thread::sleep(PAUSE);
        }
    }

    fn run(&self, command: &str) -> Output {
        let said =
            Background::start(self.shell(command), self.fixture.directory()).end_within(BOUND);
        Output { stdout: self.with_named_ports(&said.stdout), ..said }
    }

    /// A shell that is about to run `command`; all says what it says on one stream.
    fn shell(&self, command: &str) -> Command {
        let directory = self.fixture.directory();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.place())
            .env_remove("KENNEL_LOG")
            .env(MARK, directory)
            .env("KENNEL_SOCKET", self.fixture.socket())
            .env("PATH", format!("{}:{path}", directory.join("bin").display()))
            .env("NO_COLOR", "1")
            .envs(directories(directory));
        shell
    }

    // Ports.

    fn with_own_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (named, own)| replace(&text, named, own))
    }

    fn with_named_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (named, own)| replace(&text, own, named))
    }

    fn end(&mut self) {
        let _ = self.run("kennel shutdown --now");
        self.background.clear();
    }
}

/// Where programs keep what is their user's.
fn directories(directory: &Path) -> [(&'static str, PathBuf); 4] {
    ["HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"]
        .map(|name| (name, directory.to_owned()))
}

fn replace(text: &str, from: &str, to: &str) -> String {
    let whole = Regex::new(&format!(r"\b{from}\b")).expect("it is a number");
    whole.replace_all(text, to).into_owned()
}

/// What is indented by four is keys of a service.
fn whole(text: &str) -> String {
    if !text.starts_with("    ") {
        return text.to_owned();
    }
    let has_program = ["    command:", "    shell:"]
        .iter()
        .any(|key| text.lines().any(|line| line.starts_with(key)));
    let program = if has_program { "" } else { "    command: [\"true\"]\n" };
    format!("services:\n  web:\n{program}{text}")
}

fn is_looking(command: &str) -> bool {
    let mut words = command.split(' ');
    match words.next() {
        Some("kennel") => words.next().is_some_and(|verb| LOOKING_VERBS.contains(&verb)),
        Some(program) => LOOKING.contains(&program),
        None => false,
    }
}
