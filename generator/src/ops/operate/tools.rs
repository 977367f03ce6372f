//! Programs of HTCondor and Pegasus.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::error::OperateError;

/// The most of what a failed program said that is shown, in lines.
const SHOWN_LINES: usize = 20;

/// Whose programs are called, as people know it.
pub const HTCONDOR: &str = "HTCondor";

/// See [`HTCONDOR`].
pub const PEGASUS: &str = "Pegasus";

/// Where `program` is; none if it is not on the path.
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A program of a system, to be run in `folder`.
///
/// # Errors
/// [`OperateError::NoTool`].
pub fn tool(program: &'static str, system: &'static str, folder: &Path) -> Result<Command, OperateError> {
    let path = path_of(program).ok_or(OperateError::NoTool { program, system })?;
    let mut command = Command::new(path);
    command.current_dir(folder).stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end; what it wrote to stdout.
///
/// # Errors
/// [`OperateError::Start`], [`OperateError::ToolFailed`].
pub fn run(command: &mut Command) -> Result<String, OperateError> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(OperateError::ToolFailed {
        command: shown(command),
        ended: output.status.to_string(),
        said: end_of(&output),
    })
}

fn output(command: &mut Command) -> Result<Output, OperateError> {
    command.output().map_err(|source: io::Error| OperateError::Start {
        program: shown(command),
        source,
    })
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn end_of(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy);
    let lines: Vec<&str> = said
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.trim().is_empty())
        .collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines[first..].join("\n")
}
