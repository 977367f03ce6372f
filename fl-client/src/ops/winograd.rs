//! Convolutions with 3×3 kernels and a step of one by Winograd's minimal filtering, and the gradient of their weights.
//!
//! Lavin and Gray 2015, arXiv:1509.09308: `F(4×4, 3×3)`, at the points 0, ±3/4, ±3/2 and infinity. A tile of 4×4 outputs
//! takes 36 products instead of 144. The gradient of the weights is the adjoint of the same bilinear form.
//!
//! Tiles of the whole batch stand in one line, which is worked off in blocks that stay in the last-level cache. Each
//! block goes through three stages: inputs to positions (by channel), products (by position), positions to outputs
//! (by channel). Blocks and tasks depend on the shapes alone and sums keep their order: threads do not change a bit.
//!
//! # Numerics
//! Products of transformed values round differently than the sum they stand for: outputs of 256 channels of even noise are
//! 1.4e-6 of their deviation off, those of plain sums 0.9e-6 (root mean squares).

use std::{marker::PhantomData, ops::Range};

use kernels::simd::widest;
use rayon::prelude::*;

use super::{
    buffer::{Shared, with_scratch, written},
    conv::Geometry,
    lanes::{LANES, Lanes, shuffled},
    micro::{COLUMNS, Panels, ROWS, multiply_panels},
    winograd_tiles::{
        Gather, Gradient, Input, POSITIONS, Place, SIDE, STEP, Scatter, Spread, Turn, kernel, kernel_gradient,
    },
};

/// Values of transformed tiles kept at a time (12 MiB): a share of a last-level cache.
const BLOCK_VALUES: usize = 3 << 20;

/// Fewer channels than this do not pay for transforms.
const LEAST_CHANNELS: usize = 16;

/// Fewer tiles than this are left to plain sums: little is gained, and a normalisation over so few values may enlarge
/// rounding. ResNet-18 on six images of 32 pixels, which has 24 tiles in its first stage, ends 1.04e-4 from PyTorch's
/// training loss with them filtered, just beyond the 1e-4 asked.
const LEAST_TILES: usize = 2 * LANES;

/// Values between positions beyond those needed, so that positions do not share sets of the cache.
const APART: usize = 32;

/// Panels of outputs one task multiplies.
const TASK_PANELS: usize = 16;

/// Whether a convolution can be computed here and gains by it.
pub(super) fn suits(g: &Geometry) -> bool {
    let [height, width] = g.out;
    let tiles = g.batch * height.div_ceil(STEP) * width.div_ceil(STEP);
    g.kernel == [3, 3]
        && g.slide.stride == [1, 1]
        && g.channels >= LEAST_CHANNELS
        && g.outputs >= LEAST_CHANNELS
        && tiles >= LEAST_TILES
        && 2 * g.batch * height * width >= tiles * STEP * STEP
}

/// Weights and how they are read.
#[derive(Clone, Copy)]
pub(super) enum Kernels<'a> {
    /// Outputs × channels × 3 × 3.
    AsTheyAre(&'a [f32]),
    /// Channels × outputs × 3 × 3, each kernel turned by half a turn: for the gradient of the images.
    Turned(&'a [f32]),
}

/// The tiles of a batch in one line, and the blocks they are worked off in.
struct Tiling {
    /// Tiles of a plane, in rows and columns.
    grid: [usize; 2],
    total: usize,
    block: usize,
}

/// Some neighbouring tiles of one row of tiles.
struct Run {
    image: usize,
    row: usize,
    column: usize,
    tiles: usize,
    /// Place of the first in its block.
    at: usize,
}

impl Tiling {
    /// For planes of `out` pixels, with `lines` values to keep for each position of a tile.
    fn new(batch: usize, out: [usize; 2], lines: usize) -> Self {
        let grid = out.map(|size| size.div_ceil(STEP));
        let total = batch * grid[0] * grid[1];
        let most = (BLOCK_VALUES / (POSITIONS * lines)).max(3 * LANES);
        let block = total
            .div_ceil(total.div_ceil(most).max(1))
            .next_multiple_of(LANES);
        Self { grid, total, block }
    }

    /// Distance between the lines of a block: a last store may reach over its end.
    fn stride(&self) -> usize {
        self.block + LANES
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let (block, total) = (self.block, self.total);
        (0..total)
            .step_by(block.max(1))
            .map(move |at| at..(at + block).min(total))
    }

    /// The runs of at most [`LANES`] tiles a block has.
    fn runs(&self, block: &Range<usize>) -> Vec<Run> {
        let [rows, columns] = self.grid;
        let (mut runs, mut tile) = (Vec::new(), block.start);
        while tile < block.end {
            let column = tile % columns;
            let tiles = (columns - column).min(block.end - tile).min(LANES);
            runs.push(Run {
                image: tile / columns / rows,
                row: tile / columns % rows,
                column,
                tiles,
                at: tile - block.start,
            });
            tile += tiles;
        }
        runs
    }
}

/// Planes of a batch: N×C×H×W.
#[derive(Clone, Copy)]
struct Batch<'a> {
    values: &'a [f32],
    channels: usize,
    size: [usize; 2],
    padding: [usize; 2],
}

