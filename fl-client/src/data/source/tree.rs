//! Files below a folder, in an order that depends on their names alone.
//!
//! In: a folder. Out: every file of it and its sub-folders. Links to folders are followed, each folder once; hidden
//! files and folders are passed over. Start at [`walk`].

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use contract::job::JobError;
use rayon::prelude::*;

/// A file below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its path relative to the folder, with `/` between names.
    pub name: String,
}

impl Found {
    /// The folder directly below the root that it lies in.
    pub fn top(&self) -> Option<&str> {
        self.name.split_once('/').map(|(top, _)| top)
    }
}

/// Every file below a folder, sorted by name. The folders of one level are read in parallel.
///
/// # Errors
/// `InputMissing` or `Io` if a folder cannot be read; `InputInvalid` for a name that is no text.
pub fn walk(root: &Path) -> Result<Vec<Found>, JobError> {
    let top = Found {
        path: root.to_owned(),
        name: String::new(),
    };
    let (mut level, mut visited, mut files) = (vec![top], HashSet::new(), Vec::new());
    while !level.is_empty() {
        let real: Vec<PathBuf> = level
            .par_iter()
            .map(|folder| {
                let real = folder.path.canonicalize();
                real.map_err(|error| JobError::reading(&folder.path, &error))
            })
            .collect::<Result<_, _>>()?;
        // Of two ways to one folder the shorter counts, then the first by name: decided here, in order.
        let fresh: Vec<&Found> = level
            .iter()
            .zip(real)
            .filter_map(|(folder, real)| visited.insert(real).then_some(folder))
            .collect();
        let listed: Vec<(Vec<Found>, Vec<Found>)> = fresh
            .into_par_iter()
            .map(entries)
            .collect::<Result<_, JobError>>()?;
        level = Vec::new();
        for (folders, mut found) in listed {
            level.extend(folders);
            files.append(&mut found);
        }
    }
    files.par_sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Folders, sorted by name, and files in a folder.
fn entries(folder: &Found) -> Result<(Vec<Found>, Vec<Found>), JobError> {
    let reading = |error: io::Error| JobError::reading(&folder.path, &error);
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&folder.path).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(reading)?);
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(JobError::invalid(&path, "its name is not UTF-8 text").help("rename it"));
        };
        if name.starts_with('.') {
            continue;
        }
        let name = match folder.name.as_str() {
            "" => name.to_owned(),
            above => format!("{above}/{name}"),
        };
        // Follows links; a broken one is a file that is not there.
        let is_folder = kind.is_dir() || (kind.is_symlink() && path.is_dir());
        let found = Found { path, name };
        if is_folder {
            folders.push(found);
        } else {
            files.push(found);
        }
    }
    folders.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((folders, files))
}

#[cfg(test)]
mod tests {
    use contract::exit::JobExit;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    fn names(root: &Path) -> Vec<String> {
        walk(root).unwrap().into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn files_come_by_name_from_every_depth_and_hidden_ones_do_not() {
        let dir = TempDir::new().unwrap();
        for name in ["b/2/x", "b/1", "a/z", "c", ".hidden", ".folder/x", "b/10"] {
            text(dir.path(), name, "");
        }
        assert_eq!(names(dir.path()), ["a/z", "b/1", "b/10", "b/2/x", "c"]);
        let found = walk(dir.path()).unwrap();
        assert_eq!((found[3].top(), found[4].top()), (Some("b"), None));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_reached_twice_counts_once_under_its_first_name() {
        let dir = TempDir::new().unwrap();
        text(dir.path(), "m/x", "");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("m/up")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("m"), dir.path().join("a")).unwrap();
        assert_eq!(names(dir.path()), ["a/x"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_missing_input() {
        let dir = TempDir::new().unwrap();
        let error = walk(&dir.path().join("gone")).unwrap_err();
        assert_eq!(error.exit, JobExit::InputMissing);
    }
}
