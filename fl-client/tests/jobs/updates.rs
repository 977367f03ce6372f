//! Encoded updates: what the files hold, what they decode to, and what is left out and sent later.

use std::fs;

use contract::{
    aggregation::Encoding,
    args::{Job, TrainArgs},
    ids::{ClientId, Round},
    tensors::{ENCODING, INDEX_SUFFIX, LOCAL_STEPS, SCALE_SUFFIX, TensorKind, is_running_statistic},
    training::{Arch, Optimizer},
};
use kernels::codec::{EncodedTensor, Form, decode_block};
use safetensors::{Dtype, SafeTensors};

use crate::folder::{Folder, init, train};

const ENCODINGS: [Encoding; 5] = [
    Encoding::Delta,
    Encoding::Fp16,
    Encoding::Bf16,
    Encoding::Int8,
    Encoding::TopK { share: 0.1 },
];

fn encoded(encoding: Encoding) -> TrainArgs {
    TrainArgs {
        encoding: Some(encoding),
        update: "e.st".into(),
        metrics: "e.json".into(),
        ..train()
    }
}

fn with_feedback(encoding: Encoding) -> TrainArgs {
    TrainArgs {
        residual_out: Some("r1.st".into()),
        ..encoded(encoding)
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// A tensor of an update as the aggregator reads it, on top of the global model's.
fn decoded(update: &SafeTensors<'_>, name: &str, global: &[f32]) -> Vec<f32> {
    let view = update.tensor(name).unwrap();
    let (scale, index) = (
        update.tensor(&format!("{name}{SCALE_SUFFIX}")),
        update.tensor(&format!("{name}{INDEX_SUFFIX}")),
    );
    let form = match (view.dtype(), &index) {
        (Dtype::F32, Ok(index)) => Form::TopK {
            indices: index.data(),
            values: view.data(),
        },
        (Dtype::F32, Err(_)) => Form::Delta(view.data()),
        (Dtype::F16, _) => Form::Fp16(view.data()),
        (Dtype::BF16, _) => Form::Bf16(view.data()),
        (Dtype::I8, _) => Form::Int8 {
            values: view.data(),
            scale: floats(scale.unwrap().data())[0],
        },
        (other, _) => panic!("{name} is {other:?}"),
    };
    let tensor = EncodedTensor::check(form, global.len()).unwrap();
    let mut out = vec![f32::NAN; global.len()];
    decode_block(&tensor, 0..global.len(), global, &mut out);
    out
}

#[test]
fn each_encoding_decodes_to_the_plain_update_within_its_bound() {
    for arch in [Arch::SmallCnn, Arch::Resnet18] {
        let folder = Folder::new();
        folder.succeed(&Job::Init(init(arch)));
        let short = |args| TrainArgs {
            epochs: 1,
            recipe: folder.recipe("batches.json", |recipe| recipe.batch_size = 11),
            ..args
        };
        folder.succeed(&Job::Train(short(train())));
        let (global, plain) = (folder.bytes("g0.st"), folder.bytes("u.st"));
        let (global, plain) = (
            SafeTensors::deserialize(&global).unwrap(),
            SafeTensors::deserialize(&plain).unwrap(),
        );
        for encoding in ENCODINGS {
            folder.succeed(&Job::Train(short(encoded(encoding))));
            let update = folder.bytes("e.st");
            let update = SafeTensors::deserialize(&update).unwrap();
            for name in plain.names() {
                let view = plain.tensor(name).unwrap();
                if view.dtype() != Dtype::F32 || is_running_statistic(name) {
                    assert_eq!(update.tensor(name).unwrap(), view, "{name}");
                    continue;
                }
                let (from, to) = (floats(global.tensor(name).unwrap().data()), floats(view.data()));
                let change = |(to, from): (&f32, &f32)| (to - from).abs();
                let most = to.iter().zip(&from).map(change).fold(0.0, f32::max);
                assert!(most > 0.0, "{name} was not trained");
                let got = decoded(&update, name, &from);
                for ((got, to), from) in got.iter().zip(&to).zip(&from) {
                    let d = (to - from).abs();
                    let bound = match encoding {
                        Encoding::Delta => 0.0,
                        Encoding::Fp16 => (d / 2048.0).max(2.0_f32.powi(-25)),
                        Encoding::Bf16 => d / 256.0,
                        Encoding::Int8 => most / 254.0 * 1.000_01,
                        Encoding::TopK { .. } => d,
                    };
                    let rounding = 2.0 * f32::EPSILON * (to.abs() + d);
                    let miss = (got - to).abs();
                    assert!(
                        miss <= bound + rounding,
                        "{arch} {encoding:?} {name}: {got} for {to}"
                    );
                }
                if matches!(encoding, Encoding::TopK { .. }) {
                    let sent = got.iter().zip(&from).filter(|(got, from)| got != from).count();
                    let expected = kernels::codec::kept(0.1, to.len());
                    assert!(
                        sent > 0 && sent <= expected,
                        "{name}: {sent} of {expected} values changed"
                    );
                }
            }
        }
    }
}

#[test]
fn encoded_files_are_as_small_as_their_values() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    folder.succeed(&Job::Train(train()));
    // What the tensors take, without the header.
    let data = |name: &str| {
        let bytes = folder.bytes(name);
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        bytes.len() as u64 - 8 - header
    };
    let plain = data("u.st");
    let values = plain / 4;
    for (encoding, expected) in [
        (Encoding::Delta, plain),
        (Encoding::Fp16, plain / 2),
        (Encoding::Bf16, plain / 2),
        // Eight tensors with a scale each.
        (Encoding::Int8, values + 8 * 4),
    ] {
        folder.succeed(&Job::Train(encoded(encoding)));
        assert_eq!(data("e.st"), expected, "{encoding:?}");
    }
    folder.succeed(&Job::Train(encoded(Encoding::TopK { share: 0.1 })));
    let top = data("e.st");
    // A tenth of the values, eight bytes each, rounded up for each of eight tensors.
    let least = 8 * values / 10;
    assert!((least..=least + 8 * 8).contains(&top), "{top} of {values} values");
    // Header included, 8-bit integers take about a quarter.
    folder.succeed(&Job::Train(encoded(Encoding::Int8)));
    let (int8, plain) = (folder.bytes("e.st").len(), folder.bytes("u.st").len());
    assert!(int8 < plain * 3 / 10, "{int8} of {plain} bytes");
}

#[test]
fn an_update_says_how_it_is_encoded_and_how_many_steps_it_took() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let plain = Optimizer::Sgd {
        learning_rate: 0.05,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };
    folder.succeed(&Job::Train(TrainArgs {
        recipe: folder.recipe("plain.json", |recipe| recipe.optimizer = plain),
        ..train()
    }));
    let metadata = folder.metadata("u.st");
    // 6 epochs of 22 samples in batches of 4.
    assert_eq!(metadata[LOCAL_STEPS], "36.0");
    assert!(!metadata.contains_key(ENCODING));
    folder.succeed(&Job::Train(encoded(Encoding::TopK { share: 0.25 })));
    let metadata = folder.metadata("e.st");
    assert_eq!(metadata[ENCODING], "top_k:share=0.25");
    // Momentum 0.9: (36 - 0.9·(1 - 0.9³⁶)/0.1)/0.1, with 0.9³⁶ = 0.022528...
    let steps: f64 = metadata[LOCAL_STEPS].parse().unwrap();
    assert!((steps - 272.0275).abs() < 1e-3, "{steps}");
}

