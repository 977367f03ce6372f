//! Trees of sums end in the bytes of the flat aggregation, whoever is absent, and hostile sums are refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    ids::ClientId,
    metrics::Subject,
    tensors::{ABSENT, Header, TensorKind},
};
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::{Value as Json, json};
use workbench::{
    Tensors, Value, Workbench, header,
    network::{drawn, network, samples, updates, write_round},
    update,
};

const FLOATS: [Dtype; 4] = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];

/// Numbers of many magnitudes, subnormal ones and zeros of both signs among them, in every format.
fn model(seed: u64) -> Tensors {
    let magnitudes = |least: f64, most: f64| -> Vec<f64> {
        let (values, sizes) = (drawn(seed + 3, 120), drawn(seed + 1000, 120));
        let of =
            |(value, size): (&f64, &f64)| value * 2_f64.powf(least + (most - least) * (size + 1.0) / 2.0);
        let mut values: Vec<f64> = values.iter().zip(&sizes).map(of).collect();
        values[5] = 0.0;
        values[6] = -0.0;
        values[7] = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
        values
    };
    vec![
        ("f16", Value::float(Dtype::F16, &[120], &magnitudes(-24.0, 10.0))),
        (
            "bf16",
            Value::float(Dtype::BF16, &[3, 40], &magnitudes(-133.0, 20.0)),
        ),
        ("f32", Value::float(Dtype::F32, &[120], &magnitudes(-149.0, 20.0))),
        (
            "f64",
            Value::float(Dtype::F64, &[120], &magnitudes(-1074.0, 40.0)),
        ),
        ("near", Value::float(Dtype::F64, &[120], &magnitudes(-60.0, 0.0))),
        ("bn.running_var", Value::f32(&[2], &[0.1 + seed as f32, 1e-40])),
        ("none", Value::f32(&[0, 3], &[])),
        ("count", Value::i64(&[2], &[seed as i64, -(seed as i64)])),
    ]
}

fn write_models(bench: &Workbench, clients: u32, equal: bool) {
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0));
    for client in 0..clients {
        let samples = if equal {
            17
        } else {
            1 + u64::from(client * client) % 37
        };
        bench.write(
            &format!("u{client}"),
            update(client, samples),
            &model(u64::from(client) + 1),
        );
    }
}

/// Adds files up in groups of 1 to 4, in any order, `depth` times; returns the roots.
fn grow(bench: &Workbench, mut files: Vec<String>, depth: u32, seed: u64) -> Vec<String> {
    for level in 0..depth {
        let choices = drawn(seed + u64::from(level), 2 * files.len());
        let choice = |place: usize, of: usize| ((choices[place] + 1.0) / 2.0 * of as f64) as usize % of;
        for place in (1..files.len()).rev() {
            files.swap(place, choice(place, place + 1));
        }
        let (mut next, mut rest) = (Vec::new(), &files[..]);
        while !rest.is_empty() {
            let (group, left) = rest.split_at(rest.len().min(1 + choice(files.len() + rest.len() - 1, 4)));
            let name = format!("p{level}-{}", next.len());
            bench.does(&format!(
                "partial --global global{} --output {name} --threads 2",
                updates(group)
            ));
            next.push(name);
            rest = left;
        }
        files = next;
    }
    files
}

/// The new model and the state.
fn aggregated(bench: &Workbench, strategy: &str, files: &[String], rest: &str) -> [Vec<u8>; 2] {
    bench.does(&format!(
        "aggregate --strategy {strategy} --global global{} --output out --state-out state --metrics metrics {rest}",
        updates(files)
    ));
    ["out", "state"].map(|name| bench.bytes(name))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_of_sums_is_the_flat_aggregation_byte_for_byte(
        clients in 1_u32..=12,
        depth in 1_u32..=3,
        seed in 0_u64..1 << 32,
        equal: bool,
    ) {
        let bench = Workbench::new();
        write_models(&bench, clients, equal);
        let leaves: Vec<String> = (0..clients).map(|client| format!("u{client}")).collect();
        let mut roots = grow(&bench, leaves.clone(), depth, seed);
        for strategy in ["fedavg", "fedadam"] {
            let flat = aggregated(&bench, strategy, &leaves, "");
            prop_assert!(aggregated(&bench, strategy, &roots, "") == flat, "{}", strategy);
            roots.reverse();
            prop_assert!(aggregated(&bench, strategy, &roots, "--threads 1") == flat, "{} reversed", strategy);
        }
    }
}

