//! How far one class distribution is from another, and how unequal clients are in size.
//!
//! In: samples per class of two groups. Out: nats for [`kl`] and [`js`], 0 to 1 for [`hellinger`] and [`emd`]. Counts are
//! normalised here; classes neither group has add nothing. [`effective_clients`] looks at sizes alone.

/// Why two groups cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DivergenceError {
    /// The groups count different classes.
    #[error("{first} class counts cannot be compared with {second}")]
    LengthMismatch {
        /// Classes of the first group.
        first: usize,
        /// Classes of the second.
        second: usize,
    },
    /// A group without samples has no distribution.
    #[error("a group without samples has no class distribution")]
    Empty,
}

/// Kullback-Leibler divergence of `p` from `q`, in nats: `Σ_c p_c ln(p_c / q_c)`.
///
/// # Numerics
/// `0·ln 0` is 0. Infinite where `p` has a class that `q` lacks; never infinite when `q` counts `p`'s samples too, as
/// all clients together do. Not symmetric.
/// # Errors
/// [`DivergenceError`]: different numbers of classes, or a group without samples
/// # Source
/// Kullback and Leibler 1951, doi:10.1214/aoms/1177729694
/// # Example
/// ```
/// use kernels::partition::divergence::kl;
/// assert_eq!(kl(&[3, 1], &[6, 2])?, 0.0);
/// assert_eq!(kl(&[1, 0], &[1, 1])?, std::f64::consts::LN_2);
/// assert_eq!(kl(&[1, 1], &[1, 0])?, f64::INFINITY);
/// # Ok::<(), kernels::partition::divergence::DivergenceError>(())
/// ```
pub fn kl(p: &[u64], q: &[u64]) -> Result<f64, DivergenceError> {
    let (p, q) = distributions(p, q)?;
    Ok(relative_entropy(&p, &q))
}

/// Jensen-Shannon divergence between `p` and `q`, in nats: `½ KL(p, m) + ½ KL(q, m)` with `m = (p + q) / 2`.
///
/// # Numerics
/// Always finite, symmetric, from 0 (equal) to ln 2 (no class in common).
/// # Errors
/// [`DivergenceError`]: different numbers of classes, or a group without samples
/// # Source
/// Lin 1991, doi:10.1109/18.61115
/// # Example
/// ```
/// use kernels::partition::divergence::js;
/// assert_eq!(js(&[5, 0], &[0, 2])?, std::f64::consts::LN_2);
/// # Ok::<(), kernels::partition::divergence::DivergenceError>(())
/// ```
pub fn js(p: &[u64], q: &[u64]) -> Result<f64, DivergenceError> {
    let (p, q) = distributions(p, q)?;
    let middle: Vec<f64> = p.iter().zip(&q).map(|(p, q)| 0.5 * (p + q)).collect();
    Ok(0.5 * relative_entropy(&p, &middle) + 0.5 * relative_entropy(&q, &middle))
}

/// Hellinger distance between `p` and `q`: `√(½ Σ_c (√p_c − √q_c)²)`.
///
/// # Numerics
/// A metric, from 0 (equal) to 1 (no class in common).
/// # Errors
/// [`DivergenceError`]: different numbers of classes, or a group without samples
/// # Source
/// Hellinger 1909, doi:10.1515/crll.1909.136.210, scaled to 1
/// # Example
/// ```
/// use kernels::partition::divergence::hellinger;
/// assert_eq!(hellinger(&[5, 0], &[0, 2])?, 1.0);
/// # Ok::<(), kernels::partition::divergence::DivergenceError>(())
/// ```
pub fn hellinger(p: &[u64], q: &[u64]) -> Result<f64, DivergenceError> {
    let (p, q) = distributions(p, q)?;
    let squares = p.iter().zip(&q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2));
    Ok((0.5 * squares.sum::<f64>()).sqrt().min(1.0))
}

/// Earth mover's distance between `p` and `q` where every class is 1 away from every other: `½ Σ_c |p_c − q_c|`.
///
/// Classes have no order, so none is nearer to another; what has to move is then what one has too much of, and the
/// distance is the total variation: the share of samples whose class would have to change.
///
/// # Numerics
/// A metric, from 0 (equal) to 1 (no class in common).
/// # Errors
/// [`DivergenceError`]: different numbers of classes, or a group without samples
/// # Source
/// Zhao et al. 2018, arXiv:1806.00582, section 3.2, who relate it to the loss of accuracy; their sum is not halved
/// # Example
/// ```
/// use kernels::partition::divergence::emd;
/// assert_eq!(emd(&[3, 1], &[1, 3])?, 0.5);
/// # Ok::<(), kernels::partition::divergence::DivergenceError>(())
/// ```
pub fn emd(p: &[u64], q: &[u64]) -> Result<f64, DivergenceError> {
    let (p, q) = distributions(p, q)?;
    let apart = p.iter().zip(&q).map(|(p, q)| (p - q).abs());
    Ok((0.5 * apart.sum::<f64>()).min(1.0))
}

/// How many clients of equal size would weigh as much: `(Σ_k n_k)² / Σ_k n_k²`.
///
/// Weights of a mean by sample count are the more unequal the fewer clients count; this is the number of equal weights
/// with the same sum of squares.
///
/// # Shapes
/// - `sizes`: samples of each of K clients; returns 1 to K, and 0 if no client has a sample
/// # Source
/// Kish 1965, Survey Sampling (the effective sample size of unequal weights)
/// # Example
/// ```
/// use kernels::partition::divergence::effective_clients;
/// assert_eq!(effective_clients(&[5, 5, 5, 5]), 4.0);
/// assert_eq!(effective_clients(&[90, 10]), 100.0 * 100.0 / 8200.0);
/// ```
pub fn effective_clients(sizes: &[u64]) -> f64 {
    let sizes = || sizes.iter().map(|&size| size as f64);
    let (sum, squares) = (sizes().sum::<f64>(), sizes().map(|size| size * size).sum::<f64>());
    if squares == 0.0 { 0.0 } else { sum * sum / squares }
}

