//! Proves a plan's files: one writer each, no cycle, nothing read that nobody provides. The proof is the list of edges.

use std::collections::HashMap;

use contract::{
    args::Job,
    argv::Role,
    ids::{ClientId, DatasetName},
};

use super::{JobId, Parts, PlannedJob, staying};

/// Why jobs and files are not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two jobs have the same name.
    #[error("two jobs are named `{id}`")]
    TwoJobs {
        /// The name.
        id: JobId,
    },
    /// A name that workflow formats do not take.
    #[error("`{id}` is not a job name: use letters, digits, `-` and `_`, starting with a letter")]
    BadId {
        /// The name.
        id: JobId,
    },
    /// Two jobs write the same file.
    #[error("`{file}` is written by both `{first}` and `{second}`")]
    TwoWriters {
        /// The file.
        file: String,
        /// The first writer.
        first: JobId,
        /// The second writer.
        second: JobId,
    },
    /// A job writes a file whose content is given.
    #[error("`{job}` writes `{file}`, which is given")]
    WritesGiven {
        /// The file.
        file: String,
        /// Its writer.
        job: JobId,
    },
    /// Two given files have the same name.
    #[error("`{file}` is given twice")]
    GivenTwice {
        /// The file.
        file: String,
    },
    /// A job reads a file that no job writes and that is not given.
    #[error("`{job}` reads `{file}`, which no job writes")]
    NoWriter {
        /// The file.
        file: String,
        /// Its reader.
        job: JobId,
    },
    /// Jobs wait for each other.
    #[error("jobs wait for each other: {}", join(jobs))]
    Cycle {
        /// The jobs, each reading from the one before it, the first from the last.
        jobs: Vec<JobId>,
    },
    /// A job stands before a job it reads from.
    #[error("`{job}` stands before `{writer}`, from which it reads")]
    OutOfOrder {
        /// The reader.
        job: JobId,
        /// The writer.
        writer: JobId,
    },
    /// A job reads a file that stays with a client and is not that client's.
    #[error("`{reader}` reads `{file}`, which stays with the client of `{writer}`")]
    PrivateFile {
        /// The file.
        file: String,
        /// Its writer.
        writer: JobId,
        /// Its reader.
        reader: JobId,
    },
    /// A job reads or writes a file in place that is not in its site's folder.
    #[error("`{job}` has `{file}` in place, which is not in the folder of its site")]
    NotAtSite {
        /// The file.
        file: String,
        /// The job.
        job: JobId,
    },
    /// A job reads a file that another site keeps.
    #[error("`{reader}` reads `{file}`, which is kept at the site of `{writer}`")]
    OtherSite {
        /// The file.
        file: String,
        /// Its writer.
        writer: JobId,
        /// Its reader.
        reader: JobId,
    },
    /// A file made from a site's images leaves the site and is neither a model nor counts.
    #[error("`{file}` of `{job}` would leave its site, which only models and counts may")]
    LeavesSite {
        /// The file.
        file: String,
        /// Its writer.
        job: JobId,
    },
    /// The centralized baseline's passes over the data do not fit a number.
    #[error(
        "{rounds} rounds of {epochs} epochs are more than {} epochs for the baselines",
        u32::MAX
    )]
    TooManyEpochs {
        /// Number of rounds.
        rounds: u32,
        /// Passes in a round.
        epochs: u32,
    },
}

fn join(jobs: &[JobId]) -> String {
    let names: Vec<_> = jobs.iter().map(|job| format!("`{job}`")).collect();
    names.join(" -> ")
}

/// For each job, the jobs it reads from: all lists in one, without an allocation per job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edges {
    ends: Vec<u32>,
    after: Vec<u32>,
}

impl Edges {
    /// Indices of the jobs that job `index` reads from: ascending, each once, all below `index`.
    pub fn after(&self, index: usize) -> &[u32] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.after[start as usize..self.ends[index] as usize]
    }

    /// Adds a job that waits for the jobs `after`, each given once.
    pub(crate) fn push(&mut self, after: impl IntoIterator<Item = u32>) {
        self.after.extend(after);
        self.ends.push(self.after.len() as u32);
    }

    /// Number of edges.
    pub fn len(&self) -> usize {
        self.after.len()
    }

    /// Whether no job reads from another.
    pub fn is_empty(&self) -> bool {
        self.after.is_empty()
    }

    /// The same edges the other way round: for each job, the jobs that read from it, ascending.
    #[must_use]
    pub fn reversed(&self) -> Children {
        let mut ends = vec![0_u32; self.ends.len()];
        for &parent in &self.after {
            ends[parent as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total - *end;
        }
        // `ends` holds starts now and grows into ends while the lists fill.
        let mut after = vec![0_u32; self.after.len()];
        for child in 0..self.ends.len() {
            for &parent in self.after(child) {
                let place = &mut ends[parent as usize];
                after[*place as usize] = child as u32;
                *place += 1;
            }
        }
        Children(Edges { ends, after })
    }
}

