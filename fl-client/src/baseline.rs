//! The `baseline` job: one model trained without federation, and its test scores.

use std::path::Path;

use contract::{
    args::BaselineArgs,
    argv::CheckpointFile,
    exit::JobExit,
    ids::{ClientId, Round},
    job::{JobError, write_json},
    metrics::{Metrics, Subject},
    tensors::{Header, TensorKind},
    training::BaselineKind,
    units::SampleCount,
};

use crate::{
    batches::Samples,
    checks::{Expected, Owner},
    data::shard::Shard,
    device::Place,
    evaluate::{Judgement, check_apart, predict, same_target, scores, thresholds},
    fit::{
        Course,
        checkpoint::{self, Keeper},
        fit,
        progress::Reporter,
    },
    model::Input,
    threads::with_threads,
};

/// Runs the job.
///
/// # Errors
/// What reading the model or the shards, training, evaluating, or writing ran into; nothing is written then.
pub fn run(args: &BaselineArgs) -> Result<(), JobError> {
    let BaselineArgs {
        experiment,
        dataset,
        spec_digest,
        kind,
        client,
        epochs,
        epochs_per_round,
        recipe,
        seed,
        threads,
        device,
        progress,
        checkpoint,
        global,
        shards: files,
        test_shard,
        validation_shard,
        model: model_file,
        metrics,
    } = args;
    let recipe = crate::recipe::open(recipe.path())?;
    let files: Vec<&Path> = files.iter().map(|file| file.path()).collect();
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (global_header, model, mut weights) = expected.model(global.path(), Round(0))?;
    let model = model.at(Place::find(*device)?.able_to(recipe.precision)?);
    let shards = open_shards(&expected, *kind, *client, &files, model.input())?;
    let test = expected.shard(test_shard.path(), Owner::Test, model.input())?;
    same_target(test_shard.path(), &global_header, &test)?;
    let validation = match validation_shard {
        None => None,
        Some(file) => {
            let validation = expected.shard(file.path(), Owner::Validation, model.input())?;
            check_apart(file.path(), &validation, &test)?;
            Some((file.path(), validation))
        }
    };
    let synthetic =
        global_header.synthetic || shards.iter().chain([&test]).any(|shard| shard.header().synthetic);
    let purpose = match client {
        Some(client) => format!("baseline {kind} client {client}"),
        None => format!("baseline {kind}"),
    };
    let checkpoint = checkpoint.as_ref().map(CheckpointFile::path);
    let kept_as = Header {
        client: *client,
        ..global_header.clone()
    };
    let stage = kind.as_str();
    let keeper = checkpoint
        .map(|path| Keeper::new(path, &kept_as, stage))
        .transpose()?;
    if *epochs_per_round == 0 {
        return Err(JobError::new(
            JobExit::Usage,
            "`--epochs-per-round` must be at least 1",
        ));
    }
    let course = Course {
        epochs_per_round: *epochs_per_round,
        lasting: *seed,
        keeper: keeper.as_ref(),
        reporter: &Reporter::new(*progress),
        ..Course::of(*epochs, &recipe, seed.derive(&purpose))
    };
    let files: Vec<(&Path, &Shard)> = files.into_iter().zip(&shards).collect();
    let samples = Samples::new(&files, model.input())?;
    let (outcome, judgement, predicted) = with_threads(*threads, || {
        let outcome = fit(&model, &mut weights, &samples, course, &mut ())?;
        let test = Samples::new(&[(test_shard.path(), &test)], model.input())?;
        let thresholds = match &validation {
            None => None,
            Some((path, validation)) => Some(thresholds(
                &model,
                &weights,
                (path, validation),
                recipe.batch_size,
            )?),
        };
        let judgement = Judgement {
            thresholds,
            seed: None,
        };
        Ok((
            outcome,
            judgement,
            predict(&model, &weights, &test, recipe.batch_size)?,
        ))
    })?;
    let header = Header {
        kind: TensorKind::Model,
        synthetic,
        round: None,
        client: *client,
        num_samples: SampleCount(outcome.trained_on),
        ..global_header
    };
    let report = Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(experiment.clone()),
        dataset: Some(dataset.clone()),
        spec_digest: Some(spec_digest.clone()),
        synthetic,
        backend: Some(model.place().backend()),
        num_samples: SampleCount(test.len() as u64),
        subject: Subject::Baseline {
            kind: *kind,
            client: *client,
            epochs: outcome.epoch_loss.len() as u32,
            epoch_loss: outcome.epoch_loss,
        },
        scores: Some(scores(&header, &test, predicted, judgement)?),
    };
    weights.save(model_file.path(), &header, &model)?;
    write_json(metrics.path(), &report)?;
    checkpoint.map_or(Ok(()), checkpoint::remove)
}

/// Opens the shards a baseline trains on: those of different clients, or the one of its client.
fn open_shards(
    expected: &Expected<'_>,
    kind: BaselineKind,
    client: Option<ClientId>,
    files: &[&Path],
    input: Input,
) -> Result<Vec<Shard>, JobError> {
    let usage = |text: &str| Err(JobError::new(JobExit::Usage, text));
    let owner = match (kind, client, files.len()) {
        (_, _, 0) => return usage("`--shard` is missing"),
        (BaselineKind::Centralized, None, _) => Owner::AnyClient,
        (BaselineKind::Centralized, Some(_), _) => return usage("`--client` is for `--kind local_only`"),
        (BaselineKind::LocalOnly, Some(client), 1) => Owner::Client(client),
        (BaselineKind::LocalOnly, Some(_), _) => return usage("`--kind local_only` takes one `--shard`"),
        (BaselineKind::LocalOnly, None, _) => return usage("`--kind local_only` needs `--client`"),
    };
    let mut shards: Vec<Shard> = Vec::new();
    for file in files {
        let shard = expected.shard(file, owner, input)?;
        let client = shard.header().client;
        if shards.iter().any(|other| other.header().client == client) {
            let client = client.map_or(0, |client| client.0);
            return Err(
                JobError::invalid(file, format!("a second shard of client {client}"))
                    .help("pass each client's shard once"),
            );
        }
        shards.push(shard);
    }
    Ok(shards)
}
