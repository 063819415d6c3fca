//! What a `kennel` command said, and commands that go on in the background.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use super::wait::{BOUND, wait_for};

/// A command that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// What a command that must have failed with `code` said on standard error. A failure
    /// gives no data.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.stdout, "", "a failure writes to standard error only");
        self.stderr
    }

    /// Like [`Output::fails`]; standard error must have all of `parts`.
    #[track_caller]
    pub(crate) fn fails_saying(self, code: i32, parts: &[&str]) {
        let said = self.fails(code);
        for part in parts {
            assert!(said.contains(part), "{part:?} is missing in:\n{said}");
        }
    }
}

/// A command whose output goes to files and that is killed when it is no longer needed.
pub(crate) struct Background {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Background {
    /// Starts `command`; its output goes to new files in `directory`.
    pub(crate) fn start(mut command: Command, directory: &Path) -> Background {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let out = directory.join(format!("command-{number}.out"));
        let err = directory.join(format!("command-{number}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("the directory is ours"))
            .stderr(File::create(&err).expect("the directory is ours"))
            .spawn()
            .expect("kennel can be executed");
        Background { child, out, err }
    }

    /// What it has written so far. What is not UTF-8 is replaced.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// What it has complained of so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// Waits until `look` sees something in its output.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        wait_for(what, BOUND, || look(&self.stdout()))
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(self) -> Output {
        self.end_within(BOUND)
    }

    /// The same, of a command that has much to compute.
    #[track_caller]
    pub(crate) fn end_within(mut self, bound: Duration) -> Output {
        let code = exit_code(&mut self.child, bound);
        let Some(code) = code else {
            panic!("a command does not end\nout: {}\nerr: {}", self.stdout(), self.stderr())
        };
        Output { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended; then it is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code of `child`, 128 and more for a signal as shells have it; none when it
/// does not end in time.
pub(crate) fn exit_code(child: &mut Child, bound: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let begun = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code().or_else(|| Some(128 + status.signal()?));
        }
        if begun.elapsed() > bound {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
