//! Models and rounds at the edges, and files that lie about themselves.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    tensors::{LOCAL_STEPS, TRAIN_LOSS, TensorKind},
};
use proptest::prelude::*;
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{drawn, updates, with_controls, write_round},
    update,
};

/// Rules that one update is enough for.
const OF_ONE: [&str; 13] = [
    "fedavg",
    "fedprox",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "fednova",
    "qfedavg:q=1,learning_rate=0.1",
    "median",
    "trimmed_mean",
    "geometric_median",
    "norm_bound:norm=1",
    "fedavg --seed 1 --privacy fixed:norm=1,noise_multiplier=1,delta=0.1",
];

/// Rules that need more.
const OF_MANY: [&str; 3] = [
    "krum:byzantine=1",
    "multi_krum:byzantine=1,keep=2",
    "bulyan:byzantine=1",
];

const OUTPUTS: &str = "--output out --state-out state --metrics metrics";

fn write(bench: &Workbench, clients: u32, model: impl Fn(u32) -> Tensors) -> String {
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0));
    for client in 0..clients {
        let more = [(LOCAL_STEPS, "3"), (TRAIN_LOSS, "0.5")];
        bench.write_with(
            &format!("u{client}"),
            update(client, 5 + u64::from(client % 3)),
            &more,
            &model(client + 1),
        );
    }
    updates((0..clients).map(|client| format!("u{client}")))
}

#[test]
fn tensors_without_values_go_through_every_rule() {
    let bench = Workbench::new();
    let model = |seed: u32| -> Tensors {
        vec![
            ("none", Value::f32(&[0], &[])),
            ("none.f16", Value::float(Dtype::F16, &[2, 0, 3], &[])),
            ("none.f64", Value::float(Dtype::F64, &[0, 1 << 40], &[])),
            ("none.i64", Value::i64(&[0], &[])),
            ("bn.running_mean", Value::f32(&[0], &[])),
            ("w", Value::f32(&[], &[seed as f32])),
        ]
    };
    let all = write(&bench, 7, model);
    for strategy in OF_ONE.iter().chain(&OF_MANY).chain(&["fedbn"]) {
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global{all} {OUTPUTS}"
        ));
        for (name, value) in &model(0)[..5] {
            assert_eq!(named(&bench.read("out"), name), value, "{strategy}");
        }
    }
    bench.does("partial --global global --update u0 --update u1 --output p");
    bench.does("partial --global global --update p --update u2 --output q");
    bench.does(
        "aggregate --strategy fedadam --global global --update u3 --update q --output tree --state-out state",
    );
    bench.does(
        "aggregate --strategy fedadam --global global --update u0 --update u1 --update u2 --update u3 --output out",
    );
    assert!(bench.bytes("tree") == bench.bytes("out"));
    for (client, encoding) in (0..).zip(["delta", "int8", "top_k:share=0.5"]) {
        let mut tensors = model(1);
        if encoding == "int8" {
            tensors[0].1 = Value::bytes_of(Dtype::I8, &[0], vec![]);
            tensors[5].1 = Value::bytes_of(Dtype::I8, &[], vec![1]);
            tensors.extend([
                ("none#scale", Value::f32(&[], &[0.0])),
                ("w#scale", Value::f32(&[], &[1.0])),
            ]);
        }
        if encoding.starts_with("top_k") {
            tensors[5].1 = Value::f32(&[1], &[1.0]);
            let index = |count: usize| Value::bytes_of(Dtype::U32, &[count], vec![0; 4 * count]);
            tensors.extend([("none#index", index(0)), ("w#index", index(1))]);
        }
        bench.write_with(
            &format!("e{client}"),
            update(client, 4),
            &[("encoding", encoding)],
            &tensors,
        );
    }
    bench
        .does("aggregate --strategy median --global global --update e0 --update e1 --update e2 --output out");
    assert_eq!(named(&bench.read("out"), "w").floats(), [1.0]);
}

#[test]
fn a_model_of_integers_alone_goes_through_every_rule() {
    let bench = Workbench::new();
    let model = |seed: u32| vec![("n", Value::i64(&[2], &[i64::from(seed), -i64::from(seed)]))];
    let all = write(&bench, 7, model);
    for strategy in OF_ONE.iter().chain(&OF_MANY) {
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global{all} {OUTPUTS}"
        ));
        let value = bench.read("out")[0].1.integers();
        assert!(
            (1..=7).contains(&value[0]) && (-7..=-1).contains(&value[1]),
            "{strategy}"
        );
    }
    bench.does(&format!("partial --global global{all} --output p"));
    bench.does("aggregate --strategy fedavg --global global --update p --output out");
    assert_eq!(bench.read("out")[0].1.integers(), [7, -1]);
}

