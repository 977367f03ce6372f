//! What a command is pointed at: a specification, or a workflow of anybody's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::error::OpError;

/// The longest specification or workflow file read, in bytes.
const MAX_TEXT: u64 = 1 << 30;

/// A text file as given on the command line.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its absolute path.
    pub path: PathBuf,
    /// The path as the user wrote it, for messages.
    pub shown: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// Reads `path`; a folder stands for the `workflow.yml` in it.
    ///
    /// # Errors
    /// [`OpError::Read`].
    pub fn read(path: &Path) -> Result<Self, OpError> {
        let file = if path.is_dir() {
            path.join("workflow.yml")
        } else {
            path.to_owned()
        };
        let failed = |source: io::Error| OpError::Read {
            path: file.clone(),
            source,
        };
        let size = fs::metadata(&file).map_err(failed)?.len();
        if size > MAX_TEXT {
            return Err(failed(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{size} bytes"),
            )));
        }
        let text = fs::read_to_string(&file).map_err(failed)?;
        let absolute = fs::canonicalize(&file).map_err(failed)?;
        Ok(Self {
            path: absolute,
            shown: file.display().to_string(),
            text,
        })
    }

    /// Reads the copy in `file` of what was at `original`.
    ///
    /// # Errors
    /// [`OpError::Read`].
    pub fn copy(file: &Path, original: &Path) -> Result<Self, OpError> {
        Ok(Self {
            path: original.to_owned(),
            ..Self::read(file)?
        })
    }

    /// The folder relative paths in it refer to.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether it is a Pegasus workflow: `pegasus:` or `x-pegasus:` stands at the start of a line before any job.
    pub fn is_workflow(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("pegasus:"))
    }
}
