//! A run on a pool: a DAG, its sub-DAGs, and what its jobs are about.
//!
//! In: the DAG file and, where there is one, the manifest. Out: [`Observed`]. Start at [`PoolRun`].

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    dag_file::{Node, NodeKind},
    follow::{Follow, FollowError, beside, is_sub_workflow},
    jobstate::{self, Fact},
    manifest::{self, ManifestJob},
    metrics,
    nodes::{Attempt, Life, NodeState, Nodes, Phase as JobPhase},
    observed::{Job, Observed, Phase, Role, Submit, System, Try},
    tail::{read_beginning, read_text},
    time::LocalTime,
    zone::Zone,
};
use crate::record::Stamp;

/// Why a run on a pool cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A file of it cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The manifest has a line that is none.
    #[error("{}:{line}: not a line of a manifest of jobs", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// A run on a pool, followed.
#[derive(Debug)]
pub struct PoolRun {
    system: System,
    name: String,
    dag: Follow,
    manifest: HashMap<String, ManifestJob>,
    zone: Zone,
}

impl PoolRun {
    /// Begins to follow the run of `dag`, whose jobs `manifest` describes where it is there.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn open(system: System, name: &str, dag: &Path, manifest: &Path) -> Result<Self, PoolError> {
        Ok(Self {
            system,
            name: name.to_owned(),
            dag: Follow::open(dag)?,
            manifest: read_manifest(manifest)?,
            zone: Zone::default(),
        })
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn refresh(&mut self) -> Result<(), FollowError> {
        self.dag.refresh()
    }

    /// The DAG.
    pub fn dag(&self) -> &Follow {
        &self.dag
    }

    /// What is known of the run.
    ///
    /// A run that began and has no end is [`Phase::Running`]; whether DAGMan is still there, these files do not say.
    pub fn observed(&mut self) -> Observed {
        if !self.zone.is_told()
            && let Some((local, instant)) = told_zone(&self.dag)
        {
            self.zone.learn(local, instant);
        }
        let mut jobs = BTreeMap::new();
        let mut zone = std::mem::take(&mut self.zone);
        let above = Above {
            prefix: String::new(),
            state: NodeState::Running,
        };
        collect(&self.dag, &above, self, &mut zone, &mut jobs);
        self.zone = zone;
        for (name, described) in &self.manifest {
            if !jobs.contains_key(name) {
                jobs.insert(name.clone(), described_job(name, described));
            }
        }
        let nodes = self.dag.nodes();
        let starts: Vec<_> = nodes.starts().iter().map(|(at, _)| *at).collect();
        Observed {
            system: self.system,
            name: self.name.clone(),
            phase: phase(nodes),
            starts: starts.into_iter().map(|at| self.zone.stamp(at)).collect(),
            ended: nodes.ended_at().map(|at| self.zone.stamp(at)),
            jobs: jobs.into_values().collect(),
            unnamed: 0,
            unreadable: self.dag.all().iter().map(|dag| dag.unreadable()).sum(),
        }
    }
}

/// A moment by DAGMan's clock and in UTC: it writes both when it ends, and `jobstate.log` has both when it starts.
fn told_zone(dag: &Follow) -> Option<(LocalTime, Stamp)> {
    let nodes = dag.nodes();
    let metrics = read_text(&beside(dag.path(), "metrics"), metrics::MAX_BYTES)
        .ok()
        .flatten();
    if let (Some(metrics), Some(local)) = (
        metrics.and_then(|text| metrics::parse(&text).ok()),
        nodes.ended_at(),
    ) {
        return Some((local, Stamp((metrics.end_time * 1000.0) as u64)));
    }
    let beginning = read_beginning(&dag.path().with_file_name("jobstate.log"), JOBSTATE_BYTES)?;
    let (entries, _) = jobstate::parse(&beginning);
    let first = entries
        .into_iter()
        .find(|entry| matches!(entry.what, Fact::Started(_)))?;
    nodes.starts().first().map(|(local, _)| (*local, first.at))
}

/// Enough of `jobstate.log` to find when DAGMan started first.
const JOBSTATE_BYTES: u64 = 64 << 10;

fn phase(nodes: &Nodes) -> Phase {
    match nodes.life() {
        Life::NotStarted => Phase::Waiting,
        Life::Started => Phase::Running,
        Life::Ended(0) => Phase::Done,
        Life::Ended(_) if nodes.was_removed() => Phase::Stopped,
        Life::Ended(_) => Phase::Failed,
    }
}

