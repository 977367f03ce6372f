//! Keys of clients, and the seed a pair of them shares for a round.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::StaticSecret;
use zeroize::Zeroize;

/// What every context starts with: the purpose, and the version of the derivation.
const PURPOSE: &str = "fedwing mask 1";

/// A client's secret key: 32 bytes of entropy. Wiped from memory when dropped; it does not print.
#[derive(Clone)]
pub struct SecretKey {
    secret: StaticSecret,
    public: PublicKey,
}

/// A client's public key: a point of Curve25519 as RFC 7748 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// What the mask of a pair of clients in a round is drawn from. Wiped from memory when dropped; it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

/// What a mask is for; another context gives an independent seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The experiment.
    pub experiment: &'a str,
    /// The dataset.
    pub dataset: &'a str,
    /// SHA-256 of the specification.
    pub spec_digest: &'a str,
    /// The round.
    pub round: u32,
    /// The client whose secret key is used.
    pub client: u32,
    /// The client whose public key is used.
    pub other: u32,
}

/// Why two clients share no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key that gives every secret the same result.
    #[error("the public key of client {client} is a point of low order: no key pair has it")]
    LowOrder {
        /// The client whose public key it is.
        client: u32,
    },
    /// A client with itself.
    #[error("client {client} shares no mask with itself")]
    Alone {
        /// The client.
        client: u32,
    },
}

