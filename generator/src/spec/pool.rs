//! Every key of a pool file: the machines, queue, staging and job times that a simulation assumes.
//!
//! Declared as the specification's keys are, so that reader and JSON Schema cannot disagree. Start at [`Pool`] and
//! [`read`]; what the values mean is [`crate::simulate`]'s matter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    decode::{Found, Place, WHOLE_POOL, Written, wrong_type},
    leaf::{AtLeastOne, Memory, Named, NonNegative, Positive, Several, Text, Whole, inline_schema},
    tree::{self, Node, Value},
    written::mapping,
};
use crate::diag::{Code, Diagnostic, Span};

mapping! {
    /// A pool of machines, as a simulation sees it. Times are in seconds.
    pub struct Pool {
        /// Pool file format: 1.
        fedwing_pool: required PoolVersion,
        /// What the pool is, in your words.
        about: optional Text,
        /// The seed of all times that vary.
        seed: default Whole<0, 9_007_199_254_740_992> = 1u64,
        /// Where the slots are, by the name of the place.
        sites: required Named<Slots>,
        /// What a job waits for though a slot is free.
        queue: optional Queue,
        /// The machine where workflows are submitted.
        submit_host: optional SubmitHost,
        /// How files travel between submit host and slots.
        staging: optional Staging,
        /// What DAGMan adds.
        dagman: optional Dagman,
        /// What Pegasus adds.
        pegasus: optional Pegasus,
        /// How long jobs execute, by kind.
        jobs: required Jobs,
    }
}

mapping! {
    /// Slots of one make at one place. A slot takes one job at a time.
    pub struct Slots {
        /// How many.
        slots: required Whole<1, 1_000_000>,
        /// CPU cores of each; as many as any job asks for when absent.
        cpus: optional Whole<1, 4096>,
        /// Memory of each, such as `16 GiB`; as much as any job asks for when absent.
        memory: optional Memory,
        /// GPUs of each.
        gpus: default Whole<0, 64> = 0u64,
        /// How fast jobs execute: 2 halves their time.
        speed: default Positive = 1.0,
        /// The sites of specifications whose data is here, beside one of this place's own name.
        holds: optional Several<Text>,
    }
}

mapping! {
    /// What a job waits for though a slot is free.
    pub struct Queue {
        /// From submission until a job may start.
        wait: optional Varying,
        /// Jobs start only at multiples of this: the negotiation cycle.
        cycle: default NonNegative = 0.0,
        /// From a job's end until its slot takes the next one.
        turnaround: default NonNegative = 0.0,
    }
}

mapping! {
    /// The machine where workflows are submitted.
    pub struct SubmitHost {
        /// Jobs at once that run on it: those that read images, where no site holds them.
        jobs: default Whole<1, 100_000> = 2u64,
        /// Most submissions a second; no limit when absent.
        submits_per_second: optional Positive,
        /// Most jobs that start in a second; no limit when absent.
        starts_per_second: optional Positive,
        /// Most jobs in the queue, waiting or running; no limit when absent.
        max_jobs: optional Whole<1, 100_000_000>,
    }
}

mapping! {
    /// How files travel between submit host and slots.
    pub struct Staging {
        /// Bytes a second that all transfers of one direction share, such as `100 MB`; no limit when absent.
        bandwidth: optional Memory,
        /// Bytes a second that one transfer reaches at most; no limit when absent.
        stream: optional Memory,
        /// What a transfer takes beside its bytes, each way.
        latency: default NonNegative = 0.0,
        /// What a job takes on its slot beside transfers and execution: starting a container, a worker package.
        overhead: optional Varying,
    }
}

mapping! {
    /// What DAGMan adds.
    pub struct Dagman {
        /// From the end of a job until jobs that waited for it are submitted.
        job: default NonNegative = 0.0,
        /// What a DAG costs to start, the main one and nested ones.
        dag: default NonNegative = 0.0,
    }
}

mapping! {
    /// What Pegasus adds; not looked at where DAGMan alone is the target.
    pub struct Pegasus {
        /// Planning the main workflow.
        workflow: default NonNegative = 0.0,
        /// Planning a sub-workflow; one is planned at a time.
        sub_workflow: default NonNegative = 0.0,
        /// Jobs that make folders and stage files in, before the first job of a workflow.
        before: default NonNegative = 0.0,
        /// Jobs that stage files out, after the last job of a workflow.
        after: default NonNegative = 0.0,
    }
}

