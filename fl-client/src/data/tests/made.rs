//! Jobs on images made here: what they write, and how each of them fails.

use std::{fs, path::Path};

use contract::{
    dataset::{Partition, Source, Split, Task, TestSplit},
    exit::JobExit,
    ids::{ClientId, Seed},
    job::write_json,
};
use image::{DynamicImage, GrayImage, Luma};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Job, normal_or_not, prepare};
use crate::data::fixtures::{phantom_config, png, text};

/// A table of `patients` with `images` each, whose pixels are all the image's number, in a folder of its own.
fn made_table(dir: &Path, patients: u32, images: u32) -> Source {
    let mut table = "file,who,hospital,fold,finding\n".to_owned();
    for number in 0..patients * images {
        let patient = number / images;
        let grey = GrayImage::from_pixel(5 + number % 3, 7, Luma([number as u8]));
        png(
            &dir.join(format!("i/{number}.png")),
            &DynamicImage::ImageLuma8(grey),
        );
        let (site, fold) = (patient % 2, ["a", "b", "c", "d"][(patient / 2 % 4) as usize]);
        let finding = if patient.is_multiple_of(3) {
            "Mass"
        } else {
            "Normal"
        };
        table += &format!("i/{number}.png,p{patient},h{site},{fold},{finding}\n");
    }
    Source::Table {
        csv: text(dir, "table.csv", &table).to_str().unwrap().to_owned(),
        image: "file".to_owned(),
        patient: "who".to_owned(),
        site: Some("hospital".to_owned()),
        labels: vec!["finding".to_owned()],
    }
}

fn column(train: &[&str], test: &[&str]) -> TestSplit {
    let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    TestSplit::Column {
        name: "fold".to_owned(),
        train: owned(train),
        test: owned(test),
    }
}

/// A job on a made table of 24 patients with two images each.
fn table_job() -> Job {
    let mut job = Job::new(phantom_config());
    job.config.source = made_table(&job.path("source"), 24, 2);
    job.config.task = normal_or_not();
    job.config.image.size = 4;
    job
}

#[test]
fn every_shard_holds_the_pixels_of_its_rows_in_the_order_of_the_manifest() {
    let job = table_job();
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.rows.len(), 48);
    for (client, shard) in prepared.clients.iter().enumerate() {
        let rows = prepared
            .manifest
            .rows
            .iter()
            .filter(|row| row.client == Some(ClientId(client as u32)));
        for (row, pixels) in rows.zip(shard.images().chunks(16)) {
            let number: u8 = row
                .image
                .trim_start_matches("i/")
                .trim_end_matches(".png")
                .parse()
                .unwrap();
            assert_eq!(pixels, [number; 16], "{row:?}");
        }
    }
    assert!(!prepared.test.header().synthetic);
}

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_gives_others() {
    let (one, two, mut other) = (table_job(), table_job(), table_job());
    other.config.seed = Seed(8);
    let files = |job: &Job| {
        job.prepare().unwrap();
        [
            "c0.safetensors",
            "c1.safetensors",
            "test.safetensors",
            "manifest.json",
        ]
        .map(|name| fs::read(job.path(name)).unwrap())
    };
    assert_eq!(files(&one), files(&two));
    assert_ne!(files(&one)[3], files(&other)[3]);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let job = table_job();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| job.prepare().map(drop)).unwrap();
        fs::read(job.shard(0)).unwrap()
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn drawn_radiographs_are_marked_synthetic_everywhere() {
    let mut job = Job::new(phantom_config());
    job.config.partition = Partition::Natural;
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert!(prepared.manifest.synthetic && prepared.test.header().synthetic);
    assert!(prepared.clients.iter().all(|shard| shard.header().synthetic));
    assert!(job.stats().synthetic);
    // Patients are dealt to institutions in turn, and an institution is a client.
    for row in prepared
        .manifest
        .rows
        .iter()
        .filter(|row| row.split == Split::Train)
    {
        let number: u32 = row.patient.trim_start_matches('p').parse().unwrap();
        assert_eq!(row.client, Some(ClientId(number % 2)));
    }
}

