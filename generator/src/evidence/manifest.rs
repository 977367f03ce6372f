//! Reads `jobs.jsonl`, in which a generated workflow says what its jobs are about.
//!
//! In: the file's text, one JSON object a line. Out: [`ManifestJob`]s. Start at [`parse`]. Pure.

use serde::Deserialize;

/// The largest such file read: a million jobs with a thousand bytes each.
pub const MAX_BYTES: u64 = 1 << 30;

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManifestJob {
    /// Its id in the plan.
    pub job: String,
    /// The kind of job.
    pub kind: String,
    /// The dataset.
    #[serde(default)]
    pub dataset: Option<String>,
    /// The round, for jobs of a round.
    #[serde(default)]
    pub round: Option<u32>,
    /// The client, for jobs of a client.
    #[serde(default)]
    pub client: Option<u32>,
    /// The files it writes, by logical name.
    #[serde(default)]
    pub outputs: Vec<String>,
}

/// Reads the file's text.
///
/// # Errors
/// The number of the first line that is no such object, and why.
pub fn parse(text: &str) -> Result<Vec<ManifestJob>, (usize, serde_json::Error)> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| serde_json::from_str(line).map_err(|error| (index + 1, error)))
        .collect()
}
