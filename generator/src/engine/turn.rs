//! One turn of a run: starts jobs, waits for whatever happens next, acts on it, until nothing is left to do.
//!
//! One thread does everything but reading large outputs. It never waits while something is due: it sleeps in one `poll`
//! over the ends of running jobs, outputs that were read, and requests to stop, until the next deadline. Start at [`Turn::run`]; what follows a
//! job's end is in [`super::finish`].

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{PipeReader, PipeWriter, Read},
    os::fd::AsRawFd,
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

use contract::units::{Bytes, Seconds};

use super::{
    EngineError, Message, Observer, Options, Weight,
    digest::{Fact, Identity},
    files::{Mismatch, Store},
    finish::Used,
    graph::{FileIndex, From, Graph, JobIndex},
    guard::{Guard, MOST_GROUPS},
    launch,
    observer::JobView,
    process::{Child, poll},
    resume::{Assessment, history_of, same_inputs},
    schedule::{Grant, Scheduler},
};
use crate::record::{Event, History, JobHistory, Journal, Outcome, RunDir, RunOutcome, Stamp};

/// Everything one turn knows.
pub(super) struct Turn<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) dir: RunDir,
    pub(super) options: &'a Options,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) journal: Journal,
    pub(super) store: Store,
    pub(super) scheduler: Scheduler,
    pub(super) guard: Guard,
    pub(super) jobs: Vec<JobState>,
    pub(super) running: Vec<Running>,
    /// Jobs that wait for another attempt.
    pub(super) later: BinaryHeap<Reverse<(Instant, JobIndex)>>,
    pub(super) failed: Vec<JobIndex>,
    pub(super) going: Going,
    pub(super) reading: Reading,
    history: Option<History>,
    done: usize,
}

/// What is known of a job.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct JobState {
    /// Jobs it comes after that are not done.
    waits: u32,
    /// Attempts of all turns.
    pub(super) attempts: u32,
    /// Failed attempts of this turn.
    pub(super) failures: u32,
    /// It was done in an earlier turn, and is kept unless an input comes out different.
    kept: bool,
}

/// Whether new jobs start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    /// They do.
    On,
    /// A file of the run is not what it was: what runs ends, nothing else starts.
    RunningOut,
    /// Stopped by the user; jobs were told to end.
    Interrupted,
    /// Stopped by the user twice; jobs were killed.
    Killed,
}

/// A job that holds a slot.
pub(super) struct Running {
    pub(super) job: JobIndex,
    pub(super) attempt: u32,
    pub(super) place: PathBuf,
    pub(super) grant: Grant,
    pub(super) started: Instant,
    pub(super) phase: Phase,
}

/// What a running job is at.
pub(super) enum Phase {
    /// Its process runs.
    Process {
        child: Child,
        /// When to act next, if ever: end it, or kill it.
        deadline: Option<Instant>,
        /// Why it was told to end, if it was.
        ending: Option<Ending>,
    },
    /// Its process ended well; its outputs are being read.
    Outputs(Used),
}

/// Why a job was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Walltime,
    Interrupt,
}

/// What reading a job's outputs gave.
pub(super) type Sealed = Result<Vec<(FileIndex, Fact, Identity)>, EngineError>;

/// How threads that read outputs tell that they are done.
pub(super) struct Reading {
    pub(super) send: mpsc::Sender<(JobIndex, Sealed)>,
    receive: mpsc::Receiver<(JobIndex, Sealed)>,
    pub(super) wake: PipeWriter,
    woken: PipeReader,
}

