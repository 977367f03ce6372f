//! `fedwing run` and `fedwing resume`: a specification or workflow on this machine, to a report.

use std::{
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    thread,
};

use serde::Serialize;

use super::{
    check::{self, Proven},
    error::{Exit, OpError},
    programs, report,
    source::Source,
    sweep::{self, SweepResult},
    workflow,
};
use crate::{
    diag::Diagnostics,
    engine::{self, Interrupt, Machine, Message, Observer, Options, Origin, Patience, Weight},
    plan::{self, Dag, Program},
    record::{self, Event, RunDir, RunOutcome},
};

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Jobs at once; one per CPU core when not given.
    pub jobs: Option<NonZeroU32>,
    /// How to stop the run from outside.
    pub interrupt: Interrupt,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct RunResult {
    /// Format version.
    pub fedwing_run: u32,
    /// The run's folder.
    pub dir: PathBuf,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The report's HTML file.
    pub report: PathBuf,
    /// Metrics of each dataset's last round.
    pub results: Vec<DatasetResult>,
    /// Warnings about the specification.
    #[serde(skip)]
    pub warnings: Option<Diagnostics>,
}

/// A dataset's last round.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetResult {
    /// The dataset.
    pub dataset: String,
    /// Whether its images are drawn.
    pub synthetic: bool,
    /// The round.
    pub round: u32,
    /// Area under the ROC curve on the test samples; `null` where undefined.
    pub auroc: Option<f64>,
    /// Share of test samples told right.
    pub accuracy: f64,
}

impl RunResult {
    /// The exit code that says how it ended.
    pub fn exit(&self) -> Exit {
        match self.outcome {
            RunOutcome::Done => Exit::Done,
            RunOutcome::Failed(_) => Exit::JobFailed,
            RunOutcome::Interrupted => Exit::Interrupted,
        }
    }
}

/// What the engine needs to know of a specification or workflow.
struct Runnable {
    dag: Dag,
    origin: Origin,
    /// Number of sites that clients' data is at.
    sites: usize,
    warnings: Option<Diagnostics>,
}

/// What running came to.
#[derive(Debug)]
pub enum Ran {
    /// One run.
    One(RunResult),
    /// Those of a sweep.
    Sweep(SweepResult),
}

/// Runs the specification, sweep or workflow at `path` in the folder `dir`, then makes the report.
///
/// # Errors
/// [`OpError`] before any job ran; a job that fails is a result, not an error.
pub fn run<O: Observer>(
    path: &Path,
    dir: &Path,
    request: &RunRequest,
    watch: impl Fn(&Dag) -> O,
) -> Result<Ran, OpError> {
    let source = Source::read(path)?;
    if !source.is_workflow()
        && let (Proven::Sweep(sweep), result) = check::proven(&source)?
    {
        return sweep::run(&source, &sweep, result.diagnostics, dir, request, watch).map(Ran::Sweep);
    }
    begin(&source, dir, request, watch).map(Ran::One)
}

/// Runs the specification or workflow `source` in the folder `dir`, then makes the report.
///
/// # Errors
/// As [`run`].
pub(super) fn begin<O: Observer>(
    source: &Source,
    dir: &Path,
    request: &RunRequest,
    watch: impl FnOnce(&Dag) -> O,
) -> Result<RunResult, OpError> {
    let runnable = prepare(source)?;
    let run_dir = RunDir::new(absolute(dir)?);
    if run_dir.record().exists() {
        return Err(OpError::HoldsRun { path: dir.to_owned() });
    }
    super::require_empty(run_dir.root())?;
    let options = options(&runnable, request)?;
    let write = |source: io::Error| OpError::Write {
        path: dir.to_owned(),
        source,
    };
    fs::create_dir_all(run_dir.root()).map_err(write)?;
    if !source.is_workflow() {
        super::write_text(&run_dir.spec(), &source.text)?;
    }
    let mut observer = watch(&runnable.dag);
    tell_of_sites(&runnable, &mut observer);
    let outcome = engine::run(&runnable.dag, &run_dir, &options, &mut observer);
    if outcome.is_err() && !run_dir.record().exists() {
        // Nothing began: leave the folder as it was, so that the same command works once the cause is mended. What
        // cannot be removed is in nobody's way but the next command's, which says so.
        let _ = fs::remove_file(run_dir.spec()).and_then(|()| fs::remove_dir(run_dir.root()));
    }
    finish(&run_dir, outcome?, runnable.warnings)
}

