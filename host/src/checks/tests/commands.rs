//! Commands: what they say, how they end, and that nothing is left of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{ExitStatus, Signal};
use kennel_wasm::probe::ExecOutput;

use super::super::{Deadline, Launcher, ProbeError, Stage, exec};
use super::support::{BOUND, LONGER, SHORT, soon};
use crate::os::Launch;

/// Starts commands in a folder, with a variable of its own.
pub(super) struct In(pub(super) PathBuf);

impl Launcher for In {
    fn launch(&self, argv: &[String]) -> Result<Launch, String> {
        let mut launch = Launch::new(argv.iter().cloned());
        let path = std::env::var_os("PATH").unwrap_or_default();
        launch.env = vec![("PATH".into(), path), ("OWN".into(), "value".into())];
        launch.working_dir = Some(self.0.clone());
        Ok(launch)
    }
}

struct Refuses;

impl Launcher for Refuses {
    fn launch(&self, _: &[String]) -> Result<Launch, String> {
        Err("there is no user \"nobody-at-all\"".into())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn sh(folder: &Path, script: &str, deadline: Deadline) -> Result<ExecOutput, ProbeError> {
    let launcher = Arc::new(In(folder.to_owned()));
    exec(launcher, words(&["sh", "-c", script]), deadline).await.map(ExecOutput::from)
}

/// Waits until the process is gone: not even a zombie is left.
async fn gone(pid: &str) {
    let place = format!("/proc/{}", pid.trim());
    let is_gone = async {
        while Path::new(&place).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, is_gone).await.is_ok(), "{place} is still there");
}

#[tokio::test]
async fn a_command_is_told_by_its_code_and_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let end = sh(&folder, "pwd; echo $OWN; echo complaint >&2; exit 3", soon()).await.unwrap();
    let said = format!("{}\nvalue\n", folder.display());
    let (stdout, stderr) = (said.into_bytes(), b"complaint\n".to_vec());
    assert_eq!(end, ExecOutput { exit_code: Some(3), stdout, stderr });
    let launcher = Arc::new(In(folder.clone()));
    let killed = exec(launcher, words(&["sh", "-c", "kill -9 $$"]), soon()).await.unwrap();
    let status = ExitStatus::Signal { signal: Signal::KILL, core_dumped: false };
    assert_eq!(killed.status, status);
    assert_eq!(ExecOutput::from(killed).exit_code, None);
}

#[tokio::test]
async fn a_command_that_cannot_be_run_says_why() {
    let run = async |launcher: Arc<dyn Launcher>, program: &str| {
        exec(launcher, words(&[program]), soon()).await.unwrap_err().to_string()
    };
    let here: Arc<dyn Launcher> = Arc::new(In("/".into()));
    let missing = run(here.clone(), "no-such-program").await;
    assert!(missing.starts_with("cannot run \"no-such-program\": "), "{missing}");
    assert!(missing.contains("not found"), "{missing}");
    let is_none = run(here, "/etc/passwd").await;
    assert!(is_none.starts_with("cannot run \"/etc/passwd\": it is not executable"), "{is_none}");
    let refused = run(Arc::new(Refuses), "true").await;
    assert_eq!(refused, "cannot run \"true\": there is no user \"nobody-at-all\"");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > main; wait; sleep 1000";
    let late = sh(folder.path(), script, Deadline::after(LONGER)).await;
    let to = "sh".to_owned();
    assert_eq!(late, Err(ProbeError::Late { stage: Stage::Command, to, within: LONGER }));
    for name in ["main", "child"] {
        gone(&fs::read_to_string(folder.path().join(name)).unwrap()).await;
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_what_has_left_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'sleep 1000 & echo $! > grandchild; echo $$ > child; wait' & wait";
    let begun = std::time::Instant::now();
    let mut within = SHORT;
    // Whoever has not begun by then is none to be found: a slow machine gets more time.
    while !["child", "grandchild"].iter().all(|name| folder.path().join(name).exists()) {
        assert!(begun.elapsed() < BOUND, "they do not begin within {within:?}");
        within *= 2;
        let late = sh(folder.path(), script, Deadline::after(within)).await;
        assert!(matches!(late, Err(ProbeError::Late { .. })), "{late:?}");
    }
    for name in ["child", "grandchild"] {
        gone(&fs::read_to_string(folder.path().join(name)).unwrap()).await;
    }
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_owned();
    let running = tokio::spawn(async move {
        sh(&place, "echo $$ > unfinished; mv unfinished main; sleep 1000", soon()).await
    });
    let main = folder.path().join("main");
    let begun = async {
        while !main.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, begun).await.unwrap();
    running.abort();
    gone(&fs::read_to_string(&main).unwrap()).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_killed_and_does_not_hold_up_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > child; echo done";
    let end = sh(folder.path(), script, soon()).await.unwrap();
    assert_eq!((end.exit_code, &*end.stdout), (Some(0), &b"done\n"[..]));
    gone(&fs::read_to_string(folder.path().join("child")).unwrap()).await;
}

#[tokio::test]
async fn a_command_may_say_much_but_is_not_listened_to_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let script = "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2; exit 4";
    let end = sh(folder.path(), script, soon()).await.unwrap();
    assert_eq!((end.exit_code, end.stdout.len(), end.stderr.len()), (Some(4), 65_536, 65_536));
    assert!(end.stdout.iter().all(|byte| *byte == b'x'));
    // Endless: it waits for its deadline rather than keep a processor busy.
    let late = sh(folder.path(), "exec cat /dev/zero", Deadline::after(SHORT)).await;
    assert!(matches!(late, Err(ProbeError::Late { .. })), "{late:?}");
}

#[tokio::test]
async fn many_commands_at_once_all_end_and_leave_no_zombie() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200 {
        let place = folder.path().to_owned();
        running.spawn(async move {
            let end = sh(&place, &format!("echo $$; exit {}", number % 7), soon()).await.unwrap();
            assert_eq!(end.exit_code, Some(number % 7));
            String::from_utf8(end.stdout).unwrap()
        });
    }
    while let Some(pid) = running.join_next().await {
        gone(&pid.unwrap()).await;
    }
}
