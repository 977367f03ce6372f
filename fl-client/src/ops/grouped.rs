//! Convolution in groups of channels, and its gradients; `depthwise` has those of one channel a group.
//!
//! Groups are too narrow for matrix products, so each kernel position scales a row of pixels and adds it to another. One
//! task owns a plane, or the kernels of one output channel; sums keep their order, so results do not depend on the number
//! of threads.

use kernels::simd::{Body, widest};
use rayon::prelude::*;

use super::{conv::Slide, depthwise};

/// Products summed side by side.
const LANES: usize = 16;

/// The shapes: N×C×H×W images, O×(C/groups)×kh×kw weights, N×O×oh×ow outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) outputs: usize,
    /// Input channels of a group.
    width: usize,
    /// Output channels of a group.
    depth: usize,
    pub(super) kernel: [usize; 2],
    pub(super) slide: Slide,
    pub(super) out: [usize; 2],
}

/// One kernel position over one output row: which outputs it reaches and where their pixels start.
struct Reach {
    line: usize,
    from: usize,
    columns: std::ops::Range<usize>,
}

impl Groups {
    /// From the shapes of images and weights; the number of groups follows from their channels.
    ///
    /// # Panics
    /// If the channels cannot be split so, or the kernel does not fit.
    pub(super) fn new(images: [usize; 4], weights: [usize; 4], slide: Slide) -> Self {
        let [batch, channels, height, width] = images;
        let [outputs, per_group, kh, kw] = weights;
        assert!(
            per_group > 0 && channels.is_multiple_of(per_group),
            "{channels} channels do not make groups of {per_group}"
        );
        let groups = channels / per_group;
        assert!(
            groups > 0 && outputs.is_multiple_of(groups),
            "{outputs} outputs do not make {groups} groups"
        );
        Self {
            batch,
            channels,
            size: [height, width],
            outputs,
            width: per_group,
            depth: outputs / groups,
            kernel: [kh, kw],
            slide,
            out: [slide.positions(0, height, kh), slide.positions(1, width, kw)],
        }
    }

    /// The shape of the output.
    pub(super) fn output(&self) -> [usize; 4] {
        [self.batch, self.outputs, self.out[0], self.out[1]]
    }

    pub(super) fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    pub(super) fn out_plane(&self) -> usize {
        self.out[0] * self.out[1]
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether each output comes of one channel, and each channel goes to one output.
    fn is_depthwise(&self) -> bool {
        self.width == 1 && self.depth == 1
    }

    /// The kernel of one output channel for one channel of its group.
    pub(super) fn kernel_of<'a>(&self, weights: &'a [f32], output: usize, nth: usize) -> &'a [f32] {
        &weights[(output * self.width + nth) * self.taps()..][..self.taps()]
    }

    /// The pixels that the kernel positions of output row `row` meet, as (tap, reach).
    fn reaches(&self, row: usize) -> impl Iterator<Item = (usize, Reach)> {
        let ([height, width], [kh, kw]) = (self.size, self.kernel);
        let Slide { stride, padding } = self.slide;
        (0..kh).flat_map(move |ky| {
            let y = (row * stride[0] + ky)
                .checked_sub(padding[0])
                .filter(|y| *y < height);
            (0..kw).filter_map(move |kx| {
                let columns = self.slide.inside(1, width, kx, self.out[1]);
                if columns.is_empty() {
                    return None;
                }
                let from = columns.start * stride[1] + kx - padding[1];
                Some((
                    ky * kw + kx,
                    Reach {
                        line: y? * width,
                        from,
                        columns,
                    },
                ))
            })
        })
    }
}

/// `out[n, o] = Σ_c weights[o, c] ⋆ images[n, c]` over the channels c of o's group.
pub(super) fn forward(images: &[f32], weights: &[f32], g: &Groups) -> Vec<f32> {
    if g.is_depthwise() {
        return depthwise::forward(images, weights, g);
    }
    assert_eq!(images.len(), g.batch * g.channels * g.plane());
    let mut out = vec![0.0; g.batch * g.outputs * g.out_plane()];
    out.par_chunks_mut(g.out_plane())
        .enumerate()
        .for_each(|(index, out)| {
            let (image, output) = (index / g.outputs, index % g.outputs);
            let first = image * g.channels + output / g.depth * g.width;
            for nth in 0..g.width {
                widest(Forward {
                    out: &mut *out,
                    pixels: &images[(first + nth) * g.plane()..][..g.plane()],
                    kernel: g.kernel_of(weights, output, nth),
                    g,
                });
            }
        });
    out
}

/// Adds one channel's part to an output plane.
struct Forward<'a> {
    out: &'a mut [f32],
    pixels: &'a [f32],
    kernel: &'a [f32],
    g: &'a Groups,
}

impl Body for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (g, step) = (self.g, self.g.slide.stride[1]);
        for (row, out) in self.out.chunks_exact_mut(g.out[1]).enumerate() {
            for (tap, reach) in g.reaches(row) {
                let line = &self.pixels[reach.line..][..g.size[1]][reach.from..];
                let (out, weight) = (&mut out[reach.columns], self.kernel[tap]);
                if step == 1 {
                    for (out, value) in out.iter_mut().zip(line) {
                        *out += weight * value;
                    }
                } else {
                    for (out, value) in out.iter_mut().zip(line.iter().step_by(step)) {
                        *out += weight * value;
                    }
                }
            }
        }
    }
}

