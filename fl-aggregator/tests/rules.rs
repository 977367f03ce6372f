//! Every rule on a small network, in every format: what it does with parameters, statistics and counters.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    tensors::{LOCAL_STEPS, TRAIN_LOSS, TensorKind},
};
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{COUNTER, drawn, network, samples, updates, with_controls, write_round, write_update},
    update,
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

#[test]
fn the_geometric_median_resists_one_wild_update_where_the_mean_does_not() {
    let bench = Workbench::new();
    let model = |seed: u64| {
        let mut tensors = network(seed, Dtype::F32);
        if seed == 5 {
            tensors[0].1 = Value::float(Dtype::F32, &[3, 1, 3, 3], &[1e4; 27]);
        }
        tensors
    };
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0));
    for client in 0..5 {
        bench.write(
            &format!("u{client}"),
            update(client, 10),
            &model(u64::from(client) + 1),
        );
    }
    let all = updates((0..5).map(|n| format!("u{n}")));
    let farthest = |strategy: &str| {
        bench.does(&aggregate(strategy, &all, "--metrics metrics"));
        let made = named(&bench.read("out"), "conv.weight").floats();
        let honest = named(&network(0, Dtype::F32), "conv.weight").floats();
        made.iter()
            .zip(honest)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max)
    };
    assert!(farthest("fedavg") > 1000.0);
    let robust = farthest("geometric_median:iterations=1000");
    assert!(robust < 1.0, "{robust}");
    let contract::metrics::Subject::Aggregate { updates, .. } = bench.metrics("metrics").subject else {
        panic!()
    };
    let shares: Vec<f64> = updates.iter().map(|update| update.weight.unwrap()).collect();
    assert!(
        (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[4] < 1e-3,
        "{shares:?}"
    );
}

#[test]
fn a_huge_bound_is_fedavg_and_a_small_one_bounds() {
    for float in FLOATS {
        let bench = Workbench::new();
        write_round(&bench, 4, float);
        let all = updates(["u0", "u1", "u2", "u3"]);
        bench.does(&aggregate("fedavg", &all, ""));
        let mean = bench.read("out");
        bench.does(&aggregate("norm_bound:norm=1e30", &all, ""));
        let unit = match float {
            Dtype::F16 => 1e-3,
            Dtype::BF16 => 8e-3,
            Dtype::F32 => 1e-7,
            _ => 1e-15,
        };
        let mut moved = 0.0;
        for (name, value) in bench.read("out").iter().filter(|(name, _)| *name != COUNTER) {
            for (a, b) in value.floats().iter().zip(named(&mean, name).floats()) {
                assert!(
                    (a - b).abs() <= 2.0 * unit * b.abs().max(0.1),
                    "{float} {name}: {a} {b}"
                );
            }
        }
        bench.does(&aggregate("norm_bound:norm=0.01", &all, ""));
        for (name, value) in bench.read("out").iter().filter(|(name, _)| *name != COUNTER) {
            let global = named(&network(0, float), name).floats();
            moved += value
                .floats()
                .iter()
                .zip(global)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>();
        }
        let allowed = if matches!(float, Dtype::F32 | Dtype::F64) {
            0.010_001
        } else {
            0.2
        };
        assert!(moved.sqrt() <= allowed, "{float}: {}", moved.sqrt());
        assert!(moved > 0.0);
    }
}

#[test]
fn equal_steps_make_fednova_fedavg() {
    let bench = Workbench::new();
    write_round(&bench, 0, Dtype::F32);
    for client in 0..4 {
        let tensors = network(u64::from(client) + 1, Dtype::F32);
        let more = [(LOCAL_STEPS, "17.5")];
        bench.write_with(
            &format!("u{client}"),
            update(client, samples(client)),
            &more,
            &tensors,
        );
    }
    let all = updates(["u0", "u1", "u2", "u3"]);
    bench.does(&aggregate("fedavg", &all, ""));
    let mean = bench.read("out");
    bench.does(&aggregate("fednova", &all, ""));
    for (name, value) in bench.read("out").iter().filter(|(name, _)| *name != COUNTER) {
        for (a, b) in value.floats().iter().zip(named(&mean, name).floats()) {
            assert!((a - b).abs() <= 1.2e-7 * b.abs().max(0.1), "{name}: {a} {b}");
        }
    }
}

#[test]
fn fednova_counts_a_difference_per_step() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("w", Value::float(Dtype::F64, &[1], &[value]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(1.0));
    bench.write_with("a", update(0, 30), &[(LOCAL_STEPS, "2")], &model(3.0));
    bench.write_with("b", update(1, 10), &[(LOCAL_STEPS, "10")], &model(6.0));
    bench.does(&aggregate("fednova", " --update a --update b", ""));
    // τ_eff = 0.75·2 + 0.25·10 = 4; 1 + 4·(0.75·2/2 + 0.25·5/10) = 1 + 4·0.875
    assert_eq!(named(&bench.read("out"), "w").floats(), [4.5]);
}

