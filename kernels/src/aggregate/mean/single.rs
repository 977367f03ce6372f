//! The mean by one sum in `f64` and a bound on its error: settles all but a few in a million of `f32` values.
//!
//! # Why the bound holds
//! Let `u = 2⁻⁵³`, `A = Σ_k |n_k·w_k|`, and `T` the number of terms: updates, and components of partial sums.
//! - A product of a count below 2⁵³ and an `f32` neither overflows nor underflows: rounding it errs by at most
//!   `u·|n_k·w_k|`. Adding `T` terms to 0 in any order errs by at most `γ·Σ_k |fl(n_k·w_k)|`, `γ = (T−1)u / (1−(T−1)u)`
//!   (Higham, Accuracy and Stability of Numerical Algorithms, 4.2; an addition that underflows is exact). So the sum `s` is
//!   within `(T + 1)·u·A` of `S`, with room for terms in `u²` as long as `T < 2²⁰`.
//! - `z = RN(RN(S) / N)` is within `(2u + u²)·A/N` of `S/N`; `q = s·fl(1/N)` is within `(2u + u²)·|s|/N` of `s/N`.
//! - So `|z − q| ≤ (T + 5)·u·A/N` and a little. The sum `a` of the magnitudes is at least `A·(1 − (T + 1)·u)`, and `e`
//!   is computed from it by two more roundings: `e = a·(T + 9)·u/N` is larger.
//!
//! Thus `q − e ≤ z ≤ q + e`. Rounding never changes the order of two numbers and `z` is an `f64`: it lies between the
//! rounded `q − e` and `q + e` too, and `RN_R(z)` between those rounded to `R`. Where these are equal, they are the mean.
//!
//! None of this asks in which order terms are added, nor whether a multiplication is fused with an addition: however
//! it is computed, what is decided here is what the exact sum gives.
//!
//! # Middles
//! Means of a few values with equal counts often lie exactly in the middle of two `f32`: no bound decides these. But then
//! the sum is mostly exact: all terms are multiples of the last place `q` of the smallest value, and sums of multiples of
//! `q` are exact up to `2⁵³·q`. Had one been rounded, `a`, which never falls, would have reached that. So where
//! `a < 2⁵³·q`, `S = s`.
//!
//! Two cases are left to the exact sum: a result of 0 whose terms are not all 0, as the sign depends on more than the
//! bound; and magnitudes above 2¹²⁷, below which nothing can overflow.

use super::{Addend, Block, Sums, UNIT, Undecided};
use crate::aggregate::{
    Real,
    simd::{Body, widest},
};

/// The largest sum of magnitudes that is decided here: 2¹²⁷.
const LARGEST: f64 = (1_u128 << 127) as f64;

impl<R: Real> Block<'_, R> {
    /// Writes the means of the chunk at `start` that the bound decides, NaN for the others; returns how many others.
    pub(super) fn single(&self, start: usize, sums: &mut Sums, out: &mut [R]) -> usize {
        let length = out.len();
        let Sums { sum, bound, .. } = sums;
        let (sums, sizes) = (&mut sum[..length], &mut bound[..length]);
        let mut passes = Passes {
            sums,
            sizes,
            terms: 0,
        };
        let mut updates = Group::<R>::EMPTY;
        for (addend, count) in self.counted() {
            match addend {
                Addend::Update(values) => {
                    passes.push(&mut updates, &values[start..start + length], count as f64);
                }
                Addend::Partial(rows) => {
                    let mut components = Group::<f64>::EMPTY;
                    for row in rows.iter() {
                        passes.push(&mut components, &row[start..start + length], 1.0);
                    }
                    passes.add(&mut components);
                }
            }
        }
        passes.add(&mut updates);
        let Passes { sums, sizes, terms } = passes;
        if terms == 0 {
            sums.fill(0.0);
            sizes.fill(0.0);
        }
        if terms >= 1 << 20 {
            out.fill(R::from_f64(f64::NAN));
            return length;
        }
        let undecided = widest(Decide {
            sums,
            sizes,
            inverse: self.total().recip(),
            error: f64::from(terms + 9) * UNIT * self.total().recip(),
            out,
        });
        if undecided == 0 {
            return 0;
        }
        let mut left = 0;
        for (place, out) in out.iter_mut().enumerate() {
            if !out.is_undecided() {
                continue;
            }
            if sizes[place] < self.exact_below(start + place) {
                *out = R::from_f64(sums[place] / self.total());
            } else {
                left += 1;
            }
        }
        left
    }

    /// Sums of magnitudes below this are exact, and so are the sums.
    fn exact_below(&self, index: usize) -> f64 {
        let mut smallest = LARGEST;
        for addend in self.addends {
            match addend {
                Addend::Update(values) => {
                    let size = values[index].into().abs();
                    if size > 0.0 && size < smallest {
                        smallest = size;
                    }
                }
                Addend::Partial(_) => return 0.0,
            }
        }
        // The power of two below the smallest, 2⁻²³ of which is its last place (or less, of a subnormal one), times 2⁵³.
        let power = f64::from_bits(smallest.to_bits() & f64::INFINITY.to_bits());
        power * (1_u64 << (54 - f32::MANTISSA_DIGITS)) as f64
    }
}

/// Most rows that are added in one pass over the sums.
const TOGETHER: usize = 12;

