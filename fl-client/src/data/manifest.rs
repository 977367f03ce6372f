//! The manifest's promises, checked where it is written and where it is read.
//!
//! In: a [`Manifest`]. Out: proof that no patient is in two places, no image is there twice, and every class, client and
//! side is what it says. Start at [`verify`]; [`read`] does both.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use contract::{
    dataset::{Manifest, ManifestRow, Split},
    ids::ClientId,
    job::JobError,
    training::Target,
};

use super::{document, placement::Place, shard::is_digest};

/// The largest manifest accepted, in bytes: some two million images.
const MAX_MANIFEST: u64 = 512 << 20;

/// What a manifest may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    /// A patient is with two clients, or trained on and tested on.
    #[error("patient `{patient}` is with {first} and with {second}")]
    PatientTwice {
        /// The patient.
        patient: String,
        /// Where they are first.
        first: Place,
        /// Where they are next.
        second: Place,
    },
    /// Two rows are the same image.
    #[error("image `{image}` is there twice")]
    ImageTwice {
        /// The image.
        image: String,
    },
    /// A class index names no class.
    #[error("image `{image}` has the class {class}, there are {classes}")]
    NoSuchClass {
        /// The image.
        image: String,
        /// Its class index.
        class: u32,
        /// Number of classes.
        classes: usize,
    },
    /// A client's number is too large.
    #[error("image `{image}` is with client {client}, there are {clients}")]
    NoSuchClient {
        /// The image.
        image: String,
        /// Its client.
        client: ClientId,
        /// Number of clients.
        clients: u32,
    },
    /// An image of a task of classes without one or with several, or labels that are out of order or there twice.
    #[error("image `{image}` has the labels {labels:?}; expected {expected}")]
    Labels {
        /// The image.
        image: String,
        /// Its labels.
        labels: Vec<u32>,
        /// What the target asks for.
        expected: &'static str,
    },
    /// A training image without a client, another image with one, or a validation image where there is no such side.
    #[error(
        "image `{image}` is neither a client's training image nor of the test side, nor of a validation side there is"
    )]
    NoPlace {
        /// The image.
        image: String,
    },
    /// An image is prepared and said to be skipped.
    #[error("image `{image}` is skipped and prepared")]
    Skipped {
        /// The image.
        image: String,
    },
    /// A group of duplicates is not what it says.
    #[error("the duplicates {images:?} {fault}")]
    Duplicates {
        /// The images.
        images: Vec<String>,
        /// What is wrong with them.
        fault: &'static str,
    },
    /// The digest is none.
    #[error("`source_digest` is `{digest}`; expected 64 hexadecimal digits")]
    Digest {
        /// The digest.
        digest: String,
    },
    /// A client or side has no image.
    #[error("there is no image for {place}")]
    Empty {
        /// What is empty.
        place: Place,
    },
}

/// Reads a manifest and verifies it.
///
/// # Errors
/// `InputMissing` or `Io` if it cannot be read; `InputInvalid` if it is no manifest, of another version, or breaks one
/// of its promises.
pub fn read(path: &Path) -> Result<Manifest, JobError> {
    let version = document::Version {
        field: "fedwing_manifest",
        known: Manifest::VERSION,
    };
    let manifest = document::read(path, MAX_MANIFEST, version, |manifest: &Manifest| {
        manifest.fedwing_manifest
    })?;
    verify(&manifest).map_err(|fault| {
        JobError::invalid(path, fault)
            .help("run the dataset's `prepare` job again, it writes the manifest anew")
    })?;
    Ok(manifest)
}

/// Checks what a manifest promises: one place a patient, one row an image, no empty client and no empty side; no
/// row is a skipped image; duplicates are of rows and cross what they say.
///
/// # Errors
/// The first promise broken.
pub fn verify(manifest: &Manifest) -> Result<(), ManifestFault> {
    let mut patients = HashMap::<&str, Place>::new();
    let mut images = HashSet::<&str>::new();
    let mut places = HashSet::<Place>::new();
    for row in &manifest.rows {
        let place = place_of(row, manifest)?;
        let first = *patients.entry(&row.patient).or_insert(place);
        if first != place {
            return Err(ManifestFault::PatientTwice {
                patient: row.patient.clone(),
                first,
                second: place,
            });
        }
        let image = || row.image.clone();
        if !images.insert(&row.image) {
            return Err(ManifestFault::ImageTwice { image: image() });
        }
        check_labels(row, manifest)?;
        places.insert(place);
    }
    check_skipped(manifest, &images)?;
    check_duplicates(manifest)?;
    if !is_digest(&manifest.source_digest) {
        return Err(ManifestFault::Digest {
            digest: manifest.source_digest.clone(),
        });
    }
    let mut expected = (0..manifest.clients)
        .map(|client| Place::Client(ClientId(client)))
        .chain(manifest.validation.then_some(Place::Validation))
        .chain([Place::Test]);
    match expected.find(|place| !places.contains(place)) {
        Some(place) => Err(ManifestFault::Empty { place }),
        None => Ok(()),
    }
}

