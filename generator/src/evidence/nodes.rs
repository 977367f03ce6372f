//! The state of a DAG's nodes, as its logs tell it.
//!
//! In: a [`DagFile`], then the events of its node log and the lines of DAGMan's own output in the order they come. Out:
//! the [`NodeState`] of each node and every [`Attempt`] at it. Start at [`Nodes`]. Pure.

mod attempt;

use std::collections::HashMap;

use self::attempt::Source;
pub use self::attempt::{Attempt, Phase};
use super::{
    dag_file::{DagFile, Node},
    dagman_out::{Line, Says},
    event_log::{Ending, Happening, Hold, JobEvent, QueueId, Used},
    time::LocalTime,
};

/// A DAG's nodes and what happened to them.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    dag: DagFile,
    index: HashMap<String, usize>,
    runs: Vec<NodeRun>,
    /// Which node a job in the queue does.
    jobs: HashMap<QueueId, usize>,
    starts: Vec<(LocalTime, QueueId)>,
    ended: Option<(LocalTime, i32)>,
    removed: bool,
}

/// What happened to one node.
#[derive(Debug, Clone, Default)]
struct NodeRun {
    attempts: Vec<Attempt>,
    done: bool,
    pre_runs: bool,
    /// Tries that failed before there was a job, since DAGMan started.
    early_failures: u32,
    /// Why it failed for good, in this start of DAGMan.
    failed: Option<String>,
}

/// The state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Waits for others.
    Unready,
    /// Could be submitted, or tried again.
    Ready,
    /// Its pre script runs.
    PreScript,
    /// Its job waits for a machine.
    Queued,
    /// Its job runs.
    Running,
    /// Its job is held.
    Held,
    /// Its post script runs.
    PostScript,
    /// Done.
    Done,
    /// Failed for good.
    Failed,
    /// Waits for one that failed.
    Futile,
}

/// How far DAGMan itself is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its output does not exist, or says nothing yet.
    NotStarted,
    /// It started and did not say that it ended.
    Started,
    /// It ended with this status.
    Ended(i32),
}

