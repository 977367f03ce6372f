//! Batch normalisation fused with what follows it: ReLU, or the addition of a shortcut and ReLU.
//!
//! Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithm 1. One task owns a channel of the whole batch, so a channel's
//! values are read again while they are in the cache. Sums run over fixed lanes and then in `f64` in the order of the
//! batch: they do not depend on the number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::buffer::{planes_by_channel, written};

/// Values summed side by side.
const LANES: usize = 32;

/// What happens to the normalised value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Negative values become 0; NaN stays NaN.
    Relu,
}

/// Batch, channels, and pixels of a plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) plane: usize,
}

impl Planes {
    pub(super) fn of([batch, channels, height, width]: [usize; 4]) -> Self {
        Self {
            batch,
            channels,
            plane: height * width,
        }
    }

    /// Values a channel's statistics are taken over.
    fn count(&self) -> usize {
        self.batch * self.plane
    }

    /// The plane of one image and channel.
    fn of_slice<'a>(&self, values: &'a [f32], image: usize, channel: usize) -> &'a [f32] {
        &values[(image * self.channels + channel) * self.plane..][..self.plane]
    }
}

/// Scale, shift and what guards the root, as the layer holds them.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) epsilon: f32,
}

impl Affine<'_> {
    /// `gamma·(x - mean)/√(variance + epsilon) + beta` as a scale and a shift of x.
    fn line(&self, channel: usize, mean: f32, variance: f32) -> Line {
        let scale = self.gamma[channel] / (variance + self.epsilon).sqrt();
        Line {
            scale,
            shift: self.beta[channel] - mean * scale,
        }
    }
}

/// Mean and biased variance of every channel.
pub(super) struct Statistics {
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

/// What is done to a value once it is scaled and shifted.
#[derive(Clone, Copy)]
pub(super) struct After<'a> {
    /// Added to it: as many values as there are inputs.
    pub(super) shortcut: Option<&'a [f32]>,
    /// Applied last.
    pub(super) activation: Activation,
}

/// `out = act(gamma·(x - mean)/√(variance + epsilon) + beta [+ shortcut])` with the statistics of this batch.
pub(super) fn train_forward(
    x: &[f32],
    affine: Affine<'_>,
    after: After<'_>,
    planes: Planes,
) -> (Vec<f32>, Statistics) {
    by_channel(x, after, planes, |channel| {
        let (mean, variance) = statistics(x, channel, planes);
        (affine.line(channel, mean, variance), (mean, variance))
    })
}

/// `out = act(scale·x + shift [+ shortcut])` with a scale and a shift for every channel.
pub(super) fn scale_shift(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    after: After<'_>,
    planes: Planes,
) -> Vec<f32> {
    let line = |channel| Line {
        scale: scale[channel],
        shift: shift[channel],
    };
    by_channel(x, after, planes, |channel| (line(channel), (0.0, 0.0))).0
}

/// `scale·x + shift`.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) scale: f32,
    pub(super) shift: f32,
}

/// Finds each channel's line and statistics and writes the channel's planes.
fn by_channel(
    x: &[f32],
    after: After<'_>,
    planes: Planes,
    line_of: impl Fn(usize) -> (Line, (f32, f32)) + Sync,
) -> (Vec<f32>, Statistics) {
    assert_eq!(x.len(), planes.count() * planes.channels);
    assert!(after.shortcut.is_none_or(|shortcut| shortcut.len() == x.len()));
    let task = |(channel, out): (usize, Vec<&mut [MaybeUninit<f32>]>)| {
        let (line, statistics) = line_of(channel);
        for (image, out) in out.into_iter().enumerate() {
            let shortcut = after
                .shortcut
                .map(|shortcut| planes.of_slice(shortcut, image, channel));
            write_plane(
                out,
                planes.of_slice(x, image, channel),
                line,
                shortcut,
                after.activation,
            );
        }
        statistics
    };
    // SAFETY: the planes partition the buffer and `write_plane` writes every element of each.
    let (out, (mean, variance)) = unsafe {
        written(x.len(), |out| {
            let groups = planes_by_channel(out, planes.channels, planes.plane);
            groups.into_par_iter().enumerate().map(task).unzip()
        })
    };
    (out, Statistics { mean, variance })
}

/// Writes all of `out`, which is as long as `x`.
fn write_plane(
    out: &mut [MaybeUninit<f32>],
    x: &[f32],
    Line { scale, shift }: Line,
    shortcut: Option<&[f32]>,
    activation: Activation,
) {
    assert_eq!(out.len(), x.len());
    let pairs = out.iter_mut().zip(x);
    match (shortcut, activation) {
        (None, Activation::None) => pairs.for_each(|(out, x)| _ = out.write(x * scale + shift)),
        (None, Activation::Relu) => pairs.for_each(|(out, x)| _ = out.write(relu(x * scale + shift))),
        (Some(more), activation) => {
            assert_eq!(more.len(), x.len());
            let pairs = pairs.zip(more);
            match activation {
                Activation::None => {
                    pairs.for_each(|((out, x), more)| _ = out.write(x * scale + shift + more))
                }
                Activation::Relu => {
                    pairs.for_each(|((out, x), more)| _ = out.write(relu(x * scale + shift + more)));
                }
            }
        }
    }
}

/// Mean and biased variance of one channel, in two passes.
fn statistics(x: &[f32], channel: usize, planes: Planes) -> (f32, f32) {
    let each = || (0..planes.batch).map(|image| planes.of_slice(x, image, channel));
    let mean = (each().map(sum).sum::<f64>() / planes.count() as f64) as f32;
    let squares = |plane: &[f32]| sum_of(plane, |value| (value - mean) * (value - mean));
    let variance = each().map(squares).sum::<f64>() / planes.count() as f64;
    (mean, variance as f32)
}

