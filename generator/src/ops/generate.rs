//! `fedwing generate`: a workflow with catalogs, properties and job binaries in one folder.

use std::{
    fs,
    io::{self, BufWriter},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use contract::units::Bytes;
use serde::Serialize;

use super::{check, error::OpError, programs, require_empty, source::Source};
use crate::{
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

/// Generates the workflow of the specification at `path` into the folder `output`, whole or not at all.
///
/// # Errors
/// [`OpError::Rejected`] with every mistake of the specification; [`OpError::NotEmpty`] when the folder holds something.
pub fn generate(path: &Path, output: &Path, target: Target) -> Result<GenerateResult, OpError> {
    let source = Source::read(path)?;
    let (checked, result) = check::accepted(&source)?;
    let plan = plan::lower(&checked)?;
    let binaries = programs::find()?;
    require_empty(output)?;

    let failed = |source: io::Error| OpError::Write {
        path: output.to_owned(),
        source,
    };
    let output = std::path::absolute(output).map_err(failed)?;
    let parent = output.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(failed)?;
    let beside = tempfile::Builder::new()
        .prefix(".fedwing-")
        .tempdir_in(parent)
        .map_err(failed)?;
    match target {
        Target::Pegasus => pegasus::write(&plan, &checked.execution.pegasus, &mut Folder(beside.path()))?,
        Target::Dagman => {
            dagman::write(&plan, &mut Folder(beside.path()))?;
            complete_dagman(&plan, beside.path()).map_err(failed)?;
        }
    }
    emit::write_jobs(&plan, &mut Folder(beside.path()))?;
    fs::write(beside.path().join("spec.yml"), &source.text).map_err(failed)?;
    let mut size = 0;
    for (binary, from) in binaries {
        let to = beside.path().join("bin").join(binary.as_str());
        fs::create_dir_all(to.parent().unwrap_or(beside.path())).map_err(failed)?;
        size += fs::copy(&from, &to).map_err(failed)?;
    }
    publish(beside, &output).map_err(failed)?;
    Ok(GenerateResult {
        fedwing_generate: 1,
        dir: output,
        target,
        jobs: plan.jobs.len() as u64,
        binaries: Bytes(size),
        spec_digest: checked.digest.to_string(),
        warnings: result.diagnostics,
    })
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

/// Puts the finished folder in its place.
fn publish(beside: tempfile::TempDir, output: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(beside.path(), fs::Permissions::from_mode(0o755))?;
    if output.is_dir() {
        fs::remove_dir(output)?;
    }
    fs::rename(beside.keep(), output)
}

/// A folder on disk being filled.
struct Folder<'a>(&'a Path);

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
