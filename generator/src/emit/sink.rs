//! Where emitted files go and where foreign ones come from.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// Whether a file is meant to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// To be read.
    Plain,
    /// To be executed.
    Executable,
}

/// A folder being filled, one file after the other.
pub trait Sink {
    /// A file being written; the caller of [`Sink::file`] flushes it.
    type File<'a>: Write
    where
        Self: 'a;

    /// Starts a file at `path`, relative to the folder, with `/` between components.
    ///
    /// # Errors
    /// When it cannot be created.
    fn file(&mut self, path: &str, kind: FileKind) -> io::Result<Self::File<'_>>;
}

/// A place files are read from.
pub trait Source {
    /// The text of the file at `path`: an absolute path, or one relative to where the workflow's path is.
    ///
    /// # Errors
    /// `NotFound` when there is none, `FileTooLarge` when it has more than `limit` bytes (to be found out before
    /// memory is taken), `InvalidData` when it is not UTF-8.
    fn read(&self, path: &str, limit: u64) -> io::Result<String>;
}

/// Files in memory by path: a [`Sink`] and a [`Source`] for tests and previews.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryFiles(pub BTreeMap<String, Vec<u8>>);

impl Sink for MemoryFiles {
    type File<'a> = &'a mut Vec<u8>;

    fn file(&mut self, path: &str, _kind: FileKind) -> io::Result<Self::File<'_>> {
        Ok(self.0.entry(path.to_owned()).or_default())
    }
}

impl Source for MemoryFiles {
    fn read(&self, path: &str, limit: u64) -> io::Result<String> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(text.to_owned())
    }
}
