//! Checkpoints: what an interrupted training goes on from, as a file.
//!
//! In: a job's identity, weights, and [`Kept`]. Out: a file, whole or none, after every epoch and on SIGTERM; from it the
//! same training again, bit for bit. Start at [`Keeper::new`].
//!
//! # Format
//! Safetensors of kind `checkpoint` with the header of the job's update. Tensors: the weights by their names, the best
//! epoch's after [`BEST`], the optimiser's moments (`optimizer.…`), what a method remembers (`method.…`). Metadata after
//! [`PREFIX`]: `job` (a digest of all that decides the training), `step`, `partial`, `epoch_loss`, `validation_loss`,
//! `entered`, `best`, and `digest` of everything else.

use std::{collections::BTreeMap, fs, io, path::Path, sync::OnceLock};

use contract::{
    exit::JobExit,
    job::JobError,
    tensors::{Header, HeaderError, TensorKind},
    units::SampleCount,
};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::{Adjust, Course, loss::Total, step::At, stop, watch::Best, watch::Watch};
use crate::{
    batches::Samples,
    data::shard::Shard,
    model::{Model, Weights},
    optim::{Descent, Entered},
    pieces::{Piece, PieceKind, write_pieces},
};

/// Prefix of the best epoch's weights.
pub const BEST: &str = "best:";

/// Prefix of a checkpoint's own metadata.
pub const PREFIX: &str = "checkpoint_";

/// Where training is, beside the weights.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The weights a checkpoint held; taken before training goes on.
    pub weights: Option<Weights>,
    /// Steps taken in the epoch that is not whole.
    pub step: usize,
    /// Loss of those steps.
    pub partial: Total,
    /// Mean loss of every whole epoch.
    pub epoch_loss: Vec<f64>,
    /// Validation losses of every whole epoch.
    pub watch: Watch,
    /// With early stopping: the best epoch's weights.
    pub best: Option<Best>,
    /// The optimiser.
    pub descent: Descent,
}

impl Kept {
    /// Whole epochs.
    pub fn epochs(&self) -> u32 {
        self.epoch_loss.len() as u32
    }
}

/// A job's checkpoint file.
pub struct Keeper<'a> {
    path: &'a Path,
    /// Of the job's update or model.
    header: Header,
    /// Which training of the job, where it has several.
    stage: &'a str,
    is_asked: &'a (dyn Fn() -> bool + Sync),
    /// Digest of all that decides the training, once it is known.
    job: OnceLock<String>,
}

impl<'a> Keeper<'a> {
    /// Keeps the training `stage` of the job whose output has `header`; from now on SIGTERM is noted.
    ///
    /// # Errors
    /// `Io` if the system refuses to tell of signals.
    pub fn new(path: &'a Path, header: &Header, stage: &'a str) -> Result<Self, JobError> {
        stop::listen()
            .map_err(|error| JobError::new(JobExit::Io, format!("cannot listen for SIGTERM: {error}")))?;
        Ok(Self::asking(path, header, stage, &stop::is_asked))
    }

