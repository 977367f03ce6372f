//! What must be so of any predictions, and the cases that are easy to get wrong.

use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;

/// Every pair compared: the definition.
fn area_by_pairs(values: &[f64], positive: &[bool], weights: &[f64]) -> Option<f64> {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for p in (0..values.len()).filter(|p| positive[*p]) {
        for n in (0..values.len()).filter(|n| !positive[*n]) {
            let weight = weights[p] * weights[n];
            pairs += weight;
            wins += weight
                * if values[p] > values[n] {
                    1.0
                } else if values[p] == values[n] {
                    0.5
                } else {
                    0.0
                };
        }
    }
    (pairs > 0.0).then(|| wins / pairs)
}

/// Precision at every positive sample, among all with at least its value: the definition.
fn precision_by_definition(values: &[f64], positive: &[bool], weights: &[f64]) -> Option<f64> {
    let (mut sum, mut all) = (0.0, 0.0);
    for p in (0..values.len()).filter(|p| positive[*p] && weights[*p] > 0.0) {
        let above = (0..values.len()).filter(|other| values[*other] >= values[p]);
        let (hits, told) = above.fold((0.0, 0.0), |(hits, told), other| {
            let hit = if positive[other] { weights[other] } else { 0.0 };
            (hits + hit, told + weights[other])
        });
        sum += weights[p] * hits / told;
        all += weights[p];
    }
    (all > 0.0).then(|| sum / all)
}

/// The variance as DeLong et al. define it, every pair compared.
fn delong_by_pairs(values: &[f64], positive: &[bool]) -> Option<(f64, f64)> {
    let of = |wanted: bool| -> Vec<f64> {
        let both = values.iter().zip(positive);
        both.filter(|both| *both.1 == wanted)
            .map(|both| *both.0)
            .collect()
    };
    let (x, y) = (of(true), of(false));
    let kernel = |x: f64, y: f64| {
        if x > y {
            1.0
        } else if x == y {
            0.5
        } else {
            0.0
        }
    };
    let (m, n) = (x.len() as f64, y.len() as f64);
    if m < 2.0 || n < 2.0 {
        return None;
    }
    let v10: Vec<f64> = x
        .iter()
        .map(|x| y.iter().map(|y| kernel(*x, *y)).sum::<f64>() / n)
        .collect();
    let v01: Vec<f64> = y
        .iter()
        .map(|y| x.iter().map(|x| kernel(*x, *y)).sum::<f64>() / m)
        .collect();
    let area = v10.iter().sum::<f64>() / m;
    let spread = |v: &[f64]| v.iter().map(|v| (v - area) * (v - area)).sum::<f64>() / (v.len() as f64 - 1.0);
    Some((area, spread(&v10) / m + spread(&v01) / n))
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-11,
        (a, b) => a == b,
    }
}

type Samples = Vec<(f64, bool, u8)>;

/// Values with many ties, truth and how often each counts.
fn samples() -> impl Strategy<Value = Samples> {
    prop::collection::vec(((-3_i8..4).prop_map(f64::from), any::<bool>(), 0_u8..4), 0..50)
}

fn parts(samples: &Samples) -> (Vec<f64>, Vec<bool>, Vec<f64>) {
    (
        samples.iter().map(|s| s.0).collect(),
        samples.iter().map(|s| s.1).collect(),
        samples.iter().map(|s| f64::from(s.2)).collect(),
    )
}

/// Every sample as often as it counts.
fn repeated(samples: &Samples) -> Samples {
    let each = samples
        .iter()
        .map(|s| std::iter::repeat_n((s.0, s.1, 1), usize::from(s.2)));
    each.flatten().collect()
}