/// The gradient of the images: each output pixel's gradient goes back along the kernel positions it came by.
pub(super) fn image_gradient(weights: &[f32], grad: &[f32], g: &Groups) -> Vec<f32> {
    if g.is_depthwise() {
        return depthwise::image_gradient(weights, grad, g);
    }
    assert_eq!(grad.len(), g.batch * g.outputs * g.out_plane());
    let mut out = vec![0.0; g.batch * g.channels * g.plane()];
    out.par_chunks_mut(g.plane())
        .enumerate()
        .for_each(|(index, pixels)| {
            let (image, channel) = (index / g.channels, index % g.channels);
            let (group, nth) = (channel / g.width, channel % g.width);
            for output in group * g.depth..(group + 1) * g.depth {
                widest(Back {
                    pixels: &mut *pixels,
                    grad: &grad[(image * g.outputs + output) * g.out_plane()..][..g.out_plane()],
                    kernel: g.kernel_of(weights, output, nth),
                    g,
                });
            }
        });
    out
}

/// Adds what one output plane's gradient sends to an input plane.
struct Back<'a> {
    pixels: &'a mut [f32],
    grad: &'a [f32],
    kernel: &'a [f32],
    g: &'a Groups,
}

impl Body for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (g, step) = (self.g, self.g.slide.stride[1]);
        for (row, grad) in self.grad.chunks_exact(g.out[1]).enumerate() {
            for (tap, reach) in g.reaches(row) {
                let line = &mut self.pixels[reach.line..][..g.size[1]][reach.from..];
                let (grad, weight) = (&grad[reach.columns], self.kernel[tap]);
                if step == 1 {
                    for (pixel, grad) in line.iter_mut().zip(grad) {
                        *pixel += weight * grad;
                    }
                } else {
                    for (pixel, grad) in line.iter_mut().step_by(step).zip(grad) {
                        *pixel += weight * grad;
                    }
                }
            }
        }
    }
}

/// The gradient of the weights: `dW[o, c, k] = Σ_n Σ_pixels grad[n, o]·images[n, c]`, planes summed in `f64`.
pub(super) fn weight_gradient(images: &[f32], grad: &[f32], g: &Groups) -> Vec<f32> {
    if g.is_depthwise() {
        return depthwise::weight_gradient(images, grad, g);
    }
    assert_eq!(grad.len(), g.batch * g.outputs * g.out_plane());
    let taps = g.taps();
    let mut out = vec![0.0; g.outputs * g.width * taps];
    out.par_chunks_mut(taps).enumerate().for_each(|(index, kernel)| {
        let (output, nth) = (index / g.width, index % g.width);
        let channel = output / g.depth * g.width + nth;
        let mut totals = vec![0.0f64; taps];
        let mut sums = vec![[0.0f32; LANES]; taps];
        for image in 0..g.batch {
            widest(Correlate {
                sums: &mut sums,
                pixels: &images[(image * g.channels + channel) * g.plane()..][..g.plane()],
                grad: &grad[(image * g.outputs + output) * g.out_plane()..][..g.out_plane()],
                g,
            });
            for (total, sum) in totals.iter_mut().zip(&mut sums) {
                *total += sum.iter().map(|lane| f64::from(*lane)).sum::<f64>();
                *sum = [0.0; LANES];
            }
        }
        for (out, total) in kernel.iter_mut().zip(totals) {
            *out = total as f32;
        }
    });
    out
}

/// Adds a plane's products to the fixed lanes of each kernel position.
struct Correlate<'a> {
    sums: &'a mut [[f32; LANES]],
    pixels: &'a [f32],
    grad: &'a [f32],
    g: &'a Groups,
}

impl Body for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (g, step) = (self.g, self.g.slide.stride[1]);
        for (row, grad) in self.grad.chunks_exact(g.out[1]).enumerate() {
            for (tap, reach) in g.reaches(row) {
                let line = &self.pixels[reach.line..][..g.size[1]][reach.from..];
                add_products(&mut self.sums[tap], &grad[reach.columns], line, step);
            }
        }
    }
}

/// Adds the products of `grad` with every `step`th value of `line` to fixed lanes.
#[inline(always)]
fn add_products(lanes: &mut [f32; LANES], grad: &[f32], line: &[f32], step: usize) {
    if step == 1 {
        let (grads, lines) = (grad.chunks_exact(LANES), line[..grad.len()].chunks_exact(LANES));
        let rest = grads.remainder().iter().zip(lines.remainder());
        for (grad, line) in grads.zip(lines) {
            for lane in 0..LANES {
                lanes[lane] += grad[lane] * line[lane];
            }
        }
        for (lane, (grad, value)) in lanes.iter_mut().zip(rest) {
            *lane += grad * value;
        }
    } else {
        for (at, (grad, value)) in grad.iter().zip(line.iter().step_by(step)).enumerate() {
            lanes[at % LANES] += grad * value;
        }
    }
}
