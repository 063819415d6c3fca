//! The examples in `host/examples`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use kennel::Supervisor;
use kennel::journal::Filter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{event, eventually, is_alive, pid, soon};

#[cfg(feature = "plugins")]
#[path = "../../host/examples/custom_check.rs"]
mod custom_check;
#[path = "../../host/examples/database_sidecar.rs"]
mod database_sidecar;
#[path = "../../host/examples/fake_clock.rs"]
mod fake_clock;
#[path = "../../host/examples/minimal.rs"]
mod minimal;
#[path = "../../host/examples/web.rs"]
mod web;

#[test]
fn the_smallest_program_runs_to_its_end() {
    minimal::main().unwrap();
}

/// The test that it shows runs beside this one.
#[test]
fn the_hours_of_the_fake_clock_pass_at_once() {
    fake_clock::main().unwrap();
}

/// Whether the test has to be left out, since one of these is not installed.
fn lacks(programs: &[&str]) -> bool {
    let is_there = |program: &&&str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let Some(missing) = programs.iter().find(|program| !is_there(program)) else { return false };
    assert!(
        std::env::var_os("KENNEL_FORBID_SKIPS").is_none(),
        "{missing} is not installed, and skips are forbidden"
    );
    println!("skipped: {missing} is not installed");
    true
}

/// What a statement gives.
fn sql(directory: &Path, statement: &str) -> String {
    let mut psql = Command::new("psql");
    psql.arg("-h").arg(directory).args(["-U", "app", "-qAtX", "postgres", "-c", statement]);
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Where in the journal an event stands that has come about.
fn place(supervisor: &Supervisor, kind: &str, service: &str) -> u64 {
    let records = supervisor.handle().journal().last(1000, &Filter::default()).unwrap();
    let found = records
        .iter()
        .find(|record| record.kind == kind && record.service.as_deref() == Some(service));
    found.unwrap_or_else(|| panic!("no {kind} of {service}")).seq
}

#[tokio::test]
async fn a_database_beside_the_program_is_backed_up_when_it_is_ready_and_whenever_it_is_wanted() {
    let postgres = database_sidecar::programs().join("postgres");
    if lacks(&[&postgres.to_string_lossy(), "psql", "pg_dump"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // As root the database has another user, who has to come by.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let directory = dir.path().join("shop");
    let supervisor = soon("the database", database_sidecar::start(&directory)).await.unwrap();
    let handle = supervisor.handle();
    let database = pid(handle, "database").await;
    let backup = directory.join("backup.sql");
    let first = std::fs::read_to_string(&backup).unwrap();
    assert!(first.contains("PostgreSQL database dump complete"), "{first}");

    sql(&directory, "create table orders (what text); insert into orders values ('a kennel')");
    soon("a backup", handle.start("backup")).await.unwrap();
    let second = std::fs::read_to_string(&backup).unwrap();
    assert!(!first.contains("a kennel") && second.contains("a kennel"), "{second}");
    assert_eq!(pid(handle, "database").await, database);

    let place = |kind: &str, service: &str| place(&supervisor, kind, service);
    assert!(place("service.done", "directory") < place("service.started", "cluster"));
    assert!(place("service.done", "cluster") < place("service.started", "database"));
    assert!(place("service.ready", "database") < place("service.started", "backup"));

    soon("the end", supervisor.shutdown()).await.unwrap();
    assert!(!is_alive(database));
    assert!(!directory.join("data/postmaster.pid").exists(), "it has ended in order");

    // What is there is not made again.
    let supervisor = soon("the database", database_sidecar::start(&directory)).await.unwrap();
    assert_eq!(sql(&directory, "select what from orders"), "a kennel");
    soon("the end", supervisor.shutdown()).await.unwrap();
}

#[cfg(feature = "plugins")]
#[tokio::test]
async fn a_check_in_rust_and_the_same_as_a_plugin_say_the_same() {
    use kennel::Health;

    if lacks(&["redis-server"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ports = [crate::support::free_port(), crate::support::free_port()];
    let supervisor = custom_check::start(&dir.path().join("state"), ports, None).await.unwrap();
    for (signal, health) in custom_check::COURSE {
        custom_check::signal(&supervisor, signal).await.unwrap();
        let both = soon(&format!("{health}"), custom_check::once(&supervisor, health)).await;
        for service in both.unwrap() {
            assert_eq!(service.restarts, 0, "{service:?}");
            let is_late = service.reason.contains("no answer");
            assert_eq!(is_late, health == Health::Degraded, "{service:?}");
        }
    }
    soon("the end", supervisor.shutdown()).await.unwrap();
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    soon("the answer", stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_application_shows_its_health_and_finishes_its_requests_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let supervisor = web::start(listener, &dir.path().join("state")).await.unwrap();
    let handle = supervisor.handle().clone();
    let worker = pid(&handle, "worker").await;

    let health = answer(ask(address, "/healthz").await).await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(health.contains(&format!("\"pid\":{worker}")), "{health}");
    eventually("what the task does", async || {
        let health = answer(ask(address, "/healthz").await).await;
        health.contains("\"swept ").then_some(())
    })
    .await;

    let slow = ask(address, "/slow").await;
    eventually("the request", async || {
        let health = answer(ask(address, "/healthz").await).await;
        health.contains("answering slowly").then_some(())
    })
    .await;
    let mut events = supervisor.subscribe();
    let stopping = tokio::spawn(async move { supervisor.shutdown().await });
    event(&mut events, "service.stopping", "server").await;
    let answered = answer(slow).await;
    assert!(answered.starts_with("HTTP/1.1 200 ") && answered.contains("done"), "{answered}");
    event(&mut events, "service.stopped", "server").await;
    event(&mut events, "service.stopping", "worker").await;
    soon("the end", stopping).await.unwrap().unwrap();
    assert!(!is_alive(worker));
    assert!(TcpStream::connect(address).await.is_err());
}
