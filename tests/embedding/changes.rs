//! Services that come, change and go while others run.

use kennel::{ChangeError, Restart, Service, Task};

use crate::support::{is_alive, pid, sleeper, soon, status, supervisor};

#[tokio::test]
async fn services_are_added_changed_and_removed_while_others_run() {
    let dir = tempfile::tempdir().unwrap();
    // There may be nothing at the beginning.
    let supervisor = supervisor(dir.path()).start().await.unwrap();
    let handle = supervisor.handle();
    let base = handle.add(sleeper("base")).await.unwrap()[0].pid.unwrap();
    let added = handle.add(sleeper("web").depends_on("base")).await.unwrap();
    let web = added[0].pid.unwrap();
    assert!(is_alive(web));

    let again = handle.add(sleeper("web")).await;
    assert_eq!(again, Err(ChangeError::Exists { name: "web".into() }));
    let unknown = handle.replace(sleeper("wbe")).await;
    assert_eq!(unknown, Err(ChangeError::Unknown { name: "wbe".into() }));
    let Err(ChangeError::Invalid(errors)) = handle.add(sleeper("bad").depends_on("nobody")).await
    else {
        panic!("it needs nobody");
    };
    assert!(errors.to_string().contains("\"nobody\""), "{errors}");
    let Err(ChangeError::Invalid(errors)) = handle.remove("base").await else {
        panic!("web needs it");
    };
    assert!(errors.to_string().contains("\"base\""), "{errors}");

    // What needs no new process has none.
    let patient = Restart::always().limit(3, std::time::Duration::from_secs(9));
    let same = sleeper("web").depends_on("base").restart(patient);
    assert_eq!(handle.replace(same).await.unwrap()[0].pid, Some(web));
    let other = sleeper("web").depends_on("base").env("MODE", "other");
    let changed = handle.replace(other).await.unwrap()[0].pid.unwrap();
    assert!(changed != web && !is_alive(web) && is_alive(changed));

    let removed = handle.remove("web").await.unwrap();
    assert!(removed[0].success && !is_alive(changed), "{removed:?}");
    let Err(ChangeError::Failed { outcomes }) =
        handle.add(Service::command("lost", ["/does/not/exist"])).await
    else {
        panic!("it cannot start");
    };
    assert!(outcomes[0].message.contains("/does/not/exist"), "{outcomes:?}");
    handle.remove("lost").await.unwrap();
    let spare = handle.add(sleeper("spare").disabled()).await.unwrap();
    assert!(spare[0].success && spare[0].pid.is_none());
    assert_eq!(pid(handle, "base").await, base);
    supervisor.shutdown().await.unwrap();
    assert!(!is_alive(base));
}

#[tokio::test]
async fn changes_that_are_wanted_at_once_are_all_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.yaml");
    std::fs::write(&file, "services:\n  file: { command: [sleep, \"1000\"] }\n").unwrap();
    let builder = supervisor(dir.path()).config_from_file(&file);
    let supervisor = builder.start().await.unwrap();
    let mut changes = Vec::new();
    for number in 0..40 {
        let handle = supervisor.handle().clone();
        changes.push(tokio::spawn(async move {
            let name = format!("task-{number}");
            let task = Task::new(&name, async |context| context.cancelled().await);
            handle.add(task).await.unwrap();
            if number % 4 == 0 {
                handle.remove(&name).await.unwrap();
            }
        }));
        let handle = supervisor.handle().clone();
        changes.push(tokio::spawn(async move { drop(handle.reload().await) }));
    }
    for change in changes {
        soon("a change", change).await.unwrap();
    }
    let status = supervisor.handle().status().await.unwrap();
    assert_eq!(status.services.len(), 1 + 30);
    // What the program has described stays over a reload, and what the file says can change.
    let text = "services:\n  file: { command: [sleep, \"1000\"], replicas: 2 }\n";
    std::fs::write(&file, text).unwrap();
    supervisor.handle().reload().await.unwrap();
    let status = supervisor.handle().status().await.unwrap();
    assert_eq!(status.services.len(), 2 + 30);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_stands_in_the_file_is_changed_there_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.yaml");
    std::fs::write(&file, "services:\n  web: { command: [sleep, \"1000\"] }\n").unwrap();
    let supervisor = supervisor(dir.path()).config_from_file(&file).start().await.unwrap();
    let handle = supervisor.handle();
    let unknown = ChangeError::Unknown { name: "web".into() };
    assert_eq!(handle.remove("web").await, Err(unknown.clone()));
    assert_eq!(handle.replace(sleeper("web")).await, Err(unknown));
    let Err(ChangeError::Invalid(errors)) = handle.add(sleeper("web")).await else {
        panic!("there is one");
    };
    assert!(errors.to_string().contains("duplicate service \"web\", first given at"), "{errors}");
    assert!(status(handle, "web").await.ready);
    supervisor.shutdown().await.unwrap();
}
