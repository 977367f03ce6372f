//! `fedwing generate`: a workflow with catalogs, properties and job binaries in one folder.

use std::{
    fs,
    io::{self, BufWriter},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use contract::{args::Binary, units::Bytes};
use serde::Serialize;

use super::{
    check::{self, Proven},
    error::OpError,
    programs, require_empty,
    source::Source,
    sweep::{self, SweepGenerateResult},
};
use crate::{
    check::Checked,
    diag::Diagnostics,
    emit::{self, FileKind, Sink, dagman, pegasus},
    plan::{self, Plan},
};

/// The workflow system to generate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Pegasus 5.
    Pegasus,
    /// HTCondor's DAGMan.
    Dagman,
}

/// What was generated.
#[derive(Debug, Clone, Serialize)]
pub struct GenerateResult {
    /// Format version.
    pub fedwing_generate: u32,
    /// The folder.
    pub dir: PathBuf,
    /// The workflow system.
    pub target: Target,
    /// Jobs in the workflow, those of sub-workflows included.
    pub jobs: u64,
    /// Size of the job binaries in it.
    pub binaries: Bytes,
    /// SHA-256 of the specification.
    pub spec_digest: String,
    /// Warnings about the specification.
    #[serde(skip)]
    pub warnings: Diagnostics,
}

/// What generating came to.
#[derive(Debug)]
pub enum Generated {
    /// A workflow.
    One(GenerateResult),
    /// Those of a sweep.
    Sweep(SweepGenerateResult),
}

/// Generates the workflow of the specification or sweep at `path` into the folder `output`, whole or not at all.
///
/// # Errors
/// [`OpError::Rejected`] with every mistake of the specification; [`OpError::NotEmpty`] when the folder holds something.
pub fn generate(path: &Path, output: &Path, target: Target) -> Result<Generated, OpError> {
    let source = Source::read(path)?;
    match check::proven(&source)? {
        (Proven::One(checked), result) => {
            one(&source, &checked, result.diagnostics, output, target).map(Generated::One)
        }
        (Proven::Sweep(sweep), result) => {
            sweep::generate(&source, &sweep, result.diagnostics, output, target).map(Generated::Sweep)
        }
    }
}

fn one(
    source: &Source,
    checked: &Checked,
    warnings: Diagnostics,
    output: &Path,
    target: Target,
) -> Result<GenerateResult, OpError> {
    let plan = plan::lower(checked)?;
    let binaries = programs::find()?;
    let folder = NewFolder::beside(output)?;
    fill(&folder, checked, &plan, &source.text, target)?;
    let mut size = 0;
    for (binary, from) in binaries {
        let to = program(folder.path(), binary);
        fs::create_dir_all(to.parent().unwrap_or(folder.path())).map_err(|source| folder.failed(source))?;
        size += fs::copy(&from, &to).map_err(|source| folder.failed(source))?;
    }
    Ok(GenerateResult {
        fedwing_generate: 1,
        dir: folder.publish()?,
        target,
        jobs: plan.jobs.len() as u64,
        binaries: Bytes(size),
        spec_digest: checked.digest.to_string(),
        warnings,
    })
}

/// Where a job program lies in a generated folder.
pub(super) fn program(folder: &Path, binary: Binary) -> PathBuf {
    folder.join("bin").join(binary.as_str())
}

/// Fills a folder with a workflow and all that belongs to it but the job programs.
pub(super) fn fill(
    folder: &NewFolder,
    checked: &Checked,
    plan: &Plan,
    text: &str,
    target: Target,
) -> Result<(), OpError> {
    let path = folder.path();
    match target {
        Target::Pegasus => pegasus::write(plan, &checked.execution.pegasus, &mut Folder(path))?,
        Target::Dagman => {
            dagman::write(plan, &mut Folder(path))?;
            complete_dagman(plan, path).map_err(|source| folder.failed(source))?;
        }
    }
    emit::write_jobs(plan, &mut Folder(path))?;
    fs::write(path.join("spec.yml"), text).map_err(|source| folder.failed(source))
}

/// Makes what only a disk can hold: folders that files arrive in, and the weights by their logical name.
fn complete_dagman(plan: &Plan, folder: &Path) -> io::Result<()> {
    for empty in [dagman::FILES, dagman::LOGS] {
        fs::create_dir_all(folder.join(empty))?;
    }
    if let (Some(weights), Some(path)) = (&plan.weights, dagman::weights_path(plan)) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        symlink(&weights.path, path)?;
    }
    Ok(())
}

/// A folder that is filled beside its place, and put there once it is whole.
pub(super) struct NewFolder {
    /// Where it will be, absolute.
    output: PathBuf,
    beside: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl NewFolder {
    /// Begins the folder that will be at `output`.
    ///
    /// # Errors
    /// [`OpError::NotEmpty`], [`OpError::Write`].
    pub fn beside(output: &Path) -> Result<Self, OpError> {
        require_empty(output)?;
        let failed = |source: io::Error| OpError::Write {
            path: output.to_owned(),
            source,
        };
        let output = std::path::absolute(output).map_err(failed)?;
        let parent = output.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(failed)?;
        let beside = tempfile::Builder::new().prefix(".fedwing-").tempdir_in(parent);
        let beside = beside.map_err(failed)?;
        Ok(Self {
            path: beside.path().to_owned(),
            output: output.clone(),
            beside: Some(beside),
        })
    }

    /// A folder in it, which must not be there yet.
    ///
    /// # Errors
    /// [`OpError::Write`].
    pub fn inside(&self, name: &str) -> Result<Self, OpError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|source| self.failed(source))?;
        Ok(Self {
            output: self.output.join(name),
            beside: None,
            path,
        })
    }

    /// Where it is being filled.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It could not be written.
    pub fn failed(&self, source: io::Error) -> OpError {
        OpError::Write {
            path: self.output.clone(),
            source,
        }
    }

    /// Puts the finished folder in its place, and says where that is.
    ///
    /// # Errors
    /// [`OpError::Write`].
    pub fn publish(mut self) -> Result<PathBuf, OpError> {
        use std::os::unix::fs::PermissionsExt;
        if let Some(beside) = self.beside.take() {
            let placed =
                fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o755)).and_then(|()| {
                    if self.output.is_dir() {
                        fs::remove_dir(&self.output)?;
                    }
                    fs::rename(beside.keep(), &self.output)
                });
            placed.map_err(|source| self.failed(source))?;
        }
        Ok(self.output)
    }
}

/// A folder on disk being filled.
pub(super) struct Folder<'a>(pub &'a Path);

impl Sink for Folder<'_> {
    type File<'a>
        = BufWriter<fs::File>
    where
        Self: 'a;

    fn file(&mut self, path: &str, kind: FileKind) -> io::Result<Self::File<'_>> {
        let path = self.0.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mode = match kind {
            FileKind::Plain => 0o644,
            FileKind::Executable => 0o755,
        };
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    }
}
