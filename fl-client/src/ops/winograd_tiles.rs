//! Tiles of the Winograd convolution: sixteen at a time, from planes to the 36 positions and back.
//!
//! A tile is 4×4 outputs and the 6×6 inputs they need. All transforms are separable: one matrix along the columns of a
//! tile, then the same along its rows.

use std::marker::PhantomData;

use super::{
    buffer::Shared,
    lanes::{LANES, Lanes, Shuffle, Shuffled},
};

/// Outputs of a tile along an axis.
pub(super) const STEP: usize = 4;

/// Inputs of a tile along an axis.
pub(super) const SIDE: usize = 6;

/// Positions of a transformed tile.
pub(super) const POSITIONS: usize = SIDE * SIDE;

/// Vectors of a line that sixteen tiles need.
const VECTORS: usize = (STEP * LANES + SIDE - STEP).div_ceil(LANES);

/// The points at which polynomials are multiplied, besides 0 and infinity: ±[`NEAR`] and ±[`FAR`].
///
/// With ±1 and ±2, which make simpler matrices, errors are twice as large; powers of these are exact.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;

/// One over the product of a point's distances to the other finite points.
const NEAR_SHARE: f32 = 1.0 / (2.0 * NEAR2 * (NEAR2 - FAR2));
const FAR_SHARE: f32 = 1.0 / (2.0 * FAR2 * (FAR2 - NEAR2));

/// What becomes of a column or row of a tile of planes: `Bᵀ` or `A` of Lavin and Gray 2015, section 4, for the points
/// here.
pub(super) trait Spread {
    /// Values of the plane a tile has along an axis.
    const SIDE: usize;

    fn apply(values: [Lanes; SIDE]) -> [Lanes; SIDE];
}

/// `Bᵀ`: inputs of a convolution.
pub(super) struct Input;

impl Spread for Input {
    const SIDE: usize = SIDE;

    #[inline(always)]
    fn apply([a, b, c, d, e, f]: [Lanes; SIDE]) -> [Lanes; SIDE] {
        let (near, near_odd) = (e - c * FAR2, d * NEAR - b * (NEAR * FAR2));
        let (far, far_odd) = (e - c * NEAR2, d * FAR - b * (FAR * NEAR2));
        [
            a * (NEAR2 * FAR2) - c * (NEAR2 + FAR2) + e,
            near + near_odd,
            near - near_odd,
            far + far_odd,
            far - far_odd,
            b * (NEAR2 * FAR2) - d * (NEAR2 + FAR2) + f,
        ]
    }
}

/// `A`: gradients of the outputs, 4×4 values of a tile.
pub(super) struct Gradient;

impl Spread for Gradient {
    const SIDE: usize = STEP;

    #[inline(always)]
    fn apply([a, b, c, d, _, _]: [Lanes; SIDE]) -> [Lanes; SIDE] {
        let (near, near_odd) = (a + c * NEAR2, b * NEAR + d * (NEAR * NEAR2));
        let (far, far_odd) = (a + c * FAR2, b * FAR + d * (FAR * FAR2));
        [
            a,
            near + near_odd,
            near - near_odd,
            far + far_odd,
            far - far_odd,
            d,
        ]
    }
}

/// `Aᵀ`: transformed products become outputs.
#[inline(always)]
fn outputs([a, b, c, d, e, f]: [Lanes; SIDE]) -> [Lanes; STEP] {
    let (near, near_odd) = (b + c, b - c);
    let (far, far_odd) = (d + e, d - e);
    [
        a + near + far,
        near_odd * NEAR + far_odd * FAR,
        near * NEAR2 + far * FAR2,
        near_odd * (NEAR * NEAR2) + far_odd * (FAR * FAR2) + f,
    ]
}

/// `G`: a kernel's three values become six.
#[inline(always)]
pub(super) fn kernel([a, b, c]: [Lanes; 3]) -> [Lanes; SIDE] {
    let (near, near_odd) = ((a + c * NEAR2) * NEAR_SHARE, b * (NEAR * NEAR_SHARE));
    let (far, far_odd) = ((a + c * FAR2) * FAR_SHARE, b * (FAR * FAR_SHARE));
    [
        a * (1.0 / (NEAR2 * FAR2)),
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        c,
    ]
}

/// `Gᵀ`: six values become a kernel's three.
#[inline(always)]
pub(super) fn kernel_gradient([a, b, c, d, e, f]: [Lanes; SIDE]) -> [Lanes; 3] {
    let (near, near_odd) = ((b + c) * NEAR_SHARE, (b - c) * NEAR_SHARE);
    let (far, far_odd) = ((d + e) * FAR_SHARE, (d - e) * FAR_SHARE);
    [
        a * (1.0 / (NEAR2 * FAR2)) + near + far,
        near_odd * NEAR + far_odd * FAR,
        near * NEAR2 + far * FAR2 + f,
    ]
}

/// Where some neighbouring tiles of one row of tiles lie in a plane.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Rows and columns of the plane.
    pub(super) size: [usize; 2],
    /// First row and column; before the plane if negative.
    pub(super) from: [isize; 2],
    /// Tiles, at most [`LANES`].
    pub(super) tiles: usize,
}

/// Transforms some tiles of a plane; values outside of it count as 0.
///
/// Whoever runs it vouches that sixteen values of each position are writable by this task alone.
pub(super) struct Scatter<'a, S> {
    pub(super) plane: &'a [f32],
    pub(super) place: Place,
    /// Position `p` of the tiles goes to `out + p * stride`, always sixteen values.
    pub(super) out: *mut f32,
    pub(super) stride: usize,
    pub(super) spread: PhantomData<S>,
}

