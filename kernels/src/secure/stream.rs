//! The mask of a pair of clients: a stream of `u64`, one for each parameter, added or subtracted.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use super::Seed;

/// Numbers drawn at a time; they fit the first-level cache together with the values they are added to.
const BATCH: usize = 512;

/// Whether a client adds or subtracts a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Adds it.
    Plus,
    /// Subtracts it.
    Minus,
}

impl Sign {
    /// What `client` does with the mask it shares with `other`: the one with the smaller number adds it.
    ///
    /// To take the mask that stays in a sum because `other` sent nothing out of it, use [`Sign::opposite`] of this.
    pub fn between(client: u32, other: u32) -> Self {
        if client < other { Sign::Plus } else { Sign::Minus }
    }

    /// The other sign.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Sign::Plus => Sign::Minus,
            Sign::Minus => Sign::Plus,
        }
    }
}

/// Adds the mask of `seed` to `values`, or subtracts it, modulo 2⁶⁴.
///
/// `values[p] ± stream[first_index + p]`, where `stream` is the ChaCha20 key stream of `seed` with nonce 0 and counter 0
/// (RFC 8439, with the counter of 64 bits of Bernstein's original), read as little-endian `u64`.
///
/// # Shapes
/// - `values`: any piece of the parameters, of which the first has index `first_index` among all; pieces cut anywhere
///   and masked in any order, by any thread, give the same as all at once
/// # Source
/// Bonawitz et al. 2017, section 4.1: `y_u = x_u + Σ_{u<v} PRG(s_uv) - Σ_{u>v} PRG(s_vu) mod R`
/// # Example
/// ```
/// use kernels::secure::{Seed, Sign, add_mask};
/// let (seed, mut values) = (Seed([7; 32]), [1, 2, 3]);
/// add_mask(&seed, 100, Sign::Plus, &mut values);
/// add_mask(&seed, 100, Sign::Minus, &mut values[..2]);
/// add_mask(&seed, 102, Sign::Minus, &mut values[2..]);
/// assert_eq!(values, [1, 2, 3]);
/// ```
pub fn add_mask(seed: &Seed, first_index: u64, sign: Sign, values: &mut [u64]) {
    let mut stream = ChaCha20Rng::from_seed(seed.0);
    // The position is counted in words of 32 bits.
    stream.set_word_pos(2 * u128::from(first_index));
    let mut drawn = [0; 8 * BATCH];
    for values in values.chunks_mut(BATCH) {
        let drawn = &mut drawn[..8 * values.len()];
        stream.fill_bytes(drawn);
        let masks = drawn.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        match sign {
            Sign::Plus => values
                .iter_mut()
                .zip(masks)
                .for_each(|(value, mask)| *value = value.wrapping_add(mask)),
            Sign::Minus => values
                .iter_mut()
                .zip(masks)
                .for_each(|(value, mask)| *value = value.wrapping_sub(mask)),
        }
    }
}
