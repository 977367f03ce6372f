//! Every rule on a small network, in every format: what it does with parameters, statistics and counters.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{exit::JobExit, tensors::TensorKind};
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{COUNTER, drawn, network, updates, with_controls, write_round, write_update},
};

/// Every rule, on eleven updates.
const RULES: [&str; 16] = [
    "fedavg",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "fednova",
    "qfedavg:q=1,learning_rate=0.1",
    "scaffold:clients=20",
    "fedbn",
    "median",
    "trimmed_mean",
    "krum:byzantine=2",
    "multi_krum:byzantine=2,keep=5",
    "bulyan:byzantine=2",
    "geometric_median",
    "norm_bound:norm=0.5",
];

/// Rules with a step on the server.
const STEPPING: [&str; 4] = ["fedavgm", "fedadam", "fedyogi", "fedadagrad"];

const FLOATS: [Dtype; 4] = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];

fn aggregate(strategy: &str, updates: &str, rest: &str) -> String {
    format!("aggregate --strategy {strategy} --global global{updates} --output out {rest}")
}

/// The bytes of everything a run with all outputs writes.
fn outputs(bench: &Workbench, strategy: &str, updates: &str, rest: &str) -> [Vec<u8>; 3] {
    bench.does(&aggregate(
        strategy,
        updates,
        &format!("--state-out state --metrics metrics {rest}"),
    ));
    ["out", "state", "metrics"].map(|name| bench.bytes(name))
}

fn any_order_and_threads_give_the_same_bytes(float: Dtype, rules: &[&str]) {
    let bench = Workbench::new();
    write_round(&bench, 11, float);
    for client in 0..11 {
        let tensors = with_controls(network(u64::from(client) + 1, float), u64::from(client));
        write_update(&bench, &format!("s{client}"), client, &tensors);
    }
    for strategy in rules {
        let kind = if strategy.starts_with("scaffold") {
            "s"
        } else {
            "u"
        };
        let names: Vec<String> = (0..11).map(|client| format!("{kind}{client}")).collect();
        let first = outputs(&bench, strategy, &updates(&names), "--threads 1");
        let mut mixed = names.clone();
        mixed.rotate_left(4);
        mixed.swap(0, 9);
        assert!(
            outputs(&bench, strategy, &updates(&mixed), "--threads 3") == first,
            "{strategy} {float}"
        );
        // The model of every rule is another, so that none is mistaken for another.
        let out = bench.read("out");
        let names: Vec<_> = out
            .iter()
            .map(|(name, value)| (*name, value.dtype, value.shape.clone()))
            .collect();
        let expected: Vec<_> = network(0, float)
            .into_iter()
            .map(|(name, value)| (name, value.dtype, value.shape))
            .collect();
        assert_eq!(names, expected, "{strategy}");
        assert!(out != network(0, float), "{strategy} {float} moves nothing");
    }
}

#[test]
fn order_and_threads_change_no_byte_under_any_rule() {
    any_order_and_threads_give_the_same_bytes(Dtype::F32, &RULES);
}

#[test]
fn order_and_threads_change_no_byte_of_half_floats() {
    any_order_and_threads_give_the_same_bytes(Dtype::F16, &RULES);
}

#[test]
fn order_and_threads_change_no_byte_of_brain_floats() {
    any_order_and_threads_give_the_same_bytes(Dtype::BF16, &RULES);
}

#[test]
fn order_and_threads_change_no_byte_of_doubles() {
    any_order_and_threads_give_the_same_bytes(Dtype::F64, &RULES);
}

#[test]
fn order_and_threads_change_no_byte_of_tensors_of_many_pieces() {
    let bench = Workbench::new();
    let length = 3 * (1 << 16) + 777;
    let model = |seed| -> Tensors {
        vec![
            ("w", Value::float(Dtype::F32, &[length], &drawn(seed, length))),
            (
                "v",
                Value::float(Dtype::F16, &[70_000], &drawn(seed + 50, 70_000)),
            ),
        ]
    };
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0));
    for client in 0..7 {
        write_update(
            &bench,
            &format!("u{client}"),
            client,
            &model(u64::from(client) + 1),
        );
    }
    let rules = [
        "fedavg",
        "fedadam",
        "fednova",
        "median",
        "krum:byzantine=2",
        "bulyan:byzantine=1",
        "geometric_median",
        "norm_bound:norm=1",
    ];
    for strategy in rules {
        let first = outputs(
            &bench,
            strategy,
            &updates((0..7).map(|n| format!("u{n}"))),
            "--threads 1",
        );
        let again = updates((0..7).rev().map(|n| format!("u{n}")));
        assert!(
            outputs(&bench, strategy, &again, "--threads 3") == first,
            "{strategy}"
        );
    }
    // The last values of the last piece are those of the updates.
    bench.does(&aggregate(
        "median",
        &updates((0..7).map(|n| format!("u{n}"))),
        "",
    ));
    let made = named(&bench.read("out"), "w").floats();
    let mut last: Vec<f64> = (1..8)
        .map(|seed| named(&model(seed), "w").floats()[length - 1])
        .collect();
    last.sort_by(f64::total_cmp);
    assert_eq!(made[length - 1], last[3]);
}

