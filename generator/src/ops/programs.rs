//! Where the job binaries are: beside `fedwing`, else on the path.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use contract::args::Binary;

use super::error::OpError;

/// The path of every job binary.
///
/// # Errors
/// [`OpError::Programs`] naming those that are nowhere.
pub fn find() -> Result<BTreeMap<Binary, PathBuf>, OpError> {
    let beside = env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = beside.into_iter().chain(env::split_paths(&path)).collect();
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for binary in Binary::ALL {
        let candidates = folders.iter().map(|folder| folder.join(binary.as_str()));
        match candidates.into_iter().find(|path| path.is_file()) {
            Some(path) => drop(found.insert(binary, path)),
            None => missing.push(binary.as_str()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(OpError::Programs { missing })
    }
}
