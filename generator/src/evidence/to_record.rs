//! From what is known of a run on a pool to the events a local run records.
//!
//! In: an [`Observed`]. Out: [`Event`]s in the order of time, from which the same report is made. Start at [`events`].

use contract::{exit::JobExit, job::Failure, units::Bytes};

use super::{
    event_log::{Ending, Hold},
    kickstart::SeenFile,
    nodes::NodeState,
    observed::{Job, Observed, Phase, Role, Try},
    output::Output,
};
use crate::record::{Event, FileFact, Outcome, RunOutcome, Stamp};

/// What the run's files do not say.
#[derive(Debug, Clone)]
pub struct Origin {
    /// This fedwing.
    pub fedwing: String,
    /// The specification or DAG.
    pub source: String,
    /// SHA-256 of it.
    pub digest: String,
    /// Whether any dataset is synthetic.
    pub synthetic: bool,
    /// The machine that holds the queue.
    pub host: String,
}

/// Where the files of a run are looked at.
pub trait Files {
    /// Size and digest of a file that arrived, by logical name; none where it did not.
    fn look(&self, name: &str) -> Option<FileFact>;
}

/// The events of `observed`, in order.
///
/// Digests of outputs are those that kickstart took when the job ended; where there is none, those of the files as they
/// are. A file that did not arrive (it stayed where the next job needed it) is not among the outputs.
pub fn events(observed: &Observed, origin: &Origin, files: &impl Files) -> Vec<Event> {
    let begun = observed.started().unwrap_or(Stamp(0));
    let counted = || observed.jobs.iter().filter(|job| job.role.is_job());
    let mut events = Vec::new();
    for at in observed.starts.iter().skip(1) {
        events.push((*at, resumed(observed, *at)));
    }
    for job in counted() {
        tell(observed, job, files, &mut events);
    }
    // Stable: what happens in the same millisecond stays in the order of jobs, each started before it ended.
    events.sort_by_key(|(at, _)| *at);
    let first = Event::RunStarted {
        fedwing_record: Event::VERSION,
        at: begun,
        fedwing: origin.fedwing.clone(),
        name: observed.name.clone(),
        source: origin.source.clone(),
        digest: origin.digest.clone(),
        synthetic: origin.synthetic,
        jobs: counted().count() as u64,
        slots: most_at_once(observed),
        host: origin.host.clone(),
    };
    let last = ended(observed, events.last().map_or(begun, |(at, _)| *at));
    std::iter::once(first)
        .chain(events.into_iter().map(|(_, event)| event))
        .chain(last)
        .collect()
}

fn ended(observed: &Observed, after: Stamp) -> Option<Event> {
    let outcome = match observed.phase {
        Phase::Done => RunOutcome::Done,
        Phase::Failed => {
            let failed = observed
                .jobs
                .iter()
                .filter(|job| job.role != Role::SubWorkflow && job.state == NodeState::Failed);
            RunOutcome::Failed(failed.map(|job| job.name.clone()).collect())
        }
        Phase::Stopped => RunOutcome::Interrupted,
        Phase::NotSubmitted | Phase::Waiting | Phase::Running | Phase::Dead => return None,
    };
    let at = observed.ended.map_or(after, |at| at.max(after));
    Some(Event::RunEnded { at, outcome })
}

fn resumed(observed: &Observed, at: Stamp) -> Event {
    let before = |job: &&Job| {
        job.attempts
            .iter()
            .any(|attempt| attempt.succeeded && attempt.ended.is_some_and(|end| end <= at))
    };
    Event::RunResumed {
        at,
        kept: observed.jobs.iter().filter(before).count() as u64,
        redone: Vec::new(),
        slots: most_at_once(observed),
    }
}

/// The most jobs that ran at once.
fn most_at_once(observed: &Observed) -> u32 {
    let attempts = observed
        .jobs
        .iter()
        .filter(|job| job.role.is_job())
        .flat_map(|job| &job.attempts);
    let mut changes: Vec<(Stamp, i32)> = attempts
        .filter_map(|attempt| Some((attempt.started?, attempt.ended?)))
        .flat_map(|(start, end)| [(start, 1), (end, -1)])
        .collect();
    changes.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    u32::try_from(most).unwrap_or(0)
}

fn tell(observed: &Observed, job: &Job, files: &impl Files, events: &mut Vec<(Stamp, Event)>) {
    let mut attempts = job.attempts.iter().zip(1..).peekable();
    if attempts.peek().is_none() && job.state == NodeState::Done {
        let at = observed.starts.last().copied().unwrap_or(Stamp(0));
        events.push((at, started(job, 1, at, Bytes(0))));
        events.push((at, done_before(job, at, files)));
    }
    for (attempt, number) in attempts {
        let output = Output::of(observed.system, job, attempt);
        if let Some(at) = attempt.started {
            let received = attempt.used.received.unwrap_or(Bytes(0));
            events.push((at, started(job, number, at, received)));
        }
        if let (Some(at), Some(outcome)) = (attempt.ended, outcome(attempt, &output)) {
            let begin = attempt.started.unwrap_or(at);
            events.push((at.max(begin), end(job, number, attempt, outcome, &output, files)));
        }
    }
}

