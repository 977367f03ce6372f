//! Two-dimensional convolution and its gradients, as matrix products over unfolded patches.
//!
//! Images are unfolded tile by tile, so that a tile's patches stay in the second-level cache: a tile is some output
//! rows of one image, or several whole images where images are small. Tiles, channel groups and batch blocks depend
//! on the shapes alone and sums run in a fixed order, so results do not depend on the number of threads.

use std::ops::Range;

use contract::recipe::Precision;
use rayon::prelude::*;

use super::{
    buffer::{Shared, with_scratch, written},
    matrix::{Destination, Matrix, multiply, multiply_into},
    winograd,
};

/// Patches of a tile take about this many values (1 MiB): half of a second-level cache.
const TILE_VALUES: usize = 1 << 18;

/// Images with fewer output pixels than this share a tile, so that products have enough columns.
const GROUP_COLUMNS: usize = 256;

/// Input channels of one task in the gradient of the images.
const GROUP_CHANNELS: usize = 32;

/// Values of a patch in one task of the weight gradient, more or less: enough columns for its products.
const GROUP_ROWS: usize = 288;

/// Tasks the weight gradient is split into, at least where the shapes allow it.
const WEIGHT_TASKS: usize = 16;

/// Step and border of a sliding window, in rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slide {
    /// Pixels the window moves, at least 1.
    pub stride: [usize; 2],
    /// Pixels of border around the image.
    pub padding: [usize; 2],
}

impl Slide {
    /// The same step and border in both directions.
    pub const fn square(stride: usize, padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }

    /// Number of positions of a window of `kernel` pixels in `size` pixels, along `axis`.
    ///
    /// # Panics
    /// If the window is larger than the image with its border.
    pub(super) fn positions(&self, axis: usize, size: usize, kernel: usize) -> usize {
        let padded = size + 2 * self.padding[axis];
        assert!(
            kernel >= 1 && padded >= kernel,
            "a window of {kernel} pixels does not fit in {padded}"
        );
        (padded - kernel) / self.stride[axis] + 1
    }

    /// The positions at which offset `offset` of the window lies inside the image, along `axis`.
    pub(super) fn inside(&self, axis: usize, size: usize, offset: usize, positions: usize) -> Range<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let first = padding.saturating_sub(offset).div_ceil(stride).min(positions);
        let end = (size + padding)
            .saturating_sub(offset)
            .div_ceil(stride)
            .min(positions);
        first..end.max(first)
    }
}

/// How a convolution's kernel moves, and what its products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvOptions {
    /// Step and border.
    pub slide: Slide,
    /// Precision of the operands of products on the CPU; sums are in `f32`. Kernels of 3×3 that move by one pixel are
    /// filtered in `f32` whatever it is, which takes fewer products still.
    pub precision: Precision,
}

impl From<Slide> for ConvOptions {
    /// In full precision.
    fn from(slide: Slide) -> Self {
        Self {
            slide,
            precision: Precision::F32,
        }
    }
}

/// The shapes of a convolution: N×C×H×W images, O×C×kh×kw weights, N×O×oh×ow outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) slide: Slide,
    pub(super) precision: Precision,
    pub(super) out: [usize; 2],
}

/// Part of the work: whole images, or some output rows of one image.
#[derive(Debug, Clone)]
struct Tile {
    images: Range<usize>,
    rows: Range<usize>,
}

impl Geometry {
    /// From the shapes of images and weights.
    ///
    /// # Panics
    /// If the channels differ or the kernel does not fit.
    pub(super) fn new(images: [usize; 4], weights: [usize; 4], options: ConvOptions) -> Self {
        let ConvOptions { slide, precision } = options;
        let [batch, channels, height, width] = images;
        let [outputs, expected, kh, kw] = weights;
        assert_eq!(channels, expected, "images and weights differ in channels");
        let out = [slide.positions(0, height, kh), slide.positions(1, width, kw)];
        Self {
            batch,
            channels,
            size: [height, width],
            outputs,
            kernel: [kh, kw],
            slide,
            precision,
            out,
        }
    }

