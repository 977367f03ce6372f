//! Sums of floating-point numbers without any error: the slow way that is always right.
//!
//! In: numbers, or products of counts with numbers. Out: the nearest `f64` of their exact sum, or components that add
//! up to it. Start at [`Expansion`].

use super::rows::sealed::Split;

/// `a + b` rounded, and what the rounding lost: together exactly `a + b`, unless it overflows.
///
/// Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B.
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_kept = sum - a;
    let a_kept = sum - b_kept;
    (sum, (a - a_kept) + (b - b_kept))
}

/// The parts of a count whose products with [`Split::halves`] are exact: at most `bits` bits each, zeros left out.
pub(super) fn pieces(count: u64, bits: u32) -> impl Iterator<Item = f64> {
    (0..64)
        .step_by(bits as usize)
        .map(move |low| count & (((1 << bits) - 1) << low))
        .filter(|piece| *piece > 0)
        .map(|piece| piece as f64)
}

/// An exact sum: numbers of increasing magnitude that do not overlap, none of them 0.
///
/// # Source
/// Shewchuk 1997, Adaptive Precision Floating-Point Arithmetic, Grow-Expansion with zero elimination
#[derive(Debug, Default)]
pub(super) struct Expansion {
    parts: Vec<f64>,
}

impl Expansion {
    /// Back to 0.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Adds a finite number.
    pub(super) fn add(&mut self, number: f64) {
        let mut carried = number;
        let mut kept = 0;
        for place in 0..self.parts.len() {
            let (sum, lost) = two_sum(carried, self.parts[place]);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
            carried = sum;
        }
        self.parts.truncate(kept);
        if carried != 0.0 {
            self.parts.push(carried);
        }
    }

    /// Adds `count`·`value`, which is finite.
    pub(super) fn add_product<R: Split>(&mut self, count: u64, value: R) {
        for piece in pieces(count, R::PIECE_BITS) {
            for half in value.halves().into_iter().take(R::HALVES) {
                self.add(piece * half);
            }
        }
    }

    /// Whether no addition overflowed.
    pub(super) fn is_finite(&self) -> bool {
        self.parts.iter().all(|part| part.is_finite())
    }

    /// The sum rounded to the nearest `f64`, ties to even.
    pub(super) fn nearest(&self) -> f64 {
        let Some((largest, rest)) = self.parts.split_last() else {
            return 0.0;
        };
        let mut sum = *largest;
        for (place, part) in rest.iter().enumerate().rev() {
            let (rounded, lost) = two_sum(sum, *part);
            sum = rounded;
            if lost == 0.0 {
                continue;
            }
            // `sum` is the nearest to all but what is below this part, which matters only where `lost` is exactly half
            // a unit of the last place and has been rounded to even against the sign of what is below.
            let below = place.checked_sub(1).map_or(0.0, |below| rest[below]);
            let away = sum + 2.0 * lost;
            if lost.signum() == below.signum() && below != 0.0 && away - sum == 2.0 * lost {
                sum = away;
            }
            break;
        }
        sum
    }

    /// Takes the sum apart into its nearest `f64`, the nearest of what is left, and so on; leaves 0.
    ///
    /// They depend on the sum alone. A sum that has overflowed has none.
    pub(super) fn components(&mut self) -> impl Iterator<Item = f64> {
        std::iter::from_fn(|| {
            let component = self.nearest();
            if self.parts.is_empty() || !component.is_finite() {
                return None;
            }
            self.add(-component);
            Some(component)
        })
    }
}
