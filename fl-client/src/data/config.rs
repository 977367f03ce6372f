//! The settings `prepare` works from, checked once.
//!
//! In: the JSON file beside the workflow. Out: a [`Config`], whose values are in range and do not contradict each
//! other. Start at [`Config::read`].

use std::{collections::BTreeSet, ops::Deref, path::Path};

use contract::{
    dataset::{
        Attribute, DatasetConfig, DicomLabels, Duplicates, ImageSettings, Institution, Partition, Quality,
        Slices, Source, Task, TestSplit,
    },
    job::JobError,
};

use super::{decode::MAX_SIDE, document, shard::MAX_CLASSES, task};

/// The largest settings file accepted, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Settings whose values are in range and agree with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Config(DatasetConfig);

impl Deref for Config {
    type Target = DatasetConfig;
    fn deref(&self) -> &DatasetConfig {
        &self.0
    }
}

impl Config {
    /// Reads and checks a settings file.
    ///
    /// # Errors
    /// `InputMissing` or `Io` if it cannot be read; `InputInvalid` if it is not such a file, of a newer format, or has
    /// values out of range: all of them are named.
    pub fn read(path: &Path) -> Result<Self, JobError> {
        let version = document::Version {
            field: "fedwing_dataset",
            known: DatasetConfig::VERSION,
        };
        let config: DatasetConfig = document::read(path, MAX_CONFIG, version, |config: &DatasetConfig| {
            config.fedwing_dataset
        })?;
        Self::new(config).map_err(|faults| {
            JobError::invalid(path, faults.join("; "))
                .help("correct the specification and generate the workflow again")
        })
    }

    /// Checks settings.
    ///
    /// # Errors
    /// Every fault, in words.
    pub fn new(config: DatasetConfig) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        check_source(&config.source, &mut faults);
        check_task(&config.task, &mut faults);
        check_image(&config.image, &mut faults);
        check_test(&config.test, &config.source, &mut faults);
        if let Some(share) = config.validation
            && !(share > 0.0 && share < 1.0)
        {
            faults.push(format!(
                "`validation` is {share}; use more than 0 and less than 1"
            ));
        }
        check_partition(&config, &mut faults);
        check_quality(config.quality, &mut faults);
        if faults.is_empty() {
            Ok(Self(config))
        } else {
            Err(faults)
        }
    }
}

fn check_source(source: &Source, faults: &mut Vec<String>) {
    for path in source.paths() {
        if !Path::new(path).is_absolute() || path.contains('\0') {
            faults.push(format!(
                "`source` has the path `{}`; paths are absolute",
                path.escape_debug()
            ));
        }
    }
    match source {
        Source::Cxr14 { .. } | Source::Folder { .. } => {}
        Source::Table { labels, .. } => {
            let distinct: BTreeSet<_> = labels.iter().collect();
            if labels.is_empty() || distinct.len() != labels.len() {
                faults.push(format!(
                    "`labels` is {labels:?}; name at least one column, each once"
                ));
            }
        }
        Source::Dicom {
            root: _,
            institution,
            labels,
            slices,
            burned_in: _,
        } => {
            if let Institution::Attribute(keyword) = institution {
                check_keyword("institution", keyword, faults);
            }
            match labels {
                DicomLabels::Attribute(keyword) => check_keyword("labels", keyword, faults),
                DicomLabels::Collections(classes) if classes.is_empty() => {
                    faults.push("`collections` is empty; give the class of at least one".to_owned());
                }
                DicomLabels::Collections(_) => {}
            }
            if *slices == Slices::Every(0) {
                faults.push("`slices` is every 0th; use at least 1, which is all".to_owned());
            }
        }
        Source::Phantom { patients, sites } => {
            if *sites == 0 || sites > patients {
                faults.push(format!(
                    "`phantom` has {sites} sites for {patients} patients; use 1 to {patients} sites and at least 1 patient"
                ));
            }
        }
    }
}

/// A keyword of DICOM PS3.6: letters and digits, a capital first. Whether there is such an attribute the files tell.
fn check_keyword(field: &str, keyword: &str, faults: &mut Vec<String>) {
    let letters = keyword.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !letters || !keyword.starts_with(|first: char| first.is_ascii_uppercase()) {
        faults.push(format!(
            "`{field}` names the attribute `{}`; use a keyword such as `InstitutionName`",
            keyword.escape_debug()
        ));
    }
}