    /// The shape of the output.
    pub(super) fn output(&self) -> [usize; 4] {
        [self.batch, self.outputs, self.out[0], self.out[1]]
    }

    /// Pixels of an input plane.
    pub(super) fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Pixels of an output plane.
    pub(super) fn out_plane(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Kernel positions.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether patches are the image itself.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.slide == Slide::square(1, 0)
    }

    pub(super) fn image<'a>(&self, images: &'a [f32], index: usize) -> &'a [f32] {
        let size = self.channels * self.plane();
        &images[index * size..(index + 1) * size]
    }

    /// Splits `images` into tiles whose patches of `rows` values per output pixel fit the cache.
    fn tiles(&self, images: Range<usize>, patch: usize) -> Vec<Tile> {
        let columns = (TILE_VALUES / patch.max(1)).max(1);
        let (height, plane) = (self.out[0], self.out_plane());
        if plane < GROUP_COLUMNS && plane <= columns {
            let step = (GROUP_COLUMNS.min(columns) / plane).max(1);
            let starts = images.clone().step_by(step);
            return starts
                .map(|at| Tile {
                    images: at..(at + step).min(images.end),
                    rows: 0..height,
                })
                .collect();
        }
        let step = (columns / self.out[1]).clamp(1, height);
        let rows = move |image| {
            let starts = (0..height).step_by(step);
            starts.map(move |at| Tile {
                images: image..image + 1,
                rows: at..(at + step).min(height),
            })
        };
        images.flat_map(rows).collect()
    }

    /// Unfolds a tile: row (channel, ky, kx), one column per output pixel, image after image.
    fn unfold(&self, images: &[f32], channels: Range<usize>, tile: &Tile, patches: &mut [f32]) {
        let per_image = tile.rows.len() * self.out[1];
        let columns = tile.images.len() * per_image;
        for (nth, index) in tile.images.clone().enumerate() {
            let image = self.image(images, index);
            let mut rows = patches.chunks_exact_mut(columns);
            for channel in channels.clone() {
                let plane = &image[channel * self.plane()..][..self.plane()];
                for ky in 0..self.kernel[0] {
                    for (kx, row) in (0..self.kernel[1]).zip(&mut rows) {
                        let row = &mut row[nth * per_image..][..per_image];
                        self.unfold_row(plane, [ky, kx], tile.rows.clone(), row);
                    }
                }
            }
        }
    }

    /// The pixels of one plane seen through one kernel position, for some output rows.
    fn unfold_row(&self, plane: &[f32], [ky, kx]: [usize; 2], rows: Range<usize>, out: &mut [f32]) {
        let [height, width] = self.size;
        let [step_y, step_x] = self.slide.stride;
        let inside_y = self.slide.inside(0, height, ky, self.out[0]);
        let inside = self.slide.inside(1, width, kx, self.out[1]);
        for (oy, out) in rows.zip(out.chunks_exact_mut(self.out[1])) {
            if !inside_y.contains(&oy) || inside.is_empty() {
                out.fill(0.0);
                continue;
            }
            let line = &plane[(oy * step_y + ky - self.slide.padding[0]) * width..][..width];
            let from = inside.start * step_x + kx - self.slide.padding[1];
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            let out = &mut out[inside.clone()];
            if step_x == 1 {
                out.copy_from_slice(&line[from..from + inside.len()]);
            } else {
                for (out, value) in out.iter_mut().zip(line[from..].iter().step_by(step_x)) {
                    *out = *value;
                }
            }
        }
    }

    /// The inverse of unfolding one plane: adds each patch value to the pixel it came from.
    fn fold_add(&self, patches: &[f32], plane: &mut [f32]) {
        let [height, width] = self.size;
        let [step_y, step_x] = self.slide.stride;
        for (tap, patch) in patches.chunks_exact(self.out_plane()).enumerate() {
            let (ky, kx) = (tap / self.kernel[1], tap % self.kernel[1]);
            let inside = self.slide.inside(1, width, kx, self.out[1]);
            if inside.is_empty() {
                continue;
            }
            let from = inside.start * step_x + kx - self.slide.padding[1];
            for oy in self.slide.inside(0, height, ky, self.out[0]) {
                let line = &mut plane[(oy * step_y + ky - self.slide.padding[0]) * width..][..width];
                let patch = &patch[oy * self.out[1]..][inside.clone()];
                for (pixel, value) in line[from..].iter_mut().step_by(step_x).zip(patch) {
                    *pixel += value;
                }
            }
        }
    }
}

