//! The sample that the README runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, http, needs_program, wait_for};

#[test]
fn the_sample_serves_prepares_and_gives_its_worker_up_after_five_restarts() {
    if needs_program("perl") {
        return;
    }
    let sample = match std::env::var_os("KENNEL_SAMPLE") {
        Some(sample) => PathBuf::from(sample),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../services.yaml"),
    };
    let sample = fs::read_to_string(sample).expect("the sample can be read");
    let mut kennel = Kennel::new(&sample);
    let port = free_port();
    let (place, socket) = (kennel.directory().display().to_string(), kennel.socket());
    kennel = kennel
        .args(&["--state-dir", "./state"])
        .env("KENNEL_SOCKET", &socket.display().to_string())
        .env("TMPDIR", &place)
        .env("PORT", &port.to_string());
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.service("prepare")["state"], "done");
    let page = wait_for("a page", BOUND, || http::get_tcp(port, "/").ok());
    assert!(page.body.contains("<h1>Built at"), "{page:?}");
    assert_eq!(kennel.cli(&["signal", "KILL", "web"]).code, 0);
    wait_for("the page to be back", BOUND, || {
        (kennel.service("web")["restarts"] == 1).then(|| http::get_tcp(port, "/").ok())?
    });

    // Six runs of three seconds and the waits between them.
    wait_for("the worker to be given up", Duration::from_secs(90), || {
        (kennel.service("worker")["state"] == "failed").then_some(())
    });
    let status = kennel.cli(&["status", "--plain"]).ok();
    assert!(status.contains("Service worker: DOWN (restarts 5, failed)\n"), "{status}");
    let why = kennel.cli(&["why", "worker"]).ok();
    assert!(why.contains("exited with code 3"), "{why}");
    wait_for("the output of the web server", BOUND, || {
        kennel.stdout().contains(&format!("listening on http://127.0.0.1:{port}")).then_some(())
    });
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