impl<S: Spread> Shuffled for Scatter<'_, S> {
    #[inline(always)]
    unsafe fn run<M: Shuffle>(self) {
        let Place {
            size: [height, width],
            from: [top, left],
            tiles,
        } = self.place;
        let used = STEP * tiles + S::SIDE - STEP;
        assert!(tiles <= LANES && self.plane.len() >= height * width);
        // Columns of the line that lie inside the plane.
        let first = (-left).clamp(0, used as isize) as usize;
        let end = (width as isize - left).clamp(first as isize, used as isize) as usize;
        let mut lines = [[Lanes::ZERO; VECTORS]; SIDE];
        for vector in 0..used.div_ceil(LANES) {
            let [first, end] = [first, end].map(|column| column.saturating_sub(vector * LANES).min(LANES));
            let mut values = [Lanes::ZERO; SIDE];
            for (y, value) in (top..).zip(&mut values[..S::SIDE]) {
                if (0..height as isize).contains(&y) {
                    let start = y * width as isize + left + (vector * LANES) as isize;
                    let from = self.plane.as_ptr().wrapping_offset(start);
                    // SAFETY: rows and columns lie inside the plane; the caller vouches for the instructions.
                    *value = unsafe { M::load_some(from, first, end) };
                }
            }
            for (line, value) in lines.iter_mut().zip(S::apply(values)) {
                line[vector] = value;
            }
        }
        for (row, line) in lines.into_iter().enumerate() {
            // SAFETY: the caller vouches for the instructions.
            let values = unsafe { M::apart(line) };
            for (column, lanes) in S::apply(values).into_iter().enumerate() {
                // SAFETY: the caller vouches for sixteen values at each position.
                unsafe { lanes.store(self.out.wrapping_add((row * SIDE + column) * self.stride)) };
            }
        }
    }
}

/// Transforms products of some tiles to outputs and writes those that lie in the plane.
///
/// Whoever runs it vouches that sixteen products of each position are readable, and that the plane is this task's alone.
pub(super) struct Gather<'a> {
    /// Position `p` of the tiles is at `products + p * stride`, sixteen values.
    pub(super) products: *const f32,
    pub(super) stride: usize,
    pub(super) place: Place,
    /// Added to every output.
    pub(super) bias: f32,
    /// Rows of the plane, which tasks share by channels.
    pub(super) plane: &'a Shared,
    /// Index of the plane's first value.
    pub(super) start: usize,
}

impl Shuffled for Gather<'_> {
    #[inline(always)]
    unsafe fn run<M: Shuffle>(self) {
        let Place {
            size: [height, width],
            from: [top, left],
            tiles,
        } = self.place;
        let (top, left) = (top as usize, left as usize);
        let mut rows = [[Lanes::ZERO; SIDE]; STEP];
        for column in 0..SIDE {
            let mut values = [Lanes::ZERO; SIDE];
            for (row, value) in values.iter_mut().enumerate() {
                let from = self.products.wrapping_add((row * SIDE + column) * self.stride);
                // SAFETY: the caller vouches for sixteen values at each position.
                *value = unsafe { Lanes::load(from) };
            }
            for (row, lanes) in rows.iter_mut().zip(outputs(values)) {
                row[column] = lanes;
            }
        }
        let used = (STEP * tiles).min(width - left);
        let bias = Lanes([self.bias; LANES]);
        for (y, row) in (top..height).zip(rows) {
            let [a, b, c, d] = outputs(row);
            // SAFETY: the caller vouches for the instructions.
            let line = unsafe { M::together([a + bias, b + bias, c + bias, d + bias]) };
            let to = self.plane.at(self.start + y * width + left);
            for (vector, lanes) in line.into_iter().enumerate().take(used.div_ceil(LANES)) {
                let count = (used - vector * LANES).min(LANES);
                // SAFETY: the columns lie inside the plane; the caller vouches that it is this task's.
                unsafe { M::store_some(lanes, to.wrapping_add(vector * LANES), count) };
            }
        }
    }
}

/// Exchanges rows and columns of sixteen by sixteen values and writes groups of `width` columns to panels.
///
/// Row `r` is read at `from + r * stride` and counts as zeros from `rows` on. Value (row, column) goes to
/// `out + row / width * panel + column * width + row % width`; `width` is 8 or 16. Whoever runs it vouches for these
/// values.
pub(super) struct Turn {
    pub(super) from: *const f32,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) out: *mut f32,
    pub(super) panel: usize,
    pub(super) width: usize,
}

impl Shuffled for Turn {
    #[inline(always)]
    unsafe fn run<M: Shuffle>(self) {
        let mut values = [Lanes::ZERO; LANES];
        for (row, lanes) in values.iter_mut().enumerate().take(self.rows) {
            // SAFETY: the caller vouches for the sixteen values of each row.
            *lanes = unsafe { Lanes::load(self.from.wrapping_add(row * self.stride)) };
        }
        // SAFETY: the caller vouches for the instructions.
        unsafe { M::transpose(&mut values) };
        for (column, lanes) in values.into_iter().enumerate() {
            let to = self.out.wrapping_add(column * self.width);
            // SAFETY: the caller vouches for the panels.
            unsafe {
                if self.width == LANES {
                    lanes.store(to);
                } else {
                    let (low, high) = lanes.halves();
                    to.cast::<[f32; LANES / 2]>().write_unaligned(low);
                    to.wrapping_add(self.panel)
                        .cast::<[f32; LANES / 2]>()
                        .write_unaligned(high);
                }
            }
        }
    }
}
