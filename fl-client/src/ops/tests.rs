//! The kernels against burn's own operations, on odd shapes, forward and backward, and on pools of several sizes.

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use contract::recipe::Precision;
use proptest::prelude::*;

use super::*;

/// Values in -1..1 that differ from element to element, the same every time.
fn drawn<const D: usize>(shape: [usize; D], salt: u64) -> TensorData {
    let mut random = kernels::random::Random::new(salt);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| random.between(-1.0, 1.0) as f32).collect();
    TensorData::new(values, shape)
}

pub(super) fn leaf<const D: usize>(shape: [usize; D], salt: u64) -> Tensor<D> {
    Tensor::from_data(drawn(shape, salt), &Device::flex().autodiff()).require_grad()
}

/// Values in steps of 1/128.
fn coarse<const D: usize>(shape: [usize; D], salt: u64) -> Tensor<D> {
    let values: Vec<f32> = drawn(shape, salt).try_into_vec().unwrap();
    let values: Vec<f32> = values
        .into_iter()
        .map(|value| (value * 128.0).round() / 128.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn constant<const D: usize>(shape: [usize; D], salt: u64) -> Tensor<D> {
    Tensor::from_data(drawn(shape, salt), &Device::flex().autodiff())
}

pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

pub(super) fn gradient<const D: usize>(leaf: &Tensor<D>, gradients: &mut Gradients) -> Vec<f32> {
    host(leaf.grad_remove(gradients).unwrap())
}

/// A number that depends on every element of `out`, each with a weight of its own.
pub(super) fn mixed(out: Tensor<4>, salt: u64) -> Tensor<1> {
    let weights = constant(out.dims(), salt);
    (out * weights).sum()
}

pub(super) fn assert_close(ours: &[f32], theirs: &[f32], what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len(), "{}", what);
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        prop_assert!(
            (a - b).abs() <= 2e-4 * (1.0 + b.abs()),
            "{} at {}: {} against {}",
            what,
            at,
            a,
            b
        );
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Convolution {
    images: [usize; 4],
    weights: [usize; 4],
    slide: Slide,
    with_bias: bool,
    precision: Precision,
}

fn convolution() -> impl Strategy<Value = Convolution> {
    let sizes = (1..4usize, 1..4usize, 1..12usize, 1..12usize, 1..5usize);
    let window = (
        [1..5usize, 1..5usize],
        [1..4usize, 1..4usize],
        [0..4usize, 0..4usize],
    );
    let precision = prop_oneof![Just(Precision::F32), Just(Precision::Bf16)];
    let rest = (any::<bool>(), precision);
    (sizes, window, rest).prop_map(
        |((n, c, h, w, o), (kernel, stride, padding), (with_bias, precision))| {
            // A window never exceeds the image with its border.
            let [kh, kw] = [
                kernel[0].min(h + 2 * padding[0]),
                kernel[1].min(w + 2 * padding[1]),
            ];
            Convolution {
                images: [n, c, h, w],
                weights: [o, c, kh, kw],
                slide: Slide { stride, padding },
                with_bias,
                precision,
            }
        },
    )
}

/// Output and gradients of images, weights and bias; of values that bfloat16 has, so that the kernels are to give what
/// burn gives in full precision.
fn convolve(case: &Convolution, ours: bool) -> Vec<Vec<f32>> {
    let (x, weight) = (coarse(case.images, 1), coarse(case.weights, 2));
    let bias = case.with_bias.then(|| leaf([case.weights[0]], 3));
    let slide = case.slide;
    let out = if ours {
        let options = ConvOptions {
            slide,
            precision: case.precision,
        };
        conv2d(x.clone(), weight.clone(), bias.clone(), options)
    } else {
        stock::conv2d(x.clone(), weight.clone(), bias.clone(), slide.into())
    };
    let slopes = coarse(out.dims(), 4);
    let mut all = (out.clone() * slopes).sum().backward();
    let mut results = vec![host(out), gradient(&x, &mut all), gradient(&weight, &mut all)];
    results.extend(bias.map(|bias| gradient(&bias, &mut all)));
    results
}

#[test]
fn half_of_a_number_is_enough_for_the_products_of_other_devices() {
    let (x, weight) = (leaf([2, 3, 9, 9], 1), leaf([4, 3, 3, 3], 2));
    let run = |precision| {
        let slide = Slide::square(2, 1);
        host(stock::conv2d(
            x.clone(),
            weight.clone(),
            None,
            ConvOptions { slide, precision },
        ))
    };
    let (whole, half) = (run(Precision::F32), run(Precision::Bf16));
    assert_ne!(whole, half);
    let furthest = whole
        .iter()
        .zip(&half)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(furthest < 0.05, "{furthest}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn convolution_and_its_gradients_equal_burns(case in convolution()) {
        for (nth, (a, b)) in convolve(&case, true).iter().zip(&convolve(&case, false)).enumerate() {
            assert_close(a, b, ["output", "images", "weights", "bias"][nth])?;
        }
    }

    #[test]
    fn normalisation_and_its_gradients_equal_the_formula(
        shape in [1..5usize, 1..5usize, 1..9usize, 1..9usize],
        what in 0..4usize,
    ) {
        prop_assume!(shape[0] * shape[2] * shape[3] > 1);
        for (nth, (a, b)) in normalise(shape, what, true).iter().zip(&normalise(shape, what, false)).enumerate() {
            assert_close(a, b, ["output", "mean", "variance", "x", "gamma", "beta", "shortcut"][nth])?;
        }
    }

    #[test]
    fn pooling_and_its_gradient_equal_burns(
        shape in [1..4usize, 1..4usize, 1..40usize, 1..40usize],
        (kernel, padding) in (1..4usize).prop_flat_map(|kernel| (Just(kernel), 0..=kernel / 2)),
        stride in 1..4usize,
        relu: bool,
    ) {
        prop_assume!(shape[2] + 2 * padding >= kernel && shape[3] + 2 * padding >= kernel);
        let pool = Pool { kernel, slide: Slide::square(stride, padding), relu };
        let (ours, theirs) = (pooled(shape, pool, true), pooled(shape, pool, false));
        prop_assert_eq!(&ours[0], &theirs[0]);
        assert_close(&ours[1], &theirs[1], "gradient")?;
    }

    #[test]
    fn scaling_and_shifting_equals_the_formula(shape in [1..4usize, 1..5usize, 1..8usize, 1..8usize]) {
        let device = Device::flex();
        let tensor = |salt| Tensor::<4>::from_data(drawn(shape, salt), &device);
        let channel = |salt| Tensor::<1>::from_data(drawn([shape[1]], salt), &device);
        let line = || [channel(2), channel(3)];
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let ours = scale_shift(tensor(1), line(), activation);
            let theirs = stock::scale_shift(tensor(1), line(), activation);
            assert_close(&host(ours), &host(theirs), "alone")?;
        }
        let ours = scale_shift_add_relu(tensor(1), line(), tensor(4));
        let theirs = stock::scale_shift_add_relu(tensor(1), line(), tensor(4));
        assert_close(&host(ours), &host(theirs), "shortcut")?;
    }
}

/// Output, statistics and gradients; `what` follows is nothing, ReLU, SiLU, or a shortcut and ReLU.
fn normalise(shape: [usize; 4], what: usize, ours: bool) -> Vec<Vec<f32>> {
    let channels = [shape[1]];
    let (x, gamma, beta) = (leaf(shape, 1), leaf(channels, 2), leaf(channels, 3));
    let shortcut = leaf(shape, 4);
    let affine = [gamma.clone(), beta.clone()];
    let normalized = match (ours, what) {
        (true, 0) => batch_norm(x.clone(), affine, 1e-2, Activation::None),
        (true, 1) => batch_norm(x.clone(), affine, 1e-2, Activation::Relu),
        (true, 2) => batch_norm(x.clone(), affine, 1e-2, Activation::Silu),
        (true, _) => batch_norm_add_relu(x.clone(), affine, shortcut.clone(), 1e-2),
        (false, 0) => stock::batch_norm(x.clone(), affine, 1e-2, Activation::None),
        (false, 1) => stock::batch_norm(x.clone(), affine, 1e-2, Activation::Relu),
        (false, 2) => stock::batch_norm(x.clone(), affine, 1e-2, Activation::Silu),
        (false, _) => stock::batch_norm_add_relu(x.clone(), affine, shortcut.clone(), 1e-2),
    };
    let BatchNormOutput { out, mean, variance } = normalized;
    let mut all = mixed(out.clone(), 5).backward();
    let mut results = vec![host(out), host(mean), host(variance)];
    results.extend([
        gradient(&x, &mut all),
        gradient(&gamma, &mut all),
        gradient(&beta, &mut all),
    ]);
    if what == 3 {
        results.push(gradient(&shortcut, &mut all));
    }
    results
}

/// Output, statistics and gradients of normalisation, `activation` and convolution, as one operation or one after another.
fn pair(
    images: [usize; 4],
    weights: [usize; 4],
    slide: Slide,
    activation: Activation,
    as_one: bool,
) -> Vec<Vec<u32>> {
    let (x, weight) = (leaf(images, 1), leaf(weights, 2));
    let (gamma, beta) = (leaf([images[1]], 3), leaf([images[1]], 4));
    let (inner, line) = (x.clone(), [gamma.clone(), beta.clone()]);
    let BatchNormOutput { out, mean, variance } = if as_one {
        batch_norm_conv2d(inner, line, 1e-2, activation, weight.clone(), slide.into())
    } else {
        let normalized = batch_norm(inner, line, 1e-2, activation);
        let out = if images[1] == weights[1] {
            conv2d(normalized.out, weight.clone(), None, slide.into())
        } else {
            grouped_conv2d(normalized.out, weight.clone(), slide)
        };
        BatchNormOutput { out, ..normalized }
    };
    let mut all = mixed(out.clone(), 5).backward();
    let results = [
        host(out),
        host(mean),
        host(variance),
        gradient(&x, &mut all),
        gradient(&gamma, &mut all),
        gradient(&beta, &mut all),
        gradient(&weight, &mut all),
    ];
    results
        .map(|values| values.into_iter().map(f32::to_bits).collect())
        .into()
}

#[test]
fn normalisation_and_convolution_as_one_are_the_two_to_the_bit() {
    for (images, weights, slide) in [
        ([3, 5, 9, 11], [4, 5, 3, 3], Slide::square(2, 1)),
        ([2, 64, 20, 20], [32, 64, 1, 1], Slide::square(1, 0)),
        ([2, 17, 21, 70], [19, 17, 3, 3], Slide::square(1, 1)),
        ([2, 12, 21, 40], [12, 1, 5, 5], Slide::square(2, 2)),
    ] {
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let (one, two) = (
                pair(images, weights, slide, activation, true),
                pair(images, weights, slide, activation, false),
            );
            assert!(one == two, "{images:?} {weights:?} {activation:?}");
        }
    }
}