/// First stage: the transformed tiles of a block, position by position, channel by channel.
fn scatter<S: Spread>(batch: Batch<'_>, runs: &[Run], out: &mut [f32], stride: usize) {
    let Batch {
        values,
        channels,
        size,
        padding,
    } = batch;
    let position = channels * stride + APART;
    assert!(out.len() >= POSITIONS * position);
    let out = Shared::new(out.as_mut_ptr());
    let plane = size[0] * size[1];
    (0..channels).into_par_iter().for_each(|channel| {
        for run in runs {
            let from = [(run.row, padding[0]), (run.column, padding[1])];
            let tiles = Scatter::<S> {
                plane: &values[(run.image * channels + channel) * plane..][..plane],
                place: Place {
                    size,
                    from: from.map(|(tile, border)| (tile * STEP) as isize - border as isize),
                    tiles: run.tiles,
                },
                out: out.at(channel * stride + run.at),
                stride: position,
                spread: PhantomData,
            };
            // SAFETY: a run starts sixteen values before its line's end at the latest, and a line is this task's.
            unsafe { shuffled(tiles) };
        }
    });
}

/// `out[n, o] = bias[o] + Σ_c weights[o, c] ⋆ images[n, c]` for a convolution that [`suits`].
pub(super) fn forward(images: &[f32], weights: Kernels<'_>, bias: Option<&[f32]>, g: &Geometry) -> Vec<f32> {
    let panels = g.outputs.div_ceil(ROWS);
    let tiling = Tiling::new(g.batch, g.out, g.channels + panels * ROWS);
    let stride = tiling.stride();
    let tile_position = g.channels * stride + APART;
    let product_position = panels * ROWS * stride + APART;
    let weight_position = panels * ROWS * g.channels + APART;
    let batch = Batch {
        values: images,
        channels: g.channels,
        size: g.size,
        padding: g.slide.padding,
    };
    let work = |out: Shared, scratch: &mut [f32]| {
        let (transformed, scratch) = scratch.split_at_mut(POSITIONS * weight_position);
        let (tiles, products) = scratch.split_at_mut(POSITIONS * tile_position);
        transform_weights(weights, g, transformed, weight_position);
        for block in tiling.blocks() {
            let runs = tiling.runs(&block);
            scatter::<Input>(batch, &runs, tiles, stride);
            let to = Shared::new(products.as_mut_ptr());
            let parts = panels.div_ceil(TASK_PANELS);
            (0..POSITIONS * parts).into_par_iter().for_each(|task| {
                let (position, first) = (task / parts, task % parts * TASK_PANELS);
                let product = Panels {
                    inner: g.channels,
                    panels: (panels - first).min(TASK_PANELS),
                    blocks: block.len().div_ceil(COLUMNS),
                    a: transformed[position * weight_position + first * ROWS * g.channels..].as_ptr(),
                    a_panel: ROWS * g.channels,
                    b: tiles[position * tile_position..].as_ptr(),
                    b_block: COLUMNS,
                    b_step: stride,
                    out: to.at(position * product_position + first * ROWS * stride),
                    row_stride: stride,
                    accumulate: false,
                };
                // SAFETY: weights, tiles and products of a position have these sizes, a block being at most `stride`
                // values long in whole vectors; rows of products belong to this task.
                unsafe { multiply_panels(product) };
            });
            (0..g.outputs).into_par_iter().for_each(|output| {
                for run in &runs {
                    let tiles = Gather {
                        products: products[output * stride + run.at..].as_ptr(),
                        stride: product_position,
                        place: Place {
                            size: g.out,
                            from: [run.row, run.column].map(|tile| (tile * STEP) as isize),
                            tiles: run.tiles,
                        },
                        bias: bias.map_or(0.0, |bias| bias[output]),
                        plane: &out,
                        start: (run.image * g.outputs + output) * g.out_plane(),
                    };
                    // SAFETY: the run's sixteen values lie in its line as in `scatter`; the planes of an output channel
                    // are this task's.
                    unsafe { shuffled(tiles) };
                }
            });
        }
    };
    // SAFETY: the tiles cover every pixel of every output plane.
    let (out, ()) = unsafe {
        written(g.batch * g.outputs * g.out_plane(), |out| {
            let out = Shared::new(out.as_mut_ptr().cast());
            let values = POSITIONS * (weight_position + tile_position + product_position);
            with_scratch(values, |scratch| work(out, scratch));
        })
    };
    out
}

