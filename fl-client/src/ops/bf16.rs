//! Matrix products of operands rounded to bfloat16, summed in `f32`, on one thread.
//!
//! In: views of `f32`. Out: the product, in `f32`. Start at [`multiply_into`].
//!
//! # Numerics
//! Operands are rounded to the nearest bfloat16, ties to even; NaN and infinity stay what they are. Where the processor
//! has AVX512-BF16, its dot products of pairs along the inner dimension are added one after another, subnormal numbers as
//! zeros; elsewhere the products are those of `f32`. The order of sums depends on the shapes alone.

use kernels::simd::{Body, widest};

use super::{
    buffer::with_scratch,
    matrix::{self, Destination, Matrix},
};

/// `out = a·b` or `out += a·b` for rows of `out` that are `row_stride` apart.
///
/// # Safety
/// As [`matrix::multiply_into`], whose inner dimensions are equal.
pub(super) unsafe fn multiply_into(
    out: *mut f32,
    row_stride: usize,
    mode: Destination,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    if a.columns > 0 && is_fast() {
        // SAFETY: the features have just been detected; the caller vouches for `out`.
        return unsafe { x86::multiply_into(out, row_stride, mode, a, b) };
    }
    // SAFETY: the caller vouches for `out`.
    unsafe { rounded_first(out, row_stride, mode, a, b) }
}

/// Whether this processor multiplies bfloat16 by itself.
pub(crate) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::is_x86_feature_detected!("avx512bf16")
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512bw")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Rounds copies of both operands and multiplies those in `f32`.
///
/// # Safety
/// As [`multiply_into`].
unsafe fn rounded_first(out: *mut f32, row_stride: usize, mode: Destination, a: Matrix<'_>, b: Matrix<'_>) {
    let sizes = [a, b].map(|matrix| matrix.rows * matrix.columns);
    with_scratch(sizes[0] + sizes[1], |scratch| {
        let (left, right) = scratch.split_at_mut(sizes[0]);
        let (a, b) = (rounded(a, left), rounded(b, right));
        let precision = contract::recipe::Precision::F32;
        // SAFETY: the caller vouches for `out`.
        unsafe { matrix::multiply_into(out, row_stride, mode, precision, a, b) };
    });
}

/// The same matrix with rounded values, kept in `to`.
fn rounded<'a>(matrix: Matrix<'_>, to: &'a mut [f32]) -> Matrix<'a> {
    let is_turned = matrix.column_stride != 1;
    let lines = if is_turned { matrix.transposed() } else { matrix };
    for (row, to) in to.chunks_exact_mut(lines.columns.max(1)).enumerate() {
        let from = &lines.data[row * lines.row_stride..][..lines.columns];
        widest(Round { from, to });
    }
    let copy = Matrix::new(to, lines.rows, lines.columns, lines.columns);
    if is_turned { copy.transposed() } else { copy }
}

struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Body for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = round(*from);
        }
    }
}

