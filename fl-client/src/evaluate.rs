//! The `evaluate` job: how well a model predicts the classes of a shard.

use contract::{
    args::EvaluateArgs,
    exit::JobExit,
    job::{JobError, write_json},
    metrics::{ClassScores, Metrics, Scores, Subject},
    units::SampleCount,
};
use kernels::metrics::{log_softmax, score};
use ndarray::ArrayView2;

use crate::{
    batches::{Batch, Samples},
    checks::{Expected, Owner},
    data::shard::Shard,
    model::{Mode, Model, Pass, Weights},
    threads::with_threads,
};

/// Runs the job.
///
/// # Errors
/// What reading the model or the shard, evaluating, or writing ran into; nothing is written then.
pub fn run(args: &EvaluateArgs) -> Result<(), JobError> {
    let EvaluateArgs {
        experiment,
        dataset,
        test_dataset,
        spec_digest,
        round,
        batch_size,
        threads,
        global,
        shard: shard_file,
        metrics,
    } = args;
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (header, model, weights) = expected.model(global.path(), *round)?;
    let of_shard = Expected {
        dataset: test_dataset,
        ..expected
    };
    let shard = of_shard.shard(shard_file.path(), Owner::Test, model.input())?;
    let samples = Samples::new(&[(shard_file.path(), &shard)], model.input())?;
    let predicted = with_threads(*threads, || predict(&model, &weights, &samples, *batch_size))?;
    let report = Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(experiment.clone()),
        dataset: Some(dataset.clone()),
        spec_digest: Some(spec_digest.clone()),
        synthetic: header.synthetic || shard.header().synthetic,
        num_samples: SampleCount(shard.len() as u64),
        subject: Subject::Evaluate {
            round: *round,
            test_dataset: test_dataset.clone(),
        },
        scores: Some(scores(&predicted, &shard)?),
    };
    write_json(metrics.path(), &report)
}

/// Class scores (logits) of every sample in order: samples × classes.
///
/// # Errors
/// `Usage` if empty batches are asked for; `NotFinite` naming the first sample without numbers.
pub fn predict(
    model: &Model,
    weights: &Weights,
    samples: &Samples<'_>,
    batch_size: u32,
) -> Result<Vec<f32>, JobError> {
    if batch_size == 0 {
        return Err(JobError::new(JobExit::Usage, "`--batch-size` must be at least 1"));
    }
    let mut pass = Pass::new(model, weights, Mode::Evaluation);
    let order: Vec<usize> = (0..samples.len()).collect();
    let classes = model.input().classes as usize;
    let mut predicted = Vec::with_capacity(order.len() * classes);
    for indices in order.chunks(batch_size as usize) {
        let Batch { pixels, shape, .. } = samples.batch(indices);
        let images = pass.input(pixels, shape);
        let logits = model
            .forward(&mut pass, images)
            .map_err(|error| JobError::new(JobExit::Unexpected, error.to_string()))?;
        let logits = logits.into_data().try_into_vec::<f32>();
        predicted.extend(logits.map_err(|error| JobError::new(JobExit::Unexpected, format!("{error:?}")))?);
    }
    match predicted.iter().position(|value| !value.is_finite()) {
        None => Ok(predicted),
        Some(at) => {
            let text = format!(
                "the model's output for sample {} is {}",
                at / classes,
                predicted[at]
            );
            Err(JobError::new(JobExit::NotFinite, text)
                .help("the model has diverged; lower the learning rate"))
        }
    }
}

/// Scores predictions against the classes of `shard`.
///
/// # Errors
/// `InputInvalid` if the shard does not name its classes; `Unexpected` if predictions and shard differ in length.
pub fn scores(predicted: &[f32], shard: &Shard) -> Result<Scores, JobError> {
    let classes = &shard.header().classes;
    let truth: Vec<u32> = shard.labels().iter().map(|label| u32::from(*label)).collect();
    let unexpected = |error: String| JobError::new(JobExit::Unexpected, error);
    let logits = ArrayView2::from_shape((truth.len(), classes.len()), predicted)
        .map_err(|error| unexpected(error.to_string()))?;
    let scored = score(log_softmax(logits).view(), &truth).map_err(|error| unexpected(error.to_string()))?;
    let per_class = classes
        .iter()
        .zip(scored.per_class)
        .map(|(label, class)| ClassScores {
            label: label.clone(),
            support: class.support,
            precision: class.precision,
            recall: class.recall,
            f1: class.f1,
            auroc: class.auroc,
        });
    Ok(Scores {
        loss: scored.loss,
        accuracy: scored.accuracy,
        macro_f1: scored.macro_f1,
        auroc: scored.auroc,
        per_class: per_class.collect(),
    })
}
