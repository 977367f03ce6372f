//! `prepare` and `stats` as jobs: on images made here, and on real radiographs where they are.

mod made;
mod real;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::PathBuf,
};

use contract::{
    args::{PrepareArgs, StatsArgs},
    dataset::{DatasetConfig, DatasetStats, Manifest, Split, Task},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, read_json, write_json},
    tensors::TensorKind,
};
use tempfile::TempDir;

use super::{Shard, manifest, prepare, stats};

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
            manifest: name(self.path("manifest.json")).as_str().into(),
            shards: (0..shards)
                .map(|client| name(self.shard(client)).as_str().into())
                .collect(),
            test_shard: name(self.path("test.safetensors")).as_str().into(),
        }
    }

    fn prepare(&self) -> Result<Prepared, JobError> {
        write_json(&self.path("dataset.json"), &self.config).unwrap();
        prepare::run(&self.args(self.config.clients))?;
        let open = |path: PathBuf| Shard::open(&path).unwrap();
        Ok(Prepared {
            manifest: manifest::read(&self.path("manifest.json")).unwrap(),
            clients: (0..self.config.clients)
                .map(|client| open(self.shard(client)))
                .collect(),
            test: open(self.path("test.safetensors")),
        })
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
            .map(|(client, shard)| (Some(ClientId(client as u32)), shard));
        for (client, shard) in shards.chain([(None, test)]) {
            let rows = manifest.rows.iter().filter(|row| row.client == client);
            let classes: Vec<u8> = rows.map(|row| row.class as u8).collect();
            assert_eq!(shard.labels(), classes);
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

fn normal_or_not() -> Task {
    Task::Binary {
        negative: vec!["Normal".to_owned()],
    }
}
