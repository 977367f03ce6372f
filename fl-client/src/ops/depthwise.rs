//! Convolution of each channel by itself, and its gradients.
//!
//! In and out as in `grouped`, which sends such shapes here. Start at [`forward`].
//!
//! A plane is laid out in *phases*, one for each remainder of row and column by the stride, with a border of zeros and lines
//! as long as the outputs need. Output `i` of a plane whose lines are as long then is `Σ weight·phase[i + offset]`, with one
//! offset for each kernel position, for all outputs in a row: vectors run on over the ends of lines, however short
//! those are. What they compute between the lines is left behind. One task owns a plane, or the kernel of one channel; sums
//! keep their order, so results do not depend on the number of threads.

use rayon::prelude::*;

use super::{
    buffer::with_scratch,
    grouped::Groups,
    micro::{Vector, Vectored, vectored},
};

/// Values of the widest vector.
const LANES: usize = 16;

/// Vectors whose sums are kept at a time.
const VECTORS: usize = 4;

/// Outputs computed at a time; every buffer has as many values beyond its end.
const STEP: usize = VECTORS * LANES;

/// Kernel positions whose products are summed at a time.
const SUMS: usize = 8;

/// How planes are laid out.
struct Phases {
    /// Length of a line.
    line: usize,
    /// Lines of a phase.
    lines: usize,
    /// Phases along rows and columns.
    stride: [usize; 2],
    padding: [usize; 2],
    /// Pixels of a plane, in rows and columns.
    size: [usize; 2],
    /// Pixels of an output plane.
    out: [usize; 2],
    /// For every kernel position its phase and offset.
    taps: Vec<(usize, usize)>,
}

impl Phases {
    fn new(g: &Groups) -> Self {
        let ([kh, kw], stride) = (g.kernel, g.slide.stride);
        let line = g.out[1] + (kw - 1) / stride[1];
        let tap = |ky: usize, kx: usize| {
            let phase = ky % stride[0] * stride[1] + kx % stride[1];
            (phase, ky / stride[0] * line + kx / stride[1])
        };
        Self {
            line,
            lines: g.out[0] + (kh - 1) / stride[0],
            stride,
            padding: g.slide.padding,
            size: g.size,
            out: g.out,
            taps: (0..kh)
                .flat_map(|ky| (0..kw).map(move |kx| tap(ky, kx)))
                .collect(),
        }
    }

    fn count(&self) -> usize {
        self.stride[0] * self.stride[1]
    }

    /// Values of one phase.
    fn values(&self) -> usize {
        self.line * self.lines
    }

    /// Distance between phases in a buffer.
    fn apart(&self) -> usize {
        self.values() + STEP
    }

    /// The largest offset of a kernel position.
    fn reach(&self) -> usize {
        self.taps.iter().map(|(_, offset)| *offset).max().unwrap_or(0)
    }

    /// Values from the first output to the last, what is between lines included.
    fn outputs(&self) -> usize {
        (self.out[0] - 1) * self.line + self.out[1]
    }

    /// Calls `visit` with every line of every phase, by its start in a buffer of phases, and with the pixels it holds: the
    /// line's first value that is a pixel, the pixel's index in the plane and how many there are, `stride` apart.
    fn each_line(&self, mut visit: impl FnMut(usize, Option<(usize, usize, usize)>)) {
        for phase in 0..self.count() {
            let [ry, rx] = [phase / self.stride[1], phase % self.stride[1]];
            // Pixel x is value (x + padding - rx) / stride of its phase's lines.
            let first = self.padding[1]
                .saturating_sub(rx)
                .div_ceil(self.stride[1])
                .min(self.line);
            let end = (self.size[1] + self.padding[1])
                .saturating_sub(rx)
                .div_ceil(self.stride[1])
                .clamp(first, self.line);
            for row in 0..self.lines {
                let start = phase * self.apart() + row * self.line;
                let y = (row * self.stride[0] + ry).checked_sub(self.padding[0]);
                let pixels = y.filter(|y| *y < self.size[0] && first < end).map(|y| {
                    let x = first * self.stride[1] + rx - self.padding[1];
                    (first, y * self.size[1] + x, end - first)
                });
                visit(start, pixels);
            }
        }
    }

