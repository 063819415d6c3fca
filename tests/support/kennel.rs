//! The fixture: one supervisor with its directory, and the end of everything it started.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::http;
use super::output::{Background, Output, exit_code};
use super::process::{self, MARK, Process};
use super::wait::{BOUND, wait_for};

/// One line, so that the lines of a test's file stand one below where the test has them.
const HEADER: &str = "kennel: { name: house, state_dir: ./state, socket: ./k.sock }\n";

/// A supervisor of a test's own, not necessarily running.
pub(crate) struct Kennel {
    directory: TempDir,
    supervisor: Option<Child>,
    environment: Vec<(String, String)>,
    prelude: Option<String>,
    args: Vec<String>,
}

impl Kennel {
    /// A directory with this `services.yaml`; nothing runs yet. Indentation that all lines
    /// share is taken away, and a `kennel:` block is added where there is none.
    pub(crate) fn new(yaml: &str) -> Kennel {
        let directory = tempfile::Builder::new().prefix("k-").tempdir().expect("a directory");
        // Services of other users look into it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let kennel = Kennel {
            directory,
            supervisor: None,
            environment: Vec::new(),
            prelude: None,
            args: vec!["run".into()],
        };
        kennel.configure(yaml);
        kennel
    }

    /// The same, supervising.
    #[track_caller]
    pub(crate) fn running(yaml: &str) -> Kennel {
        let mut kennel = Kennel::new(yaml);
        kennel.start();
        kennel
    }

    /// Sets a variable for the supervisor and all commands.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Kennel {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Has a shell do this before it becomes the supervisor.
    #[must_use]
    pub(crate) fn prelude(mut self, shell: &str) -> Kennel {
        self.prelude = Some(shell.into());
        self
    }

    /// More arguments of `kennel run`.
    #[must_use]
    pub(crate) fn args(mut self, args: &[&str]) -> Kennel {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    // Files.

    /// Replaces `services.yaml`.
    pub(crate) fn configure(&self, yaml: &str) {
        let text = dedent(yaml);
        let has_block = text.starts_with("kennel:") || text.contains("\nkennel:");
        let header = if has_block { "" } else { HEADER };
        self.write("services.yaml", &format!("{header}{text}"));
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("k.sock")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory is ours");
    }

    /// Writes a program. Another process does, since a descriptor of ours that may write would be
    /// inherited by what other tests are just starting, and whoever holds one keeps the file from
    /// being run (`ETXTBSY`).
    pub(crate) fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let wrote = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text])
            .arg(&path)
            .status()
            .expect("there is a shell");
        assert!(wrote.success(), "cannot write {}", path.display());
        path
    }

    /// The text of a file; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Waits until a file has at least one whole line, and reads it.
    #[track_caller]
    pub(crate) fn wait_for_file(&self, name: &str) -> String {
        wait_for(&format!("the file {name}"), BOUND, || {
            Some(self.read(name)).filter(|text| text.ends_with('\n'))
        })
    }

    // The supervisor.

    /// Starts the supervisor and waits until its socket answers.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_for_socket();
    }

    /// The same with another standard output than the file `run.out`.
    #[track_caller]
    pub(crate) fn start_into(&mut self, stdout: impl Into<Stdio>) {
        self.spawn_into(stdout.into());
        self.wait_for_socket();
    }

    #[track_caller]
    fn wait_for_socket(&mut self) {
        let begun = Instant::now();
        while http::ask(&self.socket(), "GET", "/livez").is_err() {
            if let Some(code) = self.supervisor_exit(Duration::ZERO) {
                panic!("kennel run ended with code {code}: {}", self.said());
            }
            assert!(begun.elapsed() < BOUND, "the control socket does not answer");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the supervisor; what it says goes to `run.out` and `run.err`.
    pub(crate) fn spawn(&mut self) {
        self.spawn_into(self.append("run.out").into());
    }

    fn append(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.path(name)).expect("ours")
    }

    fn spawn_into(&mut self, stdout: Stdio) {
        let mut command = match &self.prelude {
            None => self.command(&[]),
            Some(prelude) => {
                let mut shell = self.environ(Command::new("/bin/sh"));
                shell.args(["-c", &format!("{prelude}; exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
        };
        command.args(&self.args).stdin(Stdio::null()).stdout(stdout).stderr(self.append("run.err"));
        self.supervisor = Some(command.spawn().expect("kennel can be executed"));
    }

    /// What it has written so far on standard output.
    pub(crate) fn stdout(&self) -> String {
        self.read("run.out")
    }

    /// What it has written so far on standard error.
    pub(crate) fn said(&self) -> String {
        self.read("run.err")
    }

    #[track_caller]
    pub(crate) fn supervisor_pid(&self) -> i32 {
        self.supervisor.as_ref().expect("it was started").id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Process::find(self.supervisor_pid()).expect("the supervisor runs");
        process.signal(signal);
    }

    /// The supervisor's exit code, once it has ended.
    pub(crate) fn supervisor_exit(&mut self, bound: Duration) -> Option<i32> {
        let code = exit_code(self.supervisor.as_mut()?, bound);
        if code.is_some() {
            self.supervisor = None;
        }
        code
    }

    /// Waits for the end of the supervisor.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> i32 {
        self.supervisor_exit(BOUND).expect("the supervisor does not end")
    }

    /// Ends it with SIGTERM, as service managers do.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait_for_exit()
    }

    /// Kills the supervisor itself, which leaves its services behind.
    pub(crate) fn kill_supervisor(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_for_exit();
    }

    // What is left.

    /// The processes of this test apart from the supervisor itself.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let own = self.supervisor.as_ref().map(|child| child.id().cast_signed());
        let mut found = process::marked(self.directory());
        found.retain(|process| Some(process.pid) != own);
        found
    }

    /// After the end of the supervisor: no process, no socket, no lock.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        assert!(self.supervisor.is_none(), "the supervisor still runs");
        assert_eq!(self.processes(), [], "processes are left");
        assert!(!self.socket().exists(), "the socket is left");
        let lock = File::open(self.path("state/lock")).expect("the lock file stays");
        lock.try_lock().expect("the lock is free");
    }

    /// Kills whatever is left of the services of a killed supervisor.
    pub(crate) fn sweep(&self) {
        wait_for("the end of all processes of the test", BOUND, || {
            let left = self.processes();
            left.iter().for_each(|process| process.signal(Signal::SIGKILL));
            left.is_empty().then_some(())
        });
    }

    // Commands.

    /// A `kennel` command, not run yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.environ(Command::new(binary()));
        command.args(args);
        command
    }

    fn environ(&self, mut command: Command) -> Command {
        command
            .current_dir(self.directory())
            .env_remove("KENNEL_SOCKET")
            .env_remove("KENNEL_LOG")
            .env("NO_COLOR", "1")
            .env(MARK, self.directory())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a `kennel` command to its end.
    #[track_caller]
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        self.background(args).end()
    }

    /// Starts a `kennel` command that goes on.
    pub(crate) fn background(&self, args: &[&str]) -> Background {
        Background::start(self.command(args), self.directory())
    }

    fn report(&self) {
        eprintln!("--- {} ---", self.directory().display());
        for name in ["services.yaml", "run.out", "run.err"] {
            let text = self.read(name);
            eprintln!("--- {name} ---\n{}", tail(&text));
        }
        for target in ["/v1/status", "/v1/events?follow=false&format=ndjson&last=60"] {
            let answer = http::ask(&self.socket(), "GET", target);
            let text = answer.map_or_else(|error| error.to_string(), |answer| answer.body);
            eprintln!("--- {target} ---\n{}", tail(&text));
        }
    }
}

