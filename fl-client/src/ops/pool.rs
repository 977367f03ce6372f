//! Max pooling, with ReLU before it where that is wanted.

use rayon::prelude::*;

use super::conv::Slide;

/// Index of a window without a winner: its gradient goes nowhere.
const NOBODY: u32 = u32::MAX;

/// Window, step and border of a pooling layer, and what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Step and border; the border counts as minus infinity.
    pub slide: Slide,
    /// Whether the values go through ReLU first.
    pub relu: bool,
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
pub(super) fn forward(x: &[f32], shape: [usize; 4], pool: Pool) -> (Vec<f32>, Vec<u32>) {
    let [_, _, height, width] = shape;
    let [batch, channels, rows, columns] = pool.output(shape);
    let floor = if pool.relu { 0.0 } else { f32::NEG_INFINITY };
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

/// Windows compared side by side.
const LANES: usize = 4;

/// One output row: blocks of windows side by side where they are usual and away from the edges, else one by one.
fn pool_row(plane: &[f32], size: [usize; 2], pool: Pool, row: usize, out: &mut [f32], places: &mut [u32]) {
    let inside = |kx| pool.slide.inside(1, size[1], kx, out.len());
    let whole = inside(0).start..inside(pool.kernel - 1).end;
    let mut column = 0;
    while column < out.len() {
        let (best, places) = (&mut out[column..], &mut places[column..]);
        let at = Position {
            size,
            pool,
            row,
            column,
        };
        let is_whole = whole.start <= column && column + LANES <= whole.end;
        column += match (is_whole, pool.kernel, pool.slide.stride[1]) {
            (true, 2, 2) => windows::<LANES, 2, 2>(plane, at, best, places),
            (true, 3, 2) => windows::<LANES, 3, 2>(plane, at, best, places),
            _ => window(plane, at, &mut best[0], &mut places[0]),
        };
    }
}

/// Where a window is.
#[derive(Clone, Copy)]
struct Position {
    /// Of the plane.
    size: [usize; 2],
    pool: Pool,
    /// Of the output.
    row: usize,
    column: usize,
}

impl Position {
    /// The window's rows inside the plane.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let Slide { stride, padding } = self.pool.slide;
        let (top, height) = (self.row * stride[0], self.size[0]);
        let rows = (top..top + self.pool.kernel).filter_map(move |y| y.checked_sub(padding[0]));
        rows.take_while(move |y| *y < height)
    }
}

/// One window, anywhere. Returns 1.
fn window(plane: &[f32], at: Position, best: &mut f32, place: &mut u32) -> usize {
    let Slide { stride, padding } = at.pool.slide;
    let (left, width) = (at.column * stride[1], at.size[1]);
    for y in at.rows() {
        for x in (left..left + at.pool.kernel)
            .filter_map(|x| x.checked_sub(padding[1]))
            .take_while(|x| *x < width)
        {
            challenge(best, place, plane[y * width + x], y * width + x);
        }
    }
    1
}

/// `N` neighbouring windows with no column outside the plane. Returns `N`.
fn windows<const N: usize, const KERNEL: usize, const STRIDE: usize>(
    plane: &[f32],
    at: Position,
    out: &mut [f32],
    places: &mut [u32],
) -> usize {
    let (mut best, mut place) = ([out[0]; N], [NOBODY; N]);
    let left = at.column * STRIDE - at.pool.slide.padding[1];
    for y in at.rows() {
        let from = y * at.size[1] + left;
        let line = &plane[from..from + (N - 1) * STRIDE + KERNEL];
        for kx in 0..KERNEL {
            for lane in 0..N {
                let x = lane * STRIDE + kx;
                challenge(&mut best[lane], &mut place[lane], line[x], from + x);
            }
        }
    }
    out[..N].copy_from_slice(&best);
    places[..N].copy_from_slice(&place);
    N
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
