//! The norm that differences are clipped to, fixed or following a quantile, and the noise that goes with it.
//!
//! In: plain numbers of one round. Out: factors, standard deviations and the next round's norm. Start at [`mean_noise`];
//! [`AdaptiveNorm`] for a norm that moves.

use super::PrivacyError;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_on_the_mean_is_multiplier_times_norm_over_updates() {
        assert_eq!(mean_noise(1.5, 2.0, 12), Ok(0.25));
        assert_eq!(mean_noise(0.0, 2.0, 12), Ok(0.0));
        assert_eq!(mean_noise(1.5, 2.0, 0), Err(PrivacyError::NoUpdates));
        assert!(mean_noise(-1.0, 2.0, 12).is_err());
    }

    #[test]
    fn both_noises_together_are_the_multiplier_asked_for() {
        for (noise_multiplier, count_noise) in
            [(1.0, 5.0), (1.0, 0.51), (0.3, 0.2), (10.0, 50.0), (1e-3, 1e3)]
        {
            let differences = split_noise(noise_multiplier, count_noise).unwrap();
            let together = (differences.powi(-2) + (2.0 * count_noise).powi(-2)).powf(-0.5);
            assert!((together / noise_multiplier - 1.0).abs() < 1e-12, "{together}");
            assert!(differences >= noise_multiplier);
        }
        // As Flower 1.42 has it for 100 clients and its default count noise of a twentieth: (1 - 0.01)^(-1/2).
        assert!((split_noise(1.0, 5.0).unwrap() - 1.005_037_815_259_212).abs() < 1e-15);
        assert_eq!(split_noise(0.0, 0.0), Ok(0.0));
    }

    #[test]
    fn a_count_noise_of_half_the_multiplier_leaves_nothing_for_the_differences() {
        let refused = split_noise(1.0, 0.5).unwrap_err().to_string();
        assert_eq!(
            refused,
            "`count_noise` is 0.5, it must be more than half of `noise_multiplier`"
        );
        assert!(split_noise(1.0, 0.500_001).is_ok());
        assert!(split_noise(1.0, 0.0).is_err() && split_noise(f64::NAN, 1.0).is_err());
    }

    #[test]
    fn the_norm_moves_by_the_formula() {
        let follow = AdaptiveNorm::new(0.5, 0.2, 0.0).unwrap();
        // 0.1·exp(-0.2·(b - 0.5)) for b = 0, 0.3, 0.5, 1
        for (below, expected) in [
            (0, 0.110_517_091_807_564_76),
            (3, 0.104_081_077_419_238_82),
            (5, 0.1),
            (10, 0.090_483_741_803_595_96),
        ] {
            let next = follow.next(0.1, below, 10, 123.0).unwrap();
            assert!((next - expected).abs() < 1e-16, "{below}: {next}");
        }
    }

    #[test]
    fn noise_moves_the_count_by_its_standard_deviation() {
        let noisy = AdaptiveNorm::new(0.5, 0.2, 2.0).unwrap();
        let plain = AdaptiveNorm::new(0.5, 0.2, 0.0).unwrap();
        assert_eq!(noisy.next(0.1, 3, 10, 1.5), plain.next(0.1, 6, 10, 0.0));
    }

    #[test]
    fn the_norm_settles_at_the_quantile_of_fixed_norms() {
        let follow = AdaptiveNorm::new(0.8, 0.2, 0.0).unwrap();
        let mut norm = 0.1;
        for _ in 0..500 {
            let below = (1..=100).filter(|update| f64::from(*update) <= norm).count();
            norm = follow.next(norm, below as u64, 100, 0.0).unwrap();
        }
        assert!((79.0..82.0).contains(&norm), "{norm}");
    }

    #[test]
    fn impossible_rounds_and_settings_are_named() {
        let follow = AdaptiveNorm::new(0.5, 0.2, 0.0).unwrap();
        let (below, updates) = (11, 10);
        assert_eq!(
            follow.next(0.1, 11, 10, 0.0),
            Err(PrivacyError::Count { below, updates })
        );
        assert_eq!(follow.next(0.1, 0, 0, 0.0), Err(PrivacyError::NoUpdates));
        assert_eq!(
            follow.next(f64::MAX, 0, 10, 0.0),
            Err(PrivacyError::Norm(f64::INFINITY))
        );
        assert!(follow.next(0.1, 1, 10, f64::NAN).is_err());
        assert!(AdaptiveNorm::new(1.1, 0.2, 0.0).is_err());
        assert!(AdaptiveNorm::new(0.5, 0.0, 0.0).is_err());
        assert!(AdaptiveNorm::new(0.5, 0.2, -1.0).is_err());
    }
}
