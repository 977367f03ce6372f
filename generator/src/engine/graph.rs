//! The graph, checked and numbered: jobs, files and sources by index, edges in both directions, an order.
//!
//! In: [`Dag`]. Out: [`Graph`]. Pure. Start at [`Graph::new`]. A `Graph` always keeps: one writer per file, every input
//! comes from somewhere, whoever reads a file comes after whoever writes it, no cycles.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::EngineError;
use crate::plan::{Dag, DagJob, External, Lfn};

/// A job by its place in [`Dag::jobs`].
pub(super) type JobIndex = u32;
/// A file by its place in [`Graph::files`].
pub(super) type FileIndex = u32;
/// A source by its place in [`Graph::sources`].
pub(super) type SourceIndex = u32;

/// The graph, checked and numbered.
#[derive(Debug)]
pub(super) struct Graph<'d> {
    pub(super) dag: &'d Dag,
    /// As long as [`Dag::jobs`].
    pub(super) jobs: Vec<Node>,
    pub(super) files: Vec<File<'d>>,
    pub(super) sources: Vec<Source<'d>>,
    /// Every job after those it comes after.
    pub(super) order: Vec<JobIndex>,
}

/// A job's edges.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) inputs: Vec<FileIndex>,
    pub(super) outputs: Vec<FileIndex>,
    /// Files and folders outside the run it reads, as inputs or in place.
    pub(super) sources: Vec<SourceIndex>,
    /// Each job it waits for, once.
    pub(super) after: Vec<JobIndex>,
    /// Each job that waits for it, once.
    pub(super) before: Vec<JobIndex>,
    /// The number of jobs on the longest path from it to an end of the graph, itself included.
    pub(super) height: u32,
}

/// A file of the run.
#[derive(Debug)]
pub(super) struct File<'d> {
    pub(super) name: &'d Lfn,
    pub(super) from: From<'d>,
    pub(super) readers: Vec<JobIndex>,
}

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From<'d> {
    /// A job writes it.
    Job(JobIndex),
    /// It lies outside the run.
    Source(SourceIndex),
    /// The plan knows its content.
    Content(&'d str),
}

/// A file or folder outside the run.
#[derive(Debug)]
pub(super) struct Source<'d> {
    pub(super) path: &'d str,
    pub(super) readers: Vec<JobIndex>,
}

impl<'d> Graph<'d> {
    /// Numbers and checks `dag`.
    ///
    /// # Errors
    /// [`EngineError::Graph`] with every contradiction found.
    pub(super) fn new(dag: &'d Dag) -> Result<Self, EngineError> {
        let mut builder = Builder::default();
        builder.name_jobs(dag);
        builder.name_written(dag);
        builder.name_external(dag);
        builder.read_inputs(dag);
        builder.name_checkpoints(dag);
        builder.check_folders();
        let order = builder.connect(dag);
        if builder.problems.is_empty() {
            Ok(Self {
                dag,
                jobs: builder.jobs,
                files: builder.files,
                sources: builder.sources,
                order,
            })
        } else {
            Err(EngineError::Graph(builder.problems))
        }
    }

    /// The job itself.
    pub(super) fn job(&self, job: JobIndex) -> &'d DagJob {
        &self.dag.jobs[job as usize]
    }

    /// The job's edges.
    pub(super) fn node(&self, job: JobIndex) -> &Node {
        &self.jobs[job as usize]
    }

    /// The file.
    pub(super) fn file(&self, file: FileIndex) -> &File<'d> {
        &self.files[file as usize]
    }
}

#[derive(Default)]
struct Builder<'d> {
    jobs: Vec<Node>,
    files: Vec<File<'d>>,
    sources: Vec<Source<'d>>,
    by_name: HashMap<&'d Lfn, FileIndex>,
    by_path: HashMap<&'d str, SourceIndex>,
    problems: Vec<String>,
}

impl<'d> Builder<'d> {
    fn name_jobs(&mut self, dag: &'d Dag) {
        self.jobs.resize_with(dag.jobs.len(), Node::default);
        let mut seen = HashSet::new();
        for job in &dag.jobs {
            if !seen.insert(&job.id) {
                self.problems.push(format!("two jobs are called `{}`", job.id));
            }
        }
    }

    fn add_file(&mut self, name: &'d Lfn, from: From<'d>) -> FileIndex {
        let index = self.files.len() as FileIndex;
        self.files.push(File {
            name,
            from,
            readers: Vec::new(),
        });
        self.by_name.insert(name, index);
        index
    }

    fn add_source(&mut self, path: &'d str) -> SourceIndex {
        *self.by_path.entry(path).or_insert_with(|| {
            self.sources.push(Source {
                path,
                readers: Vec::new(),
            });
            self.sources.len() as SourceIndex - 1
        })
    }

    fn name_written(&mut self, dag: &'d Dag) {
        for (index, job) in dag.jobs.iter().enumerate() {
            for name in &job.outputs {
                if let Some(&other) = self.by_name.get(name) {
                    let From::Job(other) = self.files[other as usize].from else {
                        continue;
                    };
                    let other = &dag.jobs[other as usize].id;
                    let problem = format!("`{name}` is written by both `{other}` and `{}`", job.id);
                    self.problems.push(problem);
                    continue;
                }
                let file = self.add_file(name, From::Job(index as JobIndex));
                self.jobs[index].outputs.push(file);
            }
            for (stream, name) in [("stdout", &job.stdout), ("stderr", &job.stderr)] {
                if let Some(name) = name.as_ref().filter(|name| !job.outputs.contains(name)) {
                    let problem = format!("the {stream} of `{}`, `{name}`, is not among its outputs", job.id);
                    self.problems.push(problem);
                }
            }
        }
    }

