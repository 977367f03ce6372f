//! Per-client jobs: `prepare`, `stats`, `init`, `train`, `evaluate` and `baseline`.
//!
//! In: typed arguments of `contract`, shards and models as safetensors. Out: models, updates and metrics, all of them
//! or an error that says what to do. Start at [`run::run`], which takes a job to its module.
//!
//! Without the feature `train` there is no burn in the binary: it prepares data, and refuses to train.

pub mod data;
#[cfg(feature = "train")]
pub mod ops;
