//! Decides where each sample goes: to the test side, to the validation side, or to one client.
//!
//! In: samples with their labels, and the settings. Out: [`Placed`] samples in the same order. The rules are those of
//! [`kernels::partition`]; here the source's own split column is read, and sides or clients that cannot be used are
//! refused. First the test side is held out, then of the patients left the validation side, then clients share the rest.
//! Always kept: a patient is in one place. Start at [`place`].

use std::collections::HashMap;

use contract::{
    dataset::{Partition, Split, TestSplit},
    exit::JobExit,
    ids::ClientId,
    job::JobError,
};
use kernels::partition::{self, PartitionError, Scheme, Side};

use super::{
    config::Config,
    source::LeftOut,
    task::{self, Sample},
};

/// Why rows are left out when the source has its own split.
pub const NOT_IN_SPLIT: &str = "split column says neither training nor testing";

/// Where a sample goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Trained on by this client.
    Client(ClientId),
    /// Thresholds are chosen on it.
    Validation,
    /// Held out.
    Test,
}

impl Place {
    /// The side it is on, and whose it is.
    pub fn split(self) -> (Split, Option<ClientId>) {
        match self {
            Place::Client(client) => (Split::Train, Some(client)),
            Place::Validation => (Split::Validation, None),
            Place::Test => (Split::Test, None),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Client(client) => write!(f, "client {client}"),
            Place::Validation => f.write_str("the validation side"),
            Place::Test => f.write_str("the test side"),
        }
    }
}

/// A sample and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The sample.
    pub sample: Sample,
    /// Where it goes.
    pub place: Place,
}

/// Places every sample; rows the split column leaves out are counted.
///
/// # Errors
/// `DataUnfit` if the samples cannot be divided as asked: a patient on both sides of a split column, an empty side or
/// client, a class missing from a side. Each names what is missing and a way out.
pub fn place(config: &Config, samples: Vec<Sample>, left_out: &mut LeftOut) -> Result<Vec<Placed>, JobError> {
    let mut sided = match &config.test {
        TestSplit::Fraction(fraction) => by_fraction(config, samples, *fraction)?,
        TestSplit::Column { name, train, test } => {
            let sided = by_column(samples, train, test, left_out);
            check_patients(name, &sided)?;
            sided
        }
    };
    if let Some(share) = config.validation {
        split_validation(config, &mut sided, share)?;
    }
    check_classes(
        config,
        sided
            .iter()
            .map(|(sample, side)| (sample.labels.as_slice(), *side)),
    )?;
    let clients = {
        let train = views(config, &sided);
        let seed = config.seed.derive("partition").0;
        partition::assign_clients(&train, config.clients, &scheme(config.partition), seed).map_err(unfit)?
    };
    let mut clients = clients.into_iter().map(ClientId);
    let placed = sided.into_iter().map(|(sample, side)| {
        let place = match side {
            Split::Test => Place::Test,
            Split::Validation => Place::Validation,
            Split::Train => Place::Client(clients.next().expect("one client a training sample")),
        };
        Placed { sample, place }
    });
    Ok(placed.collect())
}

/// Checks again what is left when images that cannot be used are taken out: every side has every class, every client
/// samples, and as many as the partition promises.
///
/// # Errors
/// `DataUnfit` naming what is missing.
pub fn check_left<'a>(
    config: &Config,
    left: impl Iterator<Item = &'a Placed> + Clone,
) -> Result<(), JobError> {
    let sided = left
        .clone()
        .map(|Placed { sample, place }| (sample.labels.as_slice(), place.split().0));
    check_classes(config, sided)?;
    let fewest = match config.partition {
        Partition::Dirichlet { min_size, .. } | Partition::QuantitySkew { min_size, .. } => min_size.max(1),
        Partition::Natural
        | Partition::Iid
        | Partition::PatientHash
        | Partition::Pathological { .. }
        | Partition::Attribute(_) => 1,
    };
    for client in (0..config.clients).map(ClientId) {
        let samples = left
            .clone()
            .filter(|placed| placed.place == Place::Client(client))
            .count();
        if samples < fewest as usize {
            return Err(JobError::new(
                JobExit::DataUnfit,
                format!("client {client} has {samples} images; it needs {fewest}"),
            )
            .help("mend the images that cannot be used, use fewer clients, or another partition"));
        }
    }
    Ok(())
}

fn view<'a>(config: &Config, sample: &'a Sample) -> partition::Sample<'a> {
    let attribute = match config.partition {
        Partition::Attribute(attribute) => sample.row.attributes.get(&attribute),
        _ => None,
    };
    partition::Sample {
        patient: &sample.row.patient,
        class: task::split_class(&sample.labels, config.task.classes().len()),
        institution: sample.row.site.as_deref(),
        attribute: attribute.map(String::as_str),
    }
}

/// The training samples, as far as partitioning goes.
fn views<'a>(config: &Config, sided: &'a [(Sample, Split)]) -> Vec<partition::Sample<'a>> {
    let train = sided.iter().filter(|(_, side)| *side == Split::Train);
    train.map(|(sample, _)| view(config, sample)).collect()
}

