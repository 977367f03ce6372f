//! The settings `prepare` works from, checked once.
//!
//! In: the JSON file beside the workflow. Out: a [`Config`], whose values are in range and do not contradict each
//! other. Start at [`Config::read`].

use std::{collections::BTreeSet, ops::Deref, path::Path};

use contract::{
    dataset::{DatasetConfig, ImageSettings, Partition, Source, Task, TestSplit},
    job::JobError,
};

use super::{decode::MAX_SIDE, document, shard::MAX_CLASSES};

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
        check_partition(&config, &mut faults);
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
        Source::Phantom { patients, sites } => {
            if *sites == 0 || sites > patients {
                faults.push(format!(
                    "`phantom` has {sites} sites for {patients} patients; use 1 to {patients} sites and at least 1 patient"
                ));
            }
        }
    }
}

fn check_task(task: &Task, faults: &mut Vec<String>) {
    match task {
        Task::Binary { negative } => {
            if negative.is_empty() {
                faults.push("`negative` has no labels; name at least one".to_owned());
            }
        }
        Task::Multiclass { classes } => {
            let distinct: BTreeSet<_> = classes.iter().collect();
            let count = classes.len();
            if !(2..=MAX_CLASSES as usize).contains(&count) || distinct.len() != count {
                faults.push(format!(
                    "`classes` has {count} labels, {} of them distinct; use 2 to {MAX_CLASSES}, each once",
                    distinct.len()
                ));
            }
        }
    }
}

