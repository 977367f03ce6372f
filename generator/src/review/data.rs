//! Datasets and clients of a review.

use std::{cmp::Reverse, collections::BTreeMap};

use contract::{ids::ClientId, names::Names, profile::Profile};

use super::model::{ClientReview, DatasetReview, Found, SamplesReview, Setting};
use crate::{
    check::{Checked, Dataset},
    estimate::{Basis, Samples, Sizes},
};

/// Most values of an attribute that are named.
const MOST_KINDS: usize = 5;

pub(super) fn dataset(
    checked: &Checked,
    dataset: &Dataset,
    sizes: &Sizes,
    found: Option<&Profile>,
) -> DatasetReview {
    let config = &dataset.config;
    let samples = sizes.samples(&config.dataset).cloned();
    let samples = samples.unwrap_or_else(|| Samples::of_settings(config));
    let names = Names {
        experiment: &checked.name,
        dataset: &config.dataset,
    };
    let clients = (0..).map(ClientId).zip(&samples.clients);
    DatasetReview {
        name: config.dataset.to_string(),
        synthetic: config.source.is_synthetic(),
        settings: config.clone(),
        found: found.map(summary),
        samples: SamplesReview {
            basis: match samples.basis {
                Basis::Counted => "counted",
                Basis::Expected(_) => "expected",
                Basis::Assumed(_) => "assumed",
            },
            train: samples.train().0,
            validation: samples.validation.0,
            test: samples.test.0,
        },
        selected: checked.federation.fraction.of(config.clients),
        clients: clients
            .map(|(client, count)| ClientReview {
                client: client.0,
                site: checked.site_of(client).map(|site| site.name.to_string()),
                samples: count.0,
                shard: sizes.file_bytes(names.shard(client).as_str()),
            })
            .collect(),
    }
}

fn summary(profile: &Profile) -> Found {
    let bits = profile
        .bits
        .iter()
        .map(|(bits, count)| (bits.to_string(), *count));
    let kinds = [
        ("format", commonest(&profile.formats)),
        ("modality", commonest(&profile.modalities)),
        ("size", commonest(&profile.sizes)),
        ("bits", commonest(&bits.collect())),
        ("folder", commonest(&profile.folders)),
    ];
    let kinds = kinds.into_iter().filter(|(_, value)| !value.is_empty());
    Found {
        root: profile.root.clone(),
        images: profile.images,
        patients: profile.patients,
        unusable: profile.unusable.len() as u64,
        burned_in: profile.burned_in,
        same_bytes: profile.same_bytes,
        kinds: kinds
            .map(|(name, value)| Setting {
                name: name.to_owned(),
                value,
            })
            .collect(),
    }
}

/// The commonest values with their counts; what is left is counted.
fn commonest(values: &BTreeMap<String, u64>) -> String {
    let mut values: Vec<_> = values.iter().collect();
    values.sort_by_key(|(_, count)| Reverse(**count));
    let mut words: Vec<String> = values
        .iter()
        .take(MOST_KINDS)
        .map(|(value, count)| format!("{value} {count}"))
        .collect();
    if values.len() > MOST_KINDS {
        words.push(format!("{} more", values.len() - MOST_KINDS));
    }
    words.join(", ")
}
