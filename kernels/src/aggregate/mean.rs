//! The sample-weighted mean, exact, block by block; and the exact sums that partial aggregates are made of.
//!
//! In: [`Weights`], checked once, and for each block one [`Addend`] per update or partial sum. Out: the block's mean
//! ([`mean`], [`mean_f64`]), or the components of its weighted sum ([`partial_components`]), which are addends again.
//!
//! With sample counts `n_k`, their sum `N` and values `w_k`, let `S = Σ_k n_k·w_k`, a real number. The mean is
//! `RN_R(RN_64(RN_64(S) / N))`, where `RN` rounds to the nearest of a format, ties to even. It depends on `S` and `N` and
//! on nothing else: not on the order of updates, on threads, on the cut into blocks, on the processor, nor on the tree of
//! partial sums. A sum of 0 gives +0.
//!
//! Almost every value is settled by arithmetic whose error is bounded (`single.rs`, `cascade.rs`): where the whole
//! interval that contains `S` rounds to one value, that is the mean. The rest is summed exactly (`exact.rs`).

mod cascade;
mod partial;
mod single;

use super::{CombineError, Float, Real, exact::Expansion};

pub use partial::{components_needed, partial_components};

/// Values summed at a time: their accumulators (24 KiB) stay in the first-level cache.
const CHUNK: usize = 2048;

/// Half a unit of the last place of 1: the largest relative error of one operation.
const UNIT: f64 = f64::EPSILON / 2.0;

/// Undecided values in a chunk above which all of it is summed by a [`cascade`] before any is summed exactly.
const FEW: usize = 8;

/// The sample counts of what is averaged, checked once for all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    counts: Vec<u64>,
    total: u64,
}

impl Weights {
    /// Checks the sample counts, one per addend and in their order: those an update was trained on, or those a partial
    /// sum stands for.
    ///
    /// # Errors
    /// `NoParts` where there are none; `NoSamples` for a count of 0; `TooManySamples` for a sum of 2⁵³ or more
    pub fn new(counts: &[u64]) -> Result<Self, CombineError> {
        if counts.is_empty() {
            return Err(CombineError::NoParts);
        }
        if let Some(part) = counts.iter().position(|count| *count == 0) {
            return Err(CombineError::NoSamples { part });
        }
        let total = counts
            .iter()
            .try_fold(0_u64, |sum, count| sum.checked_add(*count))
            .filter(|total| *total < 1 << f64::MANTISSA_DIGITS)
            .ok_or(CombineError::TooManySamples)?;
        Ok(Self {
            counts: counts.to_vec(),
            total,
        })
    }

    /// Samples of all addends together: what a partial sum of them stands for.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The sample counts, in the order of the addends.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// One term of a weighted sum: a block of an update or of a partial sum.
#[derive(Debug, Clone, Copy)]
pub enum Addend<'a, R> {
    /// An update's values, to be multiplied by its sample count.
    Update(&'a [R]),
    /// A sum that is multiplied already, as rows of components that add up to it, each as long as the block: what
    /// [`partial_components`] wrote. No rows are a sum of 0.
    Partial(&'a [&'a [f64]]),
}

/// Averages a block of client parameters, weighting each client by its sample count (FedAvg), exactly.
///
/// `out[p] = Σ_k n_k·w_k[p] / Σ_k n_k`
///
/// # Shapes
/// - `addends`: K blocks of P values, in the order of `weights`; `out` takes P values, in the unit of the input
/// # Numerics
/// The exact sum rounded to `f64`, divided by the number of samples in `f64`, rounded to `R`: independent of the order
/// of addends, of threads, of blocks and of partial sums. Equal `f32` come out unchanged (equal `f64` may differ in the
/// last place: the quotient of two rounded numbers). For half and brain floats take [`mean_f64`] and let
/// [`write_row`](super::write_row) round.
/// # Errors
/// `NotFinite` at a NaN or infinity, the first by index, then by addend; `Overflow` where the sum of `f64` values, or a
/// term of it, or a partial sum's mean is beyond the largest
/// # Panics
/// Where the number of addends is not that of `weights`, or lengths differ.
/// # Source
/// McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (server step)
/// # Example
/// ```
/// use kernels::aggregate::{Addend, Weights, mean};
/// let weights = Weights::new(&[20, 10])?;
/// let mut out = [0.0_f32; 2];
/// mean(&weights, &[Addend::Update(&[1.0, 0.0]), Addend::Update(&[4.0, 3.0])], &mut out)?;
/// assert_eq!(out, [2.0, 1.0]);
/// # Ok::<(), kernels::aggregate::CombineError>(())
/// ```
pub fn mean<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [R],
) -> Result<(), CombineError> {
    let block = Block::new(weights, addends, out.len());
    let mut sums = Sums::new();
    let mut nearest = [0.0; CHUNK];
    for (number, out) in out.chunks_mut(CHUNK).enumerate() {
        let start = number * CHUNK;
        let undecided = if R::FORMAT == Float::F64 {
            // The bound would decide next to none: the error of a sum in `f64` is a rounding of `f64`.
            out.fill(R::from_f64(f64::NAN));
            out.len()
        } else {
            block.single(start, &mut sums, out)
        };
        if undecided == 0 {
            continue;
        }
        let nearest = &mut nearest[..out.len()];
        if undecided > FEW {
            block.cascade(start, &mut sums, nearest);
        } else {
            nearest.fill(f64::NAN);
        }
        for (place, (out, nearest)) in out.iter_mut().zip(nearest).enumerate() {
            if out.is_undecided() {
                let index = start + place;
                let value = block.settled(*nearest, index)?;
                *out = R::from_f64(value);
                if !out.is_finite() {
                    return Err(CombineError::Overflow { index });
                }
            }
        }
    }
    Ok(())
}