impl Drop for Kennel {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        }
        // A second request while it stops kills what is left, at once.
        for _ in 0..2 {
            let Some(process) =
                self.supervisor.as_ref().and_then(|child| Process::find(child.id().cast_signed()))
            else {
                break;
            };
            process.signal(Signal::SIGTERM);
            self.supervisor_exit(Duration::from_millis(500));
        }
        self.supervisor_exit(Duration::from_secs(5));
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        if !thread::panicking() {
            self.sweep();
        } else {
            for process in self.processes() {
                process.signal(Signal::SIGKILL);
            }
        }
    }
}

/// The `kennel` binary under test.
pub(crate) fn binary() -> PathBuf {
    match std::env::var_os("KENNEL_BIN") {
        Some(binary) => binary.into(),
        None => env!("CARGO_BIN_EXE_kennel").into(),
    }
}

/// The last part of a long text.
fn tail(text: &str) -> String {
    const LINES: usize = 120;
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len().saturating_sub(LINES);
    let short = |line: &&str| line.chars().take(2000).collect::<String>();
    lines[cut..].iter().map(short).collect::<Vec<_>>().join("\n")
}

/// Takes away the indentation that all lines share.
fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let full = text.lines().filter(|line| !line.trim().is_empty());
    let shared = full.map(indent).min().unwrap_or(0);
    let lines = text.lines().map(|line| line.get(shared..).unwrap_or_default());
    lines.map(|line| format!("{line}\n")).collect()
}
