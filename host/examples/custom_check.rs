//! A health check of one's own, twice: as Rust code of the program, and as a plugin. Both ask a
//! Redis server for a PONG.
//!
//! As code it is part of the program. As a plugin it is a component that any Kennel can load, and
//! that can do what `custom_check.yaml` grants it and nothing else. Its source is
//! `plugin-sdk/examples/redis.rs`; unless a component of it is named, as in the second line, it is
//! the stock plugin, which asks the same and more.
//!
//!     cargo run -p kennel --example custom_check
//!     cargo run -p kennel --example custom_check -- ./redis.wasm
//!
//! Needs Redis (`apt-get install redis-server`). It prints that both servers are healthy, then that
//! both checks are late, since the servers are stopped, then that both are healthy again.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use kennel::config::Environment;
use kennel::{
    Check, CheckTarget, Health, HealthCheck, Service, ServiceStatus, Supervisor, Verdict,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Which signals the servers get, and what both checks say then.
pub(crate) const COURSE: [(&str, Health); 3] =
    [("CONT", Health::Healthy), ("STOP", Health::Degraded), ("CONT", Health::Healthy)];

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The check in Rust. What takes longer than its timeout is dropped, and late.
struct Pong {
    address: String,
}

impl HealthCheck for Pong {
    async fn check(&self, _: CheckTarget) -> Verdict {
        match ask(&self.address, "PING").await {
            Ok(answer) if answer == "+PONG" => Verdict::Healthy,
            Ok(answer) => Verdict::Unhealthy(format!("no PONG: {answer}")),
            Err(error) => Verdict::Unhealthy(error.to_string()),
        }
    }
}

/// One line for one line.
async fn ask(address: &str, command: &str) -> std::io::Result<String> {
    let mut redis = BufReader::new(TcpStream::connect(address).await?);
    redis.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = String::new();
    redis.read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

/// Two servers at these ports: "code" is checked by code, "plugin" by the plugin.
pub(crate) async fn start(
    directory: &Path,
    ports: [u16; 2],
    component: Option<&str>,
) -> Result<Supervisor, Error> {
    let [code, plugin] = ports.map(|port| format!("127.0.0.1:{port}"));
    let mut environment = Environment::current();
    environment.vars.insert("PORT".to_owned(), ports[1].to_string());
    environment.vars.extend(component.map(|path| ("COMPONENT".to_owned(), path.to_owned())));
    let redis = |name: &str, port: u16, check: Check| {
        let options = ["--bind", "127.0.0.1", "--save", "", "--port"].map(str::to_owned);
        let command = [&["redis-server".to_owned()], &options[..], &[port.to_string()]].concat();
        let often = check.every(Duration::from_millis(200)).timeout(Duration::from_millis(400));
        Service::command(name, command)
            .ready(Check::tcp(format!("127.0.0.1:{port}")))
            // Unless said otherwise six late answers in a row are a restart.
            .health(often.grace(Duration::ZERO).report_only().set("timeouts", 1000))
    };
    let in_rust = Check::own("pong-in-rust", Pong { address: code });
    let as_plugin = Check::plugin("pong").set("config.address", plugin);
    let supervisor = Supervisor::builder()
        .state_dir(directory)
        .environment(environment)
        .config_from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/custom_check.yaml"))
        .service(redis("code", ports[0], in_rust))
        .service(redis("plugin", ports[1], as_plugin))
        .start()
        .await?;
    Ok(supervisor)
}

/// How both are, as soon as both are so.
pub(crate) async fn once(
    supervisor: &Supervisor,
    health: Health,
) -> Result<Vec<ServiceStatus>, Error> {
    loop {
        let services = supervisor.handle().status().await?.services;
        if services.iter().all(|service| service.health == health) {
            return Ok(services);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal to both servers: `STOP` lets them hang, `CONT` lets them go on.
pub(crate) async fn signal(supervisor: &Supervisor, signal: &str) -> Result<(), Error> {
    let services = supervisor.handle().status().await?.services;
    let pids = services.iter().filter_map(|service| service.pid).map(|pid| pid.to_string());
    tokio::process::Command::new("kill").arg(format!("-{signal}")).args(pids).status().await?;
    Ok(())
}

#[allow(dead_code)] // The test of this example calls the others.
#[tokio::main]
async fn main() -> Result<(), Error> {
    let state = std::env::temp_dir().join(format!("kennel-check-{}", std::process::id()));
    // Free now, and nobody else asks for them by number.
    let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let ports = [free[0].local_addr()?.port(), free[1].local_addr()?.port()];
    drop(free);
    // What stands in a file is looked for beside the file.
    let component = std::env::args().nth(1).map(std::path::absolute).transpose()?;
    let component = component.as_deref().and_then(Path::to_str);
    let supervisor = start(&state, ports, component).await?;
    for (word, health) in COURSE {
        signal(&supervisor, word).await?;
        for ServiceStatus { name, health, reason, restarts, .. } in
            once(&supervisor, health).await?
        {
            println!("{name}: {health}, {restarts} restarts; {reason}");
        }
    }
    supervisor.shutdown().await?;
    std::fs::remove_dir_all(state)?;
    Ok(())
}
