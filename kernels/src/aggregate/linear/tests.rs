use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn blocks_and_vectors_give_what_the_formula_gives(
        rows in prop::collection::vec((prop::collection::vec(-1e3_f32..1e3, 37), -2.0..2.0_f64), 0..8),
        global in prop::collection::vec(-1e3_f32..1e3, 37),
        repeats in 1_usize..60,
    ) {
        let values: Vec<Vec<f32>> = rows.iter().map(|row| row.0.repeat(repeats)).collect();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let coefficients: Vec<f64> = rows.iter().map(|row| row.1).collect();
        let global = global.repeat(repeats);
        let mut out = vec![0.0; global.len()];
        combine_differences(&values, &coefficients, &global, &mut out).unwrap();
        for (place, out) in out.iter().enumerate() {
            let base = f64::from(global[place]);
            let mut sum = 0.0;
            for (row, coefficient) in values.iter().zip(&coefficients) {
                sum += coefficient * (f64::from(row[place]) - base);
            }
            prop_assert_eq!(out.to_bits(), (sum + base).to_bits());
        }
    }
}

#[test]
fn what_is_not_finite_is_named() {
    let mut row = vec![1.0_f32; 2000];
    row[1500] = f32::NAN;
    let error = combine_differences(&[&[1.0; 2000], &row], &[0.5, 0.5], &[0.0; 2000], &mut [0.0; 2000]);
    assert!(matches!(error, Err(CombineError::NotFinite { part: 1, index: 1500, value }) if value.is_nan()));
    let error = combine_differences(&[&[f64::MAX]], &[1.0], &[f64::MIN], &mut [0.0]);
    assert_eq!(error, Err(CombineError::Overflow { index: 0 }));
}

#[test]
fn clipping_scales_down_but_not_up() {
    assert_eq!(clip_factor(1.0, 4.0), 0.25);
    assert_eq!(clip_factor(1.0, 1.0), 1.0);
    assert_eq!(clip_factor(1.0, 0.5), 1.0);
    assert_eq!(clip_factor(1.0, 0.0), 1.0);
}

#[test]
fn fednova_with_equal_steps_is_fedavg() {
    assert_eq!(fednova(&[1, 3], &[7.0, 7.0]).unwrap(), [0.25, 0.75]);
}

#[test]
fn fednova_divides_each_difference_by_its_steps() {
    // p = 1/4, 3/4; τ = 2, 6; τ_eff = 5.
    assert_eq!(
        fednova(&[10, 30], &[2.0, 6.0]).unwrap(),
        [5.0 * 0.25 / 2.0, 5.0 * 0.75 / 6.0]
    );
    assert_eq!(
        fednova(&[1, 1], &[1.0, 0.0]),
        Err(CoefficientError::Steps { part: 1, steps: 0.0 })
    );
    assert_eq!(fednova(&[], &[]), Err(CombineError::NoParts.into()));
}

/// The formula as the paper has it, with Flower's shift of the loss.
fn qfedavg_by_definition(losses: &[f64], squared_norms: &[f64], q: f64, learning_rate: f64) -> Vec<f64> {
    let l = 1.0 / learning_rate;
    let h: f64 = losses
        .iter()
        .zip(squared_norms)
        .map(|(f, n)| q * (f + 1e-10).powf(q - 1.0) * (l * l * n) + l * (f + 1e-10).powf(q))
        .sum();
    losses.iter().map(|f| l * (f + 1e-10).powf(q) / h).collect()
}

#[test]
fn qfedavg_follows_the_paper() {
    let (losses, norms) = ([0.7, 0.0, 2.5], [0.3, 0.01, 1.0]);
    for q in [0.0, 0.2, 1.0, 2.0] {
        let found = qfedavg(&losses, &norms, q, 0.1).unwrap();
        for (found, expected) in found.iter().zip(qfedavg_by_definition(&losses, &norms, q, 0.1)) {
            assert!(
                (found - expected).abs() <= 1e-13 * expected,
                "{q}: {found} {expected}"
            );
        }
    }
    assert_eq!(qfedavg(&losses, &norms, 0.0, 0.1).unwrap(), [1.0 / 3.0; 3]);
    // Losses whose powers leave the range of `f64`.
    assert_eq!(
        qfedavg(&[1e300, 1e300], &[0.0, 0.0], 5.0, 0.1).unwrap(),
        [0.5, 0.5]
    );
}

#[test]
fn qfedavg_refuses_what_is_no_loss_and_no_length() {
    assert_eq!(
        qfedavg(&[1.0, -0.5], &[1.0, 1.0], 1.0, 0.1),
        Err(CoefficientError::Loss { part: 1, loss: -0.5 })
    );
    assert!(matches!(
        qfedavg(&[f64::NAN], &[1.0], 1.0, 0.1),
        Err(CoefficientError::Loss { part: 0, .. })
    ));
    assert_eq!(
        qfedavg(&[1.0], &[f64::INFINITY], 1.0, 0.1),
        Err(CoefficientError::Distance {
            part: 0,
            squared_norm: f64::INFINITY
        })
    );
    assert_eq!(qfedavg(&[], &[], 1.0, 0.1), Err(CombineError::NoParts.into()));
}