impl Nodes {
    /// Nodes of which nothing is known but the DAG.
    pub fn new(dag: DagFile) -> Self {
        let mut nodes = Self {
            index: dag
                .nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (node.name.clone(), index))
                .collect(),
            runs: vec![NodeRun::default(); dag.nodes.len()],
            ..Self::default()
        };
        let done = dag.done.clone();
        nodes.dag = dag;
        nodes.mark_done(&done);
        nodes
    }

    /// The nodes, in the order of the DAG file.
    pub fn all(&self) -> &[Node] {
        &self.dag.nodes
    }

    /// Lines of the DAG file that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.dag.unreadable
    }

    /// Attempts at a node, in the order of their submission.
    pub fn attempts(&self, node: usize) -> &[Attempt] {
        &self.runs[node].attempts
    }

    /// How many jobs are in the queue, as far as the node log tells: those of a DAGMan that ended are on their way out.
    pub fn in_queue(&self) -> usize {
        let attempts = self.runs.iter().flat_map(|run| &run.attempts);
        attempts.filter(|attempt| attempt.phase != Phase::Over).count()
    }

    /// Whether an attempt at a node did it.
    pub fn succeeded(&self, node: usize, attempt: &Attempt) -> bool {
        attempt.state(&self.dag.nodes[node]) == NodeState::Done
    }

    /// Why a node failed, as far as DAGMan said.
    pub fn error(&self, node: usize) -> Option<&str> {
        self.runs[node].failed.as_deref()
    }

    /// When DAGMan started, each time, and as which job.
    pub fn starts(&self) -> &[(LocalTime, QueueId)] {
        &self.starts
    }

    /// How far DAGMan is.
    pub fn life(&self) -> Life {
        match (self.starts.last(), self.ended) {
            (_, Some((_, status))) => Life::Ended(status),
            (Some(_), None) => Life::Started,
            (None, None) => Life::NotStarted,
        }
    }

    /// When DAGMan ended, if it did.
    pub fn ended_at(&self) -> Option<LocalTime> {
        self.ended.map(|(at, _)| at)
    }

    /// Whether DAGMan was removed from the queue.
    pub fn was_removed(&self) -> bool {
        self.removed
    }

    /// Nodes named as done by a rescue file.
    pub fn mark_done(&mut self, names: &[String]) {
        for name in names {
            if let Some(node) = self.index.get(name) {
                self.runs[*node].done = true;
            }
        }
    }

    /// Takes in an event of the node log.
    pub fn on_event(&mut self, event: &JobEvent) {
        let named = match &event.what {
            Happening::Submitted { node }
            | Happening::Skipped { node }
            | Happening::PostScript { node, .. } => {
                node.as_ref().and_then(|name| self.index.get(name).copied())
            }
            _ => None,
        };
        let Some(node) = named.or_else(|| self.jobs.get(&event.job).copied()) else {
            return;
        };
        let run = &mut self.runs[node];
        match &event.what {
            Happening::Skipped { .. } => run.done = true,
            Happening::PostScript { ending, .. } => run.post_script(event.job.cluster, *ending, event.at),
            Happening::Submitted { .. } => {
                self.jobs.insert(event.job, node);
                run.begin(event.job, event.at, Source::NodeLog);
            }
            what => {
                if let Some(attempt) = run.attempt(event.job) {
                    attempt.on(what, event.at);
                }
                if matches!(what, Happening::Requeued(..)) {
                    run.begin(event.job, event.at, Source::NodeLog);
                }
            }
        }
    }

    /// Takes in a line of DAGMan's output.
    pub fn on_line(&mut self, line: &Line) {
        match &line.says {
            Says::Started { job } => self.start(line.at, *job),
            Says::Ended { status } => self.ended = Some((line.at, *status)),
            Says::Removed => self.removed = true,
            Says::Event {
                node,
                job,
                event,
                happened,
            } => {
                let Some(&node) = self.index.get(node) else { return };
                self.jobs.entry(*job).or_insert(node);
                self.runs[node].on_dagman_event(*job, event, *happened);
            }
            Says::JobEnded { node, job, ending } => {
                if let Some(attempt) = self.run(node).and_then(|run| run.attempt(*job))
                    && attempt.source == Source::Dagman
                {
                    attempt.ending = Some(*ending);
                }
            }
            Says::PreRuns { node } => {
                if let Some(run) = self.run(node) {
                    run.pre_runs = true;
                }
            }
            Says::PreEnded { node, status } => {
                if let Some(run) = self.run(node) {
                    run.pre_runs = false;
                    run.early_failures += u32::from(*status != 0);
                }
            }
            Says::PostEnded { node, status } => {
                if let Some(run) = self.run(node) {
                    run.post_script_by_dagman(*status, line.at);
                }
            }
            Says::Retries { node } => {
                if let Some(run) = self.run(node) {
                    run.failed = None;
                }
            }
            Says::NotSubmitted { node } => self.fail(node, "its job could not be submitted"),
            Says::Failed { node, error } => self.fail(node, error),
            Says::Counts(_) => {}
        }
    }

    fn run(&mut self, node: &str) -> Option<&mut NodeRun> {
        self.index.get(node).map(|index| &mut self.runs[*index])
    }

    fn fail(&mut self, node: &str, error: &str) {
        if let Some(run) = self.run(node) {
            run.failed = Some(error.to_owned());
        }
    }

    fn start(&mut self, at: LocalTime, job: QueueId) {
        self.starts.push((at, job));
        (self.ended, self.removed) = (None, false);
        for run in &mut self.runs {
            (run.failed, run.early_failures, run.pre_runs) = (None, 0, false);
        }
    }

    /// The state of every node, in the order of the DAG file.
    pub fn states(&self) -> Vec<NodeState> {
        let since = self.starts.last().map(|(at, _)| *at);
        let ended = self.ended.is_some();
        let nodes = self.dag.nodes.iter().zip(&self.runs);
        let mut states: Vec<_> = nodes.map(|(node, run)| run.state(node, since, ended)).collect();
        self.wait(&mut states);
        states
    }

    /// Nodes that are not begun wait for parents that are not done, in vain where one of them failed.
    fn wait(&self, states: &mut [NodeState]) {
        let mut children = vec![Vec::new(); states.len()];
        for (number, edge) in self.dag.edges.iter().enumerate() {
            edge.parents
                .iter()
                .for_each(|parent| children[*parent].push(number));
            if edge
                .parents
                .iter()
                .any(|parent| states[*parent] != NodeState::Done)
            {
                for child in &edge.children {
                    if states[*child] == NodeState::Ready {
                        states[*child] = NodeState::Unready;
                    }
                }
            }
        }
        let mut lost: Vec<usize> = (0..states.len())
            .filter(|node| states[*node] == NodeState::Failed)
            .collect();
        let mut followed = vec![false; self.dag.edges.len()];
        while let Some(node) = lost.pop() {
            for &number in &children[node] {
                if std::mem::replace(&mut followed[number], true) {
                    continue;
                }
                for &child in &self.dag.edges[number].children {
                    if states[child] == NodeState::Unready {
                        states[child] = NodeState::Futile;
                        lost.push(child);
                    }
                }
            }
        }
    }
}

impl NodeRun {
    fn attempt(&mut self, job: QueueId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().rev().find(|attempt| attempt.job == job)
    }

