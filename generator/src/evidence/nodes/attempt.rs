//! One job in the queue for a node of a DAG, from its submission on.

use super::NodeState;
use crate::evidence::{
    dag_file::{Node, Script},
    event_log::{Ending, Happening, Hold, QueueId, Used},
    time::LocalTime,
};

/// One job in the queue for a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its id in the queue.
    pub job: QueueId,
    /// When it was submitted.
    pub submitted: LocalTime,
    /// When it first ran; none if it never did.
    pub started: Option<LocalTime>,
    /// When it ended.
    pub ended: Option<LocalTime>,
    /// Where it ran last.
    pub host: Option<String>,
    /// What it does now.
    pub phase: Phase,
    /// When that began.
    pub since: LocalTime,
    /// How it ended; none before, and where it was removed.
    pub ending: Option<Ending>,
    /// Why it was removed from the queue.
    pub removed: Option<String>,
    /// How the node's post script judged it.
    pub post: Option<Ending>,
    /// Why it was last held.
    pub hold: Option<Hold>,
    /// What it used when it last ran.
    pub used: Used,
    /// How often it lost its machine and went to another; not where it was held or removed.
    pub evictions: u32,
    /// Whether the queue itself tries the job again after it.
    pub requeued: bool,
    /// It lost its machine and did nothing since.
    astray: bool,
    pub(super) source: Source,
}

/// What a job in the queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits for a machine.
    Idle,
    /// Runs.
    Running,
    /// Its machine is out of reach.
    OutOfReach,
    /// Waits for somebody to release it.
    Held,
    /// It is no longer in the queue.
    Over,
}

/// Who told of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    NodeLog,
    Dagman,
}

impl Attempt {
    pub(super) fn new(job: QueueId, at: LocalTime, source: Source) -> Self {
        Self {
            job,
            submitted: at,
            started: None,
            ended: None,
            host: None,
            phase: Phase::Idle,
            since: at,
            ending: None,
            removed: None,
            post: None,
            hold: None,
            used: Used::default(),
            evictions: 0,
            requeued: false,
            astray: false,
            source,
        }
    }

    /// Whether it left the queue because DAGMan was told to stop, which is nobody's failure: DAGMan removed it, or the
    /// queue did by the rule DAGMan's own job carries.
    pub fn is_removed_with_dagman(&self) -> bool {
        let words = |reason: &String| reason.starts_with("DAG ") || reason.contains("DAGManJobId");
        self.removed.as_ref().is_some_and(words)
    }

    /// The exit code of the job or, where a post script failed a job that did not, of that.
    pub fn code(&self) -> Option<i32> {
        let code = |ending: Option<Ending>| match ending {
            Some(Ending::Exit(code)) => Some(code),
            _ => None,
        };
        code(self.ending)
            .filter(|code| *code != 0)
            .or_else(|| code(self.post))
            .or_else(|| code(self.ending))
    }

    pub(super) fn on(&mut self, what: &Happening, at: LocalTime) {
        match what {
            Happening::Executing { host } => {
                self.started.get_or_insert(at);
                self.host = host.clone().or_else(|| self.host.take());
                self.evictions += u32::from(std::mem::take(&mut self.astray));
                self.enter(Phase::Running, at);
            }
            Happening::Evicted(used) => {
                self.used = used.over(self.used);
                self.astray = true;
                self.enter(Phase::Idle, at);
            }
            Happening::Requeued(ending, used) | Happening::Terminated(ending, used) => {
                self.requeued = matches!(what, Happening::Requeued(..));
                self.used = used.over(self.used);
                self.ending = Some(*ending);
                self.end(at);
            }
            Happening::Memory(bytes) => {
                let most = self.used.memory.map_or(*bytes, |most| most.max(*bytes));
                self.used.memory = Some(most);
            }
            Happening::Aborted { reason } => {
                self.removed = Some(reason.clone());
                self.end(at);
            }
            Happening::Held(hold) => {
                self.hold = Some(hold.clone());
                self.astray = false;
                self.enter(Phase::Held, at);
            }
            Happening::Released | Happening::ReconnectFailed => self.enter(Phase::Idle, at),
            Happening::Disconnected => self.enter(Phase::OutOfReach, at),
            Happening::Reconnected => self.enter(Phase::Running, at),
            Happening::Submitted { .. }
            | Happening::PostScript { .. }
            | Happening::Skipped { .. }
            | Happening::Other(_) => {}
        }
    }

    fn enter(&mut self, phase: Phase, at: LocalTime) {
        (self.phase, self.since) = (phase, at);
    }

    pub(super) fn end(&mut self, at: LocalTime) {
        self.ended = Some(at);
        self.enter(Phase::Over, at);
    }

    pub(super) fn state(&self, node: &Node) -> NodeState {
        match self.phase {
            Phase::Idle => NodeState::Queued,
            Phase::Running | Phase::OutOfReach => NodeState::Running,
            Phase::Held => NodeState::Held,
            Phase::Over if self.requeued => NodeState::Failed,
            Phase::Over => match (node.post, self.post, self.ending) {
                (_, Some(Ending::Exit(0)), _) => NodeState::Done,
                (_, Some(_), _) => NodeState::Failed,
                (Script::Present, None, _) => NodeState::PostScript,
                (Script::Absent, None, Some(Ending::Exit(0))) => NodeState::Done,
                (Script::Absent, None, _) => NodeState::Failed,
            },
        }
    }
}

impl Used {
    /// These figures, with those of an earlier run where they are silent.
    fn over(self, earlier: Self) -> Self {
        let memory = match (self.memory, earlier.memory) {
            (Some(now), Some(before)) => Some(now.max(before)),
            (now, before) => now.or(before),
        };
        Self {
            cpu_s: self.cpu_s.or(earlier.cpu_s),
            received: self.received.or(earlier.received),
            sent: self.sent.or(earlier.sent),
            memory,
            execute_s: self.execute_s.or(earlier.execute_s),
        }
    }
}
