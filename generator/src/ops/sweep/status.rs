//! How far a sweep is: each point as a run of its own.

use std::path::PathBuf;

use serde::Serialize;

use super::SweepRun;
use crate::{
    ops::{
        Counts, Exit, OpError, RunState, Status,
        check::{self, Proven},
        operate::{self, Found, Observer, PoolDir, RunWatch},
        source::Source,
    },
    plan,
    record::{RunDir, SweepSystem},
};

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepStatus {
    /// Format version.
    pub fedwing_sweep_status: u32,
    /// The sweep's folder.
    pub dir: PathBuf,
    /// The experiment.
    pub name: String,
    /// Who runs it.
    pub system: SweepSystem,
    /// How far it is.
    pub state: RunState,
    /// The jobs of all points.
    pub jobs: Counts,
    /// Its points, in order.
    pub points: Vec<PointStatus>,
}

/// How far a point is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointStatus {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: RunState,
    /// Seconds from its start to its end, or to now while it goes on.
    pub elapsed_s: f64,
    /// Its jobs.
    pub jobs: Counts,
    /// Each dataset's last round that is evaluated.
    pub rounds: Vec<operate::RoundStatus>,
    /// Its jobs that failed for good, by name.
    pub failed: Vec<String>,
}

impl SweepStatus {
    /// The exit code that says how the sweep ended; [`Exit::Done`] while it goes on.
    pub fn exit(&self) -> Exit {
        self.state.exit()
    }
}

/// A sweep that is watched.
#[derive(Debug)]
pub struct SweepWatch {
    run: SweepRun,
    points: Vec<WatchedPoint>,
    /// DAGMan's run of all points.
    whole: Option<Box<Observer>>,
}

#[derive(Debug)]
struct WatchedPoint {
    name: String,
    folder: PathBuf,
    /// Jobs it has, where nothing but its specification says so.
    planned: u64,
    watch: Option<RunWatch>,
}

impl SweepWatch {
    /// Begins to watch a sweep.
    ///
    /// # Errors
    /// A file of the sweep cannot be read.
    pub fn new(run: SweepRun) -> Result<Self, OpError> {
        let planned = planned(&run);
        let points = run.list.points.iter().zip(run.folders()).enumerate();
        let points = points.map(|(index, (point, folder))| WatchedPoint {
            name: point.name.to_string(),
            folder,
            planned: planned.get(index).copied().unwrap_or(0),
            watch: None,
        });
        let whole = match run.dag() {
            Some(dag) => {
                let dir = PoolDir::of_dag(run.dir.root().to_owned(), dag);
                Some(Box::new(Observer::new(Found::Pool(dir))?))
            }
            None => None,
        };
        Ok(Self {
            points: points.collect(),
            run,
            whole,
        })
    }

    /// How far the sweep is now; reads only what is new.
    ///
    /// # Errors
    /// A file of the sweep cannot be read.
    pub fn look(&mut self) -> Result<SweepStatus, OpError> {
        let points: Vec<PointStatus> = self
            .points
            .iter_mut()
            .map(WatchedPoint::look)
            .collect::<Result<_, _>>()?;
        let state = match &mut self.whole {
            Some(whole) => whole.look()?.phase.into(),
            None => state(&self.run, &points),
        };
        let mut jobs = Counts::default();
        points.iter().for_each(|point| jobs.add_all(&point.jobs));
        Ok(SweepStatus {
            fedwing_sweep_status: 1,
            dir: self.run.dir.root().to_owned(),
            name: self.run.list.experiment.to_string(),
            system: self.run.list.system,
            state,
            jobs,
            points,
        })
    }
}

impl WatchedPoint {
    fn look(&mut self) -> Result<PointStatus, OpError> {
        if self.watch.is_none() && self.is_there() {
            self.watch = Some(RunWatch::new(&self.folder)?);
        }
        let name = self.name.clone();
        Ok(match &mut self.watch {
            Some(watch) => of_run(name, watch.look()?),
            None => PointStatus {
                name,
                state: RunState::NotSubmitted,
                elapsed_s: 0.0,
                jobs: Counts {
                    total: self.planned,
                    unready: self.planned,
                    ..Counts::default()
                },
                rounds: Vec::new(),
                failed: Vec::new(),
            },
        })
    }

    /// Whether there is something to watch: a record with a line in it, or a workflow.
    fn is_there(&self) -> bool {
        let record = std::fs::metadata(RunDir::new(&self.folder).record());
        match record {
            Ok(about) => about.len() > 0,
            Err(_) => Found::at(&self.folder).is_ok(),
        }
    }
}

fn of_run(name: String, status: Status) -> PointStatus {
    let evaluated = status.rounds.into_iter().filter(|round| round.accuracy.is_some());
    let mut rounds: Vec<operate::RoundStatus> = Vec::new();
    for round in evaluated {
        match rounds.last_mut().filter(|last| last.dataset == round.dataset) {
            Some(last) => *last = round,
            None => rounds.push(round),
        }
    }
    PointStatus {
        name,
        state: status.state,
        elapsed_s: status.elapsed_s,
        jobs: status.jobs,
        rounds,
        failed: status.failed.into_iter().map(|failed| failed.job).collect(),
    }
}

/// How far a sweep is whose points nobody runs together but this program, or an ensemble.
fn state(run: &SweepRun, points: &[PointStatus]) -> RunState {
    let any = |state| points.iter().any(|point| point.state == state);
    let every = |state| points.iter().all(|point| point.state == state);
    let works = match run.list.system {
        SweepSystem::Local => operate::holder(&run.dir.list()).is_some(),
        SweepSystem::Pegasus | SweepSystem::Dagman => any(RunState::Running) || any(RunState::Waiting),
    };
    let says = |file: &str| run.dir.root().join(file).exists();
    let handed_over = says(super::operate::HANDED_OVER);
    if works {
        RunState::Running
    } else if every(RunState::Done) {
        RunState::Done
    } else if any(RunState::Stopped) || says(super::operate::PAUSED) {
        RunState::Stopped
    } else if any(RunState::Dead) {
        RunState::Dead
    } else if any(RunState::NotSubmitted) {
        match run.list.system {
            // It came to its end, and these points could not be run.
            SweepSystem::Local if run.dir.report().exists() => RunState::Failed,
            // Whoever worked on it was killed between two points.
            SweepSystem::Local => RunState::Dead,
            SweepSystem::Pegasus | SweepSystem::Dagman if handed_over => RunState::Waiting,
            SweepSystem::Pegasus | SweepSystem::Dagman => RunState::NotSubmitted,
        }
    } else {
        RunState::Failed
    }
}

/// How many jobs each point has, by its specification; nothing where that is gone or changed.
fn planned(run: &SweepRun) -> Vec<u64> {
    let jobs = || {
        let source = Source::copy(&run.dir.spec(), run.list.source.as_ref()).ok()?;
        let (Proven::Sweep(sweep), _) = check::proven(&source).ok()? else {
            return None;
        };
        let points = sweep.points.iter().map(|point| {
            let (checked, _) = check::accepted(&super::source_of(&source, point)).ok()?;
            Some(plan::lower(&checked).ok()?.jobs.len() as u64)
        });
        points.collect::<Option<Vec<u64>>>()
    };
    match run.list.system {
        // A pool's workflows say it themselves.
        SweepSystem::Pegasus | SweepSystem::Dagman => Vec::new(),
        SweepSystem::Local => jobs().unwrap_or_default(),
    }
}
