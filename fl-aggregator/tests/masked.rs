//! Masked updates: their mean, with and without absent clients, and what is refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    ids::{ClientId, Round},
    secure::{FRACTION_BITS, Hex32, Identity, MASK_CHECK, RevealFile, RevealedSeed},
    tensors::{ABSENT, MASKED, TensorKind},
};
use kernels::secure::{FixedPoint, Seed, Sign, add_mask, encode};
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{COUNTER, network, samples, updates, write_round},
    update,
};

/// What two clients share; `keys` tells one run's keys from another's.
fn seed(a: u32, b: u32, keys: u8) -> Seed {
    let mut seed = [keys; 32];
    seed[0] = a.min(b) as u8;
    seed[1] = a.max(b) as u8;
    Seed(seed)
}

/// Masks floating-point tensors as a client does: counted through in the global model's order.
fn masked(tensors: &Tensors, client: u32, clients: u32, keys: u8) -> (Tensors, u64) {
    let fixed = FixedPoint::new(FRACTION_BITS, u64::from(clients)).unwrap();
    let mask = |first: u64, numbers: &mut [u64]| {
        for other in (0..clients).filter(|other| *other != client) {
            add_mask(
                &seed(client, other, keys),
                first,
                Sign::between(client, other),
                numbers,
            );
        }
    };
    let mut first = 0;
    let mut of = |value: &Value| {
        let values = value.floats();
        let mut numbers = vec![0; values.len()];
        encode(&values, samples(client), fixed, &mut numbers).unwrap();
        mask(first, &mut numbers);
        first += numbers.len() as u64;
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Value::bytes_of(Dtype::U64, &value.shape, bytes)
    };
    let tensors = tensors
        .iter()
        .map(|(name, value)| match value.dtype {
            Dtype::I64 => (*name, value.clone()),
            _ => (*name, of(value)),
        })
        .collect();
    let mut check = [samples(client)];
    mask(first, &mut check);
    (tensors, check[0])
}

fn write_masked(bench: &Workbench, client: u32, clients: u32, float: Dtype, keys: u8) {
    let (tensors, check) = masked(&network(u64::from(client) + 1, float), client, clients, keys);
    let (bits, check) = (FRACTION_BITS.to_string(), check.to_string());
    let more = [(MASKED, bits.as_str()), (MASK_CHECK, check.as_str())];
    bench.write_with(
        &format!("m{client}"),
        update(client, samples(client)),
        &more,
        &tensors,
    );
}

/// Plain updates `u0` ... and masked ones `m0` ...; those in `absent` say that they are.
fn write_masked_round(clients: u32, float: Dtype, absent: &[u32]) -> Workbench {
    let bench = Workbench::new();
    write_round(&bench, clients, float);
    for client in 0..clients {
        write_masked(&bench, client, clients, float, 7);
        if absent.contains(&client) {
            bench.write_with(&format!("m{client}"), update(client, 1), &[(ABSENT, "ill")], &[]);
        } else {
            bench.write_bytes(
                &format!("r{client}"),
                &serde_json::to_vec(&reveal(client, absent)).unwrap(),
            );
        }
    }
    bench
}

fn reveal(client: u32, absent: &[u32]) -> RevealFile {
    let revealed = |absent: &u32| RevealedSeed {
        absent: ClientId(*absent),
        seed: Hex32(seed(client, *absent, 7).0),
    };
    RevealFile {
        fedwing_reveal: RevealFile::VERSION,
        of: Identity {
            experiment: "e1".parse().unwrap(),
            dataset: "nih".parse().unwrap(),
            spec_digest: "0".repeat(64).parse().unwrap(),
            client: ClientId(client),
        },
        round: Round(1),
        seeds: absent.iter().map(revealed).collect(),
    }
}

fn write_reveal(bench: &Workbench, name: &str, file: &RevealFile) {
    bench.write_bytes(name, &serde_json::to_vec(file).unwrap());
}

fn of(kind: &str, clients: impl IntoIterator<Item = u32>) -> String {
    updates(clients.into_iter().map(|client| format!("{kind}{client}")))
}