mapping! {
    /// How long jobs execute, by kind; every kind that a specification needs must be here.
    pub struct Jobs {
        /// Reading a dataset and writing shards, per image.
        prepare: optional JobTime,
        /// Counting what clients have.
        stats: optional JobTime,
        /// Making the initial model.
        init: optional JobTime,
        /// Making a client's keys.
        keys: optional JobTime,
        /// Training a client in one round, per sample and epoch.
        train: optional JobTime,
        /// Revealing masks of absent clients.
        reveal: optional JobTime,
        /// Adding updates up, per megabyte read.
        partial: optional JobTime,
        /// Making a new global model, per megabyte read.
        aggregate: optional JobTime,
        /// Writing a global model smaller for its way to clients, per megabyte read.
        broadcast: optional JobTime,
        /// Testing a model, per sample.
        evaluate: optional JobTime,
        /// Training a baseline, per sample and epoch.
        baseline: optional JobTime,
    }
}

mapping! {
    /// How long a job executes at speed 1: `fixed + per_sample x samples + per_megabyte x megabytes read`.
    pub struct JobTime {
        /// Seconds whatever the job's size.
        fixed: default NonNegative = 0.0,
        /// Seconds per sample, and per pass over it.
        per_sample: default NonNegative = 0.0,
        /// Seconds per megabyte (1,000,000 bytes) of the files it reads.
        per_megabyte: default NonNegative = 0.0,
        /// How the time varies: the geometric standard deviation of a log-normal factor; 1 is not at all.
        spread: default AtLeastOne = 1.0,
        /// What jobs of this kind wait for in place of `queue.wait`.
        wait: optional Varying,
        /// What they take on their slot in place of `staging.overhead`.
        overhead: optional Varying,
    }
}

mapping! {
    /// A time drawn from a log-normal distribution.
    pub struct Spread {
        /// Its median in seconds.
        median: required NonNegative,
        /// Its geometric standard deviation: two thirds of all draws lie between median / spread and median x spread.
        spread: required AtLeastOne,
    }
}

/// A time in seconds, the same for all or drawn for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Varying {
    /// The median.
    pub median: f64,
    /// The geometric standard deviation; 1 where the time does not vary.
    pub spread: f64,
}

impl Default for Varying {
    /// No time.
    fn default() -> Self {
        Self {
            median: 0.0,
            spread: 1.0,
        }
    }
}

impl JsonSchema for Varying {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Varying".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0 },
            generator.subschema_for::<Spread>(),
        ] })
    }
}

impl Written for Varying {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        match node.value {
            Value::Map(_) => {
                let Spread { median, spread } = Spread::read(node, place, found)?;
                let (median, spread) = (median?.value.get(), spread?.value.get());
                Some(Self { median, spread })
            }
            Value::Whole(_) | Value::Real(_) => NonNegative::read(node, place, found).map(|median| Self {
                median: median.get(),
                spread: 1.0,
            }),
            _ => {
                wrong_type(
                    node,
                    place,
                    "a number of seconds, or `{median: 20, spread: 1.5}`",
                    found,
                );
                None
            }
        }
    }
}

/// The format version of a pool file: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolVersion;

impl PoolVersion {
    /// The version this code reads and writes.
    pub const NUMBER: u64 = 1;
}

inline_schema!(PoolVersion, { "const": PoolVersion::NUMBER });

impl Written for PoolVersion {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        match node.value {
            Value::Whole(given) if given == i128::from(Self::NUMBER) => Some(Self),
            Value::Whole(given) => {
                let words = format!("this is pool file format {given}, and this fedwing reads format 1");
                let error = Diagnostic::error(Code::SpecVersion, node.span, words).label("must be 1");
                found.push(if given > 1 {
                    error.help("use a newer fedwing to read it")
                } else {
                    error
                });
                None
            }
            _ => {
                wrong_type(node, place, "a whole number", found);
                None
            }
        }
    }
}

/// Reads a pool file, pushing every mistake to `found`; as [`super::read`] reads a specification.
pub fn read(text: &str, found: &mut Found) -> Option<Pool> {
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(unreadable) => {
            found.push(*unreadable);
            return None;
        }
    };
    if root.value == Value::Null {
        let error = Diagnostic::error(Code::Empty, Span::default(), "this pool file is empty");
        found.push(
            error
                .label("needs a mapping")
                .help("start from `examples/pools/laptop.yml`"),
        );
        return None;
    }
    let place = Place {
        name: WHOLE_POOL,
        span: Span::default(),
    };
    Pool::read(&root, place, found)
}
