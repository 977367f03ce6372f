//! The `train` job: one client's part in a round.

use contract::{
    args::TrainArgs,
    exit::JobExit,
    ids::Round,
    job::{JobError, write_json},
    metrics::{Metrics, Subject},
    tensors::{Header, TensorKind},
    units::SampleCount,
};

use crate::{
    batches::Samples,
    checks::{Expected, Owner},
    fit::{Course, fit},
    threads::with_threads,
};

/// Runs the job.
///
/// # Errors
/// What reading the model or the shard, training, or writing ran into; nothing is written then.
pub fn run(args: &TrainArgs) -> Result<(), JobError> {
    let TrainArgs {
        experiment,
        dataset,
        spec_digest,
        round,
        client,
        epochs,
        batch_size,
        optimizer,
        seed,
        threads,
        global,
        shard,
        update,
        metrics,
    } = args;
    let before = round.0.checked_sub(1).map(Round).ok_or_else(|| {
        JobError::new(
            JobExit::Usage,
            "round 0 is the initial model; training starts with `--round 1`",
        )
    })?;
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (global_header, model, mut weights) = expected.model(global.path(), before)?;
    let samples = expected.shard(shard.path(), Owner::Client(*client), model.input())?;
    let synthetic = global_header.synthetic || samples.header().synthetic;
    let num_samples = SampleCount(samples.len() as u64);
    let course = Course {
        epochs: *epochs,
        batch_size: *batch_size,
        optimizer: *optimizer,
        seed: seed.derive(&format!("train round {round} client {client}")),
    };
    let epoch_loss = with_threads(*threads, || {
        let samples = Samples::new(&[(shard.path(), &samples)], model.input())?;
        fit(&model, &mut weights, &samples, course)
    })?;
    let header = Header {
        kind: TensorKind::Update,
        synthetic,
        round: Some(*round),
        client: Some(*client),
        num_samples,
        ..global_header
    };
    weights.save(update.path(), &header, &model)?;
    let report = Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(experiment.clone()),
        dataset: Some(dataset.clone()),
        spec_digest: Some(spec_digest.clone()),
        synthetic,
        num_samples,
        subject: Subject::Train {
            round: *round,
            client: *client,
            epoch_loss,
        },
        scores: None,
    };
    write_json(metrics.path(), &report)
}
