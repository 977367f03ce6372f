//! Gaussian noise that can be addressed: value i of a stream is the same whoever draws it, and in whatever order.
//!
//! In: a seed, what the noise is for, a round and a tensor's number. Out: standard normal numbers by index. Start at
//! [`add_noise`].
//!
//! A SHA-256 digest of seed, purpose, round and tensor is the key of ChaCha20. Values 2p and 2p + 1 come from the same
//! four 32-bit words of its stream, at word 4p, by Box and Muller: no rejection, so the place of a value's words is known
//! without drawing those before it.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::{Digest, Sha256};

/// A stream of standard normal numbers, one for every index.
///
/// # Numerics
/// `√(-2·ln u)·cos(2πv)` for even indices and `…·sin(2πv)` for odd ones; u is a multiple of 2⁻⁶⁴ in (0, 1], rounded to
/// 53 bits, v a multiple of 2⁻⁵³ in [0, 1). The largest magnitude is `√(128·ln 2)` ≈ 9.42, which a normal number exceeds
/// with a probability of 5·10⁻²¹. Logarithm, sine and cosine are those of the crate `libm`, in Rust throughout, and the
/// square root is exact by IEEE 754: the same bits on every platform.
/// # What this does not protect from
/// - **A known seed.** Who knows the seed can draw the noise again and take it off. Promises of privacy hold only against
///   those who do not: keep the seed apart from what is published, and take it from a source with 64 bits of chance.
///   [`Noise::from_secret`] takes a longer one.
/// - **Floating point.** Sums of floating-point numbers have gaps that can tell which value the noise was added to
///   (Mironov 2012, doi:10.1145/2382196.2382264). The accountant computes with real numbers; this is not mended here.
/// # Source
/// Box and Muller 1958, doi:10.1214/aoms/1177706645
#[derive(Clone)]
pub struct Noise(ChaCha20Rng);

impl Noise {
    /// The stream of `seed` for one `purpose` (such as `differences` or `count`), one round and one tensor.
    ///
    /// Streams that differ in any of the four have nothing in common.
    pub fn new(seed: u64, purpose: &str, round: u64, tensor: u64) -> Self {
        Self::from_secret(&seed.to_le_bytes(), purpose, round, tensor)
    }

    /// As [`Noise::new`], from a secret of any length.
    pub fn from_secret(secret: &[u8], purpose: &str, round: u64, tensor: u64) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"fedwing gaussian noise 1");
        // Lengths go first, so that no two different arguments give the same bytes.
        for part in [secret, purpose.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(round.to_le_bytes());
        digest.update(tensor.to_le_bytes());
        Self(ChaCha20Rng::from_seed(digest.finalize().into()))
    }

    /// The standard normal number at `index`.
    pub fn normal(&self, index: u64) -> f64 {
        let mut value = [0.0];
        add_noise(self, index, 1.0, &mut value);
        value[0]
    }
}

/// Adds noise of `standard_deviation` to `values`, which stand at `first_index` and after in their tensor.
///
/// A tensor cut into blocks gets the same noise as a whole one, in any order and by any thread.
///
/// # Panics
/// If an index is more than the largest `u64`.
/// # Example
/// ```
/// use kernels::privacy::{Noise, add_noise};
/// let noise = Noise::new(7, "differences", 1, 0);
/// let (mut whole, mut cut) = ([0.0; 5], [0.0; 5]);
/// add_noise(&noise, 0, 0.1, &mut whole);
/// add_noise(&noise, 3, 0.1, &mut cut[3..]);
/// add_noise(&noise, 0, 0.1, &mut cut[..3]);
/// assert_eq!(whole, cut);
/// ```
pub fn add_noise(noise: &Noise, first_index: u64, standard_deviation: f64, values: &mut [f64]) {
    let length = values.len() as u64;
    assert!(
        first_index.checked_add(length).is_some(),
        "{length} values from index {first_index} are more than there are indices"
    );
    let mut words = noise.0.clone();
    words.set_word_pos(u128::from(first_index / 2) * 4);
    let halved = usize::from(first_index % 2 == 1).min(values.len());
    let (second_halves, values) = values.split_at_mut(halved);
    if let [value] = second_halves {
        *value += standard_deviation * pair(&mut words).1;
    }
    let (pairs, single) = values.as_chunks_mut::<2>();
    for [even, odd] in pairs {
        let (cosine, sine) = pair(&mut words);
        *even += standard_deviation * cosine;
        *odd += standard_deviation * sine;
    }
    if let [value] = single {
        *value += standard_deviation * pair(&mut words).0;
    }
}

