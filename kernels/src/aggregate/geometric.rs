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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::add_squared_distances;
    use proptest::prelude::*;

    const FINE: Weiszfeld = Weiszfeld {
        iterations: 10_000,
        smoothing: 1e-6,
    };

    fn distances(points: &[[f32; 2]]) -> Distances {
        let rows: Vec<&[f32]> = points.iter().map(|point| point.as_slice()).collect();
        let mut distances = Distances::zero(rows.len());
        add_squared_distances(&rows, &mut Vec::new(), distances.sums_mut());
        distances
    }

    fn point(points: &[[f32; 2]], shares: &[f64]) -> [f64; 2] {
        [0, 1].map(|axis| {
            points
                .iter()
                .zip(shares)
                .map(|(p, share)| share * f64::from(p[axis]))
                .sum()
        })
    }

    /// From coordinates, not from distances.
    fn objective(points: &[[f32; 2]], samples: &[u64], z: [f64; 2]) -> f64 {
        let from = |p: &[f32; 2]| (f64::from(p[0]) - z[0]).hypot(f64::from(p[1]) - z[1]);
        points
            .iter()
            .zip(samples)
            .map(|(p, count)| *count as f64 * from(p))
            .sum()
    }

    fn updates() -> impl Strategy<Value = Vec<([f32; 2], u64)>> {
        prop::collection::vec((prop::array::uniform2(-100.0_f32..100.0), 1_u64..1000), 1..20)
    }

    proptest! {
        #[test]
        fn its_objective_is_no_worse_than_the_means_and_than_that_of_points_around(updates in updates()) {
            let (points, samples): (Vec<_>, Vec<_>) = updates.into_iter().unzip();
            let shares = geometric_median(&distances(&points), &samples, FINE).unwrap();
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let weights: Vec<f64> = samples.iter().map(|count| *count as f64).collect();
            let reached = objective(&points, &samples, point(&points, &shares));
            let bound = reached * (1.0 - 1e-6) - 1e-3;
            prop_assert!(bound <= objective(&points, &samples, point(&points, &shares_of(&weights))));
            let [x, y] = point(&points, &shares);
            for (dx, dy) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
                prop_assert!(bound <= objective(&points, &samples, [x + dx, y + dy]));
            }
        }

        #[test]
        fn permuting_updates_permutes_shares(updates in updates(), turn in 0_usize..20) {
            let few = Weiszfeld { iterations: 5, smoothing: 0.1 };
            let shares = |updates: &[([f32; 2], u64)]| {
                let (points, samples): (Vec<_>, Vec<_>) = updates.iter().copied().unzip();
                geometric_median(&distances(&points), &samples, few).unwrap()
            };
            let mut expected = shares(&updates);
            let (turn, mut turned) = (turn % updates.len(), updates);
            turned.rotate_left(turn);
            expected.rotate_left(turn);
            for (share, expected) in shares(&turned).iter().zip(&expected) {
                prop_assert!((share - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn on_a_line_it_is_the_weighted_median() {
        let points = [0.0, 1.0, 2.0, 50.0, 70.0].map(|x| [x, 0.0]);
        let at = |samples: &[u64]| {
            let shares = geometric_median(&distances(&points), samples, FINE).unwrap();
            point(&points, &shares)[0]
        };
        assert!((at(&[1, 1, 1, 1, 1]) - 2.0).abs() < 1e-3);
        assert!((at(&[1, 1, 1, 9, 1]) - 50.0).abs() < 1e-3);
    }

    #[test]
    fn it_is_fermats_point_of_a_triangle() {
        // All sides are seen at 120 degrees from (0, 1/√3) when the triangle is symmetric about x = 0 and high enough.
        let points = [[-1.0_f32, 0.0], [1.0, 0.0], [0.0, 4.0]];
        let shares = geometric_median(&distances(&points), &[7, 7, 7], FINE).unwrap();
        let [x, y] = point(&points, &shares);
        assert!(
            x.abs() < 1e-4 && (y - 1.0 / 3.0_f64.sqrt()).abs() < 1e-4,
            "{x} {y}"
        );
    }

    #[test]
    fn without_steps_it_is_the_weighted_mean() {
        let points = [[0.0, 0.0], [4.0, 0.0]];
        let settings = Weiszfeld {
            iterations: 0,
            smoothing: 1e-6,
        };
        let shares = geometric_median(&distances(&points), &[1, 3], settings).unwrap();
        assert_eq!(shares, [0.25, 0.75]);
    }

    #[test]
    fn equal_updates_share_by_samples() {
        let shares = geometric_median(&distances(&[[3.0, 1.0]; 4]), &[1, 1, 2, 4], FINE).unwrap();
        assert_eq!(shares, [0.125, 0.125, 0.25, 0.5]);
    }

    #[test]
    fn what_has_no_median_is_refused() {
        let two = distances(&[[0.0, 0.0], [1.0, 0.0]]);
        let of = |samples: &[u64], smoothing| {
            geometric_median(
                &two,
                samples,
                Weiszfeld {
                    iterations: 1,
                    smoothing,
                },
            )
            .unwrap_err()
        };
        let mismatch = GeometricError::CountMismatch {
            samples: 1,
            updates: 2,
        };
        assert_eq!(of(&[1], 1.0), mismatch);
        assert_eq!(of(&[1, 0], 1.0), GeometricError::NoSamples { update: 1 });
        for smoothing in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(of(&[1, 1], smoothing), GeometricError::Smoothing { smoothing });
        }
        assert!(matches!(of(&[1, 1], f64::NAN), GeometricError::Smoothing { .. }));
        assert_eq!(
            geometric_median(&Distances::zero(0), &[], FINE),
            Err(GeometricError::NoUpdates)
        );
        let mut infinite = Distances::zero(2);
        infinite.sums_mut()[0] = f64::INFINITY;
        let error = GeometricError::NotFinite { first: 0, second: 1 };
        assert_eq!(geometric_median(&infinite, &[1, 1], FINE), Err(error));
    }
}
