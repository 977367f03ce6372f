//! Metrics of rounds that are evaluated, while a run goes on.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Read,
};

use contract::{
    args::EvaluateArgs,
    argv::JobArgs,
    metrics::{Metrics, Subject},
};

use crate::{
    evidence::{Job, NodeState, Observed},
    plan::Lfn,
    record::RunDir,
};

/// The largest metrics file read.
const MAX_BYTES: u64 = 16 << 20;

/// What the global model of a round is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Area under the ROC curve; none where undefined.
    pub auroc: Option<f64>,
    /// Share of test samples told right.
    pub accuracy: f64,
    /// Whether anything it rests on is drawn.
    pub synthetic: bool,
}

/// The scores of rounds, each file read once.
#[derive(Debug, Default)]
pub struct Scores {
    known: BTreeMap<(String, u32), Score>,
    read: HashSet<String>,
}

impl Scores {
    /// Reads the metrics of jobs that are done and were not when last looked at.
    pub fn refresh(&mut self, observed: &Observed, dir: &RunDir) {
        for job in observed.work() {
            if job.kind != EvaluateArgs::NAME || job.state != NodeState::Done || self.read.contains(&job.name)
            {
                continue;
            }
            // A file may arrive after its job has ended: it is looked for again.
            if let Some(found) = score(job, dir) {
                self.read.insert(job.name.clone());
                self.known.extend(found);
            }
        }
    }

    /// The score of a dataset's round.
    pub fn of(&self, dataset: &str, round: u32) -> Option<Score> {
        self.known.get(&(dataset.to_owned(), round)).copied()
    }
}

/// The score a job's metrics file tells, if it is about the global model on its own dataset; none while it is not there.
fn score(job: &Job, dir: &RunDir) -> Option<Option<((String, u32), Score)>> {
    let name = job.outputs.iter().find(|name| name.ends_with(".json"))?;
    let path = dir.files().join(Lfn::new(name)?.as_str());
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    // Metrics of another version are told by `report`, which says so; here they are only not shown.
    let Ok(metrics) = serde_json::from_slice::<Metrics>(&bytes) else {
        return Some(None);
    };
    let Subject::Evaluate {
        round,
        test_dataset,
        client: None,
    } = &metrics.subject
    else {
        return Some(None);
    };
    let own = job.dataset.as_deref() == Some(test_dataset.as_str());
    Some(own.then_some(metrics.scores).flatten().map(|scores| {
        let key = (test_dataset.to_string(), round.0);
        let score = Score {
            auroc: scores.auroc,
            accuracy: scores.accuracy,
            synthetic: metrics.synthetic,
        };
        (key, score)
    }))
}
