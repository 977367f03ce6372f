//! The command line: parses arguments, calls [`crate::ops`], prints.

use std::process::ExitCode;

/// Runs the command the process was started for.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