proptest! {
    #[test]
    fn areas_are_those_of_their_definitions(samples in samples()) {
        let (values, positive, weights) = parts(&samples);
        prop_assert!(close(auroc(&values, &positive, &weights), area_by_pairs(&values, &positive, &weights)));
        prop_assert!(close(
            average_precision(&values, &positive, &weights),
            precision_by_definition(&values, &positive, &weights)
        ));
    }

    #[test]
    fn a_weight_is_as_good_as_repeating_a_sample(samples in samples()) {
        let (values, positive, weights) = parts(&samples);
        let (again, positive_again, ones) = parts(&repeated(&samples));
        // To the bit: integers are summed.
        prop_assert_eq!(auroc(&values, &positive, &weights), auroc(&again, &positive_again, &ones));
        prop_assert!(close(
            average_precision(&values, &positive, &weights),
            average_precision(&again, &positive_again, &ones)
        ));
    }

    #[test]
    fn what_keeps_the_order_keeps_the_areas(samples in samples(), scale in 0.1_f64..9.0, shift in -5_f64..5.0) {
        let (values, positive, weights) = parts(&samples);
        let mapped: Vec<f64> = values.iter().map(|value| (value * scale + shift).exp()).collect();
        prop_assert_eq!(auroc(&values, &positive, &weights), auroc(&mapped, &positive, &weights));
        prop_assert_eq!(
            average_precision(&values, &positive, &weights),
            average_precision(&mapped, &positive, &weights)
        );
        let (Some(one), Some(two)) = (DeLong::new(&values, &positive), DeLong::new(&mapped, &positive)) else {
            return Ok(());
        };
        prop_assert_eq!(one, two);
    }

    #[test]
    fn turning_truth_round_mirrors_the_area_and_keeps_its_variance(samples in samples()) {
        let (values, positive, weights) = parts(&samples);
        let turned: Vec<bool> = positive.iter().map(|positive| !positive).collect();
        let mirrored = auroc(&values, &turned, &weights).map(|area| 1.0 - area);
        prop_assert!(close(auroc(&values, &positive, &weights), mirrored));
        let variance = |positive: &[bool]| DeLong::new(&values, positive).and_then(|delong| delong.variance);
        prop_assert!(close(variance(&positive), variance(&turned)));
    }

    #[test]
    fn the_variance_by_midranks_is_that_of_all_pairs(samples in samples()) {
        let (values, positive, _) = parts(&samples);
        let ours = DeLong::new(&values, &positive);
        let expected = delong_by_pairs(&values, &positive);
        prop_assert!(close(ours.map(|o| o.area), auroc(&values, &positive, &vec![1.0; values.len()])));
        prop_assert!(close(ours.and_then(|o| o.variance), expected.map(|e| e.1)));
        if let Some([low, high]) = ours.and_then(|o| o.interval()) {
            let area = ours.map_or(0.0, |o| o.area);
            prop_assert!(0.0 < low && low < area && area < high && high < 1.0);
        }
    }

    #[test]
    fn no_other_threshold_has_a_larger_sum_and_no_higher_one_as_large(samples in samples()) {
        let (values, positive, _) = parts(&samples);
        let p = positive.iter().filter(|p| **p).count() as i64;
        let n = positive.len() as i64 - p;
        let index = |threshold: f64| {
            let told = values.iter().zip(&positive).filter(|(value, _)| **value >= threshold);
            told.map(|(_, positive)| if *positive { n } else { -p }).sum::<i64>()
        };
        match youden(&values, &positive) {
            None => prop_assert!(p == 0 || n == 0),
            Some(chosen) => for other in &values {
                prop_assert!(index(*other) <= index(chosen));
                prop_assert!(*other <= chosen || index(*other) < index(chosen));
            },
        }
    }
}

/// Rows of three logits, a class, a label set, and how often each counts.
fn rows() -> impl Strategy<Value = Vec<([f32; 3], u8, [bool; 3], u8)>> {
    let logits = prop::array::uniform3((-8_i8..8).prop_map(|value| f32::from(value) / 2.0));
    let row = (logits, 0_u8..3, prop::array::uniform3(any::<bool>()), 1_u8..4);
    prop::collection::vec(row, 1..40)
}

fn logits_of(rows: &[([f32; 3], u8, [bool; 3], u8)]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), 3), |(sample, output)| rows[sample].0[output])
}

