//! What the planner promises and the jobs accept.
//!
//! `generator` writes these types into a workflow; `fl-client` and `fl-aggregator` read them back. A file name, a
//! flag, an exit code or a metrics field exists here once, so planner and job cannot disagree about it.
//!
//! Start at [`args`]: one struct per job, with `to_argv` and `from_argv` as inverses.

pub mod aggregation;
pub mod args;
pub mod argv;
#[cfg(feature = "cli")]
pub mod cli;
pub mod dataset;
pub mod exit;
pub mod ids;
pub mod job;
pub mod metrics;
pub mod names;
pub mod networks;
mod part;
pub mod profile;
pub mod recipe;
pub mod secure;
pub mod tensors;
pub mod training;
pub mod units;
