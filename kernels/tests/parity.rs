//! Agreement with scikit-learn and Pillow on golden files in `tests/parity/`, beside the scripts that made them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::path::Path;

use kernels::{
    cxr::{Depth, Fit, Frame, Meaning, Samples, Square, Target, render},
    metrics::{self, Settings, Truth},
};
use ndarray::ArrayView2;
use serde_json::Value;

fn golden(subject: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/parity")
        .join(subject)
        .join("golden.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    numbers(value).iter().map(|number| *number as u8).collect()
}

/// Equal, or both undefined.
fn assert_close(ours: Option<f64>, golden: &Value, what: &str) {
    match (ours, golden.as_f64()) {
        (Some(ours), Some(golden)) => {
            assert!((ours - golden).abs() < 1e-12, "{what}: {ours}, golden {golden}")
        }
        (ours, golden) => assert_eq!(ours, golden, "{what}"),
    }
}

#[test]
fn scores_are_those_of_scikit_learn() {
    let golden = golden("metrics");
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 22);
    for (name, case) in cases {
        let logits: Vec<f32> = numbers(&case["logits"]).iter().map(|x| *x as f32).collect();
        let values = bytes(&case["truth"]);
        let outputs = case["outputs"].as_u64().unwrap() as usize;
        let logits = ArrayView2::from_shape((logits.len() / outputs, outputs), &logits).unwrap();
        let truth = match case["target"].as_str().unwrap() {
            "labels" => Truth::Labels(&values),
            _ => Truth::Classes(&values),
        };
        let weights = case["weights"].as_array().map(|_| numbers(&case["weights"]));
        let settings = Settings {
            weights: weights.as_deref(),
            thresholds: None,
        };
        let scores = metrics::score(logits, truth, &settings).unwrap();
        let expected = &case["expected"];
        for (what, ours) in [
            ("loss", Some(scores.loss)),
            ("accuracy", Some(scores.accuracy)),
            ("balanced_accuracy", scores.balanced_accuracy),
            ("macro_f1", Some(scores.macro_f1)),
            ("micro_f1", Some(scores.micro_f1)),
            ("auroc", scores.auroc),
            ("pr_auc", scores.pr_auc),
            ("brier", Some(scores.brier)),
            ("ece", Some(scores.ece)),
        ] {
            assert_close(ours, &expected[what], &format!("{name}: {what}"));
        }
        let confusion: Vec<f64> = expected["confusion"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(numbers)
            .collect();
        let ours: Vec<f64> = scores.confusion.concat();
        assert_eq!(ours.len(), confusion.len(), "{name}");
        for (ours, golden) in ours.iter().zip(confusion) {
            assert!((ours - golden).abs() < 1e-9, "{name}: {ours}, golden {golden}");
        }
        let classes = expected["per_class"].as_array().unwrap();
        assert_eq!(classes.len(), outputs);
        for (class, (ours, expected)) in scores.per_class.iter().zip(classes).enumerate() {
            for (what, ours) in [
                ("support", Some(ours.support)),
                ("precision", ours.precision),
                ("recall", ours.recall),
                ("f1", ours.f1),
                ("auroc", ours.auroc),
                ("pr_auc", ours.pr_auc),
            ] {
                assert_close(ours, &expected[what], &format!("{name}: {what} of {class}"));
            }
        }
        if weights.is_none() {
            assert_thresholds(name, metrics::thresholds(logits, truth), classes);
        }
    }
}

/// The first of the largest differences of scikit-learn's ROC curve, or a class that has no curve.
fn assert_thresholds(name: &str, ours: Result<Vec<f64>, metrics::ScoreError>, classes: &[Value]) {
    match ours {
        Ok(ours) => {
            for (class, (ours, expected)) in ours.into_iter().zip(classes).enumerate() {
                assert_close(
                    Some(ours),
                    &expected["threshold"],
                    &format!("{name}: threshold of {class}"),
                );
            }
        }
        Err(metrics::ScoreError::OneSided { output, .. }) => {
            assert!(classes[output]["threshold"].is_null(), "{name}");
            assert!(
                classes[..output]
                    .iter()
                    .all(|class| !class["threshold"].is_null()),
                "{name}"
            );
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn grey_values_are_those_of_pillow() {
    let golden = golden("cxr");
    let (rgb, alpha) = (bytes(&golden["rgb"]), bytes(&golden["alpha"]));
    assert_eq!(alpha.len(), 1000);
    let rgba: Vec<u8> = rgb
        .chunks_exact(3)
        .zip(&alpha)
        .flat_map(|(rgb, alpha)| [rgb[0], rgb[1], rgb[2], *alpha])
        .collect();
    let rendered = |bytes: &[u8], channels: u32| -> Vec<u8> {
        // A frame of one pixel: the colour alone.
        let pixel = |words: &[u8]| {
            let samples = Samples::U8(words.into());
            let frame = Frame::new((1, 1), channels, 8, samples).unwrap();
            let target = Target {
                size: 1,
                depth: Depth::U8,
                fit: Fit::Stretch,
            };
            let mut square = Square::new();
            render(&frame, &Meaning::picture(8), target, &mut square).unwrap();
            square.bytes()[0]
        };
        bytes.chunks_exact(channels as usize).map(pixel).collect()
    };
    assert_eq!(rendered(&rgb, 3), bytes(&golden["rgb_to_grey"]));
    assert_eq!(rendered(&rgba, 4), bytes(&golden["rgba_to_grey"]));
}
