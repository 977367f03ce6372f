//! Secure aggregation through its files: keys, masked updates and reveals of a small federation.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use contract::{
    args::{Job, KeysArgs, RevealArgs},
    argv::{InputFile, OutputFile},
    exit::JobExit,
    ids::{ClientId, ExperimentName, Round},
    job::{JobError, write_json},
    metrics::{Metrics, Subject},
    secure::{FRACTION_BITS, Identity, MASK_CHECK, PublicKeyFile, RevealFile, SecretKeyFile},
    tensors::{Header, MASKED, TensorKind},
    units::SampleCount,
};
use fl_client::{
    keys::KeyRing,
    mask::{Masks, Tensor, Values},
    run::run,
};
use kernels::secure::{FixedPoint, Seed, Sign, add_mask, decode_mean, encode};
use safetensors::SafeTensors;
use tempfile::TempDir;

const ROUND: Round = Round(2);
/// More than a block of masking, and no whole number of anything.
const LENGTH: usize = 70_001;

/// A folder with the keys of clients 0 to K - 1.
struct Federation {
    folder: TempDir,
    clients: u32,
}

impl Federation {
    fn with_keys(clients: u32) -> Self {
        let federation = Self {
            folder: TempDir::new().unwrap(),
            clients,
        };
        for client in 0..clients {
            run(Job::Keys(federation.keys(client))).unwrap();
        }
        federation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, kind: &str, client: u32) -> PathBuf {
        self.path(&format!("{kind}{client}"))
    }

    fn inputs(&self, kind: &str) -> Vec<InputFile> {
        (0..self.clients)
            .map(|client| input(&self.file(kind, client)))
            .collect()
    }

    fn keys(&self, client: u32) -> KeysArgs {
        let of = identity(client);
        KeysArgs {
            experiment: of.experiment,
            dataset: of.dataset,
            spec_digest: of.spec_digest,
            client: of.client,
            secret_key: output(&self.file("secret", client)),
            public_key: output(&self.file("public", client)),
        }
    }

    fn ring(&self, client: u32) -> Result<KeyRing, JobError> {
        KeyRing::open(
            identity(client),
            &self.file("secret", client),
            &self.inputs("public"),
        )
    }

    /// Leaves metrics of every client; those in `absent` say that they are.
    fn report(&self, absent: &[u32]) {
        for client in 0..self.clients {
            self.write_metrics(client, &metrics(client, absent.contains(&client)));
        }
    }

    fn write_metrics(&self, client: u32, metrics: &Metrics) {
        write_json(&self.file("metrics", client), metrics).unwrap();
    }

    fn reveal_args(&self, client: u32) -> RevealArgs {
        let of = identity(client);
        RevealArgs {
            experiment: of.experiment,
            dataset: of.dataset,
            spec_digest: of.spec_digest,
            round: ROUND,
            client: of.client,
            secret_key: input(&self.file("secret", client)),
            public_keys: self.inputs("public"),
            train_metrics: self.inputs("metrics"),
            reveal: output(&self.file("reveal", client)),
        }
    }

    fn reveal(&self, client: u32) -> Result<RevealFile, JobError> {
        run(Job::Reveal(self.reveal_args(client)))?;
        Ok(RevealFile::read(&self.file("reveal", client)).unwrap())
    }

    /// The error of a `reveal` job, which leaves no file.
    fn refused_reveal(&self, args: RevealArgs) -> JobError {
        let path = args.reveal.path().to_owned();
        let error = run(Job::Reveal(args)).unwrap_err();
        assert!(!path.exists(), "{} is there", path.display());
        error
    }

    fn write_update(&self, client: u32, values: &[f32]) -> Result<(), JobError> {
        let masks = Masks::new(&self.ring(client)?, ROUND)?;
        let count = (-5_i64 - i64::from(client)).to_le_bytes();
        let tensors = [
            Tensor {
                name: "bn.running_mean",
                shape: &[1],
                values: Values::Real(&values[..1]),
            },
            Tensor {
                name: "bn.num_batches_tracked",
                shape: &[],
                values: Values::Kept {
                    dtype: "I64",
                    bytes: &count,
                },
            },
            Tensor {
                name: "fc.weight",
                shape: &[1, LENGTH - 1],
                values: Values::Real(&values[1..]),
            },
        ];
        let extra = [("note", "kept".to_owned())];
        masks.write(&self.file("update", client), &header(client), &extra, &tensors)
    }
}

