//! Coordinate-wise order statistics: median, trimmed mean, mean of the values near the median.
//!
//! In: K rows of a block, one per update, all finite (see [`super::first_not_finite`]). Out: one row. Rows are sorted by
//! a network of compare-exchanges, 64 coordinates at a time, in a scratch that stays in the first-level cache: every
//! value is read from memory once. Results depend neither on the order of rows, nor on how rows are cut into blocks,
//! nor on the processor. Start at [`MiddleMean`].

use std::ops::Range;

use super::{
    Real,
    network::{LANES, Network, gather},
    simd::{Body, widest},
};

/// Why there is no such order statistic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No row would be averaged, or rows that do not exist.
    #[error("cannot average the sorted updates {} to {} (exclusive) of {rows}", kept.start, kept.end)]
    NothingKept {
        /// Updates there are.
        rows: usize,
        /// Sorted updates asked for, counted from 0.
        kept: Range<usize>,
    },
    /// More or fewer values than there are.
    #[error("cannot average the {keep} values nearest to the median of {rows}")]
    KeepOutOfRange {
        /// Updates there are.
        rows: usize,
        /// Values asked for at each coordinate.
        keep: usize,
    },
}

/// The mean of a range of the sorted values of each coordinate.
///
/// `out[p] = Σ_{i in kept} sort(rows[..][p])[i] / |kept|`
///
/// # Numerics
/// Sums in `f64` in ascending order, divides, rounds to the format once. A result of zero from zeros is +0. The sum of
/// `f64` values near the largest can overflow to an infinity: check what comes out.
/// # Source
/// Yin et al. 2018, arXiv:1803.01498, definitions 1 and 2
/// # Example
/// ```
/// use kernels::aggregate::MiddleMean;
/// let rows: [&[f32]; 4] = [&[1.0, 9.0], &[5.0, 8.0], &[2.0, 7.0], &[100.0, 6.0]];
/// let mut out = [0.0; 2];
/// MiddleMean::median(4)?.apply(&rows, &mut Vec::new(), &mut out);
/// assert_eq!(out, [3.5, 7.5]);
/// # Ok::<(), kernels::aggregate::OrderError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MiddleMean {
    network: Network,
    kept: Range<usize>,
}

impl MiddleMean {
    /// The mean of the sorted rows `kept`, counted from 0, of `rows`.
    ///
    /// # Errors
    /// `NothingKept` if `kept` is empty or ends behind `rows`
    pub fn new(rows: usize, kept: Range<usize>) -> Result<Self, OrderError> {
        if kept.is_empty() || kept.end > rows {
            return Err(OrderError::NothingKept { rows, kept });
        }
        Ok(Self {
            network: Network::new(rows, kept.clone()),
            kept,
        })
    }

    /// The middle value, or the mean of the two middle ones if `rows` is even.
    ///
    /// # Errors
    /// `NothingKept` if `rows` is 0
    pub fn median(rows: usize) -> Result<Self, OrderError> {
        Self::new(rows, rows.saturating_sub(1) / 2..rows / 2 + usize::from(rows > 0))
    }

    /// The mean without the `cut` smallest and the `cut` largest values.
    ///
    /// # Errors
    /// `NothingKept` if `rows` is at most 2 `cut`
    pub fn trimmed(rows: usize, cut: usize) -> Result<Self, OrderError> {
        Self::new(rows, cut..rows.saturating_sub(cut))
    }

    /// Fills `out`.
    ///
    /// # Shapes
    /// - `rows`: K updates x P finite values, K as given to the constructor; `out`: P values; `scratch`: anything, kept
    ///   between calls to spare allocations
    /// # Panics
    /// If there are other than K rows, or one of them is not as long as `out`.
    pub fn apply<R: Real>(&self, rows: &[&[R]], scratch: &mut Vec<R>, out: &mut [R]) {
        let lanes = prepare(&self.network, rows, scratch, out);
        widest(MiddleMeanOf {
            rule: self,
            rows,
            lanes,
            out,
        });
    }
}

struct MiddleMeanOf<'a, R> {
    rule: &'a MiddleMean,
    rows: &'a [&'a [R]],
    lanes: &'a mut [[R; LANES]],
    out: &'a mut [R],
}

impl<R: Real> Body for MiddleMeanOf<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let count = self.rule.kept.len() as f64;
        for (number, out) in self.out.chunks_mut(LANES).enumerate() {
            gather(self.rows, number * LANES, out.len(), self.lanes);
            self.rule.network.sort(self.lanes);
            let mut sums = [0.0_f64; LANES];
            for row in &self.lanes[self.rule.kept.clone()] {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += (*value).into();
                }
            }
            write_means(&sums, count, out);
        }
    }
}

