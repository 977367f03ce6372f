//! What the tests of this module share: small settings, rows, images and the folder of real data.

pub mod dicom;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use contract::{
    dataset::{
        DatasetConfig, Depth, Duplicates, Fit, ImageSettings, Manifest, ManifestRow, Partition, Quality,
        Source, Split, Task, TestSplit,
    },
    ids::{ClientId, Seed},
};
use image::DynamicImage;

use super::source::{Origin, Row};

/// Settings for 24 drawn patients of two institutions and two clients.
pub fn phantom_config() -> DatasetConfig {
    DatasetConfig {
        fedwing_dataset: DatasetConfig::VERSION,
        experiment: "e1".parse().unwrap(),
        dataset: "cxr".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        source: Source::Phantom {
            patients: 24,
            sites: 2,
        },
        task: Task::Binary {
            negative: vec!["No Finding".to_owned()],
        },
        image: ImageSettings {
            size: 16,
            channels: 1,
            mean: 0.5,
            std: 0.5,
            depth: Depth::U8,
            fit: Fit::Stretch,
        },
        test: TestSplit::Fraction(0.25),
        validation: None,
        clients: 2,
        partition: Partition::Iid,
        quality: Quality {
            unusable: 0.0,
            duplicates: Duplicates::Report,
        },
        seed: Seed(7),
    }
}

/// A manifest of two clients with one image each and one test image.
pub fn manifest() -> Manifest {
    let row = |number: u32, client: Option<u32>| ManifestRow {
        image: format!("i{number}"),
        patient: format!("p{number}"),
        labels: vec![number % 2],
        split: if client.is_some() {
            Split::Train
        } else {
            Split::Test
        },
        client: client.map(ClientId),
    };
    Manifest {
        fedwing_manifest: Manifest::VERSION,
        experiment: "e1".parse().unwrap(),
        dataset: "cxr".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        synthetic: false,
        target: contract::training::Target::Classes,
        classes: vec!["a".to_owned(), "b".to_owned()],
        clients: 2,
        validation: false,
        left_out: BTreeMap::new(),
        skipped: Vec::new(),
        duplicates: Vec::new(),
        percentile_windows: 0,
        part: None,
        source_digest: "0".repeat(64),
        rows: vec![row(0, Some(0)), row(1, Some(1)), row(2, None)],
    }
}

/// A row whose patient is its image, with labels separated by `|`.
pub fn row(image: &str, labels: &str) -> Row {
    Row {
        image: image.to_owned(),
        patient: image.to_owned(),
        labels: labels
            .split('|')
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect(),
        site: None,
        split: None,
        attributes: BTreeMap::new(),
        origin: Origin::File(PathBuf::from(image)),
    }
}

/// Writes an image as PNG, its folder included.
pub fn png(path: &Path, image: &DynamicImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save_with_format(path, image::ImageFormat::Png).unwrap();
}

/// A file below `dir`, its folders included.
pub fn text(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

/// The folder of real data below `FEDWING_DATA`, else below `shared/data` beside the workspace or above it.
pub fn real_data(test: &str, folder: &str) -> Option<PathBuf> {
    let roots: Vec<PathBuf> = match std::env::var_os("FEDWING_DATA") {
        Some(root) => vec![PathBuf::from(root)],
        None => {
            let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(2);
            above.map(|folder| folder.join("shared/data")).collect()
        }
    };
    let found = roots
        .into_iter()
        .map(|root| root.join(folder))
        .find(|path| path.is_dir());
    if found.is_none() {
        println!("SKIPPED {test}: no folder `{folder}` of real data; set FEDWING_DATA to run it");
    }
    found
}

/// Two by two pixels, all of the second colour of a palette of black and grey 100; one bit a pixel.
pub const PALETTE_PNG: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x01\x03\x00\x00\x00\
Hx\x9fg\x00\x00\x00\x06PLTE\x00\x00\x00ddd\xa1\xf7\xd1\xd1\x00\x00\x00\x0cIDATx\x9cc8\xc0p\x00\x00\x03\x04\x01\x81\
\x14\x18\xbd\xf6\x00\x00\x00\x00IEND\xaeB`\x82";
