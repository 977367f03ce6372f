//! Sorting networks: fixed sequences of compare-exchanges that sort any values.
//!
//! In: how many rows there are and which sorted rows are wanted. Out: a [`Network`] without the steps whose results
//! nobody reads. The same steps sort every coordinate, so they are run on whole lanes of coordinates at a time.

use std::ops::Range;

use super::Real;

/// Coordinates sorted at a time: 256 bytes of `f32`, so that 100 rows stay in the first-level cache.
pub(super) const LANES: usize = 64;

/// What is read of a compare-exchange's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Both,
    Smaller,
    Larger,
}

/// Puts the smaller of two rows' values into the row `low`, the larger into `high`; `low` is above `high`.
#[derive(Debug, Clone, Copy)]
struct Step {
    low: usize,
    high: usize,
    keeps: Keeps,
}

/// Steps after which the kept rows hold what they would hold if all rows were sorted.
#[derive(Debug, Clone)]
pub(super) struct Network {
    rows: usize,
    steps: Vec<Step>,
}

impl Network {
    /// Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, Algorithm M) for any number of rows,
    /// without what cannot reach a row in `kept`.
    pub(super) fn new(rows: usize, kept: Range<usize>) -> Self {
        let mut steps = Vec::new();
        let top = rows.next_power_of_two() / 2;
        let mut p = top;
        while p > 0 {
            let (mut q, mut r, mut distance) = (top, 0, p);
            loop {
                for low in (0..rows.saturating_sub(distance)).filter(|low| low & p == r) {
                    steps.push(Step {
                        low,
                        high: low + distance,
                        keeps: Keeps::Both,
                    });
                }
                if q == p {
                    break;
                }
                (distance, q, r) = (q - p, q / 2, p);
            }
            p /= 2;
        }
        Self {
            rows,
            steps: prune(steps, rows, kept),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Sorts lane by lane. Equal values (zeros of either sign) may stand in any order.
    pub(super) fn sort<R: Real>(&self, lanes: &mut [[R; LANES]]) {
        for step in &self.steps {
            let (before, from) = lanes.split_at_mut(step.high);
            let (low, high) = (&mut before[step.low], &mut from[0]);
            match step.keeps {
                Keeps::Both => exchange(low, high),
                Keeps::Smaller => keep_smaller(low, high),
                Keeps::Larger => keep_larger(low, high),
            }
        }
    }
}

// Never inlined, so that they are compiled for the basic instructions of the processor, 128 bits wide, everywhere. For
// AVX2 the compiler writes only the values that change, behind a mask, which takes twice as long.

#[inline(never)]
fn exchange<R: Real>(low: &mut [R; LANES], high: &mut [R; LANES]) {
    for (low, high) in low.iter_mut().zip(high) {
        (*low, *high) = (smaller(*low, *high), larger(*low, *high));
    }
}

#[inline(never)]
fn keep_smaller<R: Real>(low: &mut [R; LANES], high: &[R; LANES]) {
    for (low, high) in low.iter_mut().zip(high) {
        *low = smaller(*low, *high);
    }
}

#[inline(never)]
fn keep_larger<R: Real>(low: &[R; LANES], high: &mut [R; LANES]) {
    for (low, high) in low.iter().zip(high) {
        *high = larger(*low, *high);
    }
}

// Both from one comparison, so that the two are always the two values given. Each is one vector instruction.

#[inline(always)]
fn smaller<R: Real>(a: R, b: R) -> R {
    if a < b { a } else { b }
}

#[inline(always)]
fn larger<R: Real>(a: R, b: R) -> R {
    if a < b { b } else { a }
}

/// Walks backwards from the kept rows and drops every result that is never read.
fn prune(mut steps: Vec<Step>, rows: usize, kept: Range<usize>) -> Vec<Step> {
    let mut read: Vec<bool> = (0..rows).map(|row| kept.contains(&row)).collect();
    let mut needed: Vec<Step> = Vec::with_capacity(steps.len());
    while let Some(step) = steps.pop() {
        let keeps = match (read[step.low], read[step.high]) {
            (true, true) => Keeps::Both,
            (true, false) => Keeps::Smaller,
            (false, true) => Keeps::Larger,
            (false, false) => continue,
        };
        (read[step.low], read[step.high]) = (true, true);
        needed.push(Step { keeps, ..step });
    }
    needed.reverse();
    needed
}

/// Copies coordinates `start..start + length` of every row into lanes; lanes without a coordinate are zero.
#[inline(always)]
pub(super) fn gather<R: Real>(rows: &[&[R]], start: usize, length: usize, lanes: &mut [[R; LANES]]) {
    for (row, lanes) in rows.iter().zip(lanes) {
        let values = &row[start..start + length];
        match values.as_array::<LANES>() {
            Some(values) => *lanes = *values,
            None => {
                lanes[..length].copy_from_slice(values);
                lanes[length..].fill(R::ZERO);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorts 64 patterns of zeros and ones at a time.
    fn kept_rows(network: &Network, patterns: Range<u32>, kept: Range<usize>) -> Vec<[f32; LANES]> {
        let mut lanes = vec![[0.0; LANES]; network.rows()];
        for (lane, pattern) in patterns.enumerate() {
            for (row, values) in lanes.iter_mut().enumerate() {
                values[lane] = (pattern >> row & 1) as f32;
            }
        }
        network.sort(&mut lanes);
        lanes[kept].to_vec()
    }

    #[test]
    fn every_pattern_of_zeros_and_ones_is_sorted() {
        // A network that sorts these sorts everything (Knuth, 5.3.4, theorem Z).
        for rows in 1..=12 {
            let middle = (rows - 1) / 2..rows / 2 + 1;
            for kept in [0..rows, middle, 0..1, rows - 1..rows] {
                let network = Network::new(rows, kept.clone());
                for first in (0..1_u32 << rows).step_by(LANES) {
                    let patterns = first..(first + LANES as u32).min(1 << rows);
                    let sorted = kept_rows(&network, patterns.clone(), kept.clone());
                    for (lane, pattern) in patterns.enumerate() {
                        let zeros = rows - pattern.count_ones() as usize;
                        for (row, values) in kept.clone().zip(&sorted) {
                            assert_eq!(
                                values[lane],
                                f32::from(row >= zeros),
                                "{rows} {kept:?} {pattern:b}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn steps_nobody_reads_are_left_out() {
        let steps = |rows, kept| Network::new(rows, kept).steps.len();
        // Batcher's counts for whole sorts; a smallest value needs every other row compared once.
        assert_eq!([4, 8, 10, 16].map(|rows| steps(rows, 0..rows)), [5, 19, 31, 63]);
        assert_eq!(steps(16, 0..1), 15);
        assert_eq!(steps(1, 0..1), 0);
        assert!(steps(10, 4..6) < 31);
    }
}