fn input(path: &Path) -> InputFile {
    InputFile::from(path.to_str().unwrap())
}

fn output(path: &Path) -> OutputFile {
    OutputFile::from(path.to_str().unwrap())
}

fn identity(client: u32) -> Identity {
    Identity {
        experiment: "e1".parse().unwrap(),
        dataset: "nih".parse().unwrap(),
        spec_digest: "ab".repeat(32).parse().unwrap(),
        client: ClientId(client),
    }
}

fn samples(client: u32) -> u64 {
    100 + 37 * u64::from(client)
}

fn values(client: u32) -> Vec<f32> {
    (0..LENGTH)
        .map(|index| ((index * 31 + client as usize * 7) % 1009) as f32 / 505.0 - 1.0)
        .collect()
}

fn header(client: u32) -> Header {
    let of = identity(client);
    Header {
        kind: TensorKind::Update,
        experiment: of.experiment,
        dataset: of.dataset,
        spec_digest: of.spec_digest,
        synthetic: true,
        round: Some(ROUND),
        client: Some(of.client),
        num_samples: SampleCount(samples(client)),
        arch: None,
        channels: 1,
        image_size: 8,
        num_classes: 2,
        target: contract::training::Target::Classes,
        classes: Vec::new(),
        normalize: None,
    }
}

fn metrics(client: u32, absent: bool) -> Metrics {
    let of = identity(client);
    Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: Some(of.experiment),
        dataset: Some(of.dataset),
        spec_digest: Some(of.spec_digest),
        synthetic: true,
        backend: None,
        num_samples: SampleCount(samples(client)),
        subject: Subject::Train {
            round: ROUND,
            client: of.client,
            epoch_loss: Vec::new(),
            validation_loss: Vec::new(),
            best_epoch: None,
            privacy: None,
            absent: absent.then(|| "the loss is NaN".to_owned()),
        },
        scores: None,
    }
}

/// The masked numbers of an update in parameter order, and its masked check.
fn read_update(path: &Path) -> (Vec<u64>, u64) {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    assert_eq!(metadata[MASKED], FRACTION_BITS.to_string());
    assert_eq!(metadata["note"], "kept");
    assert_eq!(
        Header::from_metadata(|key| metadata.get(key).map(String::as_str))
            .unwrap()
            .round,
        Some(ROUND)
    );
    let mut numbers = Vec::new();
    for (name, length) in [("bn.running_mean", 1), ("fc.weight", LENGTH - 1)] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), safetensors::Dtype::U64, "{name}");
        assert_eq!(tensor.shape().iter().product::<usize>(), length, "{name}");
        numbers.extend(
            tensor
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|bytes| u64::from_le_bytes(*bytes)),
        );
    }
    let count = file.tensor("bn.num_batches_tracked").unwrap();
    assert_eq!(count.dtype(), safetensors::Dtype::I64);
    assert!(i64::from_le_bytes(count.data().try_into().unwrap()) <= -5);
    (numbers, metadata[MASK_CHECK].parse().unwrap())
}

fn plain(client: u32, clients: u32) -> Vec<u64> {
    let mut out = vec![0; LENGTH];
    let fixed = FixedPoint::new(FRACTION_BITS, u64::from(clients)).unwrap();
    encode(&values(client), samples(client), fixed, &mut out).unwrap();
    out
}

