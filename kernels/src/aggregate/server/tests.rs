use super::*;

const ADAM: ServerStep = ServerStep::Adam {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.99,
    tau: 1e-3,
};
const YOGI: ServerStep = ServerStep::Yogi {
    learning_rate: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    tau: 1e-3,
};
const ADAGRAD: ServerStep = ServerStep::Adagrad {
    learning_rate: 0.1,
    tau: 1e-3,
};
const MOMENTUM: ServerStep = ServerStep::Momentum {
    learning_rate: 0.5,
    momentum: 0.9,
};

/// One value through rounds whose means are given; the model after each round.
fn run<R: Real>(step: ServerStep, start: R, means: &[f64]) -> Vec<R> {
    let (mut first, mut second, mut global) = ([0.0], [0.0], [start]);
    let mut models = Vec::new();
    for (round, mean) in (1..).zip(means) {
        let mut out = [R::ZERO];
        let moments = Moments {
            first: &mut first,
            second: &mut second,
        };
        step.apply(round, &global, &[*mean], moments, &mut out).unwrap();
        global = out;
        models.push(out[0]);
    }
    models
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-14 * expected.abs().max(1.0),
        "{found} {expected}"
    );
}

#[test]
fn first_steps_are_those_computed_by_hand() {
    // From 1 towards 3: d = 2.
    // m = 0.2, v = 0.04; η = 0.1·√(1 − 0.99²)/(1 − 0.9²).
    let eta = 0.1 * (1.0_f64 - 0.9801).sqrt() / (1.0 - 0.81);
    close(run(ADAM, 1.0, &[3.0])[0], 1.0 + eta * 0.2 / (0.2 + 0.001));
    close(run(YOGI, 1.0, &[3.0])[0], 1.0 + 0.01 * 0.2 / (0.2 + 0.001));
    close(run(ADAGRAD, 1.0, &[3.0])[0], 1.0 + 0.1 * 2.0 / (2.0 + 0.001));
    close(run(MOMENTUM, 1.0, &[3.0])[0], 2.0);
}

#[test]
fn momentum_carries_the_last_step_on() {
    // v = −2, then 0.9·(−2) − (2 − 2) = −1.8.
    let models = run(MOMENTUM, 1.0, &[3.0, 2.0]);
    close(models[1], 2.0 + 0.5 * 1.8);
}

#[test]
fn yogi_lowers_its_second_moment_by_a_small_square() {
    let mut second = [1.0];
    for (difference, expected) in [(0.1, 1.0 - 0.01 * 0.01), (2.0, 1.0 + 0.01 * 4.0), (1.0, 1.0)] {
        second[0] = 1.0;
        let moments = Moments {
            first: &mut [0.0],
            second: &mut second,
        };
        YOGI.apply(4, &[0.0], &[difference], moments, &mut [0.0_f64])
            .unwrap();
        close(second[0], expected);
    }
}

/// Flower's lines, a value at a time, in `f64`.
fn by_definition(step: ServerStep, start: f64, means: &[f64]) -> Vec<f64> {
    let (mut x, mut m, mut v) = (start, 0.0_f64, 0.0_f64);
    let mut models = Vec::new();
    for (round, mean) in means.iter().enumerate() {
        let d = mean - x;
        match step {
            ServerStep::Momentum {
                learning_rate,
                momentum,
            } => {
                m = if round == 0 {
                    x - mean
                } else {
                    momentum * m + (x - mean)
                };
                x -= learning_rate * m;
            }
            ServerStep::Adam {
                learning_rate,
                beta1,
                beta2,
                tau,
            } => {
                m = beta1 * m + (1.0 - beta1) * d;
                v = beta2 * v + (1.0 - beta2) * d.powi(2);
                let exponent = round as f64 + 2.0;
                let eta = learning_rate * (1.0 - beta2.powf(exponent)).sqrt() / (1.0 - beta1.powf(exponent));
                x += eta * m / (v.sqrt() + tau);
            }
            ServerStep::Yogi {
                learning_rate,
                beta1,
                beta2,
                tau,
            } => {
                m = beta1 * m + (1.0 - beta1) * d;
                let sign = if v == d * d { 0.0 } else { (v - d * d).signum() };
                v -= (1.0 - beta2) * d.powi(2) * sign;
                x += learning_rate * m / (v.sqrt() + tau);
            }
            ServerStep::Adagrad { learning_rate, tau } => {
                v += d * d;
                x += learning_rate * d / (v.sqrt() + tau);
            }
        }
        models.push(x);
    }
    models
}

