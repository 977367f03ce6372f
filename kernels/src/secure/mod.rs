//! Masks that cancel in the sum: the aggregator reads the sum of the clients' updates and none of them.
//!
//! In: a client's values and sample count, its secret key, the other clients' public keys. Out: numbers of the ring
//! ℤ/2⁶⁴, each uniformly random to whoever lacks the masks, whose sum over all clients is the sum of the values. Start
//! at [`encode`], [`pair_seed`] and [`add_mask`]; [`decode_mean`] reads the sum.
//!
//! Bonawitz et al. 2017, doi:10.1145/3133956.3133982, section 4.1, one mask per pair of clients:
//!
//! - A value is `x = n_k·w`, sample count times trained value, as a fixed-point number ([`FixedPoint`]) in two's
//!   complement. Its size is bounded so that the sum over all clients cannot wrap; so the sum is exact.
//! - Clients i < j share a seed of 32 bytes for each round ([`pair_seed`]): X25519 of their keys, then HKDF-SHA256 with
//!   experiment, dataset, specification, round, both clients and both public keys as context.
//! - The seed is the key of a ChaCha20 stream, one `u64` for each parameter. Client i adds it, client j subtracts it
//!   ([`Sign::between`]), modulo 2⁶⁴: every stream stands in the sum once with each sign and is gone.
//! - For a client d that sent nothing, every other client i reveals the seed of (i, d) for that round, and the
//!   aggregator takes those streams out of the sum. Seeds of other rounds and pairs do not follow from it.
//!
//! # What it protects, against whom
//!
//! The aggregator, and anyone who sees all update files, learns of the updates of clients present only their sum, as
//! long as everybody follows the protocol (*honest but curious*), at least two clients are present, X25519, HKDF and
//! ChaCha20 are sound, and public keys reach clients unchanged. An aggregator that knows the secrets of all clients
//! but two learns the sum of these two.
//!
//! It does **not** protect against an aggregator that lies: one that passes forged public keys to clients reads their
//! masks, and one that has a client declared absent whose masked update it holds is told that client's masks and reads
//! its update. Bonawitz's second mask per client (section 4.2) and signatures (section 6) answer this and are not here.
//! It hides neither sample counts, which stand in the clear, nor what the sum itself tells: that is for differential
//! privacy. Nor does it keep a client from sending a false update: robust rules cannot look into masked ones.
//! `docs/secure-aggregation.md` argues all this at length.

mod fixed_point;
mod keys;
mod stream;
#[cfg(test)]
mod tests;

pub use fixed_point::{EncodeError, FixedPoint, ScaleError, decode_mean, encode};
pub use keys::{Context, KeyError, PublicKey, SecretKey, Seed, pair_seed};
pub use stream::{Sign, add_mask};
