//! `fedwing calibrate`: a pool file from a run.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use contract::{
    dataset::DatasetStats,
    job::{Usage, read_json},
    names::Names,
};

use super::{
    check,
    error::OpError,
    operate::{Found, Observer, OperateError},
    source::Source,
};
use crate::{
    check::{Checked, Layout},
    estimate::{Known, Samples, Sizes, Target},
    evidence::{Job, Observed, Output, System, Try, read_text},
    plan::{self, Place, Plan},
    record::RunDir,
    simulate::{Calibrated, Tried, Work, begins_of_dags, calibrate as calibrated, kind},
};

/// The largest log of a job that is read for what it used.
const MAX_LOG: u64 = 1 << 20;

/// The largest statistics read.
const MAX_STATS: u64 = 64 << 20;

/// A pool file made from a run.
#[derive(Debug, Clone)]
pub struct CalibrateResult {
    /// The pool file's text.
    pub text: String,
    /// What could not be measured.
    pub notes: Vec<String>,
}

/// Derives a pool file from the run in `dir`, whose specification lies beside it.
///
/// # Errors
/// [`OpError::HoldsNoRun`]; [`OperateError::NotSubmitted`] where no job has ended yet; the run's files or its specification
/// cannot be read.
pub fn calibrate(dir: &Path) -> Result<CalibrateResult, OpError> {
    let mut observer = Observer::new(Found::at(dir)?)?;
    let observed = observer.look()?;
    let run_dir = observer.run_dir();
    let (checked, _) = check::accepted(&Source::read(&run_dir.spec())?)?;
    let plan = plan::lower(&checked)?;
    let known = known(&run_dir, &checked);
    let sizes = Sizes::new(&checked, &known);
    let run = Run {
        observed: &observed,
        jobs: observed.work().map(|job| (job.name.as_str(), job)).collect(),
        logs: run_dir.logs(),
        plan: &plan,
        layout: checked.execution.layout,
        sizes: &sizes,
    };
    let tries = run.tries();
    if tries.is_empty() {
        return Err(OperateError::NotSubmitted {
            folder: run_dir.root().to_owned(),
        }
        .into());
    }
    let Calibrated { pool, mut notes } = calibrated(&run.about(tries.len()), &tries);
    if known.samples.is_empty() {
        notes.extend(
            sizes
                .assumptions()
                .iter()
                .map(|assumption| format!("assumed: {assumption}")),
        );
    }
    Ok(CalibrateResult {
        text: pool.to_yaml(&notes),
        notes,
    })
}

/// What the run in `dir` knows of its data: the samples that `stats` jobs counted.
pub(super) fn known(dir: &RunDir, checked: &Checked) -> Known {
    let mut known = Known::default();
    for dataset in &checked.datasets {
        let names = Names {
            experiment: &checked.name,
            dataset: &dataset.config.dataset,
        };
        let path = dir.files().join(names.stats().as_str());
        // Statistics that are not there yet leave the numbers assumed, and the result says so.
        if let Ok(stats) = read_json::<DatasetStats>(&path, MAX_STATS) {
            let samples = Samples::counted(&stats);
            known.samples.insert(dataset.config.dataset.clone(), samples);
        }
    }
    known
}

struct Run<'a> {
    observed: &'a Observed,
    jobs: HashMap<&'a str, &'a Job>,
    logs: PathBuf,
    plan: &'a Plan,
    layout: Layout,
    sizes: &'a Sizes,
}

impl<'a> Run<'a> {
    fn about(&self, jobs: usize) -> String {
        let system = match self.observed.system {
            System::Local => "on one machine",
            System::Dagman => "by DAGMan",
            System::Pegasus => "by Pegasus",
        };
        format!("From {jobs} jobs of a run of `{}` {system}", self.observed.name)
    }

    fn target(&self) -> Target {
        match self.observed.system {
            System::Pegasus => Target::Pegasus,
            System::Local | System::Dagman => Target::Dagman,
        }
    }

    /// Every job of the plan that ended well at its first try: others waited for what no pool file tells.
    fn tries(&self) -> Vec<Tried<'a>> {
        let begun = self.observed.started().map_or(0.0, |at| at.0 as f64 / 1e3);
        let layout = match self.observed.system {
            System::Local => Layout::Flat,
            System::Dagman | System::Pegasus => self.layout,
        };
        let begins = begins_of_dags(self.plan, layout);
        let ends: Vec<Option<f64>> = self
            .plan
            .jobs
            .iter()
            .map(|planned| Some(self.only_try(&planned.id.0)?.1.ended?.0 as f64 / 1e3))
            .collect();
        let ready = |parents: &[u32]| -> Option<f64> {
            let ends: Option<Vec<f64>> = parents.iter().map(|parent| ends[*parent as usize]).collect();
            Some(ends?.into_iter().fold(begun, f64::max))
        };
        let tried = |(index, planned): (usize, &'a plan::PlannedJob)| {
            let (job, attempt) = self.only_try(&planned.id.0)?;
            let (begins_dag, ready) = match &begins[index] {
                Some(outside) => (true, ready(outside)?),
                None => (false, ready(self.plan.edges().after(index))?),
            };
            Some(Tried {
                kind: kind(planned),
                host: match planned.place {
                    Place::SubmitHost => None,
                    Place::Anywhere | Place::Site(_) => Some(attempt.host.as_deref().unwrap_or("here")),
                },
                site: planned.site().map(|site| site.name.as_str()),
                ready,
                begins_dag,
                nested: layout != Layout::Flat && planned.stage.round.is_some_and(|round| round.0 > 0),
                submitted: match self.observed.system {
                    // There is no queue: a job that could start and did not waited for a slot.
                    System::Local => ready,
                    System::Dagman | System::Pegasus => attempt.submitted.0 as f64 / 1e3,
                },
                started: attempt.started?.0 as f64 / 1e3,
                ended: attempt.ended?.0 as f64 / 1e3,
                executed: self.executed(job, attempt),
                work: Work::of(planned, self.sizes, self.target()),
            })
        };
        self.plan.jobs.iter().enumerate().filter_map(tried).collect()
    }

    fn only_try(&self, job: &str) -> Option<(&'a Job, &'a Try)> {
        let job = *self.jobs.get(job)?;
        match job.attempts.as_slice() {
            [only] if only.succeeded => Some((job, only)),
            _ => None,
        }
    }

    /// Seconds that the job's process ran, by its own account or that of what started it.
    fn executed(&self, job: &Job, attempt: &Try) -> Option<f64> {
        match self.observed.system {
            System::Local => Some((attempt.ended?.0.saturating_sub(attempt.started?.0)) as f64 / 1e3),
            System::Pegasus => Output::of(System::Pegasus, job, attempt).invocation?.duration_s,
            System::Dagman => {
                let path = self.logs.join(format!("{}.out", job.name));
                let text = read_text(&path, MAX_LOG).ok().flatten()?;
                let usage: Usage = serde_json::from_str(text.lines().next_back()?).ok()?;
                Some(usage.wall_s)
            }
        }
    }
}