    fn name_external(&mut self, dag: &'d Dag) {
        for (name, external) in &dag.external {
            if self.by_name.contains_key(name) {
                let problem = format!("`{name}` is given from outside and written by a job as well");
                self.problems.push(problem);
                continue;
            }
            let from = match external {
                External::Path(path) => From::Source(self.add_source(path)),
                External::Content(text) => From::Content(text),
            };
            self.add_file(name, from);
        }
    }

    /// A checkpoint is in its job's directory alone: a file of that name would be taken for it.
    fn name_checkpoints(&mut self, dag: &'d Dag) {
        for job in &dag.jobs {
            for name in &job.checkpoints {
                if self.by_name.contains_key(name) {
                    let problem = format!(
                        "`{name}` is a checkpoint of `{}` and a file of the run as well",
                        job.id
                    );
                    self.problems.push(problem);
                }
            }
        }
    }

    fn read_inputs(&mut self, dag: &'d Dag) {
        for (index, job) in dag.jobs.iter().enumerate() {
            for name in BTreeSet::from_iter(&job.inputs) {
                let Some(&file) = self.by_name.get(name) else {
                    let problem = format!(
                        "`{}` reads `{name}`, which no job writes and nothing provides",
                        job.id
                    );
                    self.problems.push(problem);
                    continue;
                };
                self.jobs[index].inputs.push(file);
                self.files[file as usize].readers.push(index as JobIndex);
                if let From::Source(source) = self.files[file as usize].from {
                    self.jobs[index].sources.push(source);
                }
            }
            if let Some(name) = job.stdin.as_ref().filter(|name| !job.inputs.contains(name)) {
                let problem = format!("the stdin of `{}`, `{name}`, is not among its inputs", job.id);
                self.problems.push(problem);
            }
            for path in &job.in_place {
                let source = self.add_source(path);
                self.jobs[index].sources.push(source);
            }
            let sources = &mut self.jobs[index].sources;
            sources.sort_unstable();
            sources.dedup();
            for &source in &self.jobs[index].sources {
                self.sources[source as usize].readers.push(index as JobIndex);
            }
        }
    }

    /// No file's name is a folder of another's.
    fn check_folders(&mut self) {
        for file in &self.files {
            let name = file.name.as_str();
            for (at, _) in name.match_indices('/') {
                if let Some(folder) = Lfn::new(&name[..at]).filter(|folder| self.by_name.contains_key(folder))
                {
                    let problem = format!("`{folder}` is a file and the folder of `{name}` as well");
                    self.problems.push(problem);
                }
            }
        }
    }

    /// Connects jobs by files and by `after`, and orders them; the order is of use only if there is no cycle.
    fn connect(&mut self, dag: &'d Dag) -> Vec<JobIndex> {
        let count = dag.jobs.len();
        for (index, job) in dag.jobs.iter().enumerate() {
            let writers = self.jobs[index].inputs.iter();
            let writers = writers.filter_map(|&file| match self.files[file as usize].from {
                From::Job(writer) => Some(writer),
                From::Source(_) | From::Content(_) => None,
            });
            let mut after: Vec<JobIndex> = writers.chain(job.after.iter().copied()).collect();
            after.sort_unstable();
            after.dedup();
            if let Some(&far) = after.last().filter(|&&far| far as usize >= count) {
                let problem = format!("`{}` comes after job number {far} of {count}", job.id);
                self.problems.push(problem);
                after.retain(|&other| (other as usize) < count);
            }
            for &other in &after {
                self.jobs[other as usize].before.push(index as JobIndex);
            }
            self.jobs[index].after = after;
        }
        let order = self.order();
        if order.len() < count {
            let placed: HashSet<JobIndex> = order.iter().copied().collect();
            let stuck = (0..count as JobIndex).filter(|job| !placed.contains(job));
            let names: Vec<String> = stuck
                .map(|job| format!("`{}`", dag.jobs[job as usize].id))
                .collect();
            let problem = format!("these jobs wait for each other: {}", shortened(&names));
            self.problems.push(problem);
        }
        for &job in order.iter().rev() {
            let highest = self.jobs[job as usize].before.iter();
            let highest = highest.map(|&next| self.jobs[next as usize].height).max();
            self.jobs[job as usize].height = 1 + highest.unwrap_or(0);
        }
        order
    }

    /// Kahn's algorithm; jobs of a cycle, and those behind one, are left out.
    fn order(&self) -> Vec<JobIndex> {
        let mut waits: Vec<usize> = self.jobs.iter().map(|node| node.after.len()).collect();
        let mut order: Vec<JobIndex> = (0..self.jobs.len() as JobIndex)
            .filter(|&job| waits[job as usize] == 0)
            .collect();
        let mut next = 0;
        while let Some(&job) = order.get(next) {
            next += 1;
            for &later in &self.jobs[job as usize].before {
                waits[later as usize] -= 1;
                if waits[later as usize] == 0 {
                    order.push(later);
                }
            }
        }
        order
    }
}

/// The first names of a list that may be long.
pub(super) fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// Jobs by kind, to say something once about many of them.
pub(super) fn kinds(jobs: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for kind in jobs {
        *counts.entry(kind.as_ref().to_owned()).or_default() += 1;
    }
    let kinds: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{count} of kind `{kind}`"))
        .collect();
    shortened(&kinds)
}