#[test]
fn an_encoded_update_has_the_same_bytes_on_any_number_of_threads() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    for encoding in ENCODINGS {
        let outputs = |threads| {
            folder.succeed(&Job::Train(TrainArgs {
                threads: Some(threads),
                epochs: 1,
                ..with_feedback(encoding)
            }));
            ["e.st", "r1.st", "e.json"].map(|name| folder.bytes(name))
        };
        assert!(outputs(1) == outputs(3), "{encoding:?}");
    }
}

#[test]
fn what_is_left_out_is_kept_and_sent_with_the_next_update() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let top = Encoding::TopK { share: 0.01 };
    folder.succeed(&Job::Train(with_feedback(top)));
    let header = folder.header("r1.st");
    assert_eq!(header.kind, TensorKind::Residual);
    assert_eq!((header.round, header.client), (Some(Round(1)), Some(ClientId(0))));
    // What is sent and what is left out make the plain update.
    folder.succeed(&Job::Train(train()));
    let [global, plain, update, residual] = ["g0.st", "u.st", "e.st", "r1.st"].map(|name| folder.bytes(name));
    let [global, plain, update, residual] =
        [&global, &plain, &update, &residual].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let mut left = 0;
    for name in plain.names() {
        let of = |file: &SafeTensors<'_>| floats(file.tensor(name).unwrap().data());
        let (from, to, rest) = (of(&global), of(&plain), of(&residual));
        for ((got, rest), to) in decoded(&update, name, &from).iter().zip(&rest).zip(&to) {
            assert!(
                (got + rest - to).abs() <= 4.0 * f32::EPSILON * (to.abs() + rest.abs()),
                "{name}"
            );
            left += usize::from(*rest != 0.0);
        }
    }
    assert!(left > 0);

    // The next round, from a global model that stood still, with and without what was left out.
    folder.as_model_of_round("g0.st", "g1.st", Round(1));
    let next = |residual_in: Option<&str>| TrainArgs {
        round: Round(2),
        global: "g1.st".into(),
        residual_in: residual_in.map(Into::into),
        residual_out: Some("r2.st".into()),
        ..encoded(top)
    };
    folder.succeed(&Job::Train(next(None)));
    let without = folder.bytes("e.st");
    folder.succeed(&Job::Train(next(Some("r1.st"))));
    let with = folder.bytes("e.st");
    assert!(with != without);
    // Every trained value: what round 2 changed, plus what round 1 left out, is sent or left out again.
    folder.succeed(&Job::Train(TrainArgs {
        round: Round(2),
        global: "g1.st".into(),
        ..train()
    }));
    let [plain, again] = ["u.st", "r2.st"].map(|name| folder.bytes(name));
    let [plain, update, again] =
        [&plain, &with, &again].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    for name in plain.names() {
        let of = |file: &SafeTensors<'_>| floats(file.tensor(name).unwrap().data());
        let (from, to, before, after) = (of(&global), of(&plain), of(&residual), of(&again));
        for (index, got) in decoded(&update, name, &from).iter().enumerate() {
            let (found, expected) = (got + after[index], to[index] + before[index]);
            let size = to[index].abs() + before[index].abs() + from[index].abs();
            assert!(
                (found - expected).abs() <= 4.0 * f32::EPSILON * size,
                "{name} {index}"
            );
        }
    }
}

