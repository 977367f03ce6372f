//! A sweep on this machine: one point after the other, each a run of its own.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{SweepRun, compare, list, source_of};
use crate::{
    check::{Point, Sweep},
    diag::Diagnostics,
    engine::{Message, Observer, Weight},
    ops::{
        DatasetResult, Exit, OperateError, RunRequest, RunResult,
        check::{self, Proven},
        error::OpError,
        report, require_empty,
        run::{absolute, begin, resume as resume_run},
        source::Source,
        write_text,
    },
    plan::Dag,
    record::{self, RunDir, RunOutcome, SweepDir, SweepSystem},
};

/// How a sweep ended on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct SweepResult {
    /// Format version.
    pub fedwing_sweep_run: u32,
    /// The sweep's folder.
    pub dir: PathBuf,
    /// Its points, in order.
    pub points: Vec<PointResult>,
    /// The comparison's HTML file.
    pub report: PathBuf,
    /// Warnings about the specification.
    #[serde(skip)]
    pub warnings: Diagnostics,
}

/// How a point ended.
#[derive(Debug, Clone, Serialize)]
pub struct PointResult {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub state: PointState,
    /// Why it could not be run, where it could not.
    pub problem: Option<String>,
    /// Metrics of each dataset's last round.
    pub results: Vec<DatasetResult>,
}

/// How a point ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// Every job is done.
    Done,
    /// A job failed.
    Failed,
    /// It was stopped.
    Interrupted,
    /// The machine lacks something that it needs.
    Impossible,
    /// It was not begun.
    NotBegun,
}

impl SweepResult {
    /// The exit code that says how it ended.
    pub fn exit(&self) -> Exit {
        let any = |state| self.points.iter().any(|point| point.state == state);
        if any(PointState::Interrupted) || any(PointState::NotBegun) {
            Exit::Interrupted
        } else if any(PointState::Failed) {
            Exit::JobFailed
        } else if any(PointState::Impossible) {
            Exit::Environment
        } else {
            Exit::Done
        }
    }
}

/// Runs every point of a sweep in the folder `dir`, then compares them.
///
/// # Errors
/// [`OpError`] before any point ran; what becomes of points is a result, not an error.
pub fn run<O: Observer>(
    source: &Source,
    sweep: &Sweep,
    warnings: Diagnostics,
    dir: &Path,
    request: &RunRequest,
    watch: impl Fn(&Dag) -> O,
) -> Result<SweepResult, OpError> {
    let sweep_dir = SweepDir::new(absolute(dir)?);
    if sweep_dir.list().exists() {
        return Err(OpError::HoldsRun { path: dir.to_owned() });
    }
    require_empty(sweep_dir.root())?;
    fs::create_dir_all(sweep_dir.root()).map_err(|source| OpError::Write {
        path: dir.to_owned(),
        source,
    })?;
    let list = list(source, sweep, SweepSystem::Local);
    write_text(&sweep_dir.spec(), &source.text)?;
    write_text(&sweep_dir.list(), &list.to_json())?;
    let run = SweepRun { dir: sweep_dir, list };
    every_point(&run, source, sweep, warnings, request, watch)
}

/// Continues a sweep on this machine: what is done stays, what is not is done.
///
/// # Errors
/// [`OpError`] before any point ran; what becomes of points is a result, not an error.
pub fn resume<O: Observer>(
    run: &SweepRun,
    request: &RunRequest,
    watch: impl Fn(&Dag) -> O,
) -> Result<SweepResult, OpError> {
    let copy = run.dir.spec();
    let source = Source::copy(&copy, Path::new(&run.list.source))?;
    let (proven, result) = check::proven(&source)?;
    let Proven::Sweep(sweep) = proven else {
        return Err(OpError::SweepChanged { path: copy });
    };
    if list(&source, &sweep, SweepSystem::Local) != run.list {
        return Err(OpError::SweepChanged { path: copy });
    }
    every_point(run, &source, &sweep, result.diagnostics, request, watch)
}