fn reveals(clients: impl IntoIterator<Item = u32>) -> String {
    clients
        .into_iter()
        .map(|client| format!(" --reveal r{client}"))
        .collect()
}

fn aggregate(rest: &str) -> String {
    format!("aggregate --strategy fedavg --global global --output out {rest}")
}

/// The new model is that of the plain updates to a millionth, or to the format's precision.
fn is_the_plain_mean(bench: &Workbench, present: &[u32], float: Dtype) {
    let made = bench.read("out");
    bench.does(&format!(
        "aggregate --strategy fedavg --global global --output plain{}",
        of("u", present.iter().copied())
    ));
    let unit = match float {
        Dtype::F16 => 1e-3,
        Dtype::BF16 => 8e-3,
        _ => 1e-6,
    };
    for (name, plain) in bench.read("plain") {
        let value = named(&made, name);
        assert_eq!((value.dtype, &value.shape), (plain.dtype, &plain.shape), "{name}");
        if name == COUNTER {
            assert_eq!(*value, plain);
            continue;
        }
        for (a, b) in value.floats().iter().zip(plain.floats()) {
            assert!(
                (a - b).abs() <= unit * b.abs().max(1.0),
                "{float} {name}: {a} {b}"
            );
        }
    }
}

#[test]
fn the_mean_of_masked_updates_is_the_plain_mean_in_every_format() {
    for float in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let bench = write_masked_round(6, float, &[]);
        bench.does(&aggregate(&format!(
            "{} --metrics metrics --state-out state",
            of("m", 0..6)
        )));
        is_the_plain_mean(&bench, &[0, 1, 2, 3, 4, 5], float);
        assert_eq!(bench.header("out").num_samples, bench.header("plain").num_samples);
        let first = bench.bytes("out");
        bench.does(&aggregate(&format!(
            "{} --threads 3",
            of("m", [3, 5, 0, 1, 4, 2])
        )));
        assert!(bench.bytes("out") == first);
        bench.does(&aggregate(&format!("{} --threads 1", of("m", (0..6).rev()))));
        assert!(bench.bytes("out") == first);
    }
}

#[test]
fn masks_shared_with_absent_clients_are_taken_out() {
    for absent in [vec![2], vec![0, 4], vec![5]] {
        let bench = write_masked_round(6, Dtype::F32, &absent);
        let present: Vec<u32> = (0..6).filter(|client| !absent.contains(client)).collect();
        let line = |who: &[u32], threads: u32| {
            aggregate(&format!(
                "{}{} --min-clients 2 --threads {threads}",
                of("m", 0..6),
                reveals(who.iter().copied())
            ))
        };
        bench.does(&line(&present, 1));
        is_the_plain_mean(&bench, &present, Dtype::F32);
        let first = bench.bytes("out");
        let turned: Vec<u32> = present.iter().rev().copied().collect();
        bench.does(&line(&turned, 3));
        assert!(bench.bytes("out") == first);
    }
}

#[test]
fn masks_of_tensors_of_many_pieces_are_taken_out() {
    let bench = Workbench::new();
    let length = 70_001;
    let model = |seed: u64| {
        vec![(
            "w",
            Value::float(Dtype::F32, &[length], &workbench::network::drawn(seed, length)),
        )]
    };
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0));
    for client in 0..3 {
        let (tensors, check) = masked(&model(u64::from(client) + 1), client, 3, 7);
        let (bits, check) = (FRACTION_BITS.to_string(), check.to_string());
        let more = [(MASKED, bits.as_str()), (MASK_CHECK, check.as_str())];
        bench.write_with(
            &format!("m{client}"),
            update(client, samples(client)),
            &more,
            &tensors,
        );
    }
    bench.write_with("m1", update(1, 1), &[(ABSENT, "ill")], &[]);
    for client in [0, 2] {
        write_reveal(&bench, &format!("r{client}"), &reveal(client, &[1]));
    }
    bench.does(&aggregate(&format!(
        "{}{} --min-clients 2",
        of("m", 0..3),
        reveals([0, 2])
    )));
    let (a, c) = (model(1)[0].1.floats(), model(3)[0].1.floats());
    let (n, m) = (samples(0) as f64, samples(2) as f64);
    for (index, made) in named(&bench.read("out"), "w").floats().iter().enumerate() {
        let expected = (n * a[index] + m * c[index]) / (n + m);
        assert!((made - expected).abs() < 1e-6, "{index}: {made} {expected}");
    }
}

