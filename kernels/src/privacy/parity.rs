//! Figures of others: Google's dp-accounting, a quadrature of 40 digits (`tests/parity/privacy/`), and publications.

use super::{Accountant, Noise, ORDERS, convert, rdp_gaussian, rdp_subsampled};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/parity/privacy/golden.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::INFINITY)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn close(ours: f64, theirs: f64, relative: f64, what: &str) {
    assert!(
        (ours - theirs).abs() <= relative * theirs.abs(),
        "{what}: {ours} is not {theirs}, off by {:e}",
        ours / theirs - 1.0
    );
}

#[test]
fn the_orders_are_those_of_dp_accounting() {
    assert_eq!(ORDERS.to_vec(), numbers(&golden()["orders"]));
}

#[test]
fn rounds_of_gaussian_noise_cost_what_dp_accounting_says() {
    let golden = golden();
    let shown = numbers(&golden["shown"]);
    for case in golden["gaussian"].as_array().unwrap() {
        let (noise, rounds) = (number(&case["noise"]), case["rounds"].as_u64().unwrap());
        let ours = rdp_gaussian(noise, rounds, &shown).unwrap();
        for (ours, theirs) in ours.iter().zip(numbers(&case["divergences"])) {
            close(ours.bound, theirs, 1e-13, &format!("{noise} {rounds} {ours:?}"));
        }
        for wanted in case["epsilons"].as_array().unwrap() {
            let spent = Accountant::new(noise)
                .unwrap()
                .epsilon(rounds, number(&wanted["delta"]))
                .unwrap();
            let what = format!("{noise} {rounds} {spent:?}");
            close(spent.epsilon, number(&wanted["epsilon"]), 1e-11, &what);
            assert_eq!(spent.order, number(&wanted["order"]), "{what}");
        }
    }
}

#[test]
fn sampled_divergences_are_those_of_dp_accounting_at_whole_orders_and_of_the_quadrature_at_all() {
    let golden = golden();
    let shown = numbers(&golden["shown"]);
    for case in golden["sampled"].as_array().unwrap() {
        let (share, noise) = (number(&case["share"]), number(&case["noise"]));
        let ours = rdp_subsampled(share, noise, case["steps"].as_u64().unwrap(), &shown).unwrap();
        for (ours, exact) in ours.iter().zip(numbers(&case["exact"])) {
            close(ours.bound, exact, 1e-11, &format!("{share} {noise} {ours:?}"));
        }
        for (ours, theirs) in ours.iter().zip(numbers(&case["divergences"])) {
            let what = format!("{share} {noise} {ours:?}");
            if ours.order.fract() == 0.0 {
                close(ours.bound, theirs, 1e-9, &what);
            } else {
                // Theirs adds the magnitudes of a series of changing sign, which bounds the sum from above.
                assert!(
                    ours.bound <= theirs * (1.0 + 1e-9),
                    "{what} is more than {theirs}"
                );
            }
        }
    }
}

#[test]
fn sampled_steps_cost_what_dp_accounting_says_or_a_little_less() {
    for case in golden()["sampled"].as_array().unwrap() {
        let (share, noise) = (number(&case["share"]), number(&case["noise"]));
        let ours = rdp_subsampled(share, noise, case["steps"].as_u64().unwrap(), &ORDERS).unwrap();
        for wanted in case["epsilons"].as_array().unwrap() {
            let spent = convert(&ours, number(&wanted["delta"])).unwrap();
            let (epsilon, order) = (number(&wanted["epsilon"]), number(&wanted["order"]));
            let what = format!("{share} {noise} {spent:?} {order}");
            if order.fract() == 0.0 && order == spent.order {
                close(spent.epsilon, epsilon, 1e-9, &what);
            } else {
                assert!(
                    spent.epsilon <= epsilon * (1.0 + 1e-9),
                    "{what} is more than {epsilon}"
                );
                close(spent.epsilon, epsilon, 1e-2, &what);
            }
        }
    }
}

/// The least `R - ln δ/(α - 1)`: the conversion of Mironov 2017, arXiv:1702.07476, Proposition 3, as used before 2020.
fn classic_epsilon(share: f64, noise: f64, steps: u64, delta: f64) -> f64 {
    let divergences = rdp_subsampled(share, noise, steps, &ORDERS).unwrap();
    let epsilons = divergences
        .iter()
        .map(|of| of.bound - delta.ln() / (of.order - 1.0));
    epsilons.fold(f64::INFINITY, f64::min)
}

