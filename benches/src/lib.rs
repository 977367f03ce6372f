//! What the measurements share: where binaries and data are, and what the machine is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A binary of the workspace, beside the measuring one.
///
/// # Panics
/// When it is not built.
pub fn binary(name: &str) -> PathBuf {
    let here = env::current_exe().expect("a program has a path");
    let path = here.with_file_name(name);
    assert!(
        path.is_file(),
        "`{}` is not built: build the workspace in the same profile",
        path.display()
    );
    path
}

/// The folder of real data: `FEDWING_DATA`, else `../shared/data` beside the workspace.
///
/// # Panics
/// When it is not there.
pub fn data() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches lie in the workspace");
    let path = env::var_os("FEDWING_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    assert!(
        path.is_dir(),
        "`{}` is not there: set FEDWING_DATA",
        path.display()
    );
    fs::canonicalize(path).expect("a readable folder")
}

/// One line that says where numbers were made: processor, cores, commit.
pub fn provenance() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let git = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = git
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    format!(
        "{}, {cores} cores, commit {commit}",
        model.unwrap_or("unknown processor")
    )
}
