//! A [`Sink`] whose files are buffered, flushed, and named in errors.

use std::io::{self, BufWriter, Write};

use super::{FileKind, Sink};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{path}`")]
pub struct SinkError {
    /// The file, relative to the directory.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

/// A sink being filled.
pub struct Directory<'a, S>(pub &'a mut S);

impl<S: Sink> Directory<'_, S> {
    /// Writes a file to be read.
    pub fn file(
        &mut self,
        path: &str,
        write: impl FnOnce(&mut BufWriter<S::File<'_>>) -> io::Result<()>,
    ) -> Result<(), SinkError> {
        self.open(path, FileKind::Plain, write)
    }

    /// Writes a file to be executed.
    pub fn script(&mut self, path: &str, text: &str) -> Result<(), SinkError> {
        self.open(path, FileKind::Executable, |out| out.write_all(text.as_bytes()))
    }

    fn open(
        &mut self,
        path: &str,
        kind: FileKind,
        write: impl FnOnce(&mut BufWriter<S::File<'_>>) -> io::Result<()>,
    ) -> Result<(), SinkError> {
        let result = self.0.file(path, kind).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 18, file);
            write(&mut out)?;
            out.flush()
        });
        result.map_err(|source| SinkError {
            path: path.to_owned(),
            source,
        })
    }
}
