//! The kernels of blocks against burn's own operations, forward and backward, and on pools of several sizes.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::{
    block_stock as stock,
    tests::{assert_close, assert_same_bits_on_any_threads, gradient, host, leaf, mixed},
    *,
};

/// Output and gradients of all inputs.
fn results(out: Tensor<4>, images: &[&Tensor<4>], others: &[&Tensor<1>]) -> Vec<Vec<f32>> {
    let mut all = mixed(out.clone(), 9).backward();
    let mut results = vec![host(out)];
    results.extend(images.iter().map(|leaf| gradient(leaf, &mut all)));
    results.extend(others.iter().map(|leaf| gradient(leaf, &mut all)));
    results
}

fn flat(out: Tensor<2>) -> Tensor<4> {
    let [batch, channels] = out.dims();
    out.reshape([batch, channels, 1, 1])
}

fn grouped(images: [usize; 4], weights: [usize; 4], slide: Slide, ours: bool) -> Vec<Vec<f32>> {
    let (x, weight) = (leaf(images, 1), leaf(weights, 2));
    let run = if ours {
        grouped_conv2d
    } else {
        stock::grouped_conv2d
    };
    results(run(x.clone(), weight.clone(), slide), &[&x, &weight], &[])
}

fn gated(shape: [usize; 4], ours: bool) -> Vec<Vec<f32>> {
    let (x, line) = (leaf(shape, 1), leaf([shape[0] * shape[1]], 2));
    let gates = line.clone().reshape([shape[0], shape[1]]);
    let out = if ours {
        gate(x.clone(), gates)
    } else {
        stock::gate(x.clone(), gates)
    };
    results(out, &[&x], &[&line])
}

fn alone(shape: [usize; 4], what: usize, ours: bool) -> Vec<Vec<f32>> {
    let x = leaf(shape, 1);
    let input = x.clone();
    let out = match (what, ours) {
        (0, true) => silu(input * 8.0),
        (0, false) => stock::silu(input * 8.0),
        (1, true) => flat(plane_means(input)),
        (1, false) => flat(stock::plane_means(input)),
        (_, true) => halve(input),
        (_, false) => stock::halve(input),
    };
    results(out, &[&x], &[])
}

fn joined(shape: [usize; 4], more: usize, ours: bool) -> Vec<Vec<f32>> {
    let [batch, _, height, width] = shape;
    let (a, b) = (leaf(shape, 1), leaf([batch, more, height, width], 2));
    let run = if ours { join } else { stock::join };
    results(run(a.clone(), b.clone()), &[&a, &b], &[])
}

fn compare(ours: &[Vec<f32>], theirs: &[Vec<f32>], what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len());
    for (nth, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_close(ours, theirs, &format!("{what} {nth}"))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn grouped_convolution_and_its_gradients_equal_burns(
        (batch, groups, width, depth) in (1..4usize, 1..5usize, 1..3usize, 1..3usize),
        size in [1..20usize, 1..40usize],
        kernel in [1..6usize, 1..6usize],
        stride in [1..4usize, 1..4usize],
        padding in [0..4usize, 0..4usize],
    ) {
        let [kh, kw] = [kernel[0].min(size[0] + 2 * padding[0]), kernel[1].min(size[1] + 2 * padding[1])];
        let (images, weights) = ([batch, groups * width, size[0], size[1]], [groups * depth, width, kh, kw]);
        let slide = Slide { stride, padding };
        compare(&grouped(images, weights, slide, true), &grouped(images, weights, slide, false), "convolution")?;
    }

    #[test]
    fn the_other_operations_of_blocks_equal_burns(
        shape in [1..5usize, 1..5usize, 1..12usize, 1..40usize],
        more in 1..4usize,
    ) {
        compare(&gated(shape, true), &gated(shape, false), "gate")?;
        compare(&joined(shape, more, true), &joined(shape, more, false), "join")?;
        for what in 0..3 {
            if what < 2 || (shape[2] > 1 && shape[3] > 1) {
                compare(&alone(shape, what, true), &alone(shape, what, false), ["silu", "means", "halve"][what])?;
            }
        }
    }
}

#[test]
fn blocks_give_the_same_bits_on_one_two_and_four_threads() {
    assert_same_bits_on_any_threads(|| {
        let mut all = grouped([3, 40, 33, 31], [40, 1, 5, 5], Slide::square(2, 2), true);
        all.extend(grouped([3, 40, 33, 31], [40, 1, 3, 3], Slide::square(1, 1), true));
        all.extend(gated([3, 40, 33, 31], true));
        all.extend(joined([3, 40, 33, 31], 7, true));
        all.extend((0..3).flat_map(|what| alone([3, 40, 33, 31], what, true)));
        all
    });
}
