//! The plan: every job with typed arguments, every file with its one writer; and the graph an executor runs.
//!
//! In: [`crate::check::Checked`]. Out: [`Plan`], and from it a [`Dag`]. Pure.

mod dag;
mod plan_types;

pub use dag::{Dag, DagJob, External, Label, Lfn, Program};
pub use plan_types::{JobId, Plan, PlannedJob, Stage, StaticFile, WeightsFile};
