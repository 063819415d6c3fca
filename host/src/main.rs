//! The `kennel` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    kennel::cli::main()
}
