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
};
use crate::simd::{Body, widest};

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, coordinate by coordinate.
    fn by_sorting<R: Real>(rows: &[Vec<R>], kept: Range<usize>) -> Vec<f64> {
        let at = |p: usize| {
            let mut values: Vec<f64> = rows.iter().map(|row| row[p].into()).collect();
            values.sort_by(f64::total_cmp);
            let count = kept.len() as f64;
            values[kept.clone()].iter().fold(0.0, |sum, value| sum + value) / count
        };
        (0..rows[0].len()).map(at).collect()
    }

    /// The definition: nearest first, of equally far ones the smaller first, side by side.
    fn by_nearness<R: Real>(rows: &[Vec<R>], keep: usize) -> Vec<f64> {
        let median = by_sorting(rows, MiddleMean::median(rows.len()).unwrap().kept);
        let at = |(p, median): (usize, f64)| {
            let mut values: Vec<f64> = rows.iter().map(|row| row[p].into()).collect();
            let far = |value: &f64| (value - median).abs();
            values.sort_by(|a, b| {
                let above = |value: &f64| *value > median;
                let outwards = || if above(a) { a.total_cmp(b) } else { b.total_cmp(a) };
                far(a)
                    .total_cmp(&far(b))
                    .then(above(a).cmp(&above(b)))
                    .then_with(outwards)
            });
            values.truncate(keep);
            values.sort_by(f64::total_cmp);
            values.iter().fold(0.0, |sum, value| sum + value) / keep as f64
        };
        median.into_iter().enumerate().map(at).collect()
    }

    fn slices<R>(rows: &[Vec<R>]) -> Vec<&[R]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    fn middle<R: Real>(rule: &MiddleMean, rows: &[Vec<R>]) -> Vec<u64> {
        let mut out = vec![R::ZERO; rows[0].len()];
        rule.apply(&slices(rows), &mut Vec::new(), &mut out);
        bits(&out)
    }

    fn near<R: Real>(rule: &NearMedian, rows: &[Vec<R>]) -> Vec<u64> {
        let mut out = vec![R::ZERO; rows[0].len()];
        rule.apply(&slices(rows), &mut Vec::new(), &mut out);
        bits(&out)
    }

    fn bits<R: Real>(values: &[R]) -> Vec<u64> {
        values.iter().map(|value| (*value).into().to_bits()).collect()
    }

    fn rounded<R: Real>(values: Vec<f64>) -> Vec<u64> {
        bits(&values.into_iter().map(R::from_f64).collect::<Vec<R>>())
    }

    fn doubles(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let tenths = |row: &Vec<f32>| row.iter().map(|value| f64::from(*value) / 10.0).collect();
        rows.iter().map(tenths).collect()
    }

    /// Ties, zeros of both signs, subnormal numbers, any other.
    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => (-3_i8..4).prop_map(f32::from),
            1 => Just(-0.0_f32),
            1 => (any::<bool>(), 1_u32..1000).prop_map(|(negative, code)| {
                if negative { -f32::from_bits(code) } else { f32::from_bits(code) }
            }),
            4 => any::<f32>().prop_filter("finite", |value| value.is_finite()),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<f32>>> {
        (1_usize..41, 1_usize..140)
            .prop_flat_map(|(k, p)| prop::collection::vec(prop::collection::vec(value(), p), k))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_kept_range_has_the_bits_of_the_definition(rows in rows(), a: prop::sample::Index, b: prop::sample::Index) {
            let k = rows.len();
            let (a, b) = (a.index(k), b.index(k));
            let kept = a.min(b)..a.max(b) + 1;
            let rule = MiddleMean::new(k, kept.clone()).unwrap();
            prop_assert_eq!(middle(&rule, &rows), rounded::<f32>(by_sorting(&rows, kept.clone())));
            let rows = doubles(&rows);
            prop_assert_eq!(middle(&rule, &rows), rounded::<f64>(by_sorting(&rows, kept)));
        }

        #[test]
        fn the_values_near_the_median_are_those_of_the_definition(rows in rows(), keep: prop::sample::Index) {
            let keep = keep.index(rows.len()) + 1;
            let rule = NearMedian::new(rows.len(), keep).unwrap();
            prop_assert_eq!(near(&rule, &rows), rounded::<f32>(by_nearness(&rows, keep)));
            let rows = doubles(&rows);
            prop_assert_eq!(near(&rule, &rows), rounded::<f64>(by_nearness(&rows, keep)));
        }

        #[test]
        fn the_order_of_rows_changes_nothing((rows, shuffled) in rows().prop_flat_map(|rows| {
            (Just(rows.clone()), Just(rows).prop_shuffle())
        })) {
            let rule = MiddleMean::median(rows.len()).unwrap();
            prop_assert_eq!(middle(&rule, &rows), middle(&rule, &shuffled));
            let rule = NearMedian::new(rows.len(), rows.len().div_ceil(2)).unwrap();
            prop_assert_eq!(near(&rule, &rows), near(&rule, &shuffled));
        }

        #[test]
        fn every_processor_gives_the_same_bits(rows in rows()) {
            let (rule, nearest) = (MiddleMean::median(rows.len()).unwrap(), NearMedian::new(rows.len(), 1).unwrap());
            let (mut scratch, mut out) = (Vec::new(), vec![0.0; rows[0].len()]);
            let slices = slices(&rows);
            let lanes = prepare(&rule.network, &slices, &mut scratch, &out);
            MiddleMeanOf { rule: &rule, rows: &slices, lanes, out: &mut out }.run();
            prop_assert_eq!(bits(&out), middle(&rule, &rows));
            let lanes = prepare(&nearest.network, &slices, &mut scratch, &out);
            NearMedianOf { rule: &nearest, rows: &slices, lanes, out: &mut out }.run();
            prop_assert_eq!(bits(&out), near(&nearest, &rows));
        }
    }

    #[test]
    fn blocks_of_any_length_change_nothing() {
        let row = |k: usize| {
            (0..1000)
                .map(|p| ((p * 31 + k * 17) % 101) as f32 - 50.0)
                .collect()
        };
        let rows: Vec<Vec<f32>> = (0..7).map(row).collect();
        let rule = MiddleMean::trimmed(7, 2).unwrap();
        let mut pieces = Vec::new();
        for start in (0..1000).step_by(37) {
            let piece: Vec<Vec<f32>> = rows
                .iter()
                .map(|row| row[start..(start + 37).min(1000)].to_vec())
                .collect();
            pieces.extend(middle(&rule, &piece));
        }
        assert_eq!(pieces, middle(&rule, &rows));
    }

    #[test]
    fn an_even_number_has_the_mean_of_the_two_middle_values_as_median() {
        let rows = [vec![4.0_f32], vec![1.0], vec![3.0], vec![100.0]];
        assert_eq!(middle(&MiddleMean::median(4).unwrap(), &rows), bits(&[3.5_f32]));
        assert_eq!(
            middle(&MiddleMean::median(3).unwrap(), &rows[..3]),
            bits(&[3.0_f32])
        );
        assert_eq!(
            middle(&MiddleMean::median(1).unwrap(), &rows[..1]),
            bits(&[4.0_f32])
        );
    }

    #[test]
    fn of_two_values_as_near_the_smaller_is_taken() {
        let rows = [vec![6.0_f32], vec![1.0], vec![5.0], vec![4.0], vec![9.0]];
        // The median is 5, then 4 and 6 are as near.
        assert_eq!(near(&NearMedian::new(5, 2).unwrap(), &rows), bits(&[4.5_f32]));
    }

    #[test]
    fn values_all_below_the_median_are_passed_over_even_when_equal() {
        let rows: Vec<Vec<f32>> = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]
            .map(|value| vec![value])
            .into();
        assert_eq!(near(&NearMedian::new(7, 2).unwrap(), &rows), bits(&[5.0_f32]));
    }

    #[test]
    fn what_keeps_nothing_is_refused() {
        for (rows, kept) in [(0, 0..0), (3, 2..2), (3, 1..4)] {
            let error = MiddleMean::new(rows, kept.clone()).unwrap_err();
            assert_eq!(error, OrderError::NothingKept { rows, kept });
        }
        assert!(MiddleMean::median(0).is_err());
        assert!(MiddleMean::trimmed(4, 2).is_err());
        assert!(MiddleMean::trimmed(4, 3).is_err());
        assert!(MiddleMean::trimmed(5, 2).is_ok());
        for (rows, keep) in [(3, 0), (3, 4), (0, 0)] {
            let error = NearMedian::new(rows, keep).unwrap_err();
            assert_eq!(error, OrderError::KeepOutOfRange { rows, keep });
        }
    }
}
