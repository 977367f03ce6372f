//! Rules of one dataset.

use std::path::Path;

use contract::{
    dataset::{DatasetConfig, ImageSettings, Partition, Source, Task, TestSplit},
    ids::{DatasetName, ExperimentName, Seed, SpecDigest},
    training::Arch,
};

use super::{
    checked::Dataset,
    paths::resolve,
    rules::{known_labels, plain, texts, word_not_built},
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
    test: TestSplit,
    partition: Partition,
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
            test,
            clients,
            partition,
        };
        Dataset { config }
    }
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
    } = dataset;
    let written_source = source.as_ref().map(|source| &source.value);
    let task = task.and_then(|task| self::task(task, written_source, found));
    let test = match test {
        Some(test) => self::test(test.value, written_source, found),
        None => Some(TestSplit::Fraction(DEFAULT_TEST)),
    };
    if let Some(clients) = &clients {
        shared_out(&clients.value, written_source, test.as_ref(), found);
    }
    let image = image.and_then(|image| self::image(image.value, arch, found));
    let source = source.and_then(|source| self::source(source.value, base, found));
    let types::Clients { count, by } = clients?.value;
    let partition = by.and_then(|by| partition(by.value, found));
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
    })
}

fn source(source: types::Source, base: &Path, found: &mut Found) -> Option<Source> {
    match source {
        types::Source::Cxr14(settings) => {
            let types::Cxr14 { images, labels } = settings.value;
            let images = images.and_then(|images| resolve(images, base, found));
            let labels = labels.and_then(|labels| resolve(labels, base, found));
            Some(Source::Cxr14 {
                images: images?,
                labels: labels?,
            })
        }
        types::Source::Dicom(settings) => {
            word_not_built(
                "dicom",
                settings.span,
                &["cxr14", "table", "folder", "phantom"],
                found,
            );
            None
        }
        types::Source::Table(settings) => {
            let types::Table {
                csv,
                image,
                patient,
                site,
                labels,
            } = settings.value;
            let csv = csv.and_then(|csv| resolve(csv, base, found));
            let labels = labels.map(|labels| plain(texts("labels", labels, found)));
            Some(Source::Table {
                csv: csv?,
                image: image?.value.0,
                patient: patient?.value.0,
                site: site.map(|site| site.value.0),
                labels: labels?,
            })
        }
        types::Source::Folder(settings) => {
            let types::Folder { root } = settings.value;
            Some(Source::Folder {
                root: resolve(root?, base, found)?,
            })
        }
        types::Source::Phantom(settings) => {
            let types::Phantom { patients, sites } = settings.value;
            let (patients, sites) = (patients?, sites?);
            if sites.value.get() > patients.value.get() {
                let (sites_given, patients_given) = (sites.value.get(), patients.value.get());
                let words = format!("{patients_given} patients cannot come from {sites_given} institutions");
                found.push(
                    Diagnostic::error(Code::TooFewPatients, sites.span, words)
                        .label(format!("must be at most {patients_given}")),
                );
            }
            Some(Source::Phantom {
                patients: patients.value.get32(),
                sites: sites.value.get32(),
            })
        }
    }
}

/// The labels of [`types::Source::Phantom`].
const PHANTOM_LABELS: [&str; 2] = ["No Finding", "Opacity"];

/// The labels of NIH ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315).
const CXR14_LABELS: [&str; 15] = [
    "No Finding",
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
];

fn task(task: At<types::Task>, source: Option<&types::Source>, found: &mut Found) -> Option<At<Task>> {
    let span = task.span;
    let task = match task.value {
        types::Task::Binary(settings) => {
            let types::Binary { negative } = settings.value;
            let negative = negative?;
            let list = negative.span;
            let negative = texts("negative", negative, found);
            labels_of_source(&negative, source, found);
            if matches!(source, Some(types::Source::Phantom(_)))
                && PHANTOM_LABELS
                    .iter()
                    .all(|label| negative.iter().any(|given| given.value == *label))
            {
                let words = "every label of `phantom` is negative: there is nothing to find";
                found.push(
                    Diagnostic::error(Code::TooFewClasses, list, words).label("must leave a label out"),
                );
            }
            Task::Binary {
                negative: plain(negative),
            }
        }
        types::Task::Multiclass(settings) => {
            let types::Multiclass { classes } = settings.value;
            let classes = classes?;
            if classes.value.0.len() == 1 {
                let words = "a model needs at least two classes to tell apart, `classes` has one";
                found.push(
                    Diagnostic::error(Code::TooFewClasses, classes.span, words).label("needs two or more"),
                );
            }
            let classes = texts("classes", classes, found);
            labels_of_source(&classes, source, found);
            if let Some(types::Source::Table(table)) = source
                && let Some(columns) = &table.value.labels
                && columns.value.0.len() > 1
            {
                let columns: Vec<&str> = columns
                    .value
                    .0
                    .iter()
                    .map(|column| column.value.0.as_str())
                    .collect();
                known_labels(&classes, &columns, "this table", found);
            }
            Task::Multiclass {
                classes: plain(classes),
            }
        }
        types::Task::Multilabel(settings) => {
            let types::Multilabel { labels } = settings.value;
            if let Some(labels) = labels {
                labels_of_source(&texts("labels", labels, found), source, found);
            }
            word_not_built("multilabel", settings.span, &["binary", "multiclass"], found);
            return None;
        }
    };
    Some(At { value: task, span })
}