#[test]
fn what_an_update_does_not_state_or_states_wrongly_is_named() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("w", Value::float(Dtype::F64, &[1], &[value]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(1.0));
    bench.write_with(
        "a",
        update(0, 30),
        &[(LOCAL_STEPS, "2"), (TRAIN_LOSS, "0.5")],
        &model(3.0),
    );
    let refused = |strategy: &str, key: &str, value: Option<&str>| {
        let more: Vec<(&str, &str)> = value.into_iter().map(|value| (key, value)).collect();
        bench.write_with("b", update(1, 10), &more, &model(6.0));
        bench.refuses(
            &aggregate(strategy, " --update b --update a", ""),
            JobExit::InputInvalid,
        )
    };
    let (nova, qfed) = ("fednova", "qfedavg:q=1,learning_rate=1");
    for (strategy, key) in [(nova, LOCAL_STEPS), (qfed, TRAIN_LOSS)] {
        assert_eq!(
            refused(strategy, key, None),
            format!("`b`: its metadata has no `{key}`, which the rule needs")
        );
        for text in ["many", "NaN", "inf", "-inf", "1e999"] {
            let message = refused(strategy, key, Some(text));
            assert_eq!(
                message,
                format!("`b`: metadata `{key}` is `{text}`, not a number")
            );
        }
    }
    assert_eq!(
        refused(nova, LOCAL_STEPS, Some("0")),
        "`b`: metadata `local_steps` is 0, it must be more than 0"
    );
    assert_eq!(
        refused(qfed, TRAIN_LOSS, Some("-0.25")),
        "`b`: metadata `train_loss` is -0.25, it must be 0 or more"
    );
}

#[test]
fn scaffold_is_the_papers_over_two_rounds() {
    let bench = Workbench::new();
    let model = |value: f64, mean: f64| {
        vec![
            ("w", Value::float(Dtype::F64, &[1], &[value])),
            ("bn.running_mean", Value::float(Dtype::F64, &[1], &[mean])),
        ]
    };
    let round = |round: u32, client: u32, value: f64, mean: f64, control: f64| {
        let mut tensors = model(value, mean);
        tensors.push(("control:w", Value::float(Dtype::F64, &[1], &[control])));
        let samples = if client == 0 { 30 } else { 10 };
        let header = header(TensorKind::Update, round, Some(client), samples);
        bench.write(&format!("u{round}-{client}"), Some(header), &tensors);
    };
    bench.write(
        "m0",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model(1.0, 0.0),
    );
    // Two of eight clients; x += ½·(Δ_0 + Δ_1)/2, c += (Δc_0 + Δc_1)/8: clients count alike, but for statistics.
    round(1, 0, 3.0, 4.0, 0.5);
    round(1, 1, -1.0, 8.0, -2.5);
    bench.does(
        "aggregate --strategy scaffold:clients=8,learning_rate=0.5 --global m0 --update u1-0 --update u1-1 \
         --output m1 --state-out s1",
    );
    assert_eq!(bench.read("m1"), model(1.0, 5.0));
    assert_eq!(
        bench.read("s1"),
        [("control:w", Value::float(Dtype::F64, &[1], &[-0.25]))]
    );
    round(2, 3, 2.0, 1.0, 1.0);
    round(2, 1, 4.0, 1.0, 3.0);
    bench.does(
        "aggregate --strategy scaffold:clients=8,learning_rate=0.5 --global m1 --update u2-3 --update u2-1 \
         --state-in s1 --output m2 --state-out s2",
    );
    // 1 + ½·(1 + 3)/2 = 2; -¼ + (1 + 3)/8 = ¼
    assert_eq!(named(&bench.read("m2"), "w").floats(), [2.0]);
    assert_eq!(named(&bench.read("s2"), "control:w").floats(), [0.25]);
}

