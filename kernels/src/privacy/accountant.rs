//! What a run has promised: to the client that took part most often, or to each sample a client trained on.
//!
//! In: a noise multiplier, a sampling share, the rounds or steps taken, δ. Out: [`Spent`]. Start at [`Accountant`];
//! [`noise_for`] goes the other way.

use super::{
    PrivacyError,
    renyi::{ORDERS, convert, rdp_subsampled},
};

/// A promise: with probability at least 1 - `delta`, no output is more than e^`epsilon` times likelier with what is
/// protected (a client's updates, a sample) than without it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// The loss, 0 or more; infinite where nothing is promised.
    pub epsilon: f64,
    /// The probability with which it may be exceeded.
    pub delta: f64,
    /// The Rényi order that gave the smallest loss.
    pub order: f64,
}

/// Composes rounds, or steps, of one noise multiplier and one sampling share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accountant {
    noise_multiplier: f64,
    sampling_share: f64,
}

impl Accountant {
    /// For rounds whose noise, over the norm that differences are clipped to, has standard deviation `noise_multiplier`,
    /// without amplification by sampling (see [`super`]).
    ///
    /// With an adaptive norm this is the multiplier of all noise together, not [`super::split_noise`]'s share of it.
    ///
    /// # Errors
    /// `NoNoise` unless it is positive and finite
    pub fn new(noise_multiplier: f64) -> Result<Self, PrivacyError> {
        Self::sampled(noise_multiplier, 1.0)
    }

    /// For steps of DP-SGD: each takes every sample with probability `sampling_share`, independently of all else (Poisson
    /// sampling), and adds noise of `noise_multiplier` times the norm that samples' gradients are clipped to.
    ///
    /// Two runs are neighbours if they differ in one sample, which is there in one of them and not in the other. Which
    /// samples a step took must stay unknown to those the promise is against. Shuffled batches are no Poisson samples.
    ///
    /// # Errors
    /// `NoNoise` unless `noise_multiplier` is positive and finite; `SamplingShare` unless `sampling_share` is from 0 to 1
    /// # Source
    /// Abadi et al. 2016, arXiv:1607.00133 (DP-SGD); Mironov, Talwar and Zhang 2019, arXiv:1908.10530 (its divergence).
    /// Parity: `tests/parity/privacy/`
    /// # Example
    /// ```
    /// // 15 epochs over 60,000 samples in batches of 250.
    /// let accountant = kernels::privacy::Accountant::sampled(1.3, 250.0 / 60_000.0)?;
    /// let spent = accountant.epsilon(15 * 240, 1e-5)?;
    /// assert!(spent.epsilon < 1.19, "{}", spent.epsilon);
    /// # Ok::<(), kernels::privacy::PrivacyError>(())
    /// ```
    pub fn sampled(noise_multiplier: f64, sampling_share: f64) -> Result<Self, PrivacyError> {
        if !(noise_multiplier > 0.0 && noise_multiplier.is_finite()) {
            return Err(PrivacyError::NoNoise(noise_multiplier));
        }
        if !(0.0..=1.0).contains(&sampling_share) {
            return Err(PrivacyError::SamplingShare(sampling_share));
        }
        Ok(Self {
            noise_multiplier,
            sampling_share,
        })
    }

    /// What taking part in so many rounds (or training for so many steps) promises at `delta`: [`convert`] over
    /// [`ORDERS`].
    ///
    /// A bound through Rényi divergences, never below the exact loss and some 5 to 30 % above it.
    ///
    /// # Errors
    /// `Delta` unless it is more than 0 and below 1
    /// # Example
    /// ```
    /// let spent = kernels::privacy::Accountant::new(1.0)?.epsilon(10, 1e-5)?;
    /// assert!((19.0..19.1).contains(&spent.epsilon), "{}", spent.epsilon);
    /// # Ok::<(), kernels::privacy::PrivacyError>(())
    /// ```
    pub fn epsilon(&self, rounds: u64, delta: f64) -> Result<Spent, PrivacyError> {
        let Self {
            noise_multiplier,
            sampling_share,
        } = *self;
        let divergences = rdp_subsampled(sampling_share, noise_multiplier, rounds, &ORDERS)?;
        convert(&divergences, delta)
    }
}

