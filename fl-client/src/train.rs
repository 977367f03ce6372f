//! The `train` job: one client's part in a round.
//!
//! In: the global model, the client's shard and, with an encoding, what the last one left out. Out: an update, metrics and
//! what is left out now. Where absence is allowed, a client that cannot train sends an update that says so.

use std::path::Path;

use contract::{
    aggregation::Encoding,
    args::TrainArgs,
    argv::{ArgValue, OutputFile},
    exit::JobExit,
    ids::{ClientId, Round},
    job::{JobError, write_json},
    metrics::{Metrics, Subject},
    tensors::{ABSENT, ENCODING, Header, LOCAL_STEPS, TensorKind},
    training::Absence,
    units::SampleCount,
};

use crate::{
    batches::Samples,
    checks::{Expected, Owner},
    fit::{Course, fit},
    model::{Model, Weights},
    optim::local_steps,
    pieces::write_pieces,
    residual::Residual,
    threads::with_threads,
    update::{self, EncodedUpdate},
};

/// Runs the job.
///
/// # Errors
/// What reading the model, the residual or the shard, training, encoding or writing ran into; nothing is written then.
/// With `--absence allowed`, a shard that is missing or damaged, samples that cannot be trained on and training that leaves
/// the finite numbers are no errors: see [`Absence::Allowed`].
pub fn run(args: &TrainArgs) -> Result<(), JobError> {
    check_flags(args)?;
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
        encoding,
        residual_in,
        residual_out,
        secret_key: _,
        public_keys: _,
        absence,
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
    let (header, model, weights) = expected.model(global.path(), before)?;
    let residual = match (residual_in, residual_out) {
        (Some(file), Some(_)) => Some(expected.residual(file.path(), *client, *round, &model)?),
        (None, Some(_)) => Some(Residual::zeros(&model)),
        (_, None) => None,
    };
    let task = Task {
        expected,
        round: *round,
        client: *client,
        course: Course {
            epochs: *epochs,
            batch_size: *batch_size,
            optimizer: *optimizer,
            seed: seed.derive(&format!("train round {round} client {client}")),
        },
        threads: *threads,
        encoding: *encoding,
        header,
        model,
        weights,
        residual,
    };
    let outputs = Outputs {
        update: update.path(),
        residual: residual_out.as_ref().map(OutputFile::path),
        metrics: metrics.path(),
    };
    match task.train(shard.path()) {
        Ok(trained) => task.send(trained, outputs),
        Err(error) if *absence == Some(Absence::Allowed) && is_the_clients(&error) => {
            task.send_absence(&error, outputs)
        }
        Err(error) => Err(error),
    }
}

/// Flags that do not go together.
fn check_flags(args: &TrainArgs) -> Result<(), JobError> {
    let usage = |text: &str, help: &str| Err(JobError::new(JobExit::Usage, text).help(help));
    if args.secret_key.is_some() && args.encoding.is_some() {
        return usage(
            "masked updates are not compressed: `--secret-key` and `--encoding` do not go together",
            "leave one of them out",
        );
    }
    if args.secret_key.is_some() == args.public_keys.is_empty() {
        return usage(
            "`--secret-key` and `--public-key` go together",
            "give the client's secret key and the public key of every selected client, or neither",
        );
    }
    if args.residual_out.is_some() && args.encoding.is_none() {
        return usage(
            "`--residual-out` is for encoded updates; nothing is left out of this one",
            "give `--encoding`, or leave the residual out",
        );
    }
    if args.residual_in.is_some() && args.residual_out.is_none() {
        return usage(
            "`--residual-in` without `--residual-out` would forget what this update leaves out",
            "give `--residual-out`",
        );
    }
    Ok(())
}

/// What training starts from: proven to belong to the job, none of it the client's data.
struct Task<'a> {
    expected: Expected<'a>,
    round: Round,
    client: ClientId,
    course: Course,
    threads: Option<u32>,
    encoding: Option<Encoding>,
    /// Of the global model.
    header: Header,
    model: Model,
    /// The global model's.
    weights: Weights,
    /// With error feedback: what the last encoding left out.
    residual: Option<Residual>,
}

/// Where results go.
#[derive(Clone, Copy)]
struct Outputs<'a> {
    update: &'a Path,
    residual: Option<&'a Path>,
    metrics: &'a Path,
}

/// What came of training.
struct Trained {
    synthetic: bool,
    num_samples: SampleCount,
    epoch_loss: Vec<f64>,
    local_steps: f64,
    weights: Weights,
    /// With an encoding.
    encoded: Option<(Encoding, EncodedUpdate)>,
}