#[test]
fn masked_files_of_all_present_clients_sum_to_the_plain_sum_with_reveals() {
    for absent in [vec![], vec![1], vec![0, 3]] {
        let federation = Federation::with_keys(4);
        federation.report(&absent);
        let present: Vec<u32> = (0..4).filter(|client| !absent.contains(client)).collect();
        let (mut sum, mut check, mut expected) = (vec![0_u64; LENGTH], [0_u64], vec![0_u64; LENGTH]);
        for client in &present {
            federation.write_update(*client, &values(*client)).unwrap();
            let (numbers, masked_check) = read_update(&federation.file("update", *client));
            assert_ne!(numbers, plain(*client, 4));
            check[0] = check[0].wrapping_add(masked_check);
            for (place, (number, plain)) in numbers.iter().zip(plain(*client, 4)).enumerate() {
                sum[place] = sum[place].wrapping_add(*number);
                expected[place] = expected[place].wrapping_add(plain);
            }
        }
        let total: u64 = present.iter().map(|client| samples(*client)).sum();
        // Until the masks of absent clients are out, the check says that they are not.
        assert_eq!(check[0] == total, absent.is_empty());
        for client in &present {
            let revealed = federation.reveal(*client).unwrap();
            let clients: Vec<u32> = revealed.seeds.iter().map(|seed| seed.absent.0).collect();
            assert_eq!(clients, absent, "client {client} reveals the absent and no other");
            for revealed in revealed.seeds {
                let sign = Sign::between(*client, revealed.absent.0).opposite();
                add_mask(&Seed(revealed.seed.0), 0, sign, &mut sum);
                add_mask(&Seed(revealed.seed.0), LENGTH as u64, sign, &mut check);
            }
        }
        assert!(sum == expected, "absent {absent:?}");
        assert_eq!(check[0], total);
        let mean = decode_mean(sum[5], FRACTION_BITS, total);
        let exact: f64 = present
            .iter()
            .map(|client| samples(*client) as f64 * f64::from(values(*client)[5]))
            .sum();
        assert!((mean - exact / total as f64).abs() < 1e-9);
    }
}

#[test]
fn the_same_keys_and_values_give_the_same_bytes() {
    let federation = Federation::with_keys(3);
    federation.write_update(1, &values(1)).unwrap();
    let first = fs::read(federation.file("update", 1)).unwrap();
    federation.write_update(1, &values(1)).unwrap();
    assert!(first == fs::read(federation.file("update", 1)).unwrap());
    // Other keys, other masks.
    let other = Federation::with_keys(3);
    other.write_update(1, &values(1)).unwrap();
    assert!(first != fs::read(other.file("update", 1)).unwrap());
}

