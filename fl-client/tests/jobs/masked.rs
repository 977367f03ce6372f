//! Masked updates of the training job: nothing in one, everything in their sum.

use contract::{
    args::{Job, KeysArgs, TrainArgs},
    exit::JobExit,
    ids::ClientId,
    secure::FRACTION_BITS,
    tensors::{ABSENT, LOCAL_STEPS, MASKED},
    training::{Absence, Arch, Optimizer},
};
use safetensors::{Dtype, SafeTensors};

use crate::folder::{Folder, init, nih, train};

const CLIENTS: [u32; 3] = [0, 1, 2];

/// A folder with a third client and everyone's keys.
fn with_keys() -> Folder {
    let folder = Folder::new();
    folder.shard("c2.st", "nih", Some(ClientId(2)), 6);
    for client in CLIENTS {
        folder.succeed(&Job::Keys(KeysArgs {
            experiment: "e1".parse().unwrap(),
            dataset: nih(),
            spec_digest: "ab".repeat(32).parse().unwrap(),
            client: ClientId(client),
            secret_key: format!("s{client}.json").as_str().into(),
            public_key: format!("p{client}.json").as_str().into(),
        }));
    }
    folder
}

fn plain(client: u32) -> TrainArgs {
    TrainArgs {
        client: ClientId(client),
        epochs: 1,
        shard: format!("c{client}.st").as_str().into(),
        update: format!("u{client}.st").as_str().into(),
        ..train()
    }
}

fn masked(client: u32) -> TrainArgs {
    let public = |client| format!("p{client}.json").as_str().into();
    TrainArgs {
        secret_key: Some(format!("s{client}.json").as_str().into()),
        public_keys: CLIENTS.map(public).to_vec(),
        update: format!("m{client}.st").as_str().into(),
        ..plain(client)
    }
}

#[test]
fn masked_updates_add_up_to_what_the_plain_ones_do() {
    let folder = with_keys();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    for client in CLIENTS {
        folder.succeed(&Job::Train(plain(client)));
        folder.succeed(&Job::Train(masked(client)));
        let (plain, masked) = (
            folder.metadata(&format!("u{client}.st")),
            folder.metadata(&format!("m{client}.st")),
        );
        assert_eq!(masked[LOCAL_STEPS], plain[LOCAL_STEPS]);
        assert_eq!(masked[MASKED], FRACTION_BITS.to_string());
    }
    let files = |prefix: &str| CLIENTS.map(|client| folder.bytes(&format!("{prefix}{client}.st")));
    let (plain, masked) = (files("u"), files("m"));
    let plain = plain
        .each_ref()
        .map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let masked = masked
        .each_ref()
        .map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let samples = CLIENTS.map(|client| folder.header(&format!("u{client}.st")).num_samples.0);
    let unit = 2.0_f64.powi(-(FRACTION_BITS as i32));
    for name in plain[0].names() {
        let numbers = |file: &SafeTensors<'_>| {
            let view = file.tensor(name).unwrap();
            assert_eq!(view.dtype(), Dtype::U64, "{name}");
            let (values, _) = view.data().as_chunks();
            values
                .iter()
                .map(|value| u64::from_le_bytes(*value))
                .collect::<Vec<_>>()
        };
        let floats = |file: &SafeTensors<'_>| {
            let data = file.tensor(name).unwrap();
            let (values, _) = data.data().as_chunks();
            values
                .iter()
                .map(|value| f64::from(f32::from_le_bytes(*value)))
                .collect::<Vec<_>>()
        };
        let (numbers, floats) = (masked.each_ref().map(numbers), plain.each_ref().map(floats));
        for index in 0..floats[0].len() {
            let sum = numbers
                .iter()
                .fold(0_u64, |sum, values| sum.wrapping_add(values[index]));
            let expected: f64 = floats
                .iter()
                .zip(samples)
                .map(|(values, n)| n as f64 * values[index])
                .sum();
            let found = sum as i64 as f64 * unit;
            assert!(
                (found - expected).abs() <= 3.0 * unit + 1e-12,
                "{name} {index}: {found} for {expected}"
            );
        }
        // Alone, a masked tensor is near its values nowhere.
        let alone = numbers[0].iter().zip(&floats[0]).filter(|(number, value)| {
            (**number as i64 as f64 * unit - samples[0] as f64 * **value).abs() < 1.0
        });
        assert_eq!(alone.count(), 0, "{name}");
    }
}

#[test]
fn a_masked_client_that_diverges_is_absent_without_a_mask() {
    let folder = with_keys();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let wild = TrainArgs {
        recipe: folder.recipe("other.json", |recipe| {
            recipe.optimizer = Optimizer::Sgd {
                learning_rate: 1e30,
                momentum: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            }
        }),
        ..masked(0)
    };
    assert_eq!(
        folder.fail(&Job::Train(wild.clone())).0,
        i32::from(JobExit::NotFinite.code())
    );
    folder.succeed(&Job::Train(TrainArgs {
        absence: Some(Absence::Allowed),
        ..wild
    }));
    let metadata = folder.metadata("m0.st");
    assert!(metadata.contains_key(ABSENT) && !metadata.contains_key(MASKED));
}

#[test]
fn a_missing_key_fails_the_job_whatever_is_allowed() {
    let folder = with_keys();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        secret_key: Some("gone.json".into()),
        absence: Some(Absence::Allowed),
        ..masked(0)
    }));
    assert_eq!(code, 10);
    assert!(stderr.contains("gone.json"), "{stderr}");
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs {
        secret_key: Some("s1.json".into()),
        absence: Some(Absence::Allowed),
        ..masked(0)
    }));
    assert_eq!(code, 11);
    assert!(stderr.contains("s1.json"), "{stderr}");
}