/// For each job, the jobs that read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children(Edges);

impl Children {
    /// Indices of the jobs that read from job `index`, ascending.
    pub fn of(&self, index: usize) -> &[u32] {
        self.0.after(index)
    }
}

const GIVEN: u32 = u32::MAX;

/// Derives the edges of `parts` from its files.
///
/// # Errors
/// [`PlanError`] at the first rule the parts break.
pub(super) fn prove(parts: &Parts) -> Result<Edges, PlanError> {
    check_ids(&parts.jobs)?;
    staying::prove(&parts.jobs)?;
    let writers = writers(parts)?;
    let mut edges = Edges::default();
    for (index, job) in parts.jobs.iter().enumerate() {
        let start = edges.after.len();
        for_each_input(job, |file| {
            match writers.get(file) {
                Some(&GIVEN) => {}
                Some(&writer) if (writer as usize) < index => {
                    let from = &parts.jobs[writer as usize];
                    if let Some(client) = keeper(&from.job, file)
                        && reads_for(&job.job, file) != Some(client)
                    {
                        let (file, writer, reader) = (file.to_owned(), from.id.clone(), job.id.clone());
                        return Err(PlanError::PrivateFile { file, writer, reader });
                    }
                    staying::one_site(file, from, job)?;
                    edges.after.push(writer);
                }
                Some(&writer) => return Err(wrong_order(parts, &writers, index, writer as usize)),
                None => {
                    let (file, job) = (file.to_owned(), job.id.clone());
                    return Err(PlanError::NoWriter { file, job });
                }
            }
            Ok(())
        })?;
        edges.after[start..].sort_unstable();
        let kept = start + dedup(&mut edges.after[start..]);
        edges.after.truncate(kept);
        edges.ends.push(kept as u32);
    }
    Ok(edges)
}

fn check_ids(jobs: &[PlannedJob]) -> Result<(), PlanError> {
    let mut seen = std::collections::HashSet::with_capacity(jobs.len());
    for job in jobs {
        let id = &*job.id.0;
        let ok = id.starts_with(|c: char| c.is_ascii_alphabetic())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !ok {
            return Err(PlanError::BadId { id: job.id.clone() });
        }
        if !seen.insert(id) {
            return Err(PlanError::TwoJobs { id: job.id.clone() });
        }
    }
    Ok(())
}

/// The job that writes each file; [`GIVEN`] for files no job writes.
fn writers(parts: &Parts) -> Result<HashMap<&str, u32>, PlanError> {
    let mut writers = HashMap::with_capacity(2 * parts.jobs.len());
    let given = parts.statics.iter().map(|file| &file.name);
    for name in given.chain(parts.weights.iter().map(|file| &file.name)) {
        if writers.insert(name.as_str(), GIVEN).is_some() {
            return Err(PlanError::GivenTwice {
                file: name.to_string(),
            });
        }
    }
    for (index, job) in parts.jobs.iter().enumerate() {
        let mut clash = None;
        job.job.roles(&mut |role| {
            if let Role::Output(file) | Role::WrittenInPlace(file) = role
                && let Some(first) = writers.insert(file, index as u32)
            {
                clash = clash.or(Some((file, first)));
            }
        });
        if let Some((file, first)) = clash {
            let (file, second) = (file.to_owned(), job.id.clone());
            return Err(match parts.jobs.get(first as usize) {
                Some(first) => PlanError::TwoWriters {
                    file,
                    first: first.id.clone(),
                    second,
                },
                None => PlanError::WritesGiven { file, job: second },
            });
        }
    }
    let mut left: HashMap<&str, &JobId> = HashMap::new();
    for job in &parts.jobs {
        let mut clash = None;
        job.job.roles(&mut |role| {
            if let Role::Checkpoint(file) = role {
                let first = match writers.get(file) {
                    Some(&GIVEN) => Some(None),
                    Some(&writer) => Some(Some(parts.jobs[writer as usize].id.clone())),
                    None => left.insert(file, &job.id).map(|first| Some(first.clone())),
                };
                clash = clash.take().or(first.map(|first| (file, first)));
            }
        });
        if let Some((file, first)) = clash {
            let (file, second) = (file.to_owned(), job.id.clone());
            return Err(match first {
                Some(first) => PlanError::TwoWriters { file, first, second },
                None => PlanError::WritesGiven { file, job: second },
            });
        }
    }
    Ok(writers)
}

