//! What follows the end of a job's process: its outputs are kept, the end is recorded, what waited for it is ready, or
//! it is tried again.
//!
//! Order, so that a crash between any two steps is mended by `resume`: outputs are read, made read-only and moved into
//! the run's files; the end is recorded; the directory is removed; what waited becomes ready. Start at
//! [`Turn::process_ended`].

use std::{
    cmp::Reverse,
    io::Write,
    os::unix::process::ExitStatusExt,
    thread,
    time::{Duration, Instant},
};

use contract::{
    exit::{Retry, retry_for_code},
    job::{Failure, JobError, read_json},
    names::FAILURE_FILE,
    units::Bytes,
};

use super::{
    EngineError, Message, Next, Weight,
    digest::{Fact, Identity},
    files::{Move, seal, survey},
    graph::{FileIndex, JobIndex},
    launch,
    observer::{JobEnd, JobView},
    process::Exit,
    turn::{Ending, Going, Phase, Running, Sealed, Turn},
};
use crate::record::{Event, FileFact, Outcome, Stamp};

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) peak_memory: Bytes,
}

/// Outputs of at most this size in all are read at once; a thread would cost more than reading them.
const READ_AT_ONCE: Bytes = Bytes(1 << 20);

/// The largest failure file that is read.
const LARGEST_FAILURE: u64 = 1 << 20;

impl Turn<'_> {
    /// Acts on the end of a job's process.
    pub(super) fn process_ended(&mut self, job: JobIndex) -> Result<(), EngineError> {
        let Some(mut running) = self.take_running(job) else {
            return Ok(());
        };
        let (child, ending) = match running.phase {
            Phase::Process { child, ending, .. } => (child, ending),
            Phase::Outputs(_) => return Ok(()),
        };
        // A job is over when its first process is: what it left running is killed, while the number is still its own.
        child.signal(libc::SIGKILL);
        self.guard.remove(child.group());
        let exit = child
            .reap()
            .map_err(EngineError::io("wait for jobs in", self.dir.root()))?;
        let used = Used {
            wall: running.started.elapsed(),
            cpu: exit.cpu,
            peak_memory: exit.peak_memory,
        };
        running.phase = Phase::Outputs(used);
        match failed_outcome(&exit, ending) {
            Some(outcome) => self.attempt_failed(running, used, outcome),
            None => self.keep_outputs(running, used),
        }
    }

    fn take_running(&mut self, job: JobIndex) -> Option<Running> {
        let place = self.running.iter().position(|running| running.job == job)?;
        Some(self.running.remove(place))
    }

    /// Reads a job's outputs: small ones at once, others in a thread while the job keeps its slot.
    fn keep_outputs(&mut self, running: Running, used: Used) -> Result<(), EngineError> {
        let outputs = &self.graph.node(running.job).outputs;
        let named = outputs.iter().map(|&file| {
            let name = self.graph.file(file).name.as_str();
            (running.place.join(name), name.to_owned())
        });
        let size = match survey(named) {
            Ok(size) => size,
            Err(missing) => return self.attempt_failed(running, used, Outcome::OutputMissing(missing)),
        };
        let mut moves = Vec::with_capacity(outputs.len());
        for &file in outputs {
            let to = self.store.path(self.graph, file);
            self.store.make_folder_of(&to)?;
            let from = running.place.join(self.graph.file(file).name.as_str());
            moves.push(Move { file, from, to });
        }
        if size <= READ_AT_ONCE {
            return self.attempt_done(running, used, &seal(&moves)?);
        }
        let send = self.reading.send.clone();
        let mut wake = self
            .reading
            .wake
            .try_clone()
            .map_err(EngineError::io("work in", self.dir.root()))?;
        let job = running.job;
        self.running.push(running);
        thread::spawn(move || {
            // Both fail only when the turn is over and nobody listens any more.
            let _ = send.send((job, seal(&moves)));
            let _ = wake.write_all(&[1]);
        });
        Ok(())
    }

    /// Acts on outputs that a thread has read.
    pub(super) fn outputs_read(&mut self, job: JobIndex, sealed: Sealed) -> Result<(), EngineError> {
        let Some(running) = self.take_running(job) else {
            return Ok(());
        };
        match running.phase {
            Phase::Outputs(used) => self.attempt_done(running, used, &sealed?),
            Phase::Process { .. } => Ok(()),
        }
    }

    fn attempt_done(
        &mut self,
        running: Running,
        used: Used,
        outputs: &[(FileIndex, Fact, Identity)],
    ) -> Result<(), EngineError> {
        let Running {
            job,
            attempt,
            place,
            grant,
            ..
        } = running;
        let facts = outputs.iter().map(|(file, fact, _)| FileFact {
            name: self.graph.file(*file).name.to_string(),
            size: fact.size,
            sha256: fact.digest.to_string(),
        });
        let end = End {
            outcome: Outcome::Done,
            outputs: facts.collect(),
            failure: None,
            left: Left::Nothing,
        };
        self.record(job, attempt, &end, used)?;
        for (file, fact, identity) in outputs {
            self.store.learn(*file, *fact, Some(*identity));
        }
        launch::remove_directory(&place)?;
        launch::remove_empty_logs(self.graph.job(job), attempt, &self.dir);
        self.scheduler.release(grant);
        self.tell_end(job, attempt, &end, used, Next::Settled);
        for next in self.settle(job) {
            self.ready(next);
        }
        Ok(())
    }

    fn attempt_failed(&mut self, running: Running, used: Used, outcome: Outcome) -> Result<(), EngineError> {
        let Running {
            job,
            attempt,
            place,
            grant,
            ..
        } = running;
        self.scheduler.release(grant);
        let failure = match read_failure(&place) {
            Ok(failure) => failure,
            Err(error) => {
                self.observer.message(&Message {
                    weight: Weight::Warning,
                    text: format!(
                        "the failure file of job `{}` is of no use: {error}",
                        self.graph.job(job).id
                    ),
                });
                None
            }
        };
        let left = match launch::has_checkpoint(self.graph.job(job), &place) {
            true => Left::Checkpoint,
            false => Left::Nothing,
        };
        self.end_badly(
            job,
            attempt,
            End {
                outcome,
                outputs: Vec::new(),
                failure,
                left,
            },
            used,
        )
    }

    /// Records the end of an attempt that left nothing but its outcome.
    pub(super) fn record_end(
        &mut self,
        job: JobIndex,
        attempt: u32,
        outcome: Outcome,
        used: Used,
    ) -> Result<(), EngineError> {
        let end = End {
            outcome,
            outputs: Vec::new(),
            failure: None,
            left: Left::Nothing,
        };
        self.end_badly(job, attempt, end, used)
    }

    /// Records a failed attempt and decides whether there is another.
    fn end_badly(&mut self, job: JobIndex, attempt: u32, end: End, used: Used) -> Result<(), EngineError> {
        self.record(job, attempt, &end, used)?;
        let state = &mut self.jobs[job as usize];
        state.failures += 1;
        let again = state.failures <= self.graph.job(job).retries
            && self.going == Going::On
            && retry_can_help(&end.outcome, end.left) == Retry::CanHelp;
        let next = if again {
            let wait = self.options.patience.before_retry(state.failures);
            self.later.push(Reverse((Instant::now() + wait, job)));
            Next::Retry(wait)
        } else {
            // One that the user stopped did not fail.
            if end.outcome != Outcome::Interrupted {
                self.failed.push(job);
            }
            Next::GivenUp
        };
        self.tell_end(job, attempt, &end, used, next);
        Ok(())
    }

    fn record(&mut self, job: JobIndex, attempt: u32, end: &End, used: Used) -> Result<(), EngineError> {
        self.journal.append(&Event::JobEnded {
            at: Stamp::now(),
            job: self.graph.job(job).id.to_string(),
            attempt,
            outcome: end.outcome.clone(),
            wall_s: used.wall.as_secs_f64(),
            cpu_s: used.cpu.as_secs_f64(),
            peak_memory: used.peak_memory,
            outputs: end.outputs.clone(),
            failure: end.failure.clone(),
        })?;
        Ok(())
    }

    fn tell_end(&mut self, job: JobIndex, attempt: u32, end: &End, used: Used, next: Next) {
        let entry = self.graph.job(job);
        let view = JobView {
            id: &entry.id,
            label: &entry.label,
            attempt,
        };
        self.observer.job_ended(
            &view,
            &JobEnd {
                outcome: &end.outcome,
                wall: used.wall,
                cpu: used.cpu,
                peak_memory: used.peak_memory,
                failure: end.failure.as_ref(),
                next,
            },
        );
    }
}