/// Two independent standard normal numbers from the next four words.
fn pair(words: &mut ChaCha20Rng) -> (f64, f64) {
    let radius = (-2.0 * libm::log(above_zero(words.next_u64()))).sqrt();
    let turn = (words.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
    let (sine, cosine) = libm::sincos(std::f64::consts::TAU * turn);
    (radius * cosine, radius * sine)
}

/// `(bits + 1) / 2⁶⁴`, rounded to 53 bits: in (0, 1].
fn above_zero(bits: u64) -> f64 {
    (bits as f64 + 1.0) * (0.5 / (1_u64 << 63) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRAWS: usize = 1_000_000;

    fn drawn(noise: &Noise, count: usize) -> Vec<f64> {
        let mut values = vec![0.0; count];
        add_noise(noise, 0, 1.0, &mut values);
        values
    }

    fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = values.len() as f64;
        values.sum::<f64>() / count
    }

    #[test]
    fn noise_never_changes() {
        let noise = Noise::new(7, "differences", 1, 0);
        let bits: Vec<u64> = (0..4).map(|index| noise.normal(index).to_bits()).collect();
        assert_eq!(
            bits,
            [
                0xbff8_2991_e899_b48a,
                0xbfec_05dd_41a8_3fee,
                0xbfd8_abe1_a1e2_bf45,
                0xbfef_8d5f_8207_8d8e
            ]
        );
    }

    #[test]
    fn a_million_draws_are_normal() {
        let mut values = drawn(&Noise::new(1, "differences", 1, 0), DRAWS);
        let root = (DRAWS as f64).sqrt();
        // Moments within five standard deviations of theirs.
        for (power, expected, deviation) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)]
        {
            let moment = mean(values.iter().map(|value| value.powi(power)));
            let bound = 5.0 * deviation.sqrt() / root;
            assert!((moment - expected).abs() < bound, "moment {power} is {moment}");
        }
        for (bound, expected) in [(2.0, 0.045_500_26), (3.0, 0.002_699_796), (4.0, 6.334_248e-5)] {
            let count = values.iter().filter(|value| value.abs() > bound).count() as f64;
            let expected = expected * DRAWS as f64;
            assert!(
                (count - expected).abs() < 5.0 * expected.sqrt(),
                "{count} draws beyond {bound}"
            );
        }
        assert!(values.iter().all(|value| value.abs() < 9.42));
        // Kolmogorov and Smirnov: √n·D exceeds 1.95 with a probability of one in a thousand.
        values.sort_by(f64::total_cmp);
        let distance = values.iter().enumerate().map(|(below, value)| {
            let probability = 0.5 * libm::erfc(-value / 2_f64.sqrt());
            let (low, high) = (below as f64 / DRAWS as f64, (below + 1) as f64 / DRAWS as f64);
            (probability - low).abs().max((probability - high).abs())
        });
        let distance = root * distance.fold(0.0, f64::max);
        assert!(distance < 1.95, "{distance}");
    }

    #[test]
    fn the_tail_ends_where_it_is_said_to() {
        assert_eq!(above_zero(u64::MAX), 1.0);
        assert_eq!(above_zero(0), 2_f64.powi(-64));
        let farthest = (-2.0 * libm::log(above_zero(0))).sqrt();
        assert!(
            (farthest - (128.0 * 2_f64.ln()).sqrt()).abs() < 1e-14 && farthest < 9.42,
            "{farthest}"
        );
    }

    #[test]
    fn streams_and_neighbours_have_nothing_in_common() {
        let count = 100_000;
        let bound = 5.0 / (count as f64).sqrt();
        let first = drawn(&Noise::new(1, "differences", 1, 0), count);
        let correlated = |other: &[f64], what: &str| {
            let product = mean(first.iter().zip(other).map(|(a, b)| a * b));
            let squares = mean(
                first
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a * a - 1.0) * (b * b - 1.0)),
            );
            assert!(product.abs() < bound, "{what}: {product}");
            assert!(squares.abs() < 2.0 * bound, "{what}: {squares} of squares");
        };
        for (seed, purpose, round, tensor) in [
            (2, "differences", 1, 0),
            (1, "count", 1, 0),
            (1, "differences", 2, 0),
            (1, "differences", 1, 1),
            (1, "differences", 0, 1),
        ] {
            let other = drawn(&Noise::new(seed, purpose, round, tensor), count);
            correlated(&other, &format!("{seed} {purpose} {round} {tensor}"));
        }
        for shift in [1, 2, 3, 8] {
            let mut other = first.clone();
            other.rotate_left(shift);
            correlated(&other, &format!("shifted by {shift}"));
        }
    }

    #[test]
    fn a_secret_and_a_purpose_are_never_confused() {
        let one = Noise::from_secret(b"ab", "c", 1, 0).normal(0);
        let other = Noise::from_secret(b"a", "bc", 1, 0).normal(0);
        assert_ne!(one, other);
        assert_eq!(
            Noise::from_secret(&7_u64.to_le_bytes(), "c", 1, 0).normal(0),
            Noise::new(7, "c", 1, 0).normal(0)
        );
    }

    #[test]
    fn noise_has_its_standard_deviation_and_is_added() {
        let noise = Noise::new(3, "differences", 1, 0);
        let (plain, mut scaled) = (drawn(&noise, 100), vec![5.0; 100]);
        add_noise(&noise, 0, 0.25, &mut scaled);
        assert!(
            plain
                .iter()
                .zip(&scaled)
                .all(|(plain, scaled)| *scaled == 5.0 + 0.25 * plain)
        );
        add_noise(&noise, u64::MAX, 1.0, &mut []);
    }

    proptest! {
        #[test]
        fn blocks_get_the_noise_of_the_whole(
            seed: u64,
            first in 0_u64..1 << 50,
            cuts in proptest::collection::vec(0_usize..300, 0..8),
        ) {
            let noise = Noise::new(seed, "differences", 1, 0);
            let mut whole = vec![1.0; 300];
            add_noise(&noise, first, 0.5, &mut whole);
            let mut ends = cuts;
            ends.extend([0, 300]);
            ends.sort_unstable();
            let mut cut = vec![1.0; 300];
            // From the last block to the first.
            for range in ends.windows(2).rev() {
                add_noise(&noise, first + range[0] as u64, 0.5, &mut cut[range[0]..range[1]]);
            }
            prop_assert_eq!(whole, cut);
        }
    }
}
