//! Looks at a run, again and again.

use std::path::{Path, PathBuf};

use super::{
    error::OperateError,
    find::{Found, PoolDir},
    live::{self, Liveness},
};
use crate::{
    evidence::{Follow, LocalJob, LocalRun, Observed, Phase, PoolRun, manifest::ManifestJob},
    ops::{OpError, check, source::Source, workflow},
    plan::{self, Dag},
    record::RunDir,
};

/// A run that is looked at; each look reads only what is new.
#[derive(Debug)]
pub struct Observer {
    run: Run,
}

#[derive(Debug)]
enum Run {
    Local(RunDir, LocalRun),
    Pool(PoolDir, Option<Box<(PoolRun, Liveness)>>),
}

impl Observer {
    /// Begins to look at what was found.
    ///
    /// # Errors
    /// A file of the run cannot be read.
    pub fn new(found: Found) -> Result<Self, OpError> {
        let run = match found {
            Found::Local(dir) => {
                let local = LocalRun::open(&dir.record(), planned(&dir));
                Run::Local(dir, local)
            }
            Found::Pool(dir) => {
                let pool = open_pool(&dir)?;
                Run::Pool(dir, pool)
            }
        };
        Ok(Self { run })
    }

    /// The run's folder.
    pub fn root(&self) -> &Path {
        match &self.run {
            Run::Local(dir, _) => dir.root(),
            Run::Pool(dir, _) => &dir.root,
        }
    }

    /// Where the run's files are.
    pub fn run_dir(&self) -> RunDir {
        match &self.run {
            Run::Local(dir, _) => dir.clone(),
            Run::Pool(dir, _) => dir.run_dir(),
        }
    }

    /// The DAG of a run on a pool, as far as it is known.
    pub fn dag(&self) -> Option<&Follow> {
        match &self.run {
            Run::Local(..) => None,
            Run::Pool(_, pool) => pool.as_ref().map(|pool| pool.0.dag()),
        }
    }

    /// Reads what is new; what is known of the run then.
    ///
    /// # Errors
    /// A file of the run cannot be read.
    pub fn look(&mut self) -> Result<Observed, OpError> {
        match &mut self.run {
            Run::Local(dir, local) => {
                local.refresh().map_err(|source| OperateError::Read {
                    path: dir.record(),
                    source,
                })?;
                let engine = live::engine(&dir.record());
                local.observed(engine).ok_or_else(|| OpError::HoldsNoRun {
                    path: dir.root().to_owned(),
                })
            }
            Run::Pool(dir, pool) => {
                if pool.is_none() {
                    *pool = open_pool(dir)?;
                }
                match pool.as_deref_mut() {
                    Some((run, liveness)) => Ok(look_at_pool(run, liveness)?),
                    None => Ok(not_planned(dir)),
                }
            }
        }
    }
}

fn look_at_pool(run: &mut PoolRun, liveness: &mut Liveness) -> Result<Observed, OperateError> {
    run.refresh()?;
    let mut observed = run.observed();
    let dag: PathBuf = run.dag().path().to_owned();
    observed.phase = liveness.phase(&dag, run.dag().nodes(), observed.phase);
    Ok(observed)
}

/// A workflow that Pegasus has not planned.
fn not_planned(dir: &PoolDir) -> Observed {
    Observed {
        system: dir.system,
        name: dir.name(),
        phase: Phase::NotSubmitted,
        starts: Vec::new(),
        ended: None,
        jobs: Vec::new(),
        unnamed: 0,
        unreadable: 0,
    }
}

fn open_pool(dir: &PoolDir) -> Result<Option<Box<(PoolRun, Liveness)>>, OperateError> {
    let Some(dag) = &dir.dag else { return Ok(None) };
    let run = PoolRun::open(dir.system, &dir.name(), dag, &dir.manifest())?;
    Ok(Some(Box::new((run, Liveness::default()))))
}

/// The jobs of a local run, from its specification or the workflow it was started from; none where that is gone or
/// changed, and only what is recorded can be told.
fn planned(dir: &RunDir) -> Vec<LocalJob> {
    let dag = dag_of_spec(dir).or_else(|| dag_of_workflow(dir));
    let Some(dag) = dag else { return Vec::new() };
    let jobs = dag.jobs.iter().map(|job| LocalJob {
        about: ManifestJob {
            job: job.id.to_string(),
            kind: job.label.kind.to_string(),
            dataset: job.label.dataset.as_deref().map(str::to_owned),
            round: job.label.round,
            client: job.label.client,
            outputs: job.outputs.iter().map(|file| file.as_str().to_owned()).collect(),
        },
        retries: job.retries,
        after: job.after.clone(),
    });
    jobs.collect()
}

fn dag_of_spec(dir: &RunDir) -> Option<Dag> {
    let source = Source::read(&dir.spec()).ok()?;
    let (checked, _) = check::accepted(&source).ok()?;
    Some(plan::lower(&checked).ok()?.to_dag())
}

fn dag_of_workflow(dir: &RunDir) -> Option<Dag> {
    let mut run = LocalRun::open(&dir.record(), Vec::new());
    run.refresh().ok()?;
    let source = Source::read(Path::new(&run.history()?.run.source)).ok()?;
    source
        .is_workflow()
        .then(|| workflow::read(&source).ok())
        .flatten()
        .map(|(dag, _)| dag)
}
