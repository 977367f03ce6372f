//! The norm that differences are clipped to, fixed or following a quantile, and the noise that goes with it.
//!
//! In: plain numbers of one round. Out: factors, standard deviations and the next round's norm. Start at [`mean_noise`];
//! [`AdaptiveNorm`] for a norm that moves.

use super::PrivacyError;

/// The factor that brings a difference of L2 norm `norm` down to `bound`: `min(1, bound/norm)`.
///
/// A difference of norm 0 keeps its factor 1.
///
/// # Errors
/// `Norm` if `bound` is not positive and finite, or `norm` is negative, NaN or infinite
/// # Source
/// McMahan et al. 2018, arXiv:1710.06963, FlatClip
pub fn clip_factor(norm: f64, bound: f64) -> Result<f64, PrivacyError> {
    positive_norm(bound)?;
    if norm.is_finite() && norm >= 0.0 {
        Ok(if norm <= bound { 1.0 } else { bound / norm })
    } else {
        Err(PrivacyError::Norm(norm))
    }
}

/// Standard deviation of the noise on every value of the mean of `updates` clipped differences: `z·C/m`.
///
/// # Errors
/// `Norm`, `NoUpdates`, or `Setting` if the noise multiplier is negative or not finite
pub fn mean_noise(noise_multiplier: f64, norm: f64, updates: u64) -> Result<f64, PrivacyError> {
    positive_norm(norm)?;
    setting(
        "noise_multiplier",
        noise_multiplier,
        noise_multiplier >= 0.0,
        "0 or more",
    )?;
    match updates {
        0 => Err(PrivacyError::NoUpdates),
        _ => Ok(noise_multiplier * norm / updates as f64),
    }
}

/// The noise multiplier of the differences, when `noise_multiplier` has to pay for the count as well.
///
/// `z_Δ = (z⁻² - (2·count_noise)⁻²)^(-1/2)`; 0 where `noise_multiplier` is 0. A count noise σ_b is a noise multiplier of
/// `2σ_b`, since a client moves the count by one half (see [`super`]); together both are one mechanism of noise
/// multiplier z.
///
/// # Errors
/// `Setting` if a number is negative or not finite, or `count_noise` is not more than `noise_multiplier / 2`
/// # Source
/// Andrew et al. 2021, arXiv:1905.03871, Theorem 1
pub fn split_noise(noise_multiplier: f64, count_noise: f64) -> Result<f64, PrivacyError> {
    setting(
        "noise_multiplier",
        noise_multiplier,
        noise_multiplier >= 0.0,
        "0 or more",
    )?;
    setting("count_noise", count_noise, count_noise >= 0.0, "0 or more")?;
    if noise_multiplier == 0.0 {
        return Ok(0.0);
    }
    let enough = count_noise > noise_multiplier / 2.0;
    setting(
        "count_noise",
        count_noise,
        enough,
        "more than half of `noise_multiplier`",
    )?;
    // z/√(1 - (z/2σ_b)²), factored so that a ratio near 1 keeps its digits.
    let ratio = noise_multiplier / (2.0 * count_noise);
    Ok(noise_multiplier / ((1.0 - ratio) * (1.0 + ratio)).sqrt())
}

/// A norm that follows a quantile of the differences' norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveNorm {
    quantile: f64,
    learning_rate: f64,
    count_noise: f64,
}

impl AdaptiveNorm {
    /// A norm below which a share `quantile` of the updates shall be; `count_noise` is the standard deviation of the
    /// noise on their number.
    ///
    /// # Errors
    /// `Setting` if `quantile` is not from 0 to 1, `learning_rate` not positive or `count_noise` negative
    pub fn new(quantile: f64, learning_rate: f64, count_noise: f64) -> Result<Self, PrivacyError> {
        setting(
            "quantile",
            quantile,
            (0.0..=1.0).contains(&quantile),
            "from 0 to 1",
        )?;
        setting("learning_rate", learning_rate, learning_rate > 0.0, "more than 0")?;
        setting("count_noise", count_noise, count_noise >= 0.0, "0 or more")?;
        Ok(Self {
            quantile,
            learning_rate,
            count_noise,
        })
    }

    /// The next round's norm: `C·exp(-η·(b - quantile))` with `b = (below + count_noise·draw) / updates`.
    ///
    /// - `norm`: this round's C
    /// - `below`: updates whose difference had a norm of at most C before clipping, of `updates`
    /// - `draw`: a standard normal number, [`Noise::normal`](super::Noise::normal) of a stream of its own
    ///
    /// Flower 1.42 counts the updates *above* C into the same formula, so its norm moves the other way; here it moves as
    /// in the paper: up while too few are below.
    ///
    /// # Errors
    /// `Norm` if `norm` is not positive and finite, or the next one would not be; `NoUpdates`; `Count` if `below` is more
    /// than `updates`; `Setting` if `draw` is not finite
    /// # Source
    /// Andrew et al. 2021, arXiv:1905.03871, Algorithm 1 (`b` as there, not centred: the formula's value is the same)
    /// # Example
    /// ```
    /// let follow = kernels::privacy::AdaptiveNorm::new(0.5, 0.2, 0.0)?;
    /// assert_eq!(follow.next(0.1, 5, 10, 0.0)?, 0.1);
    /// assert!(follow.next(0.1, 2, 10, 0.0)? > 0.1);
    /// # Ok::<(), kernels::privacy::PrivacyError>(())
    /// ```
    pub fn next(&self, norm: f64, below: u64, updates: u64, draw: f64) -> Result<f64, PrivacyError> {
        positive_norm(norm)?;
        if updates == 0 {
            return Err(PrivacyError::NoUpdates);
        }
        if below > updates {
            return Err(PrivacyError::Count { below, updates });
        }
        setting("draw", draw, true, "finite")?;
        let share = (below as f64 + self.count_noise * draw) / updates as f64;
        let next = norm * libm::exp(-self.learning_rate * (share - self.quantile));
        positive_norm(next)?;
        Ok(next)
    }
}

fn positive_norm(norm: f64) -> Result<(), PrivacyError> {
    if norm > 0.0 && norm.is_finite() {
        Ok(())
    } else {
        Err(PrivacyError::Norm(norm))
    }
}

fn setting(name: &'static str, value: f64, ok: bool, range: &'static str) -> Result<(), PrivacyError> {
    if ok && value.is_finite() {
        Ok(())
    } else {
        Err(PrivacyError::Setting { name, value, range })
    }
}
