//! Examples under the real supervisor.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The slowest of them takes seconds to be compiled; a busy machine some more.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is written into the file, and what the supervisor says then.
const COURSE: &[(&str, &str)] = &[
    (r#"{ "depth": 3 }"#, "healthy"),
    (r#"{ "depth": 14 }"#, "unhealthy"),
    (r#"{ "depth": 0 }"#, "healthy"),
];

/// Runs `component` as `services.yaml` in `folder` says, against a real HTTP server: a service
/// that serves a file, and the plugin that looks into it. The file is changed, and the supervisor
/// must see it.
pub(super) fn run(kennel: &Path, folder: &Path, component: &Path) -> Result<()> {
    let place = tempfile::Builder::new().prefix("kennel-example-").tempdir()?;
    let place = place.path();
    fs::copy(folder.join("services.yaml"), place.join("services.yaml"))?;
    fs::copy(component, place.join("depth.wasm"))?;
    fs::write(place.join("stats.json"), COURSE[0].0)?;
    let supervisor = Supervisor::start(kennel, place)?;
    for (stats, health) in COURSE {
        fs::write(place.join("stats.json"), stats)?;
        supervisor.until("queue", "health", health).with_context(|| format!("with {stats}"))?;
        println!("{stats}: {health}");
    }
    supervisor.shutdown()
}

/// A supervisor that is ended when it is no more needed.
pub(super) struct Supervisor<'a> {
    kennel: &'a Path,
    place: &'a Path,
    child: Child,
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        // It has ended already, or something failed and nothing of it may stay.
        let _ = self.shut_down();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Supervisor<'a> {
    /// Runs what `services.yaml` in `place` says, with a free port in `PORT`.
    pub(super) fn start(kennel: &'a Path, place: &'a Path) -> Result<Supervisor<'a>> {
        // Free now, and nobody else on this machine asks for it by its number.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = fs::File::create(place.join("kennel.log"))?;
        let child = Command::new(kennel)
            .arg("run")
            .arg("--state-dir")
            .arg(place.join("state"))
            .arg("--socket")
            .arg(place.join("socket"))
            .current_dir(place)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Supervisor { kennel, place, child })
    }

    /// A command of `kennel` to this supervisor.
    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.kennel);
        command.arg(verb).arg("--socket").arg(self.place.join("socket")).stdin(Stdio::null());
        command
    }

    /// What `status --json` says of a service, once the supervisor answers.
    fn status(&self, service: &str, key: &str) -> Option<String> {
        let output = self.command("status").arg("--json").output().ok()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let services = status["services"].as_array()?;
        let of_it = services.iter().find(|found| found["name"] == service)?;
        Some(of_it[key].as_str()?.to_owned())
    }

    /// Waits until the service is as it should be.
    pub(super) fn until(&self, service: &str, key: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        let mut seen = None;
        while begun.elapsed() < PATIENCE {
            seen = self.status(service, key);
            if seen.as_deref() == Some(wanted) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.place.join("kennel.log")).unwrap_or_default();
        bail!("{key} of {service} is {seen:?} after {PATIENCE:?}, expected {wanted}\n{log}");
    }

    fn shut_down(&mut self) -> Result<bool> {
        if self.child.try_wait()?.is_some() {
            return Ok(true);
        }
        self.command("shutdown").stdout(Stdio::null()).status()?;
        Ok(self.child.wait()?.success())
    }

    pub(super) fn shutdown(mut self) -> Result<()> {
        if !self.shut_down()? {
            bail!("the supervisor did not end well");
        }
        Ok(())
    }
}