#[test]
fn a_value_that_could_wrap_is_refused_by_tensor_and_value_and_leaves_no_file() {
    let federation = Federation::with_keys(2);
    for (value, exit, text) in [
        (
            1e10,
            JobExit::DataUnfit,
            "the value is 10000000000.0 at index 69999, times 100 samples",
        ),
        (f32::NAN, JobExit::NotFinite, "the value is NaN at index 69999"),
    ] {
        let mut wrong = values(0);
        wrong[LENGTH - 1] = value;
        let error = federation.write_update(0, &wrong).unwrap_err();
        assert_eq!(error.exit, exit);
        assert!(
            error.message.starts_with("tensor `fc.weight` cannot be masked: "),
            "{error}"
        );
        assert!(error.message.contains(text), "{error}");
        let left: Vec<_> = fs::read_dir(federation.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            left.iter().all(|name| !name.to_str().unwrap().contains("update")),
            "{left:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_secret_key_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let federation = Federation::with_keys(1);
    let mode = fs::metadata(federation.file("secret", 0))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn keys_are_drawn_anew_for_each_client_and_belong_together() {
    let federation = Federation::with_keys(3);
    let mut seen = std::collections::BTreeSet::new();
    for client in 0..3 {
        let secret = SecretKeyFile::read(&federation.file("secret", client)).unwrap();
        let public = PublicKeyFile::read(&federation.file("public", client)).unwrap();
        assert_eq!((&secret.of, &public.of), (&identity(client), &identity(client)));
        assert_eq!(
            kernels::secure::SecretKey::new(secret.secret.0).public().0,
            public.public.0
        );
        assert!(seen.insert(secret.secret.0));
    }
}

#[test]
fn repeating_the_keys_job_keeps_the_secret() {
    let federation = Federation::with_keys(1);
    let files = [federation.file("secret", 0), federation.file("public", 0)];
    let before = files.clone().map(|file| fs::read(file).unwrap());
    run(Job::Keys(federation.keys(0))).unwrap();
    assert_eq!(before, files.clone().map(|file| fs::read(file).unwrap()));
    // Stopped between the two files.
    fs::remove_file(&files[1]).unwrap();
    run(Job::Keys(federation.keys(0))).unwrap();
    assert_eq!(before, files.map(|file| fs::read(file).unwrap()));
}

#[test]
fn keys_of_another_experiment_or_client_are_not_overwritten() {
    let federation = Federation::with_keys(2);
    let files = [federation.file("secret", 0), federation.file("public", 0)];
    let before = files.clone().map(|file| fs::read(file).unwrap());
    let mut of_e2 = federation.keys(0);
    of_e2.experiment = ExperimentName::new("e2").unwrap();
    let mut of_client_1 = federation.keys(0);
    of_client_1.client = ClientId(1);
    for (args, text) in [
        (of_e2, "one of client 0 of dataset `nih` of experiment `e2`"),
        (of_client_1, "one of client 1 "),
    ] {
        // With and without its public key beside it.
        for public in [files[1].clone(), federation.path("elsewhere")] {
            let args = KeysArgs {
                public_key: output(&public),
                ..args.clone()
            };
            let error = run(Job::Keys(args)).unwrap_err();
            assert_eq!(error.exit, JobExit::InputInvalid);
            assert!(error.message.contains(text), "{error}");
            assert_eq!(before, files.clone().map(|file| fs::read(file).unwrap()));
        }
    }
    assert!(!federation.path("elsewhere").exists());
}

#[test]
fn a_public_key_whose_secret_is_lost_is_not_replaced() {
    let federation = Federation::with_keys(2);
    let before = fs::read(federation.file("public", 0)).unwrap();
    fs::remove_file(federation.file("secret", 0)).unwrap();
    let error = run(Job::Keys(federation.keys(0))).unwrap_err();
    assert!(
        error.message.contains("not the public key of the secret key"),
        "{error}"
    );
    assert!(!federation.file("secret", 0).exists());
    assert_eq!(before, fs::read(federation.file("public", 0)).unwrap());
}

#[test]
fn newer_key_files_are_refused_and_stay() {
    let federation = Federation::with_keys(2);
    let newer = r#"{"fedwing_secret_key": 2, "curve": 448}"#;
    fs::write(federation.file("secret", 0), newer).unwrap();
    let error = run(Job::Keys(federation.keys(0))).unwrap_err();
    assert!(
        error
            .message
            .contains("it says `fedwing_secret_key` 2, this program reads version 1"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(federation.file("secret", 0)).unwrap(), newer);
    let federation = Federation::with_keys(2);
    fs::write(federation.file("public", 1), r#"{"fedwing_public_key": 7}"#).unwrap();
    let error = federation.ring(0).unwrap_err();
    assert!(
        error.message.contains("it says `fedwing_public_key` 7"),
        "{error}"
    );
}

#[test]
fn keys_that_do_not_belong_together_are_refused_by_file() {
    let federation = Federation::with_keys(3);
    let (secret, publics) = (federation.file("secret", 0), federation.inputs("public"));
    let refused = |of: Identity, publics: &[InputFile], exit: JobExit, text: &str| {
        let error = KeyRing::open(of, &secret, publics).unwrap_err();
        assert_eq!(error.exit, exit, "{error}");
        assert!(error.message.contains(text), "{error}");
    };
    assert!(KeyRing::open(identity(0), &secret, &publics).is_ok());
    refused(
        identity(1),
        &publics,
        JobExit::InputInvalid,
        "the secret key of client 0 ",
    );
    let twice = [publics[0].clone(), publics[1].clone(), publics[1].clone()];
    refused(
        identity(0),
        &twice,
        JobExit::InputInvalid,
        "the public key of client 1, as does",
    );
    refused(
        identity(0),
        &publics[1..],
        JobExit::Usage,
        "no public key of client 0 itself",
    );
    refused(
        identity(0),
        &publics[..1],
        JobExit::Usage,
        "1 public keys, masks need at least 2",
    );
    let change = |client: u32, change: &dyn Fn(&mut PublicKeyFile)| {
        let path = federation.file("public", client);
        let mut file = PublicKeyFile::read(&path).unwrap();
        change(&mut file);
        write_json(&path, &file).unwrap();
    };
    change(2, &|file| file.public.0 = [0; 32]);
    let error = Masks::new(&federation.ring(0).unwrap(), ROUND).unwrap_err();
    assert!(
        error
            .message
            .contains("the public key of client 2 is a point of low order"),
        "{error}"
    );
    change(2, &|file| file.of.dataset = "tcia".parse().unwrap());
    refused(
        identity(0),
        &publics,
        JobExit::InputInvalid,
        "client 2 of dataset `tcia`",
    );
    change(2, &|file| file.of = identity(2));
    change(0, &|file| file.public.0[0] ^= 1);
    refused(
        identity(0),
        &publics,
        JobExit::InputInvalid,
        "it is not the public key of",
    );
}

#[test]
fn nothing_is_revealed_of_present_clients_nor_by_absent_ones() {
    let federation = Federation::with_keys(4);
    federation.report(&[]);
    assert_eq!(federation.reveal(0).unwrap().seeds, []);
    federation.report(&[2]);
    let file = federation.reveal(0).unwrap();
    assert_eq!((file.of, file.round), (identity(0), ROUND));
    assert_eq!(file.seeds.len(), 1);
    let ring = federation.ring(0).unwrap();
    let seed = |round, client| ring.seed(Round(round), ClientId(client)).unwrap().0;
    assert_eq!(file.seeds[0].seed.0, seed(ROUND.0, 2));
    assert_eq!(
        federation.ring(2).unwrap().seed(ROUND, ClientId(0)).unwrap().0,
        seed(ROUND.0, 2)
    );
    // What is revealed of a round tells neither other pairs nor other rounds.
    assert_ne!(seed(ROUND.0, 2), seed(ROUND.0 + 1, 2));
    assert_ne!(seed(ROUND.0, 2), seed(ROUND.0, 1));
    assert_eq!(
        federation.reveal(2).unwrap().seeds,
        [],
        "an absent client's masks are in no sum"
    );
}

#[test]
fn the_last_client_present_does_not_open_its_update() {
    let federation = Federation::with_keys(3);
    federation.report(&[0, 2]);
    let error = federation.refused_reveal(federation.reveal_args(1));
    assert_eq!(error.exit, JobExit::DataUnfit);
    assert!(
        error.message.starts_with("only client 1 is present in round 2: "),
        "{error}"
    );
}

#[test]
fn reveal_refuses_metrics_that_are_not_each_clients_own_of_this_round() {
    let federation = Federation::with_keys(3);
    let refused = |metrics: &Metrics, text: &str| {
        federation.report(&[2]);
        federation.write_metrics(2, metrics);
        let error = federation.refused_reveal(federation.reveal_args(0));
        assert_eq!(error.exit, JobExit::InputInvalid, "{error}");
        assert!(error.message.contains(text), "{error}");
    };
    let absent = metrics(2, true);
    let with_subject = |subject: Subject| Metrics {
        subject,
        ..absent.clone()
    };
    let subject = |round: u32, client: u32| Subject::Train {
        round: Round(round),
        client: ClientId(client),
        epoch_loss: Vec::new(),
        validation_loss: Vec::new(),
        best_epoch: None,
        privacy: None,
        absent: Some("no".to_owned()),
    };
    let mut other = absent.clone();
    other.experiment = Some("e2".parse().unwrap());
    refused(&other, "it is of another experiment, expected e1");
    let mut other = absent.clone();
    other.dataset = None;
    refused(&other, "it is of another dataset, expected nih");
    let mut other = absent.clone();
    other.spec_digest = Some("cd".repeat(32).parse().unwrap());
    refused(&other, "it is of another specification");
    refused(&with_subject(subject(3, 2)), "it is of another round, expected 2");
    refused(
        &with_subject(subject(2, 7)),
        "it is of client 7, of whom no public key is given",
    );
    refused(&with_subject(subject(2, 1)), "it is of client 1, as is");
    let evaluate = Subject::Evaluate {
        round: ROUND,
        test_dataset: "nih".parse().unwrap(),
        client: None,
    };
    refused(
        &with_subject(evaluate),
        "it is of another kind, expected a client's training",
    );
    let mut newer = absent.clone();
    newer.fedwing_metrics = Metrics::VERSION + 1;
    refused(
        &newer,
        "it says `fedwing_metrics` 3, this program reads version 2",
    );
}

#[test]
fn reveal_refuses_when_a_clients_metrics_are_missing() {
    let federation = Federation::with_keys(3);
    federation.report(&[2]);
    let mut args = federation.reveal_args(0);
    args.train_metrics.remove(2);
    let error = federation.refused_reveal(args);
    assert_eq!(error.exit, JobExit::Usage);
    assert!(
        error
            .message
            .starts_with("no training metrics of client 2 are given"),
        "{error}"
    );
    fs::remove_file(federation.file("metrics", 1)).unwrap();
    let error = federation.refused_reveal(federation.reveal_args(0));
    assert_eq!(error.exit, JobExit::InputMissing);
}
