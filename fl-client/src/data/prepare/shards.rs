//! Decodes images and writes shards.
//!
//! In: placed samples. Out: their shards, each with what became of its images. Start at [`Job::decode`]; [`Job::finish`]
//! writes a shard once it is known which images are left.

use std::{collections::BTreeMap, path::Path};

use contract::{
    args::PrepareArgs,
    dataset::{Skipped, Source},
    exit::JobExit,
    job::JobError,
    tensors::{Header, TensorKind},
    training::Target,
    units::SampleCount,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    Pace, Step,
    left::Left,
    progress::{Layout, Outcome, Progress, hex},
    quality::Tolerance,
    salt::Salt,
};
use crate::data::{
    config::Config,
    decode::{self, Refusal, Square},
    placement::{Place, Placed},
    shard::{Contents, PatientHash},
    source::{self, Origin, Row},
};

/// Changes when the same file would give other pixels than before: what an attempt of another version left is of no use.
const PIXELS_VERSION: u32 = 1;

/// Length of an image file and when it was written, in nanoseconds; none if it is not there.
pub type State = Option<(u64, u128)>;

/// A shard being prepared: its samples as indices of placed ones, in their order.
pub struct Shard {
    place: Place,
    pub samples: Vec<usize>,
    pub progress: Progress,
}

/// A chunk that is still to be written.
struct Decoded<'k> {
    key: &'k str,
    outcomes: Vec<Outcome>,
    /// Pixels of the images that are done.
    pixels: Vec<Vec<u8>>,
}

/// What the steps of a job share.
pub struct Job<'a> {
    pub config: &'a Config,
    pub salt: &'a Salt,
    pub placed: &'a [Placed],
    pub states: &'a [State],
    pub pace: &'a Pace<'a>,
}

