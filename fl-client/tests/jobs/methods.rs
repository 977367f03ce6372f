//! What methods send and keep: two rounds of each, and files that are missing or not theirs.

use std::{collections::BTreeMap, fs};

use contract::{
    args::{EvaluateArgs, Job, TrainArgs},
    ids::{ClientId, Round},
    metrics::Subject,
    recipe::{LocalPrivacy, Method, OptimizerState, Recipe},
    tensors::{CONTROL, Header, TRAIN_LOSS, TensorInfo, TensorKind, encode_header},
    training::{Absence, Arch, Optimizer},
};
use safetensors::SafeTensors;

use crate::folder::{Folder, SGD, evaluate, init, train};

const PLAIN_SGD: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.0,
    nesterov: false,
    weight_decay: 0.0,
};

fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter();
    tensors.map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    let (values, _) = bytes.as_chunks();
    values
        .iter()
        .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
        .collect()
}

/// A folder with an initial model, the same as that of round 1, and a recipe with this method.
fn folder(arch: Arch, change: impl FnOnce(&mut Recipe)) -> Folder {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(arch)));
    folder.as_model_of_round("g0.st", "g1.st", Round(1));
    folder.recipe("method.json", change);
    folder
}

fn first() -> TrainArgs {
    TrainArgs {
        recipe: "method.json".into(),
        epochs: 2,
        personal_out: Some("p1.st".into()),
        ..train()
    }
}

fn second() -> TrainArgs {
    TrainArgs {
        round: Round(2),
        global: "g1.st".into(),
        personal_in: Some("p1.st".into()),
        personal_out: Some("p2.st".into()),
        update: "u2.st".into(),
        metrics: "u2.json".into(),
        ..first()
    }
}

