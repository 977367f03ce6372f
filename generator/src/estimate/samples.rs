//! How many samples each side of a dataset has: counted, expected of known images, or of an assumed number of them.

use std::path::Path;

use contract::{
    dataset::{DatasetConfig, DatasetStats, DicomLabels, Manifest, Slices, Source, Split, TestSplit},
    profile::Profile,
    units::SampleCount,
};

/// Images a dataset is assumed to have where nothing is known of it.
pub const ASSUMED_IMAGES: SampleCount = SampleCount(10_000);

/// The share that is assumed to be held out where a column of the source says it.
const ASSUMED_TEST: f64 = 0.2;

/// How many samples a dataset has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// Those of each client, in order.
    pub clients: Vec<SampleCount>,
    /// Those thresholds are chosen on.
    pub validation: SampleCount,
    /// Those held out.
    pub test: SampleCount,
    /// How this is known.
    pub basis: Basis,
}

/// How a number of samples is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Counted when the data was prepared.
    Counted,
    /// So many images were found or will be drawn, and are thought to come to clients evenly.
    Expected(SampleCount),
    /// So many images are assumed.
    Assumed(SampleCount),
}

impl Samples {
    /// As the `stats` job of an earlier run of the same specification counted them.
    pub fn counted(stats: &DatasetStats) -> Self {
        let clients = stats.clients.iter();
        Self {
            clients: clients.map(|client| SampleCount(client.group.samples)).collect(),
            validation: SampleCount(stats.validation.as_ref().map_or(0, |group| group.samples)),
            test: SampleCount(stats.test.samples),
            basis: Basis::Counted,
        }
    }

    /// As a manifest of the same specification lists them.
    pub fn listed(manifest: &Manifest) -> Self {
        let mut clients = vec![SampleCount(0); manifest.clients as usize];
        let (mut validation, mut test) = (0, 0);
        for row in &manifest.rows {
            match (row.split, row.client) {
                (Split::Test, _) => test += 1,
                (Split::Validation, _) => validation += 1,
                (Split::Train, client) => {
                    let client = client.and_then(|client| clients.get_mut(client.0 as usize));
                    // A training row without a client, or of one there is not, is of no job.
                    if let Some(client) = client {
                        client.0 += 1;
                    }
                }
            }
        }
        Self {
            clients,
            validation: SampleCount(validation),
            test: SampleCount(test),
            basis: Basis::Counted,
        }
    }

    /// Shares of a number of images: patients are taken to have equally many, and clients too.
    pub fn expected(config: &DatasetConfig, basis: Basis) -> Self {
        let images = match basis {
            // A count is of sides, there is nothing to share out.
            Basis::Counted => SampleCount(0),
            Basis::Expected(images) | Basis::Assumed(images) => images,
        };
        let share = |of: u64, share: f64| ((of as f64 * share).round() as u64).min(of);
        let test = match &config.test {
            TestSplit::Fraction(fraction) => share(images.0, *fraction),
            TestSplit::Column { .. } => share(images.0, ASSUMED_TEST),
        };
        let left = images.0 - test;
        let validation = config.validation.map_or(0, |part| share(left, part));
        let (left, clients) = (left - validation, u64::from(config.clients).max(1));
        let of = |client: u64| SampleCount(left / clients + u64::from(client < left % clients));
        Self {
            clients: (0..clients).map(of).collect(),
            validation: SampleCount(validation),
            test: SampleCount(test),
            basis,
        }
    }

    /// What follows from the settings alone: drawn images are as many as they say, of others an assumed number.
    pub fn of_settings(config: &DatasetConfig) -> Self {
        let basis = match config.source {
            Source::Phantom { patients, sites: _ } => Basis::Expected(SampleCount(patients.into())),
            Source::Cxr14 { .. } | Source::Table { .. } | Source::Folder { .. } | Source::Dicom { .. } => {
                Basis::Assumed(ASSUMED_IMAGES)
            }
        };
        Self::expected(config, basis)
    }

    /// Those of all clients together.
    pub fn train(&self) -> SampleCount {
        SampleCount(self.clients.iter().map(|client| client.0).sum())
    }

    /// Those of every side.
    pub fn all(&self) -> SampleCount {
        SampleCount(self.train().0 + self.validation.0 + self.test.0)
    }
}

/// The images of a source that a profile of its folder leads to expect: the lines of its table where it has one; of DICOM
/// files those of the collections that are taken, or their series where one slice of each is.
pub fn images(config: &DatasetConfig, profile: &Profile) -> SampleCount {
    let rows = |table: &str| {
        let name = Path::new(table).file_name();
        let mut tables = profile.tables.iter();
        tables
            .find(|table| Path::new(&table.file).file_name() == name)
            .map_or(profile.images, |table| table.rows)
    };
    SampleCount(match &config.source {
        Source::Cxr14 { labels, .. } => rows(labels),
        Source::Table { csv, .. } => rows(csv),
        Source::Folder { .. } | Source::Phantom { .. } => profile.images,
        Source::Dicom { labels, slices, .. } => {
            let taken = match labels {
                DicomLabels::Attribute(_) => profile.images,
                DicomLabels::Collections(collections) => collections
                    .keys()
                    .filter_map(|collection| profile.folders.get(collection))
                    .sum(),
            };
            let sliced = |modality: &String| matches!(modality.as_str(), "CT" | "MR");
            match (slices, profile.series) {
                (Slices::Middle, Some(series)) if profile.modalities.keys().all(sliced) => taken.min(series),
                _ => taken,
            }
        }
    })
}