/// `G·g·Gᵀ` of every kernel, in panels of [`ROWS`] outputs; outputs that fill up the last panel are 0.
fn transform_weights(weights: Kernels<'_>, g: &Geometry, out: &mut [f32], position: usize) {
    let (outputs, channels) = (g.outputs, g.channels);
    let out = Shared::new(out.as_mut_ptr());
    (0..outputs.div_ceil(LANES)).into_par_iter().for_each(|group| {
        for channel in 0..channels {
            let first = group * LANES;
            let count = (outputs - first).min(LANES);
            let mut taps = [Lanes::ZERO; 9];
            for lane in 0..count {
                let output = first + lane;
                let from = match weights {
                    Kernels::AsTheyAre(values) => &values[(output * channels + channel) * 9..][..9],
                    Kernels::Turned(values) => &values[(channel * outputs + output) * 9..][..9],
                };
                for (tap, value) in from.iter().enumerate() {
                    let tap = if matches!(weights, Kernels::Turned(_)) {
                        8 - tap
                    } else {
                        tap
                    };
                    taps[tap].0[lane] = *value;
                }
            }
            widest(Expand {
                taps: &taps,
                halves: count.div_ceil(ROWS),
                out: out.at(first * channels + channel * ROWS),
                panel: ROWS * channels,
                position,
            });
        }
    });
}

/// Writes transformed kernels to one panel or two.
struct Expand<'a> {
    taps: &'a [Lanes; 9],
    halves: usize,
    out: *mut f32,
    panel: usize,
    position: usize,
}

impl kernels::simd::Body for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [a, b, c, d, e, f, g, h, i] = *self.taps;
        let (left, middle, right) = (kernel([a, d, g]), kernel([b, e, h]), kernel([c, f, i]));
        for (row, ((left, middle), right)) in left.into_iter().zip(middle).zip(right).enumerate() {
            let values = kernel([left, middle, right]);
            for (column, lanes) in values.into_iter().enumerate() {
                let to = self.out.wrapping_add((row * SIDE + column) * self.position);
                let (low, high) = lanes.halves();
                // SAFETY: eight values of this channel in each panel, which belong to one task.
                unsafe {
                    to.cast::<[f32; ROWS]>().write_unaligned(low);
                    if self.halves == 2 {
                        to.wrapping_add(self.panel)
                            .cast::<[f32; ROWS]>()
                            .write_unaligned(high);
                    }
                }
            }
        }
    }
}

