//! Clients that cannot train: absent where that is allowed, a failed job where it is not.

use std::fs;

use contract::{
    aggregation::Encoding,
    args::{Job, TrainArgs},
    ids::{ClientId, Round},
    metrics::Subject,
    tensors::{ABSENT, ENCODING, LOCAL_STEPS, TensorKind},
    training::{Absence, Arch, Optimizer},
    units::SampleCount,
};
use safetensors::SafeTensors;

use crate::folder::{Folder, init, train};

const WILD: Optimizer = Optimizer::Sgd {
    learning_rate: 1e30,
    momentum: 0.0,
    nesterov: false,
    weight_decay: 0.0,
};

fn allowed() -> TrainArgs {
    TrainArgs {
        absence: Some(Absence::Allowed),
        ..train()
    }
}

/// Runs the job; the reason in the update, which says nothing else.
fn absent(folder: &Folder, args: TrainArgs) -> String {
    let client = args.client;
    let output = folder.run(&Job::Train(args));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let reason = folder.metadata("u.st")[ABSENT].clone();
    assert!(
        stderr.contains(&format!("client {client} is absent from round 1: {reason}")),
        "{stderr}"
    );
    let header = folder.header("u.st");
    assert_eq!(header.kind, TensorKind::Update);
    assert_eq!((header.round, header.client), (Some(Round(1)), Some(client)));
    assert_eq!(header.num_samples, SampleCount(0));
    let bytes = folder.bytes("u.st");
    assert!(SafeTensors::deserialize(&bytes).unwrap().is_empty());
    for key in [ENCODING, LOCAL_STEPS] {
        assert!(!folder.metadata("u.st").contains_key(key), "{key}");
    }
    let metrics = folder.metrics("u.json");
    assert_eq!(metrics.num_samples, SampleCount(0));
    let subject = Subject::Train {
        round: Round(1),
        client,
        epoch_loss: Vec::new(),
        validation_loss: Vec::new(),
        best_epoch: None,
        privacy: None,
        absent: Some(reason.clone()),
    };
    assert_eq!(metrics.subject, subject);
    reason
}

#[test]
fn a_client_whose_shard_is_missing_or_damaged_is_absent() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let missing = TrainArgs {
        shard: "gone.st".into(),
        ..allowed()
    };
    let reason = absent(&folder, missing.clone());
    assert!(
        reason.contains("cannot read `gone.st`") && !reason.contains('\n'),
        "{reason}"
    );
    let bytes = folder.bytes("c0.st");
    fs::write(folder.path("cut.st"), &bytes[..bytes.len() - 10]).unwrap();
    let cut = TrainArgs {
        shard: "cut.st".into(),
        ..allowed()
    };
    assert!(absent(&folder, cut).contains("cut short"));
    for absence in [None, Some(Absence::Refused)] {
        let args = TrainArgs {
            absence,
            update: "v.st".into(),
            metrics: "v.json".into(),
            ..missing.clone()
        };
        assert_eq!(folder.fail(&Job::Train(args)).0, 10);
    }
}

#[test]
fn a_client_that_diverges_or_cannot_be_normalised_is_absent() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::Resnet18)));
    let lone = TrainArgs {
        recipe: folder.recipe("batches.json", |recipe| recipe.batch_size = 7),
        ..allowed()
    };
    assert!(absent(&folder, lone).contains("step 4 of epoch 1"));
    let wild = TrainArgs {
        recipe: folder.recipe("wild.json", |recipe| recipe.optimizer = WILD),
        ..allowed()
    };
    assert!(absent(&folder, wild).contains("of epoch 1"));
}

#[test]
fn a_client_that_trains_is_there_whatever_is_allowed() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    folder.succeed(&Job::Train(train()));
    let refused = folder.bytes("u.st");
    folder.succeed(&Job::Train(allowed()));
    assert!(folder.bytes("u.st") == refused);
    assert!(!folder.metadata("u.st").contains_key(ABSENT));
    let Subject::Train { absent, .. } = folder.metrics("u.json").subject else {
        panic!("not of training")
    };
    assert_eq!(absent, None);
}

