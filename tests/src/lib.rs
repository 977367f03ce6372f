//! What the tests share: where things are, and how to run the binaries.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The workspace's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the workspace")
}

/// The folder of real data: `FEDWING_DATA`, else `../shared/data` beside the workspace, if it is there.
pub fn data() -> Option<PathBuf> {
    let path = match env::var_os("FEDWING_DATA") {
        Some(path) => PathBuf::from(path),
        None => root().parent()?.join("shared/data"),
    };
    path.is_dir().then_some(path)
}

/// The folder of real data, or a line that says what is skipped without it.
pub fn data_or_skip(test: &str) -> Option<PathBuf> {
    let data = data();
    if data.is_none() {
        println!("SKIPPED {test}: no data folder; set FEDWING_DATA to run it");
    }
    data
}

/// A binary of the workspace, built by `cargo test --workspace` beside the test itself.
///
/// # Panics
/// When it is not there.
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/<profile>/deps");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "`{}` is not built: run `cargo build --workspace` first",
        path.display()
    );
    path
}

/// Runs `fedwing` and returns what it printed.
///
/// # Panics
/// When it cannot be started.
pub fn fedwing<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(binary("fedwing"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("fedwing starts")
}
