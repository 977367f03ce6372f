//! Rules of the network, the federation and what it is compared with.

use std::{collections::BTreeSet, path::Path};

use contract::{
    aggregation::NamePattern,
    training::{Arch, BaselineKind, Broadcast, Head},
};

use super::{
    algorithm::{self, compression},
    checked::{Evaluation, Federation, Model},
    local::{LocalPlaces, ProvenLocal, local, no_effect},
    paths::resolve,
    rules::{repeated, texts},
};
use crate::{
    diag::Span,
    spec::{At, Found, types},
};

/// The network as jobs know it.
pub fn arch(arch: &types::Arch) -> Arch {
    match arch {
        types::Arch::SmallCnn => Arch::SmallCnn,
        types::Arch::SmallCnnBn => Arch::SmallCnnBn,
        types::Arch::Resnet18 => Arch::Resnet18,
        types::Arch::Resnet50 => Arch::Resnet50,
        types::Arch::Densenet121 => Arch::Densenet121,
        types::Arch::EfficientnetB0 => Arch::EfficientnetB0,
    }
}

/// A network, and the places of the patterns it is frozen by.
pub struct ProvenModel {
    /// The network.
    pub checked: Model,
    /// Tensors that stay as they are.
    pub freeze: Vec<At<NamePattern>>,
}

/// Proves the network.
pub fn model(model: types::Model, base: &Path, found: &mut Found) -> Option<ProvenModel> {
    let types::Model {
        arch,
        weights,
        head,
        freeze,
    } = model;
    let weights = weights.map(|weights| resolve(weights, base, found));
    let head = match head {
        None => None,
        Some(At { value: _, span }) if weights.is_none() => {
            found.push(no_effect(
                span,
                "`head` says what becomes of the last layer in a file of weights, and none is given"
                    .to_owned(),
                "needs `weights`",
                "give `weights`, or leave `head` out",
            ));
            None
        }
        Some(At { value, span: _ }) => Some(match value {
            types::Head::Kept => Head::Kept,
            types::Head::New => Head::New,
        }),
    };
    let freeze = match freeze {
        None => Vec::new(),
        Some(list) => texts("freeze", list, found),
    };
    let freeze = freeze.into_iter().map(|At { value, span }| At {
        value: NamePattern::from(value.as_str()),
        span,
    });
    let freeze: Vec<At<NamePattern>> = freeze.collect();
    let weights = match weights {
        Some(resolved) => Some(resolved?),
        None => None,
    };
    Some(ProvenModel {
        checked: Model {
            arch: self::arch(&arch?.value),
            weights,
            head,
        },
        freeze,
    })
}

/// A federation, and the places rules of several parts point at.
pub struct ProvenFederation {
    /// The federation.
    pub checked: Federation,
    /// Where parts of the recipe stand.
    pub places: LocalPlaces,
    /// Where the rule stands.
    pub algorithm: Span,
    /// Where `min_clients` stands, if it does.
    pub min_clients: Option<Span>,
    /// Where `compression` stands, if it does.
    pub compression: Option<Span>,
}

/// Proves how clients learn together.
pub fn federation(federation: types::Federation, found: &mut Found) -> Option<ProvenFederation> {
    let types::Federation {
        algorithm,
        rounds,
        fraction,
        min_clients,
        compression,
        broadcast,
        local: written,
    } = federation;
    let algorithm = algorithm.map(|algorithm| {
        let (place, word) = (algorithm::place(&algorithm), algorithm::word(&algorithm.value));
        (place, word, algorithm::parts(algorithm.value))
    });
    let compressed = compression.as_ref().map(|compression| compression.span);
    let compression = compression.map(|written| self::compression(written.value));
    let rounds = rounds.map(|rounds| rounds.value.get32());
    let ProvenLocal {
        epochs,
        mut recipe,
        places,
    } = local(written?.value, rounds, found)?;
    let compression = match compression {
        Some(proven) => Some(proven?),
        None => None,
    };
    let (algorithm, word, parts) = algorithm?;
    let (strategy, method) = parts?;
    recipe.method = method;
    Some(ProvenFederation {
        places,
        algorithm,
        min_clients: min_clients.as_ref().map(|min_clients| min_clients.span),
        compression: compressed,
        checked: Federation {
            algorithm: word,
            strategy,
            rounds: rounds?,
            fraction: fraction?.value.0,
            min_clients: min_clients.map(|min_clients| min_clients.value.get32()),
            compression,
            broadcast: broadcast.map(|broadcast| match broadcast.value {
                types::Broadcast::Fp16 => Broadcast::Fp16,
                types::Broadcast::Bf16 => Broadcast::Bf16,
                types::Broadcast::Int8 => Broadcast::Int8,
            }),
            epochs,
            recipe,
        },
    })
}

/// An evaluation, and the places other rules point at.
pub struct ProvenEvaluation {
    /// The evaluation.
    pub checked: Evaluation,
    /// Where `cross_dataset` stands.
    pub cross_dataset: Span,
    /// Whether clients' own models are asked for, and where, if that is said.
    pub personal: Option<At<bool>>,
}

/// Proves what the result is compared with; nothing when absent.
pub fn evaluation(evaluation: Option<types::Evaluation>, found: &mut Found) -> Option<ProvenEvaluation> {
    let Some(types::Evaluation {
        baselines,
        cross_dataset,
        intervals,
        predictions,
        personal,
    }) = evaluation
    else {
        let checked = Evaluation {
            baselines: BTreeSet::new(),
            cross_dataset: false,
            intervals: false,
            predictions: false,
            personal: true,
        };
        return Some(ProvenEvaluation {
            checked,
            cross_dataset: Span::default(),
            personal: None,
        });
    };
    let mut kinds = BTreeSet::new();
    for baseline in baselines.map(|list| list.value).unwrap_or_default() {
        let kind = match baseline.value {
            types::Baseline::Centralized => BaselineKind::Centralized,
            types::Baseline::LocalOnly => BaselineKind::LocalOnly,
        };
        if !kinds.insert(kind) {
            found.push(repeated("baselines", kind.as_str(), baseline.span));
        }
    }
    let cross_dataset = cross_dataset?;
    Some(ProvenEvaluation {
        checked: Evaluation {
            baselines: kinds,
            cross_dataset: cross_dataset.value,
            intervals: intervals?.value,
            predictions: predictions?.value,
            personal: personal.as_ref().is_none_or(|personal| personal.value),
        },
        cross_dataset: cross_dataset.span,
        personal,
    })
}
