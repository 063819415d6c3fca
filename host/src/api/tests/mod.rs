//! The server and the client against each other, over real sockets.
//!
//! Behind the server stands a small driver that knows three services and does at once
//! what is asked, so that these tests are about the API and nothing else.

mod hostile;
mod requests;
mod streams;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kennel_core::{ExitStatus, Health, State, Wanted};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::server::{Bounds, Serving};
use super::{Client, Server};
use crate::config::Plan;
use crate::gate::Gate;
use crate::handle::{Handle, Outcome, ReloadError, Request, VerbError, Wait};
use crate::journal::{Journal, JournalOptions, NewRecord};
use crate::logs::{Capture, CaptureOptions, Console, Logs};
use crate::plugins::Plugins;
use crate::sinks::SinkStates;
use crate::state::RunTable;
use crate::status::{CgroupStatus, Role, ServiceStatus, Status, SupervisorStatus};
use crate::tallies::CheckTallies;
use crate::usage::Meter;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

struct Fixture {
    dir: TempDir,
    client: Client,
    journal: Journal,
    serving: Serving,
    /// Sends the exit code when the supervisor is to have ended.
    end: watch::Sender<Option<i32>>,
}

impl Fixture {
    fn start() -> Fixture {
        Fixture::with(Bounds::default(), JournalOptions::default())
    }

    fn with(bounds: Bounds, journal: JournalOptions) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal"), journal).unwrap();
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let capture = Capture::start(CaptureOptions {
            dir: logs.clone(),
            spool: dir.path().join("spool"),
            console: Console { writer: Box::new(std::io::sink()), colour: false, width: 0 },
            facts: Box::new(|_| {}),
        });
        let (requests, incoming) = mpsc::channel(64);
        let (end, ended) = watch::channel(None);
        let logs = Logs::new(capture.unwrap(), logs);
        let meter = Meter::default();
        let plugins =
            Plugins::new(dir.path().to_owned(), crate::Traps::Checked, std::sync::Arc::new(drop));
        let checks = CheckTallies::default();
        let sinks = SinkStates::new(journal.clone());
        let (table, ..) = RunTable::open(dir.path(), drop).unwrap();
        let handle = Handle {
            requests,
            ended,
            journal: journal.clone(),
            logs,
            meter,
            plugins,
            sinks,
            checks,
            table,
            gate: Gate::default(),
            succession: None,
        };
        tokio::spawn(drive(incoming, end.clone()));
        let server = Server::bind(&dir.path().join("kennel.sock")).unwrap();
        let client = Client::new(server.path());
        let serving = server.serve_within(handle, bounds);
        Fixture { dir, client, journal, serving, end }
    }

    fn socket(&self) -> PathBuf {
        self.client.socket().to_owned()
    }

    fn happens(&self, kind: &str, service: &str) -> u64 {
        self.journal.append(NewRecord {
            kind: kind.to_owned(),
            service: Some(service.to_owned()),
            message: format!("{kind} of {service}"),
            ..NewRecord::default()
        })
    }

    /// Lines as the supervisor would have captured them.
    fn write_log(&self, service: &str, lines: &[&str]) {
        let path = crate::logs::file::log_path(&self.dir.path().join("logs"), service);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let stamp = "2026-11-21T02:45:02.123456789Z stdout F ";
        let text: String = lines.iter().map(|line| format!("{stamp}{line}\n")).collect();
        std::fs::write(path, text).unwrap();
    }

    /// Sends `text` and gives back the answer up to the end of the connection.
    async fn raw(&self, text: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// The status line and the body of the answer to a request.
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: kennel\r\nconnection: close\r\n\r\n");
        let answer = self.raw(&request).await;
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }
}

/// Answers like a driver with three instances that obey at once. A start of `worker`
/// never comes to its end.
async fn drive(mut requests: mpsc::Receiver<Request>, end: watch::Sender<Option<i32>>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Status { reply } => drop(reply.send(status())),
            Request::Act { verb: _, names, wait, reply } => {
                let services = status().services;
                let is = |s: &ServiceStatus, n: &String| s.name == *n || s.service == *n;
                let unknown = names.iter().find(|name| !services.iter().any(|s| is(s, name)));
                if let Some(name) = unknown {
                    let error = VerbError::UnknownService {
                        name: name.clone(),
                        near: vec!["worker".to_owned()],
                    };
                    let _ = reply.send(Err(error));
                    continue;
                }
                let meant = services.into_iter().filter(|s| names.iter().any(|n| is(s, n)));
                let outcomes: Vec<Outcome> = meant.map(outcome).collect();
                let slow = outcomes.iter().any(|outcome| outcome.name == "worker");
                tokio::spawn(async move {
                    if let (true, Wait::UpTo(time)) = (slow, wait) {
                        tokio::time::sleep(time).await;
                    }
                    let _ = reply.send(Ok(outcomes));
                });
            }
            Request::Plan { file: _, reply } => drop(reply.send(Ok(Plan::default()))),
            Request::Reload { reply } => drop(reply.send(Err(ReloadError::NoFile))),
            Request::HandOver { reply, failed: _ } => drop(reply.send(None)),
            Request::Announce | Request::Await { .. } | Request::Change { .. } => {}
            Request::Shutdown(_) => drop(end.send_replace(Some(0))),
        }
    }
}

fn outcome(service: ServiceStatus) -> Outcome {
    Outcome {
        success: service.name != "worker",
        state: service.state,
        pid: service.pid,
        message: "as it was".to_owned(),
        name: service.name,
    }
}

fn status() -> Status {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_233_232_482);
    let service = |name: &str, service: &str, state| ServiceStatus {
        name: name.to_owned(),
        service: service.to_owned(),
        state,
        wanted: Wanted::Up,
        pid: None,
        sessions: Vec::new(),
        ready: state == State::Up,
        health: Health::Healthy,
        restarts: 5,
        since: at,
        exit: Some((ExitStatus::Code(3), at)),
        task_end: None,
        reason: "exited with code 3; next try in 7.2 s".to_owned(),
        status_text: None,
        ignored_notifications: 0,
        next_restart_in: Some(Duration::from_millis(7200)),
        memory_bytes: None,
        cpu: None,
        start_time: None,
        restarts_by_cause: [("exit", 5)].into(),
        labels: [("tier".to_owned(), "front".to_owned())].into(),
        sockets: vec![crate::SocketStatus {
            name: "http".into(),
            address: "tcp://127.0.0.1:80".into(),
            open: true,
        }],
        logs_to: crate::config::LogTarget::File,
    };
    Status {
        supervisor: SupervisorStatus {
            name: "demo".to_owned(),
            pid: 42,
            version: "1.2.3",
            started_at: at,
            role: Role::Single,
            stopping: false,
            cgroups: CgroupStatus::Unavailable { reason: "switched off".into() },
        },
        services: vec![
            service("web/0", "web", State::Up),
            service("web/1", "web", State::Up),
            service("worker", "worker", State::Backoff),
        ],
    }
}
