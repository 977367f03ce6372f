//! What is known of a run, whoever runs it.

use std::{path::PathBuf, sync::Arc};

use super::{
    event_log::{Ending, Hold, QueueId, Used},
    nodes::NodeState,
};
use crate::record::{FileFact, Outcome, Stamp};

/// A run as its own files tell it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Who runs it.
    pub system: System,
    /// The experiment or workflow.
    pub name: String,
    /// How far it is.
    pub phase: Phase,
    /// When it was started, each time.
    pub starts: Vec<Stamp>,
    /// When it ended last.
    pub ended: Option<Stamp>,
    /// Its jobs, by name.
    pub jobs: Vec<Job>,
    /// Jobs that are not begun and of which nothing else is known.
    pub unnamed: u64,
    /// Lines and events of its files that could not be read.
    pub unreadable: u64,
}

/// Who runs a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The engine of this program, on one machine.
    Local,
    /// HTCondor's DAGMan.
    Dagman,
    /// DAGMan, with a workflow that Pegasus planned.
    Pegasus,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was not submitted yet.
    NotSubmitted,
    /// It is submitted; nobody works on it yet.
    Waiting,
    /// Its jobs are worked on.
    Running,
    /// Every job is done.
    Done,
    /// Jobs failed, and nothing more can be done.
    Failed,
    /// It was stopped; it can be continued.
    Stopped,
    /// It has no end, and nobody works on it.
    Dead,
}

/// One job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, unique within the run.
    pub name: String,
    /// The kind of job.
    pub kind: String,
    /// The dataset, where known.
    pub dataset: Option<String>,
    /// The round, for jobs of a round.
    pub round: Option<u32>,
    /// The client, for jobs of a client.
    pub client: Option<u32>,
    /// The files it is to write, by logical name.
    pub outputs: Vec<String>,
    /// Whose job it is.
    pub role: Role,
    /// How far it is.
    pub state: NodeState,
    /// Every try, in order.
    pub attempts: Vec<Try>,
    /// Why it failed, where whoever runs it said so.
    pub error: Option<String>,
}

/// Whose job a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One of the workflow's own.
    Work,
    /// One that a planner put around them: transfers, folders, clean-up.
    Auxiliary,
    /// None: a node that is there for its script.
    Script,
    /// A workflow inside the workflow.
    SubWorkflow,
}

impl Role {
    /// Whether it is a job of its own in the queue.
    pub fn is_job(self) -> bool {
        matches!(self, Self::Work | Self::Auxiliary)
    }
}

/// One try at a job.
#[derive(Debug, Clone)]
pub struct Try {
    /// Its id in the queue, on a pool.
    pub queue: Option<QueueId>,
    /// What it was submitted by, on a pool.
    pub submit: Option<Arc<Submit>>,
    /// When it was submitted.
    pub submitted: Stamp,
    /// When its process started; none if it never did.
    pub started: Option<Stamp>,
    /// When it ended; none while it does not.
    pub ended: Option<Stamp>,
    /// Where it ran.
    pub host: Option<String>,
    /// Since when it is in its present state.
    pub since: Stamp,
    /// Why it is, or last was, held.
    pub hold: Option<Hold>,
    /// Whether it is out of reach at present.
    pub out_of_reach: bool,
    /// How the job's process ended; none where it was removed or still runs.
    pub ending: Option<Ending>,
    /// How the post script that judges it ended.
    pub post: Option<Ending>,
    /// Why it was removed from the queue.
    pub removed: Option<String>,
    /// Whether it did the job.
    pub succeeded: bool,
    /// Whether it was removed because the run was stopped.
    pub stopped: bool,
    /// What it used.
    pub used: Used,
    /// How often it lost its machine.
    pub evictions: u32,
    /// The record's own account, for runs that write one.
    pub recorded: Option<Recorded>,
}

/// What a job on a pool was submitted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// The submit file.
    pub file: PathBuf,
    /// The folder that names in it are relative to.
    pub from: PathBuf,
}

/// What a record says of a try.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// How it ended.
    pub outcome: Outcome,
    /// What it left.
    pub outputs: Vec<FileFact>,
    /// The job's own words, when it failed and left some.
    pub message: Option<String>,
}

impl Observed {
    /// The workflow's own jobs.
    pub fn work(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.role == Role::Work)
    }

    /// When it was started first.
    pub fn started(&self) -> Option<Stamp> {
        self.starts.first().copied()
    }
}

impl Job {
    /// The latest try.
    pub fn last(&self) -> Option<&Try> {
        self.attempts.last()
    }
}

impl Phase {
    /// Whether it will not change by itself.
    pub fn is_over(self) -> bool {
        match self {
            Self::NotSubmitted | Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Stopped | Self::Dead => true,
        }
    }
}
