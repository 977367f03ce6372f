//! A sweep for a pool: the workflow of each point, and what runs them together.

use std::{
    fs,
    path::{Path, PathBuf},
};

use contract::units::Bytes;
use serde::Serialize;

use super::{list, source_of};
use crate::{
    check::Sweep,
    diag::Diagnostics,
    emit::sweep as emitted,
    ops::{
        Target, check,
        error::OpError,
        generate::{Folder, NewFolder, fill, program},
        programs,
        source::Source,
        write_text,
    },
    plan,
    record::{SweepDir, SweepSystem},
};

/// What was generated of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct SweepGenerateResult {
    /// Format version.
    pub fedwing_sweep_generate: u32,
    /// The folder.
    pub dir: PathBuf,
    /// The workflow system.
    pub target: Target,
    /// Names of the points, in order.
    pub points: Vec<String>,
    /// Jobs of all points.
    pub jobs: u64,
    /// Size of the job binaries, which all points share.
    pub binaries: Bytes,
    /// SHA-256 of the specification.
    pub spec_digest: String,
    /// Warnings about the specification.
    #[serde(skip)]
    pub warnings: Diagnostics,
}

/// Generates the workflows of a sweep into the folder `output`, whole or not at all.
///
/// # Errors
/// [`OpError::NotEmpty`] when the folder holds something; [`OpError::Write`].
pub fn generate(
    source: &Source,
    sweep: &Sweep,
    warnings: Diagnostics,
    output: &Path,
    target: Target,
) -> Result<SweepGenerateResult, OpError> {
    let binaries = programs::find()?;
    let folder = NewFolder::beside(output)?;
    let mut first: Option<PathBuf> = None;
    let (mut jobs, mut size) = (0, 0);
    for point in &sweep.points {
        let (checked, _) = check::accepted(&source_of(source, point))?;
        let plan = plan::lower(&checked)?;
        jobs += plan.jobs.len() as u64;
        let inside = folder.inside(&emitted::point(point))?;
        fill(&inside, &checked, &plan, &point.text, target)?;
        fs::create_dir_all(inside.path().join("bin")).map_err(|source| inside.failed(source))?;
        for (binary, from) in &binaries {
            let to = program(inside.path(), *binary);
            let placed = match &first {
                None => fs::copy(from, &to).map(|copied| size += copied),
                // Each folder is whole, and the disk holds the programs once.
                Some(first) => {
                    let there = program(first, *binary);
                    fs::hard_link(&there, &to).or_else(|_| fs::copy(&there, &to).map(drop))
                }
            };
            placed.map_err(|source| inside.failed(source))?;
        }
        first.get_or_insert_with(|| inside.path().to_owned());
    }
    let system = match target {
        Target::Dagman => {
            emitted::write_dagman(sweep, &mut Folder(folder.path()))?;
            SweepSystem::Dagman
        }
        Target::Pegasus => {
            emitted::write_pegasus(sweep, &mut Folder(folder.path()))?;
            SweepSystem::Pegasus
        }
    };
    let dir = SweepDir::new(folder.path());
    write_text(&dir.spec(), &source.text)?;
    write_text(&dir.list(), &list(source, sweep, system).to_json())?;
    Ok(SweepGenerateResult {
        fedwing_sweep_generate: 1,
        dir: folder.publish()?,
        target,
        points: sweep.points.iter().map(|point| point.name.to_string()).collect(),
        jobs,
        binaries: Bytes(size),
        spec_digest: sweep.digest.to_string(),
        warnings,
    })
}