    /// Lays out a plane.
    fn spread(&self, plane: &[f32], phases: &mut [f32]) {
        self.each_line(|start, pixels| {
            let line = &mut phases[start..start + self.line];
            let Some((first, pixel, count)) = pixels else {
                return line.fill(0.0);
            };
            line[..first].fill(0.0);
            line[first + count..].fill(0.0);
            let line = &mut line[first..first + count];
            let pixels = &plane[pixel..];
            match self.stride[1] {
                1 => line.copy_from_slice(&pixels[..count]),
                // In pairs, which the compiler makes vectors of.
                2 => {
                    let (pairs, rest) = pixels.as_chunks::<2>();
                    let last = rest.first().copied();
                    let firsts = pairs.iter().map(|pair| pair[0]);
                    let whole = count.min(pairs.len());
                    for (value, first) in line.iter_mut().zip(firsts) {
                        *value = first;
                    }
                    if let (Some(value), Some(last)) = (line.get_mut(whole), last) {
                        *value = last;
                    }
                }
                stride => {
                    for (value, pixel) in line.iter_mut().zip(pixels.iter().step_by(stride)) {
                        *value = *pixel;
                    }
                }
            }
        });
        for phase in 0..self.count() {
            phases[phase * self.apart() + self.values()..][..STEP].fill(0.0);
        }
    }

    /// The inverse of [`Phases::spread`]; pixels that no output has seen are left as they are.
    fn collect(&self, phases: &[f32], plane: &mut [f32]) {
        self.each_line(|start, pixels| {
            let Some((first, pixel, count)) = pixels else {
                return;
            };
            let line = &phases[start + first..][..count];
            if self.stride[1] == 1 {
                plane[pixel..pixel + count].copy_from_slice(line);
            } else {
                for (pixel, value) in plane[pixel..].iter_mut().step_by(self.stride[1]).zip(line) {
                    *pixel = *value;
                }
            }
        });
    }

    /// Lays out a plane of outputs after `before` zeros, with zeros between the lines and after the last.
    fn place(&self, outputs: &[f32], before: usize, placed: &mut [f32]) {
        placed[..before].fill(0.0);
        let (lines, rest) = placed[before..].split_at_mut(self.out[0] * self.line);
        rest.fill(0.0);
        for (line, row) in lines
            .chunks_exact_mut(self.line)
            .zip(outputs.chunks_exact(self.out[1]))
        {
            let (values, between) = line.split_at_mut(self.out[1]);
            values.copy_from_slice(row);
            between.fill(0.0);
        }
    }
}

/// `out[n, c] = weights[c] ⋆ images[n, c]`.
pub(super) fn forward(images: &[f32], weights: &[f32], g: &Groups) -> Vec<f32> {
    assert_eq!(images.len(), g.batch * g.channels * g.plane());
    let phases = Phases::new(g);
    let mut out = vec![0.0; g.batch * g.outputs * g.out_plane()];
    out.par_chunks_mut(g.out_plane())
        .zip(images.par_chunks(g.plane()))
        .enumerate()
        .for_each(|(index, (out, plane))| {
            let kernel = g.kernel_of(weights, index % g.channels, 0);
            let taps: Vec<(usize, f32)> = phases
                .taps
                .iter()
                .zip(kernel)
                .map(|((phase, offset), weight)| (phase * phases.apart() + offset, *weight))
                .collect();
            with_scratch(
                phases.count() * phases.apart() + phases.outputs() + STEP,
                |scratch| {
                    let (laid, sums) = scratch.split_at_mut(phases.count() * phases.apart());
                    phases.spread(plane, laid);
                    let count = phases.outputs();
                    Sum {
                        taps: &taps,
                        from: laid,
                        sums,
                        count,
                    }
                    .run();
                    for (row, sums) in out.chunks_exact_mut(g.out[1]).zip(sums.chunks(phases.line)) {
                        row.copy_from_slice(&sums[..g.out[1]]);
                    }
                },
            );
        });
    out
}

/// The gradient of the images.
pub(super) fn image_gradient(weights: &[f32], grad: &[f32], g: &Groups) -> Vec<f32> {
    assert_eq!(grad.len(), g.batch * g.outputs * g.out_plane());
    let phases = Phases::new(g);
    let reach = phases.reach();
    let mut out = vec![0.0; g.batch * g.channels * g.plane()];
    out.par_chunks_mut(g.plane())
        .zip(grad.par_chunks(g.out_plane()))
        .enumerate()
        .for_each(|(index, (plane, grad))| {
            let kernel = g.kernel_of(weights, index % g.channels, 0);
            let placed = reach + phases.values() + STEP;
            with_scratch(phases.count() * phases.apart() + placed, |scratch| {
                let (laid, placed) = scratch.split_at_mut(phases.count() * phases.apart());
                phases.place(grad, reach, placed);
                for (phase, laid) in laid.chunks_exact_mut(phases.apart()).enumerate() {
                    let taps = phases.taps.iter().zip(kernel);
                    let taps: Vec<(usize, f32)> = taps
                        .filter(|((of, _), _)| *of == phase)
                        .map(|((_, offset), weight)| (reach - offset, *weight))
                        .collect();
                    let count = phases.values();
                    Sum {
                        taps: &taps,
                        from: placed,
                        sums: laid,
                        count,
                    }
                    .run();
                }
                phases.collect(laid, plane);
            });
        });
    out
}

