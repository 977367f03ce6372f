//! The `partial` job: the exact sum of some updates, for a tree of aggregations.

use contract::{ids::ClientId, job::JobError};
use serde::{Deserialize, Serialize};

use crate::tensor_file::TensorFile;

/// Metadata key of a partial sum: a [`PartialSum`] as JSON.
pub const PARTIAL: &str = "partial";

/// What is behind a partial sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialSum {
    /// Who is in it.
    pub members: Vec<Member>,
    /// Selected clients that said they are absent.
    pub absent: Vec<ClientId>,
    /// Bytes of the update files behind it.
    pub received_bytes: u64,
    /// Bytes the same updates have as plain values.
    pub plain_bytes: u64,
}

/// One client's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The client, where its update names it.
    pub client: Option<ClientId>,
    /// Samples it was trained on.
    pub num_samples: u64,
}

impl PartialSum {
    /// What the file says of itself, where it is a partial sum.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn of(file: &TensorFile) -> Result<Option<Self>, JobError> {
        let Some(text) = file.metadata.get(PARTIAL) else {
            return Ok(None);
        };
        serde_json::from_str(text).map(Some).map_err(|error| {
            JobError::invalid(file.path(), format!("metadata `{PARTIAL}`: {error}"))
        })
    }
}
