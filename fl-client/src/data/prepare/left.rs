//! What is left when all is decoded.
//!
//! In: what became of every image. Out: the manifest. Start at [`Left::new`].

use std::collections::BTreeMap;

use contract::{
    dataset::{Manifest, ManifestRow, Part, Skipped},
    job::JobError,
};
use sha2::{Digest, Sha256};

use super::{
    duplicates,
    progress::{Outcome, hex},
    shards::Shard,
};
use crate::data::{
    config::Config,
    placement::{self, Placed},
};

/// What is left when all is decoded.
pub struct Left<'a> {
    placed: &'a [Placed],
    /// What became of each placed image.
    pub outcomes: Vec<Outcome>,
    skipped: Vec<Skipped>,
}

impl<'a> Left<'a> {
    /// Of shards whose every image is decoded; `unusable` are those the source could not use.
    pub fn new(placed: &'a [Placed], shards: &[Shard], unusable: Vec<Skipped>) -> Self {
        let mut outcomes: Vec<(usize, Outcome)> = shards
            .iter()
            .flat_map(|shard| {
                shard
                    .samples
                    .iter()
                    .copied()
                    .zip(shard.progress.outcomes().iter().cloned())
            })
            .collect();
        outcomes.sort_by_key(|(sample, _)| *sample);
        let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let sorted = !unusable.is_empty();
        let mut skipped = unusable;
        skipped.extend(
            placed
                .iter()
                .zip(&outcomes)
                .filter_map(|(placed, outcome)| match outcome {
                    Outcome::Done { .. } => None,
                    Outcome::Unusable { reason, .. } => Some(Skipped {
                        image: placed.sample.row.image.clone(),
                        reason: reason.clone(),
                    }),
                }),
        );
        if sorted {
            // Sources that know unusable images are folders, whose order is that of names.
            skipped.sort_by(|a, b| a.image.cmp(&b.image));
        }
        Self {
            placed,
            outcomes,
            skipped,
        }
    }

    /// The images that are prepared, in the source's order.
    fn prepared(&self) -> impl Iterator<Item = (&'a Placed, &Outcome)> + Clone {
        let all = self.placed.iter().zip(&self.outcomes);
        all.filter(|(_, outcome)| outcome.pixels().is_some())
    }

    /// Checks that images that cannot be used were not all of a client, a side or a class.
    ///
    /// # Errors
    /// `DataUnfit` naming what is missing.
    pub fn check(&self, config: &Config) -> Result<(), JobError> {
        if self.skipped.is_empty() {
            return Ok(());
        }
        placement::check_left(config, self.prepared().map(|(placed, _)| placed)).map_err(|mut error| {
            let count = self.skipped.len();
            error.message = format!("without {count} images that cannot be used, {}", error.message);
            error
        })
    }

    /// The manifest: what is left, and what is said about it.
    ///
    /// `part` is what was prepared here, with all samples of the dataset; none where that is everything.
    pub fn manifest(
        &self,
        config: &Config,
        left_out: BTreeMap<String, u64>,
        part: Option<(&Part, &[Placed])>,
    ) -> Manifest {
        let rows: Vec<ManifestRow> = self.prepared().map(|(placed, _)| row_of(placed)).collect();
        let mut digest = Sha256::new();
        let (mut images, mut percentile_windows) = (Vec::with_capacity(rows.len()), 0);
        for (row, (_, outcome)) in rows.iter().zip(self.prepared()) {
            let Outcome::Done {
                pixels,
                seen,
                percentiles,
            } = outcome
            else {
                continue;
            };
            digest.update((row.image.len() as u64).to_le_bytes());
            digest.update(row.image.as_bytes());
            digest.update(pixels.as_bytes());
            percentile_windows += u64::from(*percentiles);
            images.push(duplicates::Prepared {
                image: &row.image,
                patient: &row.patient,
                split: row.split,
                pixels,
                // Written by us, in a line whose digest is right.
                seen: seen.as_ref().and_then(|hash| hash.parse().ok()),
            });
        }
        let duplicates = duplicates::find(&images);
        Manifest {
            fedwing_manifest: Manifest::VERSION,
            experiment: config.experiment.clone(),
            dataset: config.dataset.clone(),
            spec_digest: config.spec_digest.clone(),
            synthetic: config.source.is_synthetic(),
            target: config.task.target(),
            classes: config.task.classes(),
            clients: config.clients,
            validation: config.validation.is_some(),
            part: part.map(|(part, _)| part.clone()),
            left_out,
            skipped: self.skipped.clone(),
            duplicates,
            percentile_windows,
            source_digest: hex(&digest.finalize()),
            rows: match part {
                None => rows,
                Some((_, all)) => all.iter().map(row_of).collect(),
            },
        }
    }
}

fn row_of(Placed { sample, place }: &Placed) -> ManifestRow {
    let (split, client) = place.split();
    ManifestRow {
        image: sample.row.image.clone(),
        patient: sample.row.patient.clone(),
        labels: sample.labels.clone(),
        split,
        client,
    }
}
