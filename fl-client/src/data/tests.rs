//! `prepare` and `stats` as jobs: on images made here, and on real radiographs where they are.

mod dicom;
mod duplicates;
mod made;
mod parts;
mod quality;
mod real;
mod resume;
mod splits;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::PathBuf,
};

use contract::{
    args::{PrepareArgs, StatsArgs},
    dataset::{DatasetConfig, DatasetStats, Manifest, Source, Split, Task},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, read_json, write_json},
    tensors::TensorKind,
    training::Target,
};
use image::{DynamicImage, GrayImage, Luma};
use tempfile::TempDir;

use super::{
    Shard,
    fixtures::{phantom_config, png, text},
    manifest, prepare, stats,
};

/// A folder to run jobs in.
struct Job {
    dir: TempDir,
    config: DatasetConfig,
}

impl Job {
    fn new(config: DatasetConfig) -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shard(&self, client: u32) -> PathBuf {
        self.path(&format!("c{client}.safetensors"))
    }

    fn args(&self, shards: u32) -> PrepareArgs {
        let name = |path: PathBuf| path.to_str().unwrap().to_owned();
        PrepareArgs {
            config: name(self.path("dataset.json")).as_str().into(),
            salt: None,
            threads: None,
            manifest: name(self.path("manifest.json")).as_str().into(),
            shards: (0..shards)
                .map(|client| name(self.shard(client)).as_str().into())
                .collect(),
            part: None,
            program: None,
            test_shard: Some(name(self.path("test.safetensors")).as_str().into()),
            validation_shard: self.config.validation.map(|_| {
                let path = name(self.path("validation.safetensors"));
                path.as_str().into()
            }),
        }
    }

    fn prepare(&self) -> Result<Prepared, JobError> {
        write_json(&self.path("dataset.json"), &self.config).unwrap();
        prepare::run(&self.args(self.config.clients))?;
        Ok(self.opened())
    }

    /// What a job that ended well has left.
    fn opened(&self) -> Prepared {
        let open = |path: PathBuf| Shard::open(&path).unwrap();
        Prepared {
            manifest: manifest::read(&self.path("manifest.json")).unwrap(),
            clients: (0..self.config.clients)
                .map(|client| open(self.shard(client)))
                .collect(),
            validation: (self.config.validation).map(|_| open(self.path("validation.safetensors"))),
            test: open(self.path("test.safetensors")),
        }
    }

