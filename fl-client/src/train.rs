//! The `train` job: one client's part in a round.
//!
//! In: the global model, the client's shard, what the client kept and, with an encoding, what the last one left out. Out: an
//! update, metrics, what is kept and left out now. Where absence is allowed, a client that cannot train sends an update that
//! says so, and what it kept is handed on.

use std::{fs, path::Path};

use contract::{
    aggregation::Encoding,
    args::{TrainArgs, TrainClientsArgs},
    argv::{ArgValue, CheckpointFile, InputFile, JobArgs, OutputFile},
    exit::JobExit,
    ids::{ClientId, Round},
    job::{JobError, write_json},
    metrics::{Metrics, SamplePrivacySpent, Subject},
    recipe::{Method, Recipe},
    secure::Identity,
    tensors::{ABSENT, ENCODING, Header, LOCAL_STEPS, TRAIN_LOSS, TensorKind},
    training::Absence,
    units::SampleCount,
};

use crate::{
    batches::Samples,
    checks::{Expected, Owner},
    device::Place,
    fit::{Course, Outcome, checkpoint, progress::Reporter},
    keys::KeyRing,
    mask::{Masks, Tensor, Values},
    method::{Done, Side, check_flag, scaffold::ServerVariate},
    model::Weights,
    personal::{Personal, word},
    pieces::{Piece, write_pieces},
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
    train(args)?;
    remove_checkpoint(args)
}

/// Runs the job of several clients, one after the other.
///
/// # Errors
/// `Usage` for lists of different lengths; else as [`run`], with the first client that fails. Clients before it need not be
/// trained again by another attempt that has the checkpoints.
pub fn run_clients(args: &TrainClientsArgs) -> Result<(), JobError> {
    let clients = args
        .each()
        .map_err(|error| JobError::new(JobExit::Usage, error.to_string()))?;
    if let Err(error) = clients.iter().try_for_each(train) {
        // A failed job leaves no outputs. The error that matters is the one that got us here.
        for file in args.outputs() {
            let _ = fs::remove_file(file);
        }
        return Err(error);
    }
    clients.iter().try_for_each(remove_checkpoint)
}

fn remove_checkpoint(args: &TrainArgs) -> Result<(), JobError> {
    let path = args.checkpoint.as_ref().map(CheckpointFile::path);
    path.map_or(Ok(()), checkpoint::remove)
}

