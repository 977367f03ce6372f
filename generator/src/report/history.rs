//! Replays a run's events: what became of each job, every attempt, what each kind of job used.

use std::collections::BTreeMap;

use contract::{
    args::{AggregateArgs, BaselineArgs, EvaluateArgs, InitArgs, PrepareArgs, StatsArgs, TrainArgs},
    argv::JobArgs,
    exit::JobExit,
    job::Failure,
    units::Bytes,
};

use super::{
    build::ReportError,
    model::{Attempt, AttemptOutcome, FailedJob, JobCounts, KindCounts, RunState, StageUse, Use},
};
use crate::record::{Event, FileFact, Outcome, RunOutcome, Stamp};

/// The kinds of fedwing's own jobs, in the order of the data flow.
pub(super) const KINDS: [&str; 7] = [
    PrepareArgs::NAME,
    StatsArgs::NAME,
    InitArgs::NAME,
    BaselineArgs::NAME,
    TrainArgs::NAME,
    AggregateArgs::NAME,
    EvaluateArgs::NAME,
];

/// The kind of a job whose end is recorded without a start.
const UNKNOWN_KIND: &str = "unknown";

/// What the record says about a run.
pub(super) struct History {
    pub start: Start,
    pub state: RunState,
    pub slots: u32,
    pub resumed: u32,
    pub elapsed_s: f64,
    pub jobs: BTreeMap<String, JobHistory>,
    pub timeline: Vec<Attempt>,
    stages: BTreeMap<String, Use>,
    failed_by_run: Vec<String>,
}

/// What the first event says.
pub(super) struct Start {
    pub at: Stamp,
    pub fedwing: String,
    pub name: String,
    pub digest: String,
    pub synthetic: bool,
    pub jobs: u64,
    pub host: String,
}

/// What became of one job.
pub(super) struct JobHistory {
    pub kind: String,
    pub dataset: Option<String>,
    pub outputs: Vec<FileFact>,
    state: JobState,
    attempts: u32,
    input_bytes: Bytes,
    /// Its attempt without an end: an index into the timeline.
    open: Option<usize>,
}

enum JobState {
    Done,
    Failed { ended: String, failure: Option<Failure> },
    Unfinished,
}

impl History {
    /// Replays `events`, the first of which starts the run.
    pub fn replay(events: &[Event]) -> Result<Self, ReportError> {
        let Some((
            Event::RunStarted {
                fedwing_record: _, // checked by whoever read the record
                at,
                fedwing,
                name,
                source: _, // a path of the machine it ran on
                digest,
                synthetic,
                jobs,
                slots,
                host,
            },
            rest,
        )) = events.split_first()
        else {
            return Err(ReportError::NoStart);
        };
        let start = Start {
            at: *at,
            fedwing: fedwing.clone(),
            name: name.clone(),
            digest: digest.clone(),
            synthetic: *synthetic,
            jobs: *jobs,
            host: host.clone(),
        };
        let mut history = Self {
            start,
            state: RunState::Unfinished,
            slots: *slots,
            resumed: 0,
            elapsed_s: 0.0,
            jobs: BTreeMap::new(),
            timeline: Vec::new(),
            stages: BTreeMap::new(),
            failed_by_run: Vec::new(),
        };
        for event in rest {
            history.see(event)?;
        }
        history.timeline.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        Ok(history)
    }

    fn see(&mut self, event: &Event) -> Result<(), ReportError> {
        match event {
            Event::RunStarted { .. } => return Err(ReportError::StartedTwice),
            Event::RunResumed {
                at,
                kept: _,
                redone,
                slots,
            } => {
                self.resume(redone);
                self.slots = *slots;
                self.advance(*at);
            }
            Event::JobStarted { at, job, .. } => {
                let start_s = self.advance(*at);
                self.start_job(job, start_s, event);
            }
            Event::JobEnded { at, .. } => {
                let end_s = self.advance(*at);
                self.end_job(end_s, event);
            }
            Event::RunEnded { at, outcome } => {
                self.advance(*at);
                self.state = match outcome {
                    RunOutcome::Done => RunState::Done,
                    RunOutcome::Failed(jobs) => {
                        self.failed_by_run.clone_from(jobs);
                        RunState::Failed
                    }
                    RunOutcome::Interrupted => RunState::Interrupted,
                };
            }
        }
        Ok(())
    }