impl<'a> Turn<'a> {
    /// A turn in which every job is to be done.
    pub(super) fn new(
        graph: &'a Graph<'a>,
        dir: RunDir,
        options: &'a Options,
        observer: &'a mut dyn Observer,
        journal: Journal,
        store: Store,
    ) -> Result<Self, EngineError> {
        let (woken, wake) = std::io::pipe().map_err(EngineError::io("work in", dir.root()))?;
        let (send, receive) = mpsc::channel();
        let guard = Guard::start().map_err(EngineError::io("work in", dir.root()))?;
        let jobs = graph.jobs.iter().map(|node| JobState {
            waits: node.after.len() as u32,
            ..JobState::default()
        });
        let mut machine = options.machine.clone();
        machine.slots = machine
            .slots
            .min(std::num::NonZeroU32::new(MOST_GROUPS as u32).unwrap_or(machine.slots));
        Ok(Self {
            graph,
            dir,
            options,
            observer,
            journal,
            store,
            scheduler: Scheduler::new(&machine),
            guard,
            jobs: jobs.collect(),
            running: Vec::new(),
            later: BinaryHeap::new(),
            failed: Vec::new(),
            going: Going::On,
            reading: Reading {
                send,
                receive,
                wake,
                woken,
            },
            history: None,
            done: 0,
        })
    }

    /// Keeps what was done before, as far as the assessment does.
    pub(super) fn continuing(mut self, history: History, assessment: Assessment) -> Self {
        for (index, state) in self.jobs.iter_mut().enumerate() {
            let past = history_of(self.graph, &history, index as JobIndex);
            let last = past.and_then(|job| job.attempts.last());
            state.attempts = last.map_or(0, |attempt| attempt.number);
            state.kept = !assessment.to_do[index];
        }
        self.history = Some(history);
        self
    }

    /// Runs until nothing is left to do.
    pub(super) fn run(mut self) -> Result<RunOutcome, EngineError> {
        for &job in &self.graph.order {
            if self.graph.node(job).after.is_empty() {
                self.ready(job);
            }
        }
        loop {
            self.heed_interrupt();
            self.start_jobs()?;
            if self.running.is_empty() && (self.going != Going::On || self.later.is_empty()) {
                break;
            }
            self.wait()?;
        }
        let outcome = self.outcome();
        self.journal.append(&Event::RunEnded {
            at: Stamp::now(),
            outcome: outcome.clone(),
        })?;
        self.journal.sync()?;
        self.observer.run_ended(&outcome);
        Ok(outcome)
    }

    fn outcome(&mut self) -> RunOutcome {
        let interrupted = matches!(self.going, Going::Interrupted | Going::Killed);
        if self.done == self.jobs.len() {
            RunOutcome::Done
        } else if interrupted {
            RunOutcome::Interrupted
        } else {
            self.failed.sort_unstable();
            let failed = self.failed.iter().map(|&job| self.graph.job(job).id.to_string());
            RunOutcome::Failed(failed.collect())
        }
    }

    /// Takes a job whose predecessors are all done: to the queue, or on to what comes after if it is kept.
    pub(super) fn ready(&mut self, job: JobIndex) {
        let mut list = vec![job];
        while let Some(job) = list.pop() {
            if self.jobs[job as usize].kept && self.is_unchanged(job) {
                self.observer.job_kept(&JobView {
                    id: &self.graph.job(job).id,
                    label: &self.graph.job(job).label,
                    attempt: self.jobs[job as usize].attempts,
                });
                list.extend(self.settle(job));
            } else {
                let height = self.graph.node(job).height;
                self.scheduler.add(job, height, &self.graph.job(job).request);
            }
        }
    }

    /// Whether the inputs of a kept job are still what it read, now that all of them are there.
    fn is_unchanged(&self, job: JobIndex) -> bool {
        self.history.as_ref().is_some_and(|history| {
            let done = history_of(self.graph, history, job).and_then(JobHistory::done);
            done.is_some_and(|done| same_inputs(self.graph, history, job, done, |file| self.store.fact(file)))
        })
    }

    /// Notes that a job is done and gives the jobs that only waited for it.
    pub(super) fn settle(&mut self, job: JobIndex) -> Vec<JobIndex> {
        self.done += 1;
        let mut free = Vec::new();
        for &next in &self.graph.node(job).before {
            let state = &mut self.jobs[next as usize];
            state.waits -= 1;
            if state.waits == 0 {
                free.push(next);
            }
        }
        free
    }

    /// Starts ready jobs while the machine has room.
    fn start_jobs(&mut self) -> Result<(), EngineError> {
        while self.going == Going::On
            && let Some((job, grant)) = self.scheduler.take()
        {
            self.start(job, grant)?;
        }
        Ok(())
    }

