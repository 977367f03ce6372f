//! The real binary: jobs one after another, and how each ends when its files are not what they should be.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use contract::{
    args::{BaselineArgs, EvaluateArgs, InitArgs, Job, TrainArgs},
    ids::{ClientId, DatasetName, Round, Seed},
    job::Failure,
    metrics::{Metrics, Subject},
    names::FAILURE_FILE,
    tensors::{Header, TensorKind},
    training::{Arch, BaselineKind, Optimizer},
    units::SampleCount,
};
use fl_client::data::shard;
use safetensors::SafeTensors;

const SIDE: u32 = 12;
const SGD: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.9,
    weight_decay: 1e-4,
};

/// A folder with shards of two clients and a test shard; class 1 has a bright square where class 0 is dark.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.shard("c0.st", "nih", Some(ClientId(0)), 22);
        folder.shard("c1.st", "nih", Some(ClientId(1)), 10);
        folder.shard("test.st", "nih", None, 17);
        folder.shard("other.st", "tcia", None, 9);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn shard(&self, name: &str, dataset: &str, client: Option<ClientId>, samples: u8) {
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
            num_classes: 2,
            classes: vec!["dark".to_owned(), "bright".to_owned()],
            normalize: Some((0.5, 0.25)),
        };
        shard::write(&self.path(name), &header, &labels, |rows| {
            labels
                .iter()
                .enumerate()
                .try_for_each(|(sample, label)| rows.push(&picture(sample, *label)))
        })
        .unwrap();
    }

    /// Runs the binary in the folder.
    fn command(&self, argv: &[String]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fl-client"))
            .args(argv)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn run(&self, job: &Job) -> Output {
        self.command(&job.to_argv())
    }

    fn succeed(&self, job: &Job) {
        let output = self.run(job);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Exit code, what stderr says, and the failure file, which must agree.
    fn fail(&self, job: &Job) -> (i32, String) {
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
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != FAILURE_FILE);
        names.sort();
        names
    }

    fn metrics(&self, name: &str) -> Metrics {
        contract::job::read_json(&self.path(name), 1 << 20).unwrap()
    }

    fn header(&self, name: &str) -> Header {
        let bytes = fs::read(self.path(name)).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let map = metadata.metadata().clone().unwrap();
        Header::from_metadata(|key| map.get(key).map(String::as_str)).unwrap()
    }
}

fn picture(sample: usize, label: u8) -> Vec<u8> {
    let bright = |x: u32, y: u32| label == 1 && (4..8).contains(&x) && (4..8).contains(&y);
    let noise = |x: u32, y: u32| (x * 31 + y * 17 + sample as u32 * 57) % 97;
    let pixel = |at| {
        let (x, y) = (at % SIDE, at / SIDE);
        (noise(x, y) + if bright(x, y) { 150 } else { 20 }) as u8
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

fn nih() -> DatasetName {
    "nih".parse().unwrap()
}

fn init(arch: Arch) -> InitArgs {
    InitArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        arch,
        channels: 1,
        image_size: SIDE,
        classes: 2,
        seed: Seed(3),
        weights: None,
        global: "g0.st".into(),
    }
}

fn train() -> TrainArgs {
    TrainArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        round: Round(1),
        client: ClientId(0),
        epochs: 6,
        batch_size: 4,
        optimizer: SGD,
        seed: Seed(9),
        threads: Some(2),
        global: "g0.st".into(),
        shard: "c0.st".into(),
        update: "u.st".into(),
        metrics: "u.json".into(),
    }
}

fn evaluate() -> EvaluateArgs {
    EvaluateArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        test_dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        round: Round(0),
        batch_size: 5,
        threads: None,
        global: "g0.st".into(),
        shard: "test.st".into(),
        metrics: "e.json".into(),
    }
}