#[test]
fn reveals_that_are_missing_wrong_or_too_many_are_refused() {
    let bench = write_masked_round(5, Dtype::F32, &[3]);
    let refused = |rest: &str, exit| {
        bench.refuses(
            &aggregate(&format!("{}{rest} --min-clients 2", of("m", 0..5))),
            exit,
        )
    };
    assert_eq!(
        refused(&reveals([0, 1, 4]), JobExit::Usage),
        "client 3 is absent, and no `--reveal` has the mask that client 2 shares with it"
    );
    refused("", JobExit::Usage);
    assert_eq!(
        refused(&reveals([0, 1, 2, 4, 0]), JobExit::InputInvalid),
        "`r0`: the mask of clients 0 and 3 is revealed twice"
    );
    let all = reveals([0, 1, 2, 4]);
    let extra = |change: &dyn Fn(&mut RevealFile)| {
        let mut file = reveal(0, &[3]);
        change(&mut file);
        write_reveal(&bench, "r0", &file);
        let message = refused(&all, JobExit::InputInvalid);
        write_reveal(&bench, "r0", &reveal(0, &[3]));
        message
    };
    // A mask of two present clients, of an absent one with itself, of one nobody knows.
    let in_no_sum = "`r0`: it reveals the mask of clients 0 and 1, whose updates do not leave it in the sum";
    assert_eq!(extra(&|file| file.seeds.extend(reveal(0, &[1]).seeds)), in_no_sum);
    assert!(extra(&|file| file.of.client = ClientId(3)).contains("clients 3 and 3"));
    assert!(extra(&|file| file.of.client = ClientId(77)).contains("clients 77 and 3"));
    assert!(extra(&|file| file.round = Round(2)).contains("another round or experiment"));
    assert!(extra(&|file| file.of.dataset = "tcia".parse().unwrap()).contains("another round or experiment"));
    assert!(extra(&|file| file.fedwing_reveal = 2).contains("this program reads version 1"));
    let cancel =
        "the masks of these updates do not cancel: one is missing or of other keys, or a reveal is wrong";
    assert_eq!(extra(&|file| file.seeds[0].seed = Hex32([1; 32])), cancel);
    // Seeds of two clients exchanged.
    assert_eq!(extra(&|file| file.seeds[0].seed = Hex32(seed(1, 3, 7).0)), cancel);
    bench.write_bytes("r9", b"{}");
    assert!(refused(&format!("{all} --reveal r9"), JobExit::InputInvalid).contains("not a reveal file"));
    refused(&format!("{all} --reveal gone"), JobExit::InputMissing);
    bench.does(&aggregate(&format!("{}{all} --min-clients 2", of("m", 0..5))));
}

#[test]
fn masks_that_do_not_cancel_are_refused() {
    let cancel =
        "the masks of these updates do not cancel: one is missing or of other keys, or a reveal is wrong";
    let bench = write_masked_round(5, Dtype::F32, &[]);
    let refused = |rest: &str| bench.refuses(&aggregate(rest), JobExit::InputInvalid);
    // One is missing, without saying so.
    assert_eq!(refused(&of("m", 0..4)), cancel);
    // One is of another run's keys.
    write_masked(&bench, 2, 5, Dtype::F32, 8);
    assert_eq!(refused(&of("m", 0..5)), cancel);
    // One says that it has other samples than it was masked with.
    write_masked(&bench, 2, 5, Dtype::F32, 7);
    bench.does(&aggregate(&of("m", 0..5)));
    let (tensors, check) = masked(&network(3, Dtype::F32), 2, 5, 7);
    let (bits, check) = (FRACTION_BITS.to_string(), check.to_string());
    let write =
        |samples: u64, more: &[(&str, &str)]| bench.write_with("m2", update(2, samples), more, &tensors);
    write(samples(2) + 1, &[(MASKED, &bits), (MASK_CHECK, &check)]);
    assert_eq!(refused(&of("m", 0..5)), cancel);
    write(samples(2), &[(MASKED, &bits)]);
    assert_eq!(
        refused(&of("m", 0..5)),
        "`m2`: its metadata has no number `mask_check`"
    );
    write(samples(2), &[(MASKED, &bits), (MASK_CHECK, "1e5")]);
    refused(&of("m", 0..5));
}

