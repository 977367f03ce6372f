//! Reads a Pegasus 5 workflow with its catalogs and sub-workflows, of any author, into a [`Dag`].
//!
//! Catalogs are taken from `pegasus.properties` beside the workflow, else by their default names beside it, and from
//! inside workflows. Sub-workflows are flattened: a job keeps its id unless another workflow uses it too. What could
//! not be run here as it is meant (containers, HTCondor DAGs inside) is refused, not passed over.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet, btree_map::Entry},
    io,
    rc::Rc,
};

use super::{
    document,
    flatten::{Dependency, Flat, FlatJob, Place, unique_ids},
    properties,
    resolve::{Catalogs, expand, folder, join},
};
use crate::{
    emit::Source,
    plan::{Dag, DagJob, External, Lfn},
};

/// Most bytes of one document.
pub const MAX_DOCUMENT: u64 = 1 << 30;
/// Most jobs of a hierarchy of workflows.
pub const MAX_JOBS: usize = 4_000_000;
/// Most sub-workflows inside each other.
pub const MAX_DEPTH: usize = 8;

/// Why a workflow cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The path of the workflow is relative.
    #[error("`{file}` is not an absolute path")]
    Relative {
        /// The path.
        file: String,
    },
    /// A file could not be read.
    #[error("cannot read `{file}`")]
    Source {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not such a document.
    #[error("`{file}` is not a Pegasus document: {reason}")]
    Document {
        /// The file.
        file: String,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A format other than Pegasus 5.
    #[error("`{file}` is written for Pegasus {version}; only 5 is read")]
    Version {
        /// The file.
        file: String,
        /// The version it states.
        version: String,
    },
    /// A workflow without jobs.
    #[error("`{file}` holds no jobs")]
    Empty {
        /// The workflow.
        file: String,
    },
    /// A job without something every such job has.
    #[error("job `{id}` in `{file}` has no `{key}`")]
    MissingKey {
        /// The workflow.
        file: String,
        /// The job.
        id: String,
        /// What is missing.
        key: &'static str,
    },
    /// An id Pegasus does not take.
    #[error("`{id}` in `{file}` is not a job id: use 1 to 128 letters, digits, `-` and `_`")]
    BadId {
        /// The workflow.
        file: String,
        /// The id.
        id: String,
    },
    /// Two jobs of one workflow with the same id.
    #[error("`{file}` holds two jobs named `{id}`")]
    TwoJobs {
        /// The workflow.
        file: String,
        /// The id.
        id: String,
    },
    /// A dependency names no job.
    #[error("`{file}` makes jobs wait for `{id}`, or it for others, and holds no such job")]
    UnknownJob {
        /// The workflow.
        file: String,
        /// The id.
        id: String,
    },
    /// A file name that would leave the job's directory.
    #[error("job `{job}` in `{file}` uses `{lfn}`, which is not a relative path without `.` and `..`")]
    BadFile {
        /// The workflow.
        file: String,
        /// The job.
        job: String,
        /// The file name.
        lfn: String,
    },
    /// An open quote.
    #[error("a quote stays open in the arguments of job `{job}` in `{file}`")]
    Quote {
        /// The workflow.
        file: String,
        /// The job.
        job: String,
    },
    /// A variable nobody sets.
    #[error(
        "`{file}` uses the variable `{name}`; none but `{}` is known here",
        super::DIR_VARIABLE
    )]
    Variable {
        /// The file.
        file: String,
        /// The variable.
        name: String,
    },
    /// A profile that is not a number.
    #[error("profile `{key}` of job `{job}` is `{value}`, which is not a number")]
    Profile {
        /// The job.
        job: String,
        /// Namespace and key.
        key: String,
        /// The value.
        value: String,
    },
    /// Something that cannot be run here.
    #[error("`{file}` holds {what}: not supported on this machine")]
    Unsupported {
        /// The file.
        file: String,
        /// What.
        what: String,
    },
    /// A transformation no catalog names.
    #[error("job `{job}` runs `{transformation}`, which no transformation catalog names")]
    UnknownTransformation {
        /// The job.
        job: String,
        /// The transformation.
        transformation: String,
    },
    /// A sub-workflow no replica catalog names.
    #[error("job `{job}` runs the workflow `{file}`, which no replica catalog places on this machine")]
    NoSubWorkflow {
        /// The job.
        job: String,
        /// The sub-workflow's logical name.
        file: String,
    },
    /// Sub-workflows inside each other without end, or too deep.
    #[error("job `{job}` runs `{file}`, which holds itself or stands more than {MAX_DEPTH} workflows deep")]
    TooDeep {
        /// The job.
        job: String,
        /// The sub-workflow.
        file: String,
    },
    /// More jobs than are read.
    #[error("more than {MAX_JOBS} jobs")]
    TooManyJobs,
    /// Two jobs write the same file.
    #[error("`{file}` is written by both `{first}` and `{second}`")]
    TwoWriters {
        /// The file.
        file: String,
        /// The first writer.
        first: String,
        /// The second writer.
        second: String,
    },
    /// An input nobody provides.
    #[error("job `{job}` reads `{file}`, which no job writes and no replica catalog places on this machine")]
    NoWriter {
        /// The file.
        file: String,
        /// Its reader.
        job: String,
    },
    /// One file name with different places in different workflows.
    #[error("`{file}` is `{first}` in one workflow and `{second}` in another")]
    TwoPlaces {
        /// The file.
        file: String,
        /// One place.
        first: String,
        /// The other place.
        second: String,
    },
    /// Jobs wait for each other.
    #[error("jobs wait for each other: {}", jobs.join(", "))]
    Cycle {
        /// Jobs on the cycle or after it, at most ten.
        jobs: Vec<String>,
    },
}