#[test]
fn one_update_is_a_round_for_rules_that_are_means() {
    let bench = Workbench::new();
    write_round(&bench, 1, Dtype::F32);
    for strategy in ["fedavg", "median", "trimmed_mean", "fedprox"] {
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global --update u0 {OUTPUTS}"
        ));
        assert_eq!(bench.read("out"), bench.read("u0"), "{strategy}");
    }
    for strategy in OF_ONE {
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global --update u0 {OUTPUTS}"
        ));
    }
    for strategy in OF_MANY {
        let line = format!("aggregate --strategy {strategy} --global global --update u0 {OUTPUTS}");
        let message = bench.refuses(&line, JobExit::DataUnfit);
        assert!(
            message.contains("needs at least") && message.contains("there are 1"),
            "{message}"
        );
    }
    let tensors = with_controls(bench.read("u0"), 4);
    bench.write("s0", update(0, 3), &tensors);
    bench.does(&format!(
        "aggregate --strategy scaffold:clients=1 --global global --update s0 {OUTPUTS}"
    ));
}

#[test]
fn settings_that_the_updates_are_too_few_for_are_refused() {
    let bench = Workbench::new();
    write_round(&bench, 8, Dtype::F32);
    let all = updates((0..8).map(|client| format!("u{client}")));
    for strategy in [
        "krum:byzantine=3",
        "krum:byzantine=18446744073709551615",
        "multi_krum:byzantine=1,keep=9",
        "multi_krum:byzantine=1,keep=18446744073709551615",
        "bulyan:byzantine=2",
        "bulyan:byzantine=9223372036854775808",
    ] {
        let line = format!("aggregate --strategy {strategy} --global global{all} --output out");
        bench.refuses(&line, JobExit::DataUnfit);
    }
    bench.does(&format!(
        "aggregate --strategy trimmed_mean:beta=0.4999999 --global global{all} --output out"
    ));
    bench.refuses(
        &format!("aggregate --strategy fedavg --threads 0 --global global{all} --output out"),
        JobExit::Usage,
    );
}

#[test]
fn three_hundred_updates_are_combined_in_shorter_pieces() {
    let bench = Workbench::new();
    let length = 9000;
    let model = |seed: u32| -> Tensors {
        vec![
            (
                "w",
                Value::float(Dtype::F32, &[length], &drawn(u64::from(seed), length)),
            ),
            ("n", Value::i64(&[], &[i64::from(seed)])),
        ]
    };
    let all = write(&bench, 300, model);
    let turned = updates((0..300).rev().map(|client| format!("u{client}")));
    for strategy in [
        "fedavg",
        "fedadam",
        "median",
        "krum:byzantine=20",
        "norm_bound:norm=1",
        "fednova",
    ] {
        let out = |all: &str, threads: u32| {
            bench.does(&format!(
                "aggregate --strategy {strategy} --global global{all} {OUTPUTS} --threads {threads}"
            ));
            (bench.bytes("out"), bench.bytes("state"), bench.bytes("metrics"))
        };
        let first = out(&all, 1);
        assert!(out(&turned, 3) == first, "{strategy}");
        let made = named(&bench.read("out"), "w").floats();
        if strategy == "fedavg" {
            // Beyond the first piece too, by the definition.
            let rows: Vec<Vec<f64>> = (1..=300).map(|seed| model(seed)[0].1.floats()).collect();
            for index in [0, 6989, 6990, 6991, 8999] {
                let (mut sum, mut total) = (0.0, 0.0);
                for (client, row) in rows.iter().enumerate() {
                    let samples = (5 + client % 3) as f64;
                    sum += samples * row[index];
                    total += samples;
                }
                assert!((made[index] - sum / total).abs() < 1e-8, "{index}");
            }
        }
    }
    bench.does(&format!("partial --global global{all} --output p"));
    bench.does("aggregate --strategy fedavg --global global --update p --output tree");
    bench.does(&format!(
        "aggregate --strategy fedavg --global global{all} --output out"
    ));
    assert!(bench.bytes("tree") == bench.bytes("out"));
}

#[test]
fn values_of_a_global_model_that_cannot_be_combined_are_refused() {
    let bench = Workbench::new();
    let odd = vec![("w", Value::bytes_of(Dtype::C64, &[1], vec![0; 8]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &odd);
    bench.write("u0", update(0, 3), &odd);
    let line = "aggregate --strategy fedavg --global global --update u0 --output out";
    let message = bench.refuses(line, JobExit::InputInvalid);
    assert_eq!(
        message,
        "`global`: tensor `w` is of type C64, which cannot be combined"
    );
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &[]);
    let message = bench.refuses(line, JobExit::InputInvalid);
    assert_eq!(message, "`global`: it has no tensors");
    for kind in [
        TensorKind::State,
        TensorKind::Shard,
        TensorKind::Residual,
        TensorKind::Update,
    ] {
        bench.write(
            "global",
            Some(header(kind, 0, None, 1)),
            &[("n", Value::i64(&[], &[1]))],
        );
        bench.refuses(line, JobExit::InputInvalid);
    }
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &[("n", Value::i64(&[], &[1]))],
    );
    for kind in [
        TensorKind::State,
        TensorKind::Shard,
        TensorKind::Residual,
        TensorKind::Model,
    ] {
        bench.write(
            "u0",
            Some(header(kind, 1, Some(0), 1)),
            &[("n", Value::i64(&[], &[1]))],
        );
        let message = bench.refuses(line, JobExit::InputInvalid);
        assert_eq!(message, format!("`u0`: it holds a {kind}, not an update"));
    }
    bench.write(
        "global",
        Some(header(TensorKind::Model, u32::MAX, None, 1)),
        &[("n", Value::i64(&[], &[1]))],
    );
    bench.refuses(line, JobExit::InputInvalid);
}

