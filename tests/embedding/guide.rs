//! The Rust that `docs/embedding.md` and `README.md` show. What is shown there stands here word
//! for word (a test of `xtask` compares), so it compiles, and where a test can, it runs it.

use std::path::Path;
use std::time::Duration;

use kennel::{
    Check, CheckTarget, Decision, EndedRun, FakeClock, Group, Health, Http, Restart, Service,
    StartError, State, Supervisor, SupervisorBuilder, Task, TaskContext, TaskError, Verdict,
};

use crate::support::{eventually, soon, status, supervisor};

async fn mailer(context: TaskContext) {
    context.cancelled().await;
}

async fn indexer(context: TaskContext) {
    context.cancelled().await;
}

async fn length() -> usize {
    3
}

async fn shop(directory: &Path, port: u16) -> Result<Supervisor, StartError> {
    let supervisor = Supervisor::builder()
        .state_dir(directory.join("kennel"))
        .service(
            Service::command("database", ["postgres", "-D", "data"])
                .ready(Check::tcp(format!("127.0.0.1:{port}"))),
        )
        .service(
            Task::new("mailer", mailer)
                .depends_on("database")
                .restart(Restart::on_failure().limit(5, Duration::from_secs(60))),
        )
        .start()
        .await?;
    Ok(supervisor)
}

/// There are no data here, so the database cannot start.
#[tokio::test]
async fn the_first_supervisor_of_the_guide_says_why_it_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let port = crate::support::free_port();
    match soon("the start", shop(dir.path(), port)).await {
        Err(StartError::Services { failed, .. }) => assert_eq!(failed[0].name, "database"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it has started"),
    }
}

fn group(builder: SupervisorBuilder) -> SupervisorBuilder {
    builder.group(
        Group::new("shop")
            .one_for_all()
            .intensity(3, Duration::from_secs(60))
            .service(Service::command("database", ["postgres", "-D", "data"]))
            .group(Group::new("workers").task("mailer", mailer).task("indexer", indexer)),
    )
}

#[tokio::test]
async fn the_group_of_the_guide_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = group(supervisor(dir.path())).launch().await.unwrap();
    let status = supervisor.handle().status().await.unwrap();
    let names: Vec<&str> = status.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["database", "mailer", "indexer"]);
    // There are no data here, and nobody starts before who is before it.
    assert!(status.services.iter().all(|service| service.state != State::Up), "{status:?}");
    soon("the end", supervisor.shutdown()).await.unwrap();
}

fn worker() -> Service {
    Service::command("worker", ["sleep", "1000"])
        .health(Check::own("queue", async |_: CheckTarget| match length().await {
            length if length < 100 => Verdict::Healthy,
            length => Verdict::Unhealthy(format!("{length} jobs wait")),
        }))
        .restart(Restart::always().decided_by(
            async |ended: EndedRun| match ended.target.restarts {
                0..10 => Decision::Default,
                _ => Decision::GiveUp("ten times is enough".into()),
            },
        ))
}

#[tokio::test]
async fn the_own_code_of_the_guide_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = supervisor(dir.path()).service(worker()).start().await.unwrap();
    eventually("its health", async || {
        (status(supervisor.handle(), "worker").await.health == Health::Healthy).then_some(())
    })
    .await;
    soon("the end", supervisor.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_hour_of_the_guide_passes_at_once() -> Result<(), TaskError> {
    let dir = tempfile::tempdir()?;
    let directory = dir.path();
    let hour = Duration::from_secs(3600);
    let flaky = Service::shell("flaky", "exit 1").restart(Restart::always().backoff(hour, hour));
    let clock = FakeClock::new();
    let supervisor = Supervisor::builder()
        .state_dir(directory.join("kennel"))
        .clock(&clock)
        .service(flaky)
        .launch()
        .await?;
    clock.advance(Duration::from_secs(3600));
    let status = supervisor.handle().status().await?; // after what was due then has begun
    assert_eq!(status.services.len(), 1);
    soon("the end", supervisor.shutdown()).await?;
    Ok(())
}

/// A web server of its own is more than a test of this page should start.
#[allow(dead_code)]
async fn readme(url: &str) -> Result<(), TaskError> {
    let supervisor = Supervisor::builder()
        .service(Service::command("web", ["nginx", "-g", "daemon off;"]).health(Http::get(url)))
        .task("indexer", indexer) // a future, supervised like a process
        .start()
        .await?;
    let mut events = supervisor.subscribe();
    supervisor.handle().restart("web").await?;
    println!("{:?}", events.next().await);
    supervisor.shutdown().await?;
    Ok(())
}
