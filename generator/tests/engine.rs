//! The engine with shell scripts for jobs: what a job sees, what is kept of it, how runs fail, stop and continue.
//!
//! No test depends on how long something takes: where one must wait for a job to be running, the job says so through a
//! pipe in the file system ([`support::Gate`]).

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, its helpers included"
)]

#[path = "engine/checkpoints.rs"]
mod checkpoints;
#[path = "engine/failures.rs"]
mod failures;
#[path = "engine/integrity.rs"]
mod integrity;
#[path = "engine/isolation.rs"]
mod isolation;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/random.rs"]
mod random;
#[path = "engine/stopping.rs"]
mod stopping;
#[path = "engine/support.rs"]
mod support;
