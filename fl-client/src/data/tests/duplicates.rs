//! Images that are there more than once.

use std::fs;

use contract::{
    dataset::{DuplicateGroup, DuplicateKind, Duplicates},
    exit::JobExit,
};

use image::{DynamicImage, GrayImage, Luma};

use super::{Job, pictures_job};
use crate::data::fixtures::png;

fn copy(job: &Job, from: u32, to: u32) {
    let path = |number: u32| job.path(&format!("source/i/{number}.png"));
    fs::copy(path(from), path(to)).unwrap();
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
fn pictures_that_differ_are_no_duplicates() {
    let job = pictures_job();
    assert_eq!(job.prepare().unwrap().manifest.duplicates, []);
    assert_eq!(job.stats().leaks, 0);
}

#[test]
fn copies_are_named_and_those_that_cross_are_leaks() {
    let job = pictures_job();
    let whole = job.prepare().unwrap().manifest;
    // An image of the test side, and one trained on.
    let number = |image: &str| -> u32 {
        image
            .trim_start_matches("i/")
            .trim_end_matches(".png")
            .parse()
            .unwrap()
    };
    let side = |test: bool| {
        let mut rows = whole.rows.iter().filter(move |row| row.client.is_none() == test);
        number(&rows.next().unwrap().image)
    };
    let (test, train) = (side(true), side(false));
    let own = (0..48)
        .step_by(2)
        .find(|other| ![test, train].contains(other) && ![test, train].contains(&(other + 1)));
    let own = own.unwrap();
    copy(&job, own, own + 1);
    copy(&job, train, test);
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let name = |number: u32| format!("i/{number}.png");
    let mut expected = [
        (own, group(&[&name(own), &name(own + 1)], false, false)),
        (
            train.min(test),
            group(&[&name(train.min(test)), &name(train.max(test))], true, true),
        ),
    ];
    expected.sort_by_key(|(first, _)| *first);
    assert_eq!(prepared.manifest.duplicates, expected.map(|(_, group)| group));
    assert_eq!(job.stats().leaks, 1);
}

#[test]
fn a_copy_that_crosses_ends_a_job_that_refuses_them() {
    let mut job = pictures_job();
    job.config.quality.duplicates = Duplicates::Refuse;
    copy(&job, 0, 1);
    job.prepare().unwrap();
    copy(&job, 10, 40);
    job.config.dataset = "other".parse().unwrap();
    for name in job.outputs().keys() {
        fs::remove_file(job.path(name)).unwrap();
    }
    let error = job.refused(
        JobExit::DataUnfit,
        &[
            "`i/10.png`, `i/40.png` have the same pixels",
            "of several patients",
        ],
    );
    assert!(error.help.is_some());
}

#[test]
fn an_image_that_looks_like_that_of_another_patient_is_named() {
    let mut job = pictures_job();
    job.config.image.size = 32;
    // Large smooth shapes, as radiographs have.
    for number in 0..48 {
        let image = smooth(number, 1.0);
        png(&job.path(&format!("source/i/{number}.png")), &image);
    }
    png(&job.path("source/i/40.png"), &smooth(10, 0.8));
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let [group] = prepared.manifest.duplicates.as_slice() else {
        panic!("{:?}", prepared.manifest.duplicates);
    };
    assert_eq!(
        (group.kind, group.across_patients),
        (DuplicateKind::Perceptual, true)
    );
    assert_eq!(group.images, ["i/10.png", "i/40.png"]);
    assert_eq!(job.stats().leaks, 1);
}

/// Waves of the number's own directions and lengths, of some contrast.
fn smooth(number: u32, contrast: f64) -> DynamicImage {
    let wave = |x: u32, y: u32, nth: u32| {
        let mixed = (number * 8 + nth + 1).wrapping_mul(2_654_435_761);
        let [a, b, c, _] = mixed.to_be_bytes().map(|byte| f64::from(byte) / 256.0 - 0.5);
        (0.9 * a * f64::from(x) + 0.9 * b * f64::from(y) + 6.0 * c).sin()
    };
    let grey = GrayImage::from_fn(64, 64, |x, y| {
        let sum: f64 = (0..8).map(|nth| wave(x, y, nth)).sum();
        Luma([(128.0 + 15.0 * contrast * sum) as u8])
    });
    DynamicImage::ImageLuma8(grey)
}
