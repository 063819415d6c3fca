//! `kennel status`

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use kennel_core::Human;

use super::connect::{block_on, client};
use super::local_time::{age, coarse};
use super::paint::{Colour, Paint};
use super::table::{self, Align, Cell};
use super::{ExitKind, Failure, Global, Outcome, terminal, watch};
use crate::api::wire::{Health, Service, Status};

/// Options of `kennel status`.
#[derive(clap::Args, Debug)]
pub(super) struct StatusArgs {
    /// Services, or instances such as web/0; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "plain")]
    pub(super) json: bool,
    /// Print one line a service, for scripts: Service web: UP (pid 1234, restarts 0)
    #[arg(long)]
    pub(super) plain: bool,
    /// Go on, and show every change
    #[arg(long, short)]
    pub(super) watch: bool,
}

pub(super) fn status(global: &Global, args: &StatusArgs) -> Outcome {
    let client = client(global)?;
    block_on(async {
        if args.watch {
            return watch::watch(&client, args).await;
        }
        let text = if args.plain {
            client.plain_status(&args.services).await
        } else {
            client.status(&args.services).await.map(|status| text(&status, args.json))
        };
        let text = text.map_err(|error| Failure::from(error).doing("show the status"))?;
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ExitKind::Done)
    })
}

/// The status as JSON or as a table.
pub(super) fn text(status: &Status, json: bool) -> String {
    if json {
        return self::json(status);
    }
    table(status, Timestamp::now(), Paint::stdout(), terminal::width())
}

/// In one line for programs, in several for people.
fn json(status: &Status) -> String {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(status)
    } else {
        serde_json::to_string(status)
    };
    text.expect("strings and numbers can be written") + "\n"
}

/// The table for people.
fn table(status: &Status, now: Timestamp, paint: Paint, width: Option<usize>) -> String {
    if status.services.is_empty() {
        return "no services\n".to_owned();
    }
    let aligns = [
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ];
    let head =
        ["SERVICE", "STATE", "PID", "HEALTH", "RESTARTS", "SINCE", "MEMORY", "CPU", "REASON"];
    let mut rows =
        vec![head.map(|head| Cell::painted(head, paint.paint(Colour::Dim, head))).to_vec()];
    rows.extend(status.services.iter().map(|service| row(service, now, paint)));
    let mut out = table::render(&aligns, &rows, width);
    if status.supervisor.stopping {
        out.push_str("\nthe supervisor is shutting down\n");
    }
    out
}

fn row(service: &Service, now: Timestamp, paint: Paint) -> Vec<Cell> {
    let none = || "-".to_owned();
    let health = match service.health {
        Health::Unknown => "-",
        Health::Healthy | Health::Degraded | Health::Unhealthy => service.health.as_str(),
    };
    let state = service.state.as_str();
    vec![
        Cell::painted(&service.name, paint.paint(Colour::Bold, &service.name)),
        Cell::painted(state, paint.state(service.state, state)),
        Cell::plain(service.pid.map_or_else(none, |pid| pid.to_string())),
        Cell::painted(health, paint.health(service.health, health)),
        Cell::plain(service.restarts.to_string()),
        Cell::plain(coarse(age(&service.since, now))),
        Cell::plain(service.memory_bytes.map_or_else(none, size)),
        Cell::plain(service.cpu_ms.map_or_else(none, |ms| cpu(Duration::from_millis(ms)))),
        Cell::plain(printable(reason(service))),
    ]
}

/// Why it is as it is; where there is nothing to say, what it says of itself.
fn reason(service: &Service) -> &str {
    match &service.status_text {
        Some(text) if service.reason.is_empty() => text,
        Some(_) | None => &service.reason,
    }
}

/// A reason may quote what a service says: nothing in it may act on the terminal.
pub(super) fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn cpu(time: Duration) -> String {
    // CPU time of an idle service is some milliseconds; nobody wants to read those.
    if time < Duration::from_secs(1) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    Human(time).to_string()
}

/// A number of bytes with three digits at most: `512 KiB`, `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.95 && unit > 0 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::{Cgroups, State, Supervisor, Wanted};

    fn service(name: &str, state: State, reason: &str) -> Service {
        let up = state == State::Up;
        Service {
            name: name.into(),
            state,
            wanted: Wanted::Up,
            pid: up.then_some(4711),
            ready: up,
            health: if up { Health::Healthy } else { Health::Unknown },
            restarts: 2,
            since: "2026-11-21T07:57:00.000Z".into(),
            exit: None,
            reason: reason.into(),
            status_text: None,
            next_restart_in_ms: None,
            memory_bytes: up.then_some(12_900_000),
            cpu_ms: up.then_some(310),
            labels: Default::default(),
            service: name.into(),
            start_ms: None,
            logs_to: crate::api::wire::LogsTo::File,
            sockets: Vec::new(),
        }
    }

    #[test]
    fn the_table_shows_what_runs_and_why_what_does_not() {
        let status = Status {
            supervisor: Supervisor {
                name: "demo".into(),
                pid: 1,
                version: "0".into(),
                started_at: "2026-11-21T07:00:00.000Z".into(),
                role: "single".into(),
                stopping: false,
                cgroups: Cgroups::default(),
            },
            services: vec![
                service("web", State::Up, ""),
                service("worker", State::Backoff, "exited with code 3; next try in 7.2 s"),
            ],
        };
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(
            table(&status, now, Paint::never(), None),
            "SERVICE  STATE     PID  HEALTH   RESTARTS  SINCE  MEMORY    CPU  REASON\n\
             web      up       4711  healthy         2  3 min  12 MiB  0.3 s\n\
             worker   backoff     -  -               2  3 min       -      -  exited with code 3; next try in 7.2 s\n"
        );
        let narrow = table(&status, now, Paint::never(), Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    }

    #[test]
    fn a_size_has_three_digits_at_most() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (524_288, "512 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (1_048_575, "1.0 MiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
