//! The `fedwing` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    fedwing::cli::main()
}