    /// The same, told to stop by `is_asked`, which is asked after every step.
    pub fn asking(
        path: &'a Path,
        header: &Header,
        stage: &'a str,
        is_asked: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            path,
            header: Header {
                kind: TensorKind::Checkpoint,
                num_samples: SampleCount(0),
                ..header.clone()
            },
            stage,
            is_asked,
            job: OnceLock::new(),
        }
    }

    /// Whether training is to stop at this step.
    pub fn is_asked_to_stop(&self) -> bool {
        (self.is_asked)()
    }

    /// The error of a job that stopped after the step `at` (0: after the whole epoch), its checkpoint written.
    pub fn interrupted(&self, at: At) -> JobError {
        let place = match at.step {
            0 => format!("epoch {}", at.epoch),
            _ => at.to_string(),
        };
        let text = format!("told to stop after {place}");
        JobError::new(JobExit::Interrupted, text)
            .help(format!("run it again: it goes on from `{}`", self.path.display()))
            .about(self.path)
    }

    /// A digest of all that decides what training computes.
    fn digest(&self, model: &Model, start: &Weights, samples: &Samples<'_>, course: &Course<'_>) -> String {
        let Course {
            epochs,
            rounds_before,
            epochs_per_round,
            recipe,
            seed,
            lasting,
            optimizer,
            keeper: _,
            reporter: _,
        } = course;
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(env!("CARGO_PKG_VERSION").as_bytes());
        add(self.stage.as_bytes());
        add(format!("{recipe:?}").as_bytes());
        add(format!("{epochs} {rounds_before} {epochs_per_round} {seed} {lasting}").as_bytes());
        for piece in pieces_of(model, start, "") {
            add(&piece.bytes);
        }
        for piece in optimizer.map(|state| state.pieces(model)).unwrap_or_default() {
            add(piece.name.as_bytes());
            add(&piece.bytes);
        }
        for shard in samples.shards() {
            add(format!("{:?}", shard.header()).as_bytes());
            add(shard.labels());
            add(shard.patients().as_flattened());
            add(Shard::images(shard));
        }
        hex(&hash.finalize())
    }

    /// Where training goes on, if there is a checkpoint of this job. One that is damaged is told of on standard error, and
    /// training starts anew.
    ///
    /// # Errors
    /// `InputInvalid` if the file is no checkpoint or one of another job; `Io` if it cannot be read.
    pub fn read(
        &self,
        model: &Model,
        start: &Weights,
        samples: &Samples<'_>,
        course: &Course<'_>,
        adjust: &mut dyn Adjust,
    ) -> Result<Option<Kept>, JobError> {
        let job = self
            .job
            .get_or_init(|| self.digest(model, start, samples, course));
        let bytes = match fs::read(self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.probe()?;
                return Ok(None);
            }
            Err(error) => return Err(JobError::reading(self.path, &error)),
        };
        let damaged = |reason: String| {
            eprintln!(
                "warning: the checkpoint `{}` is damaged ({reason}); training starts anew",
                self.path.display()
            );
            Ok(None)
        };
        let (file, metadata) = match open(&bytes) {
            Ok(opened) => opened,
            Err(reason) => return damaged(reason),
        };
        let refuse = |reason: String| {
            Err(JobError::invalid(self.path, reason)
                .help("give every job a checkpoint file of its own, or remove the file to start anew"))
        };
        let header = match Header::from_metadata(|key| metadata.get(key).map(String::as_str)) {
            Ok(header) => header,
            Err(error @ (HeaderError::NotOurs | HeaderError::Version { .. })) => {
                return refuse(error.to_string());
            }
            Err(error @ HeaderError::Field { .. }) => return damaged(error.to_string()),
        };
        if header.kind != TensorKind::Checkpoint {
            return refuse(format!("it holds a {}, not a checkpoint", header.kind));
        }
        if metadata.get(&key("digest")) != Some(&content(&metadata, [data(&bytes)])) {
            return damaged("its bytes are not those that were written".to_owned());
        }
        let told = |header: &Header| {
            let round = header.round.map_or("none".to_owned(), |round| round.to_string());
            let client = header
                .client
                .map_or("none".to_owned(), |client| client.to_string());
            format!(
                "{} {} round {round} client {client}",
                header.experiment, header.dataset
            )
        };
        if header != self.header {
            return refuse(format!(
                "it is of another job ({}), this one is {}",
                told(&header),
                told(&self.header)
            ));
        }
        if metadata.get(&key("stage")).map(String::as_str) != Some(self.stage) {
            // Of a later training of the same job: this one is done again on the way there.
            return Ok(None);
        }
        if metadata.get(&key("job")) != Some(job) {
            return refuse("it is of a job with other settings, samples or first weights".to_owned());
        }
        match decode(&file, &metadata, model, course, adjust) {
            Ok(kept) => Ok(Some(kept)),
            Err(reason) => damaged(reason),
        }
    }

    /// Whether the file can be written, before hours are spent on what it is to hold.
    fn probe(&self) -> Result<(), JobError> {
        contract::job::PartFile::create(self.path).map(drop)
    }

    /// Writes the file: beside and renamed, so there is always a whole one.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn write(
        &self,
        model: &Model,
        weights: &Weights,
        kept: &Kept,
        adjust: &dyn Adjust,
    ) -> Result<(), JobError> {
        let Kept {
            weights: _,
            step,
            partial,
            epoch_loss,
            watch,
            best,
            descent,
        } = kept;
        let entered = descent.entered();
        let mut metadata = self.header.to_metadata();
        let mut set = |name: &str, value: String| metadata.insert(key(name), value);
        set(
            "job",
            self.job
                .get()
                .expect("a checkpoint is read before it is written")
                .clone(),
        );
        set("stage", self.stage.to_owned());
        set("step", step.to_string());
        set("partial", floats(&[partial.sum, partial.weight]));
        set("epoch_loss", floats(epoch_loss));
        set("validation_loss", floats(watch.losses()));
        set("entered", floats(&[entered.carried(), entered.sum()]));
        if let Some(best) = best {
            set("best", floats(&[best.local_steps]));
        }
        let mut pieces = pieces_of(model, weights, "");
        if let Some(best) = best {
            pieces.extend(pieces_of(model, &best.weights, BEST));
        }
        pieces.extend(descent.pieces(model));
        pieces.extend(adjust.memory());
        // As `write_pieces` orders them, so that the digest is of the bytes in the file.
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.kind.width()));
        let digest = content(&metadata, pieces.iter().map(|piece| piece.bytes.as_slice()));
        metadata.insert(key("digest"), digest);
        write_pieces(self.path, &metadata, pieces)
    }
}