/// Continues the run on this machine in `dir`, doing again only what is missing or changed, then makes the report.
///
/// # Errors
/// [`OpError`] before any job ran; a job that fails is a result, not an error.
pub fn resume<O: Observer>(
    dir: &Path,
    request: &RunRequest,
    watch: impl FnOnce(&Dag) -> O,
) -> Result<RunResult, OpError> {
    let run_dir = RunDir::new(absolute(dir)?);
    if !run_dir.record().exists() {
        return Err(OpError::HoldsNoRun { path: dir.to_owned() });
    }
    let events = record::read(&run_dir.record()).map_err(engine::EngineError::from)?;
    let Some(Event::RunStarted { source: original, .. }) = events.first() else {
        return Err(OpError::HoldsNoRun { path: dir.to_owned() });
    };
    // A specification is kept in the run's folder; a workflow and its catalogs stay where they are, and are compared.
    let original = Path::new(original);
    let copy = run_dir.spec();
    let source = if copy.exists() {
        Source::copy(&copy, original)?
    } else {
        Source::read(original)?
    };
    let runnable = prepare(&source)?;
    let options = options(&runnable, request)?;
    let mut observer = watch(&runnable.dag);
    tell_of_sites(&runnable, &mut observer);
    let outcome = engine::resume(&runnable.dag, &run_dir, &options, &mut observer)?;
    finish(&run_dir, outcome, runnable.warnings)
}

/// One machine is every site: their folders are looked for here, and their requirements send no job anywhere.
fn tell_of_sites(runnable: &Runnable, observer: &mut impl Observer) {
    if runnable.sites > 0 {
        observer.message(&Message {
            weight: Weight::Note,
            text: format!(
                "all {} sites are this machine: their data folders must be here, their requirements are not looked at",
                runnable.sites
            ),
        });
    }
}

fn prepare(source: &Source) -> Result<Runnable, OpError> {
    let path = source.path.display().to_string();
    if source.is_workflow() {
        let (dag, digest) = workflow::read(source)?;
        let origin = Origin {
            source: path,
            digest,
            synthetic: false,
        };
        return Ok(Runnable {
            dag,
            origin,
            sites: 0,
            warnings: None,
        });
    }
    let (checked, result) = check::accepted(source)?;
    let plan = plan::lower(&checked)?;
    let origin = Origin {
        source: path,
        digest: plan.spec_digest.to_string(),
        synthetic: plan.synthetic,
    };
    Ok(Runnable {
        dag: plan.to_dag(),
        origin,
        sites: checked.sites.len(),
        warnings: Some(result.diagnostics),
    })
}

fn options(runnable: &Runnable, request: &RunRequest) -> Result<Options, OpError> {
    let ours = runnable
        .dag
        .jobs
        .iter()
        .any(|job| matches!(job.program, Program::Ours(_)));
    let programs = if ours {
        programs::find()?
    } else {
        Default::default()
    };
    let slots = request.jobs.unwrap_or_else(cores);
    Ok(Options {
        origin: runnable.origin.clone(),
        machine: Machine::here(slots),
        programs,
        patience: Patience::default(),
        interrupt: request.interrupt.clone(),
    })
}

fn finish(dir: &RunDir, outcome: RunOutcome, warnings: Option<Diagnostics>) -> Result<RunResult, OpError> {
    let made = report::report(dir.root())?;
    Ok(RunResult {
        fedwing_run: 1,
        dir: dir.root().to_owned(),
        outcome,
        results: report::results(&made),
        report: made.html,
        warnings,
    })
}

pub(super) fn absolute(dir: &Path) -> Result<PathBuf, OpError> {
    std::path::absolute(dir).map_err(|source| OpError::Write {
        path: dir.to_owned(),
        source,
    })
}

/// CPU cores this process may use.
fn cores() -> NonZeroU32 {
    let cores = thread::available_parallelism()
        .ok()
        .and_then(|n| NonZeroU32::try_from(n).ok());
    cores.unwrap_or(NonZeroU32::MIN)
}