/// The gradient of the weights: `dW[c, k] = Σ_n Σ_pixels grad[n, c]·images[n, c]`, planes summed in `f64`.
pub(super) fn weight_gradient(images: &[f32], grad: &[f32], g: &Groups) -> Vec<f32> {
    assert_eq!(grad.len(), g.batch * g.outputs * g.out_plane());
    let phases = Phases::new(g);
    let count = phases.outputs();
    let mut out = vec![0.0; g.outputs * g.taps()];
    out.par_chunks_mut(g.taps())
        .enumerate()
        .for_each(|(channel, kernel)| {
            let mut totals = vec![0.0f64; kernel.len()];
            let placed = phases.out[0] * phases.line + STEP;
            with_scratch(phases.count() * phases.apart() + placed, |scratch| {
                let (laid, placed) = scratch.split_at_mut(phases.count() * phases.apart());
                for image in 0..g.batch {
                    let plane = image * g.channels + channel;
                    phases.spread(&images[plane * g.plane()..][..g.plane()], laid);
                    phases.place(&grad[plane * g.out_plane()..][..g.out_plane()], 0, placed);
                    for (taps, totals) in phases.taps.chunks(SUMS).zip(totals.chunks_mut(SUMS)) {
                        let mut starts = [0; SUMS];
                        for (start, (phase, offset)) in starts.iter_mut().zip(taps) {
                            *start = phase * phases.apart() + offset;
                        }
                        let sums = Products {
                            starts,
                            from: laid,
                            grad: placed,
                            count,
                        }
                        .run();
                        for (total, sum) in totals.iter_mut().zip(sums) {
                            *total += sum.iter().map(|lane| f64::from(*lane)).sum::<f64>();
                        }
                    }
                }
            });
            for (out, total) in kernel.iter_mut().zip(totals) {
                *out = total as f32;
            }
        });
    out
}

/// `sums[i] = Σ weight·from[start + i]` for the first `count` values, and for some beyond.
struct Sum<'a> {
    /// Starts and weights.
    taps: &'a [(usize, f32)],
    from: &'a [f32],
    sums: &'a mut [f32],
    count: usize,
}

impl Sum<'_> {
    fn run(self) {
        let last = self.taps.iter().map(|(start, _)| *start).max().unwrap_or(0);
        let reached = self.count.next_multiple_of(STEP);
        assert!(self.sums.len() >= reached && self.from.len() >= last + reached);
        // SAFETY: every start has values, and the sums have room, up to a whole number of steps.
        unsafe { vectored(self) };
    }
}

impl Vectored for Sum<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (from, to) = (self.from.as_ptr(), self.sums.as_mut_ptr());
        for at in (0..self.count).step_by(VECTORS * V::LANES) {
            // SAFETY: the caller vouches for instructions and memory.
            unsafe {
                let mut sums = [V::zero(); VECTORS];
                for (start, weight) in self.taps {
                    let (from, weight) = (from.wrapping_add(start + at), V::spread(weight));
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let values = V::load(from.wrapping_add(vector * V::LANES));
                        *sum = sum.add_product(weight, values);
                    }
                }
                for (vector, sum) in sums.into_iter().enumerate() {
                    sum.store(to.wrapping_add(at + vector * V::LANES));
                }
            }
        }
    }
}

/// `Σ_i grad[i]·from[start + i]` for each start and the first `count` values, in lanes; beyond them `grad` has zeros.
struct Products<'a> {
    starts: [usize; SUMS],
    from: &'a [f32],
    grad: &'a [f32],
    count: usize,
}

impl Products<'_> {
    fn run(self) -> [[f32; LANES]; SUMS] {
        let last = self.starts.into_iter().max().unwrap_or(0);
        let reached = self.count.next_multiple_of(LANES);
        assert!(self.grad.len() >= reached && self.from.len() >= last + reached);
        // SAFETY: every start and the gradients have values up to a whole number of vectors.
        unsafe { vectored(self) }
    }
}

impl Vectored for Products<'_> {
    type Output = [[f32; LANES]; SUMS];

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> Self::Output {
        let (from, grad) = (self.from.as_ptr(), self.grad.as_ptr());
        let mut lanes = [[0.0; LANES]; SUMS];
        // SAFETY: the caller vouches for instructions and memory.
        unsafe {
            let mut sums = [V::zero(); SUMS];
            for at in (0..self.count).step_by(V::LANES) {
                let grad = V::load(grad.wrapping_add(at));
                for (sum, start) in sums.iter_mut().zip(self.starts) {
                    *sum = sum.add_product(grad, V::load(from.wrapping_add(start + at)));
                }
            }
            for (lanes, sum) in lanes.iter_mut().zip(sums) {
                sum.store(lanes.as_mut_ptr());
            }
        }
        lanes
    }
}
