//! Max pooling, with ReLU before it where that is wanted.

use rayon::prelude::*;

use super::{conv::Slide, norm::Activation};

/// Index of a window without a winner: its gradient goes nowhere.
const NOBODY: u32 = u32::MAX;

/// Window, step and border of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Step and border; the border counts as minus infinity.
    pub slide: Slide,
}

impl Pool {
    /// The shape of the output; rows and columns that no window covers are left out.
    pub(super) fn output(&self, [batch, channels, height, width]: [usize; 4]) -> [usize; 4] {
        let positions = |axis, size| self.slide.positions(axis, size, self.kernel);
        [batch, channels, positions(0, height), positions(1, width)]
    }
}

/// The largest value of each window and where in its plane it stands: the first of equals, as in PyTorch.
///
/// With ReLU, windows without a positive value yield 0 and no place.
pub(super) fn forward(
    x: &[f32],
    shape: [usize; 4],
    pool: Pool,
    activation: Activation,
) -> (Vec<f32>, Vec<u32>) {
    let [_, _, height, width] = shape;
    let [batch, channels, rows, columns] = pool.output(shape);
    let floor = match activation {
        Activation::None => f32::NEG_INFINITY,
        Activation::Relu => 0.0,
    };
    let mut out = vec![floor; batch * channels * rows * columns];
    let mut places = vec![NOBODY; out.len()];
    let planes = x.par_chunks(height * width);
    out.par_chunks_mut(rows * columns)
        .zip(places.par_chunks_mut(rows * columns))
        .zip(planes)
        .for_each(|((out, places), plane)| {
            let lines = out
                .chunks_exact_mut(columns)
                .zip(places.chunks_exact_mut(columns));
            for (row, (out, places)) in lines.enumerate() {
                pool_row(plane, [height, width], pool, row, out, places);
            }
        });
    (out, places)
}

/// One output row: goes through the window position by position, so that the inner loop runs along the row.
fn pool_row(plane: &[f32], size: [usize; 2], pool: Pool, row: usize, out: &mut [f32], places: &mut [u32]) {
    let Pool {
        kernel,
        slide: Slide { stride, padding },
    } = pool;
    for ky in 0..kernel {
        let Some(y) = (row * stride[0] + ky)
            .checked_sub(padding[0])
            .filter(|y| *y < size[0])
        else {
            continue;
        };
        for kx in 0..kernel {
            let inside = pool.slide.inside(1, size[1], kx, out.len());
            if inside.is_empty() {
                continue;
            }
            let from = y * size[1] + inside.start * stride[1] + kx - padding[1];
            let line = &plane[from..(y + 1) * size[1]];
            let (best, places) = (&mut out[inside.clone()], &mut places[inside]);
            match stride[1] {
                1 => contest::<1>(best, places, line, from),
                2 => contest::<2>(best, places, line, from),
                stride => {
                    for (nth, (best, place)) in best.iter_mut().zip(places).enumerate() {
                        challenge(best, place, line[nth * stride], from + nth * stride);
                    }
                }
            }
        }
    }
}

/// Windows compared side by side.
const LANES: usize = 8;

/// One value per window, `STRIDE` apart in `line`, against the best of the window so far; `from` is the first's place.
fn contest<const STRIDE: usize>(best: &mut [f32], places: &mut [u32], line: &[f32], from: usize) {
    let (blocks, rest) = best.as_chunks_mut::<LANES>();
    let (place_blocks, place_rest) = places.as_chunks_mut::<LANES>();
    let done = blocks.len() * LANES;
    for (block, (best, places)) in blocks.iter_mut().zip(place_blocks).enumerate() {
        let at = block * LANES * STRIDE;
        let values = &line[at..=at + (LANES - 1) * STRIDE];
        for lane in 0..LANES {
            challenge(
                &mut best[lane],
                &mut places[lane],
                values[lane * STRIDE],
                from + at + lane * STRIDE,
            );
        }
    }
    for (nth, (best, place)) in (done..).zip(rest.iter_mut().zip(place_rest)) {
        challenge(best, place, line[nth * STRIDE], from + nth * STRIDE);
    }
}

/// Keeps the larger value and its place; the first of equals stays, NaN wins. Without branches, to vectorise.
#[inline(always)]
fn challenge(best: &mut f32, place: &mut u32, value: f32, at: usize) {
    let wins = (value > *best) | value.is_nan();
    *best = if wins { value } else { *best };
    *place = if wins { at as u32 } else { *place };
}

/// Sends each window's gradient to the place of its winner.
pub(super) fn backward(grad: &[f32], places: &[u32], shape: [usize; 4], pool: Pool) -> Vec<f32> {
    let [batch, channels, height, width] = shape;
    let [_, _, rows, columns] = pool.output(shape);
    let mut out = vec![0.0; batch * channels * height * width];
    let windows = grad
        .par_chunks(rows * columns)
        .zip(places.par_chunks(rows * columns));
    out.par_chunks_mut(height * width)
        .zip(windows)
        .for_each(|(plane, (grad, places))| {
            for (grad, place) in grad.iter().zip(places) {
                if *place != NOBODY {
                    plane[*place as usize] += grad;
                }
            }
        });
    out
}