/// Trains a client and sends its update; the checkpoint stays.
fn train(args: &TrainArgs) -> Result<(), JobError> {
    check_flags(args)?;
    let TrainArgs {
        experiment,
        dataset,
        spec_digest,
        round,
        client,
        epochs,
        recipe,
        seed,
        threads,
        device,
        progress,
        checkpoint,
        global,
        shard,
        encoding,
        residual_in,
        residual_out,
        personal_in,
        personal_out,
        control,
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
    let recipe = crate::recipe::open(recipe.path())?;
    check_method(args, &recipe)?;
    let expected = Expected {
        experiment,
        dataset,
        spec_digest,
    };
    let (header, model, weights) = expected.model(global.path(), before)?;
    let model = model.at(Place::find(*device)?.able_to(recipe.precision)?);
    let residual = match (residual_in, residual_out) {
        (Some(file), Some(_)) => Some(expected.residual(file.path(), *client, *round, &model)?),
        (None, Some(_)) => Some(Residual::zeros(&model)),
        (_, None) => None,
    };
    let personal = match personal_in {
        Some(file) => {
            let whose = (*client, *round);
            Some(Personal::open(&expected, file.path(), whose, &recipe, &model)?)
        }
        None if recipe.is_personal() => Some(Personal::beginning(&recipe, &model, &weights)?),
        None => None,
    };
    let server = match (recipe.method, control) {
        (Method::Scaffold, Some(file)) => Some(ServerVariate::open(&expected, file.path(), before, &model)?),
        (Method::Scaffold, None) => Some(ServerVariate::zeros(&model)),
        _ => None,
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
    let checkpoint = checkpoint.as_ref().map(CheckpointFile::path);
    let kept_as = Header {
        round: Some(*round),
        client: Some(*client),
        ..header.clone()
    };
    let task = Task {
        expected,
        round: *round,
        client: *client,
        course: Course {
            rounds_before: before.0,
            lasting: *seed,
            reporter: &Reporter::new(*progress),
            ..Course::of(
                *epochs,
                &recipe,
                seed.derive(&format!("train round {round} client {client}")),
            )
        },
        threads: *threads,
        encoding: *encoding,
        header,
        side: Side {
            model: &model,
            global: &weights,
            personal,
            given: personal_in.as_ref().map(InputFile::path),
            server,
            checkpoint: checkpoint.map(|path| (path, &kept_as)),
        },
        residual,
        masks,
    };
    let outputs = Outputs {
        update: update.path(),
        personal: personal_out.as_ref().map(OutputFile::path),
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

/// Flags that go with what the recipe has a client do.
fn check_method(args: &TrainArgs, recipe: &Recipe) -> Result<(), JobError> {
    let keeps = recipe.is_personal();
    let kept = match keeps {
        true => "has the client keep something from round to round",
        false => "has the client keep nothing from round to round",
    };
    if args.personal_in.is_some() {
        check_flag(keeps, true, "--personal-in", kept)?;
    }
    check_flag(keeps, args.personal_out.is_some(), "--personal-out", kept)?;
    if args.control.is_some() && recipe.method != Method::Scaffold {
        let why = format!(
            "has the method `{}`, which has no control variates",
            word(recipe.method)
        );
        check_flag(false, true, "--control", &why)?;
    }
    if args.secret_key.is_some() && matches!(recipe.method, Method::Scaffold | Method::Qfedavg) {
        let text = format!(
            "`--secret-key`: `{}` needs what each client sends by itself, and masked updates tell their sum alone",
            word(recipe.method)
        );
        return Err(JobError::new(JobExit::Usage, text).help("leave the key out, or choose another method"));
    }
    Ok(())
}

/// What training starts from: proven to belong to the job, none of it the client's data.
struct Task<'a> {
    expected: Expected<'a>,
    round: Round,
    client: ClientId,
    course: Course<'a>,
    threads: Option<u32>,
    encoding: Option<Encoding>,
    /// Of the global model.
    header: Header,
    /// The global model, and what the method adds to training.
    side: Side<'a>,
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
    personal: Option<&'a Path>,
    metrics: &'a Path,
}

/// What came of training.
struct Trained {
    synthetic: bool,
    num_samples: SampleCount,
    done: Done,
    /// With an encoding.
    encoded: Option<(Encoding, EncodedUpdate)>,
}

/// What the metrics say of training.
#[derive(Default)]
struct Told {
    epoch_loss: Vec<f64>,
    validation_loss: Vec<f64>,
    best_epoch: Option<u32>,
    privacy: Option<SamplePrivacySpent>,
    absent: Option<String>,
}

impl Told {
    fn of(outcome: Outcome, privacy: Option<SamplePrivacySpent>) -> Self {
        Self {
            epoch_loss: outcome.epoch_loss,
            validation_loss: outcome.validation_loss,
            best_epoch: outcome.best_epoch,
            privacy,
            absent: None,
        }
    }

    fn absent(reason: String) -> Self {
        Self {
            absent: Some(reason),
            ..Self::default()
        }
    }
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
        let (model, course) = (self.side.model, self.course);
        let samples = self
            .expected
            .shard(shard, Owner::Client(self.client), model.input())?;
        let (done, encoded) = with_threads(self.threads, || {
            let samples = Samples::new(&[(shard, &samples)], model.input())?;
            let done = self.side.train(&samples, course)?;
            let encode = |encoding| {
                let residual = self.residual.as_ref();
                let update = update::encode(encoding, model, self.side.global, &done.sent, residual)?;
                Ok((encoding, update))
            };
            let encoded = self.encoding.map(encode).transpose()?;
            Ok((done, encoded))
        })?;
        Ok(Trained {
            synthetic: self.header.synthetic || samples.header().synthetic,
            num_samples: SampleCount(done.outcome.trained_on),
            done,
            encoded,
        })
    }

    fn send(&self, trained: Trained, outputs: Outputs<'_>) -> Result<(), JobError> {
        let Trained {
            synthetic,
            num_samples,
            done,
            encoded,
        } = trained;
        let Done {
            sent,
            outcome,
            controls,
            train_loss,
            privacy,
            personal,
        } = done;
        let model = self.side.model;
        let header = self.update_header(synthetic, num_samples);
        let steps = (LOCAL_STEPS, outcome.local_steps.write());
        if let Some(masks) = &self.masks {
            self.send_masked(masks, &header, &[steps], &sent, outputs.update)?;
        } else {
            let mut metadata = header.to_metadata();
            metadata.insert(steps.0.to_owned(), steps.1);
            if let Some(loss) = train_loss {
                metadata.insert(TRAIN_LOSS.to_owned(), loss.write());
            }
            match encoded {
                None if controls.is_empty() => sent.save_with(outputs.update, &metadata, model)?,
                None => {
                    let specs = model.tensors().iter().enumerate();
                    let mut pieces: Vec<Piece> = specs
                        .map(|(place, spec)| update::as_it_is(spec.name.clone(), spec, &sent, place))
                        .collect();
                    pieces.extend(controls);
                    write_pieces(outputs.update, &metadata, pieces)?;
                }
                Some((encoding, update)) => {
                    metadata.insert(ENCODING.to_owned(), encoding.write());
                    let EncodedUpdate { mut pieces, residual } = update;
                    pieces.extend(controls);
                    write_pieces(outputs.update, &metadata, pieces)?;
                    if let Some(file) = outputs.residual {
                        residual.save(file, &header, model)?;
                    }
                }
            }
        }
        if let (Some(file), Some(personal)) = (outputs.personal, personal) {
            personal.save(file, &header, model)?;
        }
        self.report(&header, Told::of(outcome, privacy), outputs.metrics)
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
        let specs = || self.side.model.tensors().iter().enumerate();
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

    /// Sends no tensors but the reason; what the last encoding left out and what the client kept wait for its next update.
    fn send_absence(&self, error: &JobError, outputs: Outputs<'_>) -> Result<(), JobError> {
        let (client, round) = (self.client, self.round);
        let reason = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
        eprintln!("warning: client {client} is absent from round {round}: {reason}");
        let header = self.update_header(self.header.synthetic, SampleCount(0));
        let mut metadata = header.to_metadata();
        metadata.insert(ABSENT.to_owned(), reason.clone());
        write_pieces(outputs.update, &metadata, Vec::new())?;
        let model = self.side.model;
        if let (Some(file), Some(residual)) = (outputs.residual, &self.residual) {
            residual.save(file, &header, model)?;
        }
        if let (Some(file), Some(personal)) = (outputs.personal, &self.side.personal) {
            personal.hand_on(file, &header, model)?;
        }
        self.report(&header, Told::absent(reason), outputs.metrics)
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

    fn report(&self, update: &Header, told: Told, metrics: &Path) -> Result<(), JobError> {
        let Told {
            epoch_loss,
            validation_loss,
            best_epoch,
            privacy,
            absent,
        } = told;
        let report = Metrics {
            fedwing_metrics: Metrics::VERSION,
            experiment: Some(update.experiment.clone()),
            dataset: Some(update.dataset.clone()),
            spec_digest: Some(update.spec_digest.clone()),
            synthetic: update.synthetic,
            backend: Some(self.side.model.place().backend()),
            num_samples: update.num_samples,
            subject: Subject::Train {
                round: self.round,
                client: self.client,
                epoch_loss,
                validation_loss,
                best_epoch,
                privacy,
                absent,
            },
            scores: None,
        };
        write_json(metrics, &report)
    }
}
