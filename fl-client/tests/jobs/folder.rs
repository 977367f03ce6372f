//! Shards of drawn squares, arguments of jobs, and the binary run in a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use contract::{
    args::{BaselineArgs, EvaluateArgs, InitArgs, Job, TrainArgs},
    dataset::{Depth, Split},
    ids::{ClientId, DatasetName, Round, Seed},
    job::Failure,
    metrics::Metrics,
    names::FAILURE_FILE,
    tensors::{Header, TensorKind},
    training::{Arch, BaselineKind, Optimizer},
    units::SampleCount,
};
use fl_client::{
    data::shard,
    model::{Input, Model, ModelFile},
};
use safetensors::SafeTensors;

pub const SIDE: u32 = 12;
pub const SGD: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.9,
    nesterov: false,
    weight_decay: 1e-4,
};

/// A folder with shards of two clients and a test shard; class 1 has a bright square where class 0 is dark.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.shard("c0.st", "nih", Some(ClientId(0)), 22);
        folder.shard("c1.st", "nih", Some(ClientId(1)), 10);
        folder.shard("test.st", "nih", None, 17);
        folder.shard("other.st", "tcia", None, 9);
        folder.recipe("recipe.json", |_| ());
        folder
    }

    /// Writes a recipe: plain training in batches of 4, with what `change` makes of it.
    pub fn recipe(
        &self,
        name: &str,
        change: impl FnOnce(&mut contract::recipe::Recipe),
    ) -> contract::argv::InputFile {
        let mut recipe = contract::recipe::Recipe::plain(4, SGD);
        change(&mut recipe);
        contract::job::write_json(&self.path(name), &recipe).unwrap();
        name.into()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn shard(&self, name: &str, dataset: &str, client: Option<ClientId>, samples: u8) {
        let labels: Vec<u8> = (0..samples).map(|sample| sample % 2).collect();
        let header = Header {
            kind: TensorKind::Shard,
            dataset: dataset.parse().unwrap(),
            experiment: "e1".parse().unwrap(),
            spec_digest: "ab".repeat(32).parse().unwrap(),
            synthetic: true,
            round: None,
            client,
            num_samples: SampleCount(u64::from(samples)),
            arch: None,
            channels: 1,
            image_size: SIDE,
            target: contract::training::Target::Classes,
            num_classes: 2,
            classes: vec!["dark".to_owned(), "bright".to_owned()],
            normalize: Some((0.5, 0.25)),
        };
        let contents = shard::Contents {
            header: &header,
            split: if client.is_some() {
                Split::Train
            } else {
                Split::Test
            },
            depth: Depth::U8,
            labels: &labels,
            patients: &vec![[0; 16]; labels.len()],
            source_digest: &"0".repeat(64),
        };
        shard::write(&self.path(name), &contents, |rows| {
            labels
                .iter()
                .enumerate()
                .try_for_each(|(sample, label)| rows.push(&picture(sample, *label)))
        })
        .unwrap();
    }

    /// Runs the binary in the folder.
    pub fn command(&self, argv: &[String]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fl-client"))
            .args(argv)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    pub fn run(&self, job: &Job) -> Output {
        self.command(&job.to_argv())
    }

    pub fn succeed(&self, job: &Job) {
        let output = self.run(job);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Exit code, what stderr says, and the failure file, which must agree.
    pub fn fail(&self, job: &Job) -> (i32, String) {
        let before = self.files();
        let output = self.run(job);
        let (code, stderr) = (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        let failure: Failure = contract::job::read_json(&self.path(FAILURE_FILE), 1 << 20).unwrap();
        assert_eq!(i32::from(failure.exit), code);
        assert!(stderr.contains(&failure.message), "{stderr}");
        assert_eq!(self.files(), before, "a failed job leaves no outputs");
        (code, stderr)
    }

    /// Every file but the failure file.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != FAILURE_FILE);
        names.sort();
        names
    }

    pub fn metrics(&self, name: &str) -> Metrics {
        contract::job::read_json(&self.path(name), 1 << 20).unwrap()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn metadata(&self, name: &str) -> BTreeMap<String, String> {
        let bytes = self.bytes(name);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        metadata.metadata().clone().unwrap().into_iter().collect()
    }

    pub fn header(&self, name: &str) -> Header {
        let map = self.metadata(name);
        Header::from_metadata(|key| map.get(key).map(String::as_str)).unwrap()
    }

    /// Copies a global model as that of another round.
    pub fn as_model_of_round(&self, from: &str, to: &str, round: Round) {
        let path = self.path(from);
        let file = ModelFile::open(&path).unwrap();
        let header = file.header().unwrap();
        let input = Input {
            channels: header.channels,
            image_size: header.image_size,
            classes: header.num_classes,
        };
        let model = Model::new(header.arch.unwrap(), input).unwrap();
        let header = Header {
            round: Some(round),
            ..header
        };
        let weights = file.weights(&model).unwrap();
        weights.save(&self.path(to), &header, &model).unwrap();
    }
}

pub fn picture(sample: usize, label: u8) -> Vec<u8> {
    let bright = |x: u32, y: u32| label == 1 && (4..8).contains(&x) && (4..8).contains(&y);
    let noise = |x: u32, y: u32| (x * 31 + y * 17 + sample as u32 * 57) % 97;
    let pixel = |at| {
        let (x, y) = (at % SIDE, at / SIDE);
        (noise(x, y) + if bright(x, y) { 150 } else { 20 }) as u8
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

pub fn nih() -> DatasetName {
    "nih".parse().unwrap()
}

pub fn init(arch: Arch) -> InitArgs {
    InitArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        arch,
        channels: 1,
        image_size: SIDE,
        classes: 2,
        target: None,
        seed: Seed(3),
        weights: None,
        head: None,
        global: "g0.st".into(),
    }
}

pub fn train() -> TrainArgs {
    TrainArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        round: Round(1),
        client: ClientId(0),
        epochs: 6,
        recipe: "recipe.json".into(),
        seed: Seed(9),
        threads: Some(2),
        device: None,
        progress: None,
        checkpoint: None,
        global: "g0.st".into(),
        shard: "c0.st".into(),
        encoding: None,
        residual_in: None,
        residual_out: None,
        personal_in: None,
        personal_out: None,
        control: None,
        secret_key: None,
        public_keys: Vec::new(),
        absence: None,
        update: "u.st".into(),
        metrics: "u.json".into(),
    }
}

pub fn evaluate() -> EvaluateArgs {
    EvaluateArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        test_dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        round: Round(0),
        batch_size: 5,
        threads: None,
        global: "g0.st".into(),
        client: None,
        personal: None,
        shard: "test.st".into(),
        validation_shard: None,
        seed: None,
        device: None,
        predictions: None,
        metrics: "e.json".into(),
    }
}

pub fn baseline(kind: BaselineKind, client: Option<ClientId>, shards: &[&str]) -> BaselineArgs {
    BaselineArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        kind,
        client,
        epochs: 6,
        epochs_per_round: 1,
        recipe: "recipe.json".into(),
        seed: Seed(9),
        threads: None,
        device: None,
        progress: None,
        checkpoint: None,
        global: "g0.st".into(),
        shards: shards.iter().map(|shard| (*shard).into()).collect(),
        test_shard: "test.st".into(),
        validation_shard: None,
        model: "b.st".into(),
        metrics: "b.json".into(),
    }
}
