//! The plan: every job with typed arguments, every file with its one writer; and the graph an executor runs.
//!
//! In: [`crate::check::Checked`]. Out: [`Plan`], and from it a [`Dag`]. Pure; randomness comes only from the seed.
//! Start at [`lower()`]. A `Plan` always keeps: one writer per file, no cycle, every read file written or known.

mod at_site;
mod dag;
mod edges;
mod lower;
mod plan_types;
mod round;
mod select;
mod staying;
mod to_dag;

pub use dag::{Dag, DagJob, External, Label, Lfn, Program};
pub use edges::{Children, Edges, PlanError};
pub use lower::lower;
pub use plan_types::{JobId, Parts, Place, Plan, PlannedJob, Stage, StaticFile, WeightsFile};
pub use select::select;
