//! Per-client jobs: `prepare`, `profile`, `stats`, `init`, `train`, `evaluate`, `baseline`, `keys` and `reveal`.
//!
//! In: typed arguments of `contract`, shards and models as safetensors. Out: models, updates and metrics, all of them
//! or an error that says what to do. Start at [`run::run`], which takes a job to its module.
//!
//! Without the feature `train` there is no burn in the binary: it prepares data, makes and reveals keys, and refuses to train.

pub mod allocator;
#[cfg(feature = "train")]
pub mod baseline;
#[cfg(feature = "train")]
pub mod batches;
#[cfg(feature = "train")]
pub mod checks;
pub mod data;
#[cfg(feature = "train")]
pub mod device;
#[cfg(feature = "train")]
pub mod evaluate;
#[cfg(feature = "train")]
pub mod fit;
#[cfg(feature = "train")]
pub mod init;
pub mod keys;
pub mod mask;
pub mod memory;
#[cfg(feature = "train")]
pub mod method;
#[cfg(feature = "train")]
pub mod model;
#[cfg(feature = "train")]
pub mod ops;
#[cfg(feature = "train")]
pub mod optim;
#[cfg(feature = "train")]
pub mod personal;
#[cfg(feature = "train")]
pub mod pieces;
pub mod pytorch;
#[cfg(feature = "train")]
pub mod recipe;
#[cfg(feature = "train")]
pub mod residual;
pub mod reveal;
pub mod run;
mod threads;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
pub mod update;
