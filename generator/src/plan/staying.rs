//! Proves that data stays at its site: what jobs there read and write in place is the site's, and nothing but models and
//! counts is sent from there.
//!
//! In: planned jobs. Out: nothing, or the first file that would leave. Start at [`prove`]; [`one_site`] holds for each file
//! that one job writes and another reads.

use std::path::Path;

use contract::{args::Job, argv::Role};

use super::{PlanError, PlannedJob};

/// Proves every job by itself.
///
/// # Errors
/// [`PlanError::NotAtSite`] or [`PlanError::LeavesSite`] with the first file that breaks the rule.
pub fn prove(jobs: &[PlannedJob]) -> Result<(), PlanError> {
    for planned in jobs {
        for path in planned.in_place.iter().filter(|_| planned.site().is_some()) {
            at_site(planned, path)?;
        }
        if let Some(program) = &planned.program {
            at_site(planned, program)?;
        }
        let mut result = Ok(());
        planned.job.roles(&mut |role| {
            let proven = match role {
                Role::ReadInPlace(file) | Role::WrittenInPlace(file) => at_site(planned, file),
                Role::Output(file) if planned.site().is_some() && !may_leave(&planned.job, file) => {
                    Err(PlanError::LeavesSite {
                        file: file.to_owned(),
                        job: planned.id.clone(),
                    })
                }
                // What comes to a site is the site's affair; a checkpoint is the model in training.
                Role::Setting | Role::Input(_) | Role::Output(_) | Role::Checkpoint(_) => Ok(()),
            };
            if result.is_ok() {
                result = proven;
            }
        });
        result?;
    }
    Ok(())
}

/// A file in place is below the folder of its job's site.
fn at_site(planned: &PlannedJob, file: &str) -> Result<(), PlanError> {
    let below = |data: &str| {
        let path = Path::new(file);
        let plain = path
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        plain && path != Path::new(data) && path.starts_with(data)
    };
    match planned.site() {
        Some(site) if below(&site.data) => Ok(()),
        Some(_) | None => Err(PlanError::NotAtSite {
            file: file.to_owned(),
            job: planned.id.clone(),
        }),
    }
}

/// A file in place is read at the site that it was written at: another site may have a folder of the same name.
///
/// # Errors
/// [`PlanError::OtherSite`] with the file.
pub fn one_site(file: &str, writer: &PlannedJob, reader: &PlannedJob) -> Result<(), PlanError> {
    let site = |planned: &PlannedJob| planned.site().map(|site| site.name.clone());
    if !file.starts_with('/') || site(writer) == site(reader) {
        return Ok(());
    }
    Err(PlanError::OtherSite {
        file: file.to_owned(),
        writer: writer.id.clone(),
        reader: reader.id.clone(),
    })
}

/// Whether a job at a site may send this output elsewhere: models, counts and metrics, and keys that are public.
fn may_leave(job: &Job, file: &str) -> bool {
    match job {
        Job::Train(args) => file == args.update.as_str() || file == args.metrics.as_str(),
        Job::TrainClients(args) => args
            .updates
            .iter()
            .chain(&args.metrics)
            .any(|sent| file == sent.as_str()),
        Job::Evaluate(args) => file == args.metrics.as_str(),
        Job::Baseline(args) => file == args.model.as_str() || file == args.metrics.as_str(),
        Job::Keys(args) => file == args.public_key.as_str(),
        Job::Reveal(args) => file == args.reveal.as_str(),
        // Shards are images and manifests name them; the others have nothing to do at a site.
        Job::Prepare(_)
        | Job::Profile(_)
        | Job::Stats(_)
        | Job::Init(_)
        | Job::Aggregate(_)
        | Job::Partial(_)
        | Job::Broadcast(_) => false,
    }
}
