//! The sample-weighted mean, exact, block by block; and the exact sums that partial aggregates are made of.
use super::{CombineError, Real};

/// The sample counts of what is averaged, checked once for all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    counts: Vec<u64>,
    total: u64,
}

impl Weights {
    /// Checks the sample count of each addend, in the order of the addends.
    ///
    /// # Errors
    /// `NoParts` where there are none, `NoSamples` for a count of 0, `TooManySamples` for a sum of 2^53 or more
    pub fn new(counts: &[u64]) -> Result<Self, CombineError> {
        Ok(Self {
            counts: counts.to_vec(),
            total: 1,
        })
    }

    /// Number of samples of all addends together.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// One term of a weighted sum: a block of an update or of a partial sum.
#[derive(Debug, Clone, Copy)]
pub enum Addend<'a, R> {
    /// An update's values, to be multiplied by its sample count.
    Update(&'a [R]),
    /// The components of a sum that is weighted already, as [`partial_components`] makes them: T rows as long as the
    /// block, T of 0 or more (a sum of zeros).
    Partial(&'a [&'a [f64]]),
}

/// Averages.
pub fn mean<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [R],
) -> Result<(), CombineError> {
    let _ = (&weights.counts, addends, out);
    unimplemented!()
}

/// As [`mean`], rounded to `f64` only.
pub fn mean_f64<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [f64],
) -> Result<(), CombineError> {
    let _ = (weights, addends, out);
    unimplemented!()
}

/// The number of components that the weighted sums of this block need, at least 1.
pub fn components_needed<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
) -> Result<usize, CombineError> {
    let _ = (weights, addends);
    unimplemented!()
}

/// Writes the weighted sums of this block into `out`, one row per component.
pub fn partial_components<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [&mut [f64]],
) -> Result<(), CombineError> {
    let _ = (weights, addends, out);
    unimplemented!()
}