#[test]
fn rounds_follow_the_formulas_in_models_of_either_precision() {
    for step in [ADAM, YOGI, ADAGRAD, MOMENTUM] {
        for number in 0..200 {
            let wave = |k: f64| (f64::from(number) * k).sin() * 0.1;
            let start = f64::from(wave(0.7) as f32);
            let means: Vec<f64> = (1..9)
                .map(|round| start + 0.1 * wave(1.3 + f64::from(round)))
                .collect();
            let expected = by_definition(step, start, &means);
            for (found, expected) in run(step, start, &means).iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-12 * (1.0 + expected.abs()),
                    "{step:?}"
                );
            }
            let singles = run(step, start as f32, &means);
            for (found, expected) in singles[..3].iter().zip(&expected) {
                // Relative to the model's scale, 0.1: a step may end next to 0.
                assert!(
                    (f64::from(*found) - expected).abs() <= 1e-6 * expected.abs().max(0.1),
                    "{step:?}"
                );
            }
        }
    }
}

#[test]
fn blocks_and_vectors_give_what_each_value_gives_alone() {
    let length = 2 * CHUNK + 13;
    let global: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin()).collect();
    let mean: Vec<f64> = (0..length).map(|i| (i as f64 * 0.11).cos()).collect();
    for step in [ADAM, YOGI, ADAGRAD, MOMENTUM] {
        let (mut first, mut second) = (vec![0.25_f64; length], vec![0.5_f64; length]);
        let mut out = vec![0.0_f32; length];
        let moments = Moments {
            first: if step.uses_first() { &mut first } else { &mut [] },
            second: if step.uses_second() { &mut second } else { &mut [] },
        };
        step.apply(3, &global, &mean, moments, &mut out).unwrap();
        for place in 0..length {
            let (mut m, mut v, mut alone) = ([0.25_f64], [0.5_f64], [0.0_f32]);
            let moments = Moments {
                first: &mut m,
                second: &mut v,
            };
            let range = place..place + 1;
            // The loop itself, without AVX2.
            let moved = Chunk {
                global: &global[range.clone()],
                mean: &mean[range],
                first: moments.first,
                second: moments.second,
                out: &mut alone,
            };
            assert!(step.step(3, moved));
            assert_eq!(out[place].to_bits(), alone[0].to_bits(), "{step:?} {place}");
            assert_eq!((first[place], second[place]), (m[0], v[0]), "{step:?} {place}");
        }
    }
}

#[test]
fn equal_models_stay_where_they_are() {
    for step in [ADAM, YOGI, ADAGRAD, MOMENTUM] {
        assert_eq!(run(step, 0.3_f32, &[f64::from(0.3_f32); 3]), [0.3; 3]);
    }
}

#[test]
fn a_state_that_cannot_be_used_is_named() {
    let mut second = [0.0, -1.0];
    let moments = Moments {
        first: &mut [0.0; 2],
        second: &mut second,
    };
    let error = ADAM.apply(1, &[0.0_f64; 2], &[0.0; 2], moments, &mut [0.0_f64; 2]);
    assert_eq!(error, Err(StepError { index: 1 }));
}

#[test]
fn powers_are_products() {
    assert_eq!(power(0.5, 10), 2.0_f64.powi(-10));
    assert_eq!(power(0.9, 1), 0.9);
    assert_eq!(power(0.9, 2), 0.9 * 0.9);
    assert_eq!(power(0.9, 0), 1.0);
    assert_eq!(power(0.9, u64::MAX), 0.0);
}