#[test]
fn a_residual_of_another_client_experiment_or_round_is_refused() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    folder.succeed(&Job::Train(with_feedback(Encoding::Int8)));
    folder.as_model_of_round("g0.st", "g1.st", Round(1));
    let next = TrainArgs {
        round: Round(2),
        global: "g1.st".into(),
        residual_in: Some("r1.st".into()),
        residual_out: Some("r2.st".into()),
        ..encoded(Encoding::Int8)
    };
    let refused = |args: TrainArgs, code: i32, text: &str| {
        let (found, stderr) = folder.fail(&Job::Train(args));
        assert_eq!(found, code, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    };
    refused(
        TrainArgs {
            round: Round(1),
            global: "g0.st".into(),
            ..next.clone()
        },
        11,
        "`r1.st`: its round is 1, expected one before 1",
    );
    refused(
        TrainArgs {
            client: ClientId(1),
            shard: "c1.st".into(),
            ..next.clone()
        },
        11,
        "`r1.st`: its client is 0, expected 1",
    );
    refused(
        TrainArgs {
            residual_in: Some("e.st".into()),
            ..next.clone()
        },
        11,
        "`e.st`: its kind is update, expected residual",
    );
    refused(
        TrainArgs {
            residual_in: Some("none.st".into()),
            ..next.clone()
        },
        10,
        "none.st",
    );
    let bytes = folder.bytes("r1.st");
    fs::write(folder.path("r1.st"), &bytes[..bytes.len() - 4]).unwrap();
    refused(next, 11, "not a whole safetensors file");
}

#[test]
fn flags_that_do_not_go_together_are_usage() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let usage = |args: TrainArgs, text: &str| {
        let (code, stderr) = folder.fail(&Job::Train(args));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    };
    usage(
        TrainArgs {
            secret_key: Some("s.json".into()),
            public_keys: vec!["p.json".into()],
            ..encoded(Encoding::Int8)
        },
        "masked updates are not compressed",
    );
    usage(
        TrainArgs {
            public_keys: vec!["p.json".into()],
            ..train()
        },
        "`--secret-key` and `--public-key` go together",
    );
    usage(
        TrainArgs {
            residual_out: Some("r.st".into()),
            ..train()
        },
        "nothing is left out",
    );
    usage(
        TrainArgs {
            residual_in: Some("r.st".into()),
            ..encoded(Encoding::Int8)
        },
        "would forget",
    );
}
