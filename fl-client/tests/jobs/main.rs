//! The real binary: jobs one after another, and how each ends when its files are not what they should be.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod absence;
mod course;
mod folder;
mod masked;
mod methods;
mod together;
mod updates;

use std::fs;

use contract::{
    args::{EvaluateArgs, InitArgs, Job, TrainArgs},
    ids::{ClientId, DatasetName, Round, Seed},
    metrics::Subject,
    tensors::TensorKind,
    training::{Arch, BaselineKind, Optimizer},
    units::SampleCount,
};
use folder::{Folder, baseline, evaluate, init, nih, train};

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
            test_dataset: tcia,
            client: None,
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
        nesterov: false,
        weight_decay: 0.0,
    };
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        recipe: folder.recipe("wild.json", |recipe| recipe.optimizer = wild),
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
        recipe: folder.recipe("batches.json", |recipe| recipe.batch_size = 7),
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
        stderr.contains("the head's `fc2.weight` has shape [2, 64], expected [3, 64]"),
        "{stderr}"
    );
    let (code, stderr) = folder.fail(&Job::Init(InitArgs {
        arch: Arch::Resnet18,
        ..from(2)
    }));
    assert_eq!(code, 11);
    assert!(
        stderr.contains("tensor `conv1.weight` has shape [16, 1, 3, 3], expected [64, 1, 7, 7]"),
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
    assert!(!folder.path("u.st").exists());
}
