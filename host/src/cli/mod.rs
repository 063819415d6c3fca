//! The command line: one file per verb.
//!
//! Help, man pages, completions and `docs/cli.md` are all made from the definitions here.
//! Data goes to standard output, everything else to standard error.

mod act;
mod check;
mod completions;
mod connect;
mod detach;
mod events;
mod exit;
mod follow;
mod graph;
mod init;
mod local_time;
mod log_format;
mod logs;
mod man;
mod own_log;
mod paint;
mod plan;
mod plugin;
#[cfg(test)]
mod reference;
mod reload;
mod reset;
mod restart;
mod run;
mod scale;
mod schema;
mod shutdown;
mod signal;
mod start;
mod status;
mod stop;
mod succession;
mod supervisor_log;
mod systemd_unit;
mod table;
mod terminal;
mod upgrade;
mod watch;
mod why;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::TypedValueParser as _;
use clap::{CommandFactory as _, Parser, Subcommand};

pub(crate) use exit::{ExitKind, Failure};

/// What a verb ends with.
pub(crate) type Outcome = Result<ExitKind, Failure>;

/// The configuration that is meant when nothing is said.
const DEFAULT_CONFIG: &str = "services.yaml";

/// Supervises processes: starts them in order, keeps them running, says why.
#[derive(Parser, Debug)]
#[command(name = "kennel", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 the operation failed, 2 wrong usage or configuration,
3 no supervisor can be reached, 4 a supervisor runs already.";

/// How this program, whose signals are all its own, has plugins kept from what they must not
/// do.
const TRAPS: kennel_wasm::Traps = kennel_wasm::Traps::Signals;

/// Over the options that every command has.
const WHICH: &str = "Which supervisor";

/// Options of every command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Global {
    /// The configuration; it also tells which supervisor is meant [default: services.yaml]
    #[arg(short, long, global = true, value_name = "FILE", help_heading = WHICH)]
    config: Option<PathBuf>,
    /// The control socket of the supervisor [default: as FILE says]
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        env = "KENNEL_SOCKET",
        hide_env_values = true,
        help_heading = WHICH,
        // An empty variable is none, as an unset one.
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from)
    )]
    socket: Option<PathBuf>,
}

impl Global {
    /// The configuration that is meant.
    fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG))
    }

    /// The socket that is named, if any.
    fn socket(&self) -> Option<&Path> {
        self.socket.as_deref().filter(|socket| !socket.as_os_str().is_empty())
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start supervising, in the foreground or, with --detach, in the background
    Run(run::RunArgs),
    /// Show what runs, and why what does not
    Status(status::StatusArgs),
    /// Start services, and what they require
    Start(act::ActArgs),
    /// Stop services, those that require them first
    Stop(act::ActArgs),
    /// Replace what runs by new runs
    Restart(restart::RestartArgs),
    /// Change how many instances of a service there are
    Scale(scale::ScaleArgs),
    /// Send a signal to the main process of services
    Signal(signal::SignalArgs),
    /// Forget failures and restart counters; what has failed is tried again
    Reset(act::ActArgs),
    /// Show the output of services
    Logs(logs::LogsArgs),
    /// Show what happened, from the journal
    Events(events::EventsArgs),
    /// Tell what led to the present state of a service
    Why(why::WhyArgs),
    /// Show what a reload would do, or with --graph the order of start
    Plan(plan::PlanArgs),
    /// Read the configuration again and change what has changed
    Reload(plan::FormatArgs),
    /// Stop everything and end the supervisor
    Shutdown(shutdown::ShutdownArgs),
    /// Give way to another version of the program; services keep running
    Upgrade(upgrade::UpgradeArgs),
    /// Check a configuration; needs no supervisor
    Check,
    /// Print the JSON Schema of services.yaml
    Schema,
    /// Be the first process of a container: pass on signals, reap, end as COMMAND ends
    Init(init::InitArgs),
    /// Make plugins, look at them, try them
    Plugin(plugin::PluginArgs),
    /// Print a unit that runs the supervisor under systemd
    SystemdUnit(systemd_unit::SystemdUnitArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write man pages to a directory
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    match carry_out(&global, command) {
        Ok(kind) => kind.into(),
        Err(failure) => {
            let failure = connect::explained(failure, &global);
            let text = failure.to_string();
            if !text.is_empty() {
                // Without a standard error there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            failure.kind().into()
        }
    }
}

fn carry_out(global: &Global, command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(global, args),
        Command::Status(args) => status::status(global, &args),
        Command::Start(args) => start::start(global, &args),
        Command::Stop(args) => stop::stop(global, &args),
        Command::Restart(args) => restart::restart(global, &args),
        Command::Scale(args) => scale::scale(global, &args),
        Command::Signal(args) => signal::signal(global, args),
        Command::Reset(args) => reset::reset(global, &args),
        Command::Logs(args) => logs::logs(global, &args),
        Command::Events(args) => events::events(global, &args),
        Command::Why(args) => why::why(global, &args),
        Command::Plan(args) => plan::plan(global, &args),
        Command::Reload(args) => reload::reload(global, &args),
        Command::Shutdown(args) => shutdown::shutdown(global, &args),
        Command::Upgrade(args) => upgrade::upgrade(global, &args),
        Command::Check => check::check(global),
        Command::Schema => schema::schema(),
        Command::Init(args) => init::init(&args),
        Command::Plugin(args) => plugin::plugin(global, &args),
        Command::SystemdUnit(args) => systemd_unit::systemd_unit(global, &args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => man::man(&args),
    }
}

/// The definition of the whole command line.
fn definition() -> clap::Command {
    Cli::command()
}
