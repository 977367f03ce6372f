//! What a record says about each job.
//!
//! In: the [`Event`]s of a run in order. Out: [`History`], which `resume` and `report` use. Start at
//! [`History::from_events`].

use std::collections::BTreeMap;

use contract::{job::Failure, units::Bytes};

use super::{Event, FileFact, Outcome, RunOutcome, Stamp};

/// A run as its record tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What was started.
    pub run: RunFacts,
    /// When it was continued.
    pub resumed: Vec<Stamp>,
    /// The jobs that were started, or were to be, by name.
    pub jobs: BTreeMap<String, JobHistory>,
    /// Digests of the files and folders no job writes, by path, each with the position of its event.
    pub sources: BTreeMap<String, Vec<(u64, String)>>,
    /// How it ended last; none while it runs and after it was killed.
    pub outcome: Option<RunOutcome>,
    /// When the last event happened.
    pub last: Stamp,
    events: u64,
}

/// What was started: the fields of [`Event::RunStarted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// When.
    pub at: Stamp,
    /// The fedwing that ran it.
    pub fedwing: String,
    /// The experiment or workflow.
    pub name: String,
    /// Absolute path of the specification or workflow.
    pub source: String,
    /// SHA-256 of the specification or workflow file.
    pub digest: String,
    /// Whether any dataset is synthetic.
    pub synthetic: bool,
    /// Number of jobs.
    pub jobs: u64,
    /// Jobs at once.
    pub slots: u32,
    /// The machine's name.
    pub host: String,
}

/// The attempts at one job, in the order they began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobHistory {
    /// The kind of job; empty when it never started.
    pub kind: String,
    /// The dataset, for jobs of ours.
    pub dataset: Option<String>,
    /// The round, for jobs of a round.
    pub round: Option<u32>,
    /// The client, for jobs of a client.
    pub client: Option<u32>,
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Counted from 1, over all continuations of the run.
    pub number: u32,
    /// When its process started; none if it never did.
    pub started: Option<Stamp>,
    /// When it ended; none if the run was killed before.
    pub ended: Option<Stamp>,
    /// How it ended; none if the run was killed before.
    pub outcome: Option<Outcome>,
    /// Elapsed time in seconds.
    pub wall_s: f64,
    /// User and system CPU time in seconds.
    pub cpu_s: f64,
    /// Largest resident memory.
    pub peak_memory: Bytes,
    /// Size of its declared inputs.
    pub input_bytes: Bytes,
    /// What it left, when it is done.
    pub outputs: Vec<FileFact>,
    /// The job's own account, when it failed and left one.
    pub failure: Option<Failure>,
    /// The position of its last event in the record: what came earlier has a smaller one.
    pub position: u64,
}

impl JobHistory {
    /// The attempt that did the job, if its last attempt did.
    pub fn done(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.is_done())
    }

    /// The last attempt before `position` that did the job.
    pub fn done_before(&self, position: u64) -> Option<&Attempt> {
        let earlier = |attempt: &&Attempt| attempt.position < position && attempt.is_done();
        self.attempts.iter().rev().find(earlier)
    }
}

impl Attempt {
    /// Whether it did the job.
    pub fn is_done(&self) -> bool {
        self.outcome == Some(Outcome::Done)
    }

    fn begun(number: u32, position: u64) -> Self {
        Self {
            number,
            started: None,
            ended: None,
            outcome: None,
            wall_s: 0.0,
            cpu_s: 0.0,
            peak_memory: Bytes(0),
            input_bytes: Bytes(0),
            outputs: Vec::new(),
            failure: None,
            position,
        }
    }
}

impl History {
    /// What `events` say; none if the first is not [`Event::RunStarted`].
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Option<Self> {
        let mut events = events.into_iter();
        let mut history = Self::begin(events.next()?)?;
        events.for_each(|event| history.add(event));
        Some(history)
    }

    /// Whether the run ended with every job done.
    pub fn is_done(&self) -> bool {
        self.outcome == Some(RunOutcome::Done)
    }

