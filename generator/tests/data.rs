//! What the keys about data become in the settings that `prepare` reads.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{collections::BTreeMap, path::Path};

use contract::{
    args::Job,
    dataset::{
        Attribute, DatasetConfig, Depth, DicomLabels, Duplicates, Fit, Institution, Partition, Quality,
        Slices, Source, Task,
    },
};
use fedwing::{
    check::{Checked, check},
    diag::Colour,
    plan,
};

/// A specification with these lines in its dataset.
fn checked(dataset: &[&str]) -> Checked {
    let text = format!(
        "fedwing: 1\nname: data\nseed: 7\ndatasets:\n  chest:\n    {}\nmodel: {{arch: small_cnn}}\nfederation:\n  \
         algorithm: fedavg\n  rounds: 1\n  local: {{epochs: 1, batch_size: 8, optimizer: {{sgd: {{learning_rate: \
         0.01}}}}}}\n",
        dataset.join("\n    ")
    );
    let report = check(&text, "data.yml", Path::new("/specs"));
    report
        .checked
        .unwrap_or_else(|| panic!("{}", report.diagnostics.render(Colour::Never)))
}

fn config(dataset: &[&str]) -> DatasetConfig {
    checked(dataset).datasets.remove(0).config
}

const COLLECTIONS: &str = "source: {dicom: {root: tcia, labels: {LIDC-IDRI: 0, TCGA-LUAD: 1}}}";

#[test]
fn a_dicom_source_needs_no_more_than_a_folder_and_the_classes_of_its_collections() {
    let config = config(&[
        COLLECTIONS,
        "task: {binary: {negative: [0]}}",
        "image: {size: 32}",
        "clients: {count: 2, by: natural}",
    ]);
    let classes = [("LIDC-IDRI", 0), ("TCGA-LUAD", 1)].map(|(name, class)| (name.to_owned(), class));
    assert_eq!(
        config.source,
        Source::Dicom {
            root: "/specs/tcia".to_owned(),
            institution: Institution::Collection,
            labels: DicomLabels::Collections(BTreeMap::from(classes)),
            slices: Slices::Middle,
            burned_in: false,
        }
    );
    // The label of an image is its class number as text.
    let negative = vec!["0".to_owned()];
    assert_eq!(config.task, Task::Binary { negative });
    assert_eq!((config.image.depth, config.image.fit), (Depth::U8, Fit::Stretch));
    assert_eq!(
        config.quality,
        Quality {
            unusable: 0.0,
            duplicates: Duplicates::Report
        }
    );
}

#[test]
fn what_is_written_of_a_dicom_source_arrives() {
    let config = config(&[
        "source: {dicom: {root: /pacs, institution: {attribute: InstitutionName}, labels: {attribute: \
         BodyPartExamined}, slices: {every: 5}, burned_in: allow}}",
        "task: {multiclass: {classes: [CHEST, HEAD]}}",
        "image: {size: 32, depth: 16, fit: pad}",
        "clients: {count: 3, by: {attribute: manufacturer}}",
        "quality: {unusable: 0.05, duplicates: refuse}",
    ]);
    assert_eq!(
        config.source,
        Source::Dicom {
            root: "/pacs".to_owned(),
            institution: Institution::Attribute("InstitutionName".to_owned()),
            labels: DicomLabels::Attribute("BodyPartExamined".to_owned()),
            slices: Slices::Every(5),
            burned_in: true,
        }
    );
    assert_eq!((config.image.depth, config.image.fit), (Depth::U16, Fit::Pad));
    assert_eq!(config.partition, Partition::Attribute(Attribute::Manufacturer));
    assert_eq!(
        config.quality,
        Quality {
            unusable: 0.05,
            duplicates: Duplicates::Refuse
        }
    );
}

#[test]
fn class_numbers_are_the_same_with_and_without_quotes() {
    let task = |task: &str| {
        let rest = ["image: {size: 32}", "clients: {count: 2, by: iid}"];
        config(&[&[COLLECTIONS, task][..], &rest].concat()).task
    };
    let classes = vec!["1".to_owned(), "0".to_owned()];
    let numbers = task("task: {multiclass: {classes: [1, 0]}}");
    assert_eq!(numbers, Task::Multiclass { classes });
    assert_eq!(numbers, task("task: {multiclass: {classes: [\"1\", '0']}}"));
}

#[test]
fn every_partition_arrives_with_its_settings() {
    let partition = |by: &str| {
        let clients = format!("clients: {{count: 3, by: {by}}}");
        config(&[
            "source: {cxr14: {images: images, labels: labels.csv}}",
            "task: {binary: {negative: [No Finding]}}",
            "image: {size: 32}",
            &clients,
        ])
        .partition
    };
    let skew = |alpha, min_size| Partition::QuantitySkew { alpha, min_size };
    assert_eq!(partition("{quantity_skew: {alpha: 0.3}}"), skew(0.3, 10));
    assert_eq!(
        partition("{quantity_skew: {alpha: 2, min_size: 4}}"),
        skew(2.0, 4)
    );
    assert_eq!(
        partition("{pathological: {classes: 2}}"),
        Partition::Pathological { classes: 2 }
    );
    for attribute in [Attribute::View, Attribute::Sex, Attribute::AgeBand] {
        let by = format!("{{attribute: {}}}", attribute.as_str());
        assert_eq!(partition(&by), Partition::Attribute(attribute));
    }
}

#[test]
fn a_plan_reads_the_folder_in_place_and_knows_no_salt() {
    let checked = checked(&[
        COLLECTIONS,
        "task: {binary: {negative: [0]}}",
        "image: {size: 32}",
        "clients: {count: 2, by: iid}",
    ]);
    let plan = plan::lower(&checked).unwrap();
    let prepare = plan
        .jobs
        .iter()
        .find_map(|job| match &job.job {
            Job::Prepare(args) => Some((args, job)),
            _ => None,
        })
        .unwrap();
    assert_eq!(prepare.1.in_place, ["/specs/tcia"]);
    assert_eq!(
        (prepare.0.salt.as_ref(), prepare.0.threads),
        (None, Some(prepare.1.request.cpus))
    );
    let settings: DatasetConfig = serde_json::from_str(&plan.statics[0].content).unwrap();
    assert_eq!(settings, checked.datasets[0].config);
    assert!(!plan.jobs.iter().any(|job| matches!(job.job, Job::Profile(_))));
}
