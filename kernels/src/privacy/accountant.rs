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

    /// What `rounds` rounds of taking part promise at `delta`.
    ///
    /// # Errors
    /// `Delta` unless it is more than 0 and below 1
    /// # Example
    /// ```
    /// let spent = kernels::privacy::Accountant::new(1.0)?.epsilon(10, 1e-5)?;
    /// assert!((17.0..18.0).contains(&spent.epsilon), "{}", spent.epsilon);
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