#[test]
fn a_tree_may_mix_sums_and_updates_and_reports_every_member() {
    for float in FLOATS {
        let bench = Workbench::new();
        write_round(&bench, 7, float);
        let all: Vec<String> = (0..7).map(|client| format!("u{client}")).collect();
        for strategy in ["fedavg", "fedbn", "fedyogi", "fedavgm", "fedadagrad"] {
            let flat = aggregated(&bench, strategy, &all, "");
            let of_flat = bench.metrics("metrics");
            bench.does(&format!(
                "partial --global global{} --output p",
                updates(&all[3..6])
            ));
            bench.does(&format!(
                "partial --global global --update p{} --output q",
                updates(&all[1..3])
            ));
            let mixed = ["u6", "q", "u0"].map(str::to_owned);
            assert!(
                aggregated(&bench, strategy, &mixed, "") == flat,
                "{strategy} {float}"
            );
            let of_tree = bench.metrics("metrics");
            assert_eq!(of_tree.num_samples, of_flat.num_samples);
            let (
                Subject::Aggregate {
                    updates: a,
                    transfer: b,
                    ..
                },
                Subject::Aggregate {
                    updates: c,
                    transfer: d,
                    ..
                },
            ) = (of_tree.subject, of_flat.subject)
            else {
                panic!()
            };
            let who = |shares: &[contract::metrics::UpdateShare]| -> Vec<_> {
                shares
                    .iter()
                    .map(|share| (share.client, share.num_samples))
                    .collect()
            };
            assert_eq!(who(&a), who(&c));
            assert!(a.iter().all(|share| share.weight.is_none()));
            assert_eq!(b, d, "transfer");
        }
        assert_eq!(bench.header("q").kind, TensorKind::Partial);
    }
}

#[test]
fn sums_of_updates_from_elsewhere_need_counts_only() {
    let bench = Workbench::new();
    bench.write_foreign("global", &network(0, Dtype::F32), &[]);
    for seed in 1..5 {
        bench.write_foreign(&format!("f{seed}"), &network(seed, Dtype::F32), &[]);
    }
    let counted = |names: &str| -> String {
        let each = names.split(' ');
        each.map(|name| format!(" --update {name} --samples {}", name.len() * 3))
            .collect()
    };
    bench.does(&format!(
        "aggregate --strategy fedavg --global global{} --output flat",
        counted("f1 f2 f3 f4")
    ));
    bench.does(&format!("partial --global global{} --output p", counted("f3 f1")));
    bench.does("aggregate --strategy fedavg --global global --update f2 --samples 6 --update p --samples 12 --update f4 --samples 6 --output out");
    assert!(bench.bytes("out") == bench.bytes("flat"));
}

fn absent(bench: &Workbench, client: u32) {
    bench.write_with(
        &format!("u{client}"),
        update(client, 9),
        &[(ABSENT, "the loss is NaN")],
        &[],
    );
}

fn who_is_absent(bench: &Workbench) -> Vec<u32> {
    let Subject::Aggregate { absent, .. } = bench.metrics("metrics").subject else {
        panic!()
    };
    absent.iter().map(|client| client.0).collect()
}

