//! How far a run is, in numbers and names.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use super::rounds::Scores;
use crate::{
    evidence::{self, Job, NodeState, Observed, Output, Phase, Role, System, Try},
    ops::Exit,
    record::{Outcome, Stamp},
};

/// Failed jobs whose logs are read for their last words.
const MOST_READ: usize = 200;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Format version.
    pub fedwing_status: u32,
    /// The run's folder.
    pub dir: PathBuf,
    /// The experiment or workflow.
    pub name: String,
    /// Who runs it.
    pub system: SystemName,
    /// How far it is.
    pub state: RunState,
    /// When it was started first, in milliseconds since 1970 UTC.
    pub started_unix_ms: Option<u64>,
    /// Seconds from then to its end, or to now while it goes on.
    pub elapsed_s: f64,
    /// How often it was continued.
    pub resumed: u64,
    /// The workflow's own jobs.
    pub jobs: Counts,
    /// Jobs that a planner put around them.
    pub auxiliary: Counts,
    /// Tries after the first, of all jobs.
    pub retries: u64,
    /// How often a job lost its machine.
    pub machines_lost: u64,
    /// The workflow's own jobs by kind, in the order of names.
    pub kinds: Vec<KindStatus>,
    /// Jobs of rounds, by dataset and round.
    pub rounds: Vec<RoundStatus>,
    /// Jobs that wait for somebody to release them.
    pub held: Vec<HeldJob>,
    /// Jobs that failed for good.
    pub failed: Vec<FailedJob>,
    /// Lines and events of the run's files that could not be read.
    pub unreadable: u64,
}

/// Who runs a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemName {
    /// This machine.
    Local,
    /// HTCondor's DAGMan.
    Dagman,
    /// Pegasus.
    Pegasus,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Nobody started it.
    NotSubmitted,
    /// It is submitted and not begun.
    Waiting,
    /// It goes on.
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

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Wait for others.
    pub unready: u64,
    /// Could start, or be tried again.
    pub ready: u64,
    /// Have a pre script running.
    pub pre_script: u64,
    /// Wait for a machine.
    pub queued: u64,
    /// Run.
    pub running: u64,
    /// Are held.
    pub held: u64,
    /// Have a post script running.
    pub post_script: u64,
    /// Are done.
    pub done: u64,
    /// Failed for good.
    pub failed: u64,
    /// Wait for one that failed.
    pub futile: u64,
}

/// The jobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindStatus {
    /// The kind.
    pub kind: String,
    /// Its jobs.
    pub jobs: Counts,
}

/// The jobs of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundStatus {
    /// The dataset.
    pub dataset: String,
    /// The round.
    pub round: u32,
    /// Its jobs.
    pub jobs: Counts,
    /// Area under the ROC curve on the test samples; `null` before it is known and where it is undefined.
    pub auroc: Option<f64>,
    /// Share of test samples told right; `null` before it is known.
    pub accuracy: Option<f64>,
    /// Whether these rest on drawn images; `null` before they are known.
    pub synthetic: Option<bool>,
}

/// A job that waits for somebody to release it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldJob {
    /// The job.
    pub job: String,
    /// Why, in HTCondor's words.
    pub reason: String,
    /// HTCondor's code.
    pub code: Option<i32>,
    /// What the code leaves open.
    pub subcode: Option<i32>,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: u64,
}

/// A job that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedJob {
    /// The job.
    pub job: String,
    /// How often it was tried.
    pub tries: u64,
    /// How it ended, as the end of a sentence that begins with the job.
    pub ended: String,
    /// Its own last words.
    pub message: Option<String>,
    /// Where more of them are.
    pub log: Option<PathBuf>,
}

impl Status {
    /// The format version this code writes.
    pub const VERSION: u32 = 1;

    /// What `observed` comes to at `now`.
    pub fn of(observed: &Observed, dir: PathBuf, scores: &Scores, now: Stamp) -> Self {
        let mut work = counts(observed.work());
        let around = |job: &&Job| matches!(job.role, Role::Auxiliary | Role::Script);
        work.total += observed.unnamed;
        work.unready += observed.unnamed;
        let tries = || observed.jobs.iter().filter(|job| job.role.is_job());
        let retries = tries().map(|job| job.attempts.iter().filter(|attempt| is_over(attempt)).count());
        let until = if observed.phase.is_over() {
            observed.ended.unwrap_or(now)
        } else {
            now
        };
        let started = observed.started();
        Self {
            fedwing_status: Self::VERSION,
            dir,
            name: observed.name.clone(),
            system: observed.system.into(),
            state: observed.phase.into(),
            started_unix_ms: started.map(|at| at.0),
            elapsed_s: started.map_or(0.0, |at| until.0.saturating_sub(at.0) as f64 / 1000.0),
            resumed: observed.starts.len().saturating_sub(1) as u64,
            jobs: work,
            auxiliary: counts(observed.jobs.iter().filter(around)),
            retries: retries.map(|failed| failed as u64).sum(),
            machines_lost: tries()
                .flat_map(|job| &job.attempts)
                .map(|attempt| u64::from(attempt.evictions))
                .sum(),
            kinds: kinds(observed),
            rounds: rounds(observed, scores),
            held: observed.jobs.iter().filter_map(held).collect(),
            failed: failed(observed),
            unreadable: observed.unreadable,
        }
    }

    /// The exit code that says how the run ended; [`Exit::Done`] while it goes on.
    pub fn exit(&self) -> Exit {
        self.state.exit()
    }
}

