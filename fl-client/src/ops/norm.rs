//! Batch normalisation fused with what follows it: ReLU, SiLU, or the addition of a shortcut and ReLU.
//!
//! Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithm 1. One task owns a channel of the whole batch, so a channel's
//! values are read again while they are in the cache. Sums run over fixed lanes and then in `f64` in the order of the
//! batch: they do not depend on the number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use kernels::simd::{Body, widest};

use super::{
    buffer::{planes_by_channel, written},
    gate::sigmoid,
};

/// Values summed side by side.
const LANES: usize = 32;

/// What happens to the normalised value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Negative values become 0; NaN stays NaN.
    Relu,
    /// `y·sigmoid(y)`.
    Silu,
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
        let (mean, variance) = widest(Measure { x, channel, planes });
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
            widest(Write {
                out,
                x: planes.of_slice(x, image, channel),
                line,
                shortcut,
                activation: after.activation,
            });
        }
        statistics
    };
    // SAFETY: the planes partition the buffer and `Write` writes every element of each.
    let (out, (mean, variance)) = unsafe {
        written(x.len(), |out| {
            let groups = planes_by_channel(out, planes.channels, planes.plane);
            groups.into_par_iter().enumerate().map(task).unzip()
        })
    };
    (out, Statistics { mean, variance })
}

/// Writes all of `out`, which is as long as `x`.
struct Write<'a> {
    out: &'a mut [MaybeUninit<f32>],
    x: &'a [f32],
    line: Line,
    shortcut: Option<&'a [f32]>,
    activation: Activation,
}

impl Body for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        assert_eq!(self.out.len(), self.x.len());
        let Line { scale, shift } = self.line;
        let pairs = self.out.iter_mut().zip(self.x);
        let Some(more) = self.shortcut else {
            return match self.activation {
                Activation::None => pairs.for_each(|(out, x)| _ = out.write(x * scale + shift)),
                Activation::Relu => pairs.for_each(|(out, x)| _ = out.write(relu(x * scale + shift))),
                Activation::Silu => pairs.for_each(|(out, x)| _ = out.write(silu(x * scale + shift))),
            };
        };
        assert_eq!(more.len(), self.x.len());
        let sums = pairs
            .zip(more)
            .map(|((out, x), more)| (out, x * scale + shift + more));
        match self.activation {
            Activation::None => sums.for_each(|(out, sum)| _ = out.write(sum)),
            Activation::Relu => sums.for_each(|(out, sum)| _ = out.write(relu(sum))),
            Activation::Silu => sums.for_each(|(out, sum)| _ = out.write(silu(sum))),
        }
    }
}

/// Mean and biased variance of one channel, in two passes.
struct Measure<'a> {
    x: &'a [f32],
    channel: usize,
    planes: Planes,
}

