//! Clipping, noise and what they are said to cost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    metrics::{PrivacySpent, Subject},
    tensors::TensorKind,
};
use kernels::privacy::Accountant;
use safetensors::Dtype;
use serde_json::Value as Json;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{network, updates, write_round},
};

const DELTA: f64 = 1e-5;

fn fixed(norm: f64, noise: f64) -> String {
    format!("fixed:norm={norm},noise_multiplier={noise},delta={DELTA}")
}

fn vector(values: &[f64]) -> Tensors {
    vec![("w", Value::float(Dtype::F64, &[values.len()], values))]
}

fn model(bench: &Workbench, round: u32, tensors: &Tensors) {
    bench.write("global", Some(header(TensorKind::Model, round, None, 1)), tensors);
}

fn update(bench: &Workbench, round: u32, client: u32, samples: u64, tensors: &Tensors) {
    let header = header(TensorKind::Update, round, Some(client), samples);
    bench.write(&format!("u{client}"), Some(header), tensors);
}

fn spent(bench: &Workbench) -> PrivacySpent {
    match bench.metrics("metrics").subject {
        Subject::Aggregate { privacy, .. } => privacy.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn memory(bench: &Workbench) -> Json {
    serde_json::from_str(&bench.metadata("state", "rule_memory").unwrap()).unwrap()
}

#[test]
fn clipping_without_noise_is_the_plain_mean_of_clipped_differences() {
    let bench = Workbench::new();
    model(&bench, 0, &vector(&[1.0, 1.0]));
    update(&bench, 1, 0, 1000, &vector(&[4.0, 5.0]));
    update(&bench, 1, 1, 1, &vector(&[1.0, 0.0]));
    bench.does(&format!(
        "aggregate --strategy fedavg --privacy {} --global global --update u0 --update u1 --output out --metrics metrics",
        fixed(2.5, 0.0)
    ));
    // (3, 4) of norm 5 is halved, (0, -1) stays: 1 + (1.5 + 0)/2, 1 + (2 - 1)/2, whatever the sample counts.
    assert_eq!(named(&bench.read("out"), "w").floats(), [1.75, 1.5]);
    assert_eq!(
        spent(&bench),
        PrivacySpent {
            epsilon: None,
            delta: DELTA,
            noise_multiplier: 0.0,
            norm: 2.5,
            rounds: 1
        }
    );
}

#[test]
fn a_server_step_starts_from_the_private_mean() {
    let bench = Workbench::new();
    model(&bench, 0, &vector(&[1.0, 1.0]));
    update(&bench, 1, 0, 1000, &vector(&[4.0, 5.0]));
    update(&bench, 1, 1, 1, &vector(&[1.0, 0.0]));
    bench.does(&format!(
        "aggregate --strategy fedavgm:learning_rate=2 --privacy {} --global global --update u0 --update u1 \
         --output out --state-out state",
        fixed(2.5, 0.0)
    ));
    assert_eq!(named(&bench.read("out"), "w").floats(), [2.5, 2.0]);
    assert_eq!(
        named(&bench.read("state"), "first_moment:w").floats(),
        [-0.75, -0.5]
    );
}

#[test]
fn noise_is_drawn_from_the_seed_and_nothing_else() {
    let bench = Workbench::new();
    write_round(&bench, 4, Dtype::F32);
    let out = |seed: u32, order: [&str; 4], threads: u32| {
        bench.does(&format!(
            "aggregate --strategy fedavg --privacy {} --seed {seed} --global global{} --output out --threads {threads}",
            fixed(1.0, 1.0),
            updates(order)
        ));
        bench.bytes("out")
    };
    let first = out(7, ["u0", "u1", "u2", "u3"], 1);
    assert!(out(7, ["u3", "u1", "u0", "u2"], 3) == first);
    assert!(out(8, ["u0", "u1", "u2", "u3"], 1) != first);
}

#[test]
fn noise_has_the_stated_deviation_in_every_piece_and_changes_with_the_round() {
    let bench = Workbench::new();
    let length = 100_000;
    let zeros = vector(&vec![0.0; length]);
    let out = |round: u32| {
        model(&bench, round, &zeros);
        for client in 0..4 {
            update(&bench, round + 1, client, 5, &zeros);
        }
        bench.does(&format!(
            "aggregate --strategy fedavg --privacy {} --seed 9 --global global{} --output out --state-out state{}",
            fixed(0.5, 1.2),
            updates(["u0", "u1", "u2", "u3"]),
            if round == 0 { "" } else { " --state-in state" }
        ));
        named(&bench.read("out"), "w").floats()
    };
    let noise = out(0);
    // z·C/m = 1.2·0.5/4
    let expected: f64 = 0.15;
    let deviation =
        |values: &[f64]| (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
    assert!(
        (deviation(&noise) / expected - 1.0).abs() < 0.01,
        "{}",
        deviation(&noise)
    );
    assert!((deviation(&noise[1 << 16..]) / expected - 1.0).abs() < 0.02);
    let mean: f64 = noise.iter().sum::<f64>() / length as f64;
    assert!(mean.abs() < 5.0 * expected / (length as f64).sqrt(), "{mean}");
    // Another round's noise has nothing to do with this one's, nor one piece's with another's.
    let next = out(1);
    let products = |a: &[f64], b: &[f64]| {
        let count = a.len().min(b.len());
        let sum: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        sum / count as f64 / expected / expected
    };
    assert!(products(&noise, &next).abs() < 0.02);
    assert!(products(&noise, &noise[1 << 16..]).abs() < 0.03);
    assert!(products(&noise, &noise[1..]).abs() < 0.02);
}

#[test]
fn noise_without_a_seed_is_a_usage_error() {
    let bench = Workbench::new();
    write_round(&bench, 2, Dtype::F32);
    let line = |privacy: &str| {
        format!(
            "aggregate --strategy fedavg --privacy {privacy} --global global --update u0 --update u1 --output out"
        )
    };
    let adaptive = format!("adaptive:initial_norm=1,count_noise=2,noise_multiplier=0,delta={DELTA}");
    for privacy in [fixed(1.0, 0.1), adaptive] {
        let message = bench.refuses(&line(&privacy), JobExit::Usage);
        assert_eq!(message, "`--seed` is missing: noise is drawn from it");
    }
    bench.does(&line(&fixed(1.0, 0.0)));
}

#[test]
fn variances_are_never_below_zero_and_counters_get_no_noise() {
    for float in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let bench = Workbench::new();
        write_round(&bench, 3, float);
        bench.does(
            "aggregate --strategy fedavg --global global --update u0 --update u1 --update u2 --output mean",
        );
        let (mut zeros, mut below) = (0, 0);
        for seed in 0..8 {
            bench.does(&format!(
                "aggregate --strategy fedavg --privacy {} --seed {seed} --global global --update u0 --update u1 \
                 --update u2 --output out",
                fixed(1.0, 30.0)
            ));
            let out = bench.read("out");
            let variances = named(&out, "bn.running_var").floats();
            assert!(variances.iter().all(|value| *value >= 0.0), "{variances:?}");
            zeros += variances.iter().filter(|value| **value == 0.0).count();
            below += named(&out, "bn.running_mean")
                .floats()
                .iter()
                .filter(|value| **value < -2.0)
                .count();
            let counter = "bn.num_batches_tracked";
            assert_eq!(named(&out, counter), named(&bench.read("mean"), counter));
        }
        assert!(zeros > 0 && below > 0, "the noise is too small to say anything");
    }
}

#[test]
fn what_is_spent_is_that_of_the_client_that_took_part_most_often() {
    let bench = Workbench::new();
    let noise = 1.5;
    // Who is there in each round, and how often the most frequent has been by then.
    let rounds: [(&[u32], u64); 5] = [
        (&[0, 1], 1),
        (&[2, 3], 1),
        (&[1, 4], 2),
        (&[0, 2, 5], 2),
        (&[1, 3], 3),
    ];
    let mut last = 0.0;
    for (round, (clients, most)) in (0..).zip(rounds) {
        model(&bench, round, &vector(&[0.0]));
        for client in clients {
            update(&bench, round + 1, *client, 5, &vector(&[1.0]));
        }
        bench.does(&format!(
            "aggregate --strategy fedavg --privacy {} --seed 9 --global global{} --output out --state-out state \
             --metrics metrics{}",
            fixed(1.0, noise),
            updates(clients.iter().map(|client| format!("u{client}"))),
            if round == 0 { "" } else { " --state-in state" }
        ));
        let spent = spent(&bench);
        let expected = Accountant::new(noise)
            .unwrap()
            .epsilon(most, DELTA)
            .unwrap()
            .epsilon;
        assert_eq!(
            (spent.rounds, spent.epsilon),
            (most, Some(expected)),
            "round {round}"
        );
        assert!(expected >= last);
        last = expected;
    }
    assert_eq!(memory(&bench)["participations"]["1"], 3);
    assert_eq!(memory(&bench)["participations"]["4"], 1);
    assert_eq!(memory(&bench)["private_rounds"], 5);
}

#[test]
fn a_client_without_a_name_may_have_been_in_every_round() {
    let bench = Workbench::new();
    bench.write_foreign("global", &vector(&[0.0]), &[]);
    bench.write_foreign("a", &vector(&[1.0]), &[("num_samples", "3")]);
    for round in 1..4 {
        bench.does(&format!(
            "aggregate --strategy fedavg --privacy {} --seed 9 --global global --update a --output out \
             --state-out state --metrics metrics{}",
            fixed(1.0, 1.0),
            if round == 1 { "" } else { " --state-in state" }
        ));
        assert_eq!(spent(&bench).rounds, round);
    }
}

#[test]
fn a_norm_that_adapts_moves_towards_the_quantile_and_is_kept() {
    let bench = Workbench::new();
    let privacy = format!(
        "adaptive:initial_norm=1,quantile=0.5,learning_rate=0.2,count_noise=0,noise_multiplier=0,delta={DELTA}"
    );
    let mut norm: f64 = 1.0;
    for round in 0..40 {
        model(&bench, round, &vector(&[0.0]));
        // Norms 2, 4, 6, 8, 10: the middle is 6.
        for client in 0..5 {
            update(
                &bench,
                round + 1,
                client,
                5,
                &vector(&[2.0 * f64::from(client + 1)]),
            );
        }
        bench.does(&format!(
            "aggregate --strategy fedavg --privacy {privacy} --global global{} --output out --state-out state \
             --metrics metrics{}",
            updates((0..5).map(|client| format!("u{client}"))),
            if round == 0 { "" } else { " --state-in state" }
        ));
        assert_eq!(spent(&bench).norm, norm, "round {round}");
        let clipped: f64 = (1..=5).map(|k| f64::from(2 * k).min(norm)).sum::<f64>() / 5.0;
        let made = named(&bench.read("out"), "w").floats()[0];
        assert!((made / clipped - 1.0).abs() < 1e-12, "{made} {clipped}");
        let below = (1..=5).filter(|k| f64::from(2 * k) <= norm).count() as f64 / 5.0;
        let next = memory(&bench)["norm"].as_f64().unwrap();
        assert!((next / (norm * (-0.2 * (below - 0.5)).exp()) - 1.0).abs() < 1e-12);
        norm = next;
    }
    assert!((5.0..7.0).contains(&norm), "{norm}");
}

#[test]
fn privacy_is_for_means_of_single_updates() {
    let bench = Workbench::new();
    write_round(&bench, 11, Dtype::F32);
    let all = updates((0..11).map(|client| format!("u{client}")));
    for strategy in [
        "median",
        "trimmed_mean",
        "krum:byzantine=1",
        "fednova",
        "qfedavg:q=1,learning_rate=1",
        "geometric_median",
        "norm_bound:norm=1",
    ] {
        let message = bench.refuses(
            &format!(
                "aggregate --strategy {strategy} --privacy {} --global global{all} --output out",
                fixed(1.0, 0.0)
            ),
            JobExit::Usage,
        );
        assert!(
            message.starts_with("`--privacy` bounds the part of each update"),
            "{message}"
        );
    }
    bench.does(&format!("partial --global global{all} --output sum"));
    let message = bench.refuses(
        &format!(
            "aggregate --strategy fedavg --privacy {} --global global --update sum --output out",
            fixed(1.0, 0.0)
        ),
        JobExit::InputInvalid,
    );
    assert!(
        message.starts_with("`sum`: it is the sum of several updates"),
        "{message}"
    );
}

#[test]
fn layers_that_stay_count_in_no_norm_and_get_no_noise() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    bench.does(&format!(
        "aggregate --strategy fedbn --privacy {} --seed 1 --keep conv.* --global global --update u0 --update u1 \
         --update u2 --output out",
        fixed(1.0, 1.0)
    ));
    let (global, out) = (network(0, Dtype::F32), bench.read("out"));
    for (name, value) in &out {
        assert_eq!(value == named(&global, name), !name.starts_with("fc"), "{name}");
    }
}