fn check_labels(row: &ManifestRow, manifest: &Manifest) -> Result<(), ManifestFault> {
    let classes = manifest.classes.len();
    if let Some(class) = row.labels.iter().find(|label| **label as usize >= classes) {
        return Err(ManifestFault::NoSuchClass {
            image: row.image.clone(),
            class: *class,
            classes,
        });
    }
    let (right, expected) = match manifest.target {
        Target::Classes => (row.labels.len() == 1, "the one class"),
        Target::Labels => (
            row.labels.is_sorted_by(|a, b| a < b),
            "each label once, ascending",
        ),
    };
    if right {
        return Ok(());
    }
    Err(ManifestFault::Labels {
        image: row.image.clone(),
        labels: row.labels.clone(),
        expected,
    })
}

fn check_skipped(manifest: &Manifest, images: &HashSet<&str>) -> Result<(), ManifestFault> {
    let mut skipped = manifest.skipped.iter().map(|skipped| &skipped.image);
    match skipped.find(|image| images.contains(image.as_str())) {
        Some(image) => Err(ManifestFault::Skipped { image: image.clone() }),
        None => Ok(()),
    }
}

fn check_duplicates(manifest: &Manifest) -> Result<(), ManifestFault> {
    if manifest.duplicates.is_empty() {
        return Ok(());
    }
    let rows: HashMap<&str, &ManifestRow> = manifest
        .rows
        .iter()
        .map(|row| (row.image.as_str(), row))
        .collect();
    for group in &manifest.duplicates {
        let fault = |fault| ManifestFault::Duplicates {
            images: group.images.clone(),
            fault,
        };
        let members: Option<Vec<_>> = group
            .images
            .iter()
            .map(|image| rows.get(image.as_str()))
            .collect();
        let members = members.ok_or_else(|| fault("are not all images of the manifest"))?;
        let distinct: HashSet<_> = group.images.iter().collect();
        if distinct.len() < 2 || distinct.len() != members.len() {
            return Err(fault("are not two images or more, each once"));
        }
        let across = |differs: &dyn Fn(&ManifestRow) -> bool| members.iter().any(|row| differs(row));
        if across(&|row| row.patient != members[0].patient) != group.across_patients
            || across(&|row| row.split != members[0].split) != group.across_splits
        {
            return Err(fault("do not cross patients or the test split as they say"));
        }
    }
    Ok(())
}

