//! The `init` job: the global model of round 0, drawn from a seed or taken from a file.

use contract::{
    args::InitArgs,
    exit::JobExit,
    ids::Round,
    job::JobError,
    tensors::{Header, TensorKind},
    training::{Head, Target},
    units::SampleCount,
};

use crate::model::{Input, Model, Weights, import};

/// Runs the job.
///
/// # Errors
/// `Usage` for a network that does not exist, or for `--head` without `--weights`; with `--weights`, `InputMissing`, `InputInvalid` or `NotFinite` naming the
/// file and tensor; `Io`.
pub fn run(args: &InitArgs) -> Result<(), JobError> {
    let InitArgs {
        experiment,
        dataset,
        spec_digest,
        arch,
        channels,
        image_size,
        classes,
        target,
        seed,
        weights,
        head,
        global,
    } = args;
    let input = Input {
        channels: *channels,
        image_size: *image_size,
        classes: *classes,
    };
    let model = Model::new(*arch, input).map_err(|error| JobError::new(JobExit::Usage, error.to_string()))?;
    if head.is_some() && weights.is_none() {
        return Err(JobError::new(
            JobExit::Usage,
            "`--head` says what to do with a file's head, but there is no file",
        )
        .help("give `--weights`, or leave `--head` out: without a file every tensor starts anew"));
    }
    let weights = match weights {
        Some(file) => import(file.path(), &model, head.unwrap_or(Head::Kept), *seed)?,
        None => Weights::start(&model, *seed),
    };
    let header = Header {
        kind: TensorKind::Model,
        experiment: experiment.clone(),
        dataset: dataset.clone(),
        spec_digest: spec_digest.clone(),
        synthetic: false,
        round: Some(Round(0)),
        client: None,
        num_samples: SampleCount(0),
        arch: Some(*arch),
        channels: *channels,
        image_size: *image_size,
        num_classes: *classes,
        target: target.unwrap_or(Target::Classes),
        classes: Vec::new(),
        normalize: None,
    };
    weights.save(global.path(), &header, &model)
}