fn baseline(kind: BaselineKind, client: Option<ClientId>, shards: &[&str]) -> BaselineArgs {
    BaselineArgs {
        experiment: "e1".parse().unwrap(),
        dataset: nih(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        kind,
        client,
        epochs: 6,
        batch_size: 4,
        optimizer: SGD,
        seed: Seed(9),
        threads: None,
        global: "g0.st".into(),
        shards: shards.iter().map(|shard| (*shard).into()).collect(),
        test_shard: "test.st".into(),
        model: "b.st".into(),
        metrics: "b.json".into(),
    }
}

#[test]
fn a_client_trains_and_its_update_says_what_it_is() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    folder.succeed(&Job::Train(train()));
    let header = folder.header("u.st");
    assert_eq!(header.kind, TensorKind::Update);
    assert_eq!((header.round, header.client), (Some(Round(1)), Some(ClientId(0))));
    assert_eq!(header.num_samples, SampleCount(22));
    assert!(header.synthetic && !folder.header("g0.st").synthetic);
    let metrics = folder.metrics("u.json");
    assert_eq!(metrics.num_samples, SampleCount(22));
    let Subject::Train { epoch_loss, .. } = metrics.subject else {
        panic!("{:?}", metrics.subject)
    };
    assert_eq!(epoch_loss.len(), 6);
    assert!(epoch_loss[5] < 0.5 * epoch_loss[0], "{epoch_loss:?}");
}

#[test]
fn a_centralized_baseline_learns_what_the_initial_model_does_not_know() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    folder.succeed(&Job::Evaluate(evaluate()));
    folder.succeed(&Job::Baseline(baseline(
        BaselineKind::Centralized,
        None,
        &["c0.st", "c1.st"],
    )));
    let (before, after) = (folder.metrics("e.json"), folder.metrics("b.json"));
    assert_eq!(folder.header("b.st").num_samples, SampleCount(32));
    assert_eq!(
        (before.num_samples, after.num_samples),
        (SampleCount(17), SampleCount(17))
    );
    let (before, after) = (before.scores.unwrap(), after.scores.unwrap());
    assert_eq!(after.auroc, Some(1.0));
    assert!(
        after.loss < 0.3 * before.loss,
        "{} after {}",
        after.loss,
        before.loss
    );
    assert_eq!(after.per_class[1].label, "bright");
    assert_eq!(after.per_class[1].support, 8);
}

#[test]
fn a_model_is_evaluated_on_another_dataset() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let tcia: DatasetName = "tcia".parse().unwrap();
    let args = EvaluateArgs {
        test_dataset: tcia.clone(),
        shard: "other.st".into(),
        ..evaluate()
    };
    folder.succeed(&Job::Evaluate(args.clone()));
    let metrics = folder.metrics("e.json");
    assert_eq!(metrics.dataset, Some(nih()));
    assert_eq!(
        metrics.subject,
        Subject::Evaluate {
            round: Round(0),
            test_dataset: tcia
        }
    );
    let (code, stderr) = folder.fail(&Job::Evaluate(EvaluateArgs {
        shard: "test.st".into(),
        ..args
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("its dataset is nih, expected tcia"), "{stderr}");
}

#[test]
fn the_same_job_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = Folder::new();
    for arch in [Arch::SmallCnn, Arch::Resnet18] {
        folder.succeed(&Job::Init(init(arch)));
        let outputs = |threads| {
            folder.succeed(&Job::Train(TrainArgs {
                threads: Some(threads),
                epochs: 2,
                ..train()
            }));
            ["g0.st", "u.st", "u.json"].map(|name| fs::read(folder.path(name)).unwrap())
        };
        let one = outputs(1);
        for threads in [1, 2, 4] {
            assert!(outputs(threads) == one, "{arch} on {threads} threads");
        }
    }
}

#[test]
fn another_clients_shard_is_refused_with_both_clients_named() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        shard: "c1.st".into(),
        ..train()
    }));
    assert_eq!(code, 11);
    assert!(
        stderr.contains("`c1.st`: its client is 1, expected 0"),
        "{stderr}"
    );
    assert!(stderr.contains("help: pass the shard"), "{stderr}");
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        shard: "test.st".into(),
        ..train()
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("its client is none, expected 0"), "{stderr}");
    let (code, _) = folder.fail(&Job::Evaluate(EvaluateArgs {
        shard: "c0.st".into(),
        ..evaluate()
    }));
    assert_eq!(code, 11);
}

#[test]
fn a_truncated_shard_and_a_truncated_model_are_refused() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let cut = |name: &str| {
        let bytes = fs::read(folder.path(name)).unwrap();
        fs::write(folder.path("cut.st"), &bytes[..bytes.len() - 10]).unwrap();
    };
    cut("c0.st");
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        shard: "cut.st".into(),
        ..train()
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("cut short"), "{stderr}");
    cut("g0.st");
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        global: "cut.st".into(),
        ..train()
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("not a whole safetensors file"), "{stderr}");
}

