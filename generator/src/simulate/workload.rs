//! What is simulated: tasks with drawn times, who waits for whom, and which slots may take which.
//!
//! In: demands of jobs, one by one, and a [`Pool`]. Out: [`Workload`]. A workload keeps: every task that needs a slot has one
//! that can take it. Start at [`Workload::job`].

use std::{collections::HashMap, fmt};

use contract::{
    ids::Seed,
    units::{Bytes, Seconds},
};

use super::{Moment, Pool, Varying, pool::Slots};
use crate::{check::Request, plan::Edges};

/// What a job asks of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The job's name: its draws come from it, so they are the same in every layout.
    pub id: &'a str,
    /// The kind of job.
    pub kind: &'static str,
    /// Where it must run.
    pub place: Place<'a>,
    /// What it asks its machine for.
    pub request: Request,
    /// Bytes that go to its machine.
    pub received: Bytes,
    /// Bytes that come back.
    pub sent: Bytes,
    /// Bytes it reads, moved or in place.
    pub read: Bytes,
    /// Samples it computes on, times its passes over them.
    pub samples: f64,
    /// A waiting job of higher priority gets a slot first.
    pub priority: u32,
    /// The federation's round it is of, by a number of the caller's.
    pub round: Option<u32>,
}

/// Where a job must run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// On the submit host.
    SubmitHost,
    /// On any slot that has what it asks for.
    Anywhere,
    /// On a slot at the site of that name.
    Site(&'a str),
}

/// Why a job cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorkloadError {
    /// No slot can take it.
    #[error("no slot of the pool can take `{job}`: it asks for {asks}; the pool has {has}")]
    NoSlot {
        /// The job.
        job: String,
        /// What it asks for, and where.
        asks: String,
        /// What slots there are.
        has: String,
    },
    /// The pool file does not say how long jobs of its kind take.
    #[error(
        "the pool file does not say how long `{kind}` jobs take, such as `{job}`: give `jobs: {{{kind}: {{fixed: 10}}}}`"
    )]
    NoTime {
        /// The kind.
        kind: &'static str,
        /// The first job of that kind.
        job: String,
    },
}

/// Tasks and who waits for whom.
#[derive(Debug, Clone)]
pub struct Workload<'p> {
    pub(super) pool: &'p Pool,
    pub(super) tasks: Vec<Task>,
    pub(super) after: Edges,
    /// Slots' indices that can take the tasks of each class, the fastest first.
    pub(super) classes: Vec<Vec<u32>>,
    known: HashMap<Needs, u32>,
}

/// One task, its times drawn.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub kind: &'static str,
    pub on: On,
    pub priority: u32,
    pub round: Option<u32>,
    /// Least time in the queue.
    pub wait: Moment,
    /// Time on the slot beside transfers and execution.
    pub overhead: Moment,
    /// Execution, at speed 1.
    pub execution: Moment,
    pub received: u64,
    pub sent: u64,
}

/// What a task needs while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// A slot that takes tasks of this class.
    Slot(u32),
    /// One of the submit host's own places.
    SubmitHost,
    /// The planner, which plans one workflow at a time.
    Planner,
    /// Nothing but time.
    Time,
}

/// What decides which slots can take a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Needs {
    cpus: u32,
    memory: Bytes,
    gpus: u32,
    site: Option<String>,
}