/// Takes a share of the patients out of the training side.
fn split_validation(config: &Config, sided: &mut [(Sample, Split)], share: f64) -> Result<(), JobError> {
    let seed = config.seed.derive("validation-split").0;
    let drawn = partition::split_test(&views(config, sided), share, seed).map_err(|error| {
        let text = format!("no validation samples can be taken out of the training side: {error}");
        JobError::new(JobExit::DataUnfit, text)
    })?;
    let train = sided.iter_mut().filter(|(_, side)| *side == Split::Train);
    for ((_, side), drawn) in train.zip(drawn) {
        match drawn {
            Side::Train => {}
            Side::Test => *side = Split::Validation,
        }
    }
    Ok(())
}

fn scheme(partition: Partition) -> Scheme {
    match partition {
        Partition::Natural => Scheme::Natural,
        Partition::Iid => Scheme::Iid,
        Partition::PatientHash => Scheme::PatientHash,
        Partition::Dirichlet { alpha, min_size } => Scheme::Dirichlet {
            alpha,
            min_size: min_size.into(),
        },
        Partition::QuantitySkew { alpha, min_size } => Scheme::QuantitySkew {
            alpha,
            min_size: min_size.into(),
        },
        Partition::Pathological { classes } => Scheme::Pathological { classes },
        Partition::Attribute(_) => Scheme::Attribute,
    }
}

/// The kernel's words carry their own way out.
fn unfit(error: PartitionError) -> JobError {
    JobError::new(JobExit::DataUnfit, error.to_string())
}

fn by_fraction(
    config: &Config,
    samples: Vec<Sample>,
    fraction: f64,
) -> Result<Vec<(Sample, Split)>, JobError> {
    let views: Vec<_> = samples.iter().map(|sample| view(config, sample)).collect();
    let seed = config.seed.derive("test-split").0;
    let sides = partition::split_test(&views, fraction, seed).map_err(unfit)?;
    let sides = sides.into_iter().map(|side| match side {
        Side::Train => Split::Train,
        Side::Test => Split::Test,
    });
    Ok(samples.into_iter().zip(sides).collect())
}

fn by_column(
    samples: Vec<Sample>,
    train: &[String],
    test: &[String],
    left_out: &mut LeftOut,
) -> Vec<(Sample, Split)> {
    let mut sided = Vec::with_capacity(samples.len());
    for sample in samples {
        match &sample.row.split {
            Some(value) if train.contains(value) => sided.push((sample, Split::Train)),
            Some(value) if test.contains(value) => sided.push((sample, Split::Test)),
            _ => left_out.count(NOT_IN_SPLIT),
        }
    }
    sided
}

/// A published split may be by image: a patient on both sides is refused, not moved.
fn check_patients(column: &str, sided: &[(Sample, Split)]) -> Result<(), JobError> {
    let mut first = HashMap::new();
    for (sample, side) in sided {
        let (before, image) = *first
            .entry(sample.row.patient.as_str())
            .or_insert((*side, sample.row.image.as_str()));
        if before != *side {
            let (patient, other) = (&sample.row.patient, &sample.row.image);
            return Err(JobError::new(
                JobExit::DataUnfit,
                format!(
                    "column `{column}` puts patient `{patient}` on both sides: `{image}` and `{other}`; \
                     a patient is trained on or tested on, never both"
                ),
            )
            .help("split by `fraction`, which divides patients, or correct the column"));
        }
    }
    Ok(())
}

/// Every side needs every class: one that is not there can be neither learnt nor measured.
fn check_classes<'a>(
    config: &Config,
    sided: impl Iterator<Item = (&'a [u32], Split)> + Clone,
) -> Result<(), JobError> {
    let classes = config.task.classes();
    let column = matches!(config.test, TestSplit::Column { .. });
    let validation = config.validation.map(|_| (Split::Validation, "validation"));
    let sides = [(Split::Train, "training"), (Split::Test, "test")];
    for (side, name) in sides.into_iter().chain(validation) {
        let (mut all, mut counts) = (0u64, vec![0u64; classes.len()]);
        for (labels, _) in sided.clone().filter(|(_, other)| *other == side) {
            all += 1;
            for label in labels {
                counts[*label as usize] += 1;
            }
        }
        let reason = match counts.iter().position(|count| *count == 0) {
            None => continue,
            Some(_) if all == 0 => format!("the {name} side has no images"),
            Some(class) => format!(
                "none of the {all} {name} images has the class `{}`; per class there are {counts:?}",
                classes[class]
            ),
        };
        let help = if side == Split::Validation {
            "take another share for validation, ask for classes more patients have, or take another seed"
        } else if column {
            "check the values that mean training and testing, or split by `fraction`"
        } else {
            "hold out another fraction, ask for classes more patients have, or take another seed"
        };
        return Err(JobError::new(JobExit::DataUnfit, reason).help(help));
    }
    Ok(())
}
