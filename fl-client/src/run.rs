//! Takes a job to the module that does it.

use std::{fs, path::Path};

use contract::{args::Job, argv::Role, exit::JobExit, job::JobError};

/// Runs a job of this binary.
///
/// # Errors
/// The job's; `Usage` for a job of another binary, or one this build leaves out.
pub fn run(job: Job) -> Result<(), JobError> {
    make_folders(&job)?;
    match job {
        Job::Prepare(args) => crate::data::prepare::run(&args),
        Job::Profile(args) => crate::data::profile::run(&args),
        Job::Stats(args) => crate::data::stats::run(&args),
        #[cfg(feature = "train")]
        Job::Init(args) => crate::init::run(&args),
        #[cfg(feature = "train")]
        Job::Train(args) => crate::train::run(&args),
        #[cfg(feature = "train")]
        Job::TrainClients(args) => crate::train::run_clients(&args),
        #[cfg(feature = "train")]
        Job::Evaluate(args) => crate::evaluate::run(&args),
        #[cfg(feature = "train")]
        Job::Baseline(args) => crate::baseline::run(&args),
        Job::Keys(args) => crate::keys::run(&args),
        Job::Reveal(args) => crate::reveal::run(&args),
        #[cfg(not(feature = "train"))]
        job @ (Job::Init(_) | Job::Train(_) | Job::TrainClients(_) | Job::Evaluate(_) | Job::Baseline(_)) => {
            let text = format!(
                "this fl-client is built without training and cannot run `{}`",
                job.name()
            );
            Err(JobError::new(JobExit::Usage, text).help("use an fl-client built with the feature `train`"))
        }
        job @ (Job::Aggregate(_) | Job::Partial(_) | Job::Broadcast(_)) => {
            let text = format!("`{}` is a job of `{}`", job.name(), job.binary().as_str());
            Err(JobError::new(JobExit::Usage, text))
        }
    }
}

/// Makes the folders of outputs that are kept in place: at a site, nobody else does.
fn make_folders(job: &Job) -> Result<(), JobError> {
    let mut made = Ok(());
    job.roles(&mut |role| {
        if let Role::WrittenInPlace(file) = role
            && let Some(folder) = Path::new(file).parent()
            && made.is_ok()
        {
            made = fs::create_dir_all(folder).map_err(|error| JobError::writing(folder, &error));
        }
    });
    made
}

#[cfg(test)]
mod tests {
    use contract::argv::JobArgs;

    use super::*;

    fn refused<A: JobArgs>(argv: &[&str]) -> JobError {
        let argv: Vec<&str> = std::iter::once(A::NAME).chain(argv.iter().copied()).collect();
        let error = run(Job::from_argv(&argv).unwrap()).unwrap_err();
        assert_eq!(error.exit, JobExit::Usage);
        error
    }

    #[test]
    fn a_job_of_another_binary_is_sent_there() {
        let argv = ["--strategy", "fedavg", "--global", "g", "--output", "o"];
        let error = refused::<contract::args::AggregateArgs>(&argv);
        assert_eq!(error.message, "`aggregate` is a job of `fl-aggregator`");
    }

    #[cfg(not(feature = "train"))]
    #[test]
    fn a_build_without_training_says_so() {
        let digest = "0".repeat(64);
        let argv = format!(
            "--experiment e --dataset d --test-dataset d --spec-digest {digest} --round 0 --batch-size 1 --global g \
             --shard s --metrics m"
        );
        let argv: Vec<&str> = argv.split_whitespace().collect();
        let error = refused::<contract::args::EvaluateArgs>(&argv);
        assert!(
            error.message.contains("built without training"),
            "{}",
            error.message
        );
    }
}
