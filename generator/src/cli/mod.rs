//! The command line: parses arguments, calls [`crate::ops`], prints. stdout is data, stderr is talk.

mod args;
mod progress;
mod show;
mod simulate;
mod status;
mod sweep;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::ops::Exit;

/// Runs the command the process was started for.
pub fn main() -> ExitCode {
    let exit = match args::Cli::try_parse() {
        Ok(cli) => show::run(cli.command),
        Err(error) => {
            // A closed stdout or stderr leaves nobody to tell.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
        }
    };
    ExitCode::from(exit as u8)
}
