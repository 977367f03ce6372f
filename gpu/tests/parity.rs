//! Networks on a GPU against the same networks on the CPU: class scores, and one step of training.
//!
//! The device is named by `FEDWING_GPU` (`webgpu:0`, `cuda:1`); without it the tests say aloud that they skip.
//! Tolerances, times `1 + |value|`: class scores `1e-4`; every weight and statistic after a step `1e-3`, for normalisation
//! over the few values of small images amplifies rounding.

use contract::{
    ids::Seed,
    recipe::DeviceChoice,
    training::{Arch, Backend},
};
use fl_client::{
    device::{Place, offer},
    model::{Frozen, Input, Mode, Model, Pass, Weights},
};
use kernels::random::Random;

const OF_SCORES: f32 = 1e-4;

const OF_WEIGHTS: f32 = 1e-3;

/// Images in a batch.
const BATCH: usize = 4;

fn place() -> Option<Place> {
    offer(fl_client_gpu::OFFERS);
    let Ok(word) = std::env::var("FEDWING_GPU") else {
        eprintln!("SKIPPED: set FEDWING_GPU to the device to test, such as `webgpu:0`");
        return None;
    };
    let choice: DeviceChoice = word.parse().unwrap();
    let place = Place::find(Some(choice)).unwrap();
    assert_ne!(place.backend(), Backend::Cpu, "FEDWING_GPU must name a GPU");
    Some(place)
}

fn model(arch: Arch) -> Model {
    let input = Input {
        channels: 1,
        image_size: 16,
        classes: 3,
    };
    Model::new(arch, input).unwrap()
}

fn images() -> Vec<f32> {
    let mut random = Random::new(5);
    (0..BATCH * 16 * 16)
        .map(|_| random.between(-2.0, 2.0) as f32)
        .collect()
}

fn scores(model: &Model, weights: &Weights) -> Vec<f32> {
    let mut pass = Pass::new(model, weights, Mode::Evaluation, &Frozen::none());
    let images = pass.input(images(), [BATCH, 1, 16, 16]);
    let scores = model.forward(&mut pass, images).unwrap();
    scores.into_data().try_into_vec().unwrap()
}

/// The weights after one step of plain gradient descent on the mean square of the scores.
fn stepped(model: &Model, mut weights: Weights, length: f32) -> Weights {
    let mut pass = Pass::new(model, &weights, Mode::Training, &Frozen::none());
    let images = pass.input(images(), [BATCH, 1, 16, 16]);
    let scores = model.forward(&mut pass, images).unwrap();
    let result = pass.finish(&scores.square().mean());
    for (tensor, gradient) in result.gradients() {
        for (weight, slope) in weights.real_mut(tensor).iter_mut().zip(gradient) {
            *weight -= length * slope;
        }
    }
    weights.follow(&result);
    weights
}

fn assert_close(gpu: &[f32], cpu: &[f32], tolerance: f32, what: &str) {
    assert_eq!(gpu.len(), cpu.len(), "{what}");
    for (at, (gpu, cpu)) in gpu.iter().zip(cpu).enumerate() {
        assert!(
            (gpu - cpu).abs() <= tolerance * (1.0 + cpu.abs()),
            "{what} at {at}: {gpu} on the GPU, {cpu} on the CPU"
        );
    }
}

/// `length` of the step: so much that a gradient which is off shows.
fn equal_on_both(arch: Arch, length: f32) {
    let Some(place) = place() else { return };
    let (cpu, gpu) = (model(arch), model(arch).at(place));
    let weights = Weights::start(&cpu, Seed(3));
    assert_close(
        &scores(&gpu, &weights),
        &scores(&cpu, &weights),
        OF_SCORES,
        &format!("{arch}: scores"),
    );
    let (on_cpu, on_gpu) = (
        stepped(&cpu, weights.clone(), length),
        stepped(&gpu, weights.clone(), length),
    );
    let moved = |tensor| {
        let pairs = std::iter::zip(on_cpu.real(tensor), weights.real(tensor));
        pairs.map(|(to, from)| (to - from).abs()).fold(0.0, f32::max)
    };
    let furthest = (0..cpu.tensors().len()).map(moved).fold(0.0, f32::max);
    assert!(
        furthest > 20.0 * OF_WEIGHTS,
        "{arch}: a step of {furthest} proves nothing"
    );
    for (index, spec) in cpu.tensors().iter().enumerate() {
        assert_close(
            on_gpu.real(index),
            on_cpu.real(index),
            OF_WEIGHTS,
            &format!("{arch}: {}", spec.name),
        );
        assert_eq!(on_gpu.count(index), on_cpu.count(index));
    }
}

#[test]
fn the_small_network_computes_the_same() {
    equal_on_both(Arch::SmallCnn, 1.0);
}

#[test]
fn resnet18_computes_the_same() {
    equal_on_both(Arch::Resnet18, 0.1);
}

#[test]
fn a_place_beyond_the_last_is_not_there() {
    let Some(place) = place() else { return };
    let far = match place.backend() {
        Backend::Cpu => unreachable!("it was refused above"),
        Backend::Cuda => DeviceChoice::Cuda(999),
        Backend::Webgpu => DeviceChoice::Webgpu(999),
    };
    let error = Place::find(Some(far)).unwrap_err();
    assert_eq!(error.exit, contract::exit::JobExit::DeviceMissing);
}