/// What an attempt ended with.
struct End {
    outcome: Outcome,
    outputs: Vec<FileFact>,
    failure: Option<Failure>,
    /// Whether another attempt would go on from where this one was.
    left: Left,
}

/// What an attempt that failed left for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Checkpoint,
}

/// How an attempt failed; none if its process ended well.
fn failed_outcome(exit: &Exit, ending: Option<Ending>) -> Option<Outcome> {
    // What ends after it was told to is not trusted to be complete, whatever its exit code says.
    match ending {
        Some(Ending::Walltime) => return Some(Outcome::Walltime),
        Some(Ending::Interrupt) => return Some(Outcome::Interrupted),
        None => {}
    }
    match (exit.status.code(), exit.status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(Outcome::Exit(code)),
        (None, signal) => Some(Outcome::Signal(signal.unwrap_or(0))),
    }
}

/// Whether another attempt can end differently.
fn retry_can_help(outcome: &Outcome, left: Left) -> Retry {
    match outcome {
        // The next attempt has less to do.
        Outcome::Walltime if left == Left::Checkpoint => Retry::CanHelp,
        Outcome::Exit(code) => retry_for_code(*code),
        Outcome::Signal(_) => Retry::CanHelp,
        // It used all the time it asked for and would again; what is not there does not come by waiting.
        Outcome::Walltime | Outcome::OutputMissing(_) | Outcome::NotStarted(_) => Retry::Useless,
        Outcome::Done | Outcome::Interrupted | Outcome::Removed(_) => Retry::Useless,
    }
}

/// The job's own account of its failure, if it left one.
fn read_failure(place: &std::path::Path) -> Result<Option<Failure>, JobError> {
    let path = place.join(FAILURE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    read_json(&path, LARGEST_FAILURE).map(Some)
}
