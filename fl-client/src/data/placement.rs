//! Decides where each sample goes: to the test side, or to one client.
//!
//! In: classified samples and the settings. Out: [`Placed`] samples in the same order. The rules are those of
//! [`kernels::partition`]; here the source's own split column is read, and sides or clients that cannot be used are
//! refused. Always kept: a patient is in one place. Start at [`place`].

use std::collections::HashMap;

use contract::{
    dataset::{Partition, TestSplit},
    exit::JobExit,
    ids::ClientId,
    job::JobError,
};
use kernels::partition::{self, PartitionError, Scheme, Side};

use super::{config::Config, source::LeftOut, task::Sample};

/// Why rows are left out when the source has its own split.
pub const NOT_IN_SPLIT: &str = "split column says neither training nor testing";

/// Where a sample goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Trained on by this client.
    Client(ClientId),
    /// Held out.
    Test,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Client(client) => write!(f, "client {client}"),
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
    let sided = match &config.test {
        TestSplit::Fraction(fraction) => by_fraction(config, samples, *fraction)?,
        TestSplit::Column { name, train, test } => {
            let sided = by_column(samples, train, test, left_out);
            check_patients(name, &sided)?;
            sided
        }
    };
    check_classes(config, sided.iter().map(|(sample, side)| (sample.class, *side)))?;
    let clients = {
        let train: Vec<_> = sided
            .iter()
            .filter(|(_, side)| *side == Side::Train)
            .map(|(sample, _)| view(config, sample))
            .collect();
        let seed = config.seed.derive("partition").0;
        partition::assign_clients(&train, config.clients, &scheme(config.partition), seed).map_err(unfit)?
    };
    let mut clients = clients.into_iter().map(ClientId);
    let placed = sided.into_iter().map(|(sample, side)| {
        let place = match side {
            Side::Test => Place::Test,
            Side::Train => Place::Client(clients.next().expect("one client a training sample")),
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
    let sided = left.clone().map(|Placed { sample, place }| match place {
        Place::Client(_) => (sample.class, Side::Train),
        Place::Test => (sample.class, Side::Test),
    });
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
        class: sample.class,
        institution: sample.row.site.as_deref(),
        attribute: attribute.map(String::as_str),
    }
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
) -> Result<Vec<(Sample, Side)>, JobError> {
    let views: Vec<_> = samples.iter().map(|sample| view(config, sample)).collect();
    let seed = config.seed.derive("test-split").0;
    let sides = partition::split_test(&views, fraction, seed).map_err(unfit)?;
    Ok(samples.into_iter().zip(sides).collect())
}

fn by_column(
    samples: Vec<Sample>,
    train: &[String],
    test: &[String],
    left_out: &mut LeftOut,
) -> Vec<(Sample, Side)> {
    let mut sided = Vec::with_capacity(samples.len());
    for sample in samples {
        match &sample.row.split {
            Some(value) if train.contains(value) => sided.push((sample, Side::Train)),
            Some(value) if test.contains(value) => sided.push((sample, Side::Test)),
            _ => left_out.count(NOT_IN_SPLIT),
        }
    }
    sided
}

/// A published split may be by image: a patient on both sides is refused, not moved.
fn check_patients(column: &str, sided: &[(Sample, Side)]) -> Result<(), JobError> {
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

/// Both sides need every class: one that is not there can be neither learnt nor measured.
fn check_classes(config: &Config, sided: impl Iterator<Item = (u32, Side)> + Clone) -> Result<(), JobError> {
    let classes = config.task.classes();
    let column = matches!(config.test, TestSplit::Column { .. });
    for (side, name) in [(Side::Train, "training"), (Side::Test, "test")] {
        let mut counts = vec![0u64; classes.len()];
        for (class, _) in sided.clone().filter(|(_, other)| *other == side) {
            counts[class as usize] += 1;
        }
        let all: u64 = counts.iter().sum();
        let reason = match counts.iter().position(|count| *count == 0) {
            None => continue,
            Some(_) if all == 0 => format!("the {name} side has no images"),
            Some(class) => format!(
                "none of the {all} {name} images has the class `{}`; per class there are {counts:?}",
                classes[class]
            ),
        };
        let help = if column {
            "check the values that mean training and testing, or split by `fraction`"
        } else {
            "hold out another fraction, ask for classes more patients have, or take another seed"
        };
        return Err(JobError::new(JobExit::DataUnfit, reason).help(help));
    }
    Ok(())
}
