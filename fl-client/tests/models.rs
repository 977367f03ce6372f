//! Networks against torchvision, and weights from PyTorch's files: `tests/parity/models/make_golden.py` says how the
//! numbers and files were made.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};

use contract::recipe::Precision;
use contract::{
    ids::Seed,
    training::{Arch, Head, Optimizer},
};
use fl_client::{
    model::{Frozen, Input, Mode, Model, Pass, Role, Weights, import},
    optim::Descent,
};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("../../tests/parity/models/golden.safetensors");

const LABELS: [usize; 4] = [0, 1, 1, 1];

fn golden(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let data = file.tensor(name).unwrap();
    let (values, _) = data.data().as_chunks();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The formula of the script.
fn formula(number: usize, count: usize, scale: f64) -> Vec<f32> {
    let value = |index: usize| {
        let mut mixed = (index as u32)
            .wrapping_mul(0x9E37_79B9)
            .wrapping_add((number as u32).wrapping_mul(0x85EB_CA6B));
        for (shift, factor) in [(16, 0x7FEB_352D), (15, 0x846C_A68B)] {
            mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
        }
        mixed ^= mixed >> 16;
        ((f64::from(mixed >> 8) / 8_388_608.0 - 1.0) * scale) as f32
    };
    (0..count).map(value).collect()
}

fn filled(model: &Model) -> Weights {
    let mut weights = Weights::start(model, Seed(0));
    let norms = model.norms();
    for (place, spec) in model.tensors().iter().enumerate() {
        if spec.role == Role::Counter {
            continue;
        }
        let scale = match spec.shape.len() {
            0 | 1 => 0.1,
            _ => (6.0 / spec.shape[1..].iter().product::<usize>() as f64).sqrt(),
        };
        let around_one =
            norms.contains(&place) && (spec.name.ends_with(".weight") || spec.name.ends_with(".running_var"));
        let shift = match around_one {
            true if spec.name.ends_with("bn3.weight") => 0.25,
            true => 1.0,
            false => 0.0,
        };
        let values = formula(place, spec.len(), scale);
        for (weight, value) in weights.real_mut(place).iter_mut().zip(values) {
            *weight = value + shift;
        }
    }
    weights
}

fn model(arch: Arch, channels: u32, image_size: u32) -> Model {
    let input = Input {
        channels,
        image_size,
        classes: 2,
    };
    Model::new(arch, input).unwrap()
}

fn logits(model: &Model, weights: &Weights) -> Vec<f32> {
    let mut pass = Pass::new(model, weights, Mode::Evaluation, &Frozen::none());
    let (pixels, shape) = images(model);
    let images = pass.input(pixels, shape);
    let logits = model.forward(&mut pass, images).unwrap();
    logits.into_data().try_into_vec().unwrap()
}

fn images(model: &Model) -> (Vec<f32>, [usize; 4]) {
    let Input {
        channels, image_size, ..
    } = model.input();
    let shape = [4, channels as usize, image_size as usize, image_size as usize];
    (formula(1000, shape.iter().product(), 1.0), shape)
}

/// One step on the same batch; the loss.
fn step(
    model: &Model,
    weights: &mut Weights,
    descent: &mut Descent,
    (frozen, precision): (&Frozen, Precision),
) -> f32 {
    let mut pass = Pass::new(model, weights, Mode::Training, frozen).in_precision(precision);
    let (pixels, shape) = images(model);
    let images = pass.input(pixels, shape);
    let logits = model.forward(&mut pass, images).unwrap();
    let mut share = vec![0.0; 8];
    for (row, label) in LABELS.into_iter().enumerate() {
        share[2 * row + label] = -0.25;
    }
    let share = pass.input(share, [4, 2]);
    let loss = (burn::tensor::activation::log_softmax(logits, 1) * share).sum();
    let result = pass.finish(&loss);
    descent.step(weights, &result).unwrap();
    weights.follow(&result);
    loss.into_scalar()
}

fn rule() -> Optimizer {
    Optimizer::Sgd {
        learning_rate: 0.001,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.01,
    }
}

fn assert_near(found: &[f32], name: &str, tolerance: f32) {
    let expected = golden(name);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{name}[{at}]: {found}, torchvision {expected}"
        );
    }
}

