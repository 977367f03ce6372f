//! A run on this machine, followed by its record.
//!
//! In: `record.jsonl`, which the engine appends to, and what the run's jobs are. Out: [`Observed`]. Start at [`LocalRun`].

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::Path,
};

use super::{
    event_log::{Ending, Used},
    manifest::ManifestJob,
    nodes::NodeState,
    observed::{Job, Observed, Phase, Recorded, Role, System, Try},
    tail::Tail,
};
use crate::record::{Attempt, Event, History, JobHistory, Outcome, RunOutcome, Stamp};

/// A run on this machine.
#[derive(Debug)]
pub struct LocalRun {
    record: Tail,
    planned: Vec<LocalJob>,
    history: Option<History>,
    unreadable: u64,
}

/// A job of the plan, and what it waits for.
#[derive(Debug, Clone)]
pub struct LocalJob {
    /// What it is about.
    pub about: ManifestJob,
    /// Tries after the first.
    pub retries: u32,
    /// The jobs before it, as positions in the plan.
    pub after: Vec<u32>,
}

/// Whether a process holds the record open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One does.
    Works,
    /// None does.
    Gone,
}

impl LocalRun {
    /// Begins to follow a record; `planned` are the run's jobs, as far as known.
    pub fn open(record: &Path, planned: Vec<LocalJob>) -> Self {
        Self {
            record: Tail::new(record),
            planned,
            history: None,
            unreadable: 0,
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn refresh(&mut self) -> io::Result<()> {
        let (history, unreadable) = (&mut self.history, &mut self.unreadable);
        self.record.read(|bytes| {
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            for line in bytes[..whole]
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                match (serde_json::from_slice::<Event>(line), history.as_mut()) {
                    (Ok(event), Some(history)) => history.add(event),
                    (Ok(event), None) => *history = History::begin(event),
                    (Err(_), _) => *unreadable += 1,
                }
            }
            whole
        })
    }

    /// What the record says so far; none before its first line.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// What is known of the run; none before the record's first line.
    pub fn observed(&self, engine: Engine) -> Option<Observed> {
        let history = self.history.as_ref()?;
        let phase = match (&history.outcome, engine) {
            // A run that is continued begins by looking at its files, before it says so.
            (_, Engine::Works) => Phase::Running,
            (Some(RunOutcome::Done), _) => Phase::Done,
            (Some(RunOutcome::Failed(_)), _) => Phase::Failed,
            (Some(RunOutcome::Interrupted), _) => Phase::Stopped,
            (None, Engine::Gone) => Phase::Dead,
        };
        let jobs = self.jobs(history, phase);
        let starts = std::iter::once(history.run.at).chain(history.resumed.iter().copied());
        Some(Observed {
            system: System::Local,
            name: history.run.name.clone(),
            phase,
            starts: starts.collect(),
            ended: history.outcome.as_ref().map(|_| history.last),
            unnamed: history.run.jobs.saturating_sub(jobs.len() as u64),
            jobs,
            unreadable: self.unreadable,
        })
    }

    fn jobs(&self, history: &History, phase: Phase) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(self.planned.len());
        for planned in &self.planned {
            let recorded = history.jobs.get(&planned.about.job);
            jobs.push(job(&planned.about, recorded, planned.retries, phase));
        }
        self.wait(&mut jobs);
        let known: HashSet<&str> = self
            .planned
            .iter()
            .map(|planned| planned.about.job.as_str())
            .collect();
        for (name, recorded) in &history.jobs {
            if !known.contains(name.as_str()) {
                jobs.push(job(&unplanned(name, recorded), Some(recorded), 0, phase));
            }
        }
        // What the record of the pool's runs has in the order of names, this has too.
        let sorted: BTreeMap<String, Job> = jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
        sorted.into_values().collect()
    }

    /// Jobs that are not begun wait for those before them.
    fn wait(&self, jobs: &mut [Job]) {
        for (index, planned) in self.planned.iter().enumerate() {
            if jobs[index].state != NodeState::Ready {
                continue;
            }
            let before = |wanted: &[NodeState]| {
                let mut states = planned
                    .after
                    .iter()
                    .filter_map(|at| Some(jobs.get(*at as usize)?.state));
                states.any(|state| wanted.contains(&state))
            };
            // Jobs of a plan stand behind those they wait for, so these are settled.
            if before(&[NodeState::Failed, NodeState::Futile]) {
                jobs[index].state = NodeState::Futile;
            } else if planned.after.iter().any(|at| {
                jobs.get(*at as usize)
                    .is_some_and(|job| job.state != NodeState::Done)
            }) {
                jobs[index].state = NodeState::Unready;
            }
        }
    }
}

fn unplanned(name: &str, recorded: &JobHistory) -> ManifestJob {
    ManifestJob {
        job: name.to_owned(),
        kind: recorded.kind.clone(),
        dataset: recorded.dataset.clone(),
        round: recorded.round,
        client: recorded.client,
        outputs: Vec::new(),
    }
}

fn job(about: &ManifestJob, recorded: Option<&JobHistory>, retries: u32, phase: Phase) -> Job {
    let attempts: Vec<Try> = recorded.map_or(Vec::new(), |job| job.attempts.iter().map(tried).collect());
    let state = recorded
        .and_then(|job| job.attempts.last())
        .map_or(NodeState::Ready, |last| {
            state(last, attempts.len(), retries, phase)
        });
    Job {
        name: about.job.clone(),
        kind: about.kind.clone(),
        dataset: about.dataset.clone(),
        round: about.round,
        client: about.client,
        outputs: about.outputs.clone(),
        role: Role::Work,
        state,
        attempts,
        error: None,
    }
}

fn state(last: &Attempt, attempts: usize, retries: u32, phase: Phase) -> NodeState {
    match &last.outcome {
        None if phase == Phase::Running => NodeState::Running,
        None | Some(Outcome::Interrupted) => NodeState::Ready,
        Some(Outcome::Done) => NodeState::Done,
        // While the run goes on, there may be another try.
        Some(_) if phase == Phase::Running && attempts <= retries as usize => NodeState::Ready,
        Some(_) => NodeState::Failed,
    }
}

fn tried(attempt: &Attempt) -> Try {
    let begun = attempt.started.or(attempt.ended).unwrap_or(Stamp(0));
    let ending = match &attempt.outcome {
        Some(Outcome::Done | Outcome::OutputMissing(_)) => Some(Ending::Exit(0)),
        Some(Outcome::Exit(code)) => Some(Ending::Exit(*code)),
        Some(Outcome::Signal(signal)) => Some(Ending::Signal(*signal)),
        _ => None,
    };
    Try {
        queue: None,
        submit: None,
        submitted: begun,
        started: attempt.started,
        ended: attempt.ended,
        host: None,
        since: attempt.ended.unwrap_or(begun),
        hold: None,
        out_of_reach: false,
        ending,
        post: None,
        removed: None,
        succeeded: attempt.is_done(),
        stopped: attempt.outcome == Some(Outcome::Interrupted),
        used: Used::default(),
        evictions: 0,
        recorded: attempt.outcome.clone().map(|outcome| Recorded {
            outcome,
            outputs: attempt.outputs.clone(),
            message: attempt.failure.as_ref().map(|failure| failure.message.clone()),
        }),
    }
}