fn check_image(image: &ImageSettings, faults: &mut Vec<String>) {
    let ImageSettings {
        size,
        channels,
        mean,
        std,
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
        Partition::Dirichlet { alpha, min_size: _ } => {
            if !alpha.is_finite() || alpha <= 0.0 {
                faults.push(format!("`alpha` is {alpha}; use a number above 0"));
            }
        }
        Partition::Natural => {
            let known = match &config.source {
                Source::Phantom { .. } => true,
                Source::Table { site, .. } => site.is_some(),
                Source::Cxr14 { .. } | Source::Folder { .. } => false,
            };
            if !known {
                faults.push(
                    "`natural` needs institutions, which only a `table` with a `site` column and `phantom` have; \
                     use `iid`, `patient_hash` or `dirichlet`"
                        .to_owned(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use contract::{exit::JobExit, job::write_json};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::phantom_config;

    #[test]
    fn settings_read_back() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("dataset.json");
        write_json(&path, &phantom_config()).unwrap();
        assert_eq!(*Config::read(&path).unwrap(), phantom_config());
    }

    #[test]
    fn a_newer_settings_file_is_refused_by_its_version_even_with_unknown_fields() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("dataset.json");
        let mut value = serde_json::to_value(phantom_config()).unwrap();
        value["fedwing_dataset"] = 7.into();
        value["invented_later"] = true.into();
        write_json(&path, &value).unwrap();
        let error = Config::read(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("`fedwing_dataset` 7"), "{error}");
        assert!(error.message.contains("version 1"), "{error}");
    }

    #[test]
    fn a_misspelt_field_and_a_missing_file_are_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("dataset.json");
        assert_eq!(Config::read(&path).unwrap_err().exit, JobExit::InputMissing);
        let mut value = serde_json::to_value(phantom_config()).unwrap();
        value["client"] = 3.into();
        write_json(&path, &value).unwrap();
        let error = Config::read(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("unknown field `client`"), "{error}");
    }

    #[test]
    fn a_settings_file_too_large_is_refused_by_its_size() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("dataset.json");
        fs::write(&path, " ".repeat(MAX_CONFIG as usize + 1)).unwrap();
        let error = Config::read(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains(&MAX_CONFIG.to_string()), "{error}");
    }

    #[test]
    fn every_value_out_of_range_is_named() {
        type Change = fn(&mut DatasetConfig);
        let cases: [(Change, &str); 18] = [
            (
                |c| {
                    c.source = Source::Folder {
                        root: "images".into(),
                    }
                },
                "`images`; paths are absolute",
            ),
            (|c| c.source = Source::Folder { root: "/a\0b".into() }, "absolute"),
            (
                |c| {
                    c.source = Source::Phantom {
                        patients: 4,
                        sites: 5,
                    }
                },
                "5 sites for 4 patients",
            ),
            (
                |c| {
                    c.source = Source::Phantom {
                        patients: 4,
                        sites: 0,
                    }
                },
                "0 sites",
            ),
            (|c| c.source = table(&[]), "`labels` is []"),
            (|c| c.source = table(&["a", "a"]), "each once"),
            (|c| c.task = Task::Binary { negative: vec![] }, "`negative`"),
            (
                |c| {
                    c.task = Task::Multiclass {
                        classes: vec!["a".into()],
                    }
                },
                "1 labels",
            ),
            (
                |c| {
                    c.task = Task::Multiclass {
                        classes: vec!["a".into(), "a".into()],
                    }
                },
                "1 of them distinct",
            ),
            (
                |c| {
                    c.task = Task::Multiclass {
                        classes: (0..257).map(|n| n.to_string()).collect(),
                    }
                },
                "2 to 256",
            ),
            (|c| c.image.size = 0, "`size` is 0"),
            (|c| c.image.channels = 4, "`channels` is 4"),
            (|c| c.image.std = 0.0, "`std` 0"),
            (|c| c.test = TestSplit::Fraction(1.0), "`fraction` is 1"),
            (|c| c.test = TestSplit::Fraction(0.0), "`fraction` is 0"),
            (|c| c.test = column(&["x"], &["y"]), "only a `table` has"),
            (|c| c.clients = 0, "`clients` is 0"),
            (
                |c| {
                    c.partition = Partition::Dirichlet {
                        alpha: 0.0,
                        min_size: 1,
                    }
                },
                "`alpha` is 0",
            ),
        ];
        for (change, fault) in cases {
            let mut config = phantom_config();
            change(&mut config);
            let faults = Config::new(config).unwrap_err();
            assert!(
                faults.iter().any(|text| text.contains(fault)),
                "{faults:?} lacks `{fault}`"
            );
        }
        assert!(Config::new(phantom_config()).is_ok());
    }

    #[test]
    fn a_split_value_on_both_sides_or_on_none_is_named() {
        let mut config = phantom_config();
        config.source = table(&["label"]);
        config.test = column(&["a", "b"], &["b"]);
        assert!(Config::new(config.clone()).unwrap_err()[0].contains("`b` of column `split`"));
        config.test = column(&["a"], &[]);
        assert!(Config::new(config.clone()).unwrap_err()[0].contains("at least one value"));
        config.test = column(&["a"], &["b"]);
        assert!(Config::new(config).is_ok());
    }

    #[test]
    fn natural_clients_need_a_source_with_institutions() {
        let mut config = phantom_config();
        config.partition = Partition::Natural;
        assert!(Config::new(config.clone()).is_ok());
        for source in [
            table(&["label"]),
            Source::Folder { root: "/f".into() },
            Source::Cxr14 {
                images: "/i".into(),
                labels: "/l".into(),
            },
        ] {
            config.source = source;
            assert!(Config::new(config.clone()).unwrap_err()[0].contains("`natural` needs institutions"));
        }
    }

    fn table(labels: &[&str]) -> Source {
        Source::Table {
            csv: "/t.csv".into(),
            image: "image".into(),
            patient: "patient".into(),
            site: None,
            labels: labels.iter().map(|&label| label.into()).collect(),
        }
    }

    fn column(train: &[&str], test: &[&str]) -> TestSplit {
        let owned = |values: &[&str]| values.iter().map(|&value| value.into()).collect();
        TestSplit::Column {
            name: "split".into(),
            train: owned(train),
            test: owned(test),
        }
    }

    proptest! {
        #[test]
        fn changed_settings_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("dataset.json");
            let mut bytes = serde_json::to_vec(&phantom_config()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            fs::write(&path, &bytes).unwrap();
            let _ = Config::read(&path);
            bytes.truncate(cut.index(bytes.len()));
            fs::write(&path, &bytes).unwrap();
            prop_assert!(Config::read(&path).is_err());
        }
    }
}
