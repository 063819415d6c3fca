//! A program that brings its database along: PostgreSQL as a child that counts as up when it
//! answers, and backups of it, at the start and whenever the program wants one.
//!
//! Needs PostgreSQL (`apt-get install postgresql`), and runs as root too, where the database has
//! the user `postgres`. What the database is made of is in the directory that is named, and what the
//! supervisor keeps beside it.
//!
//!     cargo run -p kennel --example database_sidecar -- /tmp/sidecar
//!     psql -h /tmp/sidecar -U app postgres    # in another terminal
//!     kill -USR1 PID                          # another backup, PID is told; SIGTERM or Ctrl-C: the end
//!
//! It says when the database answers and the first backup is there, then what happens: each backup,
//! and at the end that the database is stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kennel::{Check, Seen, Service, Supervisor};
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[allow(dead_code)] // The test of this example calls `start`.
#[tokio::main]
async fn main() -> Result<(), Error> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("say in which directory")?);
    // The signals are the program's: the library touches none.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut backup = signal(SignalKind::user_defined1())?;
    let supervisor = start(&std::path::absolute(directory)?).await?;
    let mut events = supervisor.subscribe();
    println!("up; the next backup: kill -USR1 {}", std::process::id());
    loop {
        tokio::select! {
            Some(seen) = events.next() => tell(&seen),
            // The program goes on when one fails, and so does the database.
            _ = backup.recv() => match supervisor.handle().start("backup").await {
                Ok(_) => println!("another backup is there"),
                Err(error) => println!("{error}"),
            },
            _ = terminate.recv() => break,
            result = tokio::signal::ctrl_c() => { result?; break }
            _ = supervisor.stopped() => break,
        }
    }
    supervisor.shutdown().await?;
    while let Some(seen) = events.next().await {
        tell(&seen);
    }
    Ok(())
}

fn tell(seen: &Seen) {
    match seen {
        Seen::Event(event) => {
            println!("{}: {}", event.service.as_deref().unwrap_or("supervisor"), event.message);
        }
        Seen::Missed(events) => println!("{events} events were missed"),
    }
}

/// Returns when the database answers and the first backup is there.
pub(crate) async fn start(directory: &Path) -> Result<Supervisor, Error> {
    let programs = programs();
    let program = |name: &str| programs.join(name).to_string_lossy().into_owned();
    let place = directory.to_string_lossy().into_owned();
    let data = format!("{place}/data");
    let client = ["-h", &place, "-U", "app"].map(str::to_owned);

    // PostgreSQL refuses to be root; then it has a user of its own, to whom all of this belongs.
    let user = is_root()?.then_some("postgres");
    let as_user = |service: Service| match user {
        Some(user) => service.set("user", user),
        None => service,
    };
    let mut install = vec!["install", "-d", "-m", "700"];
    install.extend(user.iter().flat_map(|user| ["-o", user]));
    install.push(&place);

    let cluster = r#"test -e "$1/PG_VERSION" || exec "$0" -D "$1" -U app --auth=trust"#;
    let cluster = ["sh", "-c", cluster, &program("initdb"), &data].map(str::to_owned);
    // Served is who may enter the directory, by a socket there; nobody over the network.
    let options = ["-D", &data, "-k", &place, "-c", "listen_addresses="].map(str::to_owned);
    // A backup is there as a whole or not at all.
    let dump = r#""$@" -f backup.new && mv backup.new backup.sql"#;
    let dump = ["sh", "-c", dump, "sh", &program("pg_dump")].map(str::to_owned);

    let supervisor = Supervisor::builder()
        .state_dir(beside(directory))
        .service(Service::command("directory", install).oneshot())
        .service(as_user(Service::command("cluster", cluster)).oneshot().after("directory"))
        .service(
            as_user(Service::command(
                "database",
                [vec![program("postgres")], options.into()].concat(),
            ))
            .after("cluster")
            .ready(
                Check::command([&[program("pg_isready")], &client[..]].concat())
                    .every(Duration::from_millis(200))
                    .timeout(Duration::from_secs(60)),
            )
            // To PostgreSQL SIGTERM means to wait for its clients; SIGINT, to send them away.
            .set("stop.steps", serde_json::json!([{ "signal": "SIGINT", "wait": "30s" }])),
        )
        .service(
            as_user(Service::command(
                "backup",
                [&dump[..], &client[..], &["postgres".to_owned()]].concat(),
            ))
            .oneshot()
            .depends_on("database")
            .working_dir(directory),
        )
        .start()
        .await?;
    Ok(supervisor)
}

/// Where the programs of PostgreSQL are: Debian keeps those of each version apart.
pub(crate) fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    newest.unwrap_or_else(|| PathBuf::from("/usr/bin"))
}

/// Where the supervisor keeps what it has to remember: who may read the database may not read that.
fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".kennel");
    name.into()
}

/// Who owns `/proc/self` is who we are.
fn is_root() -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}
