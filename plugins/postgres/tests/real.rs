//! The check against a real PostgreSQL, over a plain connection in place of the host's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::server::{Server, find, free_port, wait_for};
use common::socket::Socket;
use kennel_plugin::prelude::*;
use kennel_plugin_postgres::Postgres;
use kennel_plugin_postgres::config::Config;
use kennel_plugin_postgres::talk::Wire;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Plain(Socket);

impl Wire for Plain {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        self.0.write(bytes)
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        self.0.read(max)
    }

    fn start_tls(&mut self, _: &Config) -> Result<(), ProbeError> {
        Err(ProbeError::Tls("not spoken here".to_owned()))
    }
}

/// A database cluster in a directory of its own.
struct Cluster {
    place: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// None where PostgreSQL is not installed.
    fn new() -> Option<Cluster> {
        find("postgres").and(find("initdb")).and(find("pg_basebackup"))?;
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let work = place.path().join("work");
        fs::create_dir(&work).unwrap();
        if let Some(user) = other_user() {
            nix::unistd::chown(&work, Some(user.uid), Some(user.gid)).unwrap();
        }
        Some(Cluster { place, port: free_port() })
    }

    /// Runs `initdb`.
    fn init(self) -> Cluster {
        let data = self.data();
        let arguments = ["--no-sync", "--auth=trust", "--username=admin", "--no-locale"];
        run(as_user("initdb").args(arguments).args(["--encoding=UTF8", "-D"]).arg(data));
        self
    }

    fn work(&self) -> PathBuf {
        self.place.path().join("work")
    }

    fn data(&self) -> PathBuf {
        self.work().join("data")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&self, settings: &[&str]) -> Server {
        let mut command = as_user("postgres");
        command.arg("-D").arg(self.data()).arg("-c").arg(format!("port={}", self.port));
        command.arg("-c").arg(format!("unix_socket_directories={}", self.work().display()));
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        Server::start(command, self.place.path())
    }

    fn check(&self, config: &str) -> Verdict {
        check(&self.address(), config)
    }

    /// Waits for a verdict with this reason.
    #[track_caller]
    fn wait_for(&self, config: &str, status: Status, reason: &str) -> Verdict {
        let mut last = String::new();
        wait_for(reason, || {
            let verdict = self.check(config);
            if verdict.reason != last {
                println!("{:?} {}", verdict.status, verdict.reason);
                last.clone_from(&verdict.reason);
            }
            (verdict.status == status && verdict.reason.starts_with(reason)).then_some(verdict)
        })
    }

    fn psql(&self, statement: &str) {
        let url = format!("postgresql://admin@127.0.0.1:{}/postgres", self.port);
        run(Command::new(find("psql").unwrap()).args([&url, "-qAtXc", statement]));
    }
}

/// PostgreSQL refuses to run as root.
fn other_user() -> Option<nix::unistd::User> {
    let root = nix::unistd::geteuid().is_root();
    root.then(|| nix::unistd::User::from_name("postgres").unwrap().unwrap())
}

