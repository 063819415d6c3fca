//! Groups: processes and tasks that start in order and fail together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kennel::{Group, Restart, Service, StartError, State, Supervised, Task};

use crate::support::{BOUND, event, eventually, is_alive, pid, sleeper, soon, status, supervisor};

const WINDOW: Duration = Duration::from_secs(600);

fn at_once() -> Restart {
    Restart::always().backoff(Duration::from_millis(1), Duration::from_millis(1))
}

/// What tasks do, in its order.
type Noted = Arc<Mutex<Vec<String>>>;

/// A task that notes when it begins and when it is told to end.
fn noting(name: &str, noted: &Noted) -> Task {
    let noted = noted.clone();
    let task = Task::new(name, move |context| {
        let (noted, name) = (noted.clone(), context.name().to_owned());
        async move {
            noted.lock().unwrap().push(format!("+{name}"));
            context.ready();
            context.cancelled().await;
            noted.lock().unwrap().push(format!("-{name}"));
        }
    });
    task.ready_when_told(BOUND).restart(at_once())
}

/// A process that is killed for the group to restart.
fn victim(name: &str) -> Service {
    sleeper(name).restart(at_once())
}

fn kill(pid: i32) {
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[tokio::test]
async fn processes_and_tasks_of_a_group_restart_together_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let noted = Noted::default();
    let group = Group::new("shop")
        .one_for_all()
        .intensity(5, WINDOW)
        .service(noting("first", &noted))
        .service(victim("process"))
        .service(noting("last", &noted));
    let supervisor = supervisor(dir.path()).group(group).start().await.unwrap();
    let handle = supervisor.handle();
    let old = pid(handle, "process").await;
    assert_eq!(*noted.lock().unwrap(), ["+first", "+last"]);

    let mut events = supervisor.subscribe();
    kill(old);
    let stopping = event(&mut events, "service.stopping", "last").await;
    assert!(stopping.message.contains("its group shop"), "{}", stopping.message);
    let begun = ["+first", "+last", "-last", "-first", "+first", "+last"];
    eventually("all again", async || (*noted.lock().unwrap() == begun).then_some(())).await;
    soon("all up", handle.until_up("last")).await.unwrap();
    assert_ne!(pid(handle, "process").await, old);
    assert!(!is_alive(old));
    soon("the end", supervisor.shutdown()).await.unwrap();
    assert_eq!(noted.lock().unwrap()[6..], ["-last", "-first"]);
}

#[tokio::test]
async fn a_group_that_fails_too_often_is_restarted_by_the_one_above_and_that_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let noted = Noted::default();
    let inner = Group::new("inner").intensity(0, WINDOW).service(victim("process"));
    let top = Group::new("top")
        .rest_for_one()
        .intensity(1, WINDOW)
        .exit_on_give_up()
        .service(noting("before", &noted))
        .group(inner)
        .service(noting("after", &noted));
    let supervisor = supervisor(dir.path()).group(top).start().await.unwrap();
    let handle = supervisor.handle();
    kill(pid(handle, "process").await);
    let begun = ["+before", "+after", "-after", "+after"];
    eventually("the rest again", async || (*noted.lock().unwrap() == begun).then_some(())).await;
    soon("all up", handle.until_up("after")).await.unwrap();
    let mut events = supervisor.subscribe();
    kill(pid(handle, "process").await);
    assert_eq!(soon("the end", supervisor.stopped()).await, 1);
    assert_eq!(noted.lock().unwrap()[4..], ["-after", "-before"]);
    let mut groups = Vec::new();
    while let Some(seen) = events.next().await {
        if let kennel::Seen::Event(record) = seen
            && record.kind == "group.failed"
        {
            groups.push(record.attributes["group"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(groups, ["inner", "top"]);
}

#[tokio::test]
async fn a_group_that_gave_up_is_down_in_whole_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let group =
        Group::new("pair").intensity(0, WINDOW).service(victim("one")).service(victim("two"));
    let supervisor =
        supervisor(dir.path()).group(group).service(sleeper("other")).start().await.unwrap();
    let handle = supervisor.handle();
    let (one, two) = (pid(handle, "one").await, pid(handle, "two").await);
    kill(one);
    for name in ["one", "two"] {
        eventually("its failure", async || {
            (status(handle, name).await.state == State::Failed).then_some(())
        })
        .await;
    }
    assert!(!is_alive(two));
    assert_eq!(status(handle, "two").await.reason, "its group pair gave up");
    assert_eq!(status(handle, "other").await.state, State::Up);
    soon("a start", handle.start("one")).await.unwrap();
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_member_can_be_removed_and_the_group_goes_on_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::new("pair")
        .rest_for_one()
        .intensity(5, WINDOW)
        .service(victim("one"))
        .service(victim("two"))
        .service(victim("three"));
    let supervisor = supervisor(dir.path()).group(group).start().await.unwrap();
    let handle = supervisor.handle();
    soon("a removal", handle.remove("two")).await.unwrap();
    let three = pid(handle, "three").await;
    kill(pid(handle, "one").await);
    eventually("a restart of three", async || {
        status(handle, "three").await.pid.is_some_and(|pid| pid != three).then_some(())
    })
    .await;
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_groups_is_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let refused = async |groups: Vec<Group>| {
        let mut builder = supervisor(dir.path());
        for group in groups {
            builder = builder.group(group);
        }
        match builder.start().await {
            Err(StartError::Config(errors)) => errors.to_string(),
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("it was started"),
        }
    };
    fn with(name: &str, service: impl Supervised) -> Group {
        Group::new(name).service(service)
    }
    for (groups, what) in [
        (vec![with("a b", sleeper("one"))], "\"a b\" cannot be the name of a group"),
        (
            vec![with("same", sleeper("one")), with("same", sleeper("two"))],
            "two groups are named \"same\"",
        ),
        (
            vec![with("one", sleeper("first").depends_on("second")).service(sleeper("second"))],
            "depend on each other in a circle",
        ),
        (vec![with("one", sleeper("x")), with("two", sleeper("x"))], "duplicate service \"x\""),
        (
            vec![with("now", sleeper("x")).intensity(3, Duration::ZERO)],
            "its intensity wants a window",
        ),
    ] {
        let text = refused(groups).await;
        assert!(text.contains(what), "{what} is missing in: {text}");
    }
}

/// The restarts of a member are those of its group, also when another one has its place.
#[tokio::test]
async fn a_member_that_is_replaced_or_added_again_has_no_limit_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::new("pair").intensity(5, WINDOW).service(victim("one"));
    let supervisor = supervisor(dir.path()).group(group).start().await.unwrap();
    let handle = supervisor.handle();
    soon("a removal", handle.remove("one")).await.unwrap();
    soon("an addition", handle.add(victim("one"))).await.unwrap();
    for name in ["added", "replaced"] {
        let mut events = supervisor.subscribe();
        kill(pid(handle, "one").await);
        let backoff = event(&mut events, "service.backoff", "one").await;
        assert!(!backoff.message.contains(" of "), "{name}: {}", backoff.message);
        event(&mut events, "service.ready", "one").await;
        soon("a replacement", handle.replace(victim("one").env("EDITION", "2"))).await.unwrap();
    }
    supervisor.shutdown().await.unwrap();
}