fn nearly(a: &Scores, b: &Scores) -> Result<(), TestCaseError> {
    let numbers = |s: &Scores| {
        let all = [s.loss, s.accuracy, s.macro_f1, s.micro_f1, s.brier, s.ece].map(Some);
        let mut all = [&all[..], &[s.balanced_accuracy, s.auroc, s.pr_auc]].concat();
        all.extend(s.confusion.iter().flatten().map(|count| Some(*count)));
        for c in &s.per_class {
            all.extend([Some(c.support), c.precision, c.recall, c.f1, c.auroc, c.pr_auc]);
        }
        all
    };
    for (a, b) in numbers(a).into_iter().zip(numbers(b)) {
        prop_assert!(close(a, b), "{:?} against {:?}", a, b);
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_order_of_samples_does_not_matter_and_weights_repeat_them(rows in rows(), turn in 0_usize..40) {
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        let repeated: Vec<_> = rows
            .iter()
            .flat_map(|row| std::iter::repeat_n(*row, usize::from(row.3)))
            .collect();
        let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.3)).collect();
        for labels in [false, true] {
            let of = |rows: &[([f32; 3], u8, [bool; 3], u8)], weights: Option<&[f64]>| {
                let classes: Vec<u8> = rows.iter().map(|row| row.1).collect();
                let sets: Vec<u8> = rows.iter().flat_map(|row| row.2.map(u8::from)).collect();
                let truth = if labels { Truth::Labels(&sets) } else { Truth::Classes(&classes) };
                let settings = Settings { weights, ..Settings::default() };
                score(logits_of(rows).view(), truth, &settings).unwrap()
            };
            nearly(&of(&rows, None), &of(&turned, None))?;
            nearly(&of(&rows, Some(&weights)), &of(&repeated, None))?;
        }
    }

    #[test]
    fn intervals_are_percentiles_of_scores_of_patients_drawn_anew(rows in rows(), seed in any::<u64>()) {
        let classes: Vec<u8> = rows.iter().map(|row| row.1).collect();
        let patients: Vec<u8> = rows.iter().map(|row| row.3).collect();
        let logits = logits_of(&rows);
        let truth = Truth::Classes(&classes);
        let of = |threads: usize, draws: u32| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let how = Bootstrap { patients: &patients, seed, draws, thresholds: None };
            pool.install(|| bootstrap(logits.view(), truth, &how)).unwrap()
        };
        prop_assert_eq!(of(1, 20), of(4, 20));
        // One draw is the score of samples as often as their patients are drawn.
        let mut numbers: Vec<u8> = Vec::new();
        for patient in &patients {
            if !numbers.contains(patient) {
                numbers.push(*patient);
            }
        }
        let mut random = crate::random::Random::new(crate::random::Random::new(seed).bits());
        let mut drawn = vec![0.0; numbers.len()];
        for _ in 0..numbers.len() {
            drawn[random.below(numbers.len() as u64) as usize] += 1.0;
        }
        let weight = |patient: &u8| drawn[numbers.iter().position(|number| number == patient).unwrap()];
        let weights: Vec<f64> = patients.iter().map(weight).collect();
        let settings = Settings { weights: Some(&weights), ..Settings::default() };
        let expected = score(logits.view(), truth, &settings).unwrap();
        let once = of(1, 1);
        prop_assert_eq!(once.accuracy, [expected.accuracy; 2]);
        prop_assert_eq!(once.macro_f1, [expected.macro_f1; 2]);
        prop_assert_eq!(once.balanced_accuracy, expected.balanced_accuracy.map(|value| [value; 2]));
        prop_assert_eq!(once.auroc, expected.auroc.map(|value| [value; 2]));
        prop_assert_eq!(once.pr_auc, expected.pr_auc.map(|value| [value; 2]));
    }
}

fn of_classes(logits: Array2<f32>, truth: &[u8]) -> Scores {
    score(logits.view(), Truth::Classes(truth), &Settings::default()).unwrap()
}

#[test]
fn a_class_absent_from_the_truth_is_undefined_and_left_out_of_the_mean() {
    let logits = array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [2.0, 1.0, 0.0]];
    let scores = of_classes(logits, &[0, 1, 1]);
    assert_eq!((scores.per_class[2].auroc, scores.per_class[2].f1), (None, None));
    assert_eq!(scores.per_class[2].pr_auc, None);
    assert_eq!(scores.auroc, Some(0.75));
    assert_eq!(scores.macro_f1, (2.0 / 3.0 + 2.0 / 3.0) / 2.0);
    assert_eq!(scores.balanced_accuracy, Some(0.75));
    assert_eq!(scores.confusion, [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0; 3]]);
}

#[test]
fn one_class_in_the_truth_leaves_areas_undefined_rather_than_a_half() {
    let scores = of_classes(array![[1.0, 0.0], [0.0, 1.0]], &[0, 0]);
    assert_eq!((scores.auroc, scores.pr_auc), (None, None));
    assert_eq!((scores.accuracy, scores.balanced_accuracy), (0.5, Some(0.5)));
    assert_eq!(scores.per_class[1].recall, None);
    assert_eq!(scores.per_class[1].precision, Some(0.0));
    assert_eq!(scores.per_class[0].pr_auc, Some(1.0));
}