    /// Seconds from the run's start to `at`; the clock never runs backwards.
    fn advance(&mut self, at: Stamp) -> f64 {
        let seconds = at.0.saturating_sub(self.start.at.0) as f64 / 1000.0;
        self.elapsed_s = self.elapsed_s.max(seconds);
        seconds
    }

    /// Attempts that were running when the run died end at its last event; what is done again is not done.
    fn resume(&mut self, redone: &[String]) {
        self.resumed += 1;
        self.state = RunState::Unfinished;
        self.failed_by_run.clear();
        for job in self.jobs.values_mut() {
            if let Some(open) = job.open.take() {
                self.timeline[open].end_s = Some(self.elapsed_s);
            }
        }
        for name in redone {
            if let Some(job) = self.jobs.get_mut(name) {
                job.state = JobState::Unfinished;
                job.outputs.clear();
            }
        }
    }

    fn start_job(&mut self, name: &str, start_s: f64, event: &Event) {
        let Event::JobStarted {
            at: _,
            job: _,
            attempt,
            kind,
            dataset,
            round,
            client,
            input_bytes,
        } = event
        else {
            return;
        };
        let job = JobHistory {
            kind: kind.clone(),
            dataset: dataset.clone(),
            outputs: Vec::new(),
            state: JobState::Unfinished,
            attempts: self.jobs.get(name).map_or(0, |job| job.attempts) + 1,
            input_bytes: *input_bytes,
            open: Some(self.timeline.len()),
        };
        self.jobs.insert(name.to_owned(), job);
        self.timeline.push(Attempt {
            job: name.to_owned(),
            kind: kind.clone(),
            dataset: dataset.clone(),
            round: *round,
            client: *client,
            attempt: *attempt,
            start_s,
            end_s: None,
            outcome: AttemptOutcome::Unfinished,
            detail: None,
        });
    }

    fn end_job(&mut self, end_s: f64, event: &Event) {
        let Event::JobEnded {
            at: _,
            job: name,
            attempt,
            outcome,
            wall_s,
            cpu_s,
            peak_memory,
            outputs,
            failure,
        } = event
        else {
            return;
        };
        let timeline = &mut self.timeline;
        let job = self.jobs.entry(name.clone()).or_insert_with(|| JobHistory {
            kind: UNKNOWN_KIND.to_owned(),
            dataset: None,
            outputs: Vec::new(),
            state: JobState::Unfinished,
            attempts: 0,
            input_bytes: Bytes(0),
            open: None,
        });
        let open = job.open.take().unwrap_or_else(|| {
            // Never started: the record has its end only.
            job.attempts += 1;
            job.input_bytes = Bytes(0);
            timeline.push(Attempt {
                job: name.clone(),
                kind: job.kind.clone(),
                dataset: job.dataset.clone(),
                round: None,
                client: None,
                attempt: *attempt,
                start_s: end_s,
                end_s: None,
                outcome: AttemptOutcome::Unfinished,
                detail: None,
            });
            timeline.len() - 1
        });
        let entry = &mut timeline[open];
        entry.end_s = Some(end_s);
        let (ended, detail) = ending(outcome);
        entry.outcome = ended;
        entry.detail.clone_from(&detail);
        job.outputs.clone_from(outputs);
        job.state = match ended {
            AttemptOutcome::Done => JobState::Done,
            AttemptOutcome::Failed => JobState::Failed {
                ended: detail.unwrap_or_default(),
                failure: failure.clone(),
            },
            AttemptOutcome::Interrupted | AttemptOutcome::Unfinished => JobState::Unfinished,
        };
        let written = outputs.iter().map(|fact| fact.size.0).sum();
        let used = self.stages.entry(job.kind.clone()).or_default();
        add(
            used,
            &Use {
                jobs: 0, // counted by name in `stages`
                attempts: 1,
                wall_s: *wall_s,
                cpu_s: *cpu_s,
                peak_memory_bytes: *peak_memory,
                bytes_in: job.input_bytes,
                bytes_out: Bytes(written),
            },
        );
    }