#[test]
fn clients_absent_inside_a_tree_are_absent_from_the_round() {
    let bench = Workbench::new();
    write_models(&bench, 8, false);
    for client in [2, 4, 5] {
        absent(&bench, client);
    }
    let all: Vec<String> = (0..8).map(|client| format!("u{client}")).collect();
    let flat = aggregated(&bench, "fedadam", &all, "--min-clients 5");
    assert_eq!(who_is_absent(&bench), [2, 4, 5]);
    // Everyone of the second branch is absent.
    for (name, range) in [("p", 0..4), ("q", 4..6), ("r", 6..8)] {
        bench.does(&format!(
            "partial --global global{} --output {name}",
            updates(&all[range])
        ));
    }
    bench.does("partial --global global --update q --output deeper");
    assert_eq!(bench.read("q"), []);
    let branches = ["r", "deeper", "p"].map(str::to_owned);
    assert!(aggregated(&bench, "fedadam", &branches, "--min-clients 5") == flat);
    assert_eq!(who_is_absent(&bench), [2, 4, 5]);

    let line = |rest: &str| {
        format!(
            "aggregate --strategy fedavg --global global --update r --update q --update p --output out {rest}"
        )
    };
    let message = bench.refuses(&line(""), JobExit::DataUnfit);
    assert!(message.contains("is absent"), "{message}");
    let message = bench.refuses(&line("--min-clients 6"), JobExit::DataUnfit);
    assert_eq!(
        message,
        "5 clients are present and 3 absent, at least 6 must be present"
    );
    let message = bench.refuses(
        "aggregate --strategy fedavg --global global --update q --output out --min-clients 0",
        JobExit::DataUnfit,
    );
    assert!(message.starts_with("0 clients are present"), "{message}");
}

#[test]
fn a_client_has_one_place_in_a_tree() {
    let bench = Workbench::new();
    write_models(&bench, 4, false);
    absent(&bench, 3);
    bench.does("partial --global global --update u0 --update u1 --output p");
    bench.does("partial --global global --update u1 --update u2 --update u3 --output q");
    bench.does("partial --global global --update u2 --update u3 --output r");
    let refused = |updates: &str| {
        bench.refuses(
            &format!("aggregate --strategy fedavg --global global {updates} --output out --min-clients 1"),
            JobExit::InputInvalid,
        )
    };
    assert!(refused("--update p --update q").contains("it is of client 1, and so is"));
    assert!(refused("--update p --update u0").contains("it is of client 0, and so is"));
    assert!(refused("--update p --update p").contains("it is of client 0, and so is"));
    assert_eq!(
        refused("--update p --update u3 --update r"),
        "client 3 is said to be absent twice"
    );
    bench.write("u3", update(3, 5), &model(4));
    assert!(refused("--update r --update u3").contains("it is of client 3, who is also said to be absent"));
}

#[test]
fn rules_that_look_at_each_update_refuse_a_sum() {
    let bench = Workbench::new();
    write_models(&bench, 9, false);
    let all: Vec<String> = (0..9).map(|client| format!("u{client}")).collect();
    bench.does(&format!(
        "partial --global global{} --output p",
        updates(&all[..4])
    ));
    for strategy in [
        "krum:byzantine=1",
        "multi_krum:byzantine=1,keep=3",
        "bulyan:byzantine=0",
        "median",
        "trimmed_mean",
        "geometric_median",
        "norm_bound:norm=1",
        "fednova",
        "qfedavg:q=1,learning_rate=1",
        "scaffold:clients=20",
    ] {
        let message = bench.refuses(
            &format!(
                "aggregate --strategy {strategy} --global global --update p{} --output out",
                updates(&all[4..])
            ),
            JobExit::InputInvalid,
        );
        assert_eq!(
            message, "`p`: it is the sum of several updates; this rule looks at each of them",
            "{strategy}"
        );
    }
}

