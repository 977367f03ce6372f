//! The number of threads a job computes with.

use contract::{exit::JobExit, job::JobError};

/// Runs `work` on a pool of `threads`, or of as many as there are cores.
///
/// # Errors
/// `Usage` for no threads, `Io` if the system does not give them, or what `work` returns.
pub fn with_threads<T: Send>(
    threads: Option<u32>,
    work: impl FnOnce() -> Result<T, JobError> + Send,
) -> Result<T, JobError> {
    if threads == Some(0) {
        return Err(JobError::new(JobExit::Usage, "`--threads` must be at least 1"));
    }
    // To rayon, 0 means one thread per core.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0) as usize)
        .build()
        .map_err(|error| JobError::new(JobExit::Io, format!("cannot start threads: {error}")))?;
    pool.install(work)
}