fn place_of(row: &ManifestRow, manifest: &Manifest) -> Result<Place, ManifestFault> {
    let image = || row.image.clone();
    let clients = manifest.clients;
    match (row.split, row.client) {
        (Split::Test, None) => Ok(Place::Test),
        (Split::Validation, None) if manifest.validation => Ok(Place::Validation),
        (Split::Train, Some(client)) if client.0 < clients => Ok(Place::Client(client)),
        (Split::Train, Some(client)) => Err(ManifestFault::NoSuchClient {
            image: image(),
            client,
            clients,
        }),
        (Split::Train, None) | (Split::Validation | Split::Test, _) => {
            Err(ManifestFault::NoPlace { image: image() })
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{
        dataset::{DuplicateGroup, DuplicateKind, Skipped},
        exit::JobExit,
        job::write_json,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::manifest;

    #[test]
    fn a_manifest_that_keeps_its_promises_is_accepted() {
        assert_eq!(verify(&manifest()), Ok(()));
    }

    fn group(images: &[&str], across_patients: bool, across_splits: bool) -> DuplicateGroup {
        DuplicateGroup {
            kind: DuplicateKind::Exact,
            images: images.iter().map(|&image| image.to_owned()).collect(),
            across_patients,
            across_splits,
        }
    }

    #[test]
    fn skipped_images_and_duplicates_that_are_what_they_say_are_accepted() {
        let mut manifest = manifest();
        manifest.skipped = vec![Skipped {
            image: "i9".to_owned(),
            reason: "cut short".to_owned(),
        }];
        manifest.duplicates = vec![
            group(&["i0", "i1"], true, false),
            group(&["i1", "i2"], true, true),
        ];
        assert_eq!(verify(&manifest), Ok(()));
    }

    #[test]
    fn images_may_have_any_number_of_labels_and_a_validation_side() {
        let mut manifest = manifest();
        manifest.target = Target::Labels;
        manifest.rows[0].labels = vec![0, 1];
        manifest.rows[1].labels = vec![];
        (manifest.validation, manifest.clients) = (true, 1);
        (manifest.rows[1].split, manifest.rows[1].client) = (Split::Validation, None);
        assert_eq!(verify(&manifest), Ok(()));
        manifest.rows[1].patient = "p2".to_owned();
        let fault = verify(&manifest).unwrap_err().to_string();
        assert!(
            fault.contains("with the validation side and with the test side"),
            "{fault}"
        );
    }

    #[test]
    fn every_broken_promise_is_named() {
        type Change = fn(&mut Manifest);
        let cases: [(Change, &str); 20] = [
            (
                |m| m.rows[1].patient = m.rows[0].patient.clone(),
                "patient `p0` is with client 0 and with client 1",
            ),
            (
                |m| m.rows[2].patient = m.rows[0].patient.clone(),
                "patient `p0` is with client 0 and with the test side",
            ),
            (
                |m| m.rows[1].image = m.rows[0].image.clone(),
                "image `i0` is there twice",
            ),
            (|m| m.rows[0].labels = vec![2], "the class 2, there are 2"),
            (|m| m.rows[0].labels = vec![], "labels []; expected the one class"),
            (
                |m| m.rows[0].labels = vec![0, 1],
                "labels [0, 1]; expected the one",
            ),
            (
                |m| (m.target, m.rows[0].labels) = (Target::Labels, vec![1, 1]),
                "labels [1, 1]; expected each label once",
            ),
            (|m| m.rows[2].split = Split::Validation, "image `i2` is neither"),
            (|m| m.validation = true, "no image for the validation side"),
            (
                |m| m.rows[0].client = Some(ClientId(2)),
                "with client 2, there are 2",
            ),
            (|m| m.rows[0].client = None, "image `i0` is neither"),
            (|m| m.rows[2].client = Some(ClientId(0)), "image `i2` is neither"),
            (|m| m.clients = 3, "no image for client 2"),
            (|m| m.rows.truncate(2), "no image for the test side"),
            (|m| m.source_digest = "x".to_owned(), "`source_digest` is `x`"),
            (
                |m| {
                    m.skipped = vec![Skipped {
                        image: "i1".to_owned(),
                        reason: String::new(),
                    }]
                },
                "image `i1` is skipped and prepared",
            ),
            (
                |m| m.duplicates = vec![group(&["i0", "i9"], true, false)],
                "not all images",
            ),
            (
                |m| m.duplicates = vec![group(&["i0", "i0"], false, false)],
                "each once",
            ),
            (
                |m| m.duplicates = vec![group(&["i0", "i1"], true, true)],
                "do not cross",
            ),
            (
                |m| m.duplicates = vec![group(&["i0", "i2"], false, true)],
                "do not cross",
            ),
        ];
        for (change, expected) in cases {
            let mut changed = manifest();
            change(&mut changed);
            let fault = verify(&changed).expect_err(expected).to_string();
            assert!(fault.contains(expected), "`{fault}` lacks `{expected}`");
        }
    }

    #[test]
    fn a_manifest_read_from_a_file_is_verified() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("manifest.json");
        write_json(&path, &manifest()).unwrap();
        assert_eq!(read(&path).unwrap(), manifest());
        let mut broken = manifest();
        broken.rows[1].patient = "p0".to_owned();
        write_json(&path, &broken).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(
            error.message.contains("patient `p0`") && error.help.is_some(),
            "{error}"
        );
        broken.fedwing_manifest = 3;
        write_json(&path, &broken).unwrap();
        assert!(read(&path).unwrap_err().message.contains("reads version 2"));
    }
}
