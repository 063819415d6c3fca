//! `stock:rqlite` with a stand-in that answers as a node does: rqlite is in no distribution.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, wait_for};

/// What the node says at `/readyz`: a status and a text. None: it is dead.
type Says = Arc<Mutex<Option<(u16, &'static str)>>>;

const NO_LEADER: Option<(u16, &str)> = Some((503, "[+]node ok\n[+]leader does not exist"));
const READY: Option<(u16, &str)> = Some((200, "[+]node ok\n[+]leader ok\n[+]store ok"));

fn node() -> (u16, Says) {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let says = Says::new(Mutex::new(NO_LEADER));
    let shared = says.clone();
    // It ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let now = *shared.lock().unwrap();
            if let Some(now) = now {
                drop(answer(&stream, now));
            }
        }
    });
    (port, says)
}

fn answer(mut stream: &TcpStream, readyz: (u16, &str)) -> std::io::Result<()> {
    let mut head = BufReader::new(stream).lines();
    let first = head.next().transpose()?.unwrap_or_default();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let document = r#"{"store": {"leader": {"addr": "10.0.0.1:4002"}, "nodes": [{}, {}, {}],
        "raft": {"state": "Follower", "commit_index": 9, "applied_index": 7, "term": 2}}}"#;
    let (status, body) = match first.split(['?', ' ']).nth(1) {
        Some("/readyz") => readyz,
        Some("/status") => (200, document),
        _ => (404, "404 page not found"),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} .\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_node_without_a_leader_is_degraded_and_a_dead_one_is_restarted() {
    let (port, says) = node();
    let check = format!(
        "{{ plugin: rqlite, every: 100ms, failures: 2, config: {{ url: \"http://127.0.0.1:{port}\" }} }}"
    );
    let ready = check.replace("failures: 2, ", "");
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          rqlite: {{ source: "stock:rqlite", grants: {{ http: ["http://127.0.0.1:{port}"] }} }}
        services:
          store:
            command: [sleep, "1000"]
            ready: {ready}
            health: {check}
        "#
    ));
    kennel.start();
    kennel.wait_for_health("store", "starting", "unknown", "has no leader yet");
    *says.lock().unwrap() = READY;
    kennel.wait_for_health("store", "up", "healthy", "");
    kennel.wait_for_sample("rqlite", "store", "nodes", 3.0);
    kennel.wait_for_sample("rqlite", "store", "leader", 0.0);
    *says.lock().unwrap() = NO_LEADER;
    kennel.wait_for_health("store", "up", "degraded", "has no leader yet");
    assert_eq!(kennel.service("store")["restarts"], 0);
    *says.lock().unwrap() = None;
    wait_for("a restart", BOUND, || {
        kennel.service("store")["restarts"].as_u64().filter(|restarts| *restarts > 0)
    });
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