/// As [`mean`], rounded to `f64` only: `RN_64(RN_64(S) / N)`.
///
/// What a server optimiser steps towards, and the mean of formats that are narrower than `R`.
///
/// # Errors
/// As [`mean`]
/// # Panics
/// As [`mean`].
pub fn mean_f64<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [f64],
) -> Result<(), CombineError> {
    let block = Block::new(weights, addends, out.len());
    let mut sums = Sums::new();
    for (number, out) in out.chunks_mut(CHUNK).enumerate() {
        let start = number * CHUNK;
        block.cascade(start, &mut sums, out);
        for (place, out) in out.iter_mut().enumerate() {
            *out = block.settled(*out, start + place)?;
        }
    }
    Ok(())
}

/// What stands in a result's place until it is decided.
trait Undecided {
    fn is_undecided(&self) -> bool;
}

impl<R: Real> Undecided for R {
    /// A mean is never NaN.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "NaN is what does not equal itself")]
    fn is_undecided(&self) -> bool {
        self != self
    }
}

/// Accumulators of a chunk; what each holds is said where they are filled.
struct Sums {
    sum: [f64; CHUNK],
    error: [f64; CHUNK],
    bound: [f64; CHUNK],
}

impl Sums {
    fn new() -> Self {
        Self {
            sum: [0.0; CHUNK],
            error: [0.0; CHUNK],
            bound: [0.0; CHUNK],
        }
    }

    fn clear(&mut self) {
        self.sum.fill(0.0);
        self.error.fill(0.0);
        self.bound.fill(0.0);
    }
}

/// A block's addends with their counts, lengths checked.
struct Block<'a, R> {
    addends: &'a [Addend<'a, R>],
    weights: &'a Weights,
}

impl<'a, R: Real> Block<'a, R> {
    fn new(weights: &'a Weights, addends: &'a [Addend<'a, R>], length: usize) -> Self {
        assert_eq!(addends.len(), weights.counts.len(), "a count for each addend");
        let fits = |addend: &Addend<'_, R>| match addend {
            Addend::Update(values) => values.len() == length,
            Addend::Partial(rows) => rows.iter().all(|row| row.len() == length),
        };
        assert!(addends.iter().all(fits), "addends as long as the block");
        Self { addends, weights }
    }

    fn counted(&self) -> impl Iterator<Item = (&'a Addend<'a, R>, u64)> {
        self.addends.iter().zip(self.weights.counts.iter().copied())
    }

    /// Samples of all addends: less than 2⁵³, so exact.
    fn total(&self) -> f64 {
        self.weights.total as f64
    }

    /// `nearest` as [`Block::cascade`] decided it, else the exact mean at `index`.
    #[inline]
    fn settled(&self, nearest: f64, index: usize) -> Result<f64, CombineError> {
        if nearest.is_undecided() {
            self.exact_mean(index)
        } else {
            Ok(nearest)
        }
    }

    #[cold]
    fn exact_mean(&self, index: usize) -> Result<f64, CombineError> {
        let mut sum = Expansion::default();
        self.exact_sum(index, &mut sum)?;
        let nearest = sum.nearest();
        if nearest.is_finite() {
            Ok(nearest / self.total())
        } else {
            Err(CombineError::Overflow { index })
        }
    }

    /// Puts the weighted sum at `index` into `sum`.
    fn exact_sum(&self, index: usize, sum: &mut Expansion) -> Result<(), CombineError> {
        sum.clear();
        for (part, (addend, count)) in self.counted().enumerate() {
            let check = |value: f64| match value.is_finite() {
                true => Ok(value),
                false => Err(CombineError::NotFinite { part, index, value }),
            };
            match addend {
                Addend::Update(values) => {
                    check(values[index].into())?;
                    sum.add_product(count, values[index]);
                }
                Addend::Partial(rows) => {
                    for row in rows.iter() {
                        sum.add(check(row[index])?);
                    }
                }
            }
        }
        match sum.is_finite() {
            true => Ok(()),
            false => Err(CombineError::Overflow { index }),
        }
    }
}

#[cfg(test)]
mod tests;
