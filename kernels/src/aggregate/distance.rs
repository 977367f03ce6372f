//! Squared Euclidean distances between updates, summed block by block.
//!
//! In: K rows of a block, one per update. Out: sums to which every block adds its share. All arithmetic is in `f64`;
//! each pair of rows is subtracted before it is squared, so that close updates lose nothing to cancellation. Start at
//! [`add_squared_distances`].

use super::Real;
use crate::simd::{Body, widest};

/// Partial sums of every pair: value number i goes to lane i mod 8.
const LANES: usize = 8;
/// Groups of lanes that are summed before they are added to the total: 256 values, or 2 KiB a row.
const GROUPS: usize = 32;
/// Values of a row that are summed at a time. A block that is a multiple of this leaves the sums independent of how
/// rows are cut.
pub const DISTANCE_RUN: usize = LANES * GROUPS;

/// One row's values of a run, zero behind the last.
type Run = [[f64; LANES]; GROUPS];

/// The squared Euclidean distances between K updates, in the squared unit of their values.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    rows: usize,
    sums: Vec<f64>,
}

impl Distances {
    /// All zero, to be added to.
    pub fn zero(rows: usize) -> Self {
        Self {
            rows,
            sums: vec![0.0; pairs(rows)],
        }
    }

    /// Updates there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The sums of all pairs i < j, by i, then by j: (0, 1), (0, 2), ..., (1, 2), ...
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// The same sums, for [`add_squared_distances`].
    pub fn sums_mut(&mut self) -> &mut [f64] {
        &mut self.sums
    }

    /// The squared distance between two updates, 0 from an update to itself.
    ///
    /// # Panics
    /// If there is no such update.
    pub fn squared(&self, a: usize, b: usize) -> f64 {
        assert!(a < self.rows && b < self.rows, "updates there are");
        if a == b {
            0.0
        } else {
            self.sums[pair(self.rows, a.min(b), a.max(b))]
        }
    }
}

/// Pairs of `rows` updates.
pub fn pairs(rows: usize) -> usize {
    rows * rows.saturating_sub(1) / 2
}

/// The place of pair `i` < `j`.
fn pair(rows: usize, i: usize, j: usize) -> usize {
    i * (2 * rows - i - 1) / 2 + j - i - 1
}

/// Adds a block's squared distances between all rows.
///
/// `sums[(i, j)] += Σ_p (rows[i][p] - rows[j][p])²`, in the order of [`Distances::sums`]
///
/// # Shapes
/// - `rows`: K updates x P values; `sums`: K (K - 1) / 2; `scratch`: anything, kept between calls to spare allocations
/// # Numerics
/// Values are subtracted, squared and summed in `f64`, [`DISTANCE_RUN`] values at a time: 8 lanes of partial sums (value
/// p goes to lane p mod 8), added pairwise, then added to `sums`. The relative error is at most
/// (P / 256 + 40) 2⁻⁵³, below 5e-11 for 10⁸ values.
/// The same bits on every processor; the same however rows are cut into blocks that are added one after the other, as
/// long as all but the last have a multiple of [`DISTANCE_RUN`] values.
/// # Panics
/// If rows differ in length or `sums` has another length.
pub fn add_squared_distances<R: Real>(rows: &[&[R]], scratch: &mut Vec<f64>, sums: &mut [f64]) {
    assert_eq!(sums.len(), pairs(rows.len()), "a sum for every pair");
    let length = rows.first().map_or(0, |row| row.len());
    assert!(
        rows.iter().all(|row| row.len() == length),
        "rows of the same length"
    );
    scratch.resize(rows.len() * DISTANCE_RUN, 0.0);
    let runs = scratch.as_chunks_mut().0.as_chunks_mut().0;
    widest(AllPairs {
        rows,
        length,
        runs,
        sums,
    });
}

struct AllPairs<'a, R> {
    rows: &'a [&'a [R]],
    length: usize,
    runs: &'a mut [Run],
    sums: &'a mut [f64],
}

impl<R: Real> Body for AllPairs<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut start = 0;
        while start < self.length {
            let end = (start + DISTANCE_RUN).min(self.length);
            for (row, run) in self.rows.iter().zip(self.runs.iter_mut()) {
                widen(&row[start..end], run);
            }
            add_pairs(self.runs, (end - start).div_ceil(LANES), self.sums);
            start = end;
        }
    }
}