#[test]
fn equal_updates_in_all_but_name_and_count_are_told_apart_whatever_their_order() {
    // From elsewhere: no client is named, and the counts decide.
    let bench = Workbench::new();
    bench.write("global", None, &network(0, Dtype::F32));
    for seed in 1..6 {
        bench.write(&format!("f{seed}"), None, &network(seed, Dtype::F32));
    }
    for strategy in ["fedavg", "median", "krum:byzantine=1", "geometric_median"] {
        let line = |order: [u64; 5]| {
            order
                .iter()
                .map(|seed| format!(" --update f{seed} --samples {}", seed % 2 + 4))
                .collect::<String>()
        };
        let first = outputs(&bench, strategy, &line([1, 2, 3, 4, 5]), "");
        assert!(
            outputs(&bench, strategy, &line([4, 2, 5, 1, 3]), "") == first,
            "{strategy}"
        );
    }
}

#[test]
fn steps_leave_statistics_to_the_mean_and_remember_nothing_of_them() {
    for float in FLOATS {
        let bench = Workbench::new();
        write_round(&bench, 3, float);
        let all = updates(["u0", "u1", "u2"]);
        bench.does(&aggregate("fedavg", &all, ""));
        let mean = bench.read("out");
        for strategy in STEPPING {
            outputs(&bench, strategy, &all, "");
            let stepped = bench.read("out");
            for name in ["bn.running_mean", "bn.running_var", COUNTER] {
                assert_eq!(
                    named(&stepped, name),
                    named(&mean, name),
                    "{strategy} {float} {name}"
                );
            }
            let differs = named(&stepped, "fc.weight") != named(&mean, "fc.weight");
            // The first step of FedAvgM with a learning rate of 1 is the mean itself, but for a rounding.
            assert!(differs || strategy == "fedavgm", "{strategy} {float}");
            let state = bench.read("state");
            assert!(!state.is_empty());
            for (name, value) in state {
                assert!(
                    !name.contains("running") && !name.contains("num_batches"),
                    "{name}"
                );
                assert_eq!(value.dtype, Dtype::F64, "{name}");
            }
        }
    }
}

#[test]
fn a_layer_with_statistics_stays_under_fedbn_and_others_are_averaged() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    let all = updates(["u0", "u1", "u2"]);
    bench.does(&aggregate("fedavg", &all, ""));
    let mean = bench.read("out");
    bench.does(&aggregate("fedbn", &all, ""));
    let global = network(0, Dtype::F32);
    for (name, value) in bench.read("out") {
        let expected = if name.starts_with("bn.") { &global } else { &mean };
        assert_eq!(value, *named(expected, name), "{name}");
    }
}

#[test]
fn fedbn_is_refused_where_no_layer_has_statistics() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("fc.weight", Value::float(Dtype::F32, &[1], &[value]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0.0));
    write_update(&bench, "u0", 0, &model(1.0));
    let message = bench.refuses(&aggregate("fedbn", " --update u0", ""), JobExit::InputInvalid);
    assert!(
        message.starts_with("`global`: no layer has running statistics"),
        "{message}"
    );
}

#[test]
fn tensors_that_a_pattern_names_stay() {
    let bench = Workbench::new();
    write_round(&bench, 11, Dtype::F32);
    let all = updates((0..11).map(|n| format!("u{n}")));
    let global = network(0, Dtype::F32);
    for strategy in [
        "fedavg",
        "fedadam",
        "fednova",
        "median",
        "krum:byzantine=2",
        "norm_bound:norm=1",
    ] {
        bench.does(&aggregate(
            strategy,
            &all,
            "--keep conv.* --keep *num_batches_tracked --state-out state",
        ));
        for (name, value) in bench.read("out") {
            let stays = name.starts_with("conv") || name == COUNTER;
            assert_eq!(value == *named(&global, name), stays, "{strategy} {name}");
        }
        assert!(bench.read("state").iter().all(|(name, _)| !name.contains("conv")));
    }
    let message = bench.refuses(&aggregate("fedavg", &all, "--keep head.*"), JobExit::Usage);
    assert_eq!(message, "`--keep head.*` matches no tensor of the global model");
}