/// Abadi et al. 2016, arXiv:1607.00133, the text beside figure 2: ε = 1.26 for q = 0.01, σ = 4, δ = 10⁻⁵ and 100 epochs of
/// 1/q steps.
#[test]
fn the_first_moments_accountant_is_met() {
    let epsilon = classic_epsilon(0.01, 4.0, 10_000, 1e-5);
    assert!((epsilon - 1.26).abs() < 0.005, "{epsilon}");
}

/// Lin et al. 2024, arXiv:2305.15560, figure 5: ε = 3.34 at δ = 10⁻⁵, for 5 rounds of noise multiplier 2√2 (the authors'
/// correction, github.com/microsoft/DPSDA/issues/6), by the exact formula of Balle and Wang 2018, arXiv:1805.06530.
#[test]
fn the_loss_is_never_below_the_exact_one_of_gaussian_noise_and_close_to_it() {
    let noise = 8_f64.sqrt();
    assert!((exact_epsilon(noise, 5, 1e-5) - 3.34).abs() < 0.005);
    for (noise, rounds, delta) in [
        (noise, 5, 1e-5),
        (1.0, 1, 1e-5),
        (0.5, 10, 1e-6),
        (5.0, 50, 1e-5),
        (20.0, 3, 1e-3),
    ] {
        let exact = exact_epsilon(noise, rounds, delta);
        let ours = Accountant::new(noise)
            .unwrap()
            .epsilon(rounds, delta)
            .unwrap()
            .epsilon;
        assert!(ours >= exact, "{noise} {rounds} {delta}: {ours} is below {exact}");
        assert!(
            ours < 1.2 * exact + 0.02,
            "{noise} {rounds} {delta}: {ours} is far above {exact}"
        );
    }
}

/// The ε at which `δ = Φ(μ/2 - ε/μ) - e^ε·Φ(-μ/2 - ε/μ)`, with `μ = √rounds / noise`.
fn exact_epsilon(noise: f64, rounds: u64, delta: f64) -> f64 {
    let mu = (rounds as f64).sqrt() / noise;
    let below = |x: f64| 0.5 * libm::erfc(-x / 2_f64.sqrt());
    let at = |epsilon: f64| below(mu / 2.0 - epsilon / mu) - epsilon.exp() * below(-mu / 2.0 - epsilon / mu);
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if at(middle) > delta {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

#[test]
fn noise_is_what_openssl_and_forty_digits_make_of_it() {
    for case in golden()["noise"].as_array().unwrap() {
        let of = case["of"].as_array().unwrap();
        let whole = |value: &Value| value.as_u64().unwrap();
        let noise = Noise::new(
            whole(&of[0]),
            of[1].as_str().unwrap(),
            whole(&of[2]),
            whole(&of[3]),
        );
        let (ours, theirs) = (noise.normal(whole(&case["index"])), number(&case["normal"]));
        assert!((ours - theirs).abs() < 5e-15, "{case}: {ours}");
    }
}

/// `tests/parity/privacy/make_sampled.py` bounds the exact loss from both sides, by convolution and without Rényi divergences.
#[test]
fn sampled_steps_never_cost_less_than_the_exact_loss_and_little_more() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/parity/privacy/sampled.json")).unwrap();
    for case in golden.as_array().unwrap() {
        let accountant = Accountant::sampled(number(&case["noise"]), number(&case["share"])).unwrap();
        let spent = accountant
            .epsilon(case["steps"].as_u64().unwrap(), number(&case["delta"]))
            .unwrap();
        let (least, most) = (number(&case["least"]), number(&case["most"]));
        assert!(spent.epsilon >= least, "{case}: {spent:?}");
        assert!(spent.epsilon <= 1.3 * most, "{case}: {spent:?}");
    }
}

/// The table of TensorFlow Privacy's MNIST tutorial: ε at δ = 10⁻⁵ for 60,000 samples in batches of 256 and 250, by the
/// conversion used before 2020.
#[test]
fn the_figures_of_tensorflow_privacy_are_met() {
    for (noise, epochs, published) in [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)] {
        let batch = 256.0;
        let steps = epochs * 60_000 / 256;
        let found = classic_epsilon(batch / 60_000.0, noise, steps, 1e-5);
        assert!((found - published).abs() < 0.01, "{noise} {epochs}: {found}");
    }
}
