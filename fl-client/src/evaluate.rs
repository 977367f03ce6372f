//! The `evaluate` job: how well a model predicts the classes or labels of a shard.
//!
//! In: a model, the test shard, and other samples to choose thresholds on. Out: metrics, and the predictions they come
//! from. Start at [`run`]; [`scores`] serves baselines too.

mod predictions;

use std::{collections::HashSet, path::Path};

use contract::{
    args::EvaluateArgs,
    exit::JobExit,
    job::{JobError, write_json},
    metrics::{Metrics, Scores, Subject},
    tensors::Header,
    units::SampleCount,
};
use kernels::metrics;
use ndarray::ArrayView2;

pub use predictions::{Judgement, Predictions};

use crate::{
    batches::{Batch, Samples},
    checks::{Expected, Owner},
    data::shard::Shard,
    device::Place,
    model::{Frozen, Mode, Model, Pass, Weights},
    personal,
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
        client,
        personal,
        shard: shard_file,
        validation_shard,
        seed,
        device,
        predictions,
        metrics,
    } = args;
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (header, model, mut weights) = expected.model(global.path(), *round)?;
    match (client, personal) {
        (Some(client), Some(file)) => {
            let whose = (*client, *round);
            personal::apply(&expected, file.path(), whose, &model, &mut weights)?;
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => {
            return Err(
                JobError::new(JobExit::Usage, "`--client` and `--personal` go together")
                    .help("give the client and what it kept, or neither to evaluate the global model"),
            );
        }
    }
    let model = model.at(Place::find(*device)?);
    let of_shard = Expected {
        dataset: test_dataset,
        ..expected
    };
    let shard = of_shard.shard(shard_file.path(), Owner::Test, model.input())?;
    same_target(shard_file.path(), &header, &shard)?;
    let validation = match validation_shard {
        None => None,
        Some(file) => {
            let validation = expected.shard(file.path(), Owner::Validation, model.input())?;
            check_apart(file.path(), &validation, &shard)?;
            Some((file.path(), validation))
        }
    };
    let judged = with_threads(*threads, || {
        let thresholds = match &validation {
            None => None,
            Some((path, validation)) => Some(thresholds(&model, &weights, (path, validation), *batch_size)?),
        };
        let samples = Samples::new(&[(shard_file.path(), &shard)], model.input())?;
        let logits = predict(&model, &weights, &samples, *batch_size)?;
        let judgement = Judgement {
            thresholds,
            seed: *seed,
        };
        let judged = Predictions::new(&header, &shard, logits, judgement);
        let scores = judged.scores()?;
        Ok((judged, scores))
    })?;
    let (judged, scores) = judged;
    let report = Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(experiment.clone()),
        dataset: Some(dataset.clone()),
        spec_digest: Some(spec_digest.clone()),
        synthetic: judged.header.synthetic,
        backend: Some(model.place().backend()),
        num_samples: SampleCount(shard.len() as u64),
        subject: Subject::Evaluate {
            round: *round,
            test_dataset: test_dataset.clone(),
            client: *client,
        },
        scores: Some(scores),
    };
    if let Some(file) = predictions {
        judged.write(file.path())?;
    }
    write_json(metrics.path(), &report)
}

/// Classes are no labels, though there may be as many.
pub(crate) fn same_target(path: &Path, model: &Header, shard: &Shard) -> Result<(), JobError> {
    let (found, expected) = (shard.header().target, model.target);
    if found == expected {
        return Ok(());
    }
    let reason = format!("it is about {found}, the model about {expected}");
    Err(JobError::invalid(path, reason).help("pass the shard this job is planned with"))
}

/// What thresholds are chosen on is of other patients than what they are judged by.
pub(crate) fn check_apart(path: &Path, validation: &Shard, test: &Shard) -> Result<(), JobError> {
    let tested: HashSet<_> = test.patients().iter().collect();
    let both = validation
        .patients()
        .iter()
        .filter(|patient| tested.contains(patient));
    match both.collect::<HashSet<_>>().len() {
        0 => Ok(()),
        both => {
            let reason = format!("{both} of its patients have test samples too");
            Err(JobError::invalid(path, reason)
                .help("pass the validation shard that `prepare` wrote with the test shard"))
        }
    }
}

/// The probability from which on each class or label is told, chosen on the samples of a shard; see
/// [`metrics::thresholds`].
///
/// # Errors
/// As [`predict`]; `InputInvalid` naming the file if all or none of its samples have a class or label, or it is not about
/// what the model is.
pub fn thresholds(
    model: &Model,
    weights: &Weights,
    (path, shard): (&Path, &Shard),
    batch_size: u32,
) -> Result<Vec<f64>, JobError> {
    let samples = Samples::new(&[(path, shard)], model.input())?;
    let logits = predict(model, weights, &samples, batch_size)?;
    let shape = (shard.len(), model.input().classes as usize);
    let unexpected = |error: String| JobError::new(JobExit::Unexpected, error);
    let logits = ArrayView2::from_shape(shape, &logits).map_err(|error| unexpected(error.to_string()))?;
    let truth = predictions::truth(shard.header().target, shard.labels());
    metrics::thresholds(logits, truth).map_err(|error| match error {
        metrics::ScoreError::OneSided {
            output,
            positives,
            samples,
        } => {
            let name = shard.header().classes.get(output).map_or("", String::as_str);
            let reason = format!(
                "{positives} of its {samples} samples have `{name}`; a threshold needs samples with and without it"
            );
            JobError::invalid(path, reason).help("keep a larger share of the patients for validation")
        }
        error => unexpected(error.to_string()),
    })
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
    let mut pass = Pass::new(model, weights, Mode::Evaluation, &Frozen::none());
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

/// Scores a model's outputs for the samples of `shard`.
///
/// # Errors
/// `Unexpected` if outputs and shard do not fit each other.
pub fn scores(
    model: &Header,
    shard: &Shard,
    predicted: Vec<f32>,
    judgement: Judgement,
) -> Result<Scores, JobError> {
    Predictions::new(model, shard, predicted, judgement).scores()
}