/// The nearest bfloat16, ties to even.
#[inline(always)]
fn round(value: f32) -> f32 {
    let bits = value.to_bits();
    // Half of the last place that stays, less one where that place is even.
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // Cut off, a NaN could become infinity; its highest bit keeps it one.
    let kept = if value.is_nan() { bits | 1 << 22 } else { nearest };
    f32::from_bits(kept & 0xffff_0000)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::{
        buffer::with_scratch,
        lanes::{LANES, Lanes, x86::transposed},
        matrix::{Destination, Matrix},
    };

    /// Rows of a panel of the left operand.
    const ROWS: usize = 8;

    /// Columns of a block of the right operand: values of a vector.
    const COLUMNS: usize = LANES;

    /// Blocks multiplied at a time: with [`ROWS`] rows each their sums take 24 of 32 registers.
    const BLOCKS: usize = 3;

    /// Pairs along the inner dimension that are packed at a time: [`BLOCKS`] blocks of them stay in a first-level cache.
    const PAIRS: usize = 128;

    /// Both operands in pairs, for some of the inner dimension.
    struct Packed {
        pairs: usize,
        /// Pair (panel, pair, row) is at `(panel * pairs + pair) * ROWS + row`.
        a: *const u32,
        /// Pair (block, pair, column) is at `(block * pairs + pair) * COLUMNS + column`.
        b: *const u32,
        rows: usize,
        columns: usize,
        out: *mut f32,
        row_stride: usize,
        accumulate: bool,
    }

    /// # Safety
    /// As [`super::multiply_into`], with [`super::is_fast`].
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    pub(super) unsafe fn multiply_into(
        out: *mut f32,
        row_stride: usize,
        mode: Destination,
        a: Matrix<'_>,
        b: Matrix<'_>,
    ) {
        let (rows, columns) = (a.rows, b.columns);
        let (left, right) = (rows.next_multiple_of(LANES), columns.next_multiple_of(LANES));
        let most = PAIRS.min(a.columns.div_ceil(2));
        with_scratch((left + right) * most, |scratch| {
            let (a_packed, b_packed) = scratch.split_at_mut(left * most);
            for first in (0..a.columns).step_by(2 * PAIRS) {
                let inner = (a.columns - first).min(2 * PAIRS);
                // SAFETY: the features are enabled here, there is room for whole vectors of lines, and the caller vouches
                // for `out`.
                unsafe {
                    pack::<ROWS>(a, first, inner, a_packed);
                    pack::<COLUMNS>(b.transposed(), first, inner, b_packed);
                    multiply_packed(&Packed {
                        pairs: inner.div_ceil(2),
                        a: a_packed.as_ptr().cast(),
                        b: b_packed.as_ptr().cast(),
                        rows,
                        columns,
                        out,
                        row_stride,
                        accumulate: first > 0 || mode == Destination::Accumulate,
                    });
                }
            }
        });
    }

    /// Rows of `matrix` in groups of `WIDTH`, values `first..first + inner` of each in pairs: pair (row, pair) goes to
    /// `(row / WIDTH * pairs + pair) * WIDTH + row % WIDTH`. Missing rows and the missing half of a last pair are zeros.
    ///
    /// # Safety
    /// The features of [`multiply_into`]; `out` has room for a whole number of vectors of rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn pack<const WIDTH: usize>(matrix: Matrix<'_>, first: usize, inner: usize, out: &mut [f32]) {
        let pairs = inner.div_ceil(2);
        assert!(out.len() >= matrix.rows.next_multiple_of(LANES) * pairs);
        assert!(first + inner <= matrix.columns);
        let data = matrix.data.as_ptr();
        for row in (0..matrix.rows).step_by(LANES) {
            let count = (matrix.rows - row).min(LANES);
            let to = out[row * pairs..].as_mut_ptr();
            // SAFETY: `Matrix::new` proved that these rows and columns lie in its slice; room is asserted above.
            unsafe {
                if matrix.column_stride == 1 {
                    let from = data.wrapping_add(row * matrix.row_stride + first);
                    along::<WIDTH>(from, matrix.row_stride, count, inner, to);
                } else {
                    let from = data.wrapping_add(row + first * matrix.column_stride);
                    across::<WIDTH>(from, matrix.column_stride, count, inner, to);
                }
            }
        }
    }

    /// Sixteen rows whose values lie one after another.
    ///
    /// # Safety
    /// The features of [`multiply_into`]; `count` rows of `inner` values at `from`, `stride` apart.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn along<const WIDTH: usize>(
        from: *const f32,
        stride: usize,
        count: usize,
        inner: usize,
        to: *mut f32,
    ) {
        let pairs = inner.div_ceil(2);
        for at in (0..inner).step_by(2 * LANES) {
            let masks = [0, LANES].map(|half| mask(inner.saturating_sub(at + half)));
            let mut values = [Lanes::ZERO; LANES];
            for (row, lanes) in values.iter_mut().enumerate().take(count) {
                let from = from.wrapping_add(row * stride + at);
                // SAFETY: the masks leave out what lies beyond the row.
                *lanes = unsafe {
                    let low = _mm512_maskz_loadu_ps(masks[0], from);
                    let high = _mm512_maskz_loadu_ps(masks[1], from.wrapping_add(LANES));
                    let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                    Lanes(std::mem::transmute::<__m512i, [f32; LANES]>(both))
                };
            }
            // SAFETY: the features are enabled here.
            let columns = unsafe { transposed(values) };
            for (pair, lanes) in (at / 2..pairs).zip(columns) {
                // SAFETY: there is room for every pair of whole vectors of rows.
                unsafe { put::<WIDTH>(lanes, pair, pairs, to) };
            }
        }
    }

    /// Sixteen rows whose first values lie one after another, then their second values, and so on.
    ///
    /// # Safety
    /// The features of [`multiply_into`]; `count` values at `from` and at each of `inner` steps of `stride`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn across<const WIDTH: usize>(
        from: *const f32,
        stride: usize,
        count: usize,
        inner: usize,
        to: *mut f32,
    ) {
        let (pairs, mask) = (inner.div_ceil(2), mask(count));
        for pair in 0..pairs {
            let from = from.wrapping_add(2 * pair * stride);
            // SAFETY: the mask leaves out what lies beyond the rows; the last pair may lack its second half.
            unsafe {
                let low = _mm512_maskz_loadu_ps(mask, from);
                let second = if 2 * pair + 1 < inner { mask } else { 0 };
                let high = _mm512_maskz_loadu_ps(second, from.wrapping_add(stride));
                let both = _mm512_or_si512(
                    _mm512_cvtepu16_epi32(halves(low)),
                    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves(high))),
                );
                put::<WIDTH>(
                    Lanes(std::mem::transmute::<__m512i, [f32; LANES]>(both)),
                    pair,
                    pairs,
                    to,
                );
            }
        }
    }

    /// Sixteen values as bfloat16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    fn halves(values: __m512) -> __m256i {
        // SAFETY: both are 32 bytes of plain numbers.
        unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
    }

    /// The lowest `count` lanes.
    fn mask(count: usize) -> __mmask16 {
        if count >= LANES { !0 } else { (1 << count) - 1 }
    }

    /// Writes a pair of sixteen rows to one group or two.
    ///
    /// # Safety
    /// There is room for this pair of sixteen rows.
    #[inline(always)]
    unsafe fn put<const WIDTH: usize>(lanes: Lanes, pair: usize, pairs: usize, to: *mut f32) {
        const { assert!(WIDTH == LANES || 2 * WIDTH == LANES) };
        let to = to.wrapping_add(pair * WIDTH);
        // SAFETY: the caller vouches for the room.
        unsafe {
            if WIDTH == LANES {
                lanes.store(to);
            } else {
                let (low, high) = lanes.halves();
                to.cast::<[f32; LANES / 2]>().write_unaligned(low);
                to.wrapping_add(pairs * WIDTH)
                    .cast::<[f32; LANES / 2]>()
                    .write_unaligned(high);
            }
        }
    }

    /// # Safety
    /// The features of [`multiply_into`]; operands of these sizes, and its promise about `out`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn multiply_packed(product: &Packed) {
        let blocks = product.columns.div_ceil(COLUMNS);
        for block in (0..blocks).step_by(BLOCKS) {
            for panel in 0..product.rows.div_ceil(ROWS) {
                // SAFETY: blocks and panels lie in the product.
                unsafe {
                    match blocks - block {
                        1 => part::<1>(product, panel, block),
                        2 => part::<2>(product, panel, block),
                        _ => part::<BLOCKS>(product, panel, block),
                    }
                }
            }
        }
    }

    /// One panel by `N` blocks.
    ///
    /// # Safety
    /// As [`multiply_packed`]; panel and blocks lie in the product.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    unsafe fn part<const N: usize>(product: &Packed, panel: usize, block: usize) {
        let pairs = product.pairs;
        let mut a = product.a.wrapping_add(panel * pairs * ROWS);
        let mut b: [*const u32; N] =
            std::array::from_fn(|n| product.b.wrapping_add((block + n) * pairs * COLUMNS));
        let mut sums = [[_mm512_setzero_ps(); N]; ROWS];
        for _ in 0..pairs {
            let mut values = [_mm512_setzero_si512(); N];
            for (value, b) in values.iter_mut().zip(&mut b) {
                // SAFETY: the caller vouches for the operands.
                *value = unsafe { _mm512_loadu_si512(b.cast()) };
                *b = b.wrapping_add(COLUMNS);
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the operands; vectors of pairs are 64 bytes of plain numbers.
                unsafe {
                    let factor = _mm512_set1_epi32(*a.wrapping_add(row) as i32);
                    let factor = std::mem::transmute::<__m512i, __m512bh>(factor);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        let value = std::mem::transmute::<__m512i, __m512bh>(value);
                        *sum = _mm512_dpbf16_ps(*sum, factor, value);
                    }
                }
            }
            a = a.wrapping_add(ROWS);
        }
        let first = panel * ROWS;
        for (row, sums) in sums.into_iter().enumerate().take(product.rows - first) {
            for (n, sum) in sums.into_iter().enumerate() {
                let column = (block + n) * COLUMNS;
                let mask = mask(product.columns - column);
                let to = product
                    .out
                    .wrapping_add((first + row) * product.row_stride + column);
                // SAFETY: the mask leaves out what lies beyond the row; the caller vouches for the rest.
                unsafe {
                    let before = if product.accumulate {
                        _mm512_maskz_loadu_ps(mask, to)
                    } else {
                        _mm512_setzero_ps()
                    };
                    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(before, sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// Whole numbers, whose products every order of sums gets right to the bit.
    fn numbers(count: usize, salt: usize) -> Vec<f32> {
        (0..count).map(|at| ((at + salt) * 7 % 13) as f32 - 6.0).collect()
    }

    fn naive(a: Matrix<'_>, b: Matrix<'_>, row: usize, column: usize) -> f32 {
        let value = |m: Matrix<'_>, r: usize, c: usize| m.data[r * m.row_stride + c * m.column_stride];
        (0..a.columns)
            .map(|k| value(a, row, k) * value(b, k, column))
            .sum()
    }

    proptest! {
        #[test]
        fn products_of_whole_numbers_are_exact(
            (rows, columns) in (1..40usize, 1..80usize),
            inner in prop_oneof![1..40usize, 250..530usize],
            turned: [bool; 2],
            accumulate: bool,
        ) {
            let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 5));
            let a = match turned[0] {
                true => Matrix::new(&left, inner, rows, rows).transposed(),
                false => Matrix::new(&left, rows, inner, inner),
            };
            let b = match turned[1] {
                true => Matrix::new(&right, columns, inner, inner).transposed(),
                false => Matrix::new(&right, inner, columns, columns),
            };
            let mode = if accumulate { Destination::Accumulate } else { Destination::Overwrite };
            let stride = columns + 3;
            for run in [multiply_into, rounded_first] {
                let mut out = vec![1.0; rows * stride];
                // SAFETY: the destination has rows of `stride` values and is ours.
                unsafe { run(out.as_mut_ptr(), stride, mode, a, b) };
                for (at, found) in out.iter().enumerate() {
                    let (row, column) = (at / stride, at % stride);
                    let before = if accumulate || column >= columns { 1.0 } else { 0.0 };
                    let product = if column < columns { naive(a, b, row, column) } else { 0.0 };
                    prop_assert_eq!(*found, before + product, "{}, {}", row, column);
                }
            }
        }

        #[test]
        fn operands_are_rounded_to_the_nearest(bits: u32) {
            let value = f32::from_bits(bits);
            let expected = bf16::from_f32(value).to_f32();
            prop_assert!(expected.is_nan() == round(value).is_nan());
            prop_assume!(!expected.is_nan());
            prop_assert_eq!(round(value), expected);
            prop_assume!(expected.is_normal() || expected == 0.0);
            let mut out = [0.0];
            let (a, b) = ([value], [1.0]);
            let (a, b) = (Matrix::new(&a, 1, 1, 1), Matrix::new(&b, 1, 1, 1));
            // SAFETY: the destination is one value of ours.
            unsafe { multiply_into(out.as_mut_ptr(), 1, Destination::Overwrite, a, b) };
            prop_assert_eq!(out[0], expected);
        }
    }

    #[test]
    fn nothing_to_sum_is_zero() {
        let mut out = [7.0; 6];
        let (a, b) = (Matrix::new(&[], 2, 0, 0), Matrix::new(&[], 0, 3, 3));
        // SAFETY: the destination has two rows of three values and is ours.
        unsafe { multiply_into(out.as_mut_ptr(), 3, Destination::Overwrite, a, b) };
        assert_eq!(out, [0.0; 6]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for bad in [
            f32::NAN,
            f32::INFINITY,
            f32::from_bits(0x7f80_0001),
            f32::from_bits(0xffff_ffff),
        ] {
            for run in [multiply_into, rounded_first] {
                let (a, b, mut out) = ([1.0, bad], [1.0, 1.0], [0.0]);
                let (a, b) = (Matrix::new(&a, 1, 2, 2), Matrix::new(&b, 2, 1, 1));
                // SAFETY: the destination is one value of ours.
                unsafe { run(out.as_mut_ptr(), 1, Destination::Overwrite, a, b) };
                assert!(!out[0].is_finite(), "{bad} became {}", out[0]);
            }
        }
    }
}