impl<'p> Workload<'p> {
    /// An empty workload for `pool`.
    pub fn new(pool: &'p Pool) -> Self {
        Self {
            pool,
            tasks: Vec::new(),
            after: Edges::default(),
            classes: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// The pool.
    pub fn pool(&self) -> &'p Pool {
        self.pool
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Adds a job that waits for the tasks `after`, each given once; returns its number.
    ///
    /// # Errors
    /// [`WorkloadError`] when no slot can take it, or the pool does not know how long it takes.
    pub fn job(
        &mut self,
        demand: &Demand<'_>,
        after: impl IntoIterator<Item = u32>,
    ) -> Result<u32, WorkloadError> {
        let Demand {
            id,
            kind,
            place,
            request,
            received,
            sent,
            read,
            samples,
            priority,
            round,
        } = *demand;
        let pool = self.pool;
        let time = pool.jobs.get(kind).ok_or_else(|| WorkloadError::NoTime {
            kind,
            job: id.to_owned(),
        })?;
        let seconds = time.fixed + time.per_sample * samples + time.per_megabyte * read.0 as f64 / 1e6;
        let draw = |purpose: &str, time: Varying| drawn(pool.seed, purpose, id, time);
        let execution = Varying {
            median: seconds,
            spread: time.spread,
        };
        let task = Task {
            kind,
            on: match place {
                Place::SubmitHost => On::SubmitHost,
                Place::Anywhere => On::Slot(self.class(id, request, None)?),
                Place::Site(site) => On::Slot(self.class(id, request, Some(site))?),
            },
            priority,
            round,
            wait: draw("wait", time.wait.unwrap_or(pool.queue.wait)),
            overhead: draw("overhead", time.overhead.unwrap_or(pool.staging.overhead)),
            execution: draw("execution", execution),
            received: received.0,
            sent: sent.0,
        };
        Ok(self.push(task, after))
    }

    /// Adds the planning of a workflow that takes so many seconds, once `after` have ended; returns its number.
    pub fn planning(&mut self, seconds: f64, after: impl IntoIterator<Item = u32>) -> u32 {
        self.simple("planning", On::Planner, seconds, after)
    }

    /// Adds so many seconds of the workflow system's own, once `after` have ended; returns their number.
    pub fn pause(&mut self, seconds: f64, after: impl IntoIterator<Item = u32>) -> u32 {
        self.simple("workflow", On::Time, seconds, after)
    }

    fn simple(
        &mut self,
        kind: &'static str,
        on: On,
        seconds: f64,
        after: impl IntoIterator<Item = u32>,
    ) -> u32 {
        let task = Task {
            kind,
            on,
            priority: 0,
            round: None,
            wait: Moment::ZERO,
            overhead: Moment::ZERO,
            execution: Moment::from_seconds(seconds),
            received: 0,
            sent: 0,
        };
        self.push(task, after)
    }

    fn push(&mut self, task: Task, after: impl IntoIterator<Item = u32>) -> u32 {
        self.tasks.push(task);
        self.after.push(after);
        self.tasks.len() as u32 - 1
    }

    /// The class of jobs with these needs.
    fn class(&mut self, id: &str, request: Request, site: Option<&str>) -> Result<u32, WorkloadError> {
        let Request {
            cpus,
            memory,
            gpus,
            // Jobs are not ended for their length here.
            walltime: _,
        } = request;
        let needs = Needs {
            cpus,
            memory,
            gpus,
            site: site.map(str::to_owned),
        };
        if let Some(class) = self.known.get(&needs) {
            return Ok(*class);
        }
        let sites = &self.pool.sites;
        let mut slots: Vec<u32> = (0..)
            .zip(sites)
            .filter(|(_, slots)| needs.met_by(slots))
            .map(|(index, _)| index)
            .collect();
        if slots.is_empty() {
            return Err(WorkloadError::NoSlot {
                job: id.to_owned(),
                asks: needs.to_string(),
                has: offer(sites),
            });
        }
        // Stable: of equally fast ones, the first in the file.
        slots.sort_by(|a, b| sites[*b as usize].speed.total_cmp(&sites[*a as usize].speed));
        let class = self.classes.len() as u32;
        self.classes.push(slots);
        self.known.insert(needs, class);
        Ok(class)
    }
}

impl Needs {
    fn met_by(&self, slots: &Slots) -> bool {
        let Self {
            cpus,
            memory,
            gpus,
            site,
        } = self;
        slots.cpus.is_none_or(|has| has >= *cpus)
            && slots.memory.is_none_or(|has| has >= *memory)
            && slots.gpus >= *gpus
            && site
                .as_ref()
                .is_none_or(|site| slots.site == *site || slots.holds.contains(site))
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpus,
            memory,
            gpus,
            site,
        } = self;
        write!(f, "{cpus} CPUs, {memory} of memory and {gpus} GPUs")?;
        match site {
            Some(site) => write!(f, " at the site `{site}`"),
            None => Ok(()),
        }
    }
}

/// The slots of a pool in words, the first few.
fn offer(sites: &[Slots]) -> String {
    const SHOWN: usize = 8;
    let any = "any";
    let mut words: Vec<String> = sites
        .iter()
        .take(SHOWN)
        .map(|slots| {
            let holds: Vec<String> = slots.holds.iter().map(|site| format!("`{site}`")).collect();
            format!(
                "{} at `{}` ({} CPUs, {} memory, {} GPUs{}{})",
                slots.slots,
                slots.site,
                slots.cpus.map_or(any.to_owned(), |cpus| cpus.to_string()),
                slots.memory.map_or(any.to_owned(), |memory| memory.to_string()),
                slots.gpus,
                if holds.is_empty() { "" } else { ", holds " },
                holds.join(" and ")
            )
        })
        .collect();
    if sites.len() > SHOWN {
        words.push(format!("{} more", sites.len() - SHOWN));
    }
    words.join(", ")
}

/// A time drawn for the job `id`: log-normal by Box and Muller's transform, from numbers that depend on seed, purpose and
/// job alone.
fn drawn(seed: Seed, purpose: &str, id: &str, time: Varying) -> Moment {
    let Varying { median, spread } = time;
    if spread == 1.0 || median == 0.0 {
        return Moment::from_seconds(median);
    }
    // 53 bits, never 0.
    let uniform = |part: u32| {
        let bits = seed.derive(&format!("{purpose}/{part}/{id}")).0 >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let normal = (-2.0 * uniform(0).ln()).sqrt() * (std::f64::consts::TAU * uniform(1)).cos();
    Moment::from_seconds(median * (spread.ln() * normal).exp())
}

/// The length that no job is ended for here, for demands made by hand.
pub const NO_WALLTIME: Seconds = Seconds(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_median_and_their_spread() {
        let time = Varying {
            median: 20.0,
            spread: 2.0,
        };
        let mut drawn: Vec<f64> = (0..4000)
            .map(|job| super::drawn(Seed(1), "wait", &format!("train-{job}"), time).seconds())
            .collect();
        drawn.sort_by(f64::total_cmp);
        let quantile = |share: f64| drawn[(share * drawn.len() as f64) as usize];
        assert!((quantile(0.5) - 20.0).abs() < 1.5, "{}", quantile(0.5));
        // One standard deviation below and above.
        assert!((quantile(0.159) - 10.0).abs() < 1.0, "{}", quantile(0.159));
        assert!((quantile(0.841) - 40.0).abs() < 4.0, "{}", quantile(0.841));
    }
}
