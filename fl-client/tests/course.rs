//! Losses, optimisers, clipping, schedules and resampling against PyTorch: `tests/parity/train/make_course.py` says how the
//! numbers were made.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use contract::{
    ids::Seed,
    recipe::{Across, ClassWeights, Decay, Loss, LossKind, Precision, Schedule},
    training::{Arch, Moments, Optimizer, Target},
};
use fl_client::{
    batches::{Batch, augment::Draw},
    fit::{
        loss::{Counts, Criterion},
        schedule::factor,
        step::{Stepper, norm},
    },
    model::{Frozen, Input, Model, Role, StepResult, Weights},
    optim::Descent,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    losses: BTreeMap<String, LossCase>,
    schedules: BTreeMap<String, Vec<f64>>,
    optimizers: BTreeMap<String, Steps>,
    resampling: Vec<f64>,
}

#[derive(Deserialize)]
struct LossCase {
    loss: f64,
    gradient: Vec<f64>,
}

#[derive(Deserialize)]
struct Steps {
    losses: Vec<f64>,
    norms: Vec<f64>,
    /// Sum and first values of each tensor.
    weights: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/parity/train/course.json")).unwrap()
}

/// The formula of the script: values in -scale..scale for tensor `number`.
fn formula(number: usize, count: usize, scale: f64) -> Vec<f32> {
    let value = |index: usize| ((index * 7919 + number * 104_729) % 2003) as f64 - 1001.0;
    (0..count)
        .map(|index| (value(index) / 1001.0 * scale) as f32)
        .collect()
}

fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(1.0)
}

const CLASSES: [u8; 6] = [0, 3, 1, 2, 1, 0];
const LABELS: [u8; 18] = [0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1];

/// The loss that a case's name speaks of.
fn loss_of(name: &str) -> (Loss, Target) {
    let has = |word: &str| name.split(' ').any(|part| part == word);
    let target = if has("binary") {
        Target::Labels
    } else {
        Target::Classes
    };
    let kind = match (has("focal"), has("half"), has("smooth")) {
        (false, ..) => LossKind::CrossEntropy,
        (true, true, _) => LossKind::Focal { gamma: 0.5 },
        (true, _, true) => LossKind::Focal { gamma: 1.5 },
        (true, ..) => LossKind::Focal { gamma: 2.0 },
    };
    let smoothing = match (target, has("smooth"), has("weighted"), has("focal")) {
        (_, false, ..) => 0.0,
        (Target::Labels, ..) => 0.2,
        (Target::Classes, _, true, false) => 0.25,
        (Target::Classes, ..) => 0.1,
    };
    let class_weights = match (has("weighted"), target) {
        (false, _) => ClassWeights::Equal,
        (true, Target::Classes) => ClassWeights::Given(vec![0.5, 2.0, 0.0, 1.25]),
        (true, Target::Labels) => ClassWeights::Given(vec![0.5, 3.0, 1.0]),
    };
    let loss = Loss {
        kind,
        smoothing,
        class_weights,
    };
    (loss, target)
}

#[test]
fn losses_and_their_gradients_are_those_of_pytorch() {
    let numbers = [
        ("plain", 1),
        ("weighted", 2),
        ("smooth", 3),
        ("weighted smooth", 4),
        ("binary", 5),
        ("binary weighted", 6),
        ("binary weighted smooth", 7),
        ("focal", 8),
        ("focal half", 9),
        ("focal weighted smooth", 10),
        ("binary focal", 11),
        ("binary focal weighted smooth", 12),
    ];
    let golden = golden();
    assert_eq!(golden.losses.len(), 19);
    for (name, LossCase { loss, gradient }) in &golden.losses {
        let (base, scale) = match name.rsplit_once(" x") {
            Some((base, scale)) => (base, scale.parse().unwrap()),
            None => (name.as_str(), 3.0),
        };
        let number = numbers.iter().find(|(known, _)| *known == base).unwrap().1;
        let (recipe, target) = loss_of(base);
        let (outputs, labels): (usize, &[u8]) = match target {
            Target::Classes => (4, &CLASSES),
            Target::Labels => (3, &LABELS),
        };
        let counts = Counts::of(target, outputs, [].into_iter());
        let criterion = Criterion::new(&recipe, target, outputs, &counts).unwrap();
        let logits = formula(number, 6 * outputs, scale);
        let mut found = vec![0.0; logits.len()];
        let total = criterion.evaluate(&logits, labels, Some(&mut found));
        assert!(
            near(total.mean(), *loss, 2e-6),
            "{name}: {}, PyTorch {loss}",
            total.mean()
        );
        for (at, (found, expected)) in found.iter().zip(gradient).enumerate() {
            assert!(
                near(f64::from(*found), *expected, 2e-7),
                "{name}[{at}]: {found}, PyTorch {expected}"
            );
        }
        assert_eq!(criterion.evaluate(&logits, labels, None), total);
    }
}

