//! The `baseline` job: one model trained without federation, and its test scores.

use std::path::Path;

use contract::{
    args::BaselineArgs,
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
    evaluate::{predict, scores},
    fit::{Course, fit},
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
        batch_size,
        optimizer,
        seed,
        threads,
        global,
        shards: files,
        test_shard,
        model: model_file,
        metrics,
    } = args;
    let files: Vec<&Path> = files.iter().map(|file| file.path()).collect();
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (global_header, model, mut weights) = expected.model(global.path(), Round(0))?;
    let shards = open_shards(&expected, *kind, *client, &files, model.input())?;
    let test = expected.shard(test_shard.path(), Owner::Test, model.input())?;
    let synthetic =
        global_header.synthetic || shards.iter().chain([&test]).any(|shard| shard.header().synthetic);
    let purpose = match client {
        Some(client) => format!("baseline {kind} client {client}"),
        None => format!("baseline {kind}"),
    };
    let course = Course {
        epochs: *epochs,
        batch_size: *batch_size,
        optimizer: *optimizer,
        seed: seed.derive(&purpose),
    };
    let files: Vec<(&Path, &Shard)> = files.into_iter().zip(&shards).collect();
    let samples = Samples::new(&files, model.input())?;
    let (epoch_loss, predicted) = with_threads(*threads, || {
        let epoch_loss = fit(&model, &mut weights, &samples, course)?;
        let test = Samples::new(&[(test_shard.path(), &test)], model.input())?;
        Ok((epoch_loss, predict(&model, &weights, &test, *batch_size)?))
    })?;
    let header = Header {
        kind: TensorKind::Model,
        synthetic,
        round: None,
        client: *client,
        num_samples: SampleCount(samples.len() as u64),
        ..global_header
    };
    let report = Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(experiment.clone()),
        dataset: Some(dataset.clone()),
        spec_digest: Some(spec_digest.clone()),
        synthetic,
        num_samples: SampleCount(test.len() as u64),
        subject: Subject::Baseline {
            kind: *kind,
            client: *client,
            epochs: *epochs,
            epoch_loss,
        },
        scores: Some(scores(&predicted, &test)?),
    };
    weights.save(model_file.path(), &header, &model)?;
    write_json(metrics.path(), &report)
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
