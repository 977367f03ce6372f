//! Jobs on made trees of DICOM files.

use std::fs;

use contract::{
    dataset::{Attribute, DicomLabels, Institution, Partition, Slices, Source, Task},
    exit::JobExit,
};

use super::Job;
use crate::data::fixtures::{dicom::DicomFile, phantom_config};

/// Of 24 patients half are in collection `lung`, of class 1, half in `chest`; each has a radiograph and a frame of five.
fn job() -> Job {
    let mut job = Job::new(phantom_config());
    for patient in 0..24 {
        let folder = if patient < 12 {
            "source/lung"
        } else {
            "source/chest"
        };
        let who = format!("identifier-of-patient-{patient}");
        let of = |number: u32| {
            DicomFile::new(number)
                .text(0x0010_0020, "LO", &who)
                .text(0x0010_0010, "PN", "Somebody^Named")
                .text(
                    0x0008_0080,
                    "LO",
                    if patient % 2 == 0 {
                        "North Hospital"
                    } else {
                        "South Hospital"
                    },
                )
                .text(0x0018_5101, "CS", if patient % 3 == 0 { "AP" } else { "PA" })
        };
        of(patient).write(job.dir.path(), &format!("{folder}/{patient}/radiograph"));
        of(100 + patient)
            .frames(5)
            .write(job.dir.path(), &format!("{folder}/{patient}/frames"));
    }
    job.config.source = Source::Dicom {
        root: job.path("source").to_str().unwrap().to_owned(),
        institution: Institution::Attribute("InstitutionName".to_owned()),
        labels: DicomLabels::Collections([("lung".to_owned(), 1), ("chest".to_owned(), 0)].into()),
        slices: Slices::Middle,
        burned_in: false,
    };
    job.config.task = Task::Multiclass {
        classes: vec!["0".to_owned(), "1".to_owned()],
    };
    job.config.image.size = 4;
    job
}

#[test]
fn a_tree_of_dicom_files_is_prepared_and_nothing_in_shards_names_anybody() {
    let job = job();
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let rows = &prepared.manifest.rows;
    assert_eq!(rows.len(), 48);
    assert!(rows.is_sorted_by(|a, b| a.image < b.image));
    assert_eq!(
        (rows[0].image.as_str(), &rows[0].labels[..]),
        ("chest/12/frames#3", &[0][..])
    );
    assert_eq!(prepared.manifest.left_out.values().sum::<u64>(), 24 * 4);
    assert!(!prepared.manifest.synthetic);
    let outputs = job.outputs();
    for word in [
        "identifier-of",
        "Somebody",
        "Hospital",
        "1.2.3.",
        "radiograph",
        "lung/",
    ] {
        for (name, bytes) in &outputs {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found || name == "manifest.json", "{name} names {word}");
        }
    }
}

#[test]
fn institutions_and_attributes_are_clients() {
    let mut job = job();
    job.config.partition = Partition::Natural;
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let number = |patient: &str| -> u32 { patient.rsplit_once('-').unwrap().1.parse().unwrap() };
    for row in &prepared.manifest.rows {
        if let Some(client) = row.client {
            assert_eq!(client.0, number(&row.patient) % 2);
        }
    }
    job.config.partition = Partition::Attribute(Attribute::View);
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    for row in &prepared.manifest.rows {
        if let Some(client) = row.client {
            assert_eq!(client.0, u32::from(number(&row.patient) % 3 != 0));
        }
    }
    let stats = job.stats();
    assert!(
        stats.effective_clients > 1.0 && stats.effective_clients < 2.0,
        "{stats:?}"
    );
    assert!(
        stats
            .clients
            .iter()
            .all(|client| (0.0..=1.0).contains(&client.emd) && client.hellinger <= 1.0)
    );
}

#[test]
fn images_without_a_patient_are_skipped_where_tolerated_and_end_the_job_where_not() {
    let mut job = job();
    let nobody = job.path("source/lung/3/radiograph");
    fs::write(&nobody, DicomFile::new(3).text(0x0010_0020, "LO", "").bytes()).unwrap();
    let error = job.refused(
        JobExit::InputInvalid,
        &["1 of 48", "`lung/3/radiograph`: it has no `PatientID`"],
    );
    assert!(error.help.is_some());
    job.config.quality.unusable = 0.05;
    // Another that decoding finds: the order of both is that of names.
    let cut = job.path("source/chest/15/radiograph");
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() - 3]).unwrap();
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let skipped: Vec<_> = prepared
        .manifest
        .skipped
        .iter()
        .map(|skipped| skipped.image.as_str())
        .collect();
    assert_eq!(skipped, ["chest/15/radiograph", "lung/3/radiograph"]);
    assert_eq!(prepared.manifest.rows.len(), 46);
}

#[test]
fn dicom_files_are_images_of_tables_and_label_folders_too() {
    let mut job = Job::new(phantom_config());
    for number in 0..16 {
        let label = if number % 2 == 0 { "normal" } else { "mass" };
        DicomFile::new(number).write(job.dir.path(), &format!("source/{label}/{number}.dcm"));
    }
    job.config.source = Source::Folder {
        root: job.path("source").to_str().unwrap().to_owned(),
    };
    job.config.task = Task::Multiclass {
        classes: vec!["normal".to_owned(), "mass".to_owned()],
    };
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.rows.len(), 16);
}
