//! The one source of randomness: named distributions over a generator whose stream never changes.
//!
//! In: a seed. Out: uniform, normal and gamma numbers, Dirichlet proportions, shuffles. Start at [`Random`].
//! The seed is expanded by SplitMix64 into the key of ChaCha8, so the integers drawn depend on this file and the cipher
//! alone. Normal and gamma numbers also go through the platform's `ln`, which can differ in the last bit between C
//! libraries.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A stream of random numbers; the same seed gives the same stream.
///
/// # Example
/// ```
/// let mut random = kernels::random::Random::new(7);
/// let order = random.permutation(5);
/// assert_eq!(order, kernels::random::Random::new(7).permutation(5));
/// ```
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        let mut state = seed;
        for bytes in key.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            bytes.copy_from_slice(&mix(state).to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A uniform 64-bit integer.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number from 0 to below 1, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A uniform number from `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A uniform integer from 0 to below `bound`, without bias.
    ///
    /// # Panics
    /// If `bound` is 0.
    /// # Source
    /// Lemire 2019, arXiv:1805.10941, algorithm 5
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no integer is below 0");
        let mut product = u128::from(self.bits()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.bits()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// A standard normal number (mean 0, variance 1).
    ///
    /// # Source
    /// Marsaglia and Bray 1964, doi:10.1137/1006063 (polar method; the second number of the pair is not used)
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// The logarithm of a gamma number with the given shape and scale 1.
    ///
    /// The logarithm, because numbers of a small shape are below the smallest `f64` (at shape 0.001, half of them).
    ///
    /// # Panics
    /// If `shape` is not a positive finite number.
    /// # Source
    /// Marsaglia and Tsang 2000, doi:10.1145/358407.358414; shapes below 1 by their section 6: `γ(a) = γ(a + 1)·U^(1/a)`
    pub fn ln_gamma_variate(&mut self, shape: f64) -> f64 {
        assert!(
            shape > 0.0 && shape.is_finite(),
            "a gamma shape must be positive and finite, not {shape}"
        );
        if shape < 1.0 {
            let boost = (1.0 - self.uniform()).ln() / shape;
            return self.ln_gamma_variate(shape + 1.0) + boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let ln_v = 3.0 * v.ln();
            let u = 1.0 - self.uniform();
            if u.ln() < 0.5 * x * x + d - d * v * v * v + d * ln_v {
                return d.ln() + ln_v;
            }
        }
    }

    /// Proportions of `parts` parts, drawn from a symmetric Dirichlet distribution; they sum to 1 up to rounding.
    ///
    /// Gamma numbers divided by their sum, in logarithms, so that no concentration is too small.
    ///
    /// # Panics
    /// If `alpha` is not a positive finite number.
    pub fn dirichlet(&mut self, alpha: f64, parts: usize) -> Vec<f64> {
        let mut shares: Vec<f64> = (0..parts).map(|_| self.ln_gamma_variate(alpha)).collect();
        let max = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for share in &mut shares {
            *share = (*share - max).exp();
        }
        let sum: f64 = shares.iter().sum();
        for share in &mut shares {
            *share /= sum;
        }
        shares
    }

    /// Puts `items` in a uniformly random order (Fisher-Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// The numbers 0 to below `length` in a uniformly random order.
    pub fn permutation(&mut self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        self.shuffle(&mut order);
        order
    }
}

/// SplitMix64's finisher: every bit of the result depends on every bit of `state`.
pub(crate) fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean_and_variance(count: u32, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..count).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(count);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(count);
        (mean, variance)
    }

    #[test]
    fn a_stream_never_changes() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..3).map(|_| random.below(1_000_000)).collect();
        assert_eq!(drawn, [400_495, 774_328, 507_438]);
        assert_ne!(Random::new(7).bits(), Random::new(8).bits());
    }

    #[test]
    fn uniform_and_normal_numbers_have_their_moments() {
        let mut random = Random::new(1);
        let (mean, variance) = mean_and_variance(100_000, || random.uniform());
        assert!(
            (mean - 0.5).abs() < 0.004 && (variance - 1.0 / 12.0).abs() < 0.002,
            "{mean} {variance}"
        );
        let (mean, variance) = mean_and_variance(100_000, || random.normal());
        assert!(
            mean.abs() < 0.012 && (variance - 1.0).abs() < 0.02,
            "{mean} {variance}"
        );
    }

    #[test]
    fn gamma_numbers_have_the_shape_as_mean_and_variance() {
        let mut random = Random::new(2);
        for shape in [0.1, 0.5, 1.0, 3.0, 20.0_f64] {
            let (mean, variance) = mean_and_variance(100_000, || random.ln_gamma_variate(shape).exp());
            let deviation = (shape / 100_000.0).sqrt();
            assert!((mean - shape).abs() < 5.0 * deviation, "{shape}: mean {mean}");
            assert!(
                (variance / shape - 1.0).abs() < 0.12,
                "{shape}: variance {variance}"
            );
        }
    }

    #[test]
    fn dirichlet_parts_have_their_mean_and_variance() {
        let (alpha, parts) = (0.5, 4_usize);
        let mut random = Random::new(3);
        let (mean, variance) = mean_and_variance(50_000, || random.dirichlet(alpha, parts)[1]);
        // Variance of a part: (1/k)(1 - 1/k) / (k·alpha + 1)
        let expected = 0.25 * 0.75 / (parts as f64 * alpha + 1.0);
        assert!(
            (mean - 0.25).abs() < 0.006 && (variance - expected).abs() < 0.003,
            "{mean} {variance}"
        );
    }

    #[test]
    fn every_order_of_three_is_as_likely() {
        let mut random = Random::new(4);
        let mut counts = std::collections::BTreeMap::<Vec<usize>, u32>::new();
        for _ in 0..6_000 {
            *counts.entry(random.permutation(3)).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn an_integer_stays_below_its_bound(seed: u64, bound in 1_u64..) {
            prop_assert!(Random::new(seed).below(bound) < bound);
        }

        #[test]
        fn proportions_sum_to_one_however_small_the_concentration(seed: u64, exponent in -6_i32..4, parts in 1_usize..50) {
            let shares = Random::new(seed).dirichlet(10_f64.powi(exponent), parts);
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