    /// How many jobs are in which state.
    pub fn counts(&self) -> JobCounts {
        let mut by_kind = BTreeMap::<&str, KindCounts>::new();
        let mut counts = JobCounts {
            total: self.start.jobs,
            ..JobCounts::default()
        };
        for job in self.jobs.values() {
            let of_kind = by_kind.entry(&job.kind).or_default();
            let (all, of_kind) = match job.state {
                JobState::Done => (&mut counts.done, &mut of_kind.done),
                JobState::Failed { .. } => (&mut counts.failed, &mut of_kind.failed),
                JobState::Unfinished => (&mut counts.unfinished, &mut of_kind.unfinished),
            };
            *all += 1;
            *of_kind += 1;
            counts.retries += u64::from(job.attempts.saturating_sub(1));
        }
        counts.waiting = counts.total.saturating_sub(self.jobs.len() as u64);
        counts.by_kind = by_kind
            .into_iter()
            .map(|(kind, counts)| KindCounts {
                kind: kind.to_owned(),
                ..counts
            })
            .collect();
        counts.by_kind.sort_by_key(|counts| place(&counts.kind));
        counts
    }

    /// Jobs whose last attempt failed, by name.
    pub fn failed_jobs(&self) -> Vec<FailedJob> {
        let mut failed = BTreeMap::new();
        for (name, job) in &self.jobs {
            let JobState::Failed { ended, failure } = &job.state else {
                continue;
            };
            let failure = failure.as_ref();
            let failed_job = FailedJob {
                job: name.clone(),
                kind: job.kind.clone(),
                attempts: job.attempts,
                ended: ended.clone(),
                message: failure.map(|failure| failure.message.clone()),
                file: failure.and_then(|failure| Some(failure.file.as_ref()?.display().to_string())),
                help: failure.and_then(|failure| failure.help.clone()),
            };
            failed.insert(name.clone(), failed_job);
        }
        for name in &self.failed_by_run {
            failed.entry(name.clone()).or_insert_with(|| FailedJob {
                job: name.clone(),
                kind: self
                    .jobs
                    .get(name)
                    .map_or(UNKNOWN_KIND, |job| &job.kind)
                    .to_owned(),
                attempts: self.jobs.get(name).map_or(0, |job| job.attempts),
                ended: "the run counts it as failed; no failed attempt is recorded".to_owned(),
                message: None,
                file: None,
                help: None,
            });
        }
        failed.into_values().collect()
    }

    /// What each kind of job used, in the order of the data flow, and all together.
    pub fn stages(&self) -> (Vec<StageUse>, Use) {
        let mut stages = self.stages.clone();
        for job in self.jobs.values() {
            stages.entry(job.kind.clone()).or_default().jobs += 1;
        }
        let mut totals = Use::default();
        for used in stages.values() {
            add(&mut totals, used);
        }
        let mut stages: Vec<_> = stages
            .into_iter()
            .map(|(kind, used)| StageUse { kind, used })
            .collect();
        stages.sort_by_key(|stage| place(&stage.kind));
        (stages, totals)
    }
}

/// Sorts our kinds by data flow, others behind them by name.
fn place(kind: &str) -> (usize, String) {
    let known = KINDS.iter().position(|known| *known == kind);
    (known.unwrap_or(KINDS.len()), kind.to_owned())
}

fn add(sum: &mut Use, more: &Use) {
    let Use {
        jobs,
        attempts,
        wall_s,
        cpu_s,
        peak_memory_bytes,
        bytes_in,
        bytes_out,
    } = more;
    sum.jobs += jobs;
    sum.attempts += attempts;
    sum.wall_s += wall_s;
    sum.cpu_s += cpu_s;
    sum.peak_memory_bytes = sum.peak_memory_bytes.max(*peak_memory_bytes);
    sum.bytes_in.0 += bytes_in.0;
    sum.bytes_out.0 += bytes_out.0;
}

/// How an attempt ended, with the words for a failure.
fn ending(outcome: &Outcome) -> (AttemptOutcome, Option<String>) {
    let detail = match outcome {
        Outcome::Done => return (AttemptOutcome::Done, None),
        Outcome::Interrupted => return (AttemptOutcome::Interrupted, None),
        Outcome::Exit(code) => match JobExit::from_code(*code) {
            Some(exit) => format!("exit code {code} ({})", exit.as_str()),
            None => format!("exit code {code}"),
        },
        Outcome::Signal(signal) => format!("ended by signal {signal}"),
        Outcome::Walltime => "ended at its walltime".to_owned(),
        Outcome::OutputMissing(files) => format!("exit code 0 without its output {}", files.join(", ")),
        Outcome::NotStarted(reason) => format!("never started: {reason}"),
    };
    (AttemptOutcome::Failed, Some(detail))
}
