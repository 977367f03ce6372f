//! Runs a command and shows what came of it.

use std::{
    error::Error,
    io::{IsTerminal, stderr},
};

use serde::Serialize;

use super::{
    args::{Command, TargetArg},
    progress::Progress,
    status, watch,
};
use crate::{
    diag::{Colour, Diagnostics},
    engine::Interrupt,
    ops::{self, Exit, OpError, Resumed, RunRequest, RunResult, SubmitResult},
};

/// Runs `command` and returns the exit code.
pub fn run(command: Command) -> Exit {
    match execute(command) {
        Ok(exit) => exit,
        Err(error) => {
            tell(&error);
            error.exit()
        }
    }
}

fn execute(command: Command) -> Result<Exit, OpError> {
    match command {
        Command::Check { spec, json } => {
            let result = ops::check(&spec)?;
            if json {
                print_json(&result.to_json());
            } else {
                warn(&result.diagnostics);
                if let Some(digest) = &result.digest {
                    println!("{}: accepted, digest {digest}", result.file);
                }
            }
            Ok(if result.accepted {
                Exit::Done
            } else {
                Exit::Rejected
            })
        }
        Command::Generate {
            spec,
            output,
            target,
            json,
        } => {
            let target = match target {
                TargetArg::Pegasus => ops::Target::Pegasus,
                TargetArg::Dagman => ops::Target::Dagman,
            };
            let result = ops::generate(&spec, &output, target)?;
            warn(&result.warnings);
            if json {
                print_json(&result);
            } else {
                eprintln!("{} jobs, job binaries of {}", result.jobs, result.binaries);
                println!("{}", result.dir.display());
            }
            Ok(Exit::Done)
        }
        Command::Run {
            source,
            dir,
            jobs,
            json,
        } => {
            let request = RunRequest {
                jobs,
                interrupt: interrupt()?,
            };
            show_run(&ops::run(&source, &dir, &request, Progress::new)?, json)
        }
        Command::Submit { dir, json } => {
            show_submitted(&ops::submit(&dir)?, json);
            Ok(Exit::Done)
        }
        Command::Status { dir, json } => {
            let status = ops::status(&dir)?;
            if json {
                print_json(&status);
            } else {
                print!("{}", status::text(&status, status::ALL_ROUNDS));
            }
            Ok(Exit::Done)
        }
        Command::Watch { dir, json } => watch::watch(&dir, json),
        Command::Cancel { dir, json } => {
            let result = ops::cancel(&dir)?;
            if json {
                print_json(&result);
            } else {
                println!("{}", status::cancelled(&result));
            }
            Ok(Exit::Done)
        }
        Command::Resume { dir, jobs, json } => {
            let request = RunRequest {
                jobs,
                interrupt: interrupt()?,
            };
            match ops::resume(&dir, &request, Progress::new)? {
                Resumed::Local(result) => show_run(&result, json),
                Resumed::Pool(result) => {
                    show_submitted(&result, json);
                    Ok(Exit::Done)
                }
            }
        }
        Command::Report { dir, json } => {
            let result = ops::report(&dir)?;
            if json {
                print!("{}", result.to_json());
            } else {
                println!("{}", result.html.display());
            }
            Ok(Exit::Done)
        }
        Command::Schema => {
            print!("{}", ops::schema());
            Ok(Exit::Done)
        }
        Command::Explain { code, json } => Ok(explain(&code, json)),
    }
}

fn show_submitted(result: &SubmitResult, json: bool) {
    if json {
        print_json(result);
        return;
    }
    if let Some(cluster) = result.cluster {
        eprintln!("DAGMan is job {cluster} in the queue");
    }
    println!("{}", result.dir.display());
    eprintln!("help: `fedwing watch {}` follows it", result.dir.display());
}

fn interrupt() -> Result<Interrupt, OpError> {
    Interrupt::on_signals().map_err(OpError::Signals)
}

fn show_run(result: &RunResult, json: bool) -> Result<Exit, OpError> {
    if let Some(warnings) = &result.warnings {
        warn(warnings);
    }
    if json {
        print_json(result);
        return Ok(result.exit());
    }
    for last in &result.results {
        let auroc = last
            .auroc
            .map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"));
        let synthetic = if last.synthetic { " (SYNTHETIC)" } else { "" };
        println!(
            "{}: round {}, AUROC {auroc}, accuracy {:.3}{synthetic}",
            last.dataset, last.round, last.accuracy
        );
    }
    println!("{}", result.report.display());
    if result.exit() != Exit::Done {
        eprintln!(
            "help: `fedwing resume {}` continues the run",
            result.dir.display()
        );
    }
    Ok(result.exit())
}

fn explain(code: &str, json: bool) -> Exit {
    match ops::explain(code) {
        Ok(explanation) if json => print_json(&explanation),
        Ok(explanation) => print!("{}", explanation.page),
        Err(known) => {
            eprintln!(
                "error: `{code}` is not a diagnostic code\nhelp: the codes are {}",
                known.join(", ")
            );
            return Exit::Usage;
        }
    }
    Exit::Done
}

fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("results have text keys and no failing parts");
    println!("{text}");
}

/// Shows diagnostics on stderr.
fn warn(diagnostics: &Diagnostics) {
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    eprint!(
        "{}",
        diagnostics.render(if colour { Colour::Always } else { Colour::Never })
    );
}

/// Shows an error with its causes on stderr.
fn tell(error: &OpError) {
    if let OpError::Rejected(result) = error {
        warn(&result.diagnostics);
        return;
    }
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
