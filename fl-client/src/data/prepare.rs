//! `fl-client prepare`: from a dataset's source to one shard per client, the test shard and the manifest.
//!
//! In: the settings file. Out: the shards in the order of the manifest's rows, and the manifest, written last. Images are
//! decoded in parallel, a chunk at a time, so memory does not grow with the dataset; the bytes written do not depend on
//! the number of threads. Start at [`run`].

use std::{collections::HashSet, fs, io, path::Path};

use contract::{
    args::PrepareArgs,
    dataset::{Manifest, ManifestRow, Source, Split},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, write_json},
    tensors::{Header, TensorKind},
    units::SampleCount,
};
use rayon::prelude::*;

use super::{
    config::Config,
    decode, manifest,
    placement::{self, Place, Placed},
    shard::{self, Rows},
    source::{self, LeftOut, Origin, Row},
    task,
};

/// Images decoded at once and then written in order: enough to keep every core busy, few enough to stay small.
const CHUNK: usize = 128;

/// Prepares a dataset.
///
/// # Errors
/// `Usage` if the shards asked for are not one per client; `InputMissing`, `InputInvalid` or `Io` naming the file, and
/// the line of the table where there is one; `DataUnfit` if the data cannot be divided as asked.
pub fn run(args: &PrepareArgs) -> Result<(), JobError> {
    let config = Config::read(args.config.path())?;
    check_outputs(args, &config)?;
    let (samples, mut left_out) = task::classify(&config.task, source::load(&config)?)?;
    let placed = placement::place(&config, samples, &mut left_out)?;
    let manifest = manifest_of(&config, &placed, left_out);
    manifest::verify(&manifest).map_err(|fault| JobError::new(JobExit::Unexpected, fault.to_string()))?;
    check_files(&config, &placed)?;
    remove_old(args.manifest.path())?;
    for (client, shard) in (0..config.clients).map(ClientId).zip(&args.shards) {
        write_shard(&config, &placed, Place::Client(client), shard.path())?;
    }
    write_shard(&config, &placed, Place::Test, args.test_shard.path())?;
    write_json(args.manifest.path(), &manifest)
}

fn check_outputs(args: &PrepareArgs, config: &Config) -> Result<(), JobError> {
    let PrepareArgs {
        config: _,
        manifest,
        shards,
        test_shard,
    } = args;
    let (given, clients) = (shards.len(), config.clients);
    if given != clients as usize {
        let text = format!("`--shard` is given {given} times, the settings have {clients} clients");
        return Err(JobError::new(JobExit::Usage, text)
            .about(args.config.path())
            .help("give one `--shard` per client, in the clients' order"));
    }
    let mut outputs = HashSet::new();
    match [manifest, test_shard]
        .into_iter()
        .chain(shards)
        .find(|file| !outputs.insert(file.path()))
    {
        Some(file) => Err(
            JobError::new(JobExit::Usage, format!("`{file}` is to be written twice"))
                .help("give every output a name of its own"),
        ),
        None => Ok(()),
    }
}

/// An earlier attempt's manifest must not stand beside this attempt's shards.
fn remove_old(manifest: &Path) -> Result<(), JobError> {
    match fs::remove_file(manifest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JobError::writing(manifest, &error)),
        _ => Ok(()),
    }
}

fn manifest_of(config: &Config, placed: &[Placed], left_out: LeftOut) -> Manifest {
    let rows = placed.iter().map(|Placed { sample, place }| {
        let (split, client) = match place {
            Place::Client(client) => (Split::Train, Some(*client)),
            Place::Test => (Split::Test, None),
        };
        ManifestRow {
            image: sample.row.image.clone(),
            patient: sample.row.patient.clone(),
            class: sample.class,
            split,
            client,
        }
    });
    Manifest {
        fedwing_manifest: Manifest::VERSION,
        experiment: config.experiment.clone(),
        dataset: config.dataset.clone(),
        spec_digest: config.spec_digest.clone(),
        synthetic: config.source.is_synthetic(),
        classes: config.task.classes(),
        clients: config.clients,
        left_out: left_out.into_inner(),
        rows: rows.collect(),
    }
}

/// Looks for every image before the first is decoded, so that a missing one ends the job at once.
fn check_files(config: &Config, placed: &[Placed]) -> Result<(), JobError> {
    let rows = placed.iter().map(|placed| &placed.sample.row);
    let missing: Vec<&Row> = rows
        .filter(|row| row.origin.path().is_some_and(|path| !path.exists()))
        .collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let (count, all) = (missing.len(), placed.len());
    let error = JobError::new(
        JobExit::InputMissing,
        format!(
            "image `{}` is not there; {count} of {all} images are missing",
            first.image
        ),
    )
    .help("put the images where the source says they are, or take their lines out");
    let error = match first.origin.path() {
        Some(path) => error.about(path),
        None => error,
    };
    Err(in_line(config, first, error))
}

/// Says which line of which table an error is about.
fn in_line(config: &Config, row: &Row, mut error: JobError) -> JobError {
    let table = match &config.source {
        Source::Cxr14 { labels, .. } => labels,
        Source::Table { csv, .. } => csv,
        Source::Folder { .. } | Source::Phantom { .. } => return error,
    };
    if let Origin::Line { line, .. } = &row.origin {
        error.message = format!("line {line} of `{table}`: {}", error.message);
    }
    error
}

fn write_shard(config: &Config, placed: &[Placed], place: Place, path: &Path) -> Result<(), JobError> {
    let samples: Vec<_> = placed
        .iter()
        .filter(|other| other.place == place)
        .map(|placed| &placed.sample)
        .collect();
    let labels = samples
        .iter()
        .map(|sample| u8::try_from(sample.class))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| {
            JobError::new(
                JobExit::Unexpected,
                format!("a class beyond those checked: {error}"),
            )
        })?;
    shard::write(
        path,
        &header(config, place, labels.len()),
        &labels,
        |out: &mut Rows<'_>| {
            for chunk in samples.chunks(CHUNK) {
                let decoded: Vec<_> = chunk
                    .par_iter()
                    .map(|sample| pixels(config, &sample.row))
                    .collect();
                for square in decoded {
                    out.push(&square?)?;
                }
            }
            Ok(())
        },
    )
}

fn header(config: &Config, place: Place, samples: usize) -> Header {
    let classes = config.task.classes();
    Header {
        kind: TensorKind::Shard,
        experiment: config.experiment.clone(),
        dataset: config.dataset.clone(),
        spec_digest: config.spec_digest.clone(),
        synthetic: config.source.is_synthetic(),
        round: None,
        client: match place {
            Place::Client(client) => Some(client),
            Place::Test => None,
        },
        num_samples: SampleCount(samples as u64),
        arch: None,
        channels: config.image.channels,
        image_size: config.image.size,
        num_classes: classes.len() as u32,
        classes,
        normalize: Some((config.image.mean, config.image.std)),
    }
}

fn pixels(config: &Config, row: &Row) -> Result<Vec<u8>, JobError> {
    let size = config.image.size;
    match &row.origin {
        Origin::Line { path, .. } | Origin::File(path) => {
            decode::read_square(path, size).map_err(|error| in_line(config, row, error))
        }
        Origin::Drawn { number, finding } => Ok(source::draw(config, *number, *finding)),
    }
}