impl SecretKey {
    /// The key of 32 bytes drawn from a source fit for keys; computes its public key.
    pub fn new(entropy: [u8; 32]) -> Self {
        let secret = StaticSecret::from(entropy);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// The bytes it was made of.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The seed of the mask two clients share in a round; both compute the same from their own secret and the other's
/// public key.
///
/// `HKDF-SHA256(salt = none, secret = X25519(secret, their_public), info, 32 bytes)`, where `info` is made of: the
/// purpose, experiment, dataset, specification digest (each as its length in a `u32` and its bytes), the round, then of
/// the client with the smaller number and of the other one the number (`u32`) and the public key. Integers are
/// little-endian.
///
/// # Errors
/// [`KeyError`]
/// # Source
/// RFC 7748, section 6.1 (the check for a result of zeros, and public keys in the derivation); RFC 5869;
/// Bonawitz et al. 2017, section 4.1
/// # Example
/// ```
/// use kernels::secure::{Context, SecretKey, pair_seed};
/// let (a, b) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
/// let context = Context { experiment: "e1", dataset: "nih", spec_digest: "00", round: 1, client: 0, other: 1 };
/// let seed = pair_seed(&a, &b.public(), &context)?;
/// assert_eq!(seed, pair_seed(&b, &a.public(), &Context { client: 1, other: 0, ..context })?);
/// # Ok::<(), kernels::secure::KeyError>(())
/// ```
pub fn pair_seed(
    secret: &SecretKey,
    their_public: &PublicKey,
    context: &Context<'_>,
) -> Result<Seed, KeyError> {
    let Context { client, other, .. } = *context;
    if client == other {
        return Err(KeyError::Alone { client });
    }
    let shared = secret
        .secret
        .diffie_hellman(&x25519_dalek::PublicKey::from(their_public.0));
    if !shared.was_contributory() {
        return Err(KeyError::LowOrder { client: other });
    }
    let mut seed = Seed([0; 32]);
    Hkdf::<Sha256>::new(None, shared.as_bytes())
        .expand(&context.info(&secret.public, their_public), &mut seed.0)
        .expect("32 bytes are within the 8160 that HKDF-SHA256 gives");
    Ok(seed)
}

impl Context<'_> {
    fn info(&self, own: &PublicKey, their: &PublicKey) -> Vec<u8> {
        let Self {
            experiment,
            dataset,
            spec_digest,
            round,
            client,
            other,
        } = *self;
        let mut info = Vec::new();
        for text in [PURPOSE, experiment, dataset, spec_digest] {
            info.extend((text.len() as u32).to_le_bytes());
            info.extend(text.as_bytes());
        }
        info.extend(round.to_le_bytes());
        let mut pair = [(client, own), (other, their)];
        pair.sort_by_key(|(client, _)| *client);
        for (client, key) in pair {
            info.extend(client.to_le_bytes());
            info.extend(key.0);
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(digit)
    }

    const CONTEXT: Context<'static> = Context {
        experiment: "e1",
        dataset: "nih",
        spec_digest: "00ff",
        round: 7,
        client: 3,
        other: 11,
    };

    /// Alice and Bob of RFC 7748, section 6.1.
    const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";

    fn alice_and_bob() -> [SecretKey; 2] {
        [ALICE, BOB].map(|hex| SecretKey::new(bytes(hex)))
    }

    #[test]
    fn keys_and_shared_secret_are_those_of_rfc_7748() {
        let [alice, bob] = alice_and_bob();
        let public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        assert_eq!(alice.public(), PublicKey(bytes(public)));
        let public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        assert_eq!(bob.public(), PublicKey(bytes(public)));
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        let of = |one: &SecretKey, other: &SecretKey| {
            one.secret
                .diffie_hellman(&x25519_dalek::PublicKey::from(other.public.0))
                .to_bytes()
        };
        assert_eq!(of(&alice, &bob), bytes(shared));
        assert_eq!(of(&bob, &alice), bytes(shared));
    }

    #[test]
    fn the_derivation_is_that_of_rfc_5869() {
        let derive = |salt: Option<&[u8]>, info: &[u8]| {
            let mut out = [0; 42];
            Hkdf::<Sha256>::new(salt, &[0x0b; 22])
                .expand(info, &mut out)
                .unwrap();
            out
        };
        let (salt, info): ([u8; 13], [u8; 10]) = (
            std::array::from_fn(|i| i as u8),
            std::array::from_fn(|i| 0xf0 + i as u8),
        );
        let one = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(derive(Some(&salt), &info), bytes(one));
        let three = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(derive(None, &[]), bytes(three));
    }

    #[test]
    fn both_clients_of_a_pair_have_the_same_seed() {
        let [alice, bob] = alice_and_bob();
        let seed = pair_seed(&alice, &bob.public(), &CONTEXT).unwrap();
        let turned = Context {
            client: CONTEXT.other,
            other: CONTEXT.client,
            ..CONTEXT
        };
        assert_eq!(seed, pair_seed(&bob, &alice.public(), &turned).unwrap());
    }

    #[test]
    fn every_part_of_the_context_and_each_key_changes_the_seed() {
        let [alice, bob] = alice_and_bob();
        let others = [
            CONTEXT,
            Context {
                experiment: "e2",
                ..CONTEXT
            },
            Context {
                dataset: "tcia",
                ..CONTEXT
            },
            Context {
                spec_digest: "00fe",
                ..CONTEXT
            },
            Context { round: 8, ..CONTEXT },
            Context { client: 4, ..CONTEXT },
            Context { other: 12, ..CONTEXT },
            // The same letters, cut elsewhere.
            Context {
                experiment: "e1n",
                dataset: "ih",
                ..CONTEXT
            },
            // The same keys, in the other order.
            Context {
                client: 11,
                other: 3,
                ..CONTEXT
            },
        ];
        let mut seeds: Vec<Seed> = others
            .iter()
            .map(|context| pair_seed(&alice, &bob.public(), context).unwrap())
            .collect();
        seeds.push(pair_seed(&alice, &SecretKey::new([5; 32]).public(), &CONTEXT).unwrap());
        for (i, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..i].contains(seed), "seed {i} is not new");
        }
    }

    #[test]
    fn a_key_that_gives_everyone_the_same_secret_is_refused() {
        let [alice, _] = alice_and_bob();
        let mut one = [0; 32];
        one[0] = 1;
        for low in [[0; 32], one] {
            let error = pair_seed(&alice, &PublicKey(low), &CONTEXT).unwrap_err();
            assert_eq!(error, KeyError::LowOrder { client: 11 });
        }
        let itself = Context { other: 3, ..CONTEXT };
        let error = pair_seed(&alice, &alice.public(), &itself).unwrap_err();
        assert_eq!(error, KeyError::Alone { client: 3 });
    }

    #[test]
    fn secrets_do_not_print() {
        let key = format!("{:?}", SecretKey::new([0xab; 32]));
        assert!(!key.contains("171, 171, 171"), "{key}");
        assert_eq!(format!("{:?}", Seed([1; 32])), "Seed(..)");
    }
}
