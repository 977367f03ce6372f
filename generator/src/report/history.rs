//! What the record says about a run, as a report shows it: states of jobs, every attempt, use by kind of job.

use std::collections::{BTreeMap, BTreeSet};

use contract::{
    args::{
        AggregateArgs, BaselineArgs, BroadcastArgs, EvaluateArgs, InitArgs, KeysArgs, PartialArgs,
        PrepareArgs, RevealArgs, StatsArgs, TrainArgs, TrainClientsArgs,
    },
    argv::JobArgs,
    exit::JobExit,
    units::Bytes,
};

use super::{
    build::ReportError,
    model::{Attempt, AttemptOutcome, FailedJob, JobCounts, KindCounts, RunState, StageUse, Use},
};
use crate::record::{
    self, Event, FileFact, JobHistory, LogStream, Outcome, RunDir, RunFacts, RunOutcome, Stamp,
};

/// The kinds of fedwing's own jobs, in the order of the data flow.
pub(super) const KINDS: [&str; 12] = [
    PrepareArgs::NAME,
    StatsArgs::NAME,
    InitArgs::NAME,
    KeysArgs::NAME,
    BaselineArgs::NAME,
    TrainArgs::NAME,
    TrainClientsArgs::NAME,
    RevealArgs::NAME,
    PartialArgs::NAME,
    AggregateArgs::NAME,
    BroadcastArgs::NAME,
    EvaluateArgs::NAME,
];

/// The kind of a job that never started.
const UNKNOWN_KIND: &str = "unknown";

/// A run as a report shows it: the record's own account, and what its resumptions mean for it.
pub(super) struct History {
    record: record::History,
    resumptions: Vec<Resumption>,
}

/// What one continuation of the run changed.
struct Resumption {
    /// Position of its event in the record.
    position: u64,
    /// When the event before it happened: the last sign of life of what it continues.
    before: Stamp,
    /// Done jobs it does again.
    redone: BTreeSet<String>,
    /// Jobs at once from then on.
    slots: u32,
}