/// `out[n, o] = bias[o] + Σ_c weights[o, c] ⋆ images[n, c]`, the cross-correlation that networks call convolution.
pub(super) fn forward(
    images: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    geometry: &Geometry,
) -> Vec<f32> {
    let g = geometry;
    assert_eq!(images.len(), g.batch * g.channels * g.plane());
    assert_eq!(weights.len(), g.outputs * g.channels * g.taps());
    assert!(bias.is_none_or(|bias| bias.len() == g.outputs));
    if winograd::suits(g) {
        return winograd::forward(images, winograd::Kernels::AsTheyAre(weights), bias, g);
    }
    let patch = g.channels * g.taps();
    let weights = Matrix::new(weights, g.outputs, patch, patch);
    let tiles = g.tiles(0..g.batch, patch);
    // SAFETY: the tiles cover every output row of every image, and each task writes its tile for all output channels.
    let (out, ()) = unsafe {
        written(g.batch * g.outputs * g.out_plane(), |out| {
            let out = Shared::new(out.as_mut_ptr().cast());
            tiles
                .par_iter()
                .for_each(|tile| forward_tile(images, weights, bias, g, tile, out));
        })
    };
    out
}

/// Writes one tile of the output, for every output channel.
fn forward_tile(
    images: &[f32],
    weights: Matrix<'_>,
    bias: Option<&[f32]>,
    g: &Geometry,
    tile: &Tile,
    out: Shared,
) {
    let patch = g.channels * g.taps();
    let plane = g.out_plane();
    let per_image = tile.rows.len() * g.out[1];
    let columns = tile.images.len() * per_image;
    let start =
        |image: usize, output: usize| (image * g.outputs + output) * plane + tile.rows.start * g.out[1];
    if tile.images.len() > 1 {
        return with_scratch((patch + g.outputs) * columns, |scratch| {
            let (patches, product) = scratch.split_at_mut(patch * columns);
            g.unfold(images, 0..g.channels, tile, patches);
            multiply(
                product,
                Destination::Overwrite,
                g.precision,
                weights,
                Matrix::new(patches, patch, columns, columns),
            );
            for (output, row) in product.chunks_exact(columns).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[output]);
                for (image, part) in tile.images.clone().zip(row.chunks_exact(per_image)) {
                    for (at, value) in (start(image, output)..).zip(part) {
                        // SAFETY: `at` is a pixel of this tile, inside the buffer; no other task writes it.
                        unsafe { out.at(at).write(value + bias) };
                    }
                }
            }
        });
    }
    let image = tile.images.start;
    let mut mode = Destination::Overwrite;
    if let Some(bias) = bias {
        mode = Destination::Accumulate;
        for (output, bias) in bias.iter().enumerate() {
            for at in start(image, output)..start(image, output) + per_image {
                // SAFETY: `at` is a pixel of this tile, inside the buffer; no other task writes it.
                unsafe { out.at(at).write(*bias) };
            }
        }
    }
    let product = |patches: Matrix<'_>| {
        // SAFETY: row `o` of the product is this tile's rows of plane (image, o): inside the buffer, written by no other
        // task, and initialised just above if it is added to.
        unsafe {
            multiply_into(
                out.at(start(image, 0)),
                plane,
                mode,
                g.precision,
                weights,
                patches,
            )
        }
    };
    if g.is_pointwise() {
        let pixels = &g.image(images, image)[tile.rows.start * g.out[1]..];
        product(Matrix::new(pixels, patch, columns, plane));
    } else {
        with_scratch(patch * columns, |patches| {
            g.unfold(images, 0..g.channels, tile, patches);
            product(Matrix::new(patches, patch, columns, columns));
        });
    }
}

