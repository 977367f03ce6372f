//! Validation sides and images with any number of labels, from the table to the shards.

use std::collections::BTreeSet;

use contract::{
    dataset::{Partition, Source, Split, Task, TestSplit},
    exit::JobExit,
    ids::Seed,
    job::write_json,
};
use proptest::prelude::*;

use super::{Job, picture, pictures_job, prepare};
use crate::data::fixtures::{phantom_config, png, text};

/// The job on pictures, of which a share of the patients is for validation.
fn validated(share: f64) -> Job {
    let mut job = pictures_job();
    job.config.validation = Some(share);
    job
}

#[test]
fn a_share_of_the_patients_that_are_not_tested_is_kept_for_validation() {
    let job = validated(0.25);
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let patients = |split: Split| {
        let rows = prepared.manifest.rows.iter().filter(|row| row.split == split);
        rows.map(|row| row.patient.as_str())
            .collect::<BTreeSet<_>>()
            .len()
    };
    // A quarter of 24 is tested, a quarter of the 18 others validates: 4.5, rounded.
    assert_eq!(Split::ALL.map(patients), [13, 5, 6]);
    let shard = prepared.validation.unwrap();
    assert_eq!((shard.len(), shard.num_patients()), (10, 5));
    let stats = job.stats();
    let validation = stats.validation.unwrap();
    assert_eq!((validation.samples, validation.patients), (10, 5));
    assert_eq!((stats.train.patients, stats.test.patients), (13, 6));
    assert!(validation.class_counts.iter().all(|count| *count > 0));
}

#[test]
fn the_test_side_is_the_same_whether_there_is_a_validation_side_or_not() {
    let test = |job: &Job| -> BTreeSet<String> {
        let rows = job.prepare().unwrap().manifest.rows.into_iter();
        let rows = rows.filter(|row| row.split == Split::Test);
        rows.map(|row| row.image).collect()
    };
    assert_eq!(test(&validated(0.25)), test(&pictures_job()));
}

#[test]
fn a_validation_side_goes_with_its_flag_both_ways() {
    let mut job = validated(0.25);
    let mut args = job.args(2);
    args.validation_shard = None;
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::run(&args).unwrap_err();
    assert_eq!(error.exit, JobExit::Usage);
    assert!(
        error.message.contains("`--validation-shard` is not given"),
        "{error}"
    );

    let args = job.args(2);
    job.config.validation = None;
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::run(&args).unwrap_err();
    assert_eq!(error.exit, JobExit::Usage);
    assert!(error.message.contains("keep nothing for validation"), "{error}");

    job.config.validation = Some(0.25);
    let mut args = job.args(2);
    args.validation_shard = args.test_shard.clone();
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::run(&args).unwrap_err();
    assert!(error.message.contains("is to be written twice"), "{error}");
}

#[test]
fn a_validation_side_without_a_class_is_refused() {
    // Three patients are not tested; one of them validates.
    let mut job = validated(0.25);
    let table = "file,who,finding\ni/0.png,a,Mass\ni/2.png,b,Normal\ni/4.png,c,Mass\ni/6.png,d,Normal\n\
                 i/8.png,e,Mass\ni/10.png,f,Normal\n";
    text(&job.path("source"), "table.csv", table);
    job.config.test = TestSplit::Fraction(0.34);
    job.config.clients = 1;
    job.refused(JobExit::DataUnfit, &["validation images has the class"]);
}

/// A job on a table of 24 patients with two pictures each and columns of labels: `a` of every second patient, `b` of
/// every third image, so that many images have both and many none.
fn labels_job() -> Job {
    let mut job = Job::new(phantom_config());
    let mut table = "file,who,a,b\n".to_owned();
    for number in 0..48 {
        png(&job.path(&format!("source/i/{number}.png")), &picture(number));
        let patient = number / 2;
        let (a, b) = (u32::from(patient % 2 == 0), u32::from(number % 3 == 0));
        table += &format!("i/{number}.png,p{patient},{a},{b}\n");
    }
    job.config.source = Source::Table {
        csv: text(&job.path("source"), "table.csv", &table)
            .to_str()
            .unwrap()
            .to_owned(),
        image: "file".to_owned(),
        patient: "who".to_owned(),
        site: None,
        labels: vec!["a".to_owned(), "b".to_owned()],
    };
    job.config.task = Task::Multilabel {
        labels: vec!["b".to_owned(), "a".to_owned()],
    };
    job.config.image.size = 6;
    job.config.validation = Some(0.25);
    job
}

#[test]
fn images_with_any_number_of_labels_are_prepared_and_none_is_left_out() {
    for partition in [
        Partition::Iid,
        Partition::PatientHash,
        Partition::Dirichlet {
            alpha: 1.0,
            min_size: 1,
        },
        Partition::Pathological { classes: 2 },
    ] {
        let mut job = labels_job();
        job.config.partition = partition;
        let prepared = job.prepare().unwrap();
        prepared.assert_sound();
        let manifest = &prepared.manifest;
        assert_eq!((manifest.rows.len(), manifest.left_out.len()), (48, 0));
        for row in &manifest.rows {
            let number: u32 = row.image["i/".len()..row.image.len() - ".png".len()]
                .parse()
                .unwrap();
            let expected: Vec<u32> = [(number.is_multiple_of(3), 0), ((number / 2).is_multiple_of(2), 1)]
                .into_iter()
                .filter_map(|(there, label)| there.then_some(label))
                .collect();
            assert_eq!(row.labels, expected, "{row:?}");
        }
        let stats = job.stats();
        let groups = [stats.train, stats.validation.unwrap(), stats.test];
        let sum = |of: &dyn Fn(&contract::dataset::GroupStats) -> u64| groups.iter().map(of).sum::<u64>();
        // 16 of `b`, 24 of `a`, 8 of both: 16 of none.
        assert_eq!(sum(&|group| group.class_counts[0]), 16);
        assert_eq!(sum(&|group| group.class_counts[1]), 24);
        assert_eq!(sum(&|group| group.unlabelled), 16);
    }
}

#[test]
fn the_same_settings_give_the_same_bytes_with_labels_and_validation() {
    let bytes = |threads: u32| {
        let job = labels_job();
        write_json(&job.path("dataset.json"), &job.config).unwrap();
        let mut args = job.args(2);
        args.threads = Some(threads);
        prepare::run(&args).unwrap();
        job.outputs()
    };
    assert_eq!(bytes(1), bytes(4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_patient_is_on_one_side_only(
        patients in prop::collection::vec((0u32..12, any::<bool>(), any::<bool>()), 20..50),
        seed in any::<u64>(),
        share in 0.1f64..0.6,
        fraction in 0.2f64..0.5,
    ) {
        let mut job = labels_job();
        let mut table = "file,who,a,b\n".to_owned();
        for (number, (patient, a, b)) in patients.iter().enumerate().take(48) {
            table += &format!("i/{number}.png,p{patient},{},{}\n", u8::from(*a), u8::from(*b));
        }
        text(&job.path("source"), "table.csv", &table);
        job.config.validation = Some(share);
        job.config.test = TestSplit::Fraction(fraction);
        (job.config.clients, job.config.seed) = (1, Seed(seed));
        match job.prepare() {
            Ok(prepared) => prepared.assert_sound(),
            Err(error) => prop_assert_eq!(error.exit, JobExit::DataUnfit),
        }
    }
}
