//! Developer and demo commands: `cargo demo`, `cargo xtask check`, `cargo xtask dist`.

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
    /// Builds `fedwing` and the job programs as they are given away: small, and on Linux without shared libraries.
    Dist,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo => demo(),
        Task::Check => check(),
        Task::Dist => dist(),
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
    let fedwing = target().join("debug").join("fedwing");
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

fn dist() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|e| format!("cannot run rustc: {e}"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say which machine it is for")?;
    // Named, so that the flags are for the programs and not for what builds them.
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--profile", "dist", "--target", host])
        .args(["-p", "fedwing", "-p", "fl-client", "-p", "fl-aggregator"])
        .current_dir(root());
    if host.contains("linux") {
        let flags = env::var("RUSTFLAGS").unwrap_or_default();
        // Static, so that they run on any machine of a pool; packed relocations save 3 % of their size.
        let more = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
        build.env("RUSTFLAGS", format!("{flags} {more}"));
    }
    run(&mut build)?;
    let folder = target().join(host).join("dist");
    for program in ["fedwing", "fl-client", "fl-aggregator"] {
        let path = folder.join(program);
        let bytes = std::fs::read(&path).map_err(|e| format!("cannot read `{}`: {e}", path.display()))?;
        if host.contains("linux") && asks_for_a_loader(&bytes)? {
            return Err(format!("`{}` needs shared libraries", path.display()));
        }
        println!("{} {:.1} MB", path.display(), bytes.len() as f64 / 1e6);
    }
    Ok(())
}

/// Whether a 64-bit little-endian ELF program has a segment that names a loader of shared libraries (`PT_INTERP`).
fn asks_for_a_loader(elf: &[u8]) -> Result<bool, String> {
    let wrong = || "the program is no 64-bit little-endian ELF file".to_owned();
    let number = |at: usize, bytes: usize| -> Result<usize, String> {
        let field = elf.get(at..at + bytes).ok_or_else(wrong)?;
        Ok(field
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    if elf.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(wrong());
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for segment in 0..count {
        if number(table + segment * size, 4)? == 3 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
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
