//! The server step of a round: reads the clients' updates, writes the new global model.
//!
//! In: safetensors files, ours or any PyTorch state dict. Out: a model with the global model's tensors, what the rule
//! remembers, and metrics. Start at [`run`]. Everything is checked before any work starts ([`inputs`]); the rule decides
//! what is done with each tensor ([`rules`]); then tensors are combined piece by piece out of mapped files ([`output`]),
//! so memory does not grow with the number of updates. The same files give the same bytes, in whatever order they are
//! named and with any number of threads.

mod blocks;
mod broadcast;
pub mod inputs;
mod masked;
pub mod output;
pub mod partial;
mod pieces;
mod private;
mod report;
pub mod rules;
pub mod state;
pub mod tensor_file;
pub mod update;
mod written;

use std::{fs, path::Path};

use contract::{
    aggregation::{Strategy, StrategyArg},
    args::{AggregateArgs, Job},
    argv::{ArgValue, InputFile},
    exit::JobExit,
    ids::Round,
    job::{self, JobError},
    tensors::{Header, TensorKind},
    units::SampleCount,
};

use inputs::{Fewest, Inputs};
use state::State;

/// The largest file with a rule that is read, in bytes.
const MAX_RULE: u64 = 1 << 16;

/// Runs a job of this binary.
///
/// # Errors
/// [`JobError`]: what is wrong with which file, and the way out
pub fn run(job: Job) -> Result<(), JobError> {
    match job {
        Job::Aggregate(args) => with_threads(args.threads, || aggregate(&args)),
        Job::Partial(args) => with_threads(args.threads, || partial::run(&args)),
        Job::Broadcast(args) => broadcast::run(&args),
        other => {
            let message = format!("`{}` is a job of {}", other.name(), other.binary().as_str());
            Err(JobError::new(JobExit::Usage, message))
        }
    }
}

/// Runs `work` on `threads` threads, or on all cores.
fn with_threads(
    threads: Option<u32>,
    work: impl FnOnce() -> Result<(), JobError> + Send,
) -> Result<(), JobError> {
    let Some(threads) = threads else { return work() };
    if threads == 0 {
        return Err(JobError::new(
            JobExit::Usage,
            "`--threads` is 0, it must be at least 1",
        ));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads as usize)
        .build()
        .map_err(|error| JobError::new(JobExit::Unexpected, format!("cannot start threads: {error}")))?;
    pool.install(work)
}

fn aggregate(args: &AggregateArgs) -> Result<(), JobError> {
    let AggregateArgs {
        strategy,
        privacy,
        keep,
        global,
        updates,
        samples,
        min_clients,
        reveals,
        seed,
        threads: _,
        state_in,
        state_out,
        output,
        metrics,
    } = args;
    let strategy = resolve(strategy)?;
    let beside: Vec<&Path> = [state_out, metrics]
        .into_iter()
        .flatten()
        .map(|file| file.path())
        .collect();
    distinct(output.path(), &beside)?;
    let fewest = min_clients.map_or(Fewest::All, Fewest::Some);
    let inputs = Inputs::open(global, updates, samples, fewest)?;
    let header = inputs
        .global
        .header
        .as_ref()
        .map(|header| next_header(&inputs, header))
        .transpose()?;
    let state = State::open(state_in.as_ref(), &strategy, privacy.as_ref(), &inputs.global)?;
    let masked = masked::Masked::of(&inputs, reveals)?;
    let state_path = state_out.as_ref().map(|file| file.path());
    let (outputs, recipe) = match &masked {
        None => {
            let recipe = rules::decide(&strategy, privacy.as_ref(), keep, *seed, &inputs, &state)?;
            let written = output::write(
                output.path(),
                state_path,
                &inputs,
                &recipe,
                &state,
                header.as_ref(),
            )?;
            (written, recipe)
        }
        Some(masked) => {
            let recipe = masked.recipe(&strategy, privacy.as_ref(), keep, &state)?;
            let written = masked.write(output.path(), state_path, &recipe, header.as_ref())?;
            (written, recipe)
        }
    };
    if let Some(file) = metrics {
        let report = report::metrics(&strategy, privacy.as_ref(), &inputs, &recipe, header.as_ref())?;
        job::write_json(file.path(), &report)?;
    }
    outputs.finish().inspect_err(|_| {
        // What is beside a model goes with it. The error that matters is the one that got us here.
        for path in &beside {
            let _ = fs::remove_file(path);
        }
    })
}

/// One file cannot be two outputs.
fn distinct(output: &Path, beside: &[&Path]) -> Result<(), JobError> {
    let all: Vec<&Path> = [output].into_iter().chain(beside.iter().copied()).collect();
    let again = (1..all.len()).find(|number| all[..*number].contains(&all[*number]));
    match again.map(|number| all[number]) {
        None => Ok(()),
        Some(path) => {
            let message = format!("`{}` is named for two outputs", path.display());
            Err(JobError::new(JobExit::Usage, message))
        }
    }
}

fn resolve(strategy: &StrategyArg) -> Result<Strategy, JobError> {
    match strategy {
        StrategyArg::Given(strategy) => Ok(*strategy),
        StrategyArg::File(file) => read_rule(file),
    }
}

fn read_rule(file: &InputFile) -> Result<Strategy, JobError> {
    let value: serde_json::Value = job::read_json(file.path(), MAX_RULE)?;
    Strategy::read(&value.to_string()).map_err(|reason| JobError::invalid(file.path(), reason))
}

/// The header of the new global model.
fn next_header(inputs: &Inputs, global: &Header) -> Result<Header, JobError> {
    let file = inputs.global.path();
    let round = global
        .round
        .ok_or_else(|| JobError::invalid(file, "the global model's header has no `round`"))?;
    let next = round
        .0
        .checked_add(1)
        .ok_or_else(|| JobError::invalid(file, "the last round there can be"))?;
    Ok(Header {
        kind: TensorKind::Model,
        synthetic: inputs.is_synthetic(),
        round: Some(Round(next)),
        client: None,
        num_samples: SampleCount(inputs.total_samples),
        ..global.clone()
    })
}
