//! The server step of a round: reads the clients' updates, writes the new global model.
//!
//! In: safetensors files, ours or any PyTorch state dict. Out: a model with the global model's tensors, and metrics.
//! Start at [`run`]. Everything is checked before any work starts ([`inputs`]); then tensors are combined piece by
//! piece out of mapped files ([`output`]), so memory does not grow with the number of updates. The same files give the
//! same bytes, in whatever order they are named and with any number of threads.

pub mod inputs;
pub mod output;
pub mod tensor_file;

use contract::{
    args::{AggregateArgs, Job},
    exit::JobExit,
    ids::Round,
    job::{self, JobError},
    metrics::{Metrics, Subject, UpdateShare},
    tensors::{Header, TensorKind},
    training::Strategy,
    units::SampleCount,
};

use inputs::Inputs;

/// Runs a job of this binary.
///
/// # Errors
/// [`JobError`]: what is wrong with which file, and the way out
pub fn run(job: Job) -> Result<(), JobError> {
    match job {
        Job::Aggregate(args) => aggregate(&args),
        other => {
            let message = format!("`{}` is a job of {}", other.name(), other.binary().as_str());
            Err(JobError::new(JobExit::Usage, message))
        }
    }
}

fn aggregate(args: &AggregateArgs) -> Result<(), JobError> {
    let AggregateArgs {
        strategy,
        global,
        updates,
        samples,
        seed: _,
        output,
        metrics,
    } = args;
    // The seed is for rules that draw at random; this one does not.
    let Strategy::Fedavg = strategy;
    let inputs = Inputs::open(global, updates, samples)?;
    let header = inputs
        .global
        .header
        .as_ref()
        .map(|header| next_header(&inputs, header))
        .transpose()?;
    // Refused before the model is written: a job's outputs are all there or none.
    let report = match (metrics, &header) {
        (None, _) => None,
        (Some(file), Some((header, round))) => Some((file, metrics_of(&inputs, header, *round))),
        (Some(_), None) => return Err(no_round(&inputs)),
    };
    output::write(output.path(), &inputs, header.as_ref().map(|(header, _)| header))?;
    match report {
        Some((file, metrics)) => job::write_json(file.path(), &metrics),
        None => Ok(()),
    }
}

/// The header of the new global model, and its round.
fn next_header(inputs: &Inputs, global: &Header) -> Result<(Header, Round), JobError> {
    let file = inputs.global.path();
    let round = global
        .round
        .ok_or_else(|| JobError::invalid(file, "the global model's header has no `round`"))?;
    let next = round
        .0
        .checked_add(1)
        .ok_or_else(|| JobError::invalid(file, "the last round there can be"))?;
    let round = Round(next);
    let header = Header {
        kind: TensorKind::Model,
        synthetic: global.synthetic || inputs.updates.iter().any(inputs::Update::is_synthetic),
        round: Some(round),
        client: None,
        num_samples: SampleCount(inputs.total_samples),
        ..global.clone()
    };
    Ok((header, round))
}

fn metrics_of(inputs: &Inputs, header: &Header, round: Round) -> Metrics {
    let share = |update: &inputs::Update| UpdateShare {
        client: update.client(),
        num_samples: SampleCount(update.samples),
    };
    Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(header.experiment.clone()),
        dataset: Some(header.dataset.clone()),
        spec_digest: Some(header.spec_digest.clone()),
        synthetic: header.synthetic,
        num_samples: header.num_samples,
        subject: Subject::Aggregate {
            round,
            updates: inputs.updates.iter().map(share).collect(),
            strategy: contract::argv::ArgValue::write(&Strategy::Fedavg),
        },
        scores: None,
    }
}

fn no_round(inputs: &Inputs) -> JobError {
    JobError::invalid(
        inputs.global.path(),
        "metrics name the round, which only a model written by fedwing states",
    )
    .help("leave `--metrics` out for models from elsewhere")
}