impl Body for Measure<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self) -> (f32, f32) {
        let Self { x, channel, planes } = self;
        let count = planes.count() as f64;
        let mut total = 0.0;
        for image in 0..planes.batch {
            total += sum_of(planes.of_slice(x, image, channel), |value| value);
        }
        let mean = (total / count) as f32;
        let mut squares = 0.0;
        for image in 0..planes.batch {
            let plane = planes.of_slice(x, image, channel);
            squares += sum_of(plane, |value| (value - mean) * (value - mean));
        }
        (mean, (squares / count) as f32)
    }
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
        Activation::None => backward_channel(saved, grad, Unchanged, channel, planes, out),
        Activation::Relu => {
            let before = Rectified(saved.line(channel));
            backward_channel(saved, grad, before, channel, planes, out)
        }
        Activation::Silu => {
            let before = Gated(saved.line(channel));
            backward_channel(saved, grad, before, channel, planes, out)
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

/// The gradient through what follows a normalisation.
trait Mask: Copy {
    /// From that of the output to that of the normalised value, which `x` became.
    fn through(self, grad: f32, x: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Unchanged;

impl Mask for Unchanged {
    #[inline(always)]
    fn through(self, grad: f32, _: f32) -> f32 {
        grad
    }
}

/// ReLU of the line.
#[derive(Clone, Copy)]
struct Rectified(Line);

impl Mask for Rectified {
    #[inline(always)]
    fn through(self, grad: f32, x: f32) -> f32 {
        masked(grad, x * self.0.scale + self.0.shift)
    }
}

/// SiLU of the line: with `s = sigmoid(y)`, `s·(1 + y·(1 - s))` times the gradient.
#[derive(Clone, Copy)]
struct Gated(Line);

impl Mask for Gated {
    #[inline(always)]
    fn through(self, grad: f32, x: f32) -> f32 {
        let y = x * self.0.scale + self.0.shift;
        let s = sigmoid(y);
        grad * (s * (1.0 + y * (1.0 - s)))
    }
}

/// Writes the input's gradient in one channel and returns those of scale and shift.
fn backward_channel(
    saved: Saved<'_>,
    grad: &[f32],
    mask: impl Mask,
    channel: usize,
    planes: Planes,
    out: Vec<&mut [MaybeUninit<f32>]>,
) -> (f32, f32) {
    let (mean, inverse) = (
        saved.mean[channel],
        1.0 / (saved.variance[channel] + saved.affine.epsilon).sqrt(),
    );
    let of = |image| Slope {
        grad: planes.of_slice(grad, image, channel),
        x: planes.of_slice(saved.x, image, channel),
        mean,
        mask,
    };
    let (mut sum_grad, mut sum_product) = (0.0, 0.0);
    for image in 0..planes.batch {
        let [first, second] = widest(Sums(of(image)));
        sum_grad += first;
        sum_product += second;
    }
    let count = planes.count() as f64;
    let to = Coefficients {
        scale: saved.affine.gamma[channel] * inverse,
        mean_grad: (sum_grad / count) as f32,
        slope: (sum_product / count) as f32 * inverse * inverse,
    };
    for (image, out) in out.into_iter().enumerate() {
        widest(Descend(of(image), to, out));
    }
    (sum_product as f32 * inverse, sum_grad as f32)
}

/// One plane of the gradient that comes in, beside the input and its channel's mean.
#[derive(Clone, Copy)]
struct Slope<'a, M> {
    grad: &'a [f32],
    x: &'a [f32],
    mean: f32,
    mask: M,
}

/// `Σ g` and `Σ g·(x - mean)`, over fixed lanes.
struct Sums<'a, M>(Slope<'a, M>);

impl<M: Mask> Body for Sums<'_, M> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let Slope { grad, x, mean, mask } = self.0;
        let mut lanes = [[0.0f32; LANES]; 2];
        let (grads, xs) = (grad.chunks_exact(LANES), x.chunks_exact(LANES));
        let rest = grads.remainder().iter().zip(xs.remainder());
        for (grad, x) in grads.zip(xs) {
            for lane in 0..LANES {
                let grad = mask.through(grad[lane], x[lane]);
                lanes[0][lane] += grad;
                lanes[1][lane] += grad * (x[lane] - mean);
            }
        }
        for (lane, (grad, x)) in rest.enumerate() {
            let grad = mask.through(*grad, *x);
            lanes[0][lane] += grad;
            lanes[1][lane] += grad * (x - mean);
        }
        lanes.map(|lanes| lanes.iter().map(|lane| f64::from(*lane)).sum())
    }
}

/// What a channel's gradient is made with.
#[derive(Clone, Copy)]
struct Coefficients {
    scale: f32,
    mean_grad: f32,
    slope: f32,
}

/// Writes all of a plane's gradient, which is as long as the plane.
struct Descend<'a, M>(Slope<'a, M>, Coefficients, &'a mut [MaybeUninit<f32>]);

impl<M: Mask> Body for Descend<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(Slope { grad, x, mean, mask }, to, out) = self;
        assert!(out.len() == grad.len() && out.len() == x.len());
        for (out, (grad, x)) in out.iter_mut().zip(grad.iter().zip(x)) {
            out.write(to.scale * (mask.through(*grad, *x) - to.mean_grad - (x - mean) * to.slope));
        }
    }
}

/// 0 for negative values; NaN stays NaN, unlike with `f32::max`.
#[inline(always)]
fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

#[inline(always)]
fn silu(value: f32) -> f32 {
    value * sigmoid(value)
}

#[inline(always)]
fn masked(grad: f32, output: f32) -> f32 {
    if output > 0.0 { grad } else { 0.0 }
}

/// Sum over fixed lanes, so that it vectorises and has one order.
pub(super) fn sum(values: &[f32]) -> f64 {
    sum_of(values, |value| value)
}

#[inline(always)]
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