/// What reading needs everywhere.
pub(super) struct Reader<'a, S> {
    pub source: &'a S,
    /// The folder of the main workflow.
    pub root: &'a str,
}

impl<S: Source> Reader<'_, S> {
    pub fn text(&self, file: &str) -> Result<String, ReadError> {
        let result = self.source.read(file, MAX_DOCUMENT);
        result.map_err(|source| ReadError::Source {
            file: file.to_owned(),
            source,
        })
    }

    /// The text of a file that need not be there.
    fn optional_text(&self, file: &str) -> Result<Option<String>, ReadError> {
        match self.text(file) {
            Err(ReadError::Source { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        }
    }

    /// The catalogs beside the workflow.
    fn catalogs(&self) -> Result<Catalogs, ReadError> {
        let file = join(self.root, "pegasus.properties");
        let properties = properties::parse(&self.optional_text(&file)?.unwrap_or_default());
        let mut catalogs = Catalogs::default();
        for (kind, default) in [
            ("replica", "replicas.yml"),
            ("transformation", "transformations.yml"),
        ] {
            let key = format!("pegasus.catalog.{kind}");
            if let Some(format) = properties
                .get(&key)
                .filter(|format| !format.eq_ignore_ascii_case("yaml"))
            {
                let what = format!("a {kind} catalog of the kind `{format}`");
                return Err(ReadError::Unsupported { file, what });
            }
            let (path, text) = match properties.get(&format!("{key}.file")) {
                Some(path) => {
                    let path = join(self.root, &expand(&file, self.root, path)?);
                    let text = self.text(&path)?;
                    (path, Some(text))
                }
                None => {
                    let path = join(self.root, default);
                    let text = self.optional_text(&path)?;
                    (path, text)
                }
            };
            let Some(text) = text else { continue };
            if kind == "replica" {
                catalogs.add_replicas(&path, self.root, document::parse(&path, &text)?)?;
            } else {
                catalogs.add_transformations(&path, document::parse(&path, &text)?);
            }
        }
        Ok(catalogs)
    }
}

/// Reads the workflow at the absolute path `workflow`.
///
/// Every job of the result stands after the jobs it waits for.
///
/// # Errors
/// [`ReadError`] at the first thing that is wrong or not supported, naming file and job.
pub fn read<S: Source>(source: &S, workflow: &str) -> Result<Dag, ReadError> {
    if !workflow.starts_with('/') {
        return Err(ReadError::Relative {
            file: workflow.to_owned(),
        });
    }
    let reader = Reader {
        source,
        root: folder(workflow),
    };
    let place = Place {
        file: workflow,
        above: Vec::new(),
        prefix: "".into(),
    };
    let mut flat = Flat::default();
    let name = reader.flatten(&place, &Rc::new(reader.catalogs()?), &mut flat)?;
    unique_ids(&mut flat.jobs);
    let external = join_by_files(&mut flat.jobs)?;
    join_by_statement(&mut flat);
    let jobs = in_order(flat.jobs.into_iter().map(|job| job.job).collect())?;
    Ok(Dag { name, jobs, external })
}

/// Makes readers wait for writers; returns the files no job writes.
fn join_by_files(jobs: &mut [FlatJob]) -> Result<BTreeMap<Lfn, External>, ReadError> {
    let mut writers: HashMap<Lfn, u32> = HashMap::with_capacity(2 * jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        for file in &job.job.outputs {
            if let Some(first) = writers.insert(file.clone(), index as u32) {
                return Err(ReadError::TwoWriters {
                    file: file.to_string(),
                    first: jobs[first as usize].job.id.to_string(),
                    second: job.job.id.to_string(),
                });
            }
        }
    }
    let mut external = BTreeMap::new();
    for FlatJob { job, catalogs, .. } in jobs {
        for file in &job.inputs {
            if let Some(&writer) = writers.get(file) {
                job.after.push(writer);
                continue;
            }
            let path = catalogs
                .replica(file.as_str())
                .flatten()
                .ok_or_else(|| ReadError::NoWriter {
                    file: file.to_string(),
                    job: job.id.to_string(),
                })?;
            match external.entry(file.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(External::Path(path.to_owned()));
                }
                Entry::Occupied(entry) => {
                    if let External::Path(first) = entry.get()
                        && first != path
                    {
                        return Err(ReadError::TwoPlaces {
                            file: file.to_string(),
                            first: first.clone(),
                            second: path.to_owned(),
                        });
                    }
                }
            }
        }
    }
    Ok(external)
}