fn privacy(folder: &Folder, name: &str) -> contract::metrics::SamplePrivacySpent {
    match folder.metrics(name).subject {
        Subject::Train { privacy, .. } => privacy.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fedprox_stays_nearer_to_the_global_model_and_keeps_nothing() {
    let folder = folder(Arch::SmallCnn, |recipe| {
        recipe.method = Method::Fedprox { mu: 5.0 }
    });
    let args = TrainArgs {
        personal_out: None,
        ..first()
    };
    folder.succeed(&Job::Train(args.clone()));
    folder.succeed(&Job::Train(TrainArgs {
        recipe: "recipe.json".into(),
        update: "plain.st".into(),
        metrics: "plain.json".into(),
        ..args
    }));
    let global = tensors(&folder.bytes("g0.st"));
    let distance = |name: &str| {
        let update = tensors(&folder.bytes(name));
        let pairs = global.iter().flat_map(|(name, values)| {
            floats(values)
                .into_iter()
                .zip(floats(&update[name]))
                .collect::<Vec<_>>()
        });
        pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    assert!(distance("u.st") < 0.5 * distance("plain.st"));
    let (code, stderr) = folder.fail(&Job::Train(first()));
    assert_eq!(code, 2);
    assert!(stderr.contains("`--personal-out` has no effect"), "{stderr}");
}

/// The server's variate as `fl-aggregator` writes it after round 1: the client's change over `clients`.
fn write_state(folder: &Folder, update: &str, clients: f64, to: &str) {
    let header = Header {
        kind: TensorKind::State,
        round: Some(Round(1)),
        client: None,
        ..folder.header(update)
    };
    let bytes = folder.bytes(update);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut controls: Vec<_> = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| name.starts_with(CONTROL))
        .map(|(name, view)| {
            let values: Vec<u8> = floats(view.data())
                .into_iter()
                .flat_map(|value| (value / clients).to_le_bytes())
                .collect();
            (name, view.shape().to_vec(), values)
        })
        .collect();
    controls.sort();
    let infos: Vec<TensorInfo<'_>> = controls
        .iter()
        .map(|(name, shape, bytes)| TensorInfo {
            name,
            dtype: "F64",
            shape,
            bytes: bytes.len(),
        })
        .collect();
    let mut out = encode_header(&header.to_metadata(), &infos);
    controls
        .iter()
        .for_each(|(_, _, bytes)| out.extend_from_slice(bytes));
    fs::write(folder.path(to), out).unwrap();
}

#[test]
fn scaffold_sends_the_change_of_what_it_keeps_and_takes_the_servers_into_account() {
    let folder = folder(Arch::SmallCnn, |recipe| {
        recipe.method = Method::Scaffold;
        recipe.optimizer = PLAIN_SGD;
    });
    folder.succeed(&Job::Train(first()));
    let (update, kept) = (tensors(&folder.bytes("u.st")), tensors(&folder.bytes("p1.st")));
    let global = tensors(&folder.bytes("g0.st"));
    assert_eq!(kept.len(), global.len());
    for (name, values) in &global {
        let control = format!("{CONTROL}{name}");
        // From zeros the change is all of it: (w_global - w) over 12 steps of 0.05.
        assert_eq!(update[&control], kept[&control], "{name}");
        let way = floats(values).into_iter().zip(floats(&update[name]));
        for ((from, to), variate) in way.zip(floats(&kept[&control])) {
            assert!(((from - to) / (12.0 * 0.05) - variate).abs() < 1e-6, "{name}");
        }
    }
    write_state(&folder, "u.st", 2.0, "state.st");
    let with = TrainArgs {
        control: Some("state.st".into()),
        ..second()
    };
    folder.succeed(&Job::Train(with.clone()));
    let (update, now) = (tensors(&folder.bytes("u2.st")), tensors(&folder.bytes("p2.st")));
    let mut moved = 0;
    for (name, values) in &global {
        let control = format!("{CONTROL}{name}");
        let changes = floats(&update[&control]).into_iter();
        let pairs = floats(&kept[&control]).into_iter().zip(floats(&now[&control]));
        let way = floats(values).into_iter().zip(floats(&update[name]));
        for ((change, (before, after)), (from, to)) in changes.zip(pairs).zip(way) {
            assert!((after - before - change).abs() < 1e-6, "{name}");
            // c_i - c + way/(K·η), with the server's c half of c_i.
            let expected = before - before / 2.0 + (from - to) / (12.0 * 0.05);
            assert!((after - expected).abs() < 2e-6, "{name}: {after} {expected}");
            moved += usize::from(before != after);
        }
    }
    assert!(moved > 1000, "{moved}");
    let corrected = folder.bytes("u2.st");
    folder.succeed(&Job::Train(second()));
    assert!(folder.bytes("u2.st") != corrected, "the server's variate matters");

    let refused = |args: TrainArgs| folder.fail(&Job::Train(args));
    let (code, stderr) = refused(TrainArgs {
        control: Some("p1.st".into()),
        ..second()
    });
    assert_eq!(code, 11);
    assert!(
        stderr.contains("its kind is personal, expected state"),
        "{stderr}"
    );
    let (code, stderr) = refused(TrainArgs {
        round: Round(1),
        global: "g0.st".into(),
        personal_in: None,
        ..with.clone()
    });
    assert_eq!(code, 11);
    assert!(stderr.contains("its round is 1, expected 0"), "{stderr}");
    let (code, stderr) = refused(TrainArgs {
        recipe: "recipe.json".into(),
        personal_in: None,
        personal_out: None,
        ..with
    });
    assert_eq!(code, 2);
    assert!(
        stderr.contains("`--control` has no effect") && stderr.contains("`plain`"),
        "{stderr}"
    );
}

#[test]
fn qfedavg_states_the_loss_before_training() {
    let folder = folder(Arch::SmallCnn, |recipe| recipe.method = Method::Qfedavg);
    folder.succeed(&Job::Train(TrainArgs {
        personal_out: None,
        ..first()
    }));
    let stated: f64 = folder.metadata("u.st")[TRAIN_LOSS].parse().unwrap();
    let Subject::Train { epoch_loss, .. } = folder.metrics("u.json").subject else {
        panic!("not of training")
    };
    assert!(stated > 0.5 && stated > epoch_loss[1], "{stated} {epoch_loss:?}");
    folder.succeed(&Job::Train(TrainArgs {
        recipe: "recipe.json".into(),
        personal_out: None,
        ..first()
    }));
    assert!(!folder.metadata("u.st").contains_key(TRAIN_LOSS));
}

#[test]
fn a_clients_own_layers_stay_with_it() {
    for (method, own, arch) in [
        (Method::Fedbn, ".running_mean", Arch::SmallCnnBn),
        (Method::Fedper, "fc2.weight", Arch::SmallCnn),
    ] {
        let folder = folder(arch, |recipe| recipe.method = method);
        folder.succeed(&Job::Train(first()));
        let global = tensors(&folder.bytes("g0.st"));
        let (update, kept) = (tensors(&folder.bytes("u.st")), tensors(&folder.bytes("p1.st")));
        assert!(kept.keys().any(|name| name.ends_with(own)), "{:?}", kept.keys());
        for (name, values) in &global {
            match kept.get(name) {
                // The update tells nothing of it.
                Some(kept) => assert!(update[name] == *values && kept != values, "{name}"),
                None => assert!(update[name] != *values, "{name}"),
            }
        }
        // The next round starts from them, a retry from the same.
        folder.succeed(&Job::Train(second()));
        let again = folder.bytes("u2.st");
        folder.succeed(&Job::Train(TrainArgs {
            threads: Some(4),
            ..second()
        }));
        assert!(folder.bytes("u2.st") == again);
        folder.succeed(&Job::Train(TrainArgs {
            personal_in: None,
            ..second()
        }));
        assert!(folder.bytes("u2.st") != again);
        // The model the client ends with is neither the global one nor another client's.
        let of = |client: Option<u32>, personal: Option<&str>| EvaluateArgs {
            round: Round(1),
            global: "g1.st".into(),
            client: client.map(ClientId),
            personal: personal.map(Into::into),
            ..evaluate()
        };
        folder.succeed(&Job::Evaluate(of(None, None)));
        let of_global = folder.metrics("e.json");
        folder.succeed(&Job::Evaluate(of(Some(0), Some("p1.st"))));
        let personal = folder.metrics("e.json");
        assert_ne!(of_global.scores.unwrap().loss, personal.scores.unwrap().loss);
        assert!(matches!(
            personal.subject,
            Subject::Evaluate {
                client: Some(ClientId(0)),
                ..
            }
        ));
        let (code, stderr) = folder.fail(&Job::Evaluate(of(Some(1), Some("p1.st"))));
        assert_eq!(code, 11);
        assert!(stderr.contains("its client is 0, expected 1"), "{stderr}");
        assert_eq!(folder.fail(&Job::Evaluate(of(Some(0), None))).0, 2);
    }
}

#[test]
fn fedbn_without_normalisation_is_refused() {
    let folder = folder(Arch::SmallCnn, |recipe| recipe.method = Method::Fedbn);
    let (code, stderr) = folder.fail(&Job::Train(first()));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("small_cnn has no layer with running statistics"),
        "{stderr}"
    );
}

#[test]
fn dittos_update_is_fedavgs_and_its_own_model_goes_another_way() {
    let folder = folder(Arch::SmallCnn, |recipe| {
        recipe.method = Method::Ditto { lambda: 0.5 }
    });
    folder.succeed(&Job::Train(first()));
    let update = folder.bytes("u.st");
    folder.succeed(&Job::Train(TrainArgs {
        recipe: "recipe.json".into(),
        personal_out: None,
        ..first()
    }));
    assert!(folder.bytes("u.st") == update, "as FedAvg");
    folder.succeed(&Job::Train(second()));
    let (one, two) = (tensors(&folder.bytes("p1.st")), tensors(&folder.bytes("p2.st")));
    assert!(one.keys().eq(tensors(&update).keys()));
    assert!(one.iter().all(|(name, values)| two[name] != *values));
    folder.succeed(&Job::Evaluate(EvaluateArgs {
        round: Round(2),
        global: {
            folder.as_model_of_round("g0.st", "g2.st", Round(2));
            "g2.st".into()
        },
        client: Some(ClientId(0)),
        personal: Some("p2.st".into()),
        ..evaluate()
    }));
    assert!(folder.metrics("e.json").scores.unwrap().auroc.unwrap() > 0.9);
}

#[test]
fn moments_that_are_kept_change_the_next_round() {
    for method in [Method::Plain, Method::Ditto { lambda: 0.1 }] {
        let folder = folder(Arch::SmallCnn, |recipe| {
            recipe.optimizer = SGD;
            recipe.optimizer_state = OptimizerState::Kept;
            recipe.method = method;
        });
        folder.succeed(&Job::Train(first()));
        folder.succeed(&Job::Train(second()));
        let kept = folder.bytes("u2.st");
        folder.succeed(&Job::Train(TrainArgs {
            personal_in: None,
            ..second()
        }));
        assert!(folder.bytes("u2.st") != kept);
    }
}

#[test]
fn private_steps_add_up_over_rounds_and_are_the_same_on_any_number_of_threads() {
    let rule = LocalPrivacy {
        norm: 1.0,
        noise_multiplier: 1.0,
        delta: 1e-3,
    };
    let folder = folder(Arch::SmallCnn, |recipe| recipe.privacy = Some(rule));
    folder.succeed(&Job::Train(first()));
    let one = privacy(&folder, "u.json");
    // 2 epochs of ⌈22/4⌉ steps.
    assert_eq!(one.steps, 12);
    let expected = kernels::privacy::Accountant::sampled(1.0, 4.0 / 22.0).unwrap();
    assert_eq!(one.epsilon, expected.epsilon(12, 1e-3).unwrap().epsilon);
    folder.succeed(&Job::Train(second()));
    let two = privacy(&folder, "u2.json");
    assert_eq!(two.steps, 24);
    assert!(two.epsilon > one.epsilon);
    let bytes = folder.bytes("u2.st");
    for threads in [1, 4] {
        folder.succeed(&Job::Train(TrainArgs {
            threads: Some(threads),
            ..second()
        }));
        assert!(folder.bytes("u2.st") == bytes, "{threads}");
    }
    folder.recipe("method.json", |recipe| {
        recipe.privacy = Some(rule);
        recipe.batch_size = 5;
    });
    let (code, stderr) = folder.fail(&Job::Train(second()));
    assert_eq!(code, 11);
    assert!(
        stderr.contains("`p1.st`") && stderr.contains("probability"),
        "{stderr}"
    );
}

#[test]
fn privacy_needs_samples_that_do_not_mix() {
    let rule = LocalPrivacy {
        norm: 1.0,
        noise_multiplier: 1.0,
        delta: 1e-3,
    };
    let folder = folder(Arch::SmallCnnBn, |recipe| recipe.privacy = Some(rule));
    let (code, stderr) = folder.fail(&Job::Train(first()));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("mixes samples") && stderr.contains("freeze"),
        "{stderr}"
    );
    folder.recipe("method.json", |recipe| {
        recipe.privacy = Some(rule);
        recipe.freeze = vec!["norm*".into()];
    });
    folder.succeed(&Job::Train(first()));
    let (global, update) = (tensors(&folder.bytes("g0.st")), tensors(&folder.bytes("u.st")));
    let norm = global.iter().filter(|(name, _)| name.starts_with("norm"));
    assert!(norm.clone().count() == 10 && norm.clone().all(|(name, values)| update[name] == *values));
}

