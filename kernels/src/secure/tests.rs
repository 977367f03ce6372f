//! The protocol as a whole: clients, masks, sums, absence, and what masked values tell.

use proptest::prelude::*;

use super::*;
use crate::random::Random;

/// A federation of clients with values of their own.
struct Federation {
    secrets: Vec<SecretKey>,
    values: Vec<Vec<f32>>,
    samples: Vec<u64>,
    round: u32,
}

impl Federation {
    fn new(clients: usize, parameters: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let key = |random: &mut Random| SecretKey::new(std::array::from_fn(|_| random.bits() as u8));
        Self {
            secrets: (0..clients).map(|_| key(&mut random)).collect(),
            values: (0..clients)
                .map(|_| (0..parameters).map(|_| random.normal() as f32).collect())
                .collect(),
            samples: (0..clients).map(|_| 1 + random.below(5000)).collect(),
            round: 3,
        }
    }

    fn clients(&self) -> u32 {
        self.secrets.len() as u32
    }

    fn fixed(&self) -> FixedPoint {
        FixedPoint::new(24, self.secrets.len() as u64).unwrap()
    }

    fn seed(&self, client: u32, other: u32) -> Seed {
        let context = Context {
            experiment: "e1",
            dataset: "nih",
            spec_digest: "00",
            round: self.round,
            client,
            other,
        };
        pair_seed(
            &self.secrets[client as usize],
            &self.secrets[other as usize].public(),
            &context,
        )
        .unwrap()
    }

    fn plain(&self, client: u32) -> Vec<u64> {
        let client = client as usize;
        let mut out = vec![0; self.values[client].len()];
        encode(&self.values[client], self.samples[client], self.fixed(), &mut out).unwrap();
        out
    }

    /// What `client` sends.
    fn masked(&self, client: u32) -> Vec<u64> {
        let mut out = self.plain(client);
        for other in (0..self.clients()).filter(|other| *other != client) {
            add_mask(
                &self.seed(client, other),
                0,
                Sign::between(client, other),
                &mut out,
            );
        }
        out
    }

    /// What the aggregator makes of what clients present send and reveal.
    fn sum_of(&self, present: impl Fn(u32) -> bool) -> Vec<u64> {
        let (here, gone): (Vec<u32>, Vec<u32>) = (0..self.clients()).partition(|client| present(*client));
        let mut sum = add_up(here.iter().map(|client| self.masked(*client)));
        for client in &here {
            for absent in &gone {
                let revealed = self.seed(*client, *absent);
                add_mask(&revealed, 0, Sign::between(*client, *absent).opposite(), &mut sum);
            }
        }
        sum
    }

    fn plain_sum_of(&self, present: impl Fn(u32) -> bool) -> Vec<u64> {
        add_up(
            (0..self.clients())
                .filter(|client| present(*client))
                .map(|client| self.plain(client)),
        )
    }
}

fn add_up(vectors: impl Iterator<Item = Vec<u64>>) -> Vec<u64> {
    vectors
        .reduce(|mut sum, next| {
            sum.iter_mut()
                .zip(next)
                .for_each(|(sum, next)| *sum = sum.wrapping_add(next));
            sum
        })
        .unwrap()
}

/// Pearson's χ² of the bytes of `values` against the uniform distribution, 255 degrees of freedom.
fn chi_square(values: &[u64]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
        counts[usize::from(byte)] += 1;
    }
    let expected = 8.0 * values.len() as f64 / 256.0;
    counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum()
}

/// The 1 - 10⁻⁴ quantile of χ² with 255 degrees of freedom.
const REJECTED: f64 = 347.65;

const MANY: usize = 1 << 16;

#[test]
fn masks_cancel_exactly_whoever_is_absent() {
    for clients in 2..=8 {
        let federation = Federation::new(clients, 37, clients as u64);
        for subset in 1_u32..1 << clients {
            let present = |client: u32| subset >> client & 1 == 1;
            assert_eq!(
                federation.sum_of(present),
                federation.plain_sum_of(present),
                "{clients} clients, present {subset:b}"
            );
        }
    }
}