/// Adds stated dependencies: of a sub-workflow, from its last jobs and to its first.
fn join_by_statement(flat: &mut Flat) {
    for Dependency { parent, child } in &flat.dependencies {
        let mut last: Vec<u32> = parent.clone().collect();
        if last.len() > 1 {
            let after = parent.clone().flat_map(|job| &flat.jobs[job as usize].job.after);
            let read: HashSet<u32> = after.copied().collect();
            last.retain(|job| !read.contains(job));
        }
        for job in child.clone() {
            let after = &mut flat.jobs[job as usize].job.after;
            // A first job waits for no other job of its own workflow; a plain job always is one.
            if child.len() == 1 || !after.iter().any(|parent| child.contains(parent)) {
                after.extend(&last);
            }
        }
    }
    for FlatJob { job, .. } in &mut flat.jobs {
        job.after.sort_unstable();
        job.after.dedup();
    }
}

/// The jobs, each after those it waits for, otherwise as they stood.
fn in_order(jobs: Vec<DagJob>) -> Result<Vec<DagJob>, ReadError> {
    let sorted = |(index, job): (usize, &DagJob)| job.after.iter().all(|&parent| (parent as usize) < index);
    if jobs.iter().enumerate().all(sorted) {
        return Ok(jobs);
    }
    let mut children = vec![Vec::new(); jobs.len()];
    let mut waiting: Vec<usize> = jobs.iter().map(|job| job.after.len()).collect();
    for (index, job) in jobs.iter().enumerate() {
        for &parent in &job.after {
            children[parent as usize].push(index);
        }
    }
    let free = (0..jobs.len()).filter(|&job| waiting[job] == 0).map(Reverse);
    let mut free: BinaryHeap<Reverse<usize>> = free.collect();
    let mut place = vec![u32::MAX; jobs.len()];
    let mut order = Vec::with_capacity(jobs.len());
    while let Some(Reverse(job)) = free.pop() {
        place[job] = order.len() as u32;
        order.push(job);
        for &child in &children[job] {
            waiting[child] -= 1;
            if waiting[child] == 0 {
                free.push(Reverse(child));
            }
        }
    }
    if order.len() < jobs.len() {
        let stuck = jobs.iter().zip(&place).filter(|(_, place)| **place == u32::MAX);
        let jobs = stuck.map(|(job, _)| job.id.to_string()).take(10).collect();
        return Err(ReadError::Cycle { jobs });
    }
    let mut jobs: Vec<Option<DagJob>> = jobs.into_iter().map(Some).collect();
    let moved = order.into_iter().filter_map(|job| jobs[job].take());
    Ok(moved
        .map(|mut job| {
            for parent in &mut job.after {
                *parent = place[*parent as usize];
            }
            job.after.sort_unstable();
            job
        })
        .collect())
}
