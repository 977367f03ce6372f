//! `fl-client prepare`: from a dataset's source to one shard per client, the test shard, the validation shard where the
//! settings ask for one, and the manifest.
//!
//! Where data is at several sites, each runs a job of its own for a part: every site reads the whole table and places every
//! sample alike, but reads the images of its own clients alone, and writes their shards alone.
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
//! | `program` | leaves a copy of this program for the site's other jobs |

pub(super) mod duplicates;
mod left;
mod program;
pub(super) mod progress;
mod quality;
mod salt;
mod shards;

use std::{collections::HashSet, fs, io, path::Path, time::UNIX_EPOCH};

use contract::{
    args::PrepareArgs,
    argv::InputFile,
    dataset::{Duplicates, Part, Source},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, write_json},
};
use rayon::prelude::*;

use super::{
    config::Config,
    manifest,
    placement::{self, Placed},
    source::{self, Absent},
    task,
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
/// `Usage` if the shards asked for are not one per client prepared, or not those of the splits, or a part is asked for of data
/// that only all images together can place; `InputMissing`, `InputInvalid` or `Io` naming the file, and
/// the line of the table where there is one; `InputInvalid` if more images than tolerated cannot be used; `DataUnfit` if
/// the data cannot be divided as asked, or has duplicates that are refused.
pub fn run(args: &PrepareArgs) -> Result<(), JobError> {
    with_threads(args.threads, || attempt(args, &Pace::USUAL))
}

/// [`run`] on the threads of the caller.
pub(super) fn attempt(args: &PrepareArgs, pace: &Pace<'_>) -> Result<(), JobError> {
    let config = Config::read(args.config.path())?;
    check_outputs(args, &config)?;
    if let Some(program) = &args.program {
        program::keep(program.path())?;
    }
    let salt = Salt::read(args.salt.as_ref().map(InputFile::path), &config)?;
    let absent = match &args.part {
        None => Absent::LeftOut,
        Some(_) => Absent::Elsewhere,
    };
    let mut loaded = source::load(&config, absent)?;
    let unusable = std::mem::take(&mut loaded.unusable);
    let (samples, mut left_out) = task::classify(&config.task, loaded)?;
    let all = placement::place(&config, samples, &mut left_out)?;
    // Everybody places every sample alike; only the images of the part are looked at.
    let (placed, part) = match &args.part {
        None => (all, None),
        Some(part) => {
            let here = all.iter().filter(|placed| part.has(placed.place.split().1));
            (here.cloned().collect(), Some((part, all)))
        }
    };

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
    let part = part.as_ref().map(|(part, all)| (*part, all.as_slice()));
    let manifest = left.manifest(&config, left_out.into_inner(), part);
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
        config: settings,
        salt: _,
        threads: _,
        manifest,
        part,
        shards,
        test_shard,
        validation_shard,
        program,
    } = args;
    let usage = |text: String, help: &str| {
        Err(JobError::new(JobExit::Usage, text)
            .about(settings.path())
            .help(help))
    };
    if let Some(part) = part {
        check_part(part, config).or_else(|(text, help)| usage(text, help))?;
    }
    let clients = clients(part.as_ref(), config).len();
    if shards.len() != clients {
        let whose = match part {
            None => format!("the settings have {clients} clients"),
            Some(part) => format!("the part `{part}` has {clients} clients"),
        };
        return usage(
            format!("`--shard` is given {} times, {whose}", shards.len()),
            "give one `--shard` per client, in the clients' order",
        );
    }
    let held_out = part.as_ref().is_none_or(|part| part.has(None));
    match (held_out, test_shard) {
        (true, None) => {
            return usage(
                "`--test-shard` is not given".to_owned(),
                "give `--test-shard`, or a `--part` of some clients",
            );
        }
        (false, Some(file)) => {
            return usage(
                format!("`--test-shard {file}` is given, and the part is of clients"),
                "leave `--test-shard` out, or `--part`",
            );
        }
        (true, Some(_)) | (false, None) => {}
    }
    match (config.validation.filter(|_| held_out), validation_shard) {
        (Some(share), None) => {
            return usage(
                format!(
                    "the settings keep the share {share} of patients for validation, and `--validation-shard` is not given"
                ),
                "give `--validation-shard`, or leave `validation` out of the settings",
            );
        }
        (None, Some(file)) => {
            let nothing = if held_out {
                "the settings keep"
            } else {
                "a part of clients keeps"
            };
            return usage(
                format!("`--validation-shard {file}` is given, and {nothing} nothing for validation"),
                "leave `--validation-shard` out, or give `validation` in the settings",
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let mut outputs = HashSet::new();
    match [manifest]
        .into_iter()
        .chain(test_shard)
        .chain(validation_shard)
        .chain(program)
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

/// The clients whose shards are written, in order.
pub(super) fn clients(part: Option<&Part>, config: &Config) -> Vec<ClientId> {
    let all = (0..config.clients).map(ClientId);
    match part {
        None => all.collect(),
        Some(part) => all.filter(|client| part.has(Some(*client))).collect(),
    }
}

/// Whether the dataset can be prepared in parts; if not, why and what to do.
fn check_part(part: &Part, config: &Config) -> Result<(), (String, &'static str)> {
    if let Part::Clients(clients) = part
        && let Some(client) = clients.iter().find(|client| client.0 >= config.clients)
    {
        let text = format!(
            "`--part {part}` names client {client}, the settings have {}",
            config.clients
        );
        return Err((text, "name clients below that number"));
    }
    if matches!(config.source, Source::Folder { .. } | Source::Dicom { .. }) {
        let text = format!(
            "`--part {part}` is given, and only all files together tell which client has which image"
        );
        return Err((text, "list the images in a table, or prepare all samples at once"));
    }
    if config.quality.unusable > 0.0 || config.quality.duplicates == Duplicates::Refuse {
        let text = format!("`--part {part}` is given, and the settings' `quality` is of all images together");
        return Err((
            text,
            "let nothing be unusable and duplicates be reported, or prepare all samples at once",
        ));
    }
    Ok(())
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