impl Job<'_> {
    /// Decodes every image there is not a whole chunk of yet, shard after shard.
    ///
    /// # Errors
    /// `InputMissing` or `InputInvalid` for the first image that cannot be used where none may be, `InputInvalid` if they
    /// are more than tolerated, `Io`.
    pub fn decode(&self, args: &PrepareArgs, tolerance: &mut Tolerance) -> Result<Vec<Shard>, JobError> {
        let places = super::clients(args.part.as_ref(), self.config)
            .into_iter()
            .map(Place::Client);
        let (validation, test) = (args.validation_shard.as_ref(), args.test_shard.as_ref());
        let places = places
            .chain(validation.map(|_| Place::Validation))
            .chain(test.map(|_| Place::Test));
        let targets = args.shards.iter().chain(validation).chain(test);
        let mut samples = BTreeMap::<Place, Vec<usize>>::new();
        for (index, placed) in self.placed.iter().enumerate() {
            samples.entry(placed.place).or_default().push(index);
        }
        let mut shards = Vec::new();
        for (place, target) in places.zip(targets) {
            let samples = samples.remove(&place).unwrap_or_default();
            shards.push(self.decode_shard(place, target.path(), samples, tolerance)?);
        }
        Ok(shards)
    }

    fn decode_shard(
        &self,
        place: Place,
        target: &Path,
        samples: Vec<usize>,
        tolerance: &mut Tolerance,
    ) -> Result<Shard, JobError> {
        let layout = self.layout(place, target, &samples)?;
        let size = (self.pace.chunk / layout.row).clamp(1, 512);
        let chunks: Vec<&[usize]> = samples.chunks(size).collect();
        let keys: Vec<(String, usize)> = chunks
            .iter()
            .map(|chunk| (self.key(chunk), chunk.len()))
            .collect();
        let mut progress = Progress::open(target, layout, &keys)?;
        let done = samples.iter().zip(progress.outcomes());
        self.tolerate(done.map(|(sample, outcome)| (*sample, outcome)), tolerance)?;
        // While a chunk is decoded, the one before it is written.
        let mut before: Option<Decoded<'_>> = None;
        let first = progress.chunks();
        for (chunk, (key, _)) in chunks.iter().zip(&keys).skip(first) {
            let decode = || -> Result<Vec<_>, JobError> {
                chunk.par_iter().map(|sample| self.outcome(*sample)).collect()
            };
            let (written, decoded) = rayon::join(|| self.push(&mut progress, before.take()), decode);
            written?;
            let (outcomes, pixels): (Vec<_>, Vec<_>) = decoded?.into_iter().unzip();
            self.tolerate(chunk.iter().copied().zip(&outcomes), tolerance)?;
            before = Some(Decoded {
                key,
                outcomes,
                pixels: pixels.into_iter().flatten().collect(),
            });
        }
        self.push(&mut progress, before)?;
        Ok(Shard {
            place,
            samples,
            progress,
        })
    }

    fn push(&self, progress: &mut Progress, chunk: Option<Decoded<'_>>) -> Result<(), JobError> {
        if let Some(Decoded {
            key,
            outcomes,
            pixels,
        }) = chunk
        {
            progress.push(key, outcomes, &pixels)?;
            (self.pace.after)(Step::Chunk);
        }
        Ok(())
    }

    /// Counts what cannot be used; where nothing may be unusable, the first such image ends the job.
    fn tolerate<'o>(
        &self,
        outcomes: impl Iterator<Item = (usize, &'o Outcome)>,
        tolerance: &mut Tolerance,
    ) -> Result<(), JobError> {
        let mut skipped = Vec::new();
        for (sample, outcome) in outcomes {
            let Outcome::Unusable { missing, reason } = outcome else {
                continue;
            };
            let row = &self.placed[sample].sample.row;
            if tolerance.is_none() {
                let exit = if *missing {
                    JobExit::InputMissing
                } else {
                    JobExit::InputInvalid
                };
                let refusal = Refusal {
                    exit,
                    reason: reason.clone(),
                };
                return Err(in_line(self.config, row, self.refused(row, &refusal)));
            }
            skipped.push(Skipped {
                image: row.image.clone(),
                reason: reason.clone(),
            });
        }
        tolerance.skip(skipped)
    }

    fn refused(&self, row: &Row, refusal: &Refusal) -> JobError {
        match row.origin.path() {
            Some(path) => refusal.at(path),
            None => JobError::new(refusal.exit, format!("`{}`: {}", row.image, refusal.reason)),
        }
    }

    /// What becomes of an image, and its pixels.
    fn outcome(&self, sample: usize) -> Result<(Outcome, Option<Vec<u8>>), JobError> {
        let row = &self.placed[sample].sample.row;
        match self.square(row) {
            Ok(Square {
                pixels,
                seen,
                percentiles,
            }) => {
                let done = Outcome::Done {
                    pixels: hex(&Sha256::digest(&pixels)),
                    seen: seen.map(|hash| hash.to_string()),
                    percentiles,
                };
                Ok((done, Some(pixels)))
            }
            Err(refusal) => match refusal.exit {
                missing @ (JobExit::InputMissing | JobExit::InputInvalid) => Ok((
                    Outcome::Unusable {
                        missing: missing == JobExit::InputMissing,
                        reason: refusal.reason,
                    },
                    None,
                )),
                _ => Err(in_line(self.config, row, self.refused(row, &refusal))),
            },
        }
    }

    fn square(&self, row: &Row) -> Result<Square, Refusal> {
        let settings = &self.config.image;
        match &row.origin {
            Origin::Line { path, .. } | Origin::File(path) => decode::square(path, None, settings),
            Origin::Frame { path, frame } => decode::square(path, Some(*frame), settings),
            Origin::Drawn { number, finding } => {
                let grey = source::draw(self.config, *number, *finding);
                Ok(decode::of_grey(grey, settings))
            }
        }
    }

    /// Digest of all that the pixels of these samples depend on.
    fn key(&self, samples: &[usize]) -> String {
        let image = &self.config.image;
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        let settings = format!(
            "{PIXELS_VERSION} {} {} {:?} {:?} {}",
            env!("CARGO_PKG_VERSION"),
            image.size,
            image.depth,
            image.fit,
            self.config.seed.0
        );
        add(settings.as_bytes());
        for sample in samples {
            let row = &self.placed[*sample].sample.row;
            add(row.image.as_bytes());
            // With its path, frame or number, and whether a file is as it was.
            add(format!("{:?} {:?}", row.origin, self.states[*sample]).as_bytes());
        }
        hex(&digest.finalize())
    }

    /// Where the parts of a shard are: its header has room for all samples, some of which may not be usable.
    fn layout(&self, place: Place, target: &Path, samples: &[usize]) -> Result<Layout, JobError> {
        let header = self.header(place, samples.len());
        let (labels, patients) = self.facts(samples)?;
        let contents = Contents {
            header: &header,
            split: place.split().0,
            depth: self.config.image.depth,
            labels: &labels,
            patients: &patients,
            source_digest: &"0".repeat(64),
        };
        Ok(Layout {
            head: contents.head(target)?.len(),
            row: contents.row(),
        })
    }

    /// The class of each of these samples, or 0 and 1 for each of its labels, and whose it is.
    fn facts(&self, samples: &[usize]) -> Result<(Vec<u8>, Vec<PatientHash>), JobError> {
        let (mut labels, mut patients) = (Vec::new(), Vec::with_capacity(samples.len()));
        let columns = self.config.task.classes().len();
        for sample in samples {
            let sample = &self.placed[*sample].sample;
            match self.config.task.target() {
                Target::Classes => labels.push(class(&sample.labels)?),
                Target::Labels => {
                    labels.extend((0..columns as u32).map(|label| u8::from(sample.labels.contains(&label))));
                }
            }
            patients.push(self.salt.hash(&sample.row.patient));
        }
        Ok((labels, patients))
    }

    /// Writes the shard of the images that are left.
    ///
    /// # Errors
    /// `Io` naming the shard.
    pub fn finish(&self, shard: &mut Shard, left: &Left<'_>, source_digest: &str) -> Result<(), JobError> {
        let samples: Vec<usize> = shard
            .samples
            .iter()
            .copied()
            .filter(|sample| left.outcomes[*sample].pixels().is_some())
            .collect();
        let (labels, patients) = self.facts(&samples)?;
        shard.progress.finish(&Contents {
            header: &self.header(shard.place, samples.len()),
            split: shard.place.split().0,
            depth: self.config.image.depth,
            labels: &labels,
            patients: &patients,
            source_digest,
        })
    }

    fn header(&self, place: Place, samples: usize) -> Header {
        let config = self.config;
        let classes = config.task.classes();
        Header {
            kind: TensorKind::Shard,
            experiment: config.experiment.clone(),
            dataset: config.dataset.clone(),
            spec_digest: config.spec_digest.clone(),
            synthetic: config.source.is_synthetic(),
            round: None,
            client: place.split().1,
            num_samples: SampleCount(samples as u64),
            arch: None,
            channels: config.image.channels,
            image_size: config.image.size,
            target: config.task.target(),
            num_classes: classes.len() as u32,
            classes,
            normalize: Some((config.image.mean, config.image.std)),
        }
    }
}

/// The one class, as a shard has it.
fn class(labels: &[u32]) -> Result<u8, JobError> {
    let one = match labels {
        [class] => u8::try_from(*class).ok(),
        _ => None,
    };
    one.ok_or_else(|| {
        let text = format!("a sample has the classes {labels:?}, not one of those checked");
        JobError::new(JobExit::Unexpected, text)
    })
}

/// Says which line of which table an error is about.
pub fn in_line(config: &Config, row: &Row, mut error: JobError) -> JobError {
    let table = match &config.source {
        Source::Cxr14 { labels, .. } => labels,
        Source::Table { csv, .. } => csv,
        Source::Folder { .. } | Source::Dicom { .. } | Source::Phantom { .. } => return error,
    };
    if let Origin::Line { line, .. } = &row.origin {
        error.message = format!("line {line} of `{table}`: {}", error.message);
    }
    error
}
