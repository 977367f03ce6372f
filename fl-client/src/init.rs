//! The `init` job: the global model of round 0, drawn from a seed or taken from a file.

use contract::{
    args::InitArgs,
    exit::JobExit,
    ids::Round,
    job::JobError,
    tensors::{Header, TensorKind},
    units::SampleCount,
};

use crate::model::{Input, Model, ModelFile, Weights};

/// Runs the job.
///
/// # Errors
/// `Usage` for a network that does not exist; with `--weights`, `InputMissing`, `InputInvalid` or `NotFinite` naming the
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
        seed,
        weights,
        global,
    } = args;
    let input = Input {
        channels: *channels,
        image_size: *image_size,
        classes: *classes,
    };
    let model = Model::new(*arch, input).map_err(|error| JobError::new(JobExit::Usage, error.to_string()))?;
    let weights = match weights {
        Some(file) => ModelFile::open(file.path())?.weights(&model)?,
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
        classes: Vec::new(),
        normalize: None,
    };
    weights.save(global.path(), &header, &model)
}