#[test]
fn the_decoded_mean_is_the_weighted_mean_up_to_the_stated_error() {
    let federation = Federation::new(5, 1000, 1);
    let total: u64 = federation.samples.iter().sum();
    let sum = federation.sum_of(|_| true);
    let bound = 5.0 * 0.5_f64.powi(25) / total as f64 * (1.0 + 1e-6);
    for (index, sum) in sum.iter().enumerate() {
        let exact: f64 = (federation.values.iter().zip(&federation.samples))
            .map(|(values, samples)| f64::from(values[index]) * *samples as f64)
            .sum::<f64>()
            / total as f64;
        let mean = decode_mean(*sum, 24, total);
        assert!(
            (mean - exact).abs() <= bound,
            "{mean} for {exact}, off by more than {bound}"
        );
    }
}

#[test]
fn the_sum_of_the_largest_values_does_not_wrap() {
    let mut federation = Federation::new(8, 2, 2);
    federation.samples = vec![1 << 10; 8];
    let largest = federation.fixed().largest() / 1024.0 * (1.0 - 1e-6);
    federation.values = vec![vec![largest as f32, -largest as f32]; 8];
    let sum = federation.sum_of(|_| true);
    for (sum, value) in sum.iter().zip([largest as f32, -largest as f32]) {
        assert_eq!(decode_mean(*sum, 24, 8 << 10), f64::from(value));
    }
}

#[test]
fn a_masked_update_is_its_plaintext_plus_streams_that_fit_any_other_plaintext_too() {
    let federation = Federation::new(3, 500, 3);
    let (plain, masked) = (federation.plain(1), federation.masked(1));
    // Client 1 subtracts the stream it shares with 0 and adds the one it shares with 2, whatever its values are.
    let mut pad = vec![0; plain.len()];
    add_mask(&federation.seed(1, 0), 0, Sign::Minus, &mut pad);
    add_mask(&federation.seed(1, 2), 0, Sign::Plus, &mut pad);
    let difference: Vec<u64> = (masked.iter().zip(&plain))
        .map(|(masked, plain)| masked.wrapping_sub(*plain))
        .collect();
    assert_eq!(difference, pad);
    // For any other plaintext there is exactly one pad that gives the same bytes.
    let other = federation.plain(2);
    for ((masked, other), plain) in masked.iter().zip(&other).zip(&plain) {
        let fitting = masked.wrapping_sub(*other);
        assert_eq!(other.wrapping_add(fitting), *masked);
        assert_eq!(
            fitting.wrapping_add(*other).wrapping_sub(*plain),
            masked.wrapping_sub(*plain)
        );
    }
}

#[test]
fn streams_of_other_pairs_and_rounds_share_no_number() {
    let mut federation = Federation::new(4, 0, 4);
    let mut seen = std::collections::BTreeSet::new();
    for round in 1..=5 {
        federation.round = round;
        for (client, other) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let mut stream = [0; 64];
            add_mask(&federation.seed(client, other), 0, Sign::Plus, &mut stream);
            assert!(
                stream.iter().all(|number| seen.insert(*number)),
                "round {round}, {client} and {other}"
            );
        }
    }
}

#[test]
fn plain_updates_are_told_from_noise_and_masked_ones_are_not() {
    let mut federation = Federation::new(2, 0, 5);
    for value in [0.0, 0.125, -1.0] {
        federation.values = vec![vec![value; MANY]; 2];
        let plain = chi_square(&federation.plain(0));
        assert!(plain > 1e6, "plain values {value} give {plain}");
        for client in 0..2 {
            let masked = chi_square(&federation.masked(client));
            assert!(masked < REJECTED, "client {client}, values {value}: {masked}");
        }
    }
}

#[test]
fn a_coalition_of_all_but_two_clients_sees_uniform_bytes() {
    let mut federation = Federation::new(5, 0, 6);
    federation.values = vec![vec![0.25; MANY]; 5];
    // The aggregator with clients 2, 3 and 4 knows every seed but that of (0, 1), and takes the masks off.
    let mut of_zero = federation.masked(0);
    let mut of_one = federation.masked(1);
    for other in 2..5 {
        add_mask(
            &federation.seed(other, 0),
            0,
            Sign::between(0, other).opposite(),
            &mut of_zero,
        );
        add_mask(
            &federation.seed(other, 1),
            0,
            Sign::between(1, other).opposite(),
            &mut of_one,
        );
    }
    for rest in [&of_zero, &of_one] {
        let value = chi_square(rest);
        assert!(value < REJECTED, "{value}");
    }
    // Only the sum of the two is left to them.
    assert_eq!(
        add_up([of_zero, of_one].into_iter()),
        federation.plain_sum_of(|client| client < 2)
    );
}

