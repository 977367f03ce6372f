//! A pool as read and proven: every default filled in, every value in range.
//!
//! In: a pool file's text. Out: [`Pool`]. Start at [`Pool::read`]; the keys are in [`crate::spec::pool`].

use std::collections::BTreeMap;

use contract::{ids::Seed, units::Bytes};

use crate::{
    diag::{Diagnostics, Text},
    spec::{At, Found, Named, pool as written},
};

pub use written::Varying;

/// Machines, queue, staging and job times that a simulation assumes. Times are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// What the pool is, in its author's words.
    pub about: Option<String>,
    /// The seed of all times that vary.
    pub seed: Seed,
    /// Its slots, place by place; never empty.
    pub sites: Vec<Slots>,
    /// What a job waits for though a slot is free.
    pub queue: Queue,
    /// The machine where workflows are submitted.
    pub submit_host: SubmitHost,
    /// How files travel between submit host and slots.
    pub staging: Staging,
    /// What DAGMan adds.
    pub dagman: Dagman,
    /// What Pegasus adds.
    pub pegasus: Pegasus,
    /// How long jobs execute, by kind.
    pub jobs: BTreeMap<&'static str, JobTime>,
}

/// Slots of one make at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Slots {
    /// The place.
    pub site: String,
    /// How many; at least 1.
    pub slots: u32,
    /// CPU cores of each; any number when none.
    pub cpus: Option<u32>,
    /// Memory of each; any when none.
    pub memory: Option<Bytes>,
    /// GPUs of each.
    pub gpus: u32,
    /// How fast jobs execute; more than 0.
    pub speed: f64,
    /// Sites of specifications whose data is here, beside one of the place's own name.
    pub holds: Vec<String>,
}

/// What a job waits for though a slot is free.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Queue {
    /// From submission until a job may start.
    pub wait: Varying,
    /// That wait ends at a multiple of this.
    pub cycle: f64,
    /// From a job's end until its slot takes the next one.
    pub turnaround: f64,
}

/// The machine where workflows are submitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubmitHost {
    /// Jobs at once that run on it.
    pub jobs: u32,
    /// Most submissions a second.
    pub submits_per_second: Option<f64>,
    /// Most jobs that start in a second.
    pub starts_per_second: Option<f64>,
    /// Most jobs in the queue, waiting or running.
    pub max_jobs: Option<u32>,
}

impl Default for SubmitHost {
    /// Two jobs at once, as generated workflows have it, and no limits.
    fn default() -> Self {
        Self {
            jobs: 2,
            submits_per_second: None,
            starts_per_second: None,
            max_jobs: None,
        }
    }
}

/// How files travel between submit host and slots.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Staging {
    /// Bytes a second that all transfers of one direction share.
    pub bandwidth: Option<Bytes>,
    /// Bytes a second that one transfer reaches at most.
    pub stream: Option<Bytes>,
    /// What a transfer takes beside its bytes, each way.
    pub latency: f64,
    /// What a job takes on its slot beside transfers and execution.
    pub overhead: Varying,
}

/// What DAGMan adds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Dagman {
    /// From the end of a job until jobs that waited for it are submitted.
    pub job: f64,
    /// What a DAG costs to start.
    pub dag: f64,
}

/// What Pegasus adds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pegasus {
    /// Planning the main workflow.
    pub workflow: f64,
    /// Planning a sub-workflow.
    pub sub_workflow: f64,
    /// Jobs of its own before the first of a workflow.
    pub before: f64,
    /// Jobs of its own after the last of a workflow.
    pub after: f64,
}

/// How long jobs of a kind execute at speed 1, and what differs for them from other kinds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobTime {
    /// Seconds whatever the job's size.
    pub fixed: f64,
    /// Seconds per sample and pass.
    pub per_sample: f64,
    /// Seconds per megabyte read.
    pub per_megabyte: f64,
    /// Geometric standard deviation; at least 1.
    pub spread: f64,
    /// What they wait for in place of [`Queue::wait`].
    pub wait: Option<Varying>,
    /// What they take on their slot in place of [`Staging::overhead`].
    pub overhead: Option<Varying>,
}

/// The kinds of jobs a pool file knows the times of, in its order.
pub const KINDS: [&str; 11] = [
    "prepare",
    "stats",
    "init",
    "keys",
    "train",
    "reveal",
    "partial",
    "aggregate",
    "broadcast",
    "evaluate",
    "baseline",
];

/// What reading a pool file gives.
#[derive(Debug, Clone)]
pub struct PoolReport {
    /// The pool; none when there is a mistake.
    pub pool: Option<Pool>,
    /// Mistakes, in the order of the text.
    pub diagnostics: Diagnostics,
}

impl Pool {
    /// Reads the pool file `text`, which messages call `file_name`.
    ///
    /// # Example
    /// ```
    /// let text = "fedwing_pool: 1\nsites: {here: {slots: 4}}\njobs: {train: {per_sample: 0.01}}\n";
    /// let pool = fedwing::simulate::Pool::read(text, "pool.yml").pool.unwrap();
    /// assert_eq!(pool.sites[0].slots, 4);
    /// ```
    pub fn read(text: &str, file_name: &str) -> PoolReport {
        let mut found = Found::new();
        let pool = written::read(text, &mut found).and_then(proven);
        let diagnostics = Diagnostics::new(Text::new(file_name, text), found);
        PoolReport {
            pool: pool.filter(|_| !diagnostics.has_errors()),
            diagnostics,
        }
    }