fn every_point<O: Observer>(
    run: &SweepRun,
    source: &Source,
    sweep: &Sweep,
    warnings: Diagnostics,
    request: &RunRequest,
    watch: impl Fn(&Dag) -> O,
) -> Result<SweepResult, OpError> {
    let held = hold(&run.dir)?;
    let mut points: Vec<PointResult> = Vec::with_capacity(sweep.points.len());
    for (index, point) in sweep.points.iter().enumerate() {
        let place = format!("point {} of {}: {}", index + 1, sweep.points.len(), point.name);
        points.push(one_point(run, &source_of(source, point), point, request, |dag| {
            let mut observer = watch(dag);
            observer.message(&Message {
                weight: Weight::Note,
                text: place.clone(),
            });
            observer
        }));
    }
    // Whoever waits for the end may read the comparison then.
    let problems: Vec<Option<String>> = points.iter().map(|point| point.problem.clone()).collect();
    let comparison = compare(run, &problems)?;
    drop(held);
    Ok(SweepResult {
        fedwing_sweep_run: 1,
        dir: run.dir.root().to_owned(),
        points,
        report: comparison.html,
        warnings,
    })
}

/// Keeps every other process from the sweep as long as the file is open.
fn hold(dir: &SweepDir) -> Result<File, OpError> {
    let path = dir.list();
    let failed = |source: io::Error| OpError::Read {
        path: path.clone(),
        source,
    };
    let file = File::open(&path).map_err(failed)?;
    match record::lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OperateError::InProgress {
            folder: dir.root().to_owned(),
        }
        .into()),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// How far a point's run came before.
enum Before {
    /// Nothing of it is recorded.
    Nothing,
    /// It began, and is not done.
    Begun,
    /// It is done.
    Done,
}

fn before(dir: &RunDir) -> Result<Before, OpError> {
    if fs::metadata(dir.record()).map_or(0, |about| about.len()) == 0 {
        return Ok(Before::Nothing);
    }
    let events = record::read(&dir.record()).map_err(crate::engine::EngineError::from)?;
    let history = record::History::from_events(events);
    Ok(match history.and_then(|history| history.outcome) {
        Some(RunOutcome::Done) => Before::Done,
        Some(RunOutcome::Failed(_) | RunOutcome::Interrupted) | None => Before::Begun,
    })
}

/// Runs, continues or keeps a point. Its failure is no failure of the others.
fn one_point<O: Observer>(
    run: &SweepRun,
    source: &Source,
    point: &Point,
    request: &RunRequest,
    watch: impl FnOnce(&Dag) -> O,
) -> PointResult {
    let folder = run.dir.point(&point.name);
    let dir = RunDir::new(&folder);
    let stopped = request.interrupt.asked() > 0;
    let result = before(&dir).and_then(|before| match before {
        Before::Done => report::report(&folder).map(|made| Some((PointState::Done, report::results(&made)))),
        Before::Nothing | Before::Begun if stopped => Ok(None),
        Before::Begun => resume_run(&folder, request, watch).map(|result| Some(ended(result))),
        Before::Nothing => {
            clear(&folder)?;
            begin(source, &folder, request, watch).map(|result| Some(ended(result)))
        }
    });
    let (state, problem, results) = match result {
        Ok(Some((state, results))) => (state, None, results),
        Ok(None) => (PointState::NotBegun, None, Vec::new()),
        Err(error) => (PointState::Impossible, Some(error.in_a_line()), Vec::new()),
    };
    PointResult {
        name: point.name.to_string(),
        state,
        problem,
        results,
    }
}

fn ended(result: RunResult) -> (PointState, Vec<DatasetResult>) {
    let state = match result.outcome {
        RunOutcome::Done => PointState::Done,
        RunOutcome::Failed(_) => PointState::Failed,
        RunOutcome::Interrupted => PointState::Interrupted,
    };
    (state, result.results)
}

/// Takes away what a point that was killed before its first record left: nothing of it says anything.
fn clear(folder: &Path) -> Result<(), OpError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpError::Write {
            path: folder.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}