/// Logits, losses, and digests of every tensor after so many steps.
fn assert_follows(model: &Model, steps: usize, tolerance: f32) {
    let name = model.arch().as_str();
    let mut weights = filled(model);
    assert_near(&logits(model, &weights), &format!("{name}.logits"), 1e-4);
    let mut descent = Descent::new(rule());
    let losses: Vec<f32> = (0..steps)
        .map(|_| {
            step(
                model,
                &mut weights,
                &mut descent,
                (&Frozen::none(), Precision::F32),
            )
        })
        .collect();
    assert_near(&losses, &format!("{name}.loss"), 1e-4);
    let expected = golden(&format!("{name}.digest"));
    assert_eq!(expected.len(), 9 * model.tensors().len());
    for (place, (spec, digest)) in model.tensors().iter().zip(expected.chunks(9)).enumerate() {
        if let Some(count) = weights.count(place) {
            assert_eq!(count, steps as i64, "{}", spec.name);
            continue;
        }
        let values = weights.real(place);
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let found = (0..8).map(|at| values[values.len() * at / 8]);
        for (nth, (found, expected)) in found.chain([mean as f32]).zip(digest).enumerate() {
            assert!(
                (found - expected).abs() <= tolerance * expected.abs().max(1.0),
                "{} {nth}: {found}, torchvision {expected}",
                spec.name
            );
        }
    }
}

#[test]
fn small_cnn_bn_follows_pytorch() {
    assert_follows(&model(Arch::SmallCnnBn, 1, 12), 3, 1e-5);
}

#[test]
fn resnet18_follows_torchvision_for_three_steps() {
    assert_follows(&model(Arch::Resnet18, 3, 64), 3, 1e-3);
}

#[test]
fn resnet50_follows_torchvision() {
    assert_follows(&model(Arch::Resnet50, 3, 64), 1, 1e-4);
}

#[test]
fn densenet121_follows_torchvision() {
    assert_follows(&model(Arch::Densenet121, 3, 64), 1, 1e-4);
}

#[test]
fn efficientnet_b0_follows_torchvision() {
    assert_follows(&model(Arch::EfficientnetB0, 3, 64), 1, 1e-4);
}

#[test]
fn parameters_are_as_many_as_in_torchvision() {
    let count = |arch, channels| model(arch, channels, 64).parameters();
    // With 1000 classes: 25,557,032, 7,978,856 and 5,288,548.
    assert_eq!(count(Arch::Resnet50, 3), 25_557_032 - 998 * 2049);
    assert_eq!(count(Arch::Densenet121, 3), 7_978_856 - 998 * 1025);
    assert_eq!(count(Arch::EfficientnetB0, 3), 5_288_548 - 998 * 1281);
    assert_eq!(
        count(Arch::SmallCnnBn, 1),
        count(Arch::SmallCnn, 1) + 2 * (16 + 32)
    );
}

#[test]
fn every_network_trains_to_the_same_bits_on_one_two_and_four_threads() {
    for arch in Arch::ALL {
        let model = model(*arch, 1, 32);
        let train = |precision| {
            let (mut weights, mut descent) = (Weights::start(&model, Seed(5)), Descent::new(rule()));
            let losses = [(); 2].map(|()| {
                let how = (&Frozen::none(), precision);
                step(&model, &mut weights, &mut descent, how)
            });
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let weights: Vec<_> = weights.into_reals().into_iter().map(bits).collect();
            (losses, weights)
        };
        let on = |threads, precision| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| train(precision))
        };
        let [whole, half] = [Precision::F32, Precision::Bf16].map(|precision| {
            let one = on(1, precision);
            assert!(
                on(2, precision) == one && on(4, precision) == one,
                "{arch} in {precision:?}"
            );
            one
        });
        assert_ne!(whole.1, half.1, "{arch}: the precision has no effect");
        // Normalisations over a few values each enlarge what rounding does: the first loss only.
        let (a, b) = (whole.0[0], half.0[0]);
        assert!((a - b).abs() < 0.25 * a, "{arch}: {a} in full, {b} in half");
    }
}