#[test]
fn what_is_not_the_clients_fails_the_job_all_the_same() {
    let folder = Folder::new();
    let fails = |args: TrainArgs| folder.fail(&Job::Train(args)).0;
    assert_eq!(fails(allowed()), 10);
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    assert_eq!(
        fails(TrainArgs {
            epochs: 0,
            ..allowed()
        }),
        2
    );
    assert_eq!(
        fails(TrainArgs {
            threads: Some(0),
            ..allowed()
        }),
        2
    );
    assert_eq!(
        fails(TrainArgs {
            round: Round(2),
            ..allowed()
        }),
        11
    );
    let bytes = folder.bytes("g0.st");
    fs::write(folder.path("g0.st"), &bytes[..bytes.len() - 10]).unwrap();
    assert_eq!(fails(allowed()), 11);
    // A global model that holds infinity is nothing a client can help.
    let mut infinite = bytes.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(folder.path("g0.st"), infinite).unwrap();
    assert_eq!(fails(allowed()), 13);
    fs::write(folder.path("g0.st"), &bytes).unwrap();
    let residual = TrainArgs {
        encoding: Some(Encoding::Int8),
        residual_in: Some("gone.st".into()),
        residual_out: Some("r.st".into()),
        ..allowed()
    };
    assert_eq!(fails(residual), 10);
}

#[test]
fn what_was_left_out_waits_while_a_client_is_absent() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let args = TrainArgs {
        encoding: Some(Encoding::TopK { share: 0.01 }),
        residual_out: Some("r1.st".into()),
        ..allowed()
    };
    let values = |name: &str| {
        let bytes = folder.bytes(name);
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    // Nothing was left out before.
    absent(
        &folder,
        TrainArgs {
            recipe: folder.recipe("wild.json", |recipe| recipe.optimizer = WILD),
            ..args.clone()
        },
    );
    assert_eq!(folder.header("r1.st").kind, TensorKind::Residual);
    let zeros = values("r1.st");
    assert!(zeros.iter().all(|byte| *byte == 0));
    // Something was.
    folder.succeed(&Job::Train(args.clone()));
    let left = values("r1.st");
    assert!(left.len() == zeros.len() && left != zeros);
    folder.as_model_of_round("g0.st", "g1.st", Round(1));
    folder.succeed(&Job::Train(TrainArgs {
        round: Round(2),
        global: "g1.st".into(),
        recipe: folder.recipe("wild.json", |recipe| recipe.optimizer = WILD),
        residual_in: Some("r1.st".into()),
        residual_out: Some("r2.st".into()),
        ..args
    }));
    assert!(folder.metadata("u.st").contains_key(ABSENT));
    assert!(values("r2.st") == left);
    let header = folder.header("r2.st");
    assert_eq!((header.round, header.client), (Some(Round(2)), Some(ClientId(0))));
}

#[test]
fn a_change_too_large_for_half_floats_is_the_clients_and_names_tensor_and_place() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    // One step so long that weights stay finite and their change leaves half floats.
    let args = TrainArgs {
        epochs: 1,
        recipe: folder.recipe("other.json", |recipe| {
            recipe.batch_size = 22;
            recipe.optimizer = Optimizer::Sgd {
                learning_rate: 1e9,
                momentum: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            };
        }),
        encoding: Some(Encoding::Fp16),
        ..allowed()
    };
    let reason = absent(&folder, args.clone());
    assert!(
        reason.starts_with("the change of `") && reason.contains(" at index "),
        "{reason}"
    );
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        absence: None,
        update: "v.st".into(),
        metrics: "v.json".into(),
        ..args.clone()
    }));
    assert_eq!(code, 13);
    assert!(stderr.contains("`bf16` or `int8`"), "{stderr}");
    folder.succeed(&Job::Train(TrainArgs {
        encoding: Some(Encoding::Bf16),
        ..args
    }));
    assert!(!folder.metadata("u.st").contains_key(ABSENT));
}