enum JobState<'a> {
    Done(&'a record::Attempt),
    Failed(&'a record::Attempt, String),
    Unfinished,
}

impl History {
    /// Reads the account out of `events`, the first of which starts the run.
    pub fn replay(events: Vec<Event>) -> Result<Self, ReportError> {
        let mut resumptions = Vec::new();
        for (position, pair) in (1..).zip(events.windows(2)) {
            if let Event::RunResumed {
                at: _,
                kept: _,
                redone,
                slots,
            } = &pair[1]
            {
                let (before, redone) = (stamp(&pair[0]), redone.iter().cloned().collect());
                resumptions.push(Resumption {
                    position,
                    before,
                    redone,
                    slots: *slots,
                });
            }
        }
        let record = record::History::from_events(events).ok_or(ReportError::NoStart)?;
        Ok(Self { record, resumptions })
    }

    /// What was started.
    pub fn run(&self) -> &RunFacts {
        &self.record.run
    }

    /// How far the run came.
    pub fn state(&self) -> RunState {
        match self.record.outcome {
            Some(RunOutcome::Done) => RunState::Done,
            Some(RunOutcome::Failed(_)) => RunState::Failed,
            Some(RunOutcome::Interrupted) => RunState::Interrupted,
            None => RunState::Unfinished,
        }
    }

    /// Jobs at once, as last set.
    pub fn slots(&self) -> u32 {
        self.resumptions
            .last()
            .map_or(self.record.run.slots, |last| last.slots)
    }

    /// How often the run was continued.
    pub fn resumed(&self) -> u32 {
        u32::try_from(self.resumptions.len()).unwrap_or(u32::MAX)
    }

    /// Seconds from the first to the last event.
    pub fn elapsed_s(&self) -> f64 {
        self.seconds(self.record.last)
    }

    /// The jobs that are done, by name, with what they left.
    pub fn done(&self) -> impl Iterator<Item = (&JobHistory, &[FileFact])> {
        self.record
            .jobs
            .iter()
            .filter_map(|(name, job)| match self.state_of(name, job) {
                JobState::Done(attempt) => Some((job, attempt.outputs.as_slice())),
                JobState::Failed(..) | JobState::Unfinished => None,
            })
    }

    /// Seconds from the run's start to `at`.
    fn seconds(&self, at: Stamp) -> f64 {
        at.0.saturating_sub(self.record.run.at.0) as f64 / 1000.0
    }

    fn state_of<'a>(&self, name: &str, job: &'a JobHistory) -> JobState<'a> {
        let Some(last) = job.attempts.last() else {
            return JobState::Unfinished;
        };
        match last.outcome.as_ref().map(ending) {
            Some((AttemptOutcome::Done, _)) if self.is_redone(name, last) => JobState::Unfinished,
            Some((AttemptOutcome::Done, _)) => JobState::Done(last),
            Some((AttemptOutcome::Failed, detail)) => JobState::Failed(last, detail.unwrap_or_default()),
            Some((AttemptOutcome::Interrupted | AttemptOutcome::Unfinished, _)) | None => {
                JobState::Unfinished
            }
        }
    }

    /// Whether a resumption does the job again that `attempt` did.
    fn is_redone(&self, name: &str, attempt: &record::Attempt) -> bool {
        let later = self
            .resumptions
            .iter()
            .filter(|resumption| resumption.position > attempt.position);
        later
            .into_iter()
            .any(|resumption| resumption.redone.contains(name))
    }

    /// Every attempt of every job, by start.
    pub fn timeline(&self) -> Vec<Attempt> {
        let jobs = self.record.jobs.iter();
        let attempts =
            jobs.flat_map(|(name, job)| job.attempts.iter().map(move |attempt| (name, job, attempt)));
        let mut timeline: Vec<_> = attempts
            .map(|(name, job, attempt)| self.attempt(name, job, attempt))
            .collect();
        // Stable: what starts in the same millisecond stays in the order of names.
        timeline.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        timeline
    }

    fn attempt(&self, name: &str, job: &JobHistory, attempt: &record::Attempt) -> Attempt {
        let cut_off = || {
            let next = self
                .resumptions
                .iter()
                .find(|resumption| resumption.position > attempt.position);
            next.map(|resumption| resumption.before)
        };
        let end = attempt.ended.or_else(cut_off);
        let start = attempt.started.or(end).unwrap_or(self.record.last);
        let (outcome, detail) = attempt
            .outcome
            .as_ref()
            .map_or((AttemptOutcome::Unfinished, None), ending);
        Attempt {
            job: name.to_owned(),
            kind: kind(job).to_owned(),
            dataset: job.dataset.clone(),
            round: job.round,
            client: job.client,
            attempt: attempt.number,
            start_s: self.seconds(start),
            end_s: end.map(|end| self.seconds(end)),
            outcome,
            detail,
        }
    }

    /// How many jobs are in which state.
    pub fn counts(&self) -> JobCounts {
        let mut by_kind = BTreeMap::<&str, KindCounts>::new();
        let mut counts = JobCounts {
            total: self.record.run.jobs,
            ..JobCounts::default()
        };
        for (name, job) in &self.record.jobs {
            let of_kind = by_kind.entry(kind(job)).or_default();
            let (all, of_kind) = match self.state_of(name, job) {
                JobState::Done(_) => (&mut counts.done, &mut of_kind.done),
                JobState::Failed(..) => (&mut counts.failed, &mut of_kind.failed),
                JobState::Unfinished => (&mut counts.unfinished, &mut of_kind.unfinished),
            };
            *all += 1;
            *of_kind += 1;
            let pairs = job.attempts.windows(2);
            let failed = |attempt: &record::Attempt| {
                attempt
                    .outcome
                    .as_ref()
                    .is_some_and(|outcome| ending(outcome).0 == AttemptOutcome::Failed)
            };
            counts.retries += pairs.filter(|pair| failed(&pair[0])).count() as u64;
        }
        counts.waiting = counts.total.saturating_sub(self.record.jobs.len() as u64);
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

    /// Jobs whose last attempt failed, and those the run itself counts as failed, by name.
    pub fn failed_jobs(&self, dir: &RunDir) -> Vec<FailedJob> {
        let mut failed = BTreeMap::new();
        for (name, job) in &self.record.jobs {
            let JobState::Failed(attempt, ended) = self.state_of(name, job) else {
                continue;
            };
            let failure = attempt.failure.as_ref();
            let log = dir.log(name, attempt.number, LogStream::Err);
            let log = log.strip_prefix(dir.root()).unwrap_or(&log);
            let failed_job = FailedJob {
                job: name.clone(),
                kind: kind(job).to_owned(),
                attempts: number_of(&job.attempts),
                ended,
                message: failure.map(|failure| failure.message.clone()),
                file: failure.and_then(|failure| Some(failure.file.as_ref()?.display().to_string())),
                help: failure.and_then(|failure| failure.help.clone()),
                log: attempt.started.map(|_| log.display().to_string()),
            };
            failed.insert(name.clone(), failed_job);
        }
        let Some(RunOutcome::Failed(names)) = &self.record.outcome else {
            return failed.into_values().collect();
        };
        for name in names {
            let job = self.record.jobs.get(name);
            failed.entry(name.clone()).or_insert_with(|| FailedJob {
                job: name.clone(),
                kind: job.map_or(UNKNOWN_KIND, kind).to_owned(),
                attempts: job.map_or(0, |job| number_of(&job.attempts)),
                ended: "the run counts it as failed; no failed attempt is recorded".to_owned(),
                message: None,
                file: None,
                help: None,
                log: None,
            });
        }
        failed.into_values().collect()
    }

    /// What each kind of job used, in the order of the data flow, and all together.
    pub fn stages(&self) -> (Vec<StageUse>, Use) {
        let mut stages = BTreeMap::<&str, Use>::new();
        for job in self.record.jobs.values() {
            let used = stages.entry(kind(job)).or_default();
            used.jobs += 1;
            for attempt in job.attempts.iter().filter(|attempt| attempt.ended.is_some()) {
                add(used, &use_of(attempt));
            }
        }
        let mut totals = Use::default();
        for used in stages.values() {
            add(&mut totals, used);
        }
        let stages = stages.into_iter().map(|(kind, used)| StageUse {
            kind: kind.to_owned(),
            used,
        });
        let mut stages: Vec<_> = stages.collect();
        stages.sort_by_key(|stage| place(&stage.kind));
        (stages, totals)
    }
}

/// What one attempt used; its job is counted elsewhere.
fn use_of(attempt: &record::Attempt) -> Use {
    Use {
        jobs: 0,
        attempts: 1,
        wall_s: attempt.wall_s,
        cpu_s: attempt.cpu_s,
        peak_memory_bytes: attempt.peak_memory,
        bytes_in: attempt.input_bytes,
        bytes_out: Bytes(attempt.outputs.iter().map(|fact| fact.size.0).sum()),
    }
}

fn kind(job: &JobHistory) -> &str {
    if job.kind.is_empty() {
        UNKNOWN_KIND
    } else {
        &job.kind
    }
}

fn number_of(attempts: &[record::Attempt]) -> u32 {
    u32::try_from(attempts.len()).unwrap_or(u32::MAX)
}

fn stamp(event: &Event) -> Stamp {
    match event {
        Event::RunStarted { at, .. }
        | Event::RunResumed { at, .. }
        | Event::SourceSeen { at, .. }
        | Event::JobStarted { at, .. }
        | Event::JobEnded { at, .. }
        | Event::RunEnded { at, .. } => *at,
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
        Outcome::Removed(reason) => format!("removed: {reason}"),
    };
    (AttemptOutcome::Failed, Some(detail))
}