fn pooled(shape: [usize; 4], pool: Pool, ours: bool) -> [Vec<f32>; 2] {
    let x = leaf(shape, 1);
    let max_pool2d = if ours { max_pool2d } else { stock::max_pool2d };
    let out = max_pool2d(x.clone(), pool);
    let mut all = mixed(out.clone(), 2).backward();
    [host(out), gradient(&x, &mut all)]
}

#[test]
fn a_flat_window_sends_its_gradient_to_the_first_pixel_as_pytorch_does() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::ones([1, 1, 2, 18], &device).require_grad();
    let pool = Pool {
        kernel: 2,
        slide: Slide::square(2, 0),
        relu: true,
    };
    let mut all = max_pool2d(x.clone(), pool).sum().backward();
    let expected: Vec<f32> = (0..36)
        .map(|at| if at < 18 && at % 2 == 0 { 1.0 } else { 0.0 })
        .collect();
    assert_eq!(gradient(&x, &mut all), expected);
}

#[test]
fn nan_passes_through_relu_and_pooling() {
    let device = Device::flex();
    let mut values = vec![1.0f32; 4 * 36];
    values[20] = f32::NAN;
    let x = Tensor::<4>::from_data(TensorData::new(values, [1, 1, 4, 36]), &device);
    let pool = Pool {
        kernel: 2,
        slide: Slide::square(2, 0),
        relu: true,
    };
    let out = host(max_pool2d(x.clone(), pool));
    assert_eq!(out.iter().filter(|value| value.is_nan()).count(), 1);
    let ones = || Tensor::<1>::ones([1], &device);
    let out = host(scale_shift(x, [ones(), ones()], Activation::Relu));
    assert_eq!(out.iter().filter(|value| value.is_nan()).count(), 1);
}

