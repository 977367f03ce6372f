//! Rules that add scaled differences to the global model: their numbers, and values that go too far.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    tensors::{LOCAL_STEPS, TRAIN_LOSS, TensorKind},
};
use safetensors::Dtype;
use workbench::{
    Value, Workbench, header, named,
    network::{COUNTER, network, samples, updates, with_controls, write_round, write_update},
    update,
};

const FLOATS: [Dtype; 4] = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];

/// Every other rule on two updates.
const WITHOUT_CONTROLS: [&str; 15] = [
    "fedavg",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "fednova",
    "qfedavg:q=1,learning_rate=0.1",
    "fedbn",
    "median",
    "trimmed_mean",
    "krum:byzantine=2",
    "multi_krum:byzantine=2,keep=5",
    "bulyan:byzantine=2",
    "geometric_median",
    "norm_bound:norm=0.5",
];

fn aggregate(strategy: &str, updates: &str, rest: &str) -> String {
    format!("aggregate --strategy {strategy} --global global{updates} --output out {rest}")
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
    for strategy in WITHOUT_CONTROLS {
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
