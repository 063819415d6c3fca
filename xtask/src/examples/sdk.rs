//! The examples of the SDK as components, under the real supervisor: `redis` with a real Redis,
//! `patience` with a program that fails.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::live::Supervisor;
use crate::plugins;
use crate::runner::{run, step};

const SERVICES: &str = r#"
kennel: { name: sdk }
plugins:
  redis: { source: ./redis.wasm, grants: { net: ["127.0.0.1:${PORT}"] } }
  patience: { source: ./patience.wasm, grants: { give_up: true } }
services:
  cache:
    command: [redis-server, --bind, 127.0.0.1, --save, "", --port, "${PORT}"]
    health:
      plugin: redis
      config: { address: "127.0.0.1:${PORT}" }
      every: 200ms
      timeout: 400ms
      # Late answers only: it is stopped, and goes on.
      timeouts: 1000
      on_unhealthy: report
  worker:
    command: "false"
    restart:
      limit: none
      policy_plugin: { plugin: patience, config: { step: 100ms, most: 2 } }
"#;

/// Which signal Redis gets, and what the plugin makes of its health.
const COURSE: [(&str, &str); 3] = [("CONT", "healthy"), ("STOP", "degraded"), ("CONT", "healthy")];

/// Runs them; the inner error says what is missing for that.
pub(super) fn run_all(kennel: &Path) -> Result<Result<(), String>> {
    step("the examples of the SDK");
    let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if redis.is_err() {
        return Ok(Err("there is no redis-server".to_owned()));
    }
    let place = tempfile::Builder::new().prefix("kennel-example-").tempdir()?;
    let place = place.path();
    for (name, component) in plugins::examples()? {
        fs::write(place.join(format!("{name}.wasm")), component)?;
    }
    fs::write(place.join("services.yaml"), SERVICES)?;
    let supervisor = Supervisor::start(kennel, place)?;
    supervisor.until("cache", "state", "up")?;
    for (signal, health) in COURSE {
        run(supervisor.command("signal").args([signal, "cache"]))?;
        supervisor.until("cache", "health", health)?;
        println!("redis: SIG{signal}: {health}");
    }
    supervisor.until("worker", "state", "failed")?;
    let why = supervisor.command("why").arg("worker").output()?;
    let why = String::from_utf8_lossy(&why.stdout);
    if !why.contains("restarted 2 times in a row") {
        bail!("patience did not say why it gave up:\n{why}");
    }
    println!("patience: given up after two restarts");
    supervisor.shutdown()?;
    Ok(Ok(()))
}