/// Shapes that take every route: large planes in row tiles, small planes in groups, many channels, steps, 1×1.
#[test]
fn results_are_the_same_bits_on_one_two_and_four_threads() {
    let case = |images, weights, slide, with_bias| Convolution {
        images,
        weights,
        slide,
        with_bias,
        precision: Precision::F32,
    };
    let cases = [
        case([2, 40, 150, 150], [5, 40, 3, 3], Slide::square(1, 1), true),
        case([9, 70, 5, 5], [33, 70, 3, 3], Slide::square(1, 1), true),
        case([3, 33, 30, 30], [8, 33, 7, 7], Slide::square(2, 3), false),
        case([2, 64, 57, 61], [24, 64, 3, 3], Slide::square(1, 1), true),
        case([33, 130, 7, 7], [70, 130, 3, 3], Slide::square(1, 1), false),
        case([3, 64, 20, 20], [32, 64, 1, 1], Slide::square(1, 0), false),
        case([3, 64, 20, 20], [32, 64, 1, 1], Slide::square(2, 0), false),
    ];
    let pool = Pool {
        kernel: 3,
        slide: Slide::square(2, 1),
        relu: true,
    };
    assert_same_bits_on_any_threads(|| {
        let mut results: Vec<_> = cases.iter().flat_map(|case| convolve(case, true)).collect();
        results.extend(cases.iter().flat_map(|case| {
            let precision = Precision::Bf16;
            convolve(
                &Convolution {
                    precision,
                    ..case.clone()
                },
                true,
            )
        }));
        results.extend((0..4).flat_map(|what| normalise([5, 7, 33, 31], what, true)));
        results.extend(pooled([3, 5, 33, 31], pool, true));
        results
    });
}

