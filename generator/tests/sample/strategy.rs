//! Samples drawn at random, for properties of what is emitted.

#![allow(clippy::unwrap_used)] // made for tests

use contract::training::BaselineKind;
use fedwing::check::Layout;
use proptest::prelude::*;

use crate::sample::Sample;

/// Sub-workflows of that many rounds.
pub fn chunks(rounds: u32) -> Layout {
    Layout::Chunks {
        rounds: rounds.try_into().unwrap(),
    }
}

/// The baselines there can be: no one has all images where data is at several sites.
fn local_baselines(sites: bool) -> Vec<BaselineKind> {
    let kinds = BaselineKind::ALL.iter().copied();
    kinds
        .filter(|kind| !sites || *kind == BaselineKind::LocalOnly)
        .collect()
}

/// Every layout, way of learning and number of clients, with sites and without.
pub fn any_sample() -> impl Strategy<Value = Sample> {
    let datasets = proptest::sample::subsequence(vec!["nih", "tcia", "on"], 1..=3);
    let numbers = (1u32..6, 1u32..5, 0.01f64..=1.0, any::<u64>());
    let layouts = prop_oneof![
        Just(Layout::Flat),
        Just(Layout::Rounds),
        (1u32..4).prop_map(chunks)
    ];
    let flags = any::<[bool; 3]>();
    (datasets, numbers, layouts, flags, 0..Sample::WAYS).prop_map(
        |(datasets, (clients, rounds, fraction, seed), layout, [cross_dataset, weights, sites], way)| {
            Sample {
                datasets,
                clients,
                rounds,
                fraction,
                cross_dataset,
                weights: weights.then(|| "/w.safetensors".to_owned()),
                seed,
                sites,
                baselines: local_baselines(sites),
                ..Sample::small(layout)
            }
            .learning(way)
        },
    )
}