#[test]
fn what_stays_has_no_say_in_which_update_is_chosen() {
    let bench = Workbench::new();
    let model = |a: f64, b: f64| {
        vec![
            ("a", Value::float(Dtype::F32, &[1], &[a])),
            ("b", Value::float(Dtype::F32, &[1], &[b])),
        ]
    };
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model(0.0, 0.0),
    );
    for (client, (a, b)) in [(1.0, 0.0), (1.1, 900.0), (1.2, 50.0), (7.0, 0.0), (1.1, -70.0)]
        .into_iter()
        .enumerate()
    {
        write_update(&bench, &format!("u{client}"), client as u32, &model(a, b));
    }
    bench.does(&aggregate(
        "krum:byzantine=1",
        &updates((0..5).map(|n| format!("u{n}"))),
        "--keep b",
    ));
    assert_eq!(bench.read("out"), {
        let chosen = named(&model(1.1, 0.0), "a").clone();
        vec![("a", chosen), ("b", Value::float(Dtype::F32, &[1], &[0.0]))]
    });
}

/// `values[client]` as a tensor and as a counter.
fn scalars(bench: &Workbench, values: &[(f64, i64)]) -> String {
    let model = |(value, count): (f64, i64)| {
        vec![
            ("w", Value::float(Dtype::F64, &[1], &[value])),
            ("n", Value::i64(&[], &[count])),
        ]
    };
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model((0.0, 0)),
    );
    for (client, value) in values.iter().enumerate() {
        write_update(bench, &format!("u{client}"), client as u32, &model(*value));
    }
    updates((0..values.len()).map(|n| format!("u{n}")))
}

fn counter_under(bench: &Workbench, strategy: &str, updates: &str) -> i64 {
    bench.does(&aggregate(strategy, updates, ""));
    named(&bench.read("out"), "n").integers()[0]
}

#[test]
fn counters_are_the_lower_median_where_an_update_may_hold_anything() {
    let bench = Workbench::new();
    let all = scalars(&bench, &[(1.0, 40), (1.1, i64::MAX), (0.9, 10), (1.05, 30)]);
    for strategy in ["median", "trimmed_mean:beta=0.25"] {
        assert_eq!(counter_under(&bench, strategy, &all), 30, "{strategy}");
    }
    for strategy in ["fedavg", "geometric_median", "norm_bound:norm=9"] {
        assert_eq!(counter_under(&bench, strategy, &all), i64::MAX, "{strategy}");
    }
}

#[test]
fn counters_are_those_of_the_updates_that_were_chosen() {
    let bench = Workbench::new();
    let all = scalars(
        &bench,
        &[
            (1.0, 40),
            (900.0, i64::MAX),
            (1.1, 10),
            (1.06, 30),
            (-800.0, i64::MIN),
            (1.02, 20),
            (1.2, 50),
        ],
    );
    let krum = counter_under(&bench, "krum:byzantine=2", &all);
    let value = named(&bench.read("out"), "w").floats()[0];
    assert_eq!((value, krum), (1.06, 30));
    // The five nearest together: 10, 20, 30, 40, 50.
    assert_eq!(counter_under(&bench, "multi_krum:byzantine=2,keep=5", &all), 30);

    // Bulyan leaves two of seven out.
    let bench = Workbench::new();
    let all = scalars(
        &bench,
        &[
            (1.0, 40),
            (900.0, i64::MAX),
            (1.02, 10),
            (1.5, i64::MAX),
            (1.04, 30),
            (1.06, 20),
            (1.08, 50),
        ],
    );
    assert_eq!(counter_under(&bench, "bulyan:byzantine=1", &all), 30);
}

#[test]
fn krum_takes_a_double_as_it_is() {
    let bench = Workbench::new();
    // Of three equal updates the first is taken; times its 10 samples and over them again, some would be others.
    let model = |seed| vec![("w", Value::float(Dtype::F64, &[1000], &drawn(seed, 1000)))];
    assert!(drawn(9, 1000).iter().any(|value| value * 10.0 / 10.0 != *value));
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(8));
    for client in 0..3 {
        write_update(&bench, &format!("u{client}"), client, &model(9));
    }
    bench.does(&aggregate("krum:byzantine=0", &updates(["u0", "u1", "u2"]), ""));
    assert_eq!(bench.read("out"), model(9));
}