/// The smallest noise multiplier with which `rounds` rounds of taking part lose at most `epsilon` at `delta`.
///
/// Found by bisection down to neighbouring floating-point numbers; the loss at the result is never more than `epsilon`.
///
/// # Errors
/// `Epsilon` unless it is positive and finite; `Delta`; `NoRounds`; `OutOfReach` if no multiplier up to 10³⁰ is enough
pub fn noise_for(epsilon: f64, delta: f64, rounds: u64) -> Result<f64, PrivacyError> {
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(PrivacyError::Epsilon(epsilon));
    }
    if rounds == 0 {
        return Err(PrivacyError::NoRounds);
    }
    let enough = |noise: f64| Ok(Accountant::new(noise)?.epsilon(rounds, delta)?.epsilon <= epsilon);
    // Positive floating-point numbers are ordered as their bits are.
    let (mut low, mut high) = (1e-30_f64.to_bits(), 1e30_f64.to_bits());
    if !enough(f64::from_bits(high))? {
        return Err(PrivacyError::OutOfReach {
            epsilon,
            delta,
            rounds,
        });
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(f64::from_bits(middle))? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(f64::from_bits(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epsilon(noise_multiplier: f64, rounds: u64, delta: f64) -> f64 {
        let accountant = Accountant::new(noise_multiplier).unwrap();
        accountant.epsilon(rounds, delta).unwrap().epsilon
    }

    #[test]
    fn the_noise_found_is_the_smallest_that_is_enough() {
        for wanted in [0.1, 1.0, 8.0, 300.0] {
            for rounds in [1, 50, 5000] {
                let noise = noise_for(wanted, 1e-5, rounds).unwrap();
                let found = epsilon(noise, rounds, 1e-5);
                assert!(found <= wanted, "{wanted} {rounds}: {found}");
                let less = epsilon(noise * (1.0 - 1e-9), rounds, 1e-5);
                assert!(less > wanted, "{wanted} {rounds}: {less} with less noise");
            }
        }
    }

    #[test]
    fn more_rounds_and_less_noise_cost_more() {
        assert!(epsilon(1.0, 11, 1e-5) > epsilon(1.0, 10, 1e-5));
        assert!(epsilon(0.9, 10, 1e-5) > epsilon(1.0, 10, 1e-5));
        assert!(epsilon(1.0, 10, 1e-6) > epsilon(1.0, 10, 1e-5));
        assert_eq!(epsilon(1.0, 0, 1e-5), 0.0);
        assert!(epsilon(1e-200, 1, 1e-5).is_infinite());
    }

    #[test]
    fn four_rounds_are_one_of_half_the_noise_multiplier() {
        assert_eq!(epsilon(2.0, 4, 1e-5), epsilon(1.0, 1, 1e-5));
    }

    #[test]
    fn a_sample_seldom_taken_loses_less_and_one_never_taken_nothing() {
        let sampled = |share| {
            let accountant = Accountant::sampled(1.0, share).unwrap();
            accountant.epsilon(100, 1e-5).unwrap().epsilon
        };
        assert_eq!(sampled(0.0), 0.0);
        assert!(0.0 < sampled(0.01) && sampled(0.01) < sampled(0.1) && sampled(0.1) < sampled(1.0));
        assert_eq!(sampled(1.0), epsilon(1.0, 100, 1e-5));
    }

    #[test]
    fn impossible_input_is_named() {
        assert_eq!(Accountant::new(0.0), Err(PrivacyError::NoNoise(0.0)));
        for share in [-0.1, 1.1] {
            assert_eq!(
                Accountant::sampled(1.0, share),
                Err(PrivacyError::SamplingShare(share))
            );
        }
        assert!(Accountant::sampled(1.0, f64::NAN).is_err() && Accountant::sampled(0.0, 0.5).is_err());
        assert!(Accountant::new(-1.0).is_err() && Accountant::new(f64::NAN).is_err());
        let accountant = Accountant::new(1.0).unwrap();
        for delta in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(
                accountant.epsilon(1, delta),
                Err(PrivacyError::Delta(_))
            ));
            assert!(matches!(noise_for(1.0, delta, 1), Err(PrivacyError::Delta(_))));
        }
        assert_eq!(noise_for(0.0, 1e-5, 1), Err(PrivacyError::Epsilon(0.0)));
        assert_eq!(noise_for(1.0, 1e-5, 0), Err(PrivacyError::NoRounds));
        let unreachable = noise_for(1e-6, 1e-200, 1);
        assert!(
            matches!(unreachable, Err(PrivacyError::OutOfReach { .. })),
            "{unreachable:?}"
        );
    }
}