/// `dW[o, c] = Gᵀ·(Σ_tiles (A·dY[o]·Aᵀ) ⊙ (Bᵀ·x[c]·B))·G` for a convolution that [`suits`].
pub(super) fn weight_gradient(images: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let (rows, columns) = (
        g.outputs.next_multiple_of(ROWS),
        g.channels.next_multiple_of(COLUMNS),
    );
    let tiling = Tiling::new(g.batch, g.out, g.channels + g.outputs);
    let stride = tiling.stride();
    let tile_position = g.channels * stride + APART;
    let grad_position = g.outputs * stride + APART;
    let sum_position = rows * columns + APART;
    let inputs = Batch {
        values: images,
        channels: g.channels,
        size: g.size,
        padding: g.slide.padding,
    };
    let gradients = Batch {
        values: grad,
        channels: g.outputs,
        size: g.out,
        padding: [0, 0],
    };
    let work = |out: &mut [f32], scratch: &mut [f32]| {
        let (sums, scratch) = scratch.split_at_mut(POSITIONS * sum_position);
        let (tiles, grads) = scratch.split_at_mut(POSITIONS * tile_position);
        for block in tiling.blocks() {
            let runs = tiling.runs(&block);
            scatter::<Input>(inputs, &runs, tiles, stride);
            scatter::<Gradient>(gradients, &runs, grads, stride);
            let accumulate = block.start > 0;
            let sums = Shared::new(sums.as_mut_ptr());
            (0..POSITIONS).into_par_iter().for_each(|position| {
                let length = block.len().next_multiple_of(LANES);
                with_scratch((rows.next_multiple_of(LANES) + columns) * length, |packed| {
                    let (b, a) = packed.split_at_mut(columns * length);
                    turn(
                        &tiles[position * tile_position..],
                        g.channels,
                        stride,
                        length,
                        b,
                        COLUMNS,
                    );
                    turn(
                        &grads[position * grad_position..],
                        g.outputs,
                        stride,
                        length,
                        a,
                        ROWS,
                    );
                    let product = Panels {
                        inner: block.len(),
                        panels: rows / ROWS,
                        blocks: columns / COLUMNS,
                        a: a.as_ptr(),
                        a_panel: ROWS * length,
                        b: b.as_ptr(),
                        b_block: COLUMNS * length,
                        b_step: COLUMNS,
                        out: sums.at(position * sum_position),
                        row_stride: columns,
                        accumulate,
                    };
                    // SAFETY: the panels have just been written; the sums of a position belong to this task.
                    unsafe { multiply_panels(product) };
                });
            });
        }
        out.par_chunks_mut(g.channels * 9)
            .enumerate()
            .for_each(|(output, out)| {
                for first in (0..g.channels).step_by(LANES) {
                    let taps = widest(Contract {
                        sums: sums[output * columns + first..].as_ptr(),
                        position: sum_position,
                    });
                    for (lane, kernel) in out[first * 9..].chunks_exact_mut(9).take(LANES).enumerate() {
                        for (tap, lanes) in kernel.iter_mut().zip(&taps) {
                            *tap = lanes.0[lane];
                        }
                    }
                }
            });
    };
    let mut out = vec![0.0; g.outputs * g.channels * 9];
    let values = POSITIONS * (sum_position + tile_position + grad_position);
    with_scratch(values, |scratch| work(&mut out, scratch));
    out
}

/// Lines of `length` values, `stride` apart, as panels of `width` lines with values of one column side by side.
fn turn(from: &[f32], lines: usize, stride: usize, length: usize, out: &mut [f32], width: usize) {
    assert!(from.len() >= (lines - 1) * stride + length && length.is_multiple_of(LANES));
    assert!(out.len() >= lines.next_multiple_of(LANES) * length);
    for first in (0..lines).step_by(LANES) {
        for at in (0..length).step_by(LANES) {
            let values = Turn {
                from: from[first * stride + at..].as_ptr(),
                stride,
                rows: (lines - first).min(LANES),
                out: out[first * length + at * width..].as_mut_ptr(),
                panel: width * length,
                width,
            };
            // SAFETY: sixteen values of each line there is, and whole panels of sixteen lines, as asserted above.
            unsafe { shuffled(values) };
        }
    }
}

/// `Gᵀ·s·G` of sixteen kernels.
struct Contract {
    sums: *const f32,
    position: usize,
}

impl kernels::simd::Body for Contract {
    type Output = [Lanes; 9];

    #[inline(always)]
    fn run(self) -> [Lanes; 9] {
        let mut rows = [[Lanes::ZERO; SIDE]; 3];
        for column in 0..SIDE {
            let mut values = [Lanes::ZERO; SIDE];
            for (row, value) in values.iter_mut().enumerate() {
                let from = self.sums.wrapping_add((row * SIDE + column) * self.position);
                // SAFETY: sums have whole vectors of channels.
                *value = unsafe { Lanes::load(from) };
            }
            for (row, lanes) in rows.iter_mut().zip(kernel_gradient(values)) {
                row[column] = lanes;
            }
        }
        let mut taps = [Lanes::ZERO; 9];
        for (taps, row) in taps.chunks_exact_mut(3).zip(rows) {
            taps.copy_from_slice(&kernel_gradient(row));
        }
        taps
    }
}