#[test]
fn a_label_that_is_nowhere_or_everywhere_has_no_balanced_accuracy_of_its_own() {
    let logits = array![[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0_f32]];
    let truth = [1, 1, 0, 1, 0, 1];
    let scores = score(logits.view(), Truth::Labels(&truth), &Settings::default()).unwrap();
    // Of the first label: sensitivity 1, specificity 1/2.
    assert_eq!(scores.balanced_accuracy, Some(0.75));
    assert_eq!(scores.accuracy, 4.0 / 6.0);
    assert_eq!(scores.auroc, scores.per_class[0].auroc);
    assert_eq!(scores.per_class[1].auroc, None);
    assert!(scores.confusion.is_empty());
    let nothing = score(
        logits.map(|_| -1.0).view(),
        Truth::Labels(&[0; 6]),
        &Settings::default(),
    )
    .unwrap();
    assert_eq!((nothing.macro_f1, nothing.micro_f1), (0.0, 0.0));
    assert_eq!((nothing.balanced_accuracy, nothing.accuracy), (None, 1.0));
}

#[test]
fn a_confident_network_does_not_lose_its_order_to_rounding() {
    // As probabilities all three would be exactly 1.
    let logits = array![[0.0, 40.0], [0.0, 50.0], [0.0, 60.0_f32]];
    let scores = of_classes(logits, &[0, 0, 1]);
    assert!((scores.loss - 30.0).abs() < 1e-12);
    assert_eq!(scores.per_class[0].auroc, Some(1.0));
    let far = array![[3e38], [-3e38_f32]];
    let scores = score(far.view(), Truth::Labels(&[1, 0]), &Settings::default()).unwrap();
    assert_eq!((scores.loss, scores.brier, scores.auroc), (0.0, 0.0, Some(1.0)));
    let scores = score(far.view(), Truth::Labels(&[0, 1]), &Settings::default()).unwrap();
    assert_eq!((scores.brier, scores.auroc), (1.0, Some(0.0)));
    assert!(scores.loss.is_finite());
}

#[test]
fn rows_that_differ_by_a_constant_are_a_tie() {
    let logits = array![[0.0, 1.0], [100.0, 101.0], [-7.0, -6.0_f32]];
    assert_eq!(of_classes(logits, &[0, 1, 1]).auroc, Some(0.5));
    assert_eq!(auroc(&[0.0, -0.0], &[true, false], &[1.0; 2]), Some(0.5));
}

#[test]
fn thresholds_decide_what_is_told() {
    let told = |logits: Array2<f32>, truth: Truth<'_>, thresholds: &[f64]| {
        let settings = Settings {
            thresholds: Some(thresholds),
            ..Settings::default()
        };
        score(logits.view(), truth, &settings).unwrap()
    };
    // Odds of class 1: 1, e, 1/e.
    let two = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0_f32]];
    let classes = Truth::Classes(&[1, 1, 0]);
    assert_eq!(
        told(two.clone(), classes, &[0.9, 0.5]).confusion,
        [[1.0, 0.0], [0.0, 2.0]]
    );
    assert_eq!(
        told(two.clone(), classes, &[0.1, 0.6]).confusion,
        [[1.0, 0.0], [1.0, 1.0]]
    );
    assert_eq!(
        told(two, classes, &[0.5, 0.2]).confusion,
        [[0.0, 1.0], [0.0, 2.0]]
    );
    // Probabilities 1/2, 1/4, 1/4 over 0.9, 0.2, 0.8: the second is the largest multiple.
    let ln2 = std::f32::consts::LN_2;
    let three = array![[ln2, 0.0, 0.0]];
    let confusion = told(three, Truth::Classes(&[1]), &[0.9, 0.2, 0.8]).confusion;
    assert_eq!(confusion[1][1], 1.0);
    // A label from one half on, or from its threshold on.
    let labels = array![[0.0], [1.0], [-0.1_f32]];
    let truth = Truth::Labels(&[1, 1, 1]);
    let plain = score(labels.view(), truth, &Settings::default()).unwrap();
    assert_eq!(plain.per_class[0].recall, Some(2.0 / 3.0));
    assert_eq!(
        told(labels.clone(), truth, &[0.6]).per_class[0].recall,
        Some(1.0 / 3.0)
    );
    assert_eq!(told(labels, truth, &[0.1]).per_class[0].recall, Some(1.0));
}