#[test]
fn schedules_give_the_factors_of_pytorch() {
    let schedule = |periods, warm_up, decay| Schedule {
        across: Across::Epochs,
        periods,
        warm_up,
        decay,
    };
    let ours = [
        ("cosine", schedule(10, 0, Decay::Cosine { least: 0.05 })),
        ("warm cosine", schedule(10, 3, Decay::Cosine { least: 0.1 })),
        (
            "step",
            schedule(
                10,
                0,
                Decay::Step {
                    every: 3,
                    factor: 0.3,
                },
            ),
        ),
    ];
    let golden = golden();
    for (name, schedule) in ours {
        for (epoch, expected) in (0..).zip(&golden.schedules[name]) {
            let found = factor(schedule, 0, epoch, 10);
            assert!(
                near(found, *expected, 1e-12),
                "{name} {epoch}: {found}, PyTorch {expected}"
            );
        }
    }
}

fn filled(model: &Model) -> Weights {
    let mut weights = Weights::start(model, Seed(0));
    for (number, spec) in model.tensors().iter().enumerate() {
        let fan_in: usize = spec.shape[1..].iter().product();
        let scale = if spec.shape.len() > 1 {
            (fan_in as f64).powf(-0.5)
        } else {
            0.1
        };
        assert_eq!(spec.role, Role::Trained);
        weights
            .real_mut(number)
            .copy_from_slice(&formula(number, spec.len(), scale));
    }
    weights
}

#[test]
fn steps_with_every_option_end_at_the_weights_of_pytorch() {
    let input = Input {
        channels: 1,
        image_size: 9,
        classes: 3,
    };
    let model = Model::new(Arch::SmallCnn, input).unwrap();
    let batch = || Batch {
        pixels: formula(1000, 5 * 81, 1.0),
        shape: [5, 1, 9, 9],
        labels: vec![0, 2, 1, 1, 0],
    };
    let loss = Loss {
        kind: LossKind::CrossEntropy,
        smoothing: 0.1,
        class_weights: ClassWeights::Given(vec![0.5, 2.0, 1.0]),
    };
    let counts = Counts::of(Target::Classes, 3, [].into_iter());
    let criterion = Criterion::new(&loss, Target::Classes, 3, &counts).unwrap();
    let golden = golden();
    for (
        name,
        Steps {
            losses,
            norms,
            weights: expected,
        },
    ) in &golden.optimizers
    {
        let rule = if name.starts_with("nesterov") {
            Optimizer::Sgd {
                learning_rate: 0.05,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 0.01,
            }
        } else {
            Optimizer::Adamw(Moments {
                learning_rate: 0.002,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-6,
                weight_decay: 0.1,
            })
        };
        let clipped = name.ends_with("clipped frozen");
        let patterns: Vec<contract::aggregation::NamePattern> =
            clipped.then(|| "conv1.*".into()).into_iter().collect();
        let stepper = Stepper {
            model: &model,
            criterion: &criterion,
            frozen: &Frozen::matching(&model, &patterns).unwrap(),
            clip_norm: clipped.then_some(0.3),
            precision: Precision::F32,
        };
        let (mut weights, mut descent) = (filled(&model), Descent::new(rule));
        let mut seen = Norms::default();
        for (step, expected) in losses.iter().enumerate() {
            descent.set_factor(0.5_f64.powi(step as i32));
            let total = stepper
                .take(&mut weights, batch(), &mut descent, &mut seen)
                .unwrap();
            assert!(
                near(total.mean(), *expected, 1e-5),
                "{name} step {step}: {}",
                total.mean()
            );
        }
        if clipped {
            assert!(norms.iter().any(|norm| *norm > 0.3), "{norms:?}");
            for (found, expected) in seen.0.iter().zip(norms) {
                assert!(
                    near(*found, *expected, 1e-5),
                    "{name}: norm {found}, PyTorch {expected}"
                );
            }
        }
        for (at, spec) in model.tensors().iter().enumerate() {
            let values = weights.real(at);
            let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
            let found = [sum]
                .into_iter()
                .chain(values.iter().take(5).map(|value| f64::from(*value)));
            for (place, (found, expected)) in found.zip(&expected[&spec.name]).enumerate() {
                assert!(
                    near(found, *expected, 2e-5),
                    "{name} {}[{place}]: {found}, PyTorch {expected}",
                    spec.name
                );
            }
        }
    }
}

/// The norm of each step's gradients before they are clipped.
#[derive(Default)]
struct Norms(Vec<f64>);

impl fl_client::fit::Adjust for Norms {
    fn adjust(&mut self, _: &Weights, result: &mut StepResult) {
        self.0.push(norm(result));
    }
}

#[test]
fn cutting_turning_and_flipping_are_one_resampling_as_pytorch_does_it() {
    let grey: Vec<f32> = formula(77, 81, 0.5).iter().map(|value| value + 0.5).collect();
    let draw = Draw {
        side: 0.6,
        x: 0.25,
        y: 0.75,
        flip: true,
        angle: 30.0,
        brightness: 0.0,
        contrast: 0.0,
    };
    for (at, (found, expected)) in draw.apply(&grey, 9).iter().zip(&golden().resampling).enumerate() {
        assert!(
            near(f64::from(*found), *expected, 1e-6),
            "{at}: {found}, PyTorch {expected}"
        );
    }
}