/// Of a job that only a rescue file says is done: when and how, no file tells any more.
fn done_before(job: &Job, at: Stamp, files: &impl Files) -> Event {
    Event::JobEnded {
        at,
        job: job.name.clone(),
        attempt: 1,
        outcome: Outcome::Done,
        wall_s: 0.0,
        cpu_s: 0.0,
        peak_memory: Bytes(0),
        outputs: job.outputs.iter().filter_map(|name| files.look(name)).collect(),
        failure: None,
    }
}

fn started(job: &Job, attempt: u32, at: Stamp, input_bytes: Bytes) -> Event {
    let kind = match job.role {
        Role::Work => job.kind.clone(),
        Role::Auxiliary | Role::Script | Role::SubWorkflow => format!("auxiliary: {}", job.kind),
    };
    Event::JobStarted {
        at,
        job: job.name.clone(),
        attempt,
        kind,
        dataset: job.dataset.clone(),
        round: job.round,
        client: job.client,
        input_bytes,
    }
}

fn end(
    job: &Job,
    number: u32,
    attempt: &Try,
    outcome: Outcome,
    output: &Output,
    files: &impl Files,
) -> Event {
    let seen = output.invocation.as_ref();
    let at = attempt.ended.unwrap_or(attempt.since);
    let elapsed = attempt
        .started
        .map_or(0.0, |start| at.0.saturating_sub(start.0) as f64 / 1000.0);
    let outputs = if outcome == Outcome::Done {
        let facts = job
            .outputs
            .iter()
            .filter_map(|name| fact(name, seen.map_or(&[], |seen| &seen.files), files));
        facts.collect()
    } else {
        Vec::new()
    };
    let zero = Bytes(0);
    let failure = failure(job, &outcome, output);
    Event::JobEnded {
        at: at.max(attempt.started.unwrap_or(at)),
        job: job.name.clone(),
        attempt: number,
        outcome,
        wall_s: seen
            .and_then(|seen| seen.duration_s)
            .or(attempt.used.execute_s)
            .unwrap_or(elapsed),
        cpu_s: seen
            .and_then(|seen| seen.cpu_s)
            .or(attempt.used.cpu_s)
            .unwrap_or(0.0),
        peak_memory: seen
            .and_then(|seen| seen.peak_memory)
            .or(attempt.used.memory)
            .unwrap_or(zero),
        outputs,
        failure,
    }
}

/// The job's own account: the failure file stays on the machine of the job, but its words are in what it wrote.
fn failure(job: &Job, outcome: &Outcome, output: &Output) -> Option<Failure> {
    let Outcome::Exit(code) = outcome else { return None };
    let kind = JobExit::from_code(*code)?;
    Some(Failure {
        fedwing_failure: Failure::VERSION,
        job: job.kind.clone(),
        kind,
        exit: kind.code(),
        retry: kind.retry(),
        message: output.message()?.to_owned(),
        file: None,
        help: None,
    })
}

/// An output that arrived, with the digest kickstart took of it.
fn fact(name: &str, seen: &[SeenFile], files: &impl Files) -> Option<FileFact> {
    let found = files.look(name)?;
    let taken = seen
        .iter()
        .find(|file| file.lfn == name)
        .and_then(|file| file.sha256.clone());
    Some(match taken {
        Some(sha256) => FileFact { sha256, ..found },
        None => found,
    })
}

/// HTCondor's codes for a job that ran longer than it may.
const TOO_LONG: [i32; 2] = [46, 47];

/// HTCondor's code for a hold by the job's own policy, which says by a subcode why.
const OWN_POLICY: i32 = 3;

fn ran_too_long(hold: &Hold) -> bool {
    let code = match hold.code {
        Some(OWN_POLICY) => hold.subcode,
        code => code,
    };
    code.is_some_and(|code| TOO_LONG.contains(&code))
}

