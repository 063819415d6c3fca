//! Readiness: every way in which a service is known to be ready, with real programs.

mod descriptor;
mod mainpid;
mod messages;
mod servers;
mod strangers;
mod watchdog;

use crate::support::Kennel;

/// What the services in Python begin with: `say` sends lines to the notification socket,
/// `until` waits for a file, which is how a test tells a service to go on.
const PRELUDE: &str = r#"
import os, signal, socket, sys, time

def say(*lines, fds=()):
    name = os.environ["NOTIFY_SOCKET"]
    if name.startswith("@"):
        name = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(name)
        socket.send_fds(s, [b"\n".join(l if isinstance(l, bytes) else l.encode() for l in lines)], fds)

def barrier():
    reader, writer = os.pipe()
    say("BARRIER=1", fds=[writer])
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)

def until(name):
    while not os.path.exists(name):
        time.sleep(0.01)

def write(name, text):
    with open(name + ".tmp", "w") as f:
        f.write(text + "\n")
    os.rename(name + ".tmp", name)

def forever():
    while True:
        signal.pause()
"#;

/// Writes a service in Python into the directory of the test; its command for YAML.
pub(crate) fn python(kennel: &Kennel, name: &str, body: &str) -> String {
    let shared = body.lines().filter(|line| !line.trim().is_empty());
    let margin = shared.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines: Vec<&str> = body.lines().map(|line| line.get(margin..).unwrap_or("")).collect();
    kennel.write(name, &format!("{PRELUDE}\n{}\n", lines.join("\n")));
    format!("command: [/usr/bin/python3, {}]", kennel.path(name).display())
}

/// A house of one service, `web`, in Python, that tells of itself by `sd_notify(3)`.
fn notifying(body: &str, more: &str) -> Kennel {
    let mut kennel = Kennel::new("");
    let command = python(&kennel, "web.py", body);
    kennel.configure(&format!(
        "services:\n  web:\n    {command}\n    {}\n",
        if more.contains("ready:") {
            more.to_owned()
        } else {
            format!("ready: {{ notify: systemd }}\n    {more}")
        }
    ));
    kennel.start();
    kennel
}