impl RunState {
    /// The exit code that says how a run ended; [`Exit::Done`] while it goes on.
    pub fn exit(self) -> Exit {
        match self {
            RunState::NotSubmitted | RunState::Waiting | RunState::Running | RunState::Done => Exit::Done,
            RunState::Failed => Exit::JobFailed,
            RunState::Stopped => Exit::Interrupted,
            RunState::Dead => Exit::Environment,
        }
    }

    /// How far a run is, behind `that` or `it`.
    pub fn words(self) -> &'static str {
        match self {
            RunState::NotSubmitted => "was not submitted",
            RunState::Waiting | RunState::Running => "is in progress",
            RunState::Done => "is done",
            RunState::Failed => "failed",
            RunState::Stopped => "was stopped",
            RunState::Dead => "has no end and nobody works on it",
        }
    }
}

/// Whether a try ended without doing the job, and not because the run was stopped.
fn is_over(attempt: &Try) -> bool {
    attempt.ended.is_some() && !attempt.succeeded && !attempt.stopped
}

fn counts<'a>(jobs: impl Iterator<Item = &'a Job>) -> Counts {
    let mut counts = Counts::default();
    jobs.for_each(|job| counts.add(job.state));
    counts
}

impl Counts {
    /// Adds what others count.
    pub(in crate::ops) fn add_all(&mut self, others: &Self) {
        let Self {
            total,
            unready,
            ready,
            pre_script,
            queued,
            running,
            held,
            post_script,
            done,
            failed,
            futile,
        } = others;
        self.total += total;
        self.unready += unready;
        self.ready += ready;
        self.pre_script += pre_script;
        self.queued += queued;
        self.running += running;
        self.held += held;
        self.post_script += post_script;
        self.done += done;
        self.failed += failed;
        self.futile += futile;
    }

    fn add(&mut self, state: NodeState) {
        self.total += 1;
        *match state {
            NodeState::Unready => &mut self.unready,
            NodeState::Ready => &mut self.ready,
            NodeState::PreScript => &mut self.pre_script,
            NodeState::Queued => &mut self.queued,
            NodeState::Running => &mut self.running,
            NodeState::Held => &mut self.held,
            NodeState::PostScript => &mut self.post_script,
            NodeState::Done => &mut self.done,
            NodeState::Failed => &mut self.failed,
            NodeState::Futile => &mut self.futile,
        } += 1;
    }
}

fn kinds(observed: &Observed) -> Vec<KindStatus> {
    let mut kinds = BTreeMap::<&str, Counts>::new();
    for job in observed.work() {
        kinds.entry(&job.kind).or_default().add(job.state);
    }
    let kinds = kinds.into_iter().map(|(kind, jobs)| KindStatus {
        kind: kind.to_owned(),
        jobs,
    });
    kinds.collect()
}

fn rounds(observed: &Observed, scores: &Scores) -> Vec<RoundStatus> {
    let mut rounds = BTreeMap::<(&str, u32), Counts>::new();
    for job in observed.work() {
        if let (Some(dataset), Some(round)) = (&job.dataset, job.round) {
            rounds.entry((dataset, round)).or_default().add(job.state);
        }
    }
    let rounds = rounds.into_iter().map(|((dataset, round), jobs)| {
        let score = scores.of(dataset, round);
        RoundStatus {
            dataset: dataset.to_owned(),
            round,
            jobs,
            auroc: score.and_then(|score| score.auroc),
            accuracy: score.map(|score| score.accuracy),
            synthetic: score.map(|score| score.synthetic),
        }
    });
    rounds.collect()
}

fn held(job: &Job) -> Option<HeldJob> {
    let last = job.last().filter(|_| job.state == NodeState::Held)?;
    let hold = last.hold.as_ref()?;
    Some(HeldJob {
        job: job.name.clone(),
        reason: hold.reason.clone(),
        code: hold.code,
        subcode: hold.subcode,
        since_unix_ms: last.since.0,
    })
}

fn failed(observed: &Observed) -> Vec<FailedJob> {
    let failed = observed.jobs.iter().filter(|job| job.state == NodeState::Failed);
    failed
        .enumerate()
        .map(|(index, job)| failed_job(observed, job, index < MOST_READ))
        .collect()
}

fn failed_job(observed: &Observed, job: &Job, read: bool) -> FailedJob {
    let last = job.last();
    let output = match last {
        Some(last) if read => Output::of(observed.system, job, last),
        _ => Output::default(),
    };
    let outcome = last.and_then(|last| evidence::outcome(last, &output));
    let ended = match (outcome, &job.error) {
        // Removed with a DAGMan before, and counted as failed by the next.
        (Some(Outcome::Interrupted), Some(error)) => format!("failed: {error}"),
        (Some(outcome), _) => outcome.to_string(),
        (None, Some(error)) => format!("failed: {error}"),
        (None, None) => "failed".to_owned(),
    };
    let recorded = last.and_then(|last| last.recorded.as_ref()?.message.clone());
    FailedJob {
        job: job.name.clone(),
        tries: job.attempts.len() as u64,
        ended,
        message: recorded.or_else(|| output.message().map(str::to_owned)),
        log: output.log,
    }
}

impl From<System> for SystemName {
    fn from(system: System) -> Self {
        match system {
            System::Local => Self::Local,
            System::Dagman => Self::Dagman,
            System::Pegasus => Self::Pegasus,
        }
    }
}

impl From<Phase> for RunState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::NotSubmitted => Self::NotSubmitted,
            Phase::Waiting => Self::Waiting,
            Phase::Running => Self::Running,
            Phase::Done => Self::Done,
            Phase::Failed => Self::Failed,
            Phase::Stopped => Self::Stopped,
            Phase::Dead => Self::Dead,
        }
    }
}