/// The gradient of the weights: `dW[o, c, k] = Σ_n Σ_pixels grad[n, o]·patch[n, c, k]`.
///
/// Split over groups of input channels and, where those are few, over blocks of the batch that are summed in order.
pub(super) fn weight_gradient(images: &[f32], grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    let g = geometry;
    assert_eq!(images.len(), g.batch * g.channels * g.plane());
    assert_eq!(grad.len(), g.batch * g.outputs * g.out_plane());
    if winograd::suits(g) {
        return winograd::weight_gradient(images, grad, g);
    }
    let taps = g.taps();
    let groups = split(g.channels, (g.channels * taps).div_ceil(GROUP_ROWS));
    let blocks = split(g.batch, WEIGHT_TASKS.div_ceil(groups.len().max(1)).min(g.batch));
    let tasks: Vec<_> = groups
        .iter()
        .flat_map(|group| blocks.iter().map(move |block| (group, block)))
        .collect();
    let partial: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|(group, block)| weight_gradient_part(images, grad, g, (*group).clone(), (*block).clone()))
        .collect();
    let mut out = vec![0.0; g.outputs * g.channels * taps];
    out.par_chunks_mut((g.channels * taps).max(1))
        .enumerate()
        .for_each(|(output, row)| {
            for ((group, _), partial) in tasks.iter().zip(&partial) {
                let width = group.len() * taps;
                let part = &partial[output * width..][..width];
                for (sum, value) in row[group.start * taps..group.end * taps].iter_mut().zip(part) {
                    *sum += value;
                }
            }
        });
    out
}

/// The weight gradient of some input channels over some images: outputs × (channels·taps).
fn weight_gradient_part(
    images: &[f32],
    grad: &[f32],
    g: &Geometry,
    channels: Range<usize>,
    block: Range<usize>,
) -> Vec<f32> {
    let rows = channels.len() * g.taps();
    let plane = g.out_plane();
    let mut out = vec![0.0; g.outputs * rows];
    for tile in g.tiles(block, rows) {
        let per_image = tile.rows.len() * g.out[1];
        let columns = tile.images.len() * per_image;
        with_scratch((rows + g.outputs) * columns, |scratch| {
            let (patches, gathered) = scratch.split_at_mut(rows * columns);
            let patches = if g.is_pointwise() && tile.images.len() == 1 {
                let image = g.image(images, tile.images.start);
                let pixels = &image[channels.start * plane + tile.rows.start * g.out[1]..];
                Matrix::new(pixels, rows, columns, plane).transposed()
            } else {
                g.unfold(images, channels.clone(), &tile, patches);
                Matrix::new(patches, rows, columns, columns).transposed()
            };
            let first = tile.images.start * g.outputs * plane;
            let grad = if tile.images.len() == 1 {
                Matrix::new(
                    &grad[first + tile.rows.start * g.out[1]..],
                    g.outputs,
                    columns,
                    plane,
                )
            } else {
                for (output, row) in gathered.chunks_exact_mut(columns).enumerate() {
                    for (nth, part) in row.chunks_exact_mut(per_image).enumerate() {
                        part.copy_from_slice(&grad[first + (nth * g.outputs + output) * plane..][..plane]);
                    }
                }
                Matrix::new(gathered, g.outputs, columns, columns)
            };
            multiply(&mut out, Destination::Accumulate, g.precision, grad, patches);
        });
    }
    out
}

