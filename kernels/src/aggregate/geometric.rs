//! The geometric median of updates, found from the distances between them alone.
//!
//! In: the [`Distances`] between all updates and their sample counts. Out: each update's share of the median, which is
//! their weighted mean with these shares. No parameter is read here, however many steps are taken. Start at
//! [`geometric_median`].

use super::Distances;

/// The objective must fall by more than this share of itself for a further step.
const TOLERANCE: f64 = 1e-10;

/// When to stop and what counts as no distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weiszfeld {
    /// Most steps.
    pub iterations: u64,
    /// Distances below this count as this, in the unit of the updates, more than 0.
    pub smoothing: f64,
}

/// Why there is no geometric median.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GeometricError {
    /// Nothing to combine.
    #[error("there are no updates")]
    NoUpdates,
    /// Sample counts for more or fewer updates than there are distances for.
    #[error("there are {samples} sample counts for {updates} updates")]
    CountMismatch {
        /// Sample counts given.
        samples: usize,
        /// Updates there are.
        updates: usize,
    },
    /// A weight of nothing.
    #[error("update {update} has no samples")]
    NoSamples {
        /// The update, counted from 0.
        update: usize,
    },
    /// Zero, negative or no number.
    #[error("the smoothing is {smoothing}, it must be more than 0")]
    Smoothing {
        /// The value given.
        smoothing: f64,
    },
    /// A distance beyond the largest number.
    #[error("the distance between updates {first} and {second} is not finite")]
    NotFinite {
        /// One update, counted from 0.
        first: usize,
        /// The other.
        second: usize,
    },
}

/// Each update's share β of the sample-weighted geometric median z = Σ β_k w_k; the shares sum to 1.
///
/// z makes Σ_k α_k ‖w_k - z‖ least, α_k = n_k / Σ n, where a distance d below the smoothing ν counts as
/// d² / 2ν + ν / 2. From the sample-weighted mean, a step sets β_k to α_k / max(ν, ‖w_k - z‖) over their sum. As
/// Σ β = 1, all it needs of z is ‖w_k - z‖² = Σ_j β_j D_kj - ½ Σ_ij β_i β_j D_ij.
///
/// Stops after `iterations` steps, or when the objective does not fall by more than 1e-10 of itself: a step that raises
/// it, which only rounding can do, is not taken.
///
/// # Shapes
/// - `distances`: K x K; `samples`: K; returns K
/// # Numerics
/// In `f64`. A distance from z is right to about 1e-8 of the largest distance between updates, as it is a difference of
/// squares: choose no finer smoothing. Permuting the updates permutes the shares, to rounding.
/// # Errors
/// [`GeometricError`]
/// # Source
/// Pillutla et al. 2019, arXiv:1912.13445, algorithm 2
/// # Example
/// ```
/// use kernels::aggregate::{Distances, Weiszfeld, add_squared_distances, geometric_median};
/// // Two honest updates outweigh one, however far it is.
/// let rows: [&[f32]; 3] = [&[0.0, 0.0], &[0.0, 0.0], &[1000.0, 0.0]];
/// let mut distances = Distances::zero(3);
/// add_squared_distances(&rows, &mut Vec::new(), distances.sums_mut());
/// let settings = Weiszfeld { iterations: 100, smoothing: 1e-3 };
/// let shares = geometric_median(&distances, &[10, 10, 10], settings)?;
/// assert!(shares[2] * 1000.0 < 0.01);
/// # Ok::<(), kernels::aggregate::GeometricError>(())
/// ```
pub fn geometric_median(
    distances: &Distances,
    samples: &[u64],
    settings: Weiszfeld,
) -> Result<Vec<f64>, GeometricError> {
    let Weiszfeld {
        iterations,
        smoothing,
    } = settings;
    check(distances, samples, smoothing)?;
    let weights: Vec<f64> = samples.iter().map(|count| *count as f64).collect();
    let weights = shares_of(&weights);
    let mut shares = weights.clone();
    let mut from_point = distances_from_point(distances, &shares);
    let mut objective = smoothed_objective(&weights, &from_point, smoothing);
    for _ in 0..iterations {
        let pulls: Vec<f64> = weights
            .iter()
            .zip(&from_point)
            .map(|(weight, distance)| weight / distance.max(smoothing))
            .collect();
        let next = shares_of(&pulls);
        from_point = distances_from_point(distances, &next);
        let reached = smoothed_objective(&weights, &from_point, smoothing);
        if reached > objective {
            break;
        }
        let fall = objective - reached;
        (shares, objective) = (next, reached);
        if fall <= TOLERANCE * objective {
            break;
        }
    }
    Ok(shares)
}

fn check(distances: &Distances, samples: &[u64], smoothing: f64) -> Result<(), GeometricError> {
    let updates = distances.rows();
    if updates == 0 {
        return Err(GeometricError::NoUpdates);
    }
    if samples.len() != updates {
        return Err(GeometricError::CountMismatch {
            samples: samples.len(),
            updates,
        });
    }
    if let Some(update) = samples.iter().position(|count| *count == 0) {
        return Err(GeometricError::NoSamples { update });
    }
    if !(smoothing > 0.0 && smoothing.is_finite()) {
        return Err(GeometricError::Smoothing { smoothing });
    }
    for first in 0..updates {
        if let Some(second) = (first..updates).find(|other| !distances.squared(first, *other).is_finite()) {
            return Err(GeometricError::NotFinite { first, second });
        }
    }
    Ok(())
}

/// The values over their sum.
fn shares_of(values: &[f64]) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    values.iter().map(|value| value / total).collect()
}

/// ‖w_k - z‖ of each update for z = Σ β_k w_k.
fn distances_from_point(distances: &Distances, shares: &[f64]) -> Vec<f64> {
    let to_all = |k: usize| -> f64 {
        let each = shares.iter().enumerate();
        each.map(|(j, share)| share * distances.squared(k, j)).sum()
    };
    let mean_squared: Vec<f64> = (0..shares.len()).map(to_all).collect();
    let spread: f64 = shares
        .iter()
        .zip(&mean_squared)
        .map(|(share, mean)| share * mean)
        .sum();
    // Rounding can take the square of a small distance below 0.
    mean_squared
        .iter()
        .map(|mean| (mean - spread / 2.0).max(0.0).sqrt())
        .collect()
}

fn smoothed_objective(weights: &[f64], from_point: &[f64], smoothing: f64) -> f64 {
    let smoothed = |distance: f64| {
        if distance > smoothing {
            distance
        } else {
            distance * distance / (2.0 * smoothing) + smoothing / 2.0
        }
    };
    weights
        .iter()
        .zip(from_point)
        .map(|(weight, distance)| weight * smoothed(*distance))
        .sum()
}