/// Adds the distances of the first `groups` groups of all runs.
///
/// Two rows are compared with two others at a time: four loads serve four pairs, whatever the number of rows.
#[inline(always)]
fn add_pairs(runs: &[Run], groups: usize, sums: &mut [f64]) {
    let rows = runs.len();
    for i in (0..rows).step_by(2) {
        if i + 1 == rows {
            break;
        }
        let (a, b) = (&runs[i][..groups], &runs[i + 1][..groups]);
        sums[pair(rows, i, i + 1)] += squared_distance(a, b);
        let mut others = i + 2;
        while others + 1 < rows {
            let (c, d) = (&runs[others][..groups], &runs[others + 1][..groups]);
            let [ac, ad, bc, bd] = tile(a, b, c, d);
            sums[pair(rows, i, others)] += ac;
            sums[pair(rows, i, others + 1)] += ad;
            sums[pair(rows, i + 1, others)] += bc;
            sums[pair(rows, i + 1, others + 1)] += bd;
            others += 2;
        }
        if others < rows {
            let c = &runs[others][..groups];
            sums[pair(rows, i, others)] += squared_distance(a, c);
            sums[pair(rows, i + 1, others)] += squared_distance(b, c);
        }
    }
}

/// The squared distances a to c, a to d, b to c, b to d: the bits [`squared_distance`] gives.
#[inline(always)]
fn tile(a: &[[f64; LANES]], b: &[[f64; LANES]], c: &[[f64; LANES]], d: &[[f64; LANES]]) -> [f64; 4] {
    let mut partial = [[0.0_f64; LANES]; 4];
    for ((a, b), (c, d)) in a.iter().zip(b).zip(c.iter().zip(d)) {
        add_square(&mut partial[0], a, c);
        add_square(&mut partial[1], a, d);
        add_square(&mut partial[2], b, c);
        add_square(&mut partial[3], b, d);
    }
    [
        total(partial[0]),
        total(partial[1]),
        total(partial[2]),
        total(partial[3]),
    ]
}

#[inline(always)]
fn squared_distance(a: &[[f64; LANES]], b: &[[f64; LANES]]) -> f64 {
    let mut partial = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        add_square(&mut partial, a, b);
    }
    total(partial)
}

#[inline(always)]
fn add_square(partial: &mut [f64; LANES], a: &[f64; LANES], b: &[f64; LANES]) {
    for lane in 0..LANES {
        let difference = a[lane] - b[lane];
        partial[lane] += difference * difference;
    }
}

#[inline(always)]
fn total(partial: [f64; LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = partial;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
fn widen<R: Real>(values: &[R], run: &mut Run) {
    let run = run.as_flattened_mut();
    for (wide, value) in run.iter_mut().zip(values) {
        *wide = (*value).into();
    }
    run[values.len()..].fill(0.0);
}

/// Adds a block's squared distances of every row from `origin`: squared norms of the rows' changes.
///
/// `sums[k] += Σ_p (rows[k][p] - origin[p])²`
///
/// # Shapes
/// - `rows`: K updates x P values; `origin`: P values; `sums`: K
/// # Numerics
/// As [`add_squared_distances`].
/// # Panics
/// If a row is not as long as `origin` or there are not as many `sums` as rows.
pub fn add_squared_differences<R: Real>(rows: &[&[R]], origin: &[R], sums: &mut [f64]) {
    assert_eq!(sums.len(), rows.len(), "a sum for every row");
    assert!(
        rows.iter().all(|row| row.len() == origin.len()),
        "rows as long as the origin"
    );
    widest(FromOrigin { rows, origin, sums });
}

struct FromOrigin<'a, R> {
    rows: &'a [&'a [R]],
    origin: &'a [R],
    sums: &'a mut [f64],
}