/// The gradient of the bias: `db[o] = Σ_n Σ_pixels grad[n, o]`, summed in `f64`.
pub(super) fn bias_gradient(grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    let (g, plane) = (geometry, geometry.out_plane());
    let sum = |output: usize| {
        let planes = (0..g.batch).map(|image| &grad[(image * g.outputs + output) * plane..][..plane]);
        planes.map(super::norm::sum).sum::<f64>() as f32
    };
    (0..g.outputs).into_par_iter().map(sum).collect()
}

/// The gradient of the images.
///
/// With a step of one it is itself a convolution, of `grad` with the turned kernel; otherwise patches of gradients are
/// computed and folded back.
pub(super) fn image_gradient(weights: &[f32], grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    let g = geometry;
    let border = [0, 1].map(|axis| g.kernel[axis].checked_sub(1 + g.slide.padding[axis]));
    if let ([1, 1], [Some(top), Some(left)]) = (g.slide.stride, border) {
        let slide = Slide {
            stride: [1, 1],
            padding: [top, left],
        };
        let shape = [g.channels, g.outputs, g.kernel[0], g.kernel[1]];
        let options = ConvOptions {
            slide,
            precision: g.precision,
        };
        let turned = Geometry::new(g.output(), shape, options);
        if winograd::suits(&turned) {
            return winograd::forward(grad, winograd::Kernels::Turned(weights), None, &turned);
        }
        return forward(grad, &turn(weights, g), None, &turned);
    }
    let (taps, plane, out_plane) = (g.taps(), g.plane(), g.out_plane());
    let weights = |channels: &Range<usize>| {
        let width = channels.len() * taps;
        Matrix::new(
            &weights[channels.start * taps..],
            g.outputs,
            width,
            g.channels * taps,
        )
        .transposed()
    };
    let mut out = vec![0.0; g.batch * g.channels * plane];
    out.par_chunks_mut((g.channels * plane).max(1))
        .zip(grad.par_chunks(g.outputs * out_plane))
        .for_each(|(image, grad)| {
            let grad = Matrix::new(grad, g.outputs, out_plane, out_plane);
            image
                .par_chunks_mut(GROUP_CHANNELS * plane)
                .enumerate()
                .for_each(|(group, planes)| {
                    let first = group * GROUP_CHANNELS;
                    let channels = first..first + planes.len() / plane;
                    with_scratch(channels.len() * taps * out_plane, |patches| {
                        multiply(
                            patches,
                            Destination::Overwrite,
                            g.precision,
                            weights(&channels),
                            grad,
                        );
                        for (patches, plane) in patches
                            .chunks_exact(taps * out_plane)
                            .zip(planes.chunks_exact_mut(plane))
                        {
                            g.fold_add(patches, plane);
                        }
                    });
                });
        });
    out
}

/// Exchanges input and output channels and turns each kernel by half a turn.
fn turn(weights: &[f32], g: &Geometry) -> Vec<f32> {
    let taps = g.taps();
    let mut turned = vec![0.0; weights.len()];
    turned
        .par_chunks_mut((g.outputs * taps).max(1))
        .enumerate()
        .for_each(|(channel, out)| {
            for (output, out) in out.chunks_exact_mut(taps).enumerate() {
                let kernel = &weights[(output * g.channels + channel) * taps..][..taps];
                for (out, weight) in out.iter_mut().rev().zip(kernel) {
                    *out = *weight;
                }
            }
        });
    turned
}

/// Splits `0..total` into at most `parts` ranges of nearly equal length, in order.
fn split(total: usize, parts: usize) -> Vec<Range<usize>> {
    let step = total.div_ceil(parts.max(1)).max(1);
    (0..total)
        .step_by(step)
        .map(|at| at..(at + step).min(total))
        .collect()
}
