//! What a plan is.
//!
//! [`Parts`] are what a planner puts together, a [`Plan`] is parts whose files are proven: only [`Plan::prove`] makes one.

use std::{fmt, ops::Deref, sync::Arc};

use contract::{
    args::Job,
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    names::FileName,
};

use super::{Edges, PlanError, edges};
use crate::check::{Layout, Request, Site};

/// Parts with their proof: one writer per file, no cycle, every read file written or given. Reads as its [`Parts`].
#[derive(Debug, Clone)]
pub struct Plan {
    parts: Parts,
    edges: Edges,
}

impl Plan {
    /// Proves `parts`.
    ///
    /// # Errors
    /// [`PlanError`] at the first rule they break.
    pub fn prove(parts: Parts) -> Result<Self, PlanError> {
        let edges = edges::prove(&parts)?;
        Ok(Self { parts, edges })
    }

    /// For each job, the jobs it reads from.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }
}

impl Deref for Plan {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Every job and file of an experiment.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The experiment.
    pub experiment: ExperimentName,
    /// SHA-256 of the specification.
    pub spec_digest: SpecDigest,
    /// Whether any dataset is synthetic.
    pub synthetic: bool,
    /// The federated algorithm's word in the specification.
    pub algorithm: &'static str,
    /// Number of rounds.
    pub rounds: u32,
    /// How the plan becomes workflows.
    pub layout: Layout,
    /// Attempts after the first, for every job.
    pub retries: u32,
    /// The jobs, each after the jobs it reads from.
    pub jobs: Vec<PlannedJob>,
    /// Files whose content the plan knows.
    pub statics: Vec<StaticFile>,
    /// The weights file to start from, if any.
    pub weights: Option<WeightsFile>,
}

impl Parts {
    /// The sites that jobs run at, each once, in the order of the jobs; empty when all data is in one place.
    pub fn sites(&self) -> Vec<&Site> {
        let mut sites: Vec<&Site> = Vec::new();
        for site in self.jobs.iter().filter_map(PlannedJob::site) {
            if sites.iter().all(|known| known.name != site.name) {
                sites.push(site);
            }
        }
        sites
    }

    /// How urgent `planned` is, where a system knows priorities: what a round waits for comes first, earlier rounds before
    /// later ones, so that no dataset's federation falls behind another's; then what nothing waits for, with 0.
    pub fn priority(&self, planned: &PlannedJob) -> u32 {
        match &planned.job {
            Job::Prepare(_)
            | Job::Init(_)
            | Job::Keys(_)
            | Job::Train(_)
            | Job::TrainClients(_)
            | Job::Partial(_)
            | Job::Reveal(_)
            | Job::Aggregate(_)
            | Job::Broadcast(_) => {
                let round = planned.stage.round.unwrap_or(Round(0));
                self.rounds.saturating_sub(round.0) + 1
            }
            Job::Profile(_) | Job::Stats(_) | Job::Evaluate(_) | Job::Baseline(_) => 0,
        }
    }
}

/// A job's name in workflows, records and logs: starts with a letter, unique within the experiment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub Arc<str>);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A job of the plan.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// Its name.
    pub id: JobId,
    /// What it runs, with typed arguments; declared inputs and outputs come from them.
    pub job: Job,
    /// Where in the experiment it stands.
    pub stage: Stage,
    /// What it asks its machine for.
    pub request: Request,
    /// Where it runs.
    pub place: Place,
    /// Absolute paths it reads in place, where the data lives.
    pub in_place: Vec<String>,
    /// Absolute path of the program it runs, where its site keeps a copy; the program comes with the job when none.
    pub program: Option<Arc<str>>,
}

impl PlannedJob {
    /// The site it runs at, if any.
    pub fn site(&self) -> Option<&Site> {
        match &self.place {
            Place::Site(site) => Some(site),
            Place::SubmitHost | Place::Anywhere => None,
        }
    }
}

/// Where a job runs; on one machine, all are one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Where the workflow is submitted and files between jobs lie.
    SubmitHost,
    /// On any machine of the pool.
    Anywhere,
    /// On a machine of a site, where it reads what is kept there.
    Site(Arc<Site>),
}

/// Where in the experiment a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The dataset.
    pub dataset: DatasetName,
    /// The round, for jobs of a round.
    pub round: Option<Round>,
    /// The client, for jobs of a client.
    pub client: Option<ClientId>,
}

/// A file whose content the plan knows.
#[derive(Debug, Clone)]
pub struct StaticFile {
    /// Its logical name.
    pub name: FileName,
    /// Its content.
    pub content: String,
}

/// The weights the initial model starts from.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    /// Its logical name.
    pub name: FileName,
    /// Where it is, absolute.
    pub path: String,
}