impl<R: Real> Body for FromOrigin<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (mut from, mut run) = ([[0.0; LANES]; GROUPS], [[0.0; LANES]; GROUPS]);
        for (number, origin) in self.origin.chunks(DISTANCE_RUN).enumerate() {
            let groups = origin.len().div_ceil(LANES);
            widen(origin, &mut from);
            for (row, sum) in self.rows.iter().zip(self.sums.iter_mut()) {
                let start = number * DISTANCE_RUN;
                widen(&row[start..start + origin.len()], &mut run);
                *sum += squared_distance(&run[..groups], &from[..groups]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, pair by pair.
    fn by_definition<R: Real>(rows: &[Vec<R>]) -> Vec<f64> {
        let mut sums = Vec::new();
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                let square = |(a, b): (&R, &R)| {
                    let difference: f64 = (*a).into() - (*b).into();
                    difference * difference
                };
                sums.push(a.iter().zip(b).map(square).sum());
            }
        }
        sums
    }

    fn distances<R: Real>(rows: &[Vec<R>]) -> Distances {
        let mut distances = Distances::zero(rows.len());
        add_squared_distances(&slices(rows), &mut Vec::new(), distances.sums_mut());
        distances
    }

    fn slices<R>(rows: &[Vec<R>]) -> Vec<&[R]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-13 * a.max(*b))
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            -1.0_f32..1.0,
            Just(-0.0),
            (1_u32..1000).prop_map(f32::from_bits),
            any::<f32>().prop_filter("finite", |value| value.is_finite()),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<f32>>> {
        (1_usize..41, 0_usize..300)
            .prop_flat_map(|(k, p)| prop::collection::vec(prop::collection::vec(value(), p), k))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn distances_are_those_of_the_definition(rows in rows()) {
            let found = distances(&rows);
            prop_assert!(close(found.sums(), &by_definition(&rows)));
            let wide: Vec<Vec<f64>> =
                rows.iter().map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect();
            prop_assert_eq!(distances(&wide), found);
        }

        #[test]
        fn the_order_of_rows_changes_no_bits((rows, order) in rows().prop_flat_map(|rows| {
            let order: Vec<usize> = (0..rows.len()).collect();
            (Just(rows), Just(order).prop_shuffle())
        })) {
            let (before, shuffled) = (distances(&rows), order.iter().map(|k| rows[*k].clone()).collect::<Vec<_>>());
            let after = distances(&shuffled);
            for i in 0..rows.len() {
                for j in 0..rows.len() {
                    prop_assert_eq!(after.squared(i, j).to_bits(), before.squared(order[i], order[j]).to_bits());
                }
            }
        }

        #[test]
        fn every_processor_gives_the_same_bits(rows in rows()) {
            let slices = slices(&rows);
            let mut runs = vec![[[0.0; LANES]; GROUPS]; rows.len()];
            let mut sums = vec![0.0; pairs(rows.len())];
            AllPairs { rows: &slices, length: rows[0].len(), runs: &mut runs, sums: &mut sums }.run();
            prop_assert_eq!(bits(&sums), bits(distances(&rows).sums()));
            let (mut portable, mut widest) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
            FromOrigin { rows: &slices, origin: slices[0], sums: &mut portable }.run();
            add_squared_differences(&slices, slices[0], &mut widest);
            prop_assert_eq!(bits(&portable), bits(&widest));
        }

        #[test]
        fn differences_from_a_row_are_distances_to_it(rows in rows()) {
            let (found, mut sums) = (distances(&rows), vec![0.0; rows.len()]);
            add_squared_differences(&slices(&rows), &rows[0], &mut sums);
            for (k, sum) in sums.iter().enumerate() {
                prop_assert_eq!(sum.to_bits(), found.squared(k, 0).to_bits());
            }
        }
    }

    #[test]
    fn blocks_of_whole_runs_change_no_bits() {
        let length = 5 * DISTANCE_RUN + 13;
        let row = |k: usize| {
            (0..length)
                .map(|p| ((p * 31 + k * 17) % 1009) as f32 / 7.0)
                .collect()
        };
        let rows: Vec<Vec<f32>> = (0..5).map(row).collect();
        let mut pieces = Distances::zero(5);
        for start in (0..length).step_by(2 * DISTANCE_RUN) {
            let end = (start + 2 * DISTANCE_RUN).min(length);
            let piece: Vec<&[f32]> = rows.iter().map(|row| &row[start..end]).collect();
            // A scratch that holds something else.
            add_squared_distances(&piece, &mut vec![f64::NAN; 3], pieces.sums_mut());
        }
        assert_eq!(bits(pieces.sums()), bits(distances(&rows).sums()));
    }

    #[test]
    fn close_updates_far_from_zero_lose_nothing() {
        let rows = [vec![1e6_f32; 100], vec![1e6_f32 + 0.0625; 100]];
        assert_eq!(distances(&rows).squared(1, 0), 100.0 * 0.0625 * 0.0625);
    }

    #[test]
    fn no_rows_and_one_row_have_no_distances() {
        assert_eq!(distances::<f32>(&[]).sums(), [0.0; 0]);
        let one = distances(&[vec![1.0_f32]]);
        assert_eq!((one.sums().len(), one.squared(0, 0)), (0, 0.0));
    }
}
