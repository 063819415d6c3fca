//! A state directory that is removed, moved away or replaced while its supervisor works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{BOUND, Kennel, wait_for};

/// Counts a line every tenth of a second.
const COUNTING: &str = r#"
services:
  web: { shell: "n=0; while sleep 0.1; do n=$((n + 1)); echo line $n; done" }
  other: { command: [sleep, "1000"] }
"#;

fn counting() -> Kennel {
    let kennel = Kennel::running(COUNTING);
    for name in ["web", "other"] {
        kennel.wait_for_state(name, "up");
    }
    kennel
}

/// Waits until the supervisor tells of its state directory in these words.
#[track_caller]
fn wait_until_told(kennel: &Kennel, words: &str) {
    wait_for(words, BOUND, || {
        let is_it = |event: &serde_json::Value| {
            event["kind"] == "supervisor.state"
                && event["message"].as_str().is_some_and(|message| message.contains(words))
        };
        kennel.events().iter().any(is_it).then_some(())
    });
    wait_for("the same words", BOUND, || kennel.said().contains(words).then_some(()));
    assert_eq!(kennel.said().matches(words).count(), 1, "it is told once");
}

/// The numbers of the lines in the log, which are there without a gap.
fn lines(kennel: &Kennel) -> Vec<u64> {
    let text = kennel.cli(&["logs", "web"]).ok();
    text.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// What holds after the directory was made anew: all is remembered that was before.
#[track_caller]
fn assert_all_goes_on(kennel: &mut Kennel) {
    let (web, other) = (kennel.process("web"), kennel.process("other"));
    for name in ["lock", "id", "place", "table", "journal"] {
        wait_for(name, BOUND, || kennel.path("state").join(name).exists().then_some(()));
    }
    let mode = fs::metadata(kennel.path("state")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    kennel.cli(&["run"]).fails_saying(4, &["locked by the supervisor with pid"]);
    kennel.cli(&["stop", "other"]).ok();
    wait_for("lines in a new file", BOUND, || (lines(kennel).len() > 5).then_some(()));
    let first = lines(kennel)[0];
    kennel.kill_supervisor();
    kennel.start();
    assert_eq!(kennel.wait_for_state("other", "down")["wanted"], "down");
    assert!(!other.is_alive());
    assert_eq!(kennel.process("web"), web, "it was adopted");
    let last = *lines(kennel).last().unwrap();
    wait_for("more lines", BOUND, || (*lines(kennel).last()? > last + 5).then_some(()));
    let found = lines(kennel);
    let expected: Vec<u64> = (first..first + found.len() as u64).collect();
    assert_eq!(found, expected, "each line once, in order");
    let numbers: Vec<u64> =
        kennel.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "the journal has what was in memory");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_state_directory_that_is_removed_is_told_of_and_made_anew_and_nothing_is_started_twice() {
    let mut kennel = counting();
    let web = kennel.process("web");
    fs::remove_dir_all(kennel.path("state")).unwrap();
    // Whatever comes first, the lock or the control socket: a second one is refused.
    assert_ne!(kennel.cli(&["run"]).code, 0);
    wait_until_told(&kennel, "it was made anew");
    assert_eq!(kennel.process("web"), web);
    assert_all_goes_on(&mut kennel);
}

/// The thread "kennel-home" and how many times it went to sleep.
fn sleeps(kennel: &Kennel) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", kennel.supervisor_pid())).unwrap().flatten();
    let file = |task: &fs::DirEntry, name| fs::read_to_string(task.path().join(name)).unwrap();
    let thread = tasks.into_iter().find(|task| file(task, "comm").trim() == "kennel-home").unwrap();
    let status = file(&thread, "status");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

#[test]
fn nobody_looks_at_a_state_directory_to_which_nothing_happens() {
    let kennel = counting();
    let before = sleeps(&kennel);
    // Longer than between two looks where the kernel does not tell.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(sleeps(&kennel), before);
}

#[test]
fn a_state_directory_that_is_moved_with_what_it_is_in_is_made_anew_too() {
    let yaml = COUNTING
        .replace("\nservices:", "\nkennel: { state_dir: ./in/state, socket: ./k.sock }\nservices:");
    let mut kennel = Kennel::new(&yaml);
    fs::create_dir(kennel.path("in")).unwrap();
    kennel.start();
    kennel.wait_for_state("web", "up");
    let web = kennel.process("web");
    fs::rename(kennel.path("in"), kennel.path("out")).unwrap();
    wait_until_told(&kennel, "it was made anew");
    assert_eq!(kennel.process("web"), web);
    assert!(kennel.path("in/state/table").exists());
}

#[test]
fn a_state_directory_that_is_moved_away_is_made_anew_too() {
    let mut kennel = counting();
    fs::rename(kennel.path("state"), kennel.path("old")).unwrap();
    wait_until_told(&kennel, "it was made anew");
    assert_all_goes_on(&mut kennel);
}

#[test]
fn a_state_directory_of_others_is_left_as_it_is_and_orders_are_not_remembered_until_ours_is_back() {
    let mut kennel = counting();
    let (web, other) = (kennel.process("web"), kennel.process("other"));
    fs::rename(kennel.path("state"), kennel.path("old")).unwrap();
    fs::create_dir(kennel.path("state")).unwrap();
    fs::set_permissions(kennel.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    kennel.write("state/id", "0123456789abcdef\n");
    kennel.write("state/table", "kennel state 1\n");
    wait_until_told(&kennel, "nothing is remembered until it is there again");
    kennel.cli(&["stop", "other"]).fails_saying(1, &["other: down", "not remembered"]);
    assert!(!other.is_alive(), "the order is carried out");
    assert_eq!(kennel.process("web"), web, "services go on");
    let there: Vec<_> = fs::read_dir(kennel.path("state")).unwrap().flatten().collect();
    assert_eq!(there.len(), 2, "{there:?}");
    assert_eq!(kennel.read("state/table"), "kennel state 1\n");

    fs::remove_dir_all(kennel.path("state")).unwrap();
    fs::rename(kennel.path("old"), kennel.path("state")).unwrap();
    wait_until_told(&kennel, "the state directory is there again");
    wait_for("an order that is remembered", BOUND, || {
        (kennel.cli(&["stop", "other"]).code == 0).then_some(())
    });
    kennel.kill_supervisor();
    kennel.start();
    assert_eq!(kennel.wait_for_state("other", "down")["wanted"], "down");
    assert_eq!(kennel.process("web"), web, "it was adopted");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