fn as_user(program: &str) -> Command {
    let program = find(program).unwrap();
    let mut command = if other_user().is_some() {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        setpriv
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn check(address: &str, config: &str) -> Verdict {
    let text = format!("{{\"address\":\"{address}\"{config}}}");
    let postgres = Postgres::new(json::from_slice(text.as_bytes()).unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let input = CheckInput { now_unix_ms: now.as_millis() as u64, ..CheckInput::default() };
    let answer = Socket::open(&Address::parse(address).unwrap())
        .map_err(CheckError::from)
        .and_then(|socket| postgres.check_over(&input, &mut Plain(socket)));
    match answer {
        Ok(verdict) | Err(CheckError::Failed(verdict)) => verdict,
        Err(CheckError::NotMade(reason)) => Verdict::unknown(reason),
    }
}

fn value(verdict: &Verdict, name: &str) -> Option<f64> {
    verdict.samples.iter().find(|sample| sample.name == name).map(|sample| sample.value)
}

fn login(user: &str, password: &str) -> String {
    format!(",\"user\":\"{user}\",\"password\":\"{password}\"")
}

fn is_ready(verdict: &Verdict) -> bool {
    !verdict.ext.contains(&("ready".to_owned(), "false".to_owned()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    if let Some(user) = other_user() {
        nix::unistd::chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

const ADMIN: &str = ",\"user\":\"admin\"";
const PRIMARY: &str = "accepts connections and answers; primary";
const STANDBY: &str = "accepts connections and answers; standby";

#[test]
fn every_way_to_prove_a_password_is_spoken() {
    let Some(cluster) = Cluster::new().map(Cluster::init) else { return };
    let refused = cluster.check("");
    assert_eq!(refused.status, Status::Unhealthy, "nobody listens yet: {}", refused.reason);

    let _postgres = cluster.start(&["max_connections=12", "superuser_reserved_connections=2"]);
    let verdict = cluster.wait_for(ADMIN, Status::Healthy, PRIMARY);
    assert_eq!(value(&verdict, "primary"), Some(1.0));
    assert_eq!(value(&verdict, "connections"), Some(1.0));
    assert_eq!(value(&verdict, "connections_max"), Some(12.0));
    assert_eq!(value(&verdict, "standbys"), Some(0.0));

    cluster.psql("create role scrammer login password 'wörd, with=everything'");
    cluster.psql("set password_encryption = 'md5'; create role digester login password 's3cret'");
    cluster.psql("create role plain login password 's3cret'; create role nobody login");
    let hba = "host all digester 127.0.0.1/32 md5\nhost all plain 127.0.0.1/32 password\n\
               host all admin,nobody 127.0.0.1/32 trust\nlocal all all trust\n\
               host all all 127.0.0.1/32 scram-sha-256\n";
    write(&cluster.data().join("pg_hba.conf"), hba);
    cluster.psql("select pg_reload_conf()");
    let wants_scram = "cannot log in as \"other\"";
    cluster.wait_for(&login("other", "x"), Status::Unknown, wants_scram);

    for config in [
        login("scrammer", "wörd, with=everything"),
        login("digester", "s3cret"),
        login("plain", "s3cret"),
        login("nobody", "not asked for"),
    ] {
        let verdict = cluster.check(&config);
        assert_eq!((verdict.status, verdict.reason.as_str()), (Status::Healthy, PRIMARY));
    }
    for user in ["scrammer", "digester", "plain"] {
        let verdict = cluster.check(&login(user, "wrong"));
        assert_eq!(verdict.status, Status::Unknown);
        let expected = format!("cannot log in as \"{user}\": password authentication failed");
        assert!(verdict.reason.starts_with(&expected), "{}", verdict.reason);
        let verdict = cluster.check(&format!(",\"user\":\"{user}\""));
        assert!(verdict.reason.contains("set \"password\""), "{}", verdict.reason);
    }
    let verdict = cluster.check("");
    assert_eq!(verdict.reason, "accepts connections and asks who we are");
    let nowhere = cluster.check(&format!("{ADMIN},\"database\":\"nowhere\""));
    assert_eq!(nowhere.status, Status::Unknown);
    assert!(nowhere.reason.starts_with("there is no database"), "{}", nowhere.reason);
    let encrypted = cluster.check(&format!("{ADMIN},\"tls\":true"));
    assert_eq!(encrypted.status, Status::Unknown);
    assert!(encrypted.reason.contains("speaks no TLS"), "{}", encrypted.reason);

    let socket = cluster.work().join(format!(".s.PGSQL.{}", cluster.port));
    assert_eq!(check(socket.to_str().unwrap(), ADMIN).reason, PRIMARY);

    let query = |text: &str| cluster.check(&format!("{ADMIN},\"query\":\"{text}\""));
    assert_eq!(query("select generate_series(1, 1000)").reason, PRIMARY);
    let missing = query("select 1 from jobs");
    assert_eq!(missing.status, Status::Unhealthy);
    assert!(missing.reason.contains("relation \"jobs\" does not exist"), "{}", missing.reason);
    let slow = query("set statement_timeout = 10; select pg_sleep(60)");
    assert_eq!(slow.status, Status::Late, "{}", slow.reason);

    let mut held = Vec::new();
    let full = wait_for("all places to be taken", || {
        let mut socket = Socket::open(&Address::parse(&cluster.address()).unwrap()).unwrap();
        let hello = kennel_plugin_postgres::message::startup("nobody", "postgres");
        socket.write(&hello).unwrap();
        socket.read(4096).unwrap();
        held.push(socket);
        let verdict = cluster.check(&login("nobody", "x"));
        (verdict.status != Status::Healthy).then_some(verdict)
    });
    assert_eq!(full.status, Status::Degraded);
    assert!(full.reason.starts_with("has no room for another connection"), "{}", full.reason);
    assert_eq!(cluster.check(ADMIN).reason, PRIMARY, "some places are kept for administrators");
}

#[test]
fn a_standby_is_told_from_its_primary() {
    let Some(primary) = Cluster::new().map(Cluster::init) else { return };
    let _primary = primary.start(&["wal_level=replica", "max_wal_senders=4"]);
    primary.wait_for(ADMIN, Status::Healthy, PRIMARY);

    let standby = Cluster::new().unwrap();
    let (port, data) = (primary.port.to_string(), standby.data());
    let mut copy = as_user("pg_basebackup");
    copy.args(["-h", "127.0.0.1", "-p", &port, "-U", "admin", "-R", "-c", "fast", "-N", "-D"]);
    run(copy.arg(&data));
    let server = standby.start(&["hot_standby=on"]);
    let config = format!("{ADMIN},\"role\":\"standby\",\"max_lag\":\"30s\"");
    let verdict = standby.wait_for(&config, Status::Healthy, STANDBY);
    assert_eq!(value(&verdict, "primary"), Some(0.0));
    assert_eq!(value(&verdict, "standbys"), None);
    let behind = wait_for("the standby to have replayed something", || {
        primary.psql("create table if not exists x (y int)");
        value(&standby.check(&config), "lag")
    });
    assert!((0.0..30.0).contains(&behind), "{behind}");
    let followed = wait_for("the primary to see its standby", || {
        value(&primary.check(ADMIN), "standbys").filter(|standbys| *standbys > 0.0)
    });
    assert_eq!(followed, 1.0);
    let wrong = standby.check(&format!("{ADMIN},\"role\":\"primary\""));
    assert_eq!(wrong.reason, "is a standby, not the primary");
    assert_eq!(wrong.status, Status::Degraded);

    // It has to wait for its log, and says so.
    drop(server);
    let _server = standby.start(&["hot_standby=off"]);
    let verdict = standby.wait_for("", Status::Degraded, "the database system is not accepting");
    assert!(!is_ready(&verdict));
    assert!(verdict.reason.ends_with("(57P03)"), "{}", verdict.reason);
}

#[test]
fn a_server_that_starts_or_stops_is_degraded_and_not_ready() {
    let Some(cluster) = Cluster::new().map(Cluster::init) else { return };
    write(&cluster.data().join("standby.signal"), "");
    let server = cluster.start(&["restore_command=sleep 600"]);
    let verdict = cluster.wait_for("", Status::Degraded, "the database system is starting up");
    assert!(!is_ready(&verdict));
    assert!(!is_ready(&cluster.check(ADMIN)));
    // The command would outlive a postmaster that is killed; it ends with an immediate stop.
    kill(Pid::from_raw(server.pid() as i32), Signal::SIGQUIT).unwrap();
    wait_for("the end", || (cluster.check("").status == Status::Unhealthy).then_some(()));
    drop(server);

    fs::remove_file(cluster.data().join("standby.signal")).unwrap();
    let server = cluster.start(&[]);
    cluster.wait_for(ADMIN, Status::Healthy, PRIMARY);
    let mut held = Socket::open(&Address::parse(&cluster.address()).unwrap()).unwrap();
    held.write(&kennel_plugin_postgres::message::startup("admin", "postgres")).unwrap();
    assert!(!held.read(4096).unwrap().is_empty());
    // A smart shutdown waits for its clients.
    kill(Pid::from_raw(server.pid() as i32), Signal::SIGTERM).unwrap();
    let verdict = cluster.wait_for("", Status::Degraded, "the database system is shutting down");
    assert!(!is_ready(&verdict));
    drop(held);
    wait_for("the end", || (cluster.check("").status == Status::Unhealthy).then_some(()));
}
