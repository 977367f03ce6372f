//! Rules that are sums of scaled differences from the global model, and the scales they use.
//!
//! In: rows of updates, one coefficient each, the global model's row. Out: `g + Σ_k c_k·(w_k − g)`. Start at
//! [`combine_differences`]; norm bounding, central privacy, FedNova, q-FedAvg, the steps of the geometric median and
//! SCAFFOLD are this with other coefficients.

use super::{CombineError, Real, Weights, exact::Expansion};
use crate::simd::{Body, widest};

/// Values a thread works on at a time: they and their sums stay in the first-level cache.
const CHUNK: usize = 1024;

/// Adds scaled differences from the global model to it.
///
/// `out[p] = g[p] + Σ_k c_k·(w_k[p] − g[p])`
///
/// # Shapes
/// - `rows`: K rows of P values; `coefficients`: K; `global`: P; `out` takes P, in the unit of the input. K of 0 leaves
///   the global model.
/// # Numerics
/// In `f64`, one rounding per operation, the sum in the order of `rows` from 0: the same bits with every instruction
/// set, number of threads and cut into blocks.
/// # Errors
/// `NotFinite` at the first value that is none, by index, then by row; `Overflow` where the global model, a coefficient
/// or the sum is not finite
/// # Panics
/// Where lengths differ.
/// # Example
/// ```
/// use kernels::aggregate::combine_differences;
/// let mut out = [0.0; 2];
/// combine_differences(&[&[3.0_f32, 1.0], &[1.0, 5.0]], &[0.5, 0.25], &[1.0, 1.0], &mut out)?;
/// assert_eq!(out, [2.0, 2.0]);
/// # Ok::<(), kernels::aggregate::CombineError>(())
/// ```
pub fn combine_differences<R: Real>(
    rows: &[&[R]],
    coefficients: &[f64],
    global: &[R],
    out: &mut [f64],
) -> Result<(), CombineError> {
    assert_eq!(rows.len(), coefficients.len(), "a coefficient for each row");
    assert!(
        rows.iter().all(|row| row.len() == out.len()),
        "rows of the block's length"
    );
    assert_eq!(global.len(), out.len(), "a global model of the block's length");
    for (number, (out, global)) in out.chunks_mut(CHUNK).zip(global.chunks(CHUNK)).enumerate() {
        let start = number * CHUNK;
        out.fill(0.0);
        for (row, coefficient) in rows.iter().zip(coefficients) {
            let row = &row[start..start + global.len()];
            widest(AddDifference {
                row,
                coefficient: *coefficient,
                global,
                sums: out,
            });
        }
        if !widest(AddGlobal { global, sums: out }) {
            return Err(explain(rows, out, start));
        }
    }
    Ok(())
}

/// The first sum of a chunk that is not finite, and the row that made it so.
fn explain<R: Real>(rows: &[&[R]], sums: &[f64], start: usize) -> CombineError {
    let index = sums.iter().position(|sum| !sum.is_finite()).unwrap_or(0);
    let at = start + index;
    match rows.iter().position(|row| !row[at].is_finite()) {
        Some(part) => CombineError::NotFinite {
            part,
            index: at,
            value: rows[part][at].into(),
        },
        None => CombineError::Overflow { index: at },
    }
}

struct AddDifference<'a, R> {
    row: &'a [R],
    coefficient: f64,
    global: &'a [R],
    sums: &'a mut [f64],
}

impl<R: Real> Body for AddDifference<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((sum, value), global) in self.sums.iter_mut().zip(self.row).zip(self.global) {
            *sum += self.coefficient * ((*value).into() - (*global).into());
        }
    }
}

/// Whether all are finite afterwards.
struct AddGlobal<'a, R> {
    global: &'a [R],
    sums: &'a mut [f64],
}

impl<R: Real> Body for AddGlobal<'_, R> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut finite = true;
        for (sum, global) in self.sums.iter_mut().zip(self.global) {
            *sum += (*global).into();
            finite &= sum.is_finite();
        }
        finite
    }
}

/// Why there are no coefficients.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CoefficientError {
    /// Local steps that are no number above 0.
    #[error("update {part} states {steps} local steps, it must be more than 0")]
    Steps {
        /// The update, counted from 0.
        part: usize,
        /// As stated.
        steps: f64,
    },
    /// A loss below 0, or none.
    #[error("update {part} states a loss of {loss}, it must be 0 or more")]
    Loss {
        /// The update, counted from 0.
        part: usize,
        /// As stated.
        loss: f64,
    },
    /// A difference from the global model without a finite length.
    #[error("update {part} is {squared_norm} (squared) away from the global model")]
    Distance {
        /// The update, counted from 0.
        part: usize,
        /// Squared L2 norm of its difference.
        squared_norm: f64,
    },
    /// Sample counts that cannot be weights.
    #[error(transparent)]
    Counts(#[from] CombineError),
}