fn read_manifest(path: &Path) -> Result<HashMap<String, ManifestJob>, PoolError> {
    let text = read_text(path, manifest::MAX_BYTES).map_err(|source| FollowError {
        path: path.to_owned(),
        source,
    })?;
    let jobs = manifest::parse(&text.unwrap_or_default()).map_err(|(line, source)| PoolError::Manifest {
        path: path.to_owned(),
        line,
        source,
    })?;
    Ok(jobs.into_iter().map(|job| (job.job.clone(), job)).collect())
}

fn collect(dag: &Follow, above: &Above, run: &PoolRun, zone: &mut Zone, jobs: &mut BTreeMap<String, Job>) {
    let nodes = dag.nodes();
    for (index, (node, state)) in nodes.all().iter().zip(nodes.states()).enumerate() {
        if node.kind == NodeKind::Beside {
            continue;
        }
        let mut job = identify(node, &above.prefix, run);
        job.state = above.holds_back(state);
        job.error = nodes.error(index).map(str::to_owned);
        let (file, from) = dag.submit_file(node);
        let submit = Arc::new(Submit { file, from });
        let attempts = nodes.attempts(index).iter();
        job.attempts = attempts
            .map(|attempt| tried(attempt, nodes.succeeded(index, attempt), submit.clone(), zone))
            .collect();
        let name = job.name.clone();
        match jobs.get_mut(&name) {
            Some(known) => known.planned_again(job),
            None => drop(jobs.insert(name, job)),
        }
        let inner = Above {
            prefix: format!("{}{}/", above.prefix, node.name),
            state: above.holds_back(state),
        };
        for below in dag.below(index) {
            collect(below, &inner, run, zone, jobs);
        }
    }
}

/// The node that a DAG is the DAG of; of the whole run, one that runs.
struct Above {
    /// What the names of its nodes begin with.
    prefix: String,
    state: NodeState,
}

impl Above {
    /// A node that could start waits for what its DAG waits for.
    fn holds_back(&self, state: NodeState) -> NodeState {
        match (self.state, state) {
            (NodeState::Unready | NodeState::Futile, NodeState::Ready | NodeState::Unready) => self.state,
            _ => state,
        }
    }
}

impl Job {
    /// The same job in a sub-workflow that was planned anew.
    fn planned_again(&mut self, again: Job) {
        if again.state != NodeState::Unready && self.state != NodeState::Done {
            (self.state, self.error) = (again.state, again.error);
        }
        self.attempts.extend(again.attempts);
    }
}

/// Names of jobs that Pegasus puts around those of the workflow begin so.
const AUXILIARY: [&str; 8] = [
    "create_dir_",
    "stage_in_",
    "stage_out_",
    "stage_inter_",
    "stage_worker_",
    "clean_up_",
    "cleanup_",
    "register_",
];

fn identify(node: &Node, prefix: &str, run: &PoolRun) -> Job {
    let sub_workflow = node.kind == NodeKind::SubDag || is_sub_workflow(&node.name);
    if let (false, Some((name, described))) = (sub_workflow, described(&node.name, run)) {
        return described_job(name, described);
    }
    let planned = run.system == System::Pegasus && AUXILIARY.iter().any(|start| node.name.starts_with(start));
    let (role, kind) = match (sub_workflow, planned, node.noop) {
        (true, _, _) => (Role::SubWorkflow, "sub-workflow".to_owned()),
        (_, true, _) => (Role::Auxiliary, auxiliary_kind(&node.name)),
        (_, _, true) => (Role::Script, foreign_kind(node, run.system)),
        _ => (Role::Work, foreign_kind(node, run.system)),
    };
    Job {
        name: format!("{prefix}{}", node.name),
        kind,
        dataset: None,
        round: None,
        client: None,
        outputs: Vec::new(),
        role,
        state: NodeState::Unready,
        attempts: Vec::new(),
        error: None,
    }
}

/// The manifest's job that a node does: Pegasus puts the transformation's name before the job's.
fn described<'a>(node: &'a str, run: &'a PoolRun) -> Option<(&'a str, &'a ManifestJob)> {
    let inner = node.match_indices('_').map(|(at, _)| &node[at + 1..]);
    let mut names = std::iter::once(node).chain(inner.filter(|_| run.system == System::Pegasus));
    names.find_map(|name| run.manifest.get(name).map(|job| (name, job)))
}

