//! How far one class distribution is from another.
//!
//! In: samples per class of two groups. Out: nats. Counts are normalised here; classes neither group has add nothing.

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
