//! What a run tells while it runs. The record is the truth; this is for whoever watches.

use std::time::Duration;

use contract::{job::Failure, units::Bytes};

use crate::{
    plan::Label,
    record::{Outcome, RunOutcome},
};

/// Watches a run. Every method does nothing unless implemented; `()` watches nothing.
///
/// Called from the thread that runs the engine, between starting and waiting for jobs: return quickly.
pub trait Observer {
    /// The run begins or continues.
    fn run_started(&mut self, totals: &Totals) {
        let _ = totals;
    }

    /// A job that was done before this start is kept; `job.attempt` is the one that did it.
    fn job_kept(&mut self, job: &JobView<'_>) {
        let _ = job;
    }

    /// A job's process started.
    fn job_started(&mut self, job: &JobView<'_>) {
        let _ = job;
    }

    /// An attempt at a job ended.
    fn job_ended(&mut self, job: &JobView<'_>, end: &JobEnd<'_>) {
        let _ = (job, end);
    }

    /// Something a person should know.
    fn message(&mut self, message: &Message) {
        let _ = message;
    }

    /// The run ended.
    fn run_ended(&mut self, outcome: &RunOutcome) {
        let _ = outcome;
    }
}

impl Observer for () {}

/// The size of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Jobs of the graph.
    pub jobs: u64,
    /// Jobs that were done before this start and stay so.
    pub kept: u64,
    /// Jobs at once.
    pub slots: u32,
}

/// A job, as watchers see it.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    /// Its name.
    pub id: &'a str,
    /// What it is about.
    pub label: &'a Label,
    /// The attempt, counted from 1 over all continuations of the run.
    pub attempt: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub struct JobEnd<'a> {
    /// How.
    pub outcome: &'a Outcome,
    /// Elapsed time.
    pub wall: Duration,
    /// User and system CPU time.
    pub cpu: Duration,
    /// Largest resident memory.
    pub peak_memory: Bytes,
    /// The job's own account, when it failed and left one.
    pub failure: Option<&'a Failure>,
    /// What happens next.
    pub next: Next,
}

/// What happens after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The job is done.
    Settled,
    /// It is tried again after this wait.
    Retry(Duration),
    /// It failed; what depends on it does not run.
    GivenUp,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub weight: Weight,
    /// One sentence.
    pub text: String,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know.
    Note,
    /// Perhaps not what was meant.
    Warning,
    /// Why the run stops or a job failed.
    Error,
}
