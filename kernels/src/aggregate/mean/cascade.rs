//! Sums in `f64` that keep what each addition loses: decides the nearest `f64` of almost every sum.
//!
//! # Why the bound holds
//! Every term is exact: a count is taken in pieces, a wide value in halves, so that each product fits 53 bits. Adding a
//! term `p` to `s0` loses exactly `t` ([`two_sum`]), so `S = s0 + Σ t`. `s1` is the sum of the `t` in `f64`: with `m` terms
//! it errs by at most `(m − 1)·u·B` and a little, `B = Σ|t|` (see `single.rs`), and `b`, the sum of the `|t|` in `f64`, is at
//! least `B·(1 − m·u)`. With `e = b·(m + 6)·u`, which leaves room for the roundings of `s1 ± e` (at most `u·(b + e)` each),
//! `S` lies between `s0 + fl(s1 − e)` and `s0 + fl(s1 + e)`. Where both round to the same number, that is `RN(S)`.
//!
//! With `b = 0` the sum is `s0` exactly. Left to the exact sum: `b` so small that `e` could underflow, a result of 0 with
//! `b` other than 0, and what is not finite.

use super::{Addend, Block, Sums, UNIT};
use crate::aggregate::{
    Real,
    exact::{pieces, two_sum},
    rows::sealed::Split,
};
use crate::simd::{Body, widest};

/// The smallest sum of errors whose bound cannot underflow: 2⁻⁹⁰⁰, or so.
const SMALLEST: f64 = 1e-270;

impl<R: Real> Block<'_, R> {
    /// Writes `RN(RN(S) / N)` of the chunk at `start` where the bound decides it, NaN for the others.
    pub(super) fn cascade(&self, start: usize, sums: &mut Sums, out: &mut [f64]) {
        let terms = self.add_errors::<false>(start, out.len(), sums);
        let length = out.len();
        widest(Decide {
            sums: &sums.sum[..length],
            errors: &sums.error[..length],
            bounds: &sums.bound[..length],
            error: (terms + 6) as f64 * UNIT,
            total: self.total(),
            out,
        });
    }

    /// Sums the chunk at `start`: `sum` and `error` hold `s0` and `s1`. `bound` is `b`, or where `EXACT` the magnitudes of
    /// what additions to `error` lose: where they are 0, sum and error are all there is. Returns the number of terms.
    pub(super) fn add_errors<const EXACT: bool>(
        &self,
        start: usize,
        length: usize,
        sums: &mut Sums,
    ) -> usize {
        sums.clear();
        let mut terms = 0;
        for (addend, count) in self.counted() {
            match addend {
                Addend::Update(values) => {
                    for piece in pieces(count, R::PIECE_BITS) {
                        let values = &values[start..start + length];
                        widest(Add::<_, EXACT> { values, piece, sums });
                        terms += R::HALVES;
                    }
                }
                Addend::Partial(rows) => {
                    for row in rows.iter() {
                        let values = Whole::of(&row[start..start + length]);
                        widest(Add::<_, EXACT> {
                            values,
                            piece: 1.0,
                            sums,
                        });
                        terms += 1;
                    }
                }
            }
        }
        terms
    }
}

/// A component of a partial sum: its product with 1 is exact as it is.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Whole(f64);

impl Whole {
    fn of(row: &[f64]) -> &[Whole] {
        // SAFETY: `Whole` is a transparent `f64`.
        unsafe { std::slice::from_raw_parts(row.as_ptr().cast(), row.len()) }
    }
}

impl Split for Whole {
    const PIECE_BITS: u32 = 1;
    const HALVES: usize = 1;

    #[inline(always)]
    fn halves(self) -> [f64; 2] {
        [self.0, 0.0]
    }
}

struct Add<'a, V, const EXACT: bool> {
    values: &'a [V],
    piece: f64,
    sums: &'a mut Sums,
}

impl<V: Split, const EXACT: bool> Body for Add<'_, V, EXACT> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Sums { sum, error, bound } = self.sums;
        for (((sum, error), bound), value) in sum.iter_mut().zip(error).zip(bound).zip(self.values) {
            for half in &value.halves()[..V::HALVES] {
                let lost;
                (*sum, lost) = two_sum(*sum, self.piece * half);
                if EXACT {
                    let lost_again;
                    (*error, lost_again) = two_sum(*error, lost);
                    *bound += lost_again.abs();
                } else {
                    *error += lost;
                    *bound += lost.abs();
                }
            }
        }
    }
}

struct Decide<'a> {
    sums: &'a [f64],
    errors: &'a [f64],
    bounds: &'a [f64],
    error: f64,
    total: f64,
    out: &'a mut [f64],
}

impl Body for Decide<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let sums = self.sums.iter().zip(self.errors).zip(self.bounds);
        for (out, ((sum, error), bound)) in self.out.iter_mut().zip(sums) {
            let width = bound * self.error;
            let low = sum + (error - width);
            let high = sum + (error + width);
            let sound = (*bound == 0.0) | ((*bound >= SMALLEST) & (low != 0.0));
            let decided = (low == high) & (low.abs() <= f64::MAX) & sound;
            *out = if decided { low / self.total } else { f64::NAN };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_with_and_without_avx2_give_the_same_bits() {
        let values: Vec<f64> = (0..999).map(|i| f64::from(i).sin() * 0.1).collect();
        let (mut wide, mut plain) = (Sums::new(), Sums::new());
        for piece in [3.0, 77.0, 1e15] {
            let values = values.as_slice();
            widest(Add::<_, false> {
                values,
                piece,
                sums: &mut wide,
            });
            widest(Add::<_, true> {
                values,
                piece,
                sums: &mut wide,
            });
            Add::<_, false> {
                values,
                piece,
                sums: &mut plain,
            }
            .run();
            Add::<_, true> {
                values,
                piece,
                sums: &mut plain,
            }
            .run();
        }
        let bits = |row: &[f64]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&wide.sum), bits(&plain.sum));
        assert_eq!(bits(&wide.error), bits(&plain.error));
        assert_eq!(bits(&wide.bound), bits(&plain.bound));
        assert!(wide.bound[1] > 0.0);
    }
}