fn described_job(name: &str, described: &ManifestJob) -> Job {
    Job {
        name: name.to_owned(),
        kind: described.kind.clone(),
        dataset: described.dataset.clone(),
        round: described.round,
        client: described.client,
        outputs: described.outputs.clone(),
        role: Role::Work,
        state: NodeState::Unready,
        attempts: Vec::new(),
        error: None,
    }
}

fn auxiliary_kind(name: &str) -> String {
    let start = AUXILIARY.iter().find(|start| name.starts_with(*start));
    start
        .map_or("auxiliary", |start| start.trim_end_matches('_'))
        .to_owned()
}

/// Of a workflow without manifest: the transformation's name, or the name of the submit file.
fn foreign_kind(node: &Node, system: System) -> String {
    let stem = Path::new(&node.file)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("job");
    match system {
        System::Pegasus => node.name.split('_').next().unwrap_or(stem).to_owned(),
        System::Dagman | System::Local => stem.to_owned(),
    }
}

fn tried(attempt: &Attempt, succeeded: bool, submit: Arc<Submit>, zone: &mut Zone) -> Try {
    Try {
        queue: Some(attempt.job),
        submit: Some(submit),
        succeeded,
        submitted: zone.stamp(attempt.submitted),
        started: attempt.started.map(|at| zone.stamp(at)),
        ended: attempt.ended.map(|at| zone.stamp(at)),
        host: attempt.host.clone(),
        since: zone.stamp(attempt.since),
        hold: attempt.hold.clone(),
        out_of_reach: attempt.phase == JobPhase::OutOfReach,
        ending: attempt.ending,
        post: attempt.post,
        removed: attempt.removed.clone(),
        stopped: attempt.is_removed_with_dagman(),
        used: attempt.used,
        evictions: attempt.evictions,
        recorded: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn jobs_of_a_dag_that_waits_wait_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "e.dag",
            "JOB a a.sub\nSUBDAG EXTERNAL r r.dag\nPARENT a CHILD r\n",
        );
        write("r.dag", "JOB b b.sub\nJOB c c.sub\nPARENT b CHILD c\n");
        let states = |out: &str| {
            write("e.dag.dagman.out", out);
            let (dag, none) = (folder.path().join("e.dag"), folder.path().join("none"));
            let mut run = PoolRun::open(System::Dagman, "e", &dag, &none).unwrap();
            let jobs = run.observed().jobs;
            jobs.iter()
                .map(|job| (job.name.clone(), job.state))
                .collect::<Vec<_>>()
        };
        let all = |a, others| {
            let names = [("a", a), ("r", others), ("r/b", others), ("r/c", others)];
            names.map(|(name, state)| (name.to_owned(), state)).to_vec()
        };
        assert_eq!(states(""), all(NodeState::Ready, NodeState::Unready));
        let failed =
            "01/05/26 09:00:00       Node Name: a\n01/05/26 09:00:00           Error: Job submit failed\n";
        assert_eq!(states(failed), all(NodeState::Failed, NodeState::Futile));
    }

    #[test]
    fn a_node_without_a_job_is_followed_and_is_in_no_record() {
        struct None;
        impl crate::evidence::Files for None {
            fn look(&self, _: &str) -> Option<crate::record::FileFact> {
                Option::None
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "e.dag",
            "JOB clean-r clean.sh NOOP\nSCRIPT PRE clean-r ./clean.sh list\n",
        );
        write(
            "e.dag.nodes.log",
            "000 (001.000.000) 2026-01-05 09:00:00 Job submitted from host: <>\n    DAG Node: clean-r\n...\n\
             005 (001.000.000) 2026-01-05 09:00:00 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n",
        );
        let dag = folder.path().join("e.dag");
        let mut run = PoolRun::open(System::Dagman, "e", &dag, Path::new("none")).unwrap();
        run.refresh().unwrap();
        let observed = run.observed();
        let [job] = &observed.jobs[..] else {
            panic!("one node")
        };
        assert_eq!(
            (job.role, job.kind.as_str(), job.state),
            (Role::Script, "clean", NodeState::Done)
        );
        let origin = crate::evidence::Origin {
            fedwing: String::new(),
            source: String::new(),
            digest: String::new(),
            synthetic: false,
            host: String::new(),
        };
        let events = crate::evidence::events(&observed, &origin, &None);
        assert!(
            matches!(&events[..], [crate::record::Event::RunStarted { jobs: 0, .. }]),
            "{events:?}"
        );
    }
}