    /// The bytes of every output, by name; nothing else may be beside them but what the job was given.
    #[track_caller]
    fn outputs(&self) -> BTreeMap<String, Vec<u8>> {
        let mut outputs = BTreeMap::new();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_str().unwrap().to_owned();
            if !matches!(name.as_str(), "dataset.json" | "source" | "salt") {
                outputs.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        let names: Vec<_> = outputs.keys().map(String::as_str).collect();
        let mut expected: Vec<_> = (0..self.config.clients)
            .map(|client| format!("c{client}.safetensors"))
            .collect();
        expected.extend(["manifest.json".to_owned(), "test.safetensors".to_owned()]);
        expected.extend(
            self.config
                .validation
                .map(|_| "validation.safetensors".to_owned()),
        );
        assert_eq!(names, expected);
        outputs
    }

    /// Runs a job that must fail, and leave nothing behind.
    #[track_caller]
    fn refused(&self, exit: JobExit, parts: &[&str]) -> JobError {
        let error = self
            .prepare()
            .err()
            .expect("a job that cannot be done ended well");
        assert_eq!(error.exit, exit, "{error}");
        for part in parts {
            assert!(error.message.contains(part), "`{error}` lacks `{part}`");
        }
        let left = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left
            .filter(|name| name.to_str().is_some_and(|name| name.ends_with("safetensors")))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert!(!self.path("manifest.json").exists());
        error
    }

    fn stats(&self) -> DatasetStats {
        let name = |name: &str| self.path(name).to_str().unwrap().to_owned();
        stats::run(&StatsArgs {
            manifest: name("manifest.json").as_str().into(),
            stats: name("stats.json").as_str().into(),
        })
        .unwrap();
        read_json(&self.path("stats.json"), 1 << 20).unwrap()
    }
}

struct Prepared {
    manifest: Manifest,
    clients: Vec<Shard>,
    validation: Option<Shard>,
    test: Shard,
}

impl Prepared {
    /// Asserts that shards hold what the manifest says, in its order, and that no patient is in two places.
    ///
    /// Written without the code that verifies manifests.
    #[track_caller]
    fn assert_sound(&self) {
        let Self {
            manifest,
            clients,
            validation,
            test,
        } = self;
        let mut places = HashMap::new();
        for row in &manifest.rows {
            let place = (row.split, row.client);
            assert_eq!(row.client.is_some(), row.split == Split::Train, "{row:?}");
            assert_eq!(
                *places.entry(&row.patient).or_insert(place),
                place,
                "patient in two places: {row:?}"
            );
        }
        let images: BTreeSet<_> = manifest.rows.iter().map(|row| &row.image).collect();
        assert_eq!(images.len(), manifest.rows.len());
        let shards = clients
            .iter()
            .enumerate()
            .map(|(client, shard)| (Split::Train, Some(ClientId(client as u32)), shard));
        let held = validation.iter().map(|shard| (Split::Validation, None, shard));
        let held = held.chain([(Split::Test, None, test)]);
        for (split, client, shard) in shards.chain(held) {
            let rows = || {
                let rows = manifest.rows.iter();
                rows.filter(move |row| (row.split, row.client) == (split, client))
            };
            assert_eq!(shard.split(), split);
            let labels: Vec<u8> = match manifest.target {
                Target::Classes => rows().map(|row| row.labels[0] as u8).collect(),
                Target::Labels => rows()
                    .flat_map(|row| {
                        let names = 0..manifest.classes.len() as u32;
                        names.map(|label| u8::from(row.labels.contains(&label)))
                    })
                    .collect(),
            };
            assert_eq!(shard.labels(), labels);
            assert_eq!(shard.header().target, manifest.target);
            assert_eq!(shard.source_digest(), manifest.source_digest);
            // The same patient has the same hash, and no two have one.
            let rows = rows();
            let whose: HashSet<_> = rows.map(|row| &row.patient).zip(shard.patients()).collect();
            let hashes: HashSet<_> = whose.iter().map(|(_, hash)| *hash).collect();
            let patients: HashSet<_> = whose.iter().map(|(patient, _)| *patient).collect();
            assert_eq!((whose.len(), whose.len()), (hashes.len(), patients.len()));
            assert_eq!(shard.num_patients(), patients.len() as u64);
            let header = shard.header();
            assert_eq!(
                (header.kind, header.client, header.round),
                (TensorKind::Shard, client, None)
            );
            assert_eq!(header.classes, manifest.classes);
            assert_eq!(header.synthetic, manifest.synthetic);
            assert_eq!(header.spec_digest, manifest.spec_digest);
        }
    }
}

/// An image of 6 × 7 pixels that is like no other with another number, in what is seen of it either.
fn picture(number: u32) -> DynamicImage {
    let mut state = u64::from(number) + 1;
    let grey = GrayImage::from_fn(6, 7, |_, _| {
        // Steele and Vigna's SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Luma([(mixed ^ (mixed >> 31)) as u8])
    });
    DynamicImage::ImageLuma8(grey)
}

/// A job on a table of 24 patients with two pictures each, `i/0.png` to `i/47.png`; every third patient has a mass.
fn pictures_job() -> Job {
    let mut job = Job::new(phantom_config());
    let mut table = "file,who,finding\n".to_owned();
    for number in 0..48 {
        png(&job.path(&format!("source/i/{number}.png")), &picture(number));
        let patient = number / 2;
        let finding = if patient.is_multiple_of(3) {
            "Mass"
        } else {
            "Normal"
        };
        table += &format!("i/{number}.png,identifier-of-patient-{patient},{finding}\n");
    }
    job.config.source = Source::Table {
        csv: text(&job.path("source"), "table.csv", &table)
            .to_str()
            .unwrap()
            .to_owned(),
        image: "file".to_owned(),
        patient: "who".to_owned(),
        site: None,
        labels: vec!["finding".to_owned()],
    };
    job.config.task = normal_or_not();
    job.config.image.size = 6;
    job
}

fn normal_or_not() -> Task {
    Task::Binary {
        negative: vec!["Normal".to_owned()],
    }
}