/// The factor that scales a difference down to at most a norm: `min(1, C/‖d‖)`.
///
/// Both norms are L2 over all floating-point tensors together, `bound` more than 0. A difference of 0 has factor 1.
///
/// # Source
/// McMahan et al. 2018, arXiv:1710.06963, Algorithm 1 (FlatClip); Sun et al. 2019, arXiv:1911.07963
pub fn clip_factor(bound: f64, norm: f64) -> f64 {
    if norm <= bound { 1.0 } else { bound / norm }
}

/// Coefficients of FedNova: each client's difference counts per local step.
///
/// With `p_k = n_k/N` and `τ_k` steps, `w − τ_eff·Σ_k p_k·(w − w_k)/τ_k` where `τ_eff = Σ_k p_k·τ_k`: so
/// `c_k = τ_eff·p_k/τ_k`. Equal numbers of steps give FedAvg.
///
/// # Shapes
/// - `counts`: samples of K clients; `steps`: local steps of the same clients, or with momentum the L1 norm of the
///   weights with which gradients entered the difference; returns K
/// # Errors
/// `Counts` as [`Weights::new`]; `Steps` for a client without any
/// # Panics
/// Where lengths differ.
/// # Source
/// Wang et al. 2020, arXiv:2007.07481, equation 4, `τ_k` being `‖a_k‖₁`
pub fn fednova(counts: &[u64], steps: &[f64]) -> Result<Vec<f64>, CoefficientError> {
    assert_eq!(counts.len(), steps.len(), "steps of each client");
    let total = Weights::new(counts)?.total() as f64;
    if let Some(part) = steps
        .iter()
        .position(|steps| !(*steps > 0.0 && steps.is_finite()))
    {
        let steps = steps[part];
        return Err(CoefficientError::Steps { part, steps });
    }
    let each = || counts.iter().zip(steps);
    let mut sum = Expansion::default();
    for (count, steps) in each() {
        sum.add(*count as f64 * steps);
    }
    let effective = sum.nearest() / total;
    Ok(each()
        .map(|(count, steps)| effective * (*count as f64 / total) / steps)
        .collect())
}

/// Added to a loss before it is raised to a power, as Flower does: a loss of 0 has a power below 0 too.
const SMALLEST_LOSS: f64 = 1e-10;

/// Coefficients of q-FedAvg: clients with a large loss count more.
///
/// With losses `F_k`, `L = 1/learning_rate`, `Δ_k = F_k^q·L·(w − w_k)` and
/// `h_k = q·F_k^(q−1)·‖L·(w − w_k)‖² + L·F_k^q` the new model is `w − Σ_k Δ_k / Σ_k h_k`: so `c_k = L·F_k^q / Σ_j h_j`.
///
/// # Shapes
/// - `losses`: of the global model on the samples of K clients; `squared_norms`: `‖w − w_k‖²` over all floating-point
///   tensors together; returns K
/// # Numerics
/// Losses are divided by the largest, which cancels and keeps their powers in range; 1e-10 is added to each. Powers
/// are `libm`'s, the same on every platform; the sum over clients is exact before it is rounded.
/// # Errors
/// `Counts(NoParts)` where there are none; `Loss` for one below 0 or not finite; `Distance` for one that is no length
/// # Panics
/// Where lengths differ.
/// # Source
/// Li et al. 2019, arXiv:1905.10497, Algorithm 2
pub fn qfedavg(
    losses: &[f64],
    squared_norms: &[f64],
    q: f64,
    learning_rate: f64,
) -> Result<Vec<f64>, CoefficientError> {
    assert_eq!(losses.len(), squared_norms.len(), "a norm for each loss");
    let sound = |value: &f64| value.is_finite() && *value >= 0.0;
    if let Some(part) = losses.iter().position(|loss| !sound(loss)) {
        let loss = losses[part];
        return Err(CoefficientError::Loss { part, loss });
    }
    let largest = losses.iter().copied().reduce(f64::max);
    let largest = largest.ok_or(CombineError::NoParts)? + SMALLEST_LOSS;
    // `h_k` and `L·F_k^q`, both without the factor `L·largest^q` of either.
    let mut sum = Expansion::default();
    let mut powers = Vec::with_capacity(losses.len());
    for (part, (loss, squared_norm)) in losses.iter().zip(squared_norms).enumerate() {
        let loss = loss + SMALLEST_LOSS;
        let power = libm::pow(loss / largest, q);
        let step = power * (q * squared_norm / (learning_rate * loss) + 1.0);
        if !sound(squared_norm) || !step.is_finite() {
            let squared_norm = *squared_norm;
            return Err(CoefficientError::Distance { part, squared_norm });
        }
        sum.add(step);
        powers.push(power);
    }
    let sum = sum.nearest();
    Ok(powers.into_iter().map(|power| power / sum).collect())
}

#[cfg(test)]
mod tests;
