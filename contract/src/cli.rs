//! The command line of a job binary, built from the flag tables of its jobs.
//!
//! clap gives help and usage errors; the values themselves are read by [`Job::from_argv`], which the planner's
//! `to_argv` is the inverse of.

use std::{ffi::OsString, process::ExitCode};

use clap::{Arg, ArgAction, Command};

use crate::{
    args::{Binary, Job},
    argv::{Arity, FlagInfo},
    exit::JobExit,
    job::{self, JobError},
};

/// Runs the job the process was started for and returns its exit code.
///
/// Help and version go to stdout and end with 0, a wrong command line ends with [`JobExit::Usage`].
pub fn main(
    binary: Binary,
    version: &'static str,
    run: impl FnOnce(Job) -> Result<(), JobError>,
) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Err(error) = command(binary, version).try_get_matches_from(&words) {
        // A closed stdout or stderr leaves nobody to tell.
        let _ = error.print();
        return ExitCode::from(
            if error.use_stderr() {
                JobExit::Usage
            } else {
                JobExit::Done
            }
            .code(),
        );
    }
    let argv: Vec<String> = words
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let name = format!("{} {}", binary.as_str(), argv.first().map_or("", String::as_str));
    job::run(&name, || {
        let job = Job::from_argv(&argv).map_err(|error| {
            JobError::new(JobExit::Usage, error.to_string()).help(format!("`{name} --help` lists the flags"))
        })?;
        run(job)
    })
}

fn command(binary: Binary, version: &'static str) -> Command {
    let jobs = Job::help(binary).into_iter().map(|(name, about, flags)| {
        Command::new(name)
            .about(about.trim())
            .args(flags.iter().map(flag))
    });
    Command::new(binary.as_str())
        .version(version)
        .about("Runs one job of a federated-learning workflow")
        .after_help(exit_table())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(jobs)
}

fn flag(info: &FlagInfo) -> Arg {
    let help = info.help.trim();
    let arg = Arg::new(info.flag)
        .long(info.flag)
        .help(help)
        .long_help(if info.forms.is_empty() {
            help.to_owned()
        } else {
            format!("{help}\n{}", info.forms)
        })
        .value_name("VALUE")
        .allow_hyphen_values(true)
        .required(info.arity == Arity::Required);
    match info.arity {
        Arity::Required | Arity::Optional => arg,
        Arity::Repeated => arg.action(ArgAction::Append),
    }
}

fn exit_table() -> String {
    let mut table = String::from("Exit codes (* another attempt can help):\n");
    for exit in JobExit::ALL {
        let mark = if *exit != JobExit::Done && exit.retry() == crate::exit::Retry::CanHelp {
            "*"
        } else {
            ""
        };
        table.push_str(&format!("  {:>3}  {}{mark}\n", exit.code(), exit.as_str()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_consistent() {
        for binary in Binary::ALL {
            command(binary, "0").debug_assert();
        }
    }

    #[test]
    fn help_shows_what_values_look_like() {
        let mut command = command(Binary::FlAggregator, "0");
        let aggregate = command.find_subcommand_mut("aggregate").unwrap();
        let help = aggregate.render_long_help().to_string();
        assert!(help.contains(r#"{"trimmed_mean":{"beta":0.2}}"#), "{help}");
    }

    #[test]
    fn a_planned_job_passes_the_command_line() {
        let argv = ["fl-client", "stats", "--manifest", "m.json", "--stats", "-s.json"];
        assert!(command(Binary::FlClient, "0").try_get_matches_from(argv).is_ok());
    }
}
