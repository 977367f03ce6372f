//! Finds where Pegasus put the workflows it planned.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    braindump::{self, Braindump},
    tail::read_text,
};

/// Folders below a run's folder that are looked into: `submit/USER/pegasus/NAME/run0001` and one more.
const DEEPEST: usize = 6;

/// More folders than this are not looked into: the rest is a workflow's own.
const MOST_FOLDERS: usize = 20_000;

/// A submit directory of a whole workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitDir {
    /// The directory.
    pub path: PathBuf,
    /// What it says of itself.
    pub braindump: Braindump,
}

impl SubmitDir {
    /// Its DAG file.
    pub fn dag(&self) -> PathBuf {
        self.path.join(&self.braindump.dag)
    }
}

/// The submit directory planned last in or below `folder`; sub-workflows are no workflows of their own.
///
/// # Errors
/// A `braindump.yml` is found and cannot be read, or is none.
pub fn newest(folder: &Path) -> io::Result<Option<SubmitDir>> {
    let mut found: Option<SubmitDir> = None;
    let mut left = MOST_FOLDERS;
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        left = match left.checked_sub(1) {
            Some(left) => left,
            None => break,
        };
        if let Some(braindump) = read(&path)? {
            if braindump.is_root()
                && found
                    .as_ref()
                    .is_none_or(|best| is_newer(&braindump, &path, best))
            {
                found = Some(SubmitDir { path, braindump });
            }
            // What lies below are its sub-workflows.
            continue;
        }
        if depth < DEEPEST {
            waiting.extend(folders(&path).into_iter().map(|path| (path, depth + 1)));
        }
    }
    Ok(found)
}

fn is_newer(braindump: &Braindump, path: &Path, than: &SubmitDir) -> bool {
    (&braindump.timestamp, path) > (&than.braindump.timestamp, &than.path)
}

fn read(folder: &Path) -> io::Result<Option<Braindump>> {
    let text = read_text(&folder.join("braindump.yml"), braindump::MAX_BYTES)?;
    let parsed = text.map(|text| braindump::parse(&text)).transpose();
    parsed.map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Folders in a folder; none where it cannot be listed, and no links, which could lead in circles.
fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_dir().then(|| entry.path())
    });
    folders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(folder: &Path, uuid: &str, root: &str, timestamp: &str) {
        fs::create_dir_all(folder).unwrap();
        let text = format!(
            "wf_uuid: \"{uuid}\"\nroot_wf_uuid: \"{root}\"\ntimestamp: \"{timestamp}\"\ndax_label: \"e\"\ndag: \"e-0.dag\"\n"
        );
        fs::write(folder.join("braindump.yml"), text).unwrap();
    }

    #[test]
    fn the_workflow_planned_last_is_found_and_no_sub_workflow() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()).unwrap(), None);
        let runs = folder.path().join("submit/ada/pegasus/e");
        plant(&runs.join("run0001"), "a", "a", "20260105T090000+0000");
        plant(&runs.join("run0002"), "b", "b", "20260105T100000+0000");
        plant(
            &runs.join("run0002/00/00/sub.000"),
            "c",
            "b",
            "20260105T110000+0000",
        );
        let found = newest(folder.path()).unwrap().unwrap();
        assert_eq!(found.path, runs.join("run0002"));
        assert_eq!(found.dag(), runs.join("run0002/e-0.dag"));
        assert_eq!(newest(&found.path).unwrap(), Some(found));
    }
}