#[test]
fn thresholds_chosen_separate_what_can_be_separated() {
    let logits = array![[0.0, -3.0], [0.0, -2.0], [0.0, -1.0], [0.0, -0.5_f32]];
    let truth = Truth::Classes(&[0, 0, 1, 1]);
    let chosen = thresholds(logits.view(), truth).unwrap();
    let settings = Settings {
        thresholds: Some(&chosen),
        ..Settings::default()
    };
    assert_eq!(score(logits.view(), truth, &settings).unwrap().accuracy, 1.0);
    assert!(
        score(logits.view(), truth, &Settings::default())
            .unwrap()
            .accuracy
            < 1.0
    );
    assert_eq!(
        thresholds(logits.view(), Truth::Classes(&[0; 4])),
        Err(ScoreError::OneSided {
            output: 0,
            positives: 4,
            samples: 4
        })
    );
    assert!((chosen[1] - 1.0 / (1.0 + 1_f64.exp())).abs() < 1e-15);
}

#[test]
fn undefined_variances_and_intervals_are_none() {
    let of = |values: &[f64], positive: &[bool]| DeLong::new(values, positive);
    assert_eq!(of(&[1.0, 2.0], &[true, true]), None);
    let one = of(&[1.0, 2.0, 3.0], &[true, false, false]).unwrap();
    assert_eq!((one.area, one.variance, one.interval()), (0.0, None, None));
    let tied = of(&[1.0; 4], &[true, true, false, false]).unwrap();
    assert_eq!(
        (tied.area, tied.variance, tied.interval()),
        (0.5, Some(0.0), None)
    );
    let apart = of(&[1.0, 2.0, 3.0, 4.0], &[false, false, true, true]).unwrap();
    assert_eq!((apart.area, apart.interval()), (1.0, None));
}

#[test]
fn what_cannot_be_scored_is_named() {
    let of = |logits: Array2<f32>, truth: Truth<'_>| score(logits.view(), truth, &Settings::default());
    assert_eq!(
        of(Array2::zeros((0, 2)), Truth::Classes(&[])),
        Err(ScoreError::NoSamples)
    );
    assert_eq!(
        of(array![[0.0, 0.0], [0.0, 0.0]], Truth::Classes(&[0])),
        Err(ScoreError::Shape {
            rows: 2,
            values: 1,
            outputs: 2
        })
    );
    assert!(of(array![[0.0, 0.0]], Truth::Labels(&[0])).is_err());
    let truth = |sample, value, bound| ScoreError::Truth { sample, value, bound };
    assert_eq!(of(array![[0.0, 0.0]], Truth::Classes(&[2])), Err(truth(0, 2, 2)));
    let labels = Truth::Labels(&[0, 1, 0, 2]);
    assert_eq!(of(array![[0.0, 0.0], [0.0, 0.0]], labels), Err(truth(1, 2, 2)));
    let infinite = of(array![[0.0, f32::INFINITY]], Truth::Classes(&[1]));
    assert!(matches!(
        infinite,
        Err(ScoreError::NotFinite {
            sample: 0,
            output: 1,
            ..
        })
    ));
    let logits = array![[0.0_f32, 0.0]];
    for weights in [&[][..], &[-1.0], &[f64::NAN], &[0.0]] {
        let settings = Settings {
            weights: Some(weights),
            ..Settings::default()
        };
        let error = score(logits.view(), Truth::Classes(&[0]), &settings).unwrap_err();
        assert!(matches!(error, ScoreError::Weights { .. }), "{weights:?}");
    }
    for thresholds in [&[0.5][..], &[0.0, 0.5], &[0.5, 1.5], &[f64::NAN, 0.5]] {
        let settings = Settings {
            thresholds: Some(thresholds),
            ..Settings::default()
        };
        let error = score(logits.view(), Truth::Classes(&[0]), &settings).unwrap_err();
        assert!(matches!(error, ScoreError::Thresholds { .. }), "{thresholds:?}");
    }
    let how = Bootstrap {
        patients: &[1_u8, 2],
        seed: 1,
        draws: 10,
        thresholds: None,
    };
    let error = bootstrap(logits.view(), Truth::Classes(&[0]), &how).unwrap_err();
    assert!(matches!(error, ScoreError::Patients { given: 2, samples: 1 }));
}
