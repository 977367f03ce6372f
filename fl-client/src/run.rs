//! Takes a job to the module that does it.

use contract::{args::Job, exit::JobExit, job::JobError};

/// Runs a job of this binary.
///
/// # Errors
/// The job's; `Usage` for a job of another binary, or one this build leaves out.
pub fn run(job: Job) -> Result<(), JobError> {
    match job {
        Job::Prepare(args) => crate::data::prepare::run(&args),
        Job::Stats(args) => crate::data::stats::run(&args),
        #[cfg(feature = "train")]
        Job::Init(args) => crate::init::run(&args),
        #[cfg(feature = "train")]
        Job::Train(args) => crate::train::run(&args),
        #[cfg(feature = "train")]
        Job::Evaluate(args) => crate::evaluate::run(&args),
        #[cfg(feature = "train")]
        Job::Baseline(args) => crate::baseline::run(&args),
        #[cfg(not(feature = "train"))]
        job @ (Job::Init(_) | Job::Train(_) | Job::Evaluate(_) | Job::Baseline(_)) => {
            let text = format!(
                "this fl-client is built without training and cannot run `{}`",
                job.name()
            );
            Err(JobError::new(JobExit::Usage, text).help("use an fl-client built with the feature `train`"))
        }
        job @ Job::Aggregate(_) => {
            let text = format!("`{}` is a job of `{}`", job.name(), job.binary().as_str());
            Err(JobError::new(JobExit::Usage, text))
        }
    }
}