/// The mean of the values nearest to the median of each coordinate: Bulyan's second phase.
///
/// The nearest values lie side by side when sorted. Of two values as far from the median, the smaller counts as nearer:
/// the mean does not depend on the order of updates (Flower, which partitions by distance, takes either). For an even
/// number of updates the median is the mean of the two middle values, as in Flower.
///
/// # Numerics
/// Distances are compared and values summed in `f64`, in ascending order, and rounded to the format once. `f64` values
/// near the largest can overflow to an infinity: check what comes out.
/// # Source
/// El Mhamdi et al. 2018, arXiv:1802.07927, section 4
#[derive(Debug, Clone)]
pub struct NearMedian {
    network: Network,
    keep: usize,
}

impl NearMedian {
    /// The mean of the `keep` values nearest to the median of `rows`.
    ///
    /// # Errors
    /// `KeepOutOfRange` if `keep` is 0 or more than `rows`
    pub fn new(rows: usize, keep: usize) -> Result<Self, OrderError> {
        if keep == 0 || keep > rows {
            return Err(OrderError::KeepOutOfRange { rows, keep });
        }
        Ok(Self {
            network: Network::new(rows, 0..rows),
            keep,
        })
    }

    /// Fills `out`.
    ///
    /// # Shapes
    /// - `rows`: K updates x P finite values, K as given to the constructor; `out`: P values; `scratch`: anything, kept
    ///   between calls to spare allocations
    /// # Panics
    /// If there are other than K rows, or one of them is not as long as `out`.
    pub fn apply<R: Real>(&self, rows: &[&[R]], scratch: &mut Vec<R>, out: &mut [R]) {
        let lanes = prepare(&self.network, rows, scratch, out);
        widest(NearMedianOf {
            rule: self,
            rows,
            lanes,
            out,
        });
    }
}

struct NearMedianOf<'a, R> {
    rule: &'a NearMedian,
    rows: &'a [&'a [R]],
    lanes: &'a mut [[R; LANES]],
    out: &'a mut [R],
}

impl<R: Real> Body for NearMedianOf<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (number, out) in self.out.chunks_mut(LANES).enumerate() {
            gather(self.rows, number * LANES, out.len(), self.lanes);
            self.rule.network.sort(self.lanes);
            let sums = window_sums(self.lanes, self.rule.keep);
            write_means(&sums, self.rule.keep as f64, out);
        }
    }
}

/// Sums the `keep` values nearest to the median in each sorted lane.
///
/// The window of nearest values starts at the lowest and moves up past value `i` as long as value `i + keep`, which it
/// then takes in, is nearer to the median m: x[i+keep] - m < m - x[i]. The left side grows with i and the right side
/// falls, so each value's fate is known from two comparisons.
#[inline(always)]
fn window_sums<R: Real>(sorted: &[[R; LANES]], keep: usize) -> [f64; LANES] {
    let rows = sorted.len();
    let (below, above) = (&sorted[(rows - 1) / 2], &sorted[rows / 2]);
    let mut medians = [0.0_f64; LANES];
    for (median, (a, b)) in medians.iter_mut().zip(below.iter().zip(above)) {
        let (a, b): (f64, f64) = ((*a).into(), (*b).into());
        *median = (a + b) / 2.0;
    }
    let mut sums = [0.0_f64; LANES];
    for (row, values) in sorted.iter().enumerate() {
        // Without a partner a value is never passed, or is in the window from the beginning.
        let partner = sorted.get(row + keep);
        let replaced = row.checked_sub(keep).map(|row| &sorted[row]);
        for lane in 0..LANES {
            let (value, median): (f64, f64) = (values[lane].into(), medians[lane]);
            let passed = match partner {
                Some(partner) => partner[lane].into() - median < median - value,
                None => false,
            };
            let taken_in = match replaced {
                Some(replaced) => value - median < median - replaced[lane].into(),
                None => true,
            };
            sums[lane] += if taken_in & !passed { value } else { 0.0 };
        }
    }
    sums
}

#[inline(always)]
fn write_means<R: Real>(sums: &[f64; LANES], count: f64, out: &mut [R]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = R::from_f64(sum / count);
    }
}

/// Lanes for each row, after a check of all lengths.
fn prepare<'a, R: Real>(
    network: &Network,
    rows: &[&[R]],
    scratch: &'a mut Vec<R>,
    out: &[R],
) -> &'a mut [[R; LANES]] {
    assert_eq!(rows.len(), network.rows(), "as many rows as were announced");
    assert!(
        rows.iter().all(|row| row.len() == out.len()),
        "rows as long as the output"
    );
    scratch.resize(rows.len() * LANES, R::ZERO);
    scratch.as_chunks_mut().0
}
