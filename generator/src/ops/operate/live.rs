//! Whether somebody works on a run that has no end yet.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use super::tools;
use crate::evidence::{
    Engine, Nodes, Phase, beside,
    event_log::{self, Happening, Hold, QueueId},
    read_text,
};

/// The largest log of DAGMan's own job that is read.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// How long what `condor_q` said is believed.
const BELIEVED: Duration = Duration::from_secs(15);

/// DAGMan says something at least every ten minutes; after this much silence it is taken for gone where nothing else tells.
const SILENCE: Duration = Duration::from_secs(1800);

/// What is known of DAGMan's own job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnJob {
    /// Its id in the queue.
    pub job: QueueId,
    /// Whether it left the queue.
    pub over: bool,
    /// Why it is held, if it is.
    pub held: Option<Hold>,
}

/// Looks whether DAGMan is there, without asking the queue more often than needed.
#[derive(Debug, Default)]
pub struct Liveness {
    asked: Option<(Instant, QueueId, Option<bool>)>,
}

impl Liveness {
    /// The phase of a run, given what its own files say.
    pub fn phase(&mut self, dag: &Path, nodes: &Nodes, told: Phase) -> Phase {
        let own = own_job(dag);
        let last = nodes.starts().last().map(|(_, job)| *job);
        let newer = own.as_ref().filter(|own| last.is_none_or(|last| own.job > last));
        match (told, newer) {
            // Submitted, again or for the first time, and not begun.
            (_, Some(own)) if !own.over => Phase::Waiting,
            (Phase::Waiting, Some(_)) => Phase::Dead,
            (Phase::Waiting, None) => Phase::NotSubmitted,
            (Phase::Running, _) => match last {
                Some(job) if self.is_gone(dag, job, own.as_ref()) => Phase::Dead,
                _ => Phase::Running,
            },
            (told, _) => told,
        }
    }

    fn is_gone(&mut self, dag: &Path, job: QueueId, own: Option<&OwnJob>) -> bool {
        if own.is_some_and(|own| own.job == job && own.over) {
            return true;
        }
        match self.in_queue(job) {
            Some(there) => !there,
            None => is_silent(&beside(dag, "dagman.out")),
        }
    }

    /// Whether the queue has the job; none where it cannot be asked.
    fn in_queue(&mut self, job: QueueId) -> Option<bool> {
        if let Some((at, asked, answer)) = self.asked
            && asked == job
            && at.elapsed() < BELIEVED
        {
            return answer;
        }
        let answer = ask_queue(job);
        self.asked = Some((Instant::now(), job, answer));
        answer
    }
}

fn ask_queue(job: QueueId) -> Option<bool> {
    let mut command = tools::tool("condor_q", tools::HTCONDOR, Path::new("/")).ok()?;
    command.arg(job.cluster.to_string()).args(["-af", "JobStatus"]);
    let said = tools::run(&mut command).ok()?;
    Some(!said.trim().is_empty())
}

/// What the log of DAGMan's own job says of its last one.
pub fn own_job(dag: &Path) -> Option<OwnJob> {
    let text = read_text(&beside(dag, "dagman.log"), MAX_LOG_BYTES)
        .ok()
        .flatten()?;
    let mut own: Option<OwnJob> = None;
    for event in event_log::parse(text.as_bytes()).events {
        match event.what {
            Happening::Submitted { .. } => {
                own = Some(OwnJob {
                    job: event.job,
                    over: false,
                    held: None,
                });
            }
            what => {
                if let Some(own) = own.as_mut().filter(|own| own.job == event.job) {
                    own.take(what);
                }
            }
        }
    }
    own
}

impl OwnJob {
    fn take(&mut self, what: Happening) {
        match what {
            Happening::Terminated(..) | Happening::Aborted { .. } => self.over = true,
            Happening::Held(hold) => self.held = Some(hold),
            Happening::Released => self.held = None,
            _ => {}
        }
    }
}

fn is_silent(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|about| about.modified());
    let since = written
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    since.is_none_or(|since| since > SILENCE)
}

/// Whether an engine works on the run with this record: it holds a lock on it.
pub fn engine(record: &Path) -> Engine {
    match holder(record) {
        Some(_) => Engine::Works,
        None => Engine::Gone,
    }
}

/// The process that holds a lock on the record.
///
/// Found by what the kernel tells of locks and open files, not by trying the lock: an engine that starts at that moment
/// must not find it taken.
pub fn holder(record: &Path) -> Option<i32> {
    let record = fs::canonicalize(record).ok()?;
    let locks = read_text(Path::new("/proc/locks"), MAX_LOG_BYTES)
        .ok()
        .flatten()?;
    let pids = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let lock = *words.get(1)? == "FLOCK" && words.get(3) == Some(&"WRITE");
        lock.then(|| words.get(4)?.parse::<i32>().ok()).flatten()
    });
    pids.into_iter().find(|pid| has_open(*pid, &record))
}

fn has_open(pid: i32, path: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}
