//! How large files are, how many jobs there are, and what moves between machines: known before anything runs.
//!
//! In: [`crate::check::Checked`], its [`crate::plan::Plan`], and what is [`Known`] of the data. Out: [`Sizes`] of files,
//! [`Traffic`] of jobs, [`Counts`] of a plan. Pure. Start at [`Sizes::new`].
//!
//! Exact: models, updates and what else holds tensors of a network, up to the digits of counts in their headers; shards,
//! where the samples are counted. The rest follows from assumptions that [`Sizes::assumptions`] names.

mod counts;
mod file_kind;
mod model_files;
mod samples;
mod sizes;
mod traffic;

pub use counts::{Counts, Plannings, plannings};
pub use file_kind::FileKind;
pub use samples::{ASSUMED_IMAGES, Basis, Samples, images};
pub use sizes::{Known, Sizes};
pub use traffic::{Move, Target, Traffic, Way, each_move};