#[test]
fn personal_files_of_others_are_refused_with_file_value_and_way_out() {
    let folder = folder(Arch::SmallCnn, |recipe| recipe.method = Method::Fedper);
    folder.succeed(&Job::Train(first()));
    let refused = |args: TrainArgs, text: &str| {
        let (code, stderr) = folder.fail(&Job::Train(args));
        assert!(stderr.contains(text), "{text}: {stderr}");
        (code, stderr)
    };
    let (code, stderr) = refused(
        TrainArgs {
            client: ClientId(1),
            shard: "c1.st".into(),
            ..second()
        },
        "`p1.st`: its client is 0, expected 1",
    );
    assert_eq!(code, 11);
    assert!(
        stderr.contains("help: pass what this client's last `train` job kept"),
        "{stderr}"
    );
    let own_round = TrainArgs {
        personal_in: Some("p1.st".into()),
        personal_out: Some("p2.st".into()),
        ..first()
    };
    refused(own_round, "its round is 1, expected 0 or one before");
    let update = TrainArgs {
        personal_in: Some("u.st".into()),
        ..second()
    };
    refused(update, "its kind is update, expected personal");
    let forgetful = TrainArgs {
        personal_out: None,
        ..second()
    };
    assert_eq!(refused(forgetful, "`--personal-out` is missing").0, 2);
    let gone = TrainArgs {
        personal_in: Some("gone.st".into()),
        ..second()
    };
    assert_eq!(refused(gone, "`gone.st`").0, 10);
    folder.recipe("method.json", |recipe| {
        recipe.method = Method::Ditto { lambda: 1.0 }
    });
    refused(second(), "its method is fedper, expected ditto");
    let bytes = folder.bytes("p1.st");
    fs::write(folder.path("cut.st"), &bytes[..bytes.len() - 9]).unwrap();
    let cut = TrainArgs {
        personal_in: Some("cut.st".into()),
        ..second()
    };
    assert_eq!(refused(cut, "`cut.st`").0, 11);
}

#[test]
fn an_absent_client_hands_on_what_it_kept() {
    let folder = folder(Arch::SmallCnn, |recipe| recipe.method = Method::Fedper);
    let absent = |args: TrainArgs| TrainArgs {
        shard: "gone.st".into(),
        absence: Some(Absence::Allowed),
        ..args
    };
    // From the first round: its part of the global model.
    folder.succeed(&Job::Train(absent(first())));
    let (global, kept) = (tensors(&folder.bytes("g0.st")), tensors(&folder.bytes("p1.st")));
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|(name, values)| global[name] == *values));
    folder.succeed(&Job::Train(first()));
    folder.succeed(&Job::Train(absent(second())));
    assert!(folder.bytes("p2.st") == folder.bytes("p1.st"));
}