/// How a try ended, by the best witness there is: kickstart of the job's process, the event log of the rest.
pub fn outcome(attempt: &Try, output: &Output) -> Option<Outcome> {
    if let Some(recorded) = &attempt.recorded {
        return Some(recorded.outcome.clone());
    }
    attempt.ended?;
    if attempt.succeeded {
        return Some(Outcome::Done);
    }
    let seen = output.invocation.as_ref().and_then(|seen| seen.ending);
    let ending = match seen {
        Some(Ending::Exit(0)) | None => attempt.ending,
        failed => failed,
    };
    match ending {
        Some(Ending::Signal(signal)) => return Some(Outcome::Signal(signal)),
        Some(Ending::Exit(code)) if code != 0 => return Some(Outcome::Exit(code)),
        _ => {}
    }
    if attempt.stopped {
        return Some(Outcome::Interrupted);
    }
    if let Some(hold) = &attempt.hold {
        return Some(match missing_output(&hold.reason) {
            Some(name) => Outcome::OutputMissing(vec![name]),
            None if ran_too_long(hold) => Outcome::Walltime,
            None => Outcome::Removed(hold.reason.clone()),
        });
    }
    let post = match attempt.post {
        Some(Ending::Exit(code)) => Some(format!("its post script ended with exit code {code}")),
        Some(Ending::Signal(signal)) => Some(format!("its post script was ended by signal {signal}")),
        None => None,
    };
    let reason = attempt.removed.clone().or(post);
    Some(Outcome::Removed(
        reason.unwrap_or_else(|| "no reason is recorded".to_owned()),
    ))
}

/// The output that a job left unwritten, by the words HTCondor holds it with.
fn missing_output(reason: &str) -> Option<String> {
    if !reason.starts_with("Transfer output files failure") {
        return None;
    }
    let (_, rest) = reason.split_once("reading from file ")?;
    let (path, why) = rest.split_once(": ")?;
    why.starts_with("(errno 2)")
        .then(|| path.rsplit('/').next().unwrap_or(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{event_log::Used, kickstart};

    /// A try that was held with this code for this reason, and removed.
    fn held(code: i32, reason: &str) -> Try {
        Try {
            hold: Some(Hold {
                reason: reason.to_owned(),
                code: Some(code),
                subcode: Some(0),
            }),
            removed: Some("PeriodicRemove".to_owned()),
            ..ended(None)
        }
    }

    fn ended(ending: Option<Ending>) -> Try {
        Try {
            queue: None,
            submit: None,
            submitted: Stamp(1),
            started: Some(Stamp(2)),
            ended: Some(Stamp(3)),
            host: None,
            since: Stamp(3),
            hold: None,
            out_of_reach: false,
            ending,
            post: None,
            removed: None,
            succeeded: false,
            stopped: false,
            used: Used::default(),
            evictions: 0,
            recorded: None,
        }
    }

    fn seen(raw: u32) -> Output {
        let text = format!("- invocation: True\n  mainjob:\n    status:\n      raw: {raw}\n");
        Output {
            invocation: kickstart::parse(&text).into_iter().next(),
            ..Output::default()
        }
    }

    #[test]
    fn the_best_witness_tells_how_a_try_ended() {
        let lost = held(
            12,
            "Transfer output files failure at w7. Details: reading from file /x/m.json: (errno 2) No such file",
        );
        let full = held(
            12,
            "Transfer output files failure at w7. Details: reading from file /x/m.json: (errno 28) No space",
        );
        let silent = Output::default();
        let removed = |words: &str| Some(Outcome::Removed(words.to_owned()));
        let missing = Some(Outcome::OutputMissing(vec!["m.json".to_owned()]));
        assert_eq!(
            outcome(&lost, &seen(20 << 8)),
            Some(Outcome::Exit(20)),
            "kickstart saw why"
        );
        assert_eq!(outcome(&lost, &seen(9)), Some(Outcome::Signal(9)));
        assert_eq!(outcome(&lost, &seen(0)), missing);
        assert_eq!(outcome(&lost, &silent), missing);
        assert!(
            matches!(outcome(&full, &silent), Some(Outcome::Removed(reason)) if reason.contains("No space"))
        );
        assert_eq!(outcome(&held(46, "too long"), &silent), Some(Outcome::Walltime));
        let mut own_policy = held(3, "too long");
        assert_eq!(outcome(&own_policy, &silent), removed("too long"));
        own_policy.hold.as_mut().unwrap().subcode = Some(46);
        assert_eq!(outcome(&own_policy, &silent), Some(Outcome::Walltime));
        assert_eq!(outcome(&held(21, "memory"), &silent), removed("memory"));
        assert_eq!(
            outcome(&ended(Some(Ending::Exit(3))), &silent),
            Some(Outcome::Exit(3))
        );
    }

    #[test]
    fn what_is_no_failure_of_the_job_is_told_apart() {
        let silent = Output::default();
        let stopped = Try {
            stopped: true,
            ..held(12, "x")
        };
        assert_eq!(outcome(&stopped, &silent), Some(Outcome::Interrupted));
        let judged = Try {
            post: Some(Ending::Exit(2)),
            ..ended(Some(Ending::Exit(0)))
        };
        assert!(
            matches!(outcome(&judged, &silent), Some(Outcome::Removed(reason)) if reason.contains("post script"))
        );
        let running = Try {
            ended: None,
            ..ended(None)
        };
        assert_eq!(outcome(&running, &silent), None);
        let done = Try {
            succeeded: true,
            ..ended(None)
        };
        assert_eq!(outcome(&done, &silent), Some(Outcome::Done));
    }
}