#[test]
fn institutions_become_clients_in_the_order_of_their_names() {
    let mut job = table_job();
    job.config.partition = Partition::Natural;
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    for row in prepared
        .manifest
        .rows
        .iter()
        .filter(|row| row.split == Split::Train)
    {
        let patient: u32 = row.patient.trim_start_matches('p').parse().unwrap();
        assert_eq!(row.client, Some(ClientId(patient % 2)));
    }
    job.config.clients = 3;
    let job = Job {
        dir: TempDir::new().unwrap(),
        config: job.config,
    };
    job.refused(JobExit::DataUnfit, &["2 institutions", "3 clients"]);
}

#[test]
fn a_folder_of_labels_is_prepared() {
    let mut job = Job::new(phantom_config());
    let root = job.path("source");
    for number in 0..12 {
        let label = if number % 2 == 0 { "normal" } else { "mass" };
        let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(8, 8, Luma([number])));
        png(&root.join(format!("{label}/{number}.png")), &image);
    }
    job.config.source = Source::Folder {
        root: root.to_str().unwrap().to_owned(),
    };
    job.config.task = Task::Multiclass {
        classes: vec!["normal".to_owned(), "mass".to_owned()],
    };
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.rows[0].image, "mass/1.png");
    assert_eq!(prepared.manifest.rows[0].labels, [1]);
}

#[test]
fn the_sources_own_split_is_kept_and_other_rows_are_counted() {
    let mut job = table_job();
    job.config.test = column(&["a", "b"], &["c"]);
    let prepared = job.prepare().unwrap();
    prepared.assert_sound();
    assert_eq!(prepared.manifest.rows.len(), 36);
    assert_eq!(prepared.test.len(), 12);
    assert_eq!(
        prepared.manifest.left_out,
        [("split column says neither training nor testing".to_owned(), 12)].into()
    );
    assert_eq!(job.stats().left_out, prepared.manifest.left_out);
}

#[test]
fn a_patient_on_both_sides_of_a_split_column_is_refused_by_name() {
    let mut job = table_job();
    job.config.test = column(&["a", "b"], &["c"]);
    let table = job.path("source/table.csv");
    let leaking = fs::read_to_string(&table)
        .unwrap()
        .replacen("i/1.png,p0,h0,a", "i/1.png,p0,h0,c", 1);
    fs::write(&table, leaking).unwrap();
    let error = job.refused(
        JobExit::DataUnfit,
        &[
            "`fold` puts patient `p0` on both sides",
            "`i/0.png` and `i/1.png`",
        ],
    );
    assert!(error.help.is_some());
}

#[test]
fn a_side_without_images_or_classes_is_refused() {
    let mut job = table_job();
    job.config.test = column(&["a"], &["nobody"]);
    job.refused(JobExit::DataUnfit, &["the test side has no images"]);
    job.config.test = column(&["nobody"], &["a"]);
    job.refused(JobExit::DataUnfit, &["the training side has no images"]);
    // Two patients: whichever is held out, one side lacks a class.
    job.config.source = made_table(&job.path("small"), 2, 1);
    job.config.test = TestSplit::Fraction(0.5);
    job.config.clients = 1;
    let error = job.refused(
        JobExit::DataUnfit,
        &["none of the 1 training images has the class"],
    );
    assert!(error.help.is_some());
}

#[test]
fn more_clients_than_the_data_can_serve_are_refused_with_a_way_out() {
    let mut job = table_job();
    job.config.clients = 40;
    job.refused(JobExit::DataUnfit, &["use fewer clients"]);
    job.config.clients = 10;
    job.config.partition = Partition::Dirichlet {
        alpha: 0.5,
        min_size: 10,
    };
    job.refused(
        JobExit::DataUnfit,
        &["lower the minimum size, or use fewer clients"],
    );
    job.config.clients = 4;
    job.config.partition = Partition::Dirichlet {
        alpha: 0.01,
        min_size: 8,
    };
    job.refused(JobExit::DataUnfit, &["raise alpha"]);
}

