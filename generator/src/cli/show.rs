//! Runs a command and shows what came of it.

use std::{
    error::Error,
    io::{IsTerminal, stderr},
};

use serde::Serialize;

use super::{
    args::{Command, TargetArg},
    progress::Progress,
    simulate, status, sweep, watch,
};
use crate::{
    diag::{Colour, Diagnostics},
    engine::Interrupt,
    ops::{
        self, Cancelled, Exit, Generated, Look, OpError, PointsWanted, Ran, Reported, Resumed, Reviewed,
        RunRequest, RunResult, Seen, ShowRequest, Shown, Submitted, SweepResult,
    },
    review,
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
                    let points = result.points;
                    let points = points.map_or(String::new(), |points| format!(", {points} points"));
                    println!("{}: accepted{points}, digest {digest}", result.file);
                }
            }
            Ok(if result.accepted {
                Exit::Done
            } else {
                Exit::Rejected
            })
        }
        Command::Show {
            spec,
            profiles,
            look,
            pool,
            dot,
            svg,
            json,
        } => {
            let request = ShowRequest {
                documents: profiles,
                look: if look { Look::Yes } else { Look::No },
                pool,
                dot,
                svg,
            };
            let Shown { reviewed, not_here } = ops::show(&spec, &request)?;
            for folder in not_here {
                eprintln!(
                    "note: `{}` is not on this machine; nothing was found there",
                    folder.display()
                );
            }
            let text = match (&reviewed, json) {
                (Reviewed::One(one), true) => review::json(one),
                (Reviewed::One(one), false) => review::markdown(one),
                (Reviewed::Sweep(sweep), true) => review::sweep_json(sweep),
                (Reviewed::Sweep(sweep), false) => review::sweep_markdown(sweep),
            };
            print!("{text}");
            Ok(Exit::Done)
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
            show_generated(&ops::generate(&spec, &output, target)?, json);
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
            match ops::run(&source, &dir, &request, Progress::new)? {
                Ran::One(result) => show_run(&result, json),
                Ran::Sweep(result) => show_sweep(&result, json),
            }
        }
        Command::Points { spec, point, json } => {
            let wanted = point.map_or(PointsWanted::List, PointsWanted::One);
            let result = ops::points(&spec, &wanted)?;
            match (json, result.points.first().and_then(|point| point.spec.as_ref())) {
                (true, _) => print_json(&result),
                (false, Some(spec)) => print!("{spec}"),
                (false, None) => print!("{}", sweep::points(&result)),
            }
            Ok(Exit::Done)
        }
        Command::Simulate {
            spec,
            pool,
            layout,
            data,
            json,
        } => {
            let layouts = layout.unwrap_or(ops::Layouts::AsSpecified);
            let result = ops::simulate(&spec, &pool, layouts, data.as_deref())?;
            warn(&result.warnings);
            if json {
                print_json(&result);
            } else {
                print!("{}", simulate::text(&result));
            }
            Ok(Exit::Done)
        }
        Command::Calibrate { dir } => {
            let result = ops::calibrate(&dir)?;
            for note in &result.notes {
                eprintln!("note: {note}");
            }
            print!("{}", result.text);
            Ok(Exit::Done)
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
                match &status {
                    Seen::One(status) => print!("{}", status::text(status, status::ALL_ROUNDS)),
                    Seen::Sweep(status) => print!("{}", sweep::text(status, None)),
                }
            }
            Ok(Exit::Done)
        }
        Command::Watch { dir, json } => watch::watch(&dir, json),
        Command::Cancel { dir, json } => {
            let result = ops::cancel(&dir)?;
            if json {
                print_json(&result);
            } else {
                match &result {
                    Cancelled::One(result) => println!("{}", status::cancelled(result)),
                    Cancelled::Sweep(result) => println!("{}", sweep::cancelled(result)),
                }
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
                Resumed::LocalSweep(result) => show_sweep(&result, json),
                Resumed::Pool(result) => {
                    show_submitted(&result, json);
                    Ok(Exit::Done)
                }
            }
        }
        Command::Report { dir, json } => {
            let (text, html) = match ops::report(&dir)? {
                Reported::One(result) => (result.to_json(), result.html),
                Reported::Sweep(result) => (result.to_json(), result.html),
            };
            if json {
                print!("{text}");
            } else {
                println!("{}", html.display());
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

fn show_generated(result: &Generated, json: bool) {
    let (warnings, dir) = match result {
        Generated::One(result) => (&result.warnings, &result.dir),
        Generated::Sweep(result) => (&result.warnings, &result.dir),
    };
    warn(warnings);
    match (json, result) {
        (true, Generated::One(result)) => return print_json(result),
        (true, Generated::Sweep(result)) => return print_json(result),
        (false, Generated::One(result)) => {
            eprintln!("{} jobs, job binaries of {}", result.jobs, result.binaries);
        }
        (false, Generated::Sweep(result)) => eprintln!(
            "{} points, {} jobs, job binaries of {}",
            result.points.len(),
            result.jobs,
            result.binaries
        ),
    }
    println!("{}", dir.display());
}

fn show_submitted(result: &Submitted, json: bool) {
    if json {
        print_json(result);
        return;
    }
    let (cluster, dir) = match result {
        Submitted::One(result) => (result.cluster, &result.dir),
        Submitted::Sweep(result) => (result.cluster, &result.dir),
    };
    if let Some(cluster) = cluster {
        eprintln!("DAGMan is job {cluster} in the queue");
    }
    println!("{}", dir.display());
    eprintln!("help: `fedwing watch {}` follows it", dir.display());
}

fn show_sweep(result: &SweepResult, json: bool) -> Result<Exit, OpError> {
    warn(&result.warnings);
    if json {
        print_json(result);
        return Ok(result.exit());
    }
    print!("{}", sweep::results(result));
    println!("{}", result.report.display());
    if result.exit() != Exit::Done {
        eprintln!(
            "help: `fedwing resume {}` continues the sweep",
            result.dir.display()
        );
    }
    Ok(result.exit())
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
        println!("{}", sweep::last_round(last));
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
    if let OpError::PoolRejected(diagnostics) = error {
        warn(diagnostics);
        return;
    }
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
