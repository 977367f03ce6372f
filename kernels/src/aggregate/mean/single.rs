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
use crate::aggregate::Real;
use crate::simd::{Body, widest};

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
                    if updates.is_full() {
                        passes.add(&mut updates);
                    }
                    updates.push(&values[start..start + length], count as f64);
                }
                Addend::Partial(rows) => {
                    let mut components = Group::<f64>::EMPTY;
                    for row in rows.iter() {
                        if components.is_full() {
                            passes.add(&mut components);
                        }
                        components.push(&row[start..start + length], 1.0);
                    }
                    passes.add(&mut components);
                }
            }
        }
        let undecided = passes.decide(&updates, self.total(), out);
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

impl<'a, R> Group<'a, R> {
    fn is_full(&self) -> bool {
        self.length == TOGETHER
    }

    fn push(&mut self, values: &'a [R], weight: f64) {
        self.rows[self.length] = (values, weight);
        self.length += 1;
    }
}

/// The sums of a chunk and of its terms' magnitudes, of no use before the first pass.
struct Passes<'a> {
    sums: &'a mut [f64],
    sizes: &'a mut [f64],
    terms: u32,
}

impl Passes<'_> {
    /// Adds the rows of a group and empties it.
    fn add<R: Real>(&mut self, group: &mut Group<'_, R>) {
        self.pass(group, None);
        group.length = 0;
    }

    /// Adds the last rows, if any, and decides while the sums are in registers: writes the means that the bound decides,
    /// NaN for the others; returns how many others.
    fn decide<R: Real>(&mut self, last: &Group<'_, R>, total: f64, out: &mut [R]) -> usize {
        let terms = self.terms.saturating_add(last.length as u32);
        if terms >= 1 << 20 {
            out.fill(R::from_f64(f64::NAN));
            return out.len();
        }
        self.pass(
            last,
            Some(Decide {
                inverse: total.recip(),
                error: f64::from(terms + 9) * UNIT * total.recip(),
                out,
            }),
        )
    }

    fn pass<R: Real>(&mut self, group: &Group<'_, R>, decide: Option<Decide<'_, R>>) -> usize {
        match group.length {
            0 => self.pass_of::<R, 0>(group, decide),
            1 => self.pass_of::<R, 1>(group, decide),
            2 => self.pass_of::<R, 2>(group, decide),
            3 => self.pass_of::<R, 3>(group, decide),
            4 => self.pass_of::<R, 4>(group, decide),
            5 => self.pass_of::<R, 5>(group, decide),
            6 => self.pass_of::<R, 6>(group, decide),
            7 => self.pass_of::<R, 7>(group, decide),
            8 => self.pass_of::<R, 8>(group, decide),
            9 => self.pass_of::<R, 9>(group, decide),
            10 => self.pass_of::<R, 10>(group, decide),
            11 => self.pass_of::<R, 11>(group, decide),
            _ => self.pass_of::<R, TOGETHER>(group, decide),
        }
    }

    fn pass_of<R: Real, const ROWS: usize>(
        &mut self,
        group: &Group<'_, R>,
        decide: Option<Decide<'_, R>>,
    ) -> usize {
        let add = Add::<R, ROWS> {
            rows: std::array::from_fn(|number| group.rows[number]),
            sums: self.sums,
            sizes: self.sizes,
        };
        let first = self.terms == 0;
        self.terms = self.terms.saturating_add(ROWS as u32);
        match (first, decide) {
            (true, None) => widest(Pass::<_, _, true>(add, Keep)),
            (false, None) => widest(Pass::<_, _, false>(add, Keep)),
            (true, Some(decide)) => widest(Pass::<_, _, true>(add, decide)),
            (false, Some(decide)) => widest(Pass::<_, _, false>(add, decide)),
        }
    }
}

/// Rows to add to the sums of a chunk.
struct Add<'a, R, const ROWS: usize> {
    rows: [(&'a [R], f64); ROWS],
    sums: &'a mut [f64],
    sizes: &'a mut [f64],
}

/// What becomes of a sum while it is in registers: counts what it leaves undecided.
trait Then {
    /// A slice of the chunk's `length` values is cut to it, so that its bounds are checked once.
    fn cut(self, length: usize) -> Self;

    fn then(&mut self, place: usize, sum: f64, size: f64) -> bool;
}

/// Nothing: another pass follows.
struct Keep;

impl Then for Keep {
    #[inline(always)]
    fn cut(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn then(&mut self, _: usize, _: f64, _: f64) -> bool {
        false
    }
}

/// The mean where the bound decides it, else NaN.
struct Decide<'a, R> {
    inverse: f64,
    error: f64,
    out: &'a mut [R],
}

impl<R: Real> Then for Decide<'_, R> {
    #[inline(always)]
    fn cut(self, length: usize) -> Self {
        let out = &mut self.out[..length];
        Self { out, ..self }
    }

    #[inline(always)]
    fn then(&mut self, place: usize, sum: f64, size: f64) -> bool {
        let middle = sum * self.inverse;
        let error = size * self.error;
        let low = R::from_f64(middle - error);
        let high = R::from_f64(middle + error);
        let decided = (low == high) & (size <= LARGEST) & ((low != R::ZERO) | (size == 0.0));
        self.out[place] = if decided { low } else { R::from_f64(f64::NAN) };
        !decided
    }
}

/// One pass over a chunk; the first (`FIRST`) finds nothing to add to.
struct Pass<A, T, const FIRST: bool>(A, T);

impl<R: Real, const ROWS: usize, T: Then, const FIRST: bool> Body for Pass<Add<'_, R, ROWS>, T, FIRST> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let Self(Add { rows, sums, sizes }, then) = self;
        let length = sums.len();
        let sizes = &mut sizes[..length];
        let rows = rows.map(|(values, weight)| (&values[..length], weight));
        let mut then = then.cut(length);
        let mut undecided = 0_u32;
        for place in 0..length {
            let (mut sum, mut size) = if FIRST {
                (0.0, 0.0)
            } else {
                (sums[place], sizes[place])
            };
            for (values, weight) in &rows {
                let term = weight * values[place].into();
                sum += term;
                size += term.abs();
            }
            sums[place] = sum;
            sizes[place] = size;
            undecided += u32::from(then.then(place, sum, size));
        }
        undecided as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_instructions_gives_the_same_bits() {
        let values: Vec<f32> = (0..999).map(|i| (i as f32).sin() * 0.1).collect();
        let group = [(&values[..], 12345.0), (&values[..], 0.5), (&values[..], 3.0)];
        let (mut sums, mut sizes) = (vec![0.1; 999], vec![0.2; 999]);
        let (mut plain_sums, mut plain_sizes) = (sums.clone(), sizes.clone());
        let (mut out, mut plain_out) = (vec![0.0_f32; 999], vec![0.0_f32; 999]);
        let (inverse, error) = (0.3, 1e-8);
        let wide = widest(Pass::<_, _, false>(
            Add {
                rows: group,
                sums: &mut sums,
                sizes: &mut sizes,
            },
            Decide {
                inverse,
                error,
                out: &mut out,
            },
        ));
        let plain = Pass::<_, _, false>(
            Add {
                rows: group,
                sums: &mut plain_sums,
                sizes: &mut plain_sizes,
            },
            Decide {
                inverse,
                error,
                out: &mut plain_out,
            },
        );
        assert_eq!(wide, plain.run());
        assert!(
            0 < wide && wide < 999,
            "{wide} undecided: both cases have to be there"
        );
        assert_eq!((&sums, &sizes), (&plain_sums, &plain_sizes));
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(&plain_out));
    }
}