/// Removes a checkpoint: the job is done.
///
/// # Errors
/// `Io` naming the file.
pub fn remove(path: &Path) -> Result<(), JobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JobError::writing(path, &error)),
        _ => Ok(()),
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every value as it reads back, bit for bit.
fn floats(values: &[f64]) -> String {
    let words: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    words.join(",")
}

/// Digest of the metadata, but the digest itself, and of the tensors' bytes.
fn content<'a>(metadata: &BTreeMap<String, String>, data: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    let own = key("digest");
    for (name, value) in metadata.iter().filter(|(name, _)| **name != own) {
        hash.update(format!("{name:?}:{value:?};"));
    }
    data.into_iter().for_each(|bytes| hash.update(bytes));
    hex(&hash.finalize())
}

/// A whole safetensors file and its metadata.
fn open(bytes: &[u8]) -> Result<(SafeTensors<'_>, BTreeMap<String, String>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    Ok((file, metadata.into_iter().collect()))
}

/// The tensors' bytes of a whole safetensors file.
fn data(bytes: &[u8]) -> &[u8] {
    let length = bytes
        .first_chunk()
        .map_or(0, |length| u64::from_le_bytes(*length));
    let start = usize::try_from(length).map_or(bytes.len(), |length| length.saturating_add(8));
    bytes.get(start..).unwrap_or(&[])
}

fn pieces_of(model: &Model, weights: &Weights, prefix: &str) -> Vec<Piece> {
    let specs = model.tensors().iter().enumerate();
    specs
        .map(|(place, spec)| {
            let name = format!("{prefix}{}", spec.name);
            match weights.count(place) {
                None => Piece::floats(name, &spec.shape, weights.real(place)),
                Some(count) => Piece {
                    name,
                    kind: PieceKind::I64,
                    shape: spec.shape.clone(),
                    bytes: count.to_le_bytes().to_vec(),
                },
            }
        })
        .collect()
}

/// What [`Keeper::write`] wrote.
fn decode(
    file: &SafeTensors<'_>,
    metadata: &BTreeMap<String, String>,
    model: &Model,
    course: &Course<'_>,
    adjust: &mut dyn Adjust,
) -> Result<Kept, String> {
    let field = |name: &str| {
        metadata
            .get(&key(name))
            .map(String::as_str)
            .ok_or_else(|| format!("`{}` is missing", key(name)))
    };
    let wrong = |name: &str| format!("`{}` does not parse", key(name));
    let list = |name: &str| -> Result<Vec<f64>, String> {
        let text = field(name)?;
        let words = text.split(',').filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| wrong(name))).collect()
    };
    let pair = |name: &str| <[f64; 2]>::try_from(list(name)?).map_err(|_| wrong(name));
    let [sum, weight] = pair("partial")?;
    let [carried, entered] = pair("entered")?;
    let mut watch = Watch::new(course.recipe.early_stop);
    for loss in list("validation_loss")? {
        watch.note(loss);
    }
    let best = match metadata.contains_key(&key("best")) {
        false => None,
        true => Some(Best {
            weights: Weights::read_named(model, file, BEST)?,
            local_steps: *list("best")?.first().ok_or_else(|| wrong("best"))?,
        }),
    };
    adjust.recall(file)?;
    Ok(Kept {
        weights: Some(Weights::read_named(model, file, "")?),
        step: field("step")?.parse().map_err(|_| wrong("step"))?,
        partial: Total { sum, weight },
        epoch_loss: list("epoch_loss")?,
        watch,
        best,
        descent: Descent::read(course.recipe.optimizer, model, file)?
            .with_entered(Entered::resumed(carried, entered)),
    })
}
