//! Rules of one dataset.
//!
//! Start at [`dataset`]: it proves the parts, each in a file of its own, and what they say about each other.

mod clients;
mod source;
mod task;

use std::path::Path;

use contract::{
    dataset::{
        DatasetConfig, Depth, Duplicates, Fit, ImageSettings, Partition, Quality, Source, Task, TestSplit,
    },
    ids::{DatasetName, ExperimentName, Seed, SpecDigest},
    training::Arch,
};

use super::{
    checked::Dataset,
    rules::{plain, texts},
};
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, types},
};

/// What every dataset's settings carry.
pub struct Header {
    /// The experiment.
    pub experiment: ExperimentName,
    /// The experiment's seed.
    pub seed: Seed,
    /// SHA-256 of the specification.
    pub digest: SpecDigest,
}

/// A proven dataset, and the places other rules speak about.
pub struct Proven {
    /// Its name.
    pub name: DatasetName,
    /// Where images and labels come from.
    pub source: Source,
    /// What the model is asked to tell, and where that stands.
    pub task: At<Task>,
    /// The tensors made of images.
    pub image: ImageSettings,
    /// Where the size stands.
    pub size_span: Span,
    /// Where the channels stand.
    pub channels_span: Span,
    /// Number of clients, at least 1.
    pub clients: u32,
    test: HeldOut,
    partition: Partition,
    quality: Quality,
}

impl Proven {
    /// The dataset as `prepare` will read it.
    pub fn named(self, header: &Header) -> Dataset {
        let Self {
            name,
            source,
            task,
            image,
            size_span: _,
            channels_span: _,
            test,
            clients,
            partition,
            quality,
        } = self;
        let config = DatasetConfig {
            fedwing_dataset: DatasetConfig::VERSION,
            experiment: header.experiment.clone(),
            seed: header.seed.derive(&format!("dataset {name}")),
            dataset: name,
            spec_digest: header.digest.clone(),
            source,
            task: task.value,
            image,
            test: test.split,
            validation: test.validation,
            clients,
            partition,
            quality,
        };
        Dataset { config }
    }
}

/// What is held out.
pub struct HeldOut {
    /// For testing.
    pub split: TestSplit,
    /// Share of the other patients that thresholds are chosen on.
    pub validation: Option<f64>,
}

/// Share of the patients held out where the specification does not say.
const DEFAULT_TEST: f64 = 0.2;

/// Proves one dataset; `arch` is the network it is for, where that is known.
pub fn dataset(
    name: DatasetName,
    dataset: types::Dataset,
    arch: Option<Arch>,
    base: &Path,
    found: &mut Found,
) -> Option<Proven> {
    let types::Dataset {
        source,
        task,
        image,
        test,
        clients,
        quality,
    } = dataset;
    let written_source = source.as_ref().map(|source| &source.value);
    let task = task.and_then(|task| task::task(task, written_source, found));
    let test = match test {
        Some(test) => self::test(test.value, written_source, found),
        None => Some(HeldOut {
            split: TestSplit::Fraction(DEFAULT_TEST),
            validation: None,
        }),
    };
    if let Some(clients) = &clients {
        let task = task.as_ref().map(|task| &task.value);
        clients::shared_out(&clients.value, written_source, test.as_ref(), task, found);
    }
    let image = image.and_then(|image| self::image(image.value, arch, found));
    let source = source.and_then(|source| source::source(source.value, base, found));
    let quality = self::quality(quality.map(|quality| quality.value));
    let types::Clients { count, by } = clients?.value;
    let partition = by.and_then(|by| clients::partition(by.value));
    let (image, size_span, channels_span) = image?;
    Some(Proven {
        name,
        source: source?,
        task: task?,
        image,
        size_span,
        channels_span,
        test: test?,
        clients: count?.value.get32(),
        partition: partition?,
        quality: quality?,
    })
}