#[test]
fn masked_updates_have_a_plain_mean_and_nothing_else() {
    let bench = write_masked_round(5, Dtype::F32, &[]);
    let all = of("m", 0..5);
    for strategy in [
        "fedadam",
        "fedavgm",
        "fedbn",
        "median",
        "krum:byzantine=1",
        "fednova",
        "norm_bound:norm=1",
        "fedavg --privacy fixed:norm=1,noise_multiplier=0,delta=0.001",
        "fedavg --keep bn.*",
    ] {
        let line = format!("aggregate --strategy {strategy} --global global{all} --output out");
        let message = bench.refuses(&line, JobExit::Usage);
        assert!(
            message.starts_with("masked updates have a plain mean only"),
            "{message}"
        );
    }
    bench.does(&format!(
        "aggregate --strategy fedprox --global global{all} --output out"
    ));
    let message = bench.refuses(
        &format!("partial --global global{all} --output sum"),
        JobExit::InputInvalid,
    );
    assert_eq!(message, "`m0`: it is masked: `aggregate` adds masked updates up");
    let message = bench.refuses(
        &aggregate(&format!("{} --reveal r0", of("u", 0..5))),
        JobExit::Usage,
    );
    assert_eq!(message, "`--reveal` is for masked updates; these are not");
}

#[test]
fn masked_and_plain_updates_and_sums_do_not_mix() {
    let bench = write_masked_round(5, Dtype::F32, &[]);
    let refused = |rest: &str| bench.refuses(&aggregate(rest), JobExit::InputInvalid);
    assert_eq!(
        refused(&format!("{} --update u0", of("m", 1..5))),
        "`u0`: it is not masked, `m1` is masked with 24 fractional bits"
    );
    assert_eq!(
        refused(&format!("--update u0{}", of("m", 1..5))),
        "`m1`: it is masked with 24 fractional bits, `u0` is not masked"
    );
    bench.does("partial --global global --update u0 --update u1 --output p");
    refused(&format!("--update p{}", of("m", 2..5)));
    let (tensors, check) = masked(&network(3, Dtype::F32), 2, 5, 7);
    let check = check.to_string();
    bench.write_with(
        "m2",
        update(2, samples(2)),
        &[(MASKED, "20"), (MASK_CHECK, &check)],
        &tensors,
    );
    assert!(refused(&of("m", 0..5)).contains("masked with 20 fractional bits"));
    for bits in ["4000000000", "53", "64", "-1", "many", ""] {
        bench.write_with(
            "m2",
            update(2, samples(2)),
            &[(MASKED, bits), (MASK_CHECK, &check)],
            &tensors,
        );
        assert_eq!(
            refused("--update m2"),
            format!("`m2`: metadata `masked_fraction_bits` is `{bits}`, not a number of bits from 0 to 52")
        );
    }
}

#[test]
fn one_masked_update_alone_is_not_opened() {
    let bench = write_masked_round(3, Dtype::F32, &[0, 1]);
    let line = aggregate(&format!("{} --reveal r2 --min-clients 1", of("m", 0..3)));
    let message = bench.refuses(&line, JobExit::DataUnfit);
    assert!(
        message.starts_with("only one masked update is there"),
        "{message}"
    );
    // Nor one without a name.
    let (tensors, check) = masked(&network(3, Dtype::F32), 2, 3, 7);
    let check = check.to_string();
    let more = [(MASKED, "24"), (MASK_CHECK, check.as_str()), ("num_samples", "5")];
    bench.write_with("n", None, &more, &tensors);
    let message = bench.refuses(&aggregate("--update n --update m2"), JobExit::InputInvalid);
    assert_eq!(message, "`n`: it is masked, but names no client");
}
