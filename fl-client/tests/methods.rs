//! FedProx, SCAFFOLD and DP-SGD step by step: `tests/parity/train/make_methods.py` says how PyTorch's numbers were made.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use contract::{
    ids::Seed,
    recipe::{LocalPrivacy, Precision, Recipe},
    training::{Arch, Optimizer, Target},
};
use fl_client::{
    batches::Batch,
    fit::{
        Adjust, Course,
        loss::Criterion,
        step::{At, Stepper, norm},
    },
    method::{
        private::Privately,
        proximal::Toward,
        scaffold::{ServerVariate, Variates},
    },
    model::{Frozen, Input, Model, StepResult, Weights},
    optim::Descent,
};
use serde_json::Value;

const SGD: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.0,
    nesterov: false,
    weight_decay: 0.01,
};

fn formula(number: usize, count: usize, scale: f64) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * 7919 + number * 104_729) % 2003) as f64 - 1001.0)
        .map(|value| (value / 1001.0 * scale) as f32)
        .collect()
}

fn model() -> Model {
    let input = Input {
        channels: 1,
        image_size: 9,
        classes: 3,
    };
    Model::new(Arch::SmallCnn, input).unwrap()
}

fn filled(model: &Model, fill: impl Fn(usize, &[usize]) -> Vec<f32>) -> Weights {
    let mut weights = Weights::start(model, Seed(0));
    for (number, spec) in model.tensors().iter().enumerate() {
        weights
            .real_mut(number)
            .copy_from_slice(&fill(number, &spec.shape));
    }
    weights
}

fn start(model: &Model) -> Weights {
    filled(model, |number, shape| {
        let fan_in: usize = shape[1..].iter().product();
        let scale = if shape.len() > 1 {
            (fan_in as f64).powf(-0.5)
        } else {
            0.1
        };
        formula(number, shape.iter().product(), scale)
    })
}

fn batch() -> Batch {
    Batch {
        pixels: formula(1000, 5 * 81, 1.0),
        shape: [5, 1, 9, 9],
        labels: vec![0, 2, 1, 1, 0],
    }
}

/// Notes the gradients of the second step after the method changed them.
struct Noting<'a> {
    method: &'a mut dyn Adjust,
    step: usize,
    second: Vec<Vec<f32>>,
}

impl Adjust for Noting<'_> {
    fn adjust(&mut self, weights: &Weights, result: &mut StepResult) {
        self.method.adjust(weights, result);
        self.step += 1;
        if self.step == 2 {
            self.second = result.gradients().map(|(_, values)| values.to_vec()).collect();
        }
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/parity/train/methods.json")).unwrap()
}

fn assert_shown(found: &[f32], expected: &Value, what: &str) {
    let near = |found: f64, expected: &Value, scale: f64| {
        let expected = expected.as_f64().unwrap();
        assert!(
            (found - expected).abs() <= 2e-6 * scale.max(expected.abs()),
            "{what}: {found}, PyTorch {expected}"
        );
    };
    let values = || found.iter().map(|value| f64::from(*value));
    let length: f64 = values().map(f64::abs).sum();
    near(values().sum(), &expected["sum"], length);
    near(
        values().map(|value| value * value).sum(),
        &expected["squares"],
        1.0,
    );
    let at = [0, found.len() / 3, found.len() / 2, found.len() - 1];
    for (at, expected) in at.into_iter().zip(expected["values"].as_array().unwrap()) {
        near(f64::from(found[at]), expected, 1.0);
    }
}

fn three_steps(model: &Model, method: &mut dyn Adjust, golden: &Value) -> Weights {
    let criterion = Criterion::plain(Target::Classes, 3);
    let frozen = Frozen::none();
    let stepper = Stepper {
        model,
        criterion: &criterion,
        frozen: &frozen,
        clip_norm: None,
        precision: Precision::F32,
    };
    let (mut weights, mut descent) = (start(model), Descent::new(SGD));
    let mut noting = Noting {
        method,
        step: 0,
        second: Vec::new(),
    };
    for loss in golden["loss"].as_array().unwrap() {
        let total = stepper
            .take(&mut weights, batch(), &mut descent, &mut noting)
            .unwrap();
        // The loss of the data, without the proximal term.
        assert!((total.mean() - loss.as_f64().unwrap()).abs() < 1e-5);
    }
    for (place, spec) in model.tensors().iter().enumerate() {
        assert_shown(
            &noting.second[place],
            &golden["gradients"][&spec.name],
            &spec.name,
        );
        assert_shown(weights.real(place), &golden["weights"][&spec.name], &spec.name);
    }
    weights
}

#[test]
fn fedprox_pulls_gradients_and_weights_as_pytorch() {
    let (model, golden) = (model(), golden());
    let anchor = start(&model);
    let mut toward = Toward {
        anchor: &anchor,
        strength: golden["mu"].as_f64().unwrap(),
    };
    three_steps(&model, &mut toward, &golden["fedprox"]);
}