    fn begin(&mut self, job: QueueId, at: LocalTime, source: Source) {
        self.pre_runs = false;
        if let Some(index) = self.attempts.iter().rposition(|attempt| attempt.job == job) {
            let known = &self.attempts[index];
            if known.source == Source::Dagman || known.phase != Phase::Over || known.submitted == at {
                // The node log tells more than DAGMan did, and tells it from the beginning, in a copy of it too.
                self.attempts.remove(index);
            }
        }
        let place = self.attempts.partition_point(|attempt| attempt.submitted <= at);
        self.attempts.insert(place, Attempt::new(job, at, source));
    }

    /// An event that DAGMan saw: of use only where the node log no longer has it.
    fn on_dagman_event(&mut self, job: QueueId, event: &str, at: LocalTime) {
        match self.attempt(job).map(|attempt| attempt.source) {
            Some(Source::NodeLog) => return,
            None => self.begin(job, at, Source::Dagman),
            Some(Source::Dagman) => {}
        }
        let Some(attempt) = self.attempt(job) else { return };
        let what = match event {
            "EXECUTE" => Happening::Executing { host: None },
            "JOB_EVICTED" => Happening::Evicted(Used::default()),
            // How it ended is in a line of its own, which follows.
            "JOB_TERMINATED" => return attempt.end(at),
            "JOB_ABORTED" => Happening::Aborted {
                reason: "it was removed from the queue".to_owned(),
            },
            "JOB_HELD" => Happening::Held(Hold {
                reason: "the reason is no longer recorded".to_owned(),
                code: None,
                subcode: None,
            }),
            "JOB_RELEASED" => Happening::Released,
            _ => return,
        };
        attempt.on(&what, at);
    }

    fn post_script(&mut self, cluster: u64, ending: Ending, at: LocalTime) {
        for attempt in self
            .attempts
            .iter_mut()
            .filter(|attempt| attempt.job.cluster == cluster && !attempt.requeued)
        {
            attempt.post = Some(ending);
            attempt.phase = Phase::Over;
            attempt.ended.get_or_insert(at);
        }
    }

    fn post_script_by_dagman(&mut self, status: i32, at: LocalTime) {
        if let Some(last) = self.attempts.last_mut()
            && last.source == Source::Dagman
        {
            last.post.get_or_insert(Ending::Exit(status));
            last.ended.get_or_insert(at);
        }
    }

    fn state(&self, node: &Node, since: Option<LocalTime>, ended: bool) -> NodeState {
        if self.done {
            return NodeState::Done;
        }
        let last = self.attempts.last().map(|attempt| attempt.job.cluster);
        let current = self
            .attempts
            .iter()
            .filter(|attempt| Some(attempt.job.cluster) == last && !attempt.requeued);
        let state = current
            .map(|attempt| match attempt.state(node) {
                // It left the queue under the DAGMan before: this one begins anew.
                NodeState::PostScript | NodeState::Failed
                    if since.is_some_and(|since| attempt.submitted < since) =>
                {
                    NodeState::Ready
                }
                state => state,
            })
            .max_by_key(|state| weight(*state));
        match state {
            Some(NodeState::Done) => NodeState::Done,
            _ if self.failed.is_some() => NodeState::Failed,
            Some(NodeState::Failed | NodeState::Ready) | None if self.is_given_up(node, since) => {
                NodeState::Failed
            }
            // DAGMan is gone: what it had in the queue is removed, and done again by the next one.
            _ if ended => NodeState::Ready,
            _ if self.pre_runs => NodeState::PreScript,
            Some(NodeState::Failed | NodeState::Ready) | None => NodeState::Ready,
            Some(state) => state,
        }
    }

    /// Whether no try is left, of those in this start of DAGMan.
    fn is_given_up(&self, node: &Node, since: Option<LocalTime>) -> bool {
        // DAGMan writes its own times without fractions.
        let tries = self
            .attempts
            .iter()
            .filter(|attempt| since.is_none_or(|since| attempt.submitted >= since));
        let mut clusters: Vec<u64> = Vec::new();
        let mut final_code = false;
        let mut removed_with_dagman = false;
        for attempt in tries.filter(|attempt| attempt.state(node) == NodeState::Failed && !attempt.requeued) {
            clusters.push(attempt.job.cluster);
            final_code = node.unless_exit.is_some_and(|code| attempt.code() == Some(code));
            removed_with_dagman = attempt.is_removed_with_dagman();
        }
        clusters.dedup();
        let failures = u32::try_from(clusters.len())
            .unwrap_or(u32::MAX)
            .saturating_add(self.early_failures);
        !removed_with_dagman && failures > 0 && (final_code || failures > node.retries)
    }
}

/// The state that counts where a node has several jobs.
fn weight(state: NodeState) -> u8 {
    match state {
        NodeState::Failed => 6,
        NodeState::Held => 5,
        NodeState::Running => 4,
        NodeState::PostScript => 3,
        NodeState::Queued => 2,
        NodeState::Ready => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