/// The client that the file which `job` writes stays with, if with any: a secret key, what an encoding left out, or what
/// the client keeps of its training.
fn keeper<'a>(job: &'a Job, file: &str) -> Option<(&'a DatasetName, ClientId)> {
    let kept = match job {
        Job::Keys(args) => args.secret_key.as_str() == file,
        Job::Train(args) => [&args.residual_out, &args.personal_out]
            .into_iter()
            .flatten()
            .any(|kept| kept.as_str() == file),
        Job::TrainClients(args) => {
            let place = [&args.residuals_out, &args.personals_out]
                .into_iter()
                .find_map(|files| files.iter().position(|kept| kept.as_str() == file))?;
            return args.clients.get(place).map(|client| (&args.dataset, *client));
        }
        Job::Prepare(_)
        | Job::Profile(_)
        | Job::Stats(_)
        | Job::Init(_)
        | Job::Evaluate(_)
        | Job::Baseline(_)
        | Job::Reveal(_)
        | Job::Aggregate(_)
        | Job::Partial(_)
        | Job::Broadcast(_) => false,
    };
    if kept { holder(job) } else { None }
}

/// The client that `job` reads `file` for, by its arguments.
fn reads_for<'a>(job: &'a Job, file: &str) -> Option<(&'a DatasetName, ClientId)> {
    let Job::TrainClients(args) = job else {
        return holder(job);
    };
    let place = [&args.residuals_in, &args.personals_in]
        .into_iter()
        .find_map(|files| files.iter().position(|read| read.as_str() == file))?;
    args.clients.get(place).map(|client| (&args.dataset, *client))
}

/// The client whose job it is, by its arguments; none where it is of several.
fn holder(job: &Job) -> Option<(&DatasetName, ClientId)> {
    match job {
        Job::Train(args) => Some((&args.dataset, args.client)),
        Job::Keys(args) => Some((&args.dataset, args.client)),
        Job::Reveal(args) => Some((&args.dataset, args.client)),
        Job::Baseline(args) => args.client.map(|client| (&args.dataset, client)),
        Job::Evaluate(args) => args.client.map(|client| (&args.dataset, client)),
        Job::TrainClients(_)
        | Job::Prepare(_)
        | Job::Profile(_)
        | Job::Stats(_)
        | Job::Init(_)
        | Job::Aggregate(_)
        | Job::Partial(_)
        | Job::Broadcast(_) => None,
    }
}

fn for_each_input<'a>(
    job: &'a PlannedJob,
    mut see: impl FnMut(&'a str) -> Result<(), PlanError>,
) -> Result<(), PlanError> {
    let mut result = job.program.as_deref().map_or(Ok(()), &mut see);
    job.job.roles(&mut |role| {
        if let Role::Input(file) | Role::ReadInPlace(file) = role
            && result.is_ok()
        {
            result = see(file);
        }
    });
    result
}

/// Moves the distinct items of a sorted slice to its front and returns their number.
fn dedup(sorted: &mut [u32]) -> usize {
    let mut kept = 0;
    for i in 0..sorted.len() {
        if kept == 0 || sorted[i] != sorted[kept - 1] {
            sorted[kept] = sorted[i];
            kept += 1;
        }
    }
    kept
}

/// Job `reader` reads from `writer`, which does not stand before it: a cycle when `writer` waits for `reader` too.
fn wrong_order(parts: &Parts, writers: &HashMap<&str, u32>, reader: usize, writer: usize) -> PlanError {
    // Depth first from the writer up through what it reads from; `came_from` remembers the way down again.
    let mut came_from: HashMap<usize, usize> = HashMap::from([(writer, writer)]);
    let mut open = vec![writer];
    while let Some(job) = open.pop() {
        if job == reader {
            let mut jobs = vec![parts.jobs[reader].id.clone()];
            let mut at = reader;
            while at != writer {
                at = came_from[&at];
                jobs.push(parts.jobs[at].id.clone());
            }
            return PlanError::Cycle { jobs };
        }
        parts.jobs[job].job.roles(&mut |role| {
            if let Role::Input(file) | Role::ReadInPlace(file) = role
                && let Some(&parent) = writers.get(file)
                && parent != GIVEN
                && !came_from.contains_key(&(parent as usize))
            {
                came_from.insert(parent as usize, job);
                open.push(parent as usize);
            }
        });
    }
    PlanError::OutOfOrder {
        job: parts.jobs[reader].id.clone(),
        writer: parts.jobs[writer].id.clone(),
    }
}