#[test]
fn scaffold_corrects_gradients_and_moves_its_variate_as_pytorch() {
    let (model, golden) = (model(), golden());
    let values = |first: usize, scale: f64| {
        filled(&model, |number, shape| {
            formula(first + number, shape.iter().product(), scale)
        })
    };
    let server = ServerVariate::from_values(&model, &values(200, 0.02));
    let own = values(300, 0.03);
    let mut variates = Variates::new(&server, &own);
    let global = start(&model);
    let trained = three_steps(&model, &mut variates, &golden["scaffold"]);
    let next = variates
        .next(&model, &Frozen::none(), (&global, &trained), 3.0 * 0.05)
        .unwrap();
    for (place, spec) in model.tensors().iter().enumerate() {
        let expected = &golden["scaffold"]["variates"][&spec.name];
        // A difference of weights over a learning rate: 24 bits of a weight count.
        let found = next.own.real(place);
        let at = [0, found.len() / 3, found.len() / 2, found.len() - 1];
        for (at, expected) in at.into_iter().zip(expected["values"].as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!(
                (f64::from(found[at]) - expected).abs() < 5e-6,
                "{} {at}",
                spec.name
            );
        }
        for ((new, old), change) in found.iter().zip(own.real(place)).zip(next.change.real(place)) {
            assert!((new - old - change).abs() < 1e-7);
        }
    }
    // Steps without length say nothing of gradients.
    let kept = variates
        .next(&model, &Frozen::none(), (&global, &trained), 0.0)
        .unwrap();
    assert_eq!(kept.own, own);
}

fn privately(model: &Model, rule: LocalPrivacy, batch_size: u32, samples: usize) -> Privately {
    let recipe = Recipe::plain(batch_size, SGD);
    let course = Course::of(1, &recipe, Seed(5));
    Privately::new(&rule, (model, &Frozen::none()), &course, samples).unwrap()
}

/// The gradient a private step follows, and the mean gradient of a plain step.
fn private_gradient(model: &Model, rule: LocalPrivacy, expected: u32) -> (Vec<Vec<f32>>, StepResult) {
    let criterion = Criterion::plain(Target::Classes, 3);
    let frozen = Frozen::none();
    let stepper = Stepper {
        model,
        criterion: &criterion,
        frozen: &frozen,
        clip_norm: None,
        precision: Precision::F32,
    };
    let (mut weights, mut descent) = (start(model), Descent::new(SGD));
    let (_, plain) = stepper.gradient(&weights, batch()).unwrap();
    let mut noting = Noting {
        method: &mut (),
        step: 1,
        second: Vec::new(),
    };
    let at = At { epoch: 1, step: 1 };
    privately(model, rule, expected, 100)
        .take(&stepper, at, &mut weights, batch(), &mut descent, &mut noting)
        .unwrap();
    (noting.second, plain)
}

#[test]
fn a_wide_bound_and_hardly_any_noise_is_the_plain_gradient_over_the_expected_batch() {
    let model = model();
    let rule = LocalPrivacy {
        norm: 1e3,
        noise_multiplier: 1e-12,
        delta: 1e-5,
    };
    // The mean over 5 samples, as a sum over the 4 that a step takes on average.
    let (private, plain) = private_gradient(&model, rule, 4);
    for ((_, plain), private) in plain.gradients().zip(&private) {
        for (plain, private) in plain.iter().zip(private) {
            assert!((plain * 5.0 / 4.0 - private).abs() < 1e-6, "{plain} {private}");
        }
    }
}

#[test]
fn no_sample_moves_the_sum_by_more_than_the_norm() {
    let model = model();
    let rule = LocalPrivacy {
        norm: 0.01,
        noise_multiplier: 1e-9,
        delta: 1e-5,
    };
    let (private, plain) = private_gradient(&model, rule, 1);
    let length = private
        .iter()
        .flatten()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!(norm(&plain) > 0.05, "the bound bites");
    assert!(length <= 5.0 * 0.01 * (1.0 + 1e-6) && length > 0.01, "{length}");
}

#[test]
fn noise_has_the_deviation_that_is_promised() {
    let model = model();
    let with = |noise_multiplier| {
        let rule = LocalPrivacy {
            norm: 0.5,
            noise_multiplier,
            delta: 1e-5,
        };
        private_gradient(&model, rule, 10).0.concat()
    };
    let (noisy, quiet) = (with(2.0), with(1e-12));
    let count = noisy.len() as f64;
    let differences = noisy
        .iter()
        .zip(&quiet)
        .map(|(noisy, quiet)| f64::from(noisy - quiet));
    let variance = differences.map(|noise| noise * noise).sum::<f64>() / count;
    // 2·0.5 over the 10 samples of an average step.
    assert!(
        (variance.sqrt() / 0.1 - 1.0).abs() < 5.0 / (2.0 * count).sqrt(),
        "{variance}"
    );
}

#[test]
fn each_step_takes_each_sample_with_the_same_chance() {
    let rule = LocalPrivacy {
        norm: 1.0,
        noise_multiplier: 1.0,
        delta: 1e-5,
    };
    let model = model();
    let privately = privately(&model, rule, 32, 320);
    let training: Vec<usize> = (0..320).collect();
    let mut taken = vec![0_u32; 320];
    let mut sizes = Vec::new();
    for epoch in 1..=100 {
        let steps = privately.batches(epoch, &training);
        assert_eq!(steps.len(), 10);
        for step in steps {
            sizes.push(step.len() as f64);
            step.iter().for_each(|sample| taken[*sample] += 1);
        }
    }
    let mean = sizes.iter().sum::<f64>() / 1000.0;
    let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / 999.0;
    // Binomial with 320 draws of 0.1.
    assert!((mean - 32.0).abs() < 4.0 * (28.8_f64 / 1000.0).sqrt(), "{mean}");
    assert!((variance / 28.8 - 1.0).abs() < 0.2, "{variance}");
    assert!(taken.iter().all(|count| (50..=150).contains(count)), "{taken:?}");
    assert_ne!(privately.batches(1, &training), privately.batches(2, &training));
}