/// Reports labels that a source with known labels does not have.
fn labels_of_source(labels: &[At<String>], source: Option<&types::Source>, found: &mut Found) {
    match source {
        Some(types::Source::Phantom(_)) => known_labels(labels, &PHANTOM_LABELS, "`phantom`", found),
        Some(types::Source::Cxr14(_)) => known_labels(labels, &CXR14_LABELS, "`cxr14`", found),
        Some(types::Source::Dicom(_) | types::Source::Table(_) | types::Source::Folder(_)) | None => {}
    }
}

fn test(test: types::Test, source: Option<&types::Source>, found: &mut Found) -> Option<TestSplit> {
    let column = match test {
        types::Test::Fraction(part) => return Some(TestSplit::Fraction(part.value.get())),
        types::Test::Column(column) => column,
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
    Some(TestSplit::Column {
        name: name?.value.0,
        train: plain(train),
        test: plain(test),
    })
}

/// The image settings with the places of size and channels.
fn image(image: types::Image, arch: Option<Arch>, found: &mut Found) -> Option<(ImageSettings, Span, Span)> {
    let types::Image {
        size,
        channels,
        normalize,
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
        let smallest = match arch {
            Arch::SmallCnn => 4,
            Arch::Resnet18 => 32,
        };
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
    };
    Some((settings, size.span, channels.span))
}

fn partition(partition: types::Partition, found: &mut Found) -> Option<Partition> {
    Some(match partition {
        types::Partition::Natural => Partition::Natural,
        types::Partition::Iid => Partition::Iid,
        types::Partition::PatientHash => Partition::PatientHash,
        types::Partition::Dirichlet(settings) => {
            let types::Skew { alpha, min_size } = settings.value;
            Partition::Dirichlet {
                alpha: alpha?.value.get(),
                min_size: min_size?.value.get32(),
            }
        }
        types::Partition::QuantitySkew(settings) => {
            let built = ["natural", "iid", "patient_hash", "dirichlet"];
            word_not_built("quantity_skew", settings.span, &built, found);
            return None;
        }
    })
}

/// Whether the source can be shared out among the clients.
fn shared_out(
    clients: &types::Clients,
    source: Option<&types::Source>,
    test: Option<&TestSplit>,
    found: &mut Found,
) {
    let (Some(source), Some(by)) = (source, &clients.by) else {
        return;
    };
    if matches!(by.value, types::Partition::Natural) {
        institutions(source, by.span, found);
    }
    let (types::Source::Phantom(phantom), Some(count)) = (source, &clients.count) else {
        return;
    };
    if matches!(by.value, types::Partition::Natural)
        && let Some(sites) = &phantom.value.sites
        && sites.value.get() != count.value.get()
    {
        let (sites, count_given) = (sites.value.get(), count.value.get());
        let words = format!("{count_given} clients cannot each be one of {sites} institutions");
        found.push(
            Diagnostic::error(Code::InstitutionCount, count.span, words)
                .label(format!("must be {sites}, the `sites` of the source"))
                .help("with `by: natural` every institution is a client"),
        );
    }
    if let (Some(patients), Some(TestSplit::Fraction(part))) = (&phantom.value.patients, test) {
        enough_patients(patients.value.get(), *part, count, &by.value, found);
    }
}

fn institutions(source: &types::Source, span: Span, found: &mut Found) {
    let (source, help) = match source {
        types::Source::Phantom(_) | types::Source::Dicom(_) => return,
        types::Source::Table(table) if table.value.site.is_some() => return,
        types::Source::Table(_) => (
            "this table",
            "name the column of the institution: `site: ...` in the source",
        ),
        types::Source::Cxr14(_) => ("`cxr14`", "share out by `iid`, `patient_hash` or `dirichlet`"),
        types::Source::Folder(_) => ("`folder`", "share out by `iid`, `patient_hash` or `dirichlet`"),
    };
    found.push(
        Diagnostic::error(
            Code::NoInstitutions,
            span,
            format!("{source} does not say which institution an image is from"),
        )
        .label("needs institutions")
        .help(help),
    );
}

fn enough_patients(
    patients: u64,
    held_out: f64,
    count: &At<crate::spec::Whole<1, 100_000>>,
    by: &types::Partition,
    found: &mut Found,
) {
    let each = match by {
        types::Partition::Dirichlet(skew) | types::Partition::QuantitySkew(skew) => skew
            .value
            .min_size
            .as_ref()
            .map_or(1, |min_size| min_size.value.get()),
        types::Partition::Natural | types::Partition::Iid | types::Partition::PatientHash => 1,
    };
    let test = ((patients as f64 * held_out).round() as u64).clamp(1, patients);
    let (left, needed) = (patients - test, each * count.value.get());
    if left < needed {
        let words = format!("{left} patients are left for training, and the clients need {needed}");
        let most = left / each;
        found.push(
            Diagnostic::error(Code::TooFewPatients, count.span, words)
                .label(format!("{each} or more for each client"))
                .help(if most > 0 {
                    format!("lower `count` to {most}, or raise `patients`")
                } else {
                    "raise `patients`".to_owned()
                }),
        );
    }
}
