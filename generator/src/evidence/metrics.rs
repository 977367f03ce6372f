//! Reads `NAME.dag.metrics`, DAGMan's own account when it ends.
//!
//! In: the file's text. Out: [`DagMetrics`]. Start at [`parse`]. Pure.

use serde::Deserialize;

/// The largest such file read.
pub const MAX_BYTES: u64 = 1 << 20;

/// What DAGMan counted.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct DagMetrics {
    /// When it started, in seconds since 1970 UTC.
    pub start_time: f64,
    /// When it ended, in seconds since 1970 UTC.
    pub end_time: f64,
    /// Its exit code.
    pub exitcode: i32,
    /// The number of the rescue file it started from; 0 for none.
    pub rescue_dag_number: u32,
    /// Nodes that are jobs.
    pub jobs: u64,
    /// Of them failed.
    pub jobs_failed: u64,
    /// Of them done, in this or an earlier start.
    pub jobs_succeeded: u64,
    /// Nodes that are DAGs.
    pub dag_jobs: u64,
    /// Of them failed.
    pub dag_jobs_failed: u64,
    /// Of them done.
    pub dag_jobs_succeeded: u64,
    /// All nodes.
    pub total_jobs: u64,
}

/// Reads the file's text.
///
/// # Errors
/// It is no such JSON.
pub fn parse(text: &str) -> Result<DagMetrics, serde_json::Error> {
    serde_json::from_str(text)
}
