//! Developer and demo commands: `cargo demo`, `cargo xtask check`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Developer and demo commands")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds everything and runs `examples/quickstart.yml` to a report.
    Demo,
    /// Formats, lints, and runs the tests that do not need burn.
    Check,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo => demo(),
        Task::Check => check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), String> {
    let root = root();
    eprintln!("building fedwing, fl-client and fl-aggregator (the first time takes some minutes)");
    // The whole workspace, so that a later `cargo test --workspace` finds the same build.
    cargo(&["build", "--workspace", "--bins"])?;
    let run_dir = root.join("runs").join("demo");
    if run_dir.exists() {
        std::fs::remove_dir_all(&run_dir)
            .map_err(|e| format!("cannot remove `{}`: {e}", run_dir.display()))?;
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let fedwing = target.join("debug").join("fedwing");
    run(Command::new(fedwing)
        .arg("run")
        .arg(root.join("examples/quickstart.yml"))
        .arg("--dir")
        .arg(&run_dir))
}

fn check() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    let without_burn = [
        "-p",
        "contract",
        "-p",
        "kernels",
        "-p",
        "fedwing",
        "-p",
        "fl-aggregator",
    ];
    cargo(
        &[
            &["clippy", "--all-targets"],
            &without_burn[..],
            &["--", "-D", "warnings"],
        ]
        .concat(),
    )?;
    cargo(&[&["test", "--quiet"], &without_burn[..]].concat())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(arguments).current_dir(root()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}
