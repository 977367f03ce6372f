//! Jobs on real radiographs, where they are.

use std::fs;

use contract::{
    dataset::{Partition, Source, TestSplit},
    exit::JobExit,
};

use super::{Job, manifest, normal_or_not};
use crate::data::{
    Shard, decode,
    fixtures::{phantom_config, real_data},
    profile,
    source::tree,
};

fn nih1000(partition: Partition) -> Option<Job> {
    let data = real_data("nih1000", "nih1000")?;
    let name = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let mut job = Job::new(phantom_config());
    job.config.source = Source::Cxr14 {
        images: name("images"),
        labels: name("Data_Entry_2017.csv"),
    };
    job.config.image.size = 64;
    job.config.test = TestSplit::Fraction(0.2);
    job.config.clients = 4;
    job.config.partition = partition;
    Some(job)
}

#[test]
fn no_patient_of_nih1000_is_on_two_sides_or_with_two_clients() {
    let partitions = [
        Partition::Iid,
        Partition::PatientHash,
        Partition::Dirichlet {
            alpha: 0.5,
            min_size: 20,
        },
    ];
    for partition in partitions {
        let Some(job) = nih1000(partition) else { return };
        let prepared = job.prepare().unwrap();
        prepared.assert_sound();
        assert_eq!(manifest::verify(&prepared.manifest), Ok(()));
        assert_eq!(prepared.manifest.rows.len(), 1000);
        assert!(prepared.manifest.left_out.is_empty());
        let stats = job.stats();
        assert_eq!(stats.train.samples + stats.test.samples, 1000);
        assert_eq!(stats.train.patients + stats.test.patients, 264);
        assert_eq!(
            stats
                .clients
                .iter()
                .map(|client| client.group.patients)
                .sum::<u64>(),
            stats.train.patients
        );
        assert!(
            stats
                .clients
                .iter()
                .all(|client| client.kl >= 0.0 && client.kl.is_finite()),
            "{stats:?}"
        );
        let mean = |shard: &Shard| {
            shard.images().iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / shard.images().len() as f64
        };
        assert!(
            prepared
                .clients
                .iter()
                .all(|shard| (60.0..200.0).contains(&mean(shard)))
        );
    }
}

#[test]
fn nih1000_has_no_institutions() {
    let Some(job) = nih1000(Partition::Natural) else {
        return;
    };
    job.refused(JobExit::InputInvalid, &["`natural` needs institutions"]);
}

#[test]
fn a_subset_of_the_nih_images_leaves_the_other_lines_out() {
    let Some(mut job) = nih1000(Partition::Iid) else {
        return;
    };
    let Source::Cxr14 { images, .. } = &mut job.config.source else {
        unreachable!("made above")
    };
    let mut files: Vec<_> = fs::read_dir(&*images)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let subset = job.dir.path().join("subset");
    fs::create_dir(&subset).unwrap();
    for file in &files[..200] {
        fs::copy(file, subset.join(file.file_name().unwrap())).unwrap();
    }
    *images = subset.to_str().unwrap().to_owned();
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.rows.len(), 200);
    assert_eq!(
        prepared.manifest.left_out,
        [("image not in the folder".to_owned(), 800)].into()
    );
}

#[test]
fn pneumoniamnist_keeps_its_official_split() {
    let Some(data) = real_data("pneumoniamnist", "pneumoniamnist") else {
        return;
    };
    let mut job = Job::new(phantom_config());
    job.config.source = Source::Table {
        csv: data.join("labels.csv").to_str().unwrap().to_owned(),
        image: "image".to_owned(),
        patient: "image".to_owned(),
        site: None,
        labels: vec!["finding".to_owned()],
    };
    job.config.task = normal_or_not();
    job.config.image.size = 28;
    job.config.test = TestSplit::Column {
        name: "split".to_owned(),
        train: vec!["train".to_owned()],
        test: vec!["test".to_owned()],
    };
    job.config.clients = 5;
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let stats = job.stats();
    assert_eq!((stats.train.samples, stats.test.samples), (4708, 624));
    assert_eq!(
        (stats.train.class_counts, stats.test.class_counts),
        (vec![1214, 3494], vec![234, 390])
    );
    assert_eq!(stats.left_out.values().sum::<u64>(), 524);
    assert!(
        stats
            .clients
            .iter()
            .all(|client| client.group.samples.abs_diff(4708 / 5) <= 1)
    );
    // An image of the size asked for keeps its very pixels.
    let first = image::open(data.join(&prepared.manifest.rows[0].image))
        .unwrap()
        .into_luma8()
        .into_raw();
    let client = prepared.manifest.rows[0].client.unwrap().0 as usize;
    assert_eq!(&prepared.clients[client].images()[..28 * 28], first);
}

#[test]
fn a_profile_of_real_dicom_files_names_those_that_cannot_be_used() {
    let Some(data) = real_data("dicom", "dicom") else {
        return;
    };
    let profile = profile::of(&data).unwrap();
    assert_eq!(profile.files, fs::read_dir(&data).unwrap().count() as u64);
    assert!(
        profile.images >= 20 && profile.frames > profile.images,
        "{profile:?}"
    );
    assert!(profile.modalities["MR"] >= 5, "{profile:?}");
    assert!(profile.formats.len() >= 8, "{profile:?}");
    assert!(
        profile.others.keys().any(|kind| kind.contains("RTPLAN")),
        "{profile:?}"
    );
    for unusable in &profile.unusable {
        println!("{}: {}", unusable.file, unusable.reason);
    }
}

#[test]
fn real_dicom_files_are_prepared_or_refused_with_a_reason() {
    let Some(data) = real_data("dicom", "dicom") else {
        return;
    };
    let settings = phantom_config().image;
    let (mut shown, mut refused) = (Vec::new(), Vec::new());
    for file in tree::walk(&data).unwrap() {
        match decode::square(&file.path, Some(0), &settings) {
            Ok(square) => {
                let (least, most) = (square.pixels.iter().min(), square.pixels.iter().max());
                assert!(least < most, "{} is of one grey", file.name);
                shown.push(file.name);
            }
            Err(refusal) => {
                assert_eq!(refusal.exit, JobExit::InputInvalid, "{}", file.name);
                println!("{}: {}", file.name, refusal.reason);
                refused.push(file.name);
            }
        }
    }
    for name in [
        "CT_small.dcm",
        "MR_small.dcm",
        "693_J2KI.dcm",
        "MR_small_RLE.dcm",
        "SC_rgb_rle.dcm",
    ] {
        assert!(shown.iter().any(|other| other == name), "{name} was refused");
    }
    for name in [
        "rtplan.dcm",
        "reportsi.dcm",
        "MR_truncated.dcm",
        "LICENSE.pydicom",
    ] {
        assert!(refused.iter().any(|other| other == name), "{name} was shown");
    }
}