#[test]
fn scaffold_needs_control_variates_and_other_rules_refuse_them() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    write_update(&bench, "s1", 1, &with_controls(network(2, Dtype::F32), 1));
    let mixed = updates(["u0", "s1"]);
    let message = bench.refuses(
        &aggregate("scaffold:clients=3", &mixed, ""),
        JobExit::InputInvalid,
    );
    assert!(
        message.starts_with("`u0`: it carries no change of control variates"),
        "{message}"
    );
    for strategy in RULES.iter().filter(|rule| !rule.starts_with("scaffold")) {
        let message = bench.refuses(&aggregate(strategy, &mixed, ""), JobExit::InputInvalid);
        assert_eq!(
            message, "`s1`: tensor `control:conv.weight` is not in the global model",
            "{strategy}"
        );
    }
    let message = bench.refuses(
        "partial --global global --update u0 --update s1 --output sum",
        JobExit::InputInvalid,
    );
    assert!(message.contains("`control:conv.weight` is not in"), "{message}");

    // One of many is missing; one of statistics is none; one is NaN.
    let mut tensors = with_controls(network(2, Dtype::F32), 1);
    let missing = tensors.pop().unwrap();
    write_update(&bench, "s1", 1, &tensors);
    let message = bench.refuses(
        &aggregate("scaffold:clients=3", " --update s1", ""),
        JobExit::InputInvalid,
    );
    assert_eq!(message, "`s1`: tensor `control:fc.weight` is missing");
    tensors.push(missing.clone());
    tensors.push(("control:bn.running_mean", Value::f32(&[3], &[0.0; 3])));
    write_update(&bench, "s1", 1, &tensors);
    let message = bench.refuses(
        &aggregate("scaffold:clients=3", " --update s1", ""),
        JobExit::InputInvalid,
    );
    assert_eq!(
        message,
        "`s1`: tensor `control:bn.running_mean` is not in the global model"
    );
    tensors.pop();
    tensors.last_mut().unwrap().1.bytes[4 * 302..4 * 303].copy_from_slice(&f32::NAN.to_le_bytes());
    write_update(&bench, "s1", 1, &tensors);
    let message = bench.refuses(
        &aggregate("scaffold:clients=3", " --update s1", ""),
        JobExit::NotFinite,
    );
    assert_eq!(message, "`s1`: tensor `control:fc.weight` at [1, 1] is NaN");
    let message = bench.refuses(
        &aggregate("scaffold:clients=1", &updates(["u0", "u1"]), ""),
        JobExit::Usage,
    );
    assert_eq!(message, "`clients` is 1, fewer than the 2 updates of this round");
}

#[test]
fn a_variance_that_goes_to_nothing_does_not_go_below() {
    // Shares that sum to a little more than 1 would make 1 - Σ c_k·1 a little less than 0.
    let bench = Workbench::new();
    let model = |value: f64| vec![("bn.running_var", Value::float(Dtype::F64, &[8], &[value; 8]))];
    for count in 3..40 {
        bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(1.0));
        for client in 0..count {
            bench.write(
                &format!("u{client}"),
                update(client, 1 + u64::from(client) % 5),
                &model(0.0),
            );
        }
        let all = updates((0..count).map(|n| format!("u{n}")));
        for strategy in ["norm_bound:norm=1000", "geometric_median"] {
            bench.does(&aggregate(strategy, &all, ""));
            let made = named(&bench.read("out"), "bn.running_var").floats();
            assert!(
                made.iter().all(|value| *value >= 0.0),
                "{strategy} {count}: {made:?}"
            );
        }
    }
}

#[test]
fn a_new_value_beyond_the_format_is_refused_under_every_way_to_it() {
    let beyond = |float: Dtype, largest: f64, strategy: &str, global: f64, values: [f64; 2]| {
        let bench = Workbench::new();
        let model = |value: f64| vec![("w", Value::float(float, &[2], &[0.0, value * largest]))];
        bench.write(
            "global",
            Some(header(TensorKind::Model, 0, None, 1)),
            &model(global),
        );
        for (client, value) in values.into_iter().enumerate() {
            let steps = (1 + 20 * client).to_string();
            let more = [(LOCAL_STEPS, steps.as_str())];
            bench.write_with(
                &format!("u{client}"),
                update(client as u32, 1),
                &more,
                &model(value),
            );
        }
        let message = bench.refuses(
            &aggregate(strategy, &updates(["u0", "u1"]), ""),
            JobExit::NotFinite,
        );
        assert_eq!(
            message, "the new value of tensor `w` at [1] is too large for its type",
            "{strategy} {float}"
        );
    };
    for (float, largest) in [
        (Dtype::F16, 65504.0),
        (Dtype::BF16, 3.38e38),
        (Dtype::F32, f64::from(f32::MAX)),
    ] {
        beyond(float, largest, "fednova", 0.0, [0.9, 0.9]);
        beyond(float, largest, "fedavgm:learning_rate=2", 0.0, [0.9, 0.9]);
    }
    // Two middle values whose sum is beyond the largest `f64`.
    beyond(Dtype::F64, f64::MAX, "median", 0.0, [0.9, 0.9]);
}

#[test]
fn a_global_model_that_is_not_finite_is_named_itself() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("w", Value::float(Dtype::F32, &[2], &[0.0, value]))];
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model(f64::NAN),
    );
    write_update(&bench, "u0", 0, &model(1.0));
    for strategy in ["fednova", "fedadam", "norm_bound:norm=1"] {
        let message = bench.refuses(&aggregate(strategy, " --update u0", ""), JobExit::NotFinite);
        assert_eq!(message, "`global`: tensor `w` at [1] is NaN", "{strategy}");
    }
}