#[test]
fn shards_that_are_not_one_per_client_are_refused_before_anything_is_read() {
    let mut job = table_job();
    job.config.source = Source::Folder {
        root: "/nowhere".to_owned(),
    };
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::run(&job.args(3)).unwrap_err();
    assert_eq!(error.exit, JobExit::Usage);
    assert!(
        error
            .message
            .contains("given 3 times, the settings have 2 clients"),
        "{error}"
    );
    let mut args = job.args(2);
    args.test_shard = Some(args.shards[1].clone());
    let error = prepare::run(&args).unwrap_err();
    assert_eq!(error.exit, JobExit::Usage);
    assert!(
        error.message.contains("c1.safetensors` is to be written twice"),
        "{error}"
    );
}

#[test]
fn a_missing_image_ends_the_job_naming_file_and_line() {
    let job = table_job();
    let gone = job.path("source/i/7.png");
    fs::remove_file(&gone).unwrap();
    fs::remove_file(job.path("source/i/9.png")).unwrap();
    let error = job.refused(
        JobExit::InputMissing,
        &["line 9 of", "table.csv", "`i/7.png` is not there; 2 of 48"],
    );
    assert_eq!(error.file, Some(gone));
    assert!(error.help.is_some());
}

#[test]
fn an_image_that_cannot_be_decoded_ends_the_job_naming_file_and_line() {
    let job = table_job();
    let broken = job.path("source/i/7.png");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    let error = prepare::run(&job.args(2)).unwrap_err();
    assert_eq!(error.exit, JobExit::InputInvalid);
    for part in ["line 9 of", "table.csv", "i/7.png", "cannot be decoded"] {
        assert!(error.message.contains(part), "`{error}` lacks `{part}`");
    }
    assert_eq!(error.file, Some(broken));
}

#[test]
fn a_manifest_never_stands_beside_shards_of_another_attempt() {
    let job = table_job();
    job.prepare().unwrap();
    fs::write(job.path("source/i/7.png"), "no image").unwrap();
    prepare::run(&job.args(2)).unwrap_err();
    assert!(!job.path("manifest.json").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_patient_is_never_split(
        patients in prop::collection::vec((0u32..12, any::<bool>()), 20..60),
        seed in any::<u64>(),
        fraction in 0.2f64..0.8,
        clients in 1u32..4,
        scheme in 0usize..3,
    ) {
        let mut job = Job::new(phantom_config());
        let image = DynamicImage::ImageLuma8(GrayImage::new(1, 1));
        let mut table = "file,who,a,b\n".to_owned();
        for (number, (patient, sick)) in patients.iter().enumerate() {
            png(&job.path(&format!("source/{number}.png")), &image);
            table += &format!("{number}.png,p{patient},{},0\n", u8::from(*sick));
        }
        job.config.source = Source::Table {
            csv: text(&job.path("source"), "table.csv", &table).to_str().unwrap().to_owned(),
            image: "file".to_owned(),
            patient: "who".to_owned(),
            site: None,
            labels: vec!["a".to_owned(), "b".to_owned()],
        };
        job.config.image.size = 1;
        job.config.test = TestSplit::Fraction(fraction);
        (job.config.clients, job.config.seed) = (clients, Seed(seed));
        job.config.partition = [Partition::Iid, Partition::PatientHash, Partition::Dirichlet { alpha: 1.0, min_size: 1 }][scheme];
        match job.prepare() {
            Ok(prepared) => prepared.assert_sound(),
            Err(error) => prop_assert_eq!(error.exit, JobExit::DataUnfit),
        }
    }
}