fn test(test: types::Test, source: Option<&types::Source>, found: &mut Found) -> Option<HeldOut> {
    let types::Test {
        fraction,
        column,
        validation,
    } = test;
    let validation = validation.map(|part| part.value.get());
    let column = match (fraction, column) {
        (fraction, None) => {
            let part = fraction.map_or(DEFAULT_TEST, |part| part.value.get());
            return Some(HeldOut {
                split: TestSplit::Fraction(part),
                validation,
            });
        }
        (None, Some(column)) => column,
        (Some(fraction), Some(column)) => {
            found.push(
                Diagnostic::error(
                    Code::TwoSplits,
                    fraction.span,
                    "`test` draws a share of the patients and names a column as well",
                )
                .label("only one can say which samples are held out")
                .help("leave `fraction` or `column` out"),
            );
            column
        }
    };
    if !matches!(source, Some(types::Source::Table(_)) | None) {
        found.push(
            Diagnostic::error(
                Code::SplitColumn,
                column.span,
                "only a `table` has a column to split by",
            )
            .label("this source is not a table")
            .help("hold out a share of the patients: `test: {fraction: 0.2}`"),
        );
    }
    let types::SplitColumn { name, train, test } = column.value;
    let train = train.map(|train| texts("train", train, found));
    let test = test.map(|test| texts("test", test, found));
    let (train, test) = (train?, test?);
    for At { value, span } in &test {
        if train.iter().any(|other| other.value == *value) {
            let words = format!("`{value}` stands for training and for testing");
            let error = Diagnostic::error(Code::SplitOverlap, *span, words).label("must be on one side");
            found.push(error.help("no patient may be on both sides: keep it in one of the two lists"));
        }
    }
    Some(HeldOut {
        split: TestSplit::Column {
            name: name?.value.0,
            train: plain(train),
            test: plain(test),
        },
        validation,
    })
}

/// The image settings with the places of size and channels.
fn image(image: types::Image, arch: Option<Arch>, found: &mut Found) -> Option<(ImageSettings, Span, Span)> {
    let types::Image {
        size,
        channels,
        normalize,
        depth,
        fit,
    } = image;
    let (mean, std) = match normalize {
        Some(normalize) => {
            let types::Normalize { mean, std } = normalize.value;
            (mean.map(|mean| mean.value.get()), std.map(|std| std.value.get()))
        }
        None => (Some(0.5), Some(0.5)),
    };
    let size = size?;
    let pixels = size.value.get32();
    if let Some(arch) = arch {
        let smallest = arch.least_image_size();
        if pixels < smallest {
            let words = format!("`{arch}` needs images of at least {smallest} pixels, not {pixels}");
            found.push(
                Diagnostic::error(Code::ImageTooSmall, size.span, words)
                    .label(format!("must be at least {smallest}")),
            );
        }
    }
    let channels = channels?;
    let settings = ImageSettings {
        size: pixels,
        channels: channels.value.get(),
        mean: mean?,
        std: std?,
        depth: match depth?.value.get() {
            16 => Depth::U16,
            _ => Depth::U8,
        },
        fit: match fit.map(|fit| fit.value) {
            Some(types::Fit::Pad) => Fit::Pad,
            Some(types::Fit::Stretch) | None => Fit::Stretch,
        },
    };
    Some((settings, size.span, channels.span))
}

/// Nothing may be unusable, and duplicates are reported, where the specification does not say.
fn quality(quality: Option<types::Quality>) -> Option<Quality> {
    let Some(types::Quality { unusable, duplicates }) = quality else {
        return Some(Quality {
            unusable: 0.0,
            duplicates: Duplicates::Report,
        });
    };
    Some(Quality {
        unusable: unusable?.value.get(),
        duplicates: match duplicates.map(|duplicates| duplicates.value) {
            Some(types::Duplicates::Refuse) => Duplicates::Refuse,
            Some(types::Duplicates::Report) | None => Duplicates::Report,
        },
    })
}