/// Whether what [`Task::train`] ran into lies in the client's data or training, not in how the job was started or where it
/// runs.
fn is_the_clients(error: &JobError) -> bool {
    match error.exit {
        JobExit::InputMissing | JobExit::InputInvalid | JobExit::DataUnfit | JobExit::NotFinite => true,
        JobExit::Done
        | JobExit::Unexpected
        | JobExit::Usage
        | JobExit::DeviceMissing
        | JobExit::OutOfMemory
        | JobExit::Io
        | JobExit::Interrupted => false,
    }
}

impl Task<'_> {
    /// Everything that the client's data or training can make fail, and nothing else.
    fn train(&self, shard: &Path) -> Result<Trained, JobError> {
        let (model, course) = (&self.model, self.course);
        let samples = self
            .expected
            .shard(shard, Owner::Client(self.client), model.input())?;
        let mut weights = self.weights.clone();
        let (epoch_loss, encoded) = with_threads(self.threads, || {
            let samples = Samples::new(&[(shard, &samples)], model.input())?;
            let epoch_loss = fit(model, &mut weights, &samples, course)?;
            let encode = |encoding| {
                let residual = self.residual.as_ref();
                let update = update::encode(encoding, model, &self.weights, &weights, residual)?;
                Ok((encoding, update))
            };
            Ok((epoch_loss, self.encoding.map(encode).transpose()?))
        })?;
        Ok(Trained {
            synthetic: self.header.synthetic || samples.header().synthetic,
            num_samples: SampleCount(samples.len() as u64),
            epoch_loss,
            local_steps: local_steps(course.optimizer, course.steps(samples.len())),
            weights,
            encoded,
        })
    }

    fn send(&self, trained: Trained, outputs: Outputs<'_>) -> Result<(), JobError> {
        let Trained {
            synthetic,
            num_samples,
            epoch_loss,
            local_steps,
            weights,
            encoded,
        } = trained;
        let header = self.update_header(synthetic, num_samples);
        let mut metadata = header.to_metadata();
        metadata.insert(LOCAL_STEPS.to_owned(), local_steps.write());
        match encoded {
            None => weights.save_with(outputs.update, &metadata, &self.model)?,
            Some((encoding, update)) => {
                metadata.insert(ENCODING.to_owned(), encoding.write());
                let EncodedUpdate { pieces, residual } = update;
                write_pieces(outputs.update, &metadata, pieces)?;
                if let Some(file) = outputs.residual {
                    residual.save(file, &header, &self.model)?;
                }
            }
        }
        self.report(&header, epoch_loss, None, outputs.metrics)
    }

    /// Sends no tensors but the reason; what the last encoding left out waits for the next update.
    fn send_absence(&self, error: &JobError, outputs: Outputs<'_>) -> Result<(), JobError> {
        let (client, round) = (self.client, self.round);
        let reason = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
        eprintln!("warning: client {client} is absent from round {round}: {reason}");
        let header = self.update_header(self.header.synthetic, SampleCount(0));
        let mut metadata = header.to_metadata();
        metadata.insert(ABSENT.to_owned(), reason.clone());
        write_pieces(outputs.update, &metadata, Vec::new())?;
        if let (Some(file), Some(residual)) = (outputs.residual, &self.residual) {
            residual.save(file, &header, &self.model)?;
        }
        self.report(&header, Vec::new(), Some(reason), outputs.metrics)
    }

    fn update_header(&self, synthetic: bool, num_samples: SampleCount) -> Header {
        Header {
            kind: TensorKind::Update,
            synthetic,
            round: Some(self.round),
            client: Some(self.client),
            num_samples,
            ..self.header.clone()
        }
    }

    fn report(
        &self,
        update: &Header,
        epoch_loss: Vec<f64>,
        absent: Option<String>,
        metrics: &Path,
    ) -> Result<(), JobError> {
        let report = Metrics {
            fedwing_metrics: Metrics::VERSION,
            experiment: Some(update.experiment.clone()),
            dataset: Some(update.dataset.clone()),
            spec_digest: Some(update.spec_digest.clone()),
            synthetic: update.synthetic,
            num_samples: update.num_samples,
            subject: Subject::Train {
                round: self.round,
                client: self.client,
                epoch_loss,
                absent,
            },
            scores: None,
        };
        write_json(metrics, &report)
    }
}