fn check_quality(quality: Quality, faults: &mut Vec<String>) {
    let Quality { unusable, duplicates } = quality;
    match duplicates {
        Duplicates::Report | Duplicates::Refuse => {}
    }
    if !(0.0..1.0).contains(&unusable) {
        faults.push(format!("`unusable` is {unusable}; use 0 to less than 1"));
    }
}

fn check_task(task: &Task, faults: &mut Vec<String>) {
    match task {
        Task::Binary { negative } => {
            if negative.is_empty() {
                faults.push("`negative` has no labels; name at least one".to_owned());
            }
        }
        Task::Multiclass { classes } => check_names("classes", classes, faults),
        Task::Multilabel { labels } => check_names("labels", labels, faults),
    }
}

fn check_names(field: &str, names: &[String], faults: &mut Vec<String>) {
    let distinct = names.iter().collect::<BTreeSet<_>>().len();
    let count = names.len();
    if !(2..=MAX_CLASSES as usize).contains(&count) || distinct != count {
        faults.push(format!(
            "`{field}` has {count} labels, {distinct} of them distinct; use 2 to {MAX_CLASSES}, each once"
        ));
    }
}

fn check_image(image: &ImageSettings, faults: &mut Vec<String>) {
    let ImageSettings {
        size,
        channels,
        mean,
        std,
        depth: _,
        fit: _,
    } = image;
    if !(1..=MAX_SIDE).contains(size) {
        faults.push(format!("`size` is {size}; use 1 to {MAX_SIDE} pixels"));
    }
    if !matches!(channels, 1 | 3) {
        faults.push(format!("`channels` is {channels}; use 1 or 3"));
    }
    if !mean.is_finite() || !std.is_finite() || *std <= 0.0 {
        faults.push(format!(
            "`mean` is {mean} and `std` {std}; use finite numbers and a `std` above 0"
        ));
    }
}

fn check_test(test: &TestSplit, source: &Source, faults: &mut Vec<String>) {
    match test {
        TestSplit::Fraction(fraction) => {
            if !(*fraction > 0.0 && *fraction < 1.0) {
                faults.push(format!(
                    "`fraction` is {fraction}; use more than 0 and less than 1"
                ));
            }
        }
        TestSplit::Column { name, train, test } => {
            if !matches!(source, Source::Table { .. }) {
                faults.push(format!(
                    "`test` names the column `{name}`, which only a `table` has; use `fraction`"
                ));
            }
            if train.is_empty() || test.is_empty() {
                faults.push(format!(
                    "`train` is {train:?} and `test` {test:?}; each needs at least one value"
                ));
            }
            if let Some(both) = train.iter().find(|value| test.contains(value)) {
                faults.push(format!(
                    "the value `{both}` of column `{name}` means both training and testing"
                ));
            }
        }
    }
}

fn check_partition(config: &DatasetConfig, faults: &mut Vec<String>) {
    if config.clients == 0 {
        faults.push("`clients` is 0; use at least 1".to_owned());
    }
    match config.partition {
        Partition::Iid | Partition::PatientHash => {}
        Partition::Pathological { classes } => {
            let there = task::split_classes(config.task.target(), config.task.classes().len());
            if classes == 0 || classes as usize > there {
                faults.push(format!(
                    "`pathological` gives a client {classes} classes; use 1 to the {there} there are"
                ));
            }
        }
        Partition::Attribute(attribute) => {
            let manufacturer = attribute == Attribute::Manufacturer;
            let known = match &config.source {
                Source::Dicom { .. } => true,
                Source::Cxr14 { .. } => !manufacturer,
                Source::Table { .. } | Source::Folder { .. } | Source::Phantom { .. } => false,
            };
            if !known {
                faults.push(format!(
                    "the source does not say `{}` of its images, so clients cannot be made by it; \
                     `dicom` does, `cxr14` all but `manufacturer`",
                    attribute.as_str()
                ));
            }
        }
        Partition::Dirichlet { alpha, min_size: _ } | Partition::QuantitySkew { alpha, min_size: _ } => {
            if !alpha.is_finite() || alpha <= 0.0 {
                faults.push(format!("`alpha` is {alpha}; use a number above 0"));
            }
        }
        Partition::Natural => {
            let known = match &config.source {
                Source::Phantom { .. } | Source::Dicom { .. } => true,
                Source::Table { site, .. } => site.is_some(),
                Source::Cxr14 { .. } | Source::Folder { .. } => false,
            };
            if !known {
                faults.push(
                    "`natural` needs institutions, which only `dicom`, a `table` with a `site` column and `phantom` have; \
                     use `iid`, `patient_hash` or `dirichlet`"
                        .to_owned(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
