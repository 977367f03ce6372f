//! Predicts how long an experiment takes on a pool, before anything runs: a discrete-event model of slots, queue, staging
//! and jobs.
//!
//! In: a [`crate::plan::Plan`] and a [`Pool`]. Out: a [`Timeline`] and what follows from it. Pure; what varies is drawn from
//! the pool's seed, for each job by its name. Start at [`predict`].

mod calibrate;
mod events;
mod from_plan;
mod moment;
mod path;
mod pipe;
mod places;
mod pool;
mod prediction;
mod work;
mod workload;
mod yaml;

pub use calibrate::{Calibrated, Tried, calibrate};
pub use events::{Timeline, Times, run};
pub use from_plan::{begins_of_dags, from_plan, kind, predict};
pub use moment::Moment;
pub use path::Terms;
pub use pool::{
    Dagman, JobTime, KINDS, Pegasus, Pool, PoolReport, Queue, Slots, Staging, SubmitHost, Varying,
};
pub use prediction::{KindTimes, Prediction, Rounds};
pub use work::Work;
pub use workload::{Demand, NO_WALLTIME, Place, Workload, WorkloadError};