fn distributions(p: &[u64], q: &[u64]) -> Result<(Vec<f64>, Vec<f64>), DivergenceError> {
    if p.len() != q.len() {
        return Err(DivergenceError::LengthMismatch {
            first: p.len(),
            second: q.len(),
        });
    }
    let normalised = |counts: &[u64]| {
        let total: u64 = counts.iter().sum();
        (total > 0)
            .then(|| counts.iter().map(|&count| count as f64 / total as f64).collect())
            .ok_or(DivergenceError::Empty)
    };
    Ok((normalised(p)?, normalised(q)?))
}

/// Not below 0 in theory; rounding must not make it so.
fn relative_entropy(p: &[f64], q: &[f64]) -> f64 {
    let terms = p
        .iter()
        .zip(q)
        .filter(|(p, _)| **p > 0.0)
        .map(|(p, q)| p * (p / q).ln());
    terms.sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_that_cannot_be_compared_are_refused() {
        assert_eq!(
            kl(&[1], &[1, 2]),
            Err(DivergenceError::LengthMismatch { first: 1, second: 2 })
        );
        assert_eq!(js(&[0, 0], &[1, 2]), Err(DivergenceError::Empty));
        assert_eq!(kl(&[], &[]), Err(DivergenceError::Empty));
    }

    #[test]
    fn values_agree_with_those_worked_by_hand() {
        // 0.25 ln(0.25/0.5) + 0.75 ln(0.75/0.5)
        assert!((kl(&[1, 3], &[2, 2]).unwrap() - 0.130_812_035_941_137_12).abs() < 1e-15);
        // With m = (0.375, 0.625)
        assert!((js(&[1, 3], &[2, 2]).unwrap() - 0.033_822_075_568_605_8).abs() < 1e-15);
        // The square root of 1 - (√(1/8) + √(3/8)), the Bhattacharyya coefficient.
        let coefficient = 0.125_f64.sqrt() + 0.375_f64.sqrt();
        assert!((hellinger(&[1, 3], &[2, 2]).unwrap() - (1.0 - coefficient).sqrt()).abs() < 1e-15);
        // From (0.1, 0.2, 0.7) to (0.4, 0.4, 0.2): half of all samples leave the last class.
        assert!((emd(&[1, 2, 7], &[2, 2, 1]).unwrap() - 0.5).abs() < 1e-15);
        assert_eq!(emd(&[2, 2], &[7, 7]), Ok(0.0));
        assert_eq!(effective_clients(&[3, 1]), 1.6);
    }

    #[test]
    fn no_sample_and_very_many_give_a_number_of_clients_too() {
        assert_eq!(effective_clients(&[]), 0.0);
        assert_eq!(effective_clients(&[0, 0]), 0.0);
        assert_eq!(effective_clients(&[7, 0]), 1.0);
        assert_eq!(effective_clients(&[u64::MAX, u64::MAX]), 2.0);
    }

    proptest! {
        #[test]
        fn js_is_symmetric_and_at_most_ln_two(
            pairs in prop::collection::vec((0_u64..1000, 0_u64..1000), 1..10),
        ) {
            let (p, q): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            prop_assume!(p.iter().sum::<u64>() > 0 && q.iter().sum::<u64>() > 0);
            let value = js(&p, &q).unwrap();
            prop_assert!((0.0..=std::f64::consts::LN_2 + 1e-12).contains(&value));
            prop_assert!((value - js(&q, &p).unwrap()).abs() < 1e-12);
        }

        #[test]
        fn distances_are_symmetric_and_bound_each_other(
            pairs in prop::collection::vec((0_u64..1000, 0_u64..1000), 1..10),
        ) {
            let (p, q): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            prop_assume!(p.iter().sum::<u64>() > 0 && q.iter().sum::<u64>() > 0);
            let (h, d) = (hellinger(&p, &q).unwrap(), emd(&p, &q).unwrap());
            prop_assert!((h - hellinger(&q, &p).unwrap()).abs() < 1e-15);
            prop_assert!((d - emd(&q, &p).unwrap()).abs() < 1e-15);
            prop_assert!((0.0..=1.0).contains(&h) && (0.0..=1.0).contains(&d));
            // Le Cam's inequalities; Pinsker's for the middle of the two gives the last.
            prop_assert!(h * h <= d + 1e-12 && d <= h * (2.0 - h * h).sqrt() + 1e-12, "{} {}", h, d);
            prop_assert!(0.5 * d * d <= js(&p, &q).unwrap() + 1e-12);
        }

        #[test]
        fn effective_clients_are_at_most_the_clients(sizes in prop::collection::vec(0_u64..1_000_000, 1..50)) {
            let value = effective_clients(&sizes);
            let some = sizes.iter().filter(|size| **size > 0).count() as f64;
            prop_assert!(value <= some + 1e-9 && (value >= 1.0 - 1e-12 || some == 0.0));
        }

        #[test]
        fn a_part_of_the_whole_is_finitely_far_from_it(
            pairs in prop::collection::vec((0_u64..1000, 0_u64..1000), 1..10),
        ) {
            let p: Vec<u64> = pairs.iter().map(|pair| pair.0).collect();
            let whole: Vec<u64> = pairs.iter().map(|pair| pair.0 + pair.1).collect();
            prop_assume!(p.iter().sum::<u64>() > 0);
            let value = kl(&p, &whole).unwrap();
            prop_assert!(value.is_finite() && value >= 0.0);
        }
    }
}
