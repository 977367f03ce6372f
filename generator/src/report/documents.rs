//! Reads the metrics and statistics done jobs wrote, and refuses what is not as they left it.

use std::{fs, io::Read, path::Path};

use contract::{
    args::{AggregateArgs, BaselineArgs, EvaluateArgs, StatsArgs, TrainArgs, TrainClientsArgs},
    argv::JobArgs,
    dataset::DatasetStats,
    metrics::Metrics,
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{build::ReportError, history::History};
use crate::{
    plan::Lfn,
    record::{FileFact, RunDir},
};

/// The largest metrics or statistics file read: a thousand clients with a hundred classes stay far below.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// The kinds of job that write JSON a report shows. (`prepare` writes JSON too; it names patients and is not read.)
const REPORTED: [&str; 6] = [
    StatsArgs::NAME,
    TrainArgs::NAME,
    TrainClientsArgs::NAME,
    AggregateArgs::NAME,
    EvaluateArgs::NAME,
    BaselineArgs::NAME,
];

/// What the jobs of a run found.
#[derive(Default)]
pub(super) struct Documents {
    pub stats: Vec<DatasetStats>,
    /// Each metrics file with the dataset it belongs to, in the order of job names.
    pub metrics: Vec<(String, Metrics)>,
}

/// The version fields by which documents are told apart.
#[derive(Deserialize)]
struct Versions {
    fedwing_stats: Option<u32>,
    fedwing_metrics: Option<u32>,
}

impl Documents {
    /// Reads every document that `history` says a done job left.
    pub fn read(dir: &RunDir, history: &History) -> Result<Self, ReportError> {
        let mut documents = Self::default();
        for (job, outputs) in history
            .done()
            .filter(|(job, _)| REPORTED.contains(&job.kind.as_str()))
        {
            for fact in outputs.iter().filter(|fact| fact.name.ends_with(".json")) {
                documents.add(dir, fact, job.dataset.as_deref())?;
            }
        }
        Ok(documents)
    }

    fn add(&mut self, dir: &RunDir, fact: &FileFact, dataset: Option<&str>) -> Result<(), ReportError> {
        let bytes = read_as_left(dir, fact)?;
        let versions: Versions = parse(fact, &bytes)?;
        match (versions.fedwing_stats, versions.fedwing_metrics) {
            (Some(version), _) => {
                known(fact, version, DatasetStats::VERSION)?;
                self.stats.push(parse(fact, &bytes)?);
            }
            (None, Some(version)) => {
                known(fact, version, Metrics::VERSION)?;
                let metrics: Metrics = parse(fact, &bytes)?;
                let named = metrics.dataset.as_ref().map(|name| name.as_str()).or(dataset);
                let dataset = named.ok_or_else(|| ReportError::NoDataset {
                    file: fact.name.clone(),
                })?;
                self.metrics.push((dataset.to_owned(), metrics));
            }
            // A job of another system that happens to be called as one of ours is.
            (None, None) if dataset.is_none() => {}
            (None, None) => {
                return Err(ReportError::NoVersion {
                    file: fact.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The content of a file in the run's folder, if it is still what the record says.
fn read_as_left(dir: &RunDir, fact: &FileFact) -> Result<Vec<u8>, ReportError> {
    let name = Lfn::new(&fact.name).ok_or_else(|| ReportError::BadName {
        file: fact.name.clone(),
    })?;
    let bytes = read_limited(&dir.files().join(name.as_str()), &fact.name, MAX_DOCUMENT_BYTES)?;
    let found = sha256(&bytes);
    if found == fact.sha256 {
        Ok(bytes)
    } else {
        Err(ReportError::Changed {
            file: fact.name.clone(),
            recorded: fact.sha256.clone(),
            found,
        })
    }
}

/// Reads at most `limit` bytes; `name` is how errors call the file.
pub(super) fn read_limited(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, ReportError> {
    let failed = |source| ReportError::Read {
        file: name.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ReportError::TooLarge {
            file: name.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// SHA-256 as lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn parse<T: DeserializeOwned>(fact: &FileFact, bytes: &[u8]) -> Result<T, ReportError> {
    serde_json::from_slice(bytes).map_err(|source| ReportError::Malformed {
        file: fact.name.clone(),
        source,
    })
}

fn known(fact: &FileFact, version: u32, readable: u32) -> Result<(), ReportError> {
    if version == readable {
        Ok(())
    } else {
        Err(ReportError::Version {
            file: fact.name.clone(),
            version,
            readable,
        })
    }
}
