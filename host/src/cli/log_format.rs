//! How the supervisor writes what it says of itself.

use std::fmt;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::own_log::OwnLog;

/// The format of the supervisor's own log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// For the systemd journal, which has the time itself: a priority before each line.
    Journal,
}

impl LogFormat {
    /// The one that suits standard error where none is given.
    pub(super) fn of_stderr() -> LogFormat {
        match std::env::var("JOURNAL_STREAM") {
            Ok(stream) if is_journal(&stream, std::io::stderr()) => LogFormat::Journal,
            Ok(_) | Err(_) => LogFormat::Text,
        }
    }

    /// Has everything that is said from now on written to `log` like this.
    pub(super) fn install(self, log: &OwnLog) {
        let writer = log.clone();
        let filter = tracing_subscriber::EnvFilter::try_from_env("KENNEL_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || writer.clone())
            .with_target(false);
        // A second supervisor in one process cannot happen in the binary.
        let _ = match self {
            LogFormat::Text => builder.with_ansi(colour).try_init(),
            LogFormat::Json => builder.with_ansi(false).json().try_init(),
            LogFormat::Journal => builder.with_ansi(false).event_format(Prioritised).try_init(),
        };
    }
}

/// Whether `stream` is the one that `JOURNAL_STREAM` names, by device and inode,
/// `systemd.exec(5)`: it is inherited by those whose output goes elsewhere.
fn is_journal(named: &str, stream: impl AsFd) -> bool {
    fstat(stream).is_ok_and(|found| format!("{}:{}", found.st_dev, found.st_ino) == named)
}

/// Each line with its priority, as `sd-daemon(3)` has it: `<4>web: no answer`.
struct Prioritised;

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        prioritise(*event.metadata().level(), &text, &mut writer)
    }
}

fn prioritise(level: Level, text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        // Whatever says even less.
        _ => 7,
    };
    // A line without would be of no matter.
    text.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_priority_of_its_message() {
        let of = |level, text| {
            let mut out = String::new();
            prioritise(level, text, &mut out).unwrap();
            out
        };
        assert_eq!(of(Level::ERROR, "no\nreally"), "<3>no\n<3>really\n");
        assert_eq!(of(Level::WARN, "late"), "<4>late\n");
        assert_eq!(of(Level::INFO, "so"), "<6>so\n");
        assert_eq!(of(Level::TRACE, "so"), "<7>so\n");
    }

    #[test]
    fn the_journal_is_known_by_its_file_and_not_by_the_variable_alone() {
        let (one, two) = std::io::pipe().unwrap();
        let (other, _writer) = std::io::pipe().unwrap();
        let found = fstat(&one).unwrap();
        let named = format!("{}:{}", found.st_dev, found.st_ino);
        assert!(is_journal(&named, &two));
        assert!(!is_journal(&named, &other));
        assert!(!is_journal("", &two));
    }
}