#[test]
fn a_sum_of_other_models_or_of_values_that_are_none_is_refused() {
    let bench = Workbench::new();
    write_models(&bench, 3, false);
    bench.does("partial --global global --update u0 --update u1 --output p");
    let whole = (
        bench.header("p"),
        bench.metadata("p", "partial").unwrap(),
        bench.read("p"),
    );
    let refused = |exit, change: &dyn Fn(&mut Tensors)| {
        let mut tensors = whole.2.clone();
        change(&mut tensors);
        bench.write_with("p", Some(whole.0.clone()), &[("partial", &whole.1)], &tensors);
        bench.refuses(
            "aggregate --strategy fedavg --global global --update p --output out",
            exit,
        )
    };
    let invalid = JobExit::InputInvalid;
    assert_eq!(
        refused(invalid, &|tensors| tensors.retain(|(name, _)| *name != "f32")),
        "`p`: tensor `f32` of the global model is missing"
    );
    let value = |tensors: &mut Tensors, name: &str, value: Value| {
        let place = tensors.iter().position(|(other, _)| *other == name).unwrap();
        tensors[place].1 = value;
    };
    let message = refused(invalid, &|tensors| {
        value(tensors, "f32", Value::float(Dtype::F64, &[0, 120], &[]))
    });
    assert_eq!(
        message,
        "`p`: tensor `f32` is F64 [0, 120], an update of this model has F64 [1, 120]"
    );
    let message = refused(invalid, &|tensors| {
        value(tensors, "f32", Value::float(Dtype::F64, &[], &[1.0]))
    });
    assert_eq!(
        message,
        "`p`: tensor `f32` is F64 [], an update of this model has F64 [1, 120]"
    );
    refused(invalid, &|tensors| {
        value(tensors, "f32", Value::float(Dtype::F32, &[1, 120], &[0.0; 120]))
    });
    refused(invalid, &|tensors| {
        value(tensors, "count", Value::i64(&[1, 2], &[1, 2]))
    });
    let mut components = vec![1.0; 240];
    components[125] = f64::INFINITY;
    let message = refused(JobExit::NotFinite, &|tensors| {
        value(tensors, "f32", Value::float(Dtype::F64, &[2, 120], &components));
    });
    assert_eq!(message, "`p`: tensor `f32` at [5] is inf");
    // Components that add up to more than any number.
    let message = refused(JobExit::NotFinite, &|tensors| {
        value(
            tensors,
            "f32",
            Value::float(Dtype::F64, &[3, 120], &[f64::MAX; 360]),
        );
    });
    assert_eq!(
        message,
        "the new value of tensor `f32` at [0] is too large for its type"
    );
    // A tensor without values has as many components as anyone likes.
    bench.write_with("p", Some(whole.0.clone()), &[("partial", &whole.1)], &{
        let mut tensors = whole.2.clone();
        value(
            &mut tensors,
            "none",
            Value::float(Dtype::F64, &[1 << 40, 0, 3], &[]),
        );
        tensors
    });
    bench.does("aggregate --strategy fedavg --global global --update p --update u2 --output out");
    bench.does("partial --global global --update p --update u2 --output q");
}

