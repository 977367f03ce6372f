//! Which files are there when a workflow is over.

use contract::args::Job;

/// Whether `file`, which `job` writes, is kept. Shards, updates, their sums, keys and residuals are read by jobs alone;
/// everything else is read by people and reports afterwards, or makes it possible to go on from the last round.
pub fn is_kept(job: &Job, file: &str) -> bool {
    match job {
        // The manifest names patients; it is kept on the submit host, which is where `prepare` runs and wrote it.
        Job::Prepare(args) => file == args.manifest.as_str(),
        Job::Train(args) => file == args.metrics.as_str(),
        Job::TrainClients(args) => args.metrics.iter().any(|metrics| file == metrics.as_str()),
        Job::Broadcast(args) => args.global.as_ref().is_some_and(|global| file == global.as_str()),
        Job::Keys(_) | Job::Reveal(_) | Job::Partial(_) => false,
        Job::Profile(_)
        | Job::Stats(_)
        | Job::Init(_)
        | Job::Evaluate(_)
        | Job::Baseline(_)
        | Job::Aggregate(_) => true,
    }
}
