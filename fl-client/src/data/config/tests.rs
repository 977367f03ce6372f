//! Settings that are in range, and every way not to be.

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
    let cases: [(Change, &str); 27] = [
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
        (|c| c.quality.unusable = 1.0, "`unusable` is 1"),
        (|c| c.quality.unusable = f64::NAN, "`unusable` is NaN"),
        (
            |c| c.partition = Partition::Pathological { classes: 3 },
            "3 classes; use 1 to the 2",
        ),
        (
            |c| c.partition = Partition::Attribute(Attribute::View),
            "does not say `view`",
        ),
        (
            |c| {
                c.partition = Partition::QuantitySkew {
                    alpha: f64::INFINITY,
                    min_size: 1,
                }
            },
            "`alpha` is inf",
        ),
        (
            |c| c.source = dicom("institution name", Slices::Middle),
            "`institution` names the attribute",
        ),
        (
            |c| c.source = dicom("", Slices::Middle),
            "such as `InstitutionName`",
        ),
        (
            |c| c.source = dicom("InstitutionName", Slices::Every(0)),
            "every 0th",
        ),
        (
            |c| c.source = dicom("InstitutionName", Slices::Every(1)),
            "`collections` is empty",
        ),
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

fn dicom(institution: &str, slices: Slices) -> Source {
    Source::Dicom {
        root: "/d".into(),
        institution: Institution::Attribute(institution.into()),
        labels: DicomLabels::Collections([].into()),
        slices,
        burned_in: false,
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
