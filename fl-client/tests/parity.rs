//! Networks and optimisers against PyTorch: `tests/parity/train/make_golden.py` says how the numbers were made.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use contract::{
    ids::Seed,
    recipe::Precision,
    training::{Arch, Optimizer, Target},
};
use fl_client::{
    batches::Batch,
    fit::{loss::Criterion, step::Stepper},
    model::{Frozen, Input, Mode, Model, Pass, Role, Weights},
    optim::Descent,
};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("../../tests/parity/train/golden.safetensors");

fn golden(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let view = file
        .tensor(name)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    view.data()
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// The formula of the script: values in -scale..scale for tensor `number`.
fn formula(number: usize, count: usize, scale: f64) -> impl Iterator<Item = f64> {
    (0..count)
        .map(move |index| ((index * 7919 + number * 104_729) % 2003) as f64 - 1001.0)
        .map(move |v| v / 1001.0 * scale)
}

fn filled(model: &Model) -> Weights {
    let mut weights = Weights::start(model, Seed(0));
    for (number, spec) in model.tensors().iter().enumerate() {
        if spec.role == Role::Counter {
            continue;
        }
        let fan_in: usize = spec.shape[1..].iter().product();
        let scale = if spec.shape.len() > 1 {
            (fan_in as f64).powf(-0.5)
        } else {
            0.1
        };
        let is_norm = spec.name.contains("bn") || spec.name.contains("downsample.1");
        let around_one = is_norm && (spec.name.ends_with("weight") || spec.name.ends_with("running_var"));
        let values =
            formula(number, spec.len(), scale).map(|v| v as f32 + if around_one { 1.0 } else { 0.0 });
        for (weight, value) in weights.real_mut(number).iter_mut().zip(values) {
            *weight = value;
        }
    }
    weights
}

fn batch(number: usize, shape: [usize; 4], labels: &[u8]) -> Batch {
    let count = shape.iter().product();
    let pixels = formula(number, count, 1.0).map(|value| value as f32).collect();
    Batch {
        pixels,
        shape,
        labels: labels.to_vec(),
    }
}

fn logits(model: &Model, weights: &Weights, batch: Batch) -> Vec<f32> {
    let mut pass = Pass::new(model, weights, Mode::Evaluation, &Frozen::none());
    let images = pass.input(batch.pixels, batch.shape);
    model
        .forward(&mut pass, images)
        .unwrap()
        .into_data()
        .try_into_vec()
        .unwrap()
}

fn assert_near(found: &[f32], name: &str, tolerance: f32) {
    let expected = golden(name);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{name}[{at}]: {found}, PyTorch {expected}"
        );
    }
}

/// Steps on the same batch: losses, then the weights that `stored` names.
fn steps(model: &Model, rule: Optimizer, batch: impl Fn() -> Batch, count: usize, prefix: &str) -> Weights {
    let mut weights = filled(model);
    let mut descent = Descent::new(rule);
    let stepper = Stepper {
        model,
        criterion: &Criterion::plain(Target::Classes, model.input().classes as usize),
        frozen: &Frozen::none(),
        clip_norm: None,
        precision: Precision::F32,
    };
    let losses: Vec<f32> = (0..count)
        .map(|_| {
            stepper
                .take(&mut weights, batch(), &mut descent, &mut ())
                .unwrap()
                .mean() as f32
        })
        .collect();
    assert_near(&losses, &format!("{prefix}.loss"), 1e-4);
    weights
}

fn small_cnn() -> (Model, impl Fn() -> Batch) {
    let model = Model::new(
        Arch::SmallCnn,
        Input {
            channels: 1,
            image_size: 9,
            classes: 3,
        },
    )
    .unwrap();
    (model, || batch(1000, [5, 1, 9, 9], &[0, 2, 1, 1, 0]))
}

fn assert_small_cnn_follows(rule: Optimizer, prefix: &str) {
    let (model, batch) = small_cnn();
    let weights = steps(&model, rule, batch, 3, prefix);
    for (at, spec) in model.tensors().iter().enumerate() {
        assert_near(weights.real(at), &format!("{prefix}.{}", spec.name), 1e-5);
    }
}

#[test]
fn small_cnn_gives_the_logits_of_pytorch() {
    let (model, batch) = small_cnn();
    assert_near(
        &logits(&model, &filled(&model), batch()),
        "small_cnn.logits",
        1e-5,
    );
}

#[test]
fn three_sgd_steps_end_at_the_weights_of_pytorch() {
    let rule = Optimizer::Sgd {
        learning_rate: 0.05,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.01,
    };
    assert_small_cnn_follows(rule, "small_cnn.sgd");
}

#[test]
fn three_adam_steps_end_at_the_weights_of_pytorch() {
    let rule = Optimizer::Adam(contract::training::Moments {
        learning_rate: 0.002,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        weight_decay: 0.01,
    });
    assert_small_cnn_follows(rule, "small_cnn.adam");
}

#[test]
fn resnet18_gives_logits_and_running_variance_of_pytorch() {
    let model = Model::new(
        Arch::Resnet18,
        Input {
            channels: 3,
            image_size: 32,
            classes: 2,
        },
    )
    .unwrap();
    let batch = || batch(1001, [6, 3, 32, 32], &[0, 1, 1, 0, 1, 0]);
    assert_near(&logits(&model, &filled(&model), batch()), "resnet18.logits", 1e-4);
    let rule = Optimizer::Sgd {
        learning_rate: 0.001,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };
    let weights = steps(&model, rule, batch, 1, "resnet18.sgd");
    let mut compared = 0;
    for (at, spec) in model.tensors().iter().enumerate() {
        let name = format!("resnet18.sgd.{}", spec.name);
        if SafeTensors::deserialize(GOLDEN)
            .unwrap()
            .names()
            .contains(&name.as_str())
        {
            assert_near(weights.real(at), &name, 1e-4);
            compared += 1;
        }
    }
    assert_eq!(compared, 7);
}