/// Rows that wait to be added, with their weights.
struct Group<'a, R> {
    rows: [(&'a [R], f64); TOGETHER],
    length: usize,
}

impl<R> Group<'_, R> {
    const EMPTY: Self = Self {
        rows: [(&[], 0.0); TOGETHER],
        length: 0,
    };
}

/// The sums of a chunk and of its terms' magnitudes, of no use before the first pass.
struct Passes<'a> {
    sums: &'a mut [f64],
    sizes: &'a mut [f64],
    terms: u32,
}

impl Passes<'_> {
    fn push<'a, R: Real>(&mut self, group: &mut Group<'a, R>, values: &'a [R], weight: f64) {
        group.rows[group.length] = (values, weight);
        group.length += 1;
        if group.length == TOGETHER {
            self.add(group);
        }
    }

    /// Adds the rows of a group, if any.
    fn add<R: Real>(&mut self, group: &mut Group<'_, R>) {
        let rows = &group.rows[..group.length];
        group.length = 0;
        match rows.len() {
            0 => {}
            1 => self.pass::<R, 1>(rows),
            2 => self.pass::<R, 2>(rows),
            3 => self.pass::<R, 3>(rows),
            4 => self.pass::<R, 4>(rows),
            5 => self.pass::<R, 5>(rows),
            6 => self.pass::<R, 6>(rows),
            7 => self.pass::<R, 7>(rows),
            8 => self.pass::<R, 8>(rows),
            9 => self.pass::<R, 9>(rows),
            10 => self.pass::<R, 10>(rows),
            11 => self.pass::<R, 11>(rows),
            _ => self.pass::<R, TOGETHER>(rows),
        }
    }

    fn pass<R: Real, const ROWS: usize>(&mut self, rows: &[(&[R], f64)]) {
        let rows: [(&[R], f64); ROWS] = std::array::from_fn(|number| rows[number]);
        let add = Add {
            rows,
            sums: self.sums,
            sizes: self.sizes,
        };
        if self.terms == 0 {
            widest(First(add));
        } else {
            widest(add);
        }
        self.terms = self.terms.saturating_add(ROWS as u32);
    }
}

struct Add<'a, R, const ROWS: usize> {
    rows: [(&'a [R], f64); ROWS],
    sums: &'a mut [f64],
    sizes: &'a mut [f64],
}

impl<R: Real, const ROWS: usize> Add<'_, R, ROWS> {
    #[inline(always)]
    fn each(self, begin: impl Fn(f64) -> f64) {
        let Self { rows, sums, sizes } = self;
        let length = sums.len();
        let sizes = &mut sizes[..length];
        let rows = rows.map(|(values, weight)| (&values[..length], weight));
        for place in 0..length {
            let (mut sum, mut size) = (begin(sums[place]), begin(sizes[place]));
            for (values, weight) in &rows {
                let term = weight * values[place].into();
                sum += term;
                size += term.abs();
            }
            sums[place] = sum;
            sizes[place] = size;
        }
    }
}

impl<R: Real, const ROWS: usize> Body for Add<'_, R, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.each(|so_far| so_far);
    }
}

/// The first pass, which finds nothing to add to.
struct First<'a, R, const ROWS: usize>(Add<'a, R, ROWS>);

impl<R: Real, const ROWS: usize> Body for First<'_, R, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.each(|_| 0.0);
    }
}

struct Decide<'a, R> {
    sums: &'a [f64],
    sizes: &'a [f64],
    inverse: f64,
    error: f64,
    out: &'a mut [R],
}

impl<R: Real> Body for Decide<'_, R> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let mut undecided = 0_u32;
        for ((out, sum), size) in self.out.iter_mut().zip(self.sums).zip(self.sizes) {
            let middle = sum * self.inverse;
            let error = size * self.error;
            let low = R::from_f64(middle - error);
            let high = R::from_f64(middle + error);
            let decided = (low == high) & (*size <= LARGEST) & ((low != R::ZERO) | (*size == 0.0));
            *out = if decided { low } else { R::from_f64(f64::NAN) };
            undecided += u32::from(!decided);
        }
        undecided as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_with_and_without_avx2_give_the_same_bits() {
        let values: Vec<f32> = (0..999).map(|i| (i as f32).sin() * 0.1).collect();
        let (mut sums, mut sizes) = (vec![0.1; 999], vec![0.2; 999]);
        let (mut plain_sums, mut plain_sizes) = (sums.clone(), sizes.clone());
        let (mut out, mut plain_out) = (vec![0.0_f32; 999], vec![0.0_f32; 999]);
        let weight = 12345.0;
        let rows = [
            (&values[..], weight),
            (&values[..], 0.5),
            (&values[..], 2.0),
            (&values[..], 3.0),
        ];
        widest(Add {
            rows,
            sums: &mut sums,
            sizes: &mut sizes,
        });
        Add {
            rows,
            sums: &mut plain_sums,
            sizes: &mut plain_sizes,
        }
        .run();
        assert_eq!((&sums, &sizes), (&plain_sums, &plain_sizes));
        let (inverse, error) = (0.3, 1e-12);
        let wide = Decide {
            sums: &sums,
            sizes: &sizes,
            inverse,
            error,
            out: &mut out,
        };
        let plain = Decide {
            sums: &sums,
            sizes: &sizes,
            inverse,
            error,
            out: &mut plain_out,
        };
        assert_eq!(widest(wide), plain.run());
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(&plain_out));
    }
}
