//! Agreement with scikit-learn and Pillow on golden files in `tests/parity/`, beside the scripts that made them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::path::Path;

use image::{DynamicImage, RgbImage, RgbaImage};
use kernels::{
    cxr::{self, Depth, Fit, Frame, Meaning, Samples, Square, Target, render},
    metrics,
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
    assert!(cases.len() >= 14);
    for (name, case) in cases {
        let probabilities: Vec<f32> = numbers(&case["probabilities"])
            .iter()
            .map(|p| *p as f32)
            .collect();
        let truth: Vec<u32> = bytes(&case["truth"]).into_iter().map(u32::from).collect();
        let classes = case["classes"].as_u64().unwrap() as usize;
        let probabilities = ArrayView2::from_shape((truth.len(), classes), &probabilities).unwrap();
        let scores = metrics::score(metrics::log_probabilities(probabilities).view(), &truth).unwrap();
        let expected = &case["expected"];
        assert_close(Some(scores.loss), &expected["loss"], &format!("{name}: loss"));
        assert_close(
            Some(scores.accuracy),
            &expected["accuracy"],
            &format!("{name}: accuracy"),
        );
        assert_close(
            Some(scores.macro_f1),
            &expected["macro_f1"],
            &format!("{name}: macro F1"),
        );
        assert_close(scores.auroc, &expected["auroc"], &format!("{name}: AUROC"));
        for (class, (ours, expected)) in scores
            .per_class
            .iter()
            .zip(expected["per_class"].as_array().unwrap())
            .enumerate()
        {
            assert_eq!(
                Some(ours.support),
                expected["support"].as_u64(),
                "{name}: support of {class}"
            );
            assert_close(
                ours.precision,
                &expected["precision"],
                &format!("{name}: precision of {class}"),
            );
            assert_close(
                ours.recall,
                &expected["recall"],
                &format!("{name}: recall of {class}"),
            );
            assert_close(ours.f1, &expected["f1"], &format!("{name}: F1 of {class}"));
            assert_close(
                ours.auroc,
                &expected["auroc"],
                &format!("{name}: AUROC of {class}"),
            );
        }
    }
}

#[test]
fn grey_values_are_those_of_pillow() {
    let golden = golden("cxr");
    let (rgb, alpha) = (bytes(&golden["rgb"]), bytes(&golden["alpha"]));
    let width = alpha.len() as u32;
    assert_eq!(width, 1000);
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
    let rgb = DynamicImage::ImageRgb8(RgbImage::from_raw(width, 1, rgb).unwrap());
    let rgba = DynamicImage::ImageRgba8(RgbaImage::from_raw(width, 1, rgba).unwrap());
    assert_eq!(
        cxr::to_grey(rgb).unwrap().into_raw(),
        bytes(&golden["rgb_to_grey"])
    );
    assert_eq!(
        cxr::to_grey(rgba).unwrap().into_raw(),
        bytes(&golden["rgba_to_grey"])
    );
}
