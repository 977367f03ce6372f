//! Images that cannot be used, what shards tell of patients, and depths.

use std::fs;

use contract::{
    dataset::{Depth, Skipped},
    exit::JobExit,
    job::write_json,
};

use super::{Job, picture, pictures_job, prepare};
use crate::data::{fixtures::png, shard::Pixels};

/// Cuts an image in half.
fn cut(job: &Job, number: u32) {
    let path = job.path(&format!("source/i/{number}.png"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
}

fn remove(job: &Job, number: u32) {
    fs::remove_file(job.path(&format!("source/i/{number}.png"))).unwrap();
}

#[test]
fn images_that_cannot_be_used_are_skipped_and_named_and_the_rest_is_as_without_them() {
    let mut job = pictures_job();
    job.config.quality.unusable = 0.1;
    cut(&job, 7);
    remove(&job, 20);
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    let skipped: Vec<_> = prepared
        .manifest
        .skipped
        .iter()
        .map(|skipped| skipped.image.as_str())
        .collect();
    assert_eq!(skipped, ["i/7.png", "i/20.png"]);
    for (Skipped { reason, .. }, part) in prepared.manifest.skipped.iter().zip(["PNG", "No such file"]) {
        assert!(reason.to_lowercase().contains(&part.to_lowercase()), "{reason}");
        assert!(!reason.contains("source"), "a reason repeats the path: {reason}");
    }
    assert_eq!(prepared.manifest.rows.len(), 46);
    assert_eq!(job.stats().skipped, 2);
    // Each image left is where it was, with the pixels it had.
    let whole = pictures_job();
    let before = whole.prepare().unwrap();
    let kept = before
        .manifest
        .rows
        .iter()
        .filter(|row| !skipped.contains(&row.image.as_str()));
    assert!(kept.eq(&prepared.manifest.rows));
    assert_ne!(before.manifest.source_digest, prepared.manifest.source_digest);
    for (row, pixels) in rows_and_pixels(&prepared) {
        let number = row
            .trim_start_matches("i/")
            .trim_end_matches(".png")
            .parse()
            .unwrap();
        let path = job.path("alone/source/i/0.png");
        png(&path, &picture(number));
        let alone = crate::data::decode::square(&path, None, &job.config.image).unwrap();
        assert_eq!(pixels, alone.pixels, "{row}");
    }
}

/// Every image of the manifest with its pixels in a shard.
fn rows_and_pixels(prepared: &super::Prepared) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let clients = prepared.clients.iter().enumerate();
    let clients = clients.map(|(client, shard)| (Some(contract::ids::ClientId(client as u32)), shard));
    for (client, shard) in clients.chain([(None, &prepared.test)]) {
        let rows = prepared.manifest.rows.iter().filter(|row| row.client == client);
        let pixels = shard.images().chunks(shard.images().len() / shard.len());
        found.extend(
            rows.zip(pixels)
                .map(|(row, pixels)| (row.image.clone(), pixels.to_vec())),
        );
    }
    found
}

#[test]
fn more_unusable_images_than_tolerated_end_the_job_and_a_larger_share_goes_on_from_there() {
    let mut job = pictures_job();
    job.config.quality.unusable = 0.05;
    for number in [7, 8, 30] {
        cut(&job, number);
    }
    let error = job.refused(
        JobExit::InputInvalid,
        &["of 48 images cannot be used", "share of 0.05", "`i/"],
    );
    assert!(error.help.is_some());
    job.config.quality.unusable = 0.07;
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.skipped.len(), 3);
    job.outputs();
}

#[test]
fn what_was_skipped_with_tolerance_ends_a_job_without() {
    let mut job = pictures_job();
    job.config.quality.unusable = 0.5;
    cut(&job, 7);
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let args = job.args(2);
    let pace = prepare::Pace {
        chunk: 6 * 36,
        after: &|step| assert_ne!(step, prepare::Step::Manifest, "killed"),
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prepare::attempt(&args, &pace))).unwrap_err();
    fs::remove_file(job.path("manifest.json")).unwrap();
    job.config.quality.unusable = 0.0;
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::attempt(
        &args,
        &prepare::Pace {
            chunk: 6 * 36,
            after: &|_| {},
        },
    )
    .unwrap_err();
    assert_eq!(error.exit, JobExit::InputInvalid);
    for part in ["line 9 of", "table.csv", "i/7.png"] {
        assert!(error.message.contains(part), "`{error}` lacks `{part}`");
    }
}