/// Runs `everything` on one, two and four threads.
pub(super) fn assert_same_bits_on_any_threads(everything: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let results = pool.build().unwrap().install(&everything);
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        results.into_iter().map(bits).collect::<Vec<_>>()
    };
    let one = on(1);
    for threads in [2, 4] {
        assert!(on(threads) == one, "{threads} threads");
    }
}

/// The large shapes of the test above against burn's own operations.
#[test]
fn large_convolutions_equal_burns() {
    for (images, weights, slide) in [
        ([2, 40, 150, 150], [5, 40, 3, 3], Slide::square(1, 1)),
        ([9, 70, 5, 5], [33, 70, 3, 3], Slide::square(1, 1)),
        ([3, 33, 30, 30], [8, 33, 7, 7], Slide::square(2, 3)),
        ([3, 64, 20, 20], [32, 64, 1, 1], Slide::square(2, 0)),
    ] {
        for precision in [Precision::F32, Precision::Bf16] {
            let case = Convolution {
                images,
                weights,
                slide,
                with_bias: true,
                precision,
            };
            for (nth, (ours, theirs)) in convolve(&case, true)
                .iter()
                .zip(&convolve(&case, false))
                .enumerate()
            {
                let largest = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                for (a, b) in ours.iter().zip(theirs) {
                    assert!(
                        (a - b).abs() <= 1e-4 * (1.0 + largest),
                        "{case:?} result {nth}: {a} against {b}"
                    );
                }
            }
        }
    }
}

/// Shapes that Winograd's filtering takes, with edges of every kind: runs that end within a row of tiles, tiles that reach
/// over the image, panels and vectors of channels that are not full, several blocks, other borders.
#[test]
fn filtered_convolutions_equal_burns() {
    for (images, weights, padding) in [
        ([2, 16, 16, 16], [16, 16, 3, 3], [1, 1]),
        ([2, 17, 21, 70], [19, 17, 3, 3], [1, 1]),
        ([8, 40, 7, 7], [33, 40, 3, 3], [1, 1]),
        ([3, 24, 18, 23], [31, 24, 3, 3], [0, 2]),
        ([4, 128, 9, 13], [32, 128, 3, 3], [2, 0]),
        ([2, 600, 30, 31], [16, 600, 3, 3], [1, 1]),
    ] {
        let slide = Slide {
            stride: [1, 1],
            padding,
        };
        assert!(winograd::suits(&conv::Geometry::new(
            images,
            weights,
            slide.into()
        )));
        for with_bias in [false, true] {
            let case = Convolution {
                images,
                weights,
                slide,
                with_bias,
                precision: Precision::F32,
            };
            let (ours, theirs) = (convolve(&case, true), convolve(&case, false));
            assert_eq!(ours.len(), theirs.len());
            for (nth, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours.len(), theirs.len());
                let largest = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                let far = ours
                    .iter()
                    .zip(theirs)
                    .fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(
                    far <= 2e-5 * (1.0 + largest),
                    "{case:?} result {nth}: {far} of {largest}"
                );
            }
        }
    }
}