    /// All slots.
    pub fn slots(&self) -> u64 {
        self.sites.iter().map(|site| u64::from(site.slots)).sum()
    }
}

/// Takes every value out of its place; none where one could not be read.
fn proven(pool: written::Pool) -> Option<Pool> {
    let written::Pool {
        fedwing_pool,
        about,
        seed,
        sites,
        queue,
        submit_host,
        staging,
        dagman,
        pegasus,
        jobs,
    } = pool;
    fedwing_pool?;
    Some(Pool {
        about: about.map(|about| about.value.0),
        seed: Seed(seed?.value.get()),
        sites: self::sites(sites?.value)?,
        queue: self::queue(value(queue))?,
        submit_host: self::submit_host(value(submit_host))?,
        staging: self::staging(value(staging))?,
        dagman: self::dagman(value(dagman))?,
        pegasus: self::pegasus(value(pegasus))?,
        jobs: self::jobs(jobs?.value)?,
    })
}

fn value<T>(at: Option<At<T>>) -> Option<T> {
    at.map(|at| at.value)
}

fn sites(Named(sites): Named<written::Slots>) -> Option<Vec<Slots>> {
    let site = |(name, slots): (At<contract::ids::DatasetName>, At<written::Slots>)| {
        let written::Slots {
            slots,
            cpus,
            memory,
            gpus,
            speed,
            holds,
        } = slots.value;
        Some(Slots {
            site: name.value.to_string(),
            slots: slots?.value.get32(),
            cpus: cpus.map(|cpus| cpus.value.get32()),
            memory: memory.map(|memory| memory.value.0),
            gpus: gpus?.value.get32(),
            speed: speed?.value.get(),
            holds: holds.map_or_else(Vec::new, |holds| {
                holds.value.0.into_iter().map(|held| held.value.0).collect()
            }),
        })
    };
    sites.into_iter().map(site).collect()
}

fn queue(queue: Option<written::Queue>) -> Option<Queue> {
    let Some(written::Queue {
        wait,
        cycle,
        turnaround,
    }) = queue
    else {
        return Some(Queue::default());
    };
    Some(Queue {
        wait: value(wait).unwrap_or_default(),
        cycle: cycle?.value.get(),
        turnaround: turnaround?.value.get(),
    })
}

fn submit_host(host: Option<written::SubmitHost>) -> Option<SubmitHost> {
    let Some(written::SubmitHost {
        jobs,
        submits_per_second,
        starts_per_second,
        max_jobs,
    }) = host
    else {
        return Some(SubmitHost::default());
    };
    Some(SubmitHost {
        jobs: jobs?.value.get32(),
        submits_per_second: submits_per_second.map(|rate| rate.value.get()),
        starts_per_second: starts_per_second.map(|rate| rate.value.get()),
        max_jobs: max_jobs.map(|most| most.value.get32()),
    })
}

fn staging(staging: Option<written::Staging>) -> Option<Staging> {
    let Some(written::Staging {
        bandwidth,
        stream,
        latency,
        overhead,
    }) = staging
    else {
        return Some(Staging::default());
    };
    Some(Staging {
        bandwidth: bandwidth.map(|bandwidth| bandwidth.value.0),
        stream: stream.map(|stream| stream.value.0),
        latency: latency?.value.get(),
        overhead: value(overhead).unwrap_or_default(),
    })
}

fn dagman(dagman: Option<written::Dagman>) -> Option<Dagman> {
    let Some(written::Dagman { job, dag }) = dagman else {
        return Some(Dagman::default());
    };
    Some(Dagman {
        job: job?.value.get(),
        dag: dag?.value.get(),
    })
}

fn pegasus(pegasus: Option<written::Pegasus>) -> Option<Pegasus> {
    let Some(written::Pegasus {
        workflow,
        sub_workflow,
        before,
        after,
    }) = pegasus
    else {
        return Some(Pegasus::default());
    };
    Some(Pegasus {
        workflow: workflow?.value.get(),
        sub_workflow: sub_workflow?.value.get(),
        before: before?.value.get(),
        after: after?.value.get(),
    })
}

fn jobs(jobs: written::Jobs) -> Option<BTreeMap<&'static str, JobTime>> {
    let written::Jobs {
        prepare,
        stats,
        init,
        keys,
        train,
        reveal,
        partial,
        aggregate,
        broadcast,
        evaluate,
        baseline,
    } = jobs;
    let times: [Option<At<written::JobTime>>; KINDS.len()] = [
        prepare, stats, init, keys, train, reveal, partial, aggregate, broadcast, evaluate, baseline,
    ];
    let given = KINDS
        .into_iter()
        .zip(times)
        .filter_map(|(kind, time)| Some((kind, time?.value)));
    given.map(|(kind, time)| Some((kind, job_time(time)?))).collect()
}

fn job_time(time: written::JobTime) -> Option<JobTime> {
    let written::JobTime {
        fixed,
        per_sample,
        per_megabyte,
        spread,
        wait,
        overhead,
    } = time;
    Some(JobTime {
        fixed: fixed?.value.get(),
        per_sample: per_sample?.value.get(),
        per_megabyte: per_megabyte?.value.get(),
        spread: spread?.value.get(),
        wait: value(wait),
        overhead: value(overhead),
    })
}