#[test]
fn forged_members_are_refused() {
    let bench = Workbench::new();
    write_models(&bench, 3, false);
    bench.does("partial --global global --update u0 --update u1 --output p");
    let (head, text, tensors) = (
        bench.header("p"),
        bench.metadata("p", "partial").unwrap(),
        bench.read("p"),
    );
    let total = head.num_samples.0;
    let write = |head: Header, more: &[(&str, &str)]| bench.write_with("p", Some(head), more, &tensors);
    let refused = || {
        let flat = bench.refuses(
            "aggregate --strategy fedavg --global global --update p --update u2 --output out --min-clients 1",
            JobExit::InputInvalid,
        );
        let sum = bench.refuses(
            "partial --global global --update p --update u2 --output q",
            JobExit::InputInvalid,
        );
        assert_eq!(flat, sum);
        flat
    };
    let forged = |change: &dyn Fn(&mut Json)| {
        let mut json: Json = serde_json::from_str(&text).unwrap();
        change(&mut json);
        write(head.clone(), &[("partial", &json.to_string())]);
        refused()
    };
    let sums = "`p`: its members do not have as many samples together as metadata `num_samples` says";
    let member = |client: u64, samples: u64| json!({"client": client, "num_samples": samples});
    assert_eq!(
        forged(&|json| json["members"] = json!([member(0, total + 1)])),
        sums
    );
    assert_eq!(
        forged(&|json| json["members"] = json!([member(0, u64::MAX), member(1, total + 1)])),
        sums
    );
    assert_eq!(
        forged(&|json| json["members"] = json!([member(0, total), member(1, 0)])),
        "`p`: metadata `partial` has a member without samples"
    );
    assert_eq!(
        forged(&|json| json["members"] = json!([member(2, total)])),
        "`u2`: it is of client 2, and so is `p`"
    );
    let twice = forged(&|json| json["members"] = json!([member(0, 1), member(0, total - 1)]));
    assert_eq!(twice, "`p`: it is of client 0, and so is `p`");
    assert_eq!(
        forged(&|json| json["absent"] = json!([7, 7])),
        "client 7 is said to be absent twice"
    );
    // Nobody is in it, but it stands for samples.
    assert_eq!(forged(&|json| json["members"] = json!([])), sums);
    for key in ["received_bytes", "plain_bytes"] {
        assert_eq!(
            forged(&|json| json[key] = json!(u64::MAX)),
            "`p`: metadata `partial` counts more bytes than there can be"
        );
        forged(&|json| json[key] = json!(-1));
    }
    forged(&|json| json["extra"] = json!(1));
    forged(&|json| *json = json!(null));
    for text in ["", "{", "[[[["] {
        write(head.clone(), &[("partial", text)]);
        assert!(refused().starts_with("`p`: metadata `partial`: "));
    }
    write(head.clone(), &[]);
    assert_eq!(refused(), "`p`: it is a sum without metadata `partial`");
    let of_update = Header {
        kind: TensorKind::Update,
        client: Some(ClientId(1)),
        ..head.clone()
    };
    write(of_update, &[("partial", &text)]);
    assert_eq!(
        refused(),
        "`p`: its kind is `update`, and it has metadata `partial` as a sum does"
    );
}

#[test]
fn counts_near_the_largest_are_added_or_refused() {
    let bench = Workbench::new();
    let one = |value: f64| vec![("w", Value::float(Dtype::F32, &[1], &[value]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &one(0.0));
    let most = (1_u64 << 53) - 1;
    bench.write("a", update(0, most - 1), &one(1.0));
    bench.write("b", update(1, 1), &one(3.0));
    bench.write("c", update(2, u64::MAX), &one(3.0));
    bench.does("partial --global global --update a --output p");
    let flat = "aggregate --strategy fedavg --global global --update a --update b --output flat";
    bench.does(flat);
    bench.does("aggregate --strategy fedavg --global global --update p --update b --output out");
    assert!(bench.bytes("out") == bench.bytes("flat"));
    for line in [
        "aggregate --strategy fedavg --global global --update a --update b --update c --output out",
        "aggregate --strategy median --global global --update c --update a --output out",
        "partial --global global --update c --output q",
    ] {
        let message = bench.refuses(line, JobExit::InputInvalid);
        assert!(message.contains("9007199254740992 or more"), "{message}");
    }
}

#[test]
fn a_sum_is_no_update_of_another_round_and_no_model() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    bench.does("partial --global global --update u0 --update u1 --output p");
    bench.write(
        "later",
        Some(header(TensorKind::Model, 1, None, 1)),
        &network(0, Dtype::F32),
    );
    let message = bench.refuses(
        "aggregate --strategy fedavg --global later --update p --output out",
        JobExit::InputInvalid,
    );
    assert!(
        message.starts_with("`p`: its round is 1, an update of"),
        "{message}"
    );
    let message = bench.refuses(
        "aggregate --strategy fedavg --global p --update u2 --output out",
        JobExit::InputInvalid,
    );
    assert_eq!(message, "`p`: it holds a partial, not a global model");
    assert_eq!(bench.header("p").num_samples.0, samples(0) + samples(1));
}
