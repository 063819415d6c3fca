//! A program that has children of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use kennel::{Restart, Service};

use crate::support::{soon, status, supervisor};

/// So many children the program has of each kind.
const CHILDREN: i32 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_supervisor_nor_the_program_takes_the_exits_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    // A code of its own each, again and again.
    let restless = |number: i32| {
        let code = 100 + number;
        let restart = Restart::always()
            .unlimited()
            .backoff(Duration::from_millis(1), Duration::from_millis(20));
        Service::shell(format!("restless-{number}"), format!("exit {code}")).restart(restart)
    };
    let builder = supervisor(dir.path()).service(restless(1)).service(restless(2));
    let supervisor = builder.launch().await.unwrap();
    let handle = supervisor.handle().clone();
    let (done, wrong) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (is_done, counted) = (done.clone(), wrong.clone());
    let watcher = tokio::spawn(async move {
        let mut restarts = 0;
        while !is_done.load(Ordering::Relaxed) || restarts < 20 {
            restarts = 0;
            for number in [1, 2] {
                let service = status(&handle, &format!("restless-{number}")).await;
                restarts += service.restarts;
                if let Some((exit, _)) = service.exit
                    && exit.to_string() != format!("exited with code {}", 100 + number)
                {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let blocking = tokio::task::spawn_blocking(|| {
        for code in 0..CHILDREN {
            let line = format!("exit {code}");
            let mut child = std::process::Command::new("sh").args(["-c", &line]).spawn().unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    });
    for code in 0..CHILDREN {
        let line = format!("exit {code}");
        let child = tokio::process::Command::new("sh").args(["-c", &line]).spawn();
        let status = soon("the exit", async { child.unwrap().wait().await }).await.unwrap();
        assert_eq!(status.code(), Some(code));
    }
    soon("the other children", blocking).await.unwrap();
    done.store(true, Ordering::Relaxed);
    soon("restarts", watcher).await.unwrap();
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
    soon("the end", supervisor.shutdown()).await.unwrap();
}