#[test]
fn a_client_or_side_that_skipping_leaves_empty_is_refused() {
    let mut job = pictures_job();
    let whole = job.prepare().unwrap();
    job.config.quality.unusable = 0.9;
    let lost = |client: Option<u32>, class: Option<u32>| {
        let job = Job {
            config: job.config.clone(),
            ..pictures_job()
        };
        let mut job = job;
        job.config.source = pictures_source(&job);
        for row in &whole.manifest.rows {
            if row.client.map(|client| client.0) == client && class.is_none_or(|class| row.labels == [class])
            {
                fs::write(job.path(&format!("source/{}", row.image)), "no image").unwrap();
            }
        }
        job.refused(JobExit::DataUnfit, &["images that cannot be used"])
            .message
    };
    assert!(lost(Some(1), None).contains("client 1 has 0 images"));
    assert!(lost(None, Some(1)).contains("test images has the class"));
    assert!(lost(None, None).contains("the test side has no images"));
}

/// The table of a job's own folder.
fn pictures_source(job: &Job) -> contract::dataset::Source {
    contract::dataset::Source::Table {
        csv: job.path("source/table.csv").to_str().unwrap().to_owned(),
        image: "file".to_owned(),
        patient: "who".to_owned(),
        site: None,
        labels: vec!["finding".to_owned()],
    }
}

#[test]
fn sixteen_bits_a_pixel_keep_what_eight_bits_show() {
    let (eight, mut sixteen) = (pictures_job(), pictures_job());
    sixteen.config.image.depth = Depth::U16;
    let (eight, sixteen) = (eight.prepare().unwrap(), sixteen.prepare().unwrap());
    sixteen.assert_sound();
    assert_eq!(eight.manifest.rows, sixteen.manifest.rows);
    assert_eq!(sixteen.test.depth(), Depth::U16);
    let (Pixels::U8(eight), Pixels::U16(sixteen)) = (eight.test.pixels(), sixteen.test.pixels()) else {
        panic!("depths are not those asked for");
    };
    assert_eq!(eight.len(), sixteen.len());
    for (eight, sixteen) in eight.iter().zip(sixteen) {
        let sixteen = f64::from(u16::from_le_bytes(*sixteen)) / 257.0;
        assert!((f64::from(*eight) - sixteen).abs() <= 1.0, "{eight} {sixteen}");
    }
}

#[test]
fn shards_name_no_patient_no_image_and_no_path() {
    let job = pictures_job();
    let prepared = job.prepare().unwrap();
    let mut words: Vec<String> = vec![
        "identifier".to_owned(),
        ".png".to_owned(),
        "table".to_owned(),
        job.dir.path().to_str().unwrap().to_owned(),
    ];
    for row in &prepared.manifest.rows {
        words.extend([row.patient.clone(), row.image.clone()]);
    }
    for (name, bytes) in job.outputs() {
        let holds = |word: &String| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let found: Vec<_> = words.iter().filter(|word| holds(word)).collect();
        // The manifest does name them: what is looked for can be found.
        assert_eq!(
            found.is_empty(),
            name != "manifest.json",
            "{name} names {found:?}"
        );
    }
}

#[test]
fn a_secret_of_the_site_changes_the_hashes_of_patients_and_nothing_else() {
    let (plain, salted) = (pictures_job(), pictures_job());
    plain.prepare().unwrap();
    fs::write(salted.path("salt"), [9; 32]).unwrap();
    let mut args = salted.args(2);
    args.salt = Some(salted.path("salt").to_str().unwrap().into());
    write_json(&salted.path("dataset.json"), &salted.config).unwrap();
    prepare::run(&args).unwrap();
    let (plain, salted) = (plain.opened(), salted.opened());
    salted.assert_sound();
    assert_eq!(plain.test.images(), salted.test.images());
    assert_eq!(plain.test.labels(), salted.test.labels());
    assert_eq!(plain.manifest, salted.manifest);
    let pairs = plain.test.patients().iter().zip(salted.test.patients());
    assert!(pairs.clone().count() > 0 && pairs.clone().all(|(a, b)| a != b));
}
