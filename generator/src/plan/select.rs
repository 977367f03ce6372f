//! Which clients train in a round, drawn when the plan is made.

use contract::{
    ids::{ClientId, DatasetName, Round, Seed},
    units::Fraction,
};

/// Draws the clients asked to train in a round, in ascending order.
///
/// All of them when `fraction` is 1. Otherwise the first `fraction.of(clients)` of a Fisher-Yates shuffle of
/// `0..clients` whose numbers come from SplitMix64 (Steele et al. 2014) started at
/// `seed.derive("select/<dataset>/<round>")`. The draw of one round depends on no other round, a smaller fraction
/// selects a subset of what a larger one selects, and the result is the same on every platform and in every version.
pub fn select(
    seed: Seed,
    dataset: &DatasetName,
    round: Round,
    clients: u32,
    fraction: Fraction,
) -> Vec<ClientId> {
    let wanted = fraction.of(clients);
    if wanted == clients {
        return (0..clients).map(ClientId).collect();
    }
    let mut numbers = SplitMix64(seed.derive(&format!("select/{dataset}/{round}")).0);
    let mut order: Vec<u32> = (0..clients).collect();
    for place in 0..wanted {
        let other = place + numbers.below(clients - place);
        order.swap(place as usize, other as usize);
    }
    order.truncate(wanted as usize);
    order.sort_unstable();
    order.into_iter().map(ClientId).collect()
}

/// A 64-bit generator whose stream never changes.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0; every one equally likely (Lemire 2019, arXiv:1805.10941).
    fn below(&mut self, bound: u32) -> u32 {
        let bound = u64::from(bound);
        // Numbers whose low half falls into this remainder would make some results likelier than others.
        let remainder = (1 << 32) % bound;
        loop {
            let product = (self.next() >> 32) * bound;
            if product & 0xffff_ffff >= remainder {
                return (product >> 32) as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(seed: u64, round: u32, clients: u32, fraction: f64) -> Vec<u32> {
        let dataset = DatasetName::new("nih").unwrap();
        let fraction = Fraction::new(fraction).unwrap();
        let clients = select(Seed(seed), &dataset, Round(round), clients, fraction);
        clients.into_iter().map(|client| client.0).collect()
    }

    #[test]
    fn splitmix_gives_the_published_stream() {
        // First numbers of the reference implementation for seed 1234567.
        let mut numbers = SplitMix64(1_234_567);
        assert_eq!(
            [numbers.next(), numbers.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn a_draw_never_changes_between_versions() {
        assert_eq!(drawn(7, 1, 10, 0.5), [0, 1, 2, 4, 9]);
    }

    #[test]
    fn every_client_is_drawn_about_equally_often() {
        let mut counts = [0_u32; 10];
        for round in 0..5_000 {
            for client in drawn(7, round, 10, 0.3) {
                counts[client as usize] += 1;
            }
        }
        // 1500 expected, standard deviation 32.
        assert!(
            counts.iter().all(|count| (1_350..1_650).contains(count)),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn a_draw_is_ordered_distinct_and_as_large_as_asked(
            seed: u64, round in 0u32..100, clients in 1u32..60, fraction in 0.001f64..=1.0,
        ) {
            let drawn = drawn(seed, round, clients, fraction);
            prop_assert_eq!(drawn.len() as u32, Fraction::new(fraction).unwrap().of(clients));
            prop_assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(drawn.iter().all(|client| *client < clients));
        }

        #[test]
        fn a_smaller_fraction_draws_a_subset(seed: u64, clients in 1u32..60, small in 0.001f64..=1.0, more in 0.0f64..=1.0) {
            let large = small + (1.0 - small) * more;
            let all = drawn(seed, 1, clients, large);
            prop_assert!(drawn(seed, 1, clients, small).iter().all(|client| all.contains(client)));
        }
    }
}