#[test]
fn a_tensor_named_as_a_control_variate_may_be_the_models_own() {
    let bench = Workbench::new();
    let model = |seed: u32| {
        vec![
            ("w", Value::f32(&[1], &[seed as f32])),
            ("control:w", Value::f32(&[1], &[seed as f32])),
        ]
    };
    let all = write(&bench, 2, model);
    bench.does(&format!(
        "aggregate --strategy median --global global{all} --output out"
    ));
    assert_eq!(named(&bench.read("out"), "control:w").floats(), [1.5]);
}

/// Metadata that jobs look at, and what could stand there.
fn metadata() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let keys = [
        "kind",
        "round",
        "client",
        "num_samples",
        "synthetic",
        "experiment",
        "encoding",
        "partial",
        "masked_fraction_bits",
        "mask_check",
        "absent",
        "local_steps",
        "train_loss",
        "rule_memory",
        "fedwing",
    ];
    let values = prop_oneof![
        Just(String::new()),
        "[0-9]{1,20}",
        Just("-1".to_owned()),
        Just("NaN".to_owned()),
        Just("1e308".to_owned()),
        Just("24".to_owned()),
        Just("1".to_owned()),
        Just("delta".to_owned()),
        Just("int8".to_owned()),
        Just("top_k:share=1".to_owned()),
        Just("partial".to_owned()),
        Just("update".to_owned()),
        Just(
            r#"{"members":[{"client":0,"num_samples":9}],"absent":[],"received_bytes":1,"plain_bytes":1}"#
                .to_owned()
        ),
        Just(r#"{"members":[],"absent":[0,1],"received_bytes":1,"plain_bytes":1}"#.to_owned()),
        "[ -~]{0,12}",
    ];
    prop::collection::vec((prop::sample::select(keys.to_vec()), values), 0..4)
}

fn tensor() -> impl Strategy<Value = Value> {
    let dtypes = [
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
        Dtype::I8,
        Dtype::U32,
        Dtype::U64,
        Dtype::I64,
        Dtype::BOOL,
    ];
    let shapes: [&[usize]; 7] = [&[], &[0], &[2], &[0, 2], &[1, 2], &[3, 2], &[2, 1]];
    (
        prop::sample::select(dtypes.to_vec()),
        prop::sample::select(shapes.to_vec()),
        any::<u8>(),
    )
        .prop_map(|(dtype, shape, byte)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            Value::bytes_of(dtype, shape, vec![byte; bytes])
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_that_lie_are_refused_or_combined_and_never_a_defect(
        more in metadata(),
        wanted in tensor(),
        given in tensor(),
        other in tensor(),
        suffix in prop::sample::select(vec!["", "#scale", "#index", "control:w", "x"]),
        ours: bool,
    ) {
        let bench = Workbench::new();
        let model = [("w", wanted.clone())];
        let name: &str = if suffix == "control:w" { suffix } else { &format!("w{suffix}") };
        let mut tensors = vec![("w", given)];
        if name != "w" {
            tensors.push((name, other));
        }
        let more: Vec<(&str, &str)> = more.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let head = |kind, round, client| ours.then(|| header(kind, round, client, 9));
        bench.write("global", head(TensorKind::Model, 0, None), &model);
        bench.write_with("a", head(TensorKind::Update, 1, Some(0)), &more, &tensors);
        bench.write_with("b", head(TensorKind::Update, 1, Some(1)), &[("num_samples", "9"), ("local_steps", "1"), ("train_loss", "1")], &model);
        bench.write_with("state", head(TensorKind::State, 0, None), &more, &tensors);
        let lines = [
            "aggregate --strategy fedavg --global global --update a --update b --output out --min-clients 1",
            "aggregate --strategy fedadam --global global --update b --update a --output out --state-in state",
            "aggregate --strategy fednova --global global --update b --update a --output out",
            "aggregate --strategy geometric_median --global global --update b --update a --output out",
            "aggregate --strategy scaffold:clients=2 --global global --update a --output out",
            "aggregate --strategy fedavg --global a --update b --output out",
            "partial --global global --update b --update a --output sum",
        ];
        for line in lines {
            let output = bench.run(&line.split(' ').collect::<Vec<_>>());
            let code = output.status.code();
            let defect = code.is_none() || code == Some(i32::from(JobExit::Unexpected.code())) || code == Some(101);
            prop_assert!(!defect, "{}: {}", line, String::from_utf8_lossy(&output.stderr));
        }
    }
}
