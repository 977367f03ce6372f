//! Data at several sites: jobs that prepare a part each leave together what one job leaves of everything.

use std::{collections::BTreeSet, fs, path::PathBuf};

use contract::{
    args::PrepareArgs,
    dataset::{Duplicates, Manifest, Part, Source},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, write_json},
};

use super::{Job, manifest, pictures_job, prepare};
use crate::data::shard::{PatientHash, Shard};

/// What the part of a job reads and writes: a source that has the images of the part alone.
struct At {
    job: Job,
    args: PrepareArgs,
}

impl At {
    /// A place that has the table of `whole`, and the images that `whole` prepared of `part`.
    fn new(whole: &Manifest, part: &Part) -> Self {
        let mut job = pictures_job();
        job.config.validation = whole.validation.then_some(0.25);
        for row in whole.rows.iter().filter(|row| !part.has(row.client)) {
            fs::remove_file(job.path("source").join(&row.image)).unwrap();
        }
        let mut args = job.args(job.config.clients);
        args.part = Some(part.clone());
        match part {
            Part::HeldOut => args.shards.clear(),
            Part::Clients(clients) => {
                let shard = |client: &ClientId| args.shards[client.0 as usize].clone();
                args.shards = clients.iter().map(shard).collect();
                (args.test_shard, args.validation_shard) = (None, None);
            }
        }
        Self { job, args }
    }

    fn prepare(&self) -> Result<Manifest, JobError> {
        write_json(&self.job.path("dataset.json"), &self.job.config).unwrap();
        prepare::run(&self.args)?;
        Ok(manifest::read(&self.job.path("manifest.json")).unwrap())
    }
}

fn clients(numbers: &[u32]) -> Part {
    Part::Clients(numbers.iter().copied().map(ClientId).collect())
}

/// What a model is trained on: pixels, labels and whose they are.
fn samples(path: PathBuf) -> (Vec<u8>, Vec<u8>, Vec<PatientHash>) {
    let shard = Shard::open(&path).unwrap();
    (
        shard.images().to_vec(),
        shard.labels().to_vec(),
        shard.patients().to_vec(),
    )
}

#[test]
fn parts_make_the_shards_that_one_job_makes_from_their_own_images_alone() {
    let mut whole = pictures_job();
    whole.config.validation = Some(0.25);
    let all = whole.prepare().unwrap().manifest;
    assert_eq!(all.part, None);
    let same =
        |at: &At, name: &str| assert_eq!(samples(at.job.path(name)), samples(whole.path(name)), "{name}");
    for client in 0..2 {
        let part = clients(&[client]);
        let at = At::new(&all, &part);
        let manifest = at.prepare().unwrap();
        assert_eq!((manifest.part.as_ref(), &manifest.rows), (Some(&part), &all.rows));
        same(&at, &format!("c{client}.safetensors"));
        for other in [&format!("c{}.safetensors", 1 - client), "test.safetensors"] {
            assert!(!at.job.path(other).exists(), "{other}");
        }
    }
    let at = At::new(&all, &Part::HeldOut);
    assert_eq!(at.prepare().unwrap().rows, all.rows);
    same(&at, "test.safetensors");
    same(&at, "validation.safetensors");
    assert!(!at.job.path("c0.safetensors").exists());
    // What is counted is everybody's.
    assert_eq!(at.job.stats(), whole.stats());
}

#[test]
fn an_image_of_the_part_that_is_not_there_ends_the_job() {
    let all = pictures_job().prepare().unwrap().manifest;
    let at = At::new(&all, &clients(&[0]));
    let missing = all
        .rows
        .iter()
        .find(|row| row.client == Some(ClientId(0)))
        .unwrap();
    fs::remove_file(at.job.path("source").join(&missing.image)).unwrap();
    let error = at.prepare().unwrap_err();
    assert_eq!(error.exit, JobExit::InputMissing);
    assert!(error.message.contains(&missing.image), "{error}");
}

#[test]
fn flags_and_settings_that_no_part_can_have_are_refused() {
    let all = pictures_job().prepare().unwrap().manifest;
    let refused = |part: Part, change: &dyn Fn(&mut At), words: &str| {
        let mut at = At::new(&all, &part);
        change(&mut at);
        let error = at.prepare().unwrap_err();
        assert_eq!(error.exit, JobExit::Usage);
        assert!(error.message.contains(words), "{error}");
    };
    let other = |at: &mut At| at.args.part = Some(clients(&[0, 2]));
    refused(clients(&[0]), &other, "names client 2, the settings have 2");
    refused(
        clients(&[0]),
        &|at| at.args.shards.clear(),
        "the part `0` has 1 clients",
    );
    refused(
        Part::HeldOut,
        &|at| at.args.test_shard = None,
        "`--test-shard` is not given",
    );
    let tested = |at: &mut At| at.args.test_shard = Some("t".into());
    refused(clients(&[1]), &tested, "the part is of clients");
    let folder = |at: &mut At| {
        at.job.config.source = Source::Folder {
            root: "/images".to_owned(),
        }
    };
    refused(clients(&[0]), &folder, "only all files together");
    refused(
        clients(&[0]),
        &|at| at.job.config.quality.unusable = 0.5,
        "`quality`",
    );
    let duplicates = |at: &mut At| at.job.config.quality.duplicates = Duplicates::Refuse;
    refused(Part::HeldOut, &duplicates, "`quality`");
}

#[test]
fn a_part_reads_back_as_it_is_written() {
    for (part, word) in [(Part::HeldOut, "held_out"), (clients(&[0, 3, 11]), "0,3,11")] {
        assert_eq!(part.to_string(), word);
        assert_eq!(word.parse(), Ok(part));
    }
    for wrong in ["", "all", "1,0", "1,1", "-1", "0,"] {
        assert!(wrong.parse::<Part>().is_err(), "{wrong:?}");
    }
    assert_eq!(
        BTreeSet::from([clients(&[2]).has(None), Part::HeldOut.has(Some(ClientId(0)))]),
        BTreeSet::from([false])
    );
}
