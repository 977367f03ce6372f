//! `fl-client prepare`: from a dataset's source to one shard per client, the test shard, the validation shard where the
//! settings ask for one, and the manifest.
//!
//! In: the settings file. Out: the shards in the order of the manifest's rows, and the manifest, written last. Images are
//! decoded in parallel, a chunk at a time, so memory does not grow with the dataset; the bytes written do not depend on
//! the number of threads, nor on how often the job was killed on the way. Start at [`run`].
//!
//! | module | does |
//! |---|---|
//! | `progress` | keeps what is decoded when the job is killed |
//! | `quality` | counts images that cannot be used |
//! | `shards` | decodes images and writes shards |
//! | `left` | makes the manifest of what could be used |
//! | `duplicates` | finds images that are there more than once |
//! | `salt` | hashes patients |

pub(super) mod duplicates;
mod left;
pub(super) mod progress;
mod quality;
mod salt;
mod shards;

use std::{collections::HashSet, fs, io, path::Path, time::UNIX_EPOCH};

use contract::{
    args::PrepareArgs,
    argv::InputFile,
    dataset::Duplicates,
    exit::JobExit,
    job::{JobError, write_json},
};
use rayon::prelude::*;

use super::{
    config::Config,
    manifest,
    placement::{self, Placed},
    source, task,
};
use crate::threads::with_threads;
use left::Left;
use quality::Tolerance;
use salt::Salt;
use shards::{Job, State, in_line};

/// Where a job is; tests kill it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A chunk is written and in the journal.
    Chunk,
    /// A shard has its name.
    Shard,
    /// The manifest is written.
    Manifest,
}

/// How a job goes about it.
pub(super) struct Pace<'a> {
    /// Bytes of prepared pixels decoded at once and then written in order: enough to keep every core busy, few enough to
    /// stay small.
    pub chunk: usize,
    /// Called after each step.
    pub after: &'a (dyn Fn(Step) + Sync),
}

impl Pace<'_> {
    /// As jobs are run.
    pub const USUAL: Pace<'static> = Pace {
        chunk: 32 << 20,
        after: &|_| {},
    };
}

/// Prepares a dataset.
///
/// An attempt that was killed is gone on with: what it had decoded of the same images is kept.
///
/// # Errors
/// `Usage` if the shards asked for are not one per client, or not those of the splits; `InputMissing`, `InputInvalid` or `Io` naming the file, and
/// the line of the table where there is one; `InputInvalid` if more images than tolerated cannot be used; `DataUnfit` if
/// the data cannot be divided as asked, or has duplicates that are refused.
pub fn run(args: &PrepareArgs) -> Result<(), JobError> {
    with_threads(args.threads, || attempt(args, &Pace::USUAL))
}

/// [`run`] on the threads of the caller.
pub(super) fn attempt(args: &PrepareArgs, pace: &Pace<'_>) -> Result<(), JobError> {
    let config = Config::read(args.config.path())?;
    check_outputs(args, &config)?;
    let salt = Salt::read(args.salt.as_ref().map(InputFile::path), &config)?;
    let mut loaded = source::load(&config)?;
    let unusable = std::mem::take(&mut loaded.unusable);
    let (samples, mut left_out) = task::classify(&config.task, loaded)?;
    let placed = placement::place(&config, samples, &mut left_out)?;

    let mut tolerance = Tolerance::new(config.quality.unusable, placed.len() + unusable.len());
    tolerance.skip(unusable.iter().cloned())?;
    let states = check_files(&config, &placed)?;
    remove_old(args.manifest.path())?;
    let job = Job {
        config: &config,
        salt: &salt,
        placed: &placed,
        states: &states,
        pace,
    };
    let mut shards = job.decode(args, &mut tolerance)?;

    let left = Left::new(&placed, &shards, unusable);
    left.check(&config)?;
    let manifest = left.manifest(&config, left_out.into_inner());
    manifest::verify(&manifest).map_err(|fault| JobError::new(JobExit::Unexpected, fault.to_string()))?;
    match config.quality.duplicates {
        Duplicates::Report => {}
        Duplicates::Refuse => duplicates::refuse(&manifest.duplicates)?,
    }
    for shard in &mut shards {
        job.finish(shard, &left, &manifest.source_digest)?;
        (pace.after)(Step::Shard);
    }
    write_json(args.manifest.path(), &manifest)?;
    (pace.after)(Step::Manifest);
    shards.into_iter().try_for_each(|shard| shard.progress.clean())
}

fn check_outputs(args: &PrepareArgs, config: &Config) -> Result<(), JobError> {
    let PrepareArgs {
        config: _,
        salt: _,
        threads: _,
        manifest,
        shards,
        test_shard,
        validation_shard,
    } = args;
    let (given, clients) = (shards.len(), config.clients);
    if given != clients as usize {
        let text = format!("`--shard` is given {given} times, the settings have {clients} clients");
        return Err(JobError::new(JobExit::Usage, text)
            .about(args.config.path())
            .help("give one `--shard` per client, in the clients' order"));
    }
    let refused = match (&config.validation, validation_shard) {
        (Some(share), None) => Some((
            format!(
                "the settings keep the share {share} of patients for validation, and `--validation-shard` is not given"
            ),
            "give `--validation-shard`, or leave `validation` out of the settings",
        )),
        (None, Some(file)) => Some((
            format!("`--validation-shard {file}` is given, and the settings keep nothing for validation"),
            "leave `--validation-shard` out, or give `validation` in the settings",
        )),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((text, help)) = refused {
        return Err(JobError::new(JobExit::Usage, text)
            .about(args.config.path())
            .help(help));
    }
    let mut outputs = HashSet::new();
    match [manifest, test_shard]
        .into_iter()
        .chain(validation_shard)
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

/// Looks for every image before the first is decoded, so that a missing one ends the job at once where none may be
/// missing.
fn check_files(config: &Config, placed: &[Placed]) -> Result<Vec<State>, JobError> {
    let state = |placed: &Placed| -> Result<State, JobError> {
        let Some(path) = placed.sample.row.origin.path() else {
            return Ok(Some((0, 0)));
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JobError::reading(path, &error)),
            Ok(about) => {
                let written = about.modified().ok();
                let since = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                Ok(Some((about.len(), since.map_or(0, |since| since.as_nanos()))))
            }
        }
    };
    let states: Vec<State> = placed.par_iter().map(state).collect::<Result<_, _>>()?;
    let mut missing = placed.iter().zip(&states).filter(|(_, state)| state.is_none());
    if config.quality.unusable > 0.0 {
        return Ok(states);
    }
    let Some((first, _)) = missing.next() else {
        return Ok(states);
    };
    let row = &first.sample.row;
    let (count, all) = (1 + missing.count(), placed.len());
    let error = JobError::new(
        JobExit::InputMissing,
        format!(
            "image `{}` is not there; {count} of {all} images are missing",
            row.image
        ),
    )
    .help("put the images where the source says they are, or take their lines out");
    let error = match row.origin.path() {
        Some(path) => error.about(path),
        None => error,
    };
    Err(in_line(config, row, error))
}
