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
    secure::Identity,
    tensors::{ABSENT, ENCODING, Header, LOCAL_STEPS, TensorKind},
    training::Absence,
    units::SampleCount,
};

use crate::{
    batches::Samples,
    checks::{Expected, Owner},
    fit::{Course, fit},
    keys::KeyRing,
    mask::{Masks, Tensor, Values},
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
/// What reading the model, the residual, keys or the shard, training, encoding or writing ran into; nothing is written then.
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
        secret_key,
        public_keys,
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
    let masks = match secret_key {
        None => None,
        Some(secret) => {
            let of = Identity {
                experiment: experiment.clone(),
                dataset: dataset.clone(),
                spec_digest: spec_digest.clone(),
                client: *client,
            };
            Some(Masks::new(
                &KeyRing::open(of, secret.path(), public_keys)?,
                *round,
            )?)
        }
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
        masks,
    };
    let outputs = Outputs {
        update: update.path(),
        residual: residual_out.as_ref().map(OutputFile::path),
        metrics: metrics.path(),
    };
    match task
        .train(shard.path())
        .and_then(|trained| task.send(trained, outputs))
    {
        Err(error) if *absence == Some(Absence::Allowed) && is_the_clients(&error) => {
            task.send_absence(&error, outputs)
        }
        ended => ended,
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
    /// With a secret key: what hides the update among the others'.
    masks: Option<Masks>,
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

/// Whether what [`Task::train`] or [`Task::send`] ran into lies in the client's data or training, not in how the job was
/// started or where it runs.
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
        let steps = (LOCAL_STEPS, local_steps.write());
        if let Some(masks) = &self.masks {
            self.send_masked(masks, &header, &[steps], &weights, outputs.update)?;
            return self.report(&header, epoch_loss, None, outputs.metrics);
        }
        let mut metadata = header.to_metadata();
        metadata.insert(steps.0.to_owned(), steps.1);
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

    /// Sends what only a sum with the other clients' updates tells.
    fn send_masked(
        &self,
        masks: &Masks,
        header: &Header,
        metadata: &[(&str, String)],
        weights: &Weights,
        update: &Path,
    ) -> Result<(), JobError> {
        let specs = || self.model.tensors().iter().enumerate();
        let counters: Vec<Option<[u8; 8]>> = specs()
            .map(|(index, _)| weights.count(index).map(i64::to_le_bytes))
            .collect();
        let tensors: Vec<Tensor<'_>> = specs()
            .zip(&counters)
            .map(|((index, spec), counter)| Tensor {
                name: &spec.name,
                shape: &spec.shape,
                values: match counter {
                    None => Values::Real(weights.real(index)),
                    Some(bytes) => Values::Kept { dtype: "I64", bytes },
                },
            })
            .collect();
        with_threads(self.threads, || masks.write(update, header, metadata, &tensors))
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
