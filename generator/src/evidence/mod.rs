//! What a run left behind or is leaving, whoever runs it: from its own files to one account of events.
//!
//! In: files that HTCondor, DAGMan and Pegasus write, or a local run's record. Out: [`Observed`], which says how far each
//! job is, and the same [`crate::record::Event`]s a local run records. Start at [`PoolRun`] and [`Observed`].
//!
//! Each foreign format has a parser of its own, pure and on text or bytes, that takes what it understands and counts what
//! it does not: [`event_log`], [`dag_file`], [`dagman_out`], [`jobstate`], [`kickstart`],
//! [`metrics`], [`braindump`], [`manifest`], [`deleted`]. No database of Pegasus' monitoring is read: it drops events.

pub mod braindump;
pub mod dag_file;
pub mod dagman_out;
pub mod deleted;
pub mod event_log;
pub mod jobstate;
pub mod kickstart;
pub mod manifest;
pub mod metrics;

mod follow;
mod local;
mod nodes;
mod observed;
mod output;
mod pool_run;
mod submit_dir;
mod tail;
mod time;
mod to_record;
mod zone;

pub use follow::{Follow, FollowError, beside, kept_log, lock_file, rescue_file};
pub use local::{Engine, LocalJob, LocalRun};
pub use nodes::{Attempt, Life, NodeState, Nodes};
pub use observed::{Job, Observed, Phase, Recorded, Role, Submit, System, Try};
pub use output::Output;
pub use pool_run::{PoolError, PoolRun};
pub use submit_dir::{SubmitDir, newest};
pub use tail::{Tail, read_text};
pub use time::LocalTime;
pub use to_record::{Files, Origin, events, outcome};
