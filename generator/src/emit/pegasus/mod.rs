//! Pegasus 5: one directory with workflow, catalogs and everything a run reads, and the way back to a graph.
//!
//! The directory can be moved as a whole: catalogs name their place by `${PEGASUS_FEDWING_DIR}`, which Pegasus expands
//! and `plan.sh` sets from its own location. The `PEGASUS_` prefix takes it through HTCondor's environment filter to
//! the planning of sub-workflows. [`write()`] fills the directory, [`read()`] takes any author's Pegasus 5 workflow.

mod catalogs;
mod context;
mod document;
mod flatten;
mod memory;
mod properties;
mod read;
mod resolve;
mod workflow;
mod write;
mod yaml;

pub use read::{ReadError, read};
pub use write::{WriteError, write};

/// The version of the format, as the Python API of Pegasus 5.1 writes it.
const PEGASUS_VERSION: &str = "5.0.4";

/// The variable that names the emitted directory in its catalogs.
pub const DIR_VARIABLE: &str = "PEGASUS_FEDWING_DIR";

/// The namespace of our transformations.
const NAMESPACE: &str = "fedwing";

/// The submit host, where the specification's paths exist and results arrive.
const LOCAL: &str = "local";