#[test]
fn a_missing_file_is_named_and_a_directory_is_no_model() {
    let folder = Folder::new();
    let (code, stderr) = folder.fail(&Job::Train(train()));
    assert_eq!(code, 10);
    assert!(stderr.contains("`g0.st`"), "{stderr}");
    fs::create_dir(folder.path("g0.st")).unwrap();
    assert_eq!(folder.fail(&Job::Train(train())).0, 11);
}

#[test]
fn a_model_of_another_round_or_kind_is_refused() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        round: Round(2),
        ..train()
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("its round is 0, expected 1"), "{stderr}");
    folder.succeed(&Job::Train(train()));
    let (code, stderr) = folder.fail(&Job::Evaluate(EvaluateArgs {
        global: "u.st".into(),
        ..evaluate()
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("its kind is update, expected model"), "{stderr}");
    assert_eq!(
        folder
            .fail(&Job::Train(TrainArgs {
                round: Round(0),
                ..train()
            }))
            .0,
        2
    );
}

#[test]
fn a_diverging_client_stops_at_the_epoch_and_step() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let wild = Optimizer::Sgd {
        learning_rate: 1e30,
        momentum: 0.0,
        weight_decay: 0.0,
    };
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        optimizer: wild,
        ..train()
    }));
    assert_eq!(code, 13);
    assert!(
        stderr.contains("of epoch 1") && stderr.contains("lower the learning rate"),
        "{stderr}"
    );
}

#[test]
fn a_lone_sample_that_cannot_be_normalised_is_data_unfit() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::Resnet18)));
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        batch_size: 7,
        ..train()
    }));
    assert_eq!(code, 12);
    assert!(stderr.contains("step 4 of epoch 1"), "{stderr}");
}

#[test]
fn a_baseline_takes_each_client_once_and_local_only_takes_its_own() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let fails = |args| folder.fail(&Job::Baseline(args));
    assert_eq!(
        fails(baseline(BaselineKind::Centralized, None, &["c0.st", "c0.st"])).0,
        11
    );
    assert_eq!(
        fails(baseline(BaselineKind::Centralized, None, &["c0.st", "test.st"])).0,
        11
    );
    assert_eq!(fails(baseline(BaselineKind::Centralized, None, &[])).0, 2);
    assert_eq!(fails(baseline(BaselineKind::LocalOnly, None, &["c0.st"])).0, 2);
    assert_eq!(
        fails(baseline(BaselineKind::LocalOnly, Some(ClientId(1)), &["c0.st"])).0,
        11
    );
    folder.succeed(&Job::Baseline(baseline(
        BaselineKind::LocalOnly,
        Some(ClientId(1)),
        &["c1.st"],
    )));
    assert_eq!(folder.header("b.st").client, Some(ClientId(1)));
}

#[test]
fn given_weights_are_taken_as_they_are_or_refused_by_tensor() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let from = |classes| InitArgs {
        weights: Some("g0.st".into()),
        global: "g.st".into(),
        seed: Seed(99),
        classes,
        ..init(Arch::SmallCnn)
    };
    let (code, stderr) = folder.fail(&Job::Init(from(3)));
    assert_eq!(code, 11);
    assert!(
        stderr.contains("tensor `fc2.weight` has shape [2, 64], expected [3, 64]"),
        "{stderr}"
    );
    let (code, stderr) = folder.fail(&Job::Init(InitArgs {
        arch: Arch::Resnet18,
        ..from(2)
    }));
    assert_eq!(code, 11);
    assert!(
        stderr.contains("tensor `conv1.bias` is not one of resnet18"),
        "{stderr}"
    );
    folder.succeed(&Job::Init(from(2)));
    assert_eq!(
        fs::read(folder.path("g.st")).unwrap(),
        fs::read(folder.path("g0.st")).unwrap()
    );
}

#[test]
fn a_wrong_command_line_ends_with_usage() {
    let folder = Folder::new();
    let mut argv = Job::Train(train()).to_argv();
    argv.extend(["--fedprox".to_owned(), "1".to_owned()]);
    assert_eq!(folder.command(&argv).status.code(), Some(2));
    assert_eq!(
        folder
            .fail(&Job::Init(InitArgs {
                image_size: 3,
                ..init(Arch::SmallCnn)
            }))
            .0,
        2
    );
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    assert_eq!(folder.fail(&Job::Train(TrainArgs { epochs: 0, ..train() })).0, 2);
    assert_eq!(
        folder
            .fail(&Job::Train(TrainArgs {
                threads: Some(0),
                ..train()
            }))
            .0,
        2
    );
    assert!(!Path::new(&folder.path("u.st")).exists());
}
