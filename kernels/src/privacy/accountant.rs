//! What a run has promised: the loss of the client that took part most often.
//!
//! In: a noise multiplier, the rounds that client took part in, δ. Out: [`Spent`]. Start at [`Accountant`];
//! [`noise_for`] goes the other way.

use super::{
    PrivacyError,
    renyi::{ORDERS, convert, rdp_gaussian},
};

/// A promise: with probability at least 1 - `delta`, no output is more than e^`epsilon` times likelier with a client's
/// updates than without them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// The loss, 0 or more; infinite where nothing is promised.
    pub epsilon: f64,
    /// The probability with which it may be exceeded.
    pub delta: f64,
    /// The Rényi order that gave the smallest loss.
    pub order: f64,
}

/// Composes rounds of one noise multiplier, without amplification by sampling (see [`super`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accountant {
    noise_multiplier: f64,
}

impl Accountant {
    /// For rounds whose noise, over the norm that differences are clipped to, has standard deviation `noise_multiplier`.
    ///
    /// With an adaptive norm this is the multiplier of all noise together, not [`super::split_noise`]'s share of it.
    ///
    /// # Errors
    /// `NoNoise` unless it is positive and finite
    pub fn new(noise_multiplier: f64) -> Result<Self, PrivacyError> {
        if noise_multiplier > 0.0 && noise_multiplier.is_finite() {
            Ok(Self { noise_multiplier })
        } else {
            Err(PrivacyError::NoNoise(noise_multiplier))
        }
    }

    /// What `rounds` rounds of taking part promise at `delta`: [`convert`] over [`ORDERS`].
    ///
    /// A bound through Rényi divergences, never below the exact loss of Gaussian noise and some 5 to 20 % above it.
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
        convert(&rdp_gaussian(self.noise_multiplier, rounds, &ORDERS)?, delta)
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
    fn impossible_input_is_named() {
        assert_eq!(Accountant::new(0.0), Err(PrivacyError::NoNoise(0.0)));
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