#[test]
fn the_stream_is_chacha20_of_rfc_8439() {
    // Appendix A.1, test vectors 1 and 2: key and nonce of zeros, block counters 0 and 1.
    let mut values = [0; 9];
    add_mask(&Seed([0; 32]), 0, Sign::Plus, &mut values);
    assert_eq!(
        values[0].to_le_bytes(),
        [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]
    );
    assert_eq!(
        values[8].to_le_bytes(),
        [0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a]
    );
    let mut far = [0];
    // The parameter after 2^32 blocks: the counter's upper word counts on, it does not wrap.
    add_mask(&Seed([0; 32]), 8 << 32, Sign::Plus, &mut far);
    assert_ne!(far[0], values[0]);
}

/// Against `tests/parity/secure/make_golden.py`, which computes everything from its definition.
#[test]
fn masked_numbers_are_the_golden_ones() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/parity/secure/golden.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list = |key: &str| golden[key].as_array().unwrap().clone();
    let key = |value: &serde_json::Value| {
        let hex = text(value);
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    };
    let secrets: Vec<SecretKey> = list("secrets")
        .iter()
        .map(|secret| SecretKey::new(key(secret)))
        .collect();
    for (secret, public) in secrets.iter().zip(list("publics")) {
        assert_eq!(secret.public(), PublicKey(key(&public)));
    }
    let (experiment, dataset, spec_digest) = (
        text(&golden["experiment"]),
        text(&golden["dataset"]),
        text(&golden["spec_digest"]),
    );
    let seed = |client: u32, other: u32| {
        let context = Context {
            experiment: &experiment,
            dataset: &dataset,
            spec_digest: &spec_digest,
            round: golden["round"].as_u64().unwrap() as u32,
            client,
            other,
        };
        pair_seed(
            &secrets[client as usize],
            &secrets[other as usize].public(),
            &context,
        )
        .unwrap()
    };
    assert_eq!(seed(0, 2), Seed(key(&golden["seed_0_2"])));
    let fixed = FixedPoint::new(golden["fraction_bits"].as_u64().unwrap() as u32, 3).unwrap();
    for client in 0..3 {
        for (place, index) in list("indices").iter().enumerate() {
            let value = golden["values"][client][place].as_f64().unwrap() as f32;
            let mut number = [0];
            encode(
                &[value],
                golden["samples"][client].as_u64().unwrap(),
                fixed,
                &mut number,
            )
            .unwrap();
            for other in (0..3).filter(|other| *other != client as u32) {
                let sign = Sign::between(client as u32, other);
                add_mask(
                    &seed(client as u32, other),
                    index.as_u64().unwrap(),
                    sign,
                    &mut number,
                );
            }
            assert_eq!(
                number[0].to_string(),
                text(&golden["masked"][client][place]),
                "client {client}, {index}"
            );
        }
    }
}

proptest! {
    #[test]
    fn blocks_cut_anywhere_give_the_same_stream(
        first in 0_u64..1 << 40,
        mut cuts in proptest::collection::vec(0_usize..3000, 0..6),
        key in any::<[u8; 32]>(),
    ) {
        let mut whole = vec![0; 3000];
        add_mask(&Seed(key), first, Sign::Plus, &mut whole);
        cuts.extend([0, 3000]);
        cuts.sort_unstable();
        let mut pieces = vec![0; 3000];
        // The last piece first: no piece needs the one before.
        for cut in cuts.windows(2).rev() {
            add_mask(&Seed(key), first + cut[0] as u64, Sign::Plus, &mut pieces[cut[0]..cut[1]]);
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn an_encoded_value_decodes_to_within_half_a_step(value in -1e4_f32..1e4, samples in 1_u64..100_000) {
        let mut out = [0];
        encode(&[value], samples, FixedPoint::new(24, 100).unwrap(), &mut out).unwrap();
        let off = decode_mean(out[0], 24, samples) - f64::from(value);
        prop_assert!(off.abs() <= 0.5_f64.powi(25) / samples as f64 + f64::from(value).abs() * 1e-15);
    }
}