    /// What a first event says; none if it is not [`Event::RunStarted`].
    pub fn begin(first: Event) -> Option<Self> {
        let Event::RunStarted {
            fedwing_record: _,
            at,
            fedwing,
            name,
            source,
            digest,
            synthetic,
            jobs,
            slots,
            host,
        } = first
        else {
            return None;
        };
        Some(Self {
            run: RunFacts {
                at,
                fedwing,
                name,
                source,
                digest,
                synthetic,
                jobs,
                slots,
                host,
            },
            resumed: Vec::new(),
            jobs: BTreeMap::new(),
            sources: BTreeMap::new(),
            outcome: None,
            last: at,
            events: 1,
        })
    }

    /// Takes in the next event.
    pub fn add(&mut self, event: Event) {
        let position = self.events;
        self.events += 1;
        match event {
            // Written once, as the first line; a second one says nothing about jobs.
            Event::RunStarted { at, .. } => self.last = at,
            Event::RunResumed { at, .. } => {
                self.resumed.push(at);
                self.outcome = None;
                self.last = at;
            }
            Event::SourceSeen {
                at,
                path,
                size: _,
                digest,
            } => {
                self.sources.entry(path).or_default().push((position, digest));
                self.last = at;
            }
            Event::JobStarted {
                at,
                job,
                attempt,
                kind,
                dataset,
                round,
                client,
                input_bytes,
            } => {
                let job = self.jobs.entry(job).or_default();
                (job.kind, job.dataset, job.round, job.client) = (kind, dataset, round, client);
                job.attempts.push(Attempt {
                    started: Some(at),
                    input_bytes,
                    ..Attempt::begun(attempt, position)
                });
                self.last = at;
            }
            Event::JobEnded {
                at,
                job,
                attempt,
                outcome,
                wall_s,
                cpu_s,
                peak_memory,
                outputs,
                failure,
            } => {
                let attempts = &mut self.jobs.entry(job).or_default().attempts;
                if !attempts
                    .last()
                    .is_some_and(|last| last.number == attempt && last.ended.is_none())
                {
                    attempts.push(Attempt::begun(attempt, position));
                }
                if let Some(last) = attempts.last_mut() {
                    last.ended = Some(at);
                    last.outcome = Some(outcome);
                    (last.wall_s, last.cpu_s, last.peak_memory) = (wall_s, cpu_s, peak_memory);
                    (last.outputs, last.failure) = (outputs, failure);
                    last.position = position;
                }
                self.last = at;
            }
            Event::RunEnded { at, outcome } => {
                self.outcome = Some(outcome);
                self.last = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(job: &str, attempt: u32) -> Event {
        Event::JobStarted {
            at: Stamp(5),
            job: job.into(),
            attempt,
            kind: "k".into(),
            dataset: None,
            round: None,
            client: None,
            input_bytes: Bytes(0),
        }
    }

    fn end(job: &str, attempt: u32, outcome: Outcome) -> Event {
        Event::JobEnded {
            at: Stamp(6),
            job: job.into(),
            attempt,
            outcome,
            wall_s: 1.0,
            cpu_s: 1.0,
            peak_memory: Bytes(1),
            outputs: Vec::new(),
            failure: None,
        }
    }

    fn history(events: Vec<Event>) -> History {
        let first = Event::RunStarted {
            fedwing_record: Event::VERSION,
            at: Stamp(1),
            fedwing: "0".into(),
            name: "e".into(),
            source: "/s".into(),
            digest: "d".into(),
            synthetic: false,
            jobs: 1,
            slots: 1,
            host: "h".into(),
        };
        History::from_events(std::iter::once(first).chain(events)).unwrap()
    }

    #[test]
    fn a_job_whose_last_attempt_was_cut_short_is_not_done() {
        let history = history(vec![start("a", 1), end("a", 1, Outcome::Done), start("a", 2)]);
        let job = &history.jobs["a"];
        assert_eq!(job.attempts.len(), 2);
        assert!(job.done().is_none());
        assert_eq!(job.done_before(job.attempts[1].position).unwrap().number, 1);
        assert_eq!(job.attempts[1].outcome, None);
    }

    #[test]
    fn a_job_that_never_started_has_an_attempt_without_a_start() {
        let history = history(vec![end("a", 1, Outcome::NotStarted("gone".into()))]);
        assert_eq!(history.jobs["a"].attempts[0].started, None);
        assert!(history.outcome.is_none());
    }
}