/// What the backward pass keeps of the forward pass.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub(super) x: &'a [f32],
    pub(super) affine: Affine<'a>,
    pub(super) mean: &'a [f32],
    pub(super) variance: &'a [f32],
    /// What followed; no shortcut.
    pub(super) activation: Activation,
}

impl Saved<'_> {
    /// The channel's scale and shift, to the bit those of the forward pass.
    pub(super) fn line(&self, channel: usize) -> Line {
        self.affine
            .line(channel, self.mean[channel], self.variance[channel])
    }

    /// The output of the forward pass once more: it costs less to compute than to keep.
    pub(super) fn output(&self, planes: Planes) -> Vec<f32> {
        let after = After {
            shortcut: None,
            activation: self.activation,
        };
        by_channel(self.x, after, planes, |channel| (self.line(channel), (0.0, 0.0))).0
    }
}

/// Gradients of input, scale and shift.
pub(super) struct Gradients {
    pub(super) x: Vec<f32>,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
}

/// The gradient through ReLU: `grad` where the output is positive, else 0. It is also the gradient of the shortcut.
pub(super) fn relu_gradient(grad: &[f32], output: &[f32]) -> Vec<f32> {
    assert_eq!(grad.len(), output.len());
    grad.par_iter()
        .zip(output)
        .with_min_len(1 << 14)
        .map(|(grad, out)| masked(*grad, *out))
        .collect()
}

/// `dx = gamma/√(variance + epsilon)·(g - mean(g) - x̂·mean(g·x̂))`, `dgamma = Σ g·x̂`, `dbeta = Σ g`.
///
/// Ioffe and Szegedy 2015, section 3, with the two sums over the batch taken first.
pub(super) fn train_backward(saved: Saved<'_>, grad: &[f32], planes: Planes) -> Gradients {
    assert_eq!(saved.x.len(), planes.count() * planes.channels);
    assert_eq!(grad.len(), saved.x.len());
    let task = |(channel, out): (usize, Vec<&mut [MaybeUninit<f32>]>)| match saved.activation {
        Activation::None => backward_channel(saved, grad, |grad, _| grad, channel, planes, out),
        Activation::Relu => {
            let Line { scale, shift } = saved.line(channel);
            let mask = |grad, x| masked(grad, x * scale + shift);
            backward_channel(saved, grad, mask, channel, planes, out)
        }
    };
    // SAFETY: the planes partition the buffer and `backward_channel` writes every element of the planes it is given.
    let (x, (gamma, beta)) = unsafe {
        written(grad.len(), |out| {
            let groups = planes_by_channel(out, planes.channels, planes.plane);
            groups.into_par_iter().enumerate().map(task).unzip()
        })
    };
    Gradients { x, gamma, beta }
}

/// Writes the input's gradient in one channel and returns those of scale and shift.
///
/// `mask(grad, x)` is the gradient through the activation.
fn backward_channel(
    saved: Saved<'_>,
    grad: &[f32],
    mask: impl Fn(f32, f32) -> f32,
    channel: usize,
    planes: Planes,
    out: Vec<&mut [MaybeUninit<f32>]>,
) -> (f32, f32) {
    let (mean, inverse) = (
        saved.mean[channel],
        1.0 / (saved.variance[channel] + saved.affine.epsilon).sqrt(),
    );
    let of = |values, image| planes.of_slice(values, image, channel);
    let (mut sum_grad, mut sum_product) = (0.0, 0.0);
    for image in 0..planes.batch {
        let product = |grad, x: f32| [mask(grad, x), mask(grad, x) * (x - mean)];
        let [first, second] = sums(of(grad, image), of(saved.x, image), product);
        sum_grad += first;
        sum_product += second;
    }
    let count = planes.count() as f64;
    let scale = saved.affine.gamma[channel] * inverse;
    let mean_grad = (sum_grad / count) as f32;
    let slope = (sum_product / count) as f32 * inverse * inverse;
    for (image, out) in out.into_iter().enumerate() {
        let inputs = of(grad, image).iter().zip(of(saved.x, image));
        for (out, (grad, x)) in out.iter_mut().zip(inputs) {
            out.write(scale * (mask(*grad, *x) - mean_grad - (x - mean) * slope));
        }
    }
    (sum_product as f32 * inverse, sum_grad as f32)
}

/// 0 for negative values; NaN stays NaN, unlike with `f32::max`.
fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

fn masked(grad: f32, output: f32) -> f32 {
    if output > 0.0 { grad } else { 0.0 }
}

/// Sum over fixed lanes, so that it vectorises and has one order.
pub(super) fn sum(values: &[f32]) -> f64 {
    sum_of(values, |value| value)
}

fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks
        .remainder()
        .iter()
        .map(|value| f64::from(term(*value)))
        .sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(*value);
        }
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + rest
}

/// Two sums over two slices of one length, over fixed lanes.
fn sums(a: &[f32], b: &[f32], terms: impl Fn(f32, f32) -> [f32; 2]) -> [f64; 2] {
    let mut lanes = [[0.0f32; LANES]; 2];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (a, b)) in a.iter().zip(b).enumerate() {
            let [first, second] = terms(*a, *b);
            lanes[0][lane] += first;
            lanes[1][lane] += second;
        }
    }
    lanes.map(|lanes| lanes.iter().map(|lane| f64::from(*lane)).sum())
}
