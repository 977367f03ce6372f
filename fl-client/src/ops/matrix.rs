//! Matrix products on one thread, over strided views of slices.

use contract::recipe::Precision;

use super::bf16;

/// A read-only matrix in a slice: element (r, c) is at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// 1 where [`Self::column_stride`] is not.
    pub(super) row_stride: usize,
    /// 1 where [`Self::row_stride`] is not.
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` neighbouring values, `row_stride` apart.
    ///
    /// # Panics
    /// If the last element lies outside of `data`.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let end = if rows == 0 || columns == 0 {
            0
        } else {
            (rows - 1) * row_stride + columns
        };
        assert!(
            end <= data.len(),
            "a {rows}x{columns} matrix reaches beyond its {} values",
            data.len()
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same values with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What becomes of the values the destination had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// They are not read and may be uninitialised.
    Overwrite,
    /// The product is added to them.
    Accumulate,
}

/// `out = a·b` or `out += a·b`, rows of `out` one after another.
///
/// # Panics
/// If the inner dimensions differ or `out` is shorter than the product.
pub(super) fn multiply(
    out: &mut [f32],
    mode: Destination,
    precision: Precision,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    assert!(
        a.rows * b.columns <= out.len(),
        "the product does not fit its destination"
    );
    // SAFETY: `out` holds rows of `b.columns` values each, is initialised, and is borrowed mutably.
    unsafe { multiply_into(out.as_mut_ptr(), b.columns, mode, precision, a, b) }
}

/// `out = a·b` or `out += a·b` for rows of `out` that are `row_stride` apart.
///
/// # Safety
/// For every row `r` of `a`, the `b.columns` values at `out + r * row_stride` are valid for writes, belong to the
/// caller alone during the call, and are initialised if `mode` is [`Destination::Accumulate`].
pub(super) unsafe fn multiply_into(
    out: *mut f32,
    row_stride: usize,
    mode: Destination,
    precision: Precision,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    if precision == Precision::Bf16 {
        // SAFETY: the caller vouches for `out`.
        return unsafe { bf16::multiply_into(out, row_stride, mode, a, b) };
    }
    // SAFETY: `Matrix::new` proved that all elements of `a` and `b` lie in their slices; the caller vouches for `out`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            row_stride as isize,
            mode == Destination::Accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_follow_strides_and_accumulate() {
        // 2x2 inside rows of three, times the transpose of 1x2.
        let a = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let b = [10.0, 1.0];
        let mut out = [100.0, 200.0];
        let (a, b) = (Matrix::new(&a, 2, 2, 3), Matrix::new(&b, 1, 2, 2).transposed());
        multiply(&mut out, Destination::Accumulate, Precision::F32, a, b);
        assert_eq!(out, [112.0, 234.0]);
        multiply(&mut out, Destination::Overwrite, Precision::F32, a, b);
        assert_eq!(out, [12.0, 34.0]);
    }

    #[test]
    #[should_panic(expected = "reaches beyond")]
    fn a_view_beyond_its_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }
}
