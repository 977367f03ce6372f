//! The files of a run: what each must contain, whether it still does, and how a job's outputs become files of the run.
//!
//! Nothing is read by a job that is not what its writer left: [`Store::check`] compares identity first, content when
//! that differs. Start at [`Store`]; outputs go through [`survey`] and [`seal`].

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use contract::units::Bytes;

use super::{
    EngineError,
    digest::{Digest, Fact, Identity, SourceFact, fact_of},
    graph::{FileIndex, From, Graph},
};
use crate::record::RunDir;

/// What is known of each file.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    known: Vec<Known>,
    /// Sub-folders of `folder` that are there.
    folders: HashSet<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// What its writer left; none before it is written.
    fact: Option<Fact>,
    /// The file that was seen to have this content; none after a restart.
    seen: Option<Identity>,
}

/// Why a file cannot be read by a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    Missing,
    Unreadable(String),
    Size { now: Bytes, written: Bytes },
    Content,
}

impl Store {
    /// Knows nothing yet; `dir` must be absolute, since links lead there.
    pub(super) fn new(graph: &Graph<'_>, dir: &RunDir) -> Self {
        Self {
            folder: dir.files(),
            known: vec![Known::default(); graph.files.len()],
            folders: HashSet::new(),
        }
    }

    /// Where a file is: in the run's folder, or where it is kept.
    pub(super) fn path(&self, graph: &Graph<'_>, file: FileIndex) -> PathBuf {
        self.folder.join(graph.file(file).name.as_str())
    }

    /// What its writer left.
    pub(super) fn fact(&self, file: FileIndex) -> Option<Fact> {
        self.known[file as usize].fact
    }

    /// Notes what a file contains, and which file was seen to contain it.
    pub(super) fn learn(&mut self, file: FileIndex, fact: Fact, seen: Option<Identity>) {
        self.known[file as usize] = Known {
            fact: Some(fact),
            seen,
        };
    }

    /// Whether a file is still what its writer left; its size if so.
    ///
    /// Reads the file only when it is not the very file that was seen before.
    pub(super) fn check(&mut self, graph: &Graph<'_>, file: FileIndex) -> Result<Bytes, Mismatch> {
        let Known { fact, seen } = self.known[file as usize];
        // A file nobody wrote yet is asked for by nobody: its readers wait for its writer.
        let fact = fact.ok_or(Mismatch::Missing)?;
        let path = self.path(graph, file);
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Mismatch::Missing,
            _ => Mismatch::Unreadable(error.to_string()),
        };
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        let identity = Identity::of(&metadata);
        if seen == Some(identity) {
            return Ok(fact.size);
        }
        if !metadata.is_file() {
            return Err(Mismatch::Unreadable("not a file".to_owned()));
        }
        if metadata.len() != fact.size.0 {
            return Err(Mismatch::Size {
                now: Bytes(metadata.len()),
                written: fact.size,
            });
        }
        if fact_of(&path).map_err(unreadable)? != fact {
            return Err(Mismatch::Content);
        }
        self.known[file as usize].seen = Some(identity);
        Ok(fact.size)
    }

    /// Puts every file no job writes in its place: links to sources, content the plan knows.
    pub(super) fn place_given(
        &mut self,
        graph: &Graph<'_>,
        sources: &[Option<SourceFact>],
    ) -> Result<(), EngineError> {
        for file in 0..graph.files.len() as FileIndex {
            match graph.file(file).from {
                From::Job(_) => {}
                From::Source(source) => {
                    let path = self.make_room(graph, file)?;
                    let target = graph.sources[source as usize].path;
                    symlink(target, &path).map_err(EngineError::io("link to a source at", &path))?;
                    if let Some((fact, identity)) =
                        sources[source as usize].as_ref().and_then(|source| source.file)
                    {
                        self.learn(file, fact, Some(identity));
                    }
                }
                From::Content(text) => {
                    let path = self.make_room(graph, file)?;
                    let metadata = write_read_only(&path, text).map_err(EngineError::io("write", &path))?;
                    let fact = Fact {
                        size: Bytes(text.len() as u64),
                        digest: Digest::of(text.as_bytes()),
                    };
                    self.learn(file, fact, Some(Identity::of(&metadata)));
                }
            }
        }
        Ok(())
    }

    /// Removes a file if it is there, and makes the folder it belongs in.
    fn make_room(&mut self, graph: &Graph<'_>, file: FileIndex) -> Result<PathBuf, EngineError> {
        let path = self.path(graph, file);
        self.make_folder_of(&path)?;
        remove_file(&path)?;
        Ok(path)
    }

    /// Removes what an attempt that is not recorded as done may have left.
    pub(super) fn forget(&mut self, graph: &Graph<'_>, file: FileIndex) -> Result<(), EngineError> {
        self.known[file as usize] = Known::default();
        remove_file(&self.path(graph, file))
    }

    /// Makes the folder a file belongs in, once.
    pub(super) fn make_folder_of(&mut self, path: &Path) -> Result<(), EngineError> {
        let Some(folder) = path.parent().filter(|folder| *folder != self.folder) else {
            return Ok(());
        };
        if !self.folders.contains(folder) {
            fs::create_dir_all(folder).map_err(EngineError::io("make the folder", folder))?;
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<(), EngineError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EngineError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write_read_only(path: &Path, text: &str) -> io::Result<fs::Metadata> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))?;
    fs::metadata(path)
}

/// The total size of the outputs in a job's directory, or the names of those that are not there as regular files.
pub(super) fn survey(paths: impl Iterator<Item = (PathBuf, String)>) -> Result<Bytes, Vec<String>> {
    let (mut total, mut missing) = (0, Vec::new());
    for (path, name) in paths {
        // A link would lead to a file that somebody else can still change.
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => total += metadata.size(),
            Ok(_) | Err(_) => missing.push(name),
        }
    }
    if missing.is_empty() {
        Ok(Bytes(total))
    } else {
        Err(missing)
    }
}

/// An output on its way from a job's directory into the run's files.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) file: FileIndex,
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
}

/// Reads outputs, makes them read-only and moves them into the run's files; those that are kept in place stay there.
///
/// Stopped anywhere in between, it leaves a job that is not recorded as done: `resume` does it again.
pub(super) fn seal(moves: &[Move]) -> Result<Vec<(FileIndex, Fact, Identity)>, EngineError> {
    let mut sealed = Vec::with_capacity(moves.len());
    for Move { file, from, to } in moves {
        let fact = fact_of(from).map_err(EngineError::io("read the output", from))?;
        let result = fs::symlink_metadata(from).and_then(|metadata| {
            let mode = metadata.permissions().mode() & !0o222;
            fs::set_permissions(from, fs::Permissions::from_mode(mode))?;
            fs::rename(from, to)?;
            fs::symlink_metadata(to)
        });
        let metadata = result.map_err(EngineError::io("keep the output", from))?;
        sealed.push((*file, fact, Identity::of(&metadata)));
    }
    Ok(sealed)
}