#[test]
fn frozen_tensors_stay_and_frozen_norms_keep_their_statistics() {
    let model = model(Arch::EfficientnetB0, 1, 32);
    let patterns: Vec<contract::aggregation::NamePattern> = vec!["features.*".into()];
    let frozen = Frozen::matching(&model, &patterns).unwrap();
    let start = Weights::start(&model, Seed(5));
    let mut weights = start.clone();
    let how = (&frozen, Precision::F32);
    step(&model, &mut weights, &mut Descent::new(rule()), how);
    for place in 0..model.tensors().len() {
        let same = weights.real(place) == start.real(place) && weights.count(place) == start.count(place);
        assert_eq!(
            same,
            !model.head().contains(&place),
            "{}",
            model.tensors()[place].name
        );
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/parity/models")
        .join(name)
}

#[test]
fn both_layouts_of_torch_save_give_the_weights_saved() {
    let model = model(Arch::SmallCnnBn, 1, 4);
    for name in ["small_cnn_bn.pt", "small_cnn_bn.old.pt"] {
        let weights = import(&file(name), &model, Head::Kept, Seed(1)).unwrap();
        assert_eq!(weights, filled(&model), "{name}");
    }
}

#[test]
fn grey_weights_are_spread_over_colours_and_summed_back() {
    let colour = model(Arch::SmallCnnBn, 3, 4);
    let spread = import(&file("small_cnn_bn.pt"), &colour, Head::Kept, Seed(1)).unwrap();
    let grey = filled(&model(Arch::SmallCnnBn, 1, 4));
    for (kernels, kernel) in spread.real(0).chunks(27).zip(grey.real(0).chunks(9)) {
        for (at, value) in kernels.iter().enumerate() {
            assert_eq!(*value, kernel[at % 9] / 3.0);
        }
    }
}

#[test]
fn a_head_of_another_size_is_refused_or_starts_anew() {
    let input = Input {
        channels: 1,
        image_size: 4,
        classes: 5,
    };
    let five = Model::new(Arch::SmallCnnBn, input).unwrap();
    let path = file("small_cnn_bn.pt");
    let error = import(&path, &five, Head::Kept, Seed(1)).unwrap_err();
    assert!(
        error
            .message
            .contains("the head's `fc2.weight` has shape [2, 64], expected [5, 64]"),
        "{}",
        error.message
    );
    let weights = import(&path, &five, Head::New, Seed(1)).unwrap();
    let fresh = Weights::start(&five, Seed(1));
    let saved = filled(&model(Arch::SmallCnnBn, 1, 4));
    for (place, spec) in five.tensors().iter().enumerate() {
        let expected = if five.head().contains(&place) {
            &fresh
        } else {
            &saved
        };
        assert_eq!(weights.real(place), expected.real(place), "{}", spec.name);
        assert_eq!(weights.count(place), expected.count(place), "{}", spec.name);
    }
}

#[test]
fn a_pickled_module_is_refused_and_cut_or_changed_files_never_panic() {
    let model = model(Arch::SmallCnnBn, 1, 4);
    let error = import(&file("module.pt"), &model, Head::Kept, Seed(1)).unwrap_err();
    assert!(error.message.contains("its pickle"), "{}", error.message);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.pt");
    for name in ["small_cnn_bn.pt", "small_cnn_bn.old.pt"] {
        let whole = std::fs::read(file(name)).unwrap();
        for cut in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            import(&path, &model, Head::Kept, Seed(1)).unwrap_err();
        }
        for at in (0..whole.len().min(6000)).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 0x41;
            std::fs::write(&path, &changed).unwrap();
            // A changed weight is a weight.
            let _ = import(&path, &model, Head::Kept, Seed(1));
        }
    }
}