    fn start(&mut self, job: JobIndex, grant: Grant) -> Result<(), EngineError> {
        let entry = self.graph.job(job);
        self.jobs[job as usize].attempts += 1;
        let attempt = self.jobs[job as usize].attempts;
        let input_bytes = match self.check_inputs(job) {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.going = Going::RunningOut;
                self.scheduler.release(grant);
                return self.never_started(job, attempt, reason);
            }
        };
        let place = launch::make_directory(self.graph, job, &self.dir)?;
        let mut command = launch::command(
            entry,
            attempt,
            &launch::Surroundings {
                place: &place,
                dir: &self.dir,
                grant: &grant,
                options: self.options,
            },
        )?;
        self.journal.append(&Event::JobStarted {
            at: Stamp::now(),
            job: entry.id.to_string(),
            attempt,
            kind: entry.label.kind.to_string(),
            dataset: entry.label.dataset.as_deref().map(str::to_owned),
            round: entry.label.round,
            client: entry.label.client,
            input_bytes,
        })?;
        let started = Instant::now();
        let child = match Child::spawn(&mut command, self.guard.door()) {
            Ok(child) => child,
            Err(error) => {
                let groups = self.running.iter().filter_map(|running| match &running.phase {
                    Phase::Process { child, .. } => Some(child.group()),
                    Phase::Outputs(_) => None,
                });
                self.guard.keep_only(groups);
                self.scheduler.release(grant);
                let program = command.get_program().to_string_lossy();
                return self.never_started(job, attempt, format!("`{program}` cannot be executed: {error}"));
            }
        };
        self.observer.job_started(&JobView {
            id: &entry.id,
            label: &entry.label,
            attempt,
        });
        self.running.push(Running {
            job,
            attempt,
            place,
            grant,
            started,
            phase: Phase::Process {
                child,
                deadline: walltime(started, entry.request.walltime),
                ending: None,
            },
        });
        Ok(())
    }

    /// The total size of a job's inputs, or why the run cannot go on.
    fn check_inputs(&mut self, job: JobIndex) -> Result<Bytes, String> {
        let mut total = 0;
        for &file in &self.graph.node(job).inputs {
            match self.store.check(self.graph, file) {
                Ok(size) => total += size.0,
                Err(mismatch) => return Err(self.explain(job, file, &mismatch)),
            }
        }
        Ok(Bytes(total))
    }

    /// What is wrong with an input, who needs it, who made it, and the way out.
    fn explain(&self, job: JobIndex, file: FileIndex, mismatch: &Mismatch) -> String {
        let (id, name) = (&self.graph.job(job).id, self.graph.file(file).name);
        let resume = format!("`fedwing resume {}`", self.dir.root().display());
        let (writer, way_out) = match self.graph.file(file).from {
            From::Job(writer) => {
                let writer = &self.graph.job(writer).id;
                (
                    format!("job `{writer}` wrote"),
                    format!("{resume} makes it anew by running `{writer}` again"),
                )
            }
            From::Source(source) => {
                let path = self.graph.sources[source as usize].path;
                let way_out = format!("put `{path}` in order, then {resume}");
                (format!("`{path}` was when the run began"), way_out)
            }
            From::Content(_) => ("the plan says".to_owned(), format!("{resume} writes it again")),
        };
        let state = match mismatch {
            Mismatch::Missing => "is missing".to_owned(),
            Mismatch::Unreadable(why) => format!("cannot be read ({why})"),
            Mismatch::Size { now, written } => {
                format!("has {} bytes, not the {} that {writer}", now.0, written.0)
            }
            Mismatch::Content => format!("is not what {writer}: same size, other content"),
        };
        let origin = match mismatch {
            Mismatch::Missing | Mismatch::Unreadable(_) => format!(" ({writer} it)"),
            Mismatch::Size { .. } | Mismatch::Content => String::new(),
        };
        format!("job `{id}` needs the file `{name}`, which {state}{origin}: {way_out}")
    }

    /// Sleeps until something happens or is due, then acts on all of it.
    fn wait(&mut self) -> Result<(), EngineError> {
        let mut fds = vec![
            self.options.interrupt.as_fd().as_raw_fd(),
            self.reading.woken.as_raw_fd(),
        ];
        let mut waiting = Vec::new();
        for running in &self.running {
            if let Phase::Process { child, .. } = &running.phase {
                fds.push(child.fd());
                waiting.push(running.job);
            }
        }
        let mut ready = Vec::new();
        poll(&fds, self.time_to_next(), &mut ready)
            .map_err(EngineError::io("wait for jobs in", self.dir.root()))?;
        if ready[0] {
            self.options.interrupt.rest();
        }
        if ready[1] {
            // At most one byte a job in flight; what is left wakes the next wait.
            let read = self.reading.woken.read(&mut [0; 64]);
            read.map_err(EngineError::io("wait for jobs in", self.dir.root()))?;
        }
        for (job, _) in waiting.iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
            self.process_ended(*job)?;
        }
        while let Ok((job, sealed)) = self.reading.receive.try_recv() {
            self.outputs_read(job, sealed)?;
        }
        self.act_on_deadlines();
        Ok(())
    }

    fn time_to_next(&self) -> Option<Duration> {
        let deadlines = self.running.iter().filter_map(|running| match &running.phase {
            Phase::Process { deadline, .. } => *deadline,
            Phase::Outputs(_) => None,
        });
        let retry = self.later.peek().map(|Reverse((at, _))| *at);
        let retry = retry.filter(|_| self.going == Going::On);
        let next = deadlines.chain(retry).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Ends jobs whose time is over, kills those that did not end, and takes up waiting attempts.
    fn act_on_deadlines(&mut self) {
        let now = Instant::now();
        for running in &mut self.running {
            if let Phase::Process {
                child,
                deadline,
                ending,
            } = &mut running.phase
                && deadline.is_some_and(|at| at <= now)
            {
                if ending.is_some() {
                    child.signal(libc::SIGKILL);
                    *deadline = None;
                } else {
                    child.signal(libc::SIGTERM);
                    *ending = Some(Ending::Walltime);
                    *deadline = Some(now + self.options.patience.grace);
                }
            }
        }
        while let Some(Reverse((at, job))) = self.later.peek().copied()
            && at <= now
        {
            self.later.pop();
            self.ready(job);
        }
    }

    /// Stops at the first request, kills at the second.
    fn heed_interrupt(&mut self) {
        let asked = self.options.interrupt.asked();
        let (signal, wanted) = match (asked, self.going) {
            (0, _) | (1, Going::Interrupted) | (_, Going::Killed) => return,
            (1, _) => (libc::SIGTERM, Going::Interrupted),
            (_, _) => (libc::SIGKILL, Going::Killed),
        };
        self.going = wanted;
        let text = match wanted {
            Going::Killed => "killing what still runs",
            _ => "stopping: jobs are told to end; once more kills them",
        };
        self.observer.message(&Message {
            weight: Weight::Warning,
            text: text.to_owned(),
        });
        let kill_at = Instant::now() + self.options.patience.grace;
        for running in &mut self.running {
            if let Phase::Process {
                child,
                deadline,
                ending,
            } = &mut running.phase
            {
                child.signal(signal);
                ending.get_or_insert(Ending::Interrupt);
                *deadline = (signal == libc::SIGTERM).then_some(kill_at);
            }
        }
    }

    /// Records that a job could not start; it is not tried again.
    fn never_started(&mut self, job: JobIndex, attempt: u32, reason: String) -> Result<(), EngineError> {
        self.observer.message(&Message {
            weight: Weight::Error,
            text: reason.clone(),
        });
        self.record_end(job, attempt, Outcome::NotStarted(reason), Used::default())
    }
}

/// When a job that starts now is told to end; never with a walltime of 0 or beyond the clock's range.
fn walltime(started: Instant, walltime: Seconds) -> Option<Instant> {
    (walltime.0 > 0)
        .then(|| started.checked_add(Duration::from_secs(walltime.0)))
        .flatten()
}
