//! Rules of the network, the federation and what it is compared with.

use std::{collections::BTreeSet, path::Path};

use contract::training::{Arch, BaselineKind, Optimizer};

use super::{
    algorithm::{self, compression, strategy},
    checked::{Evaluation, Federation, Model},
    paths::resolve,
    rules::{repeated, word_not_built},
};
use crate::{
    diag::Span,
    spec::{At, Found, types},
};

/// The network as jobs know it, when it is built.
pub fn built_arch(arch: &At<types::Arch>) -> Option<Arch> {
    match arch.value {
        types::Arch::SmallCnn => Some(Arch::SmallCnn),
        types::Arch::Resnet18 => Some(Arch::Resnet18),
        types::Arch::Resnet50 | types::Arch::Densenet121 | types::Arch::EfficientnetB0 => None,
    }
}

fn arch_word(arch: &types::Arch) -> &'static str {
    match arch {
        types::Arch::SmallCnn => "small_cnn",
        types::Arch::Resnet18 => "resnet18",
        types::Arch::Resnet50 => "resnet50",
        types::Arch::Densenet121 => "densenet121",
        types::Arch::EfficientnetB0 => "efficientnet_b0",
    }
}

/// Proves the network.
pub fn model(model: types::Model, base: &Path, found: &mut Found) -> Option<Model> {
    let types::Model { arch, weights } = model;
    let weights = weights.map(|weights| resolve(weights, base, found));
    let arch = arch?;
    let Some(built) = built_arch(&arch) else {
        let words: Vec<&str> = Arch::ALL.iter().map(|arch| arch.as_str()).collect();
        word_not_built(arch_word(&arch.value), arch.span, &words, found);
        return None;
    };
    let weights = match weights {
        Some(resolved) => Some(resolved?),
        None => None,
    };
    Some(Model { arch: built, weights })
}

/// A federation, and the places rules of several parts point at.
pub struct ProvenFederation {
    /// The federation.
    pub checked: Federation,
    /// Where the batch size stands.
    pub batch_size: Span,
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
        local,
    } = federation;
    let algorithm = algorithm.map(|algorithm| (algorithm::place(&algorithm), strategy(algorithm, found)));
    let compressed = compression.as_ref().map(|compression| compression.span);
    let compression = compression.map(|written| self::compression(written.value));
    let types::Local {
        epochs,
        batch_size,
        optimizer,
    } = local?.value;
    let optimizer = optimizer.and_then(|optimizer| self::optimizer(optimizer.value, found));
    let batch_size = batch_size?;
    let compression = match compression {
        Some(proven) => Some(proven?),
        None => None,
    };
    let (algorithm, strategy) = algorithm?;
    Some(ProvenFederation {
        batch_size: batch_size.span,
        algorithm,
        min_clients: min_clients.as_ref().map(|min_clients| min_clients.span),
        compression: compressed,
        checked: Federation {
            strategy: strategy?,
            rounds: rounds?.value.get32(),
            fraction: fraction?.value.0,
            min_clients: min_clients.map(|min_clients| min_clients.value.get32()),
            compression,
            epochs: epochs?.value.get32(),
            batch_size: batch_size.value.get32(),
            optimizer: optimizer?,
        },
    })
}

fn optimizer(optimizer: types::Optimizer, found: &mut Found) -> Option<Optimizer> {
    match optimizer {
        types::Optimizer::Sgd(settings) => {
            let types::Sgd {
                learning_rate,
                momentum,
                weight_decay,
            } = settings.value;
            Some(Optimizer::Sgd {
                learning_rate: learning_rate?.value.get(),
                momentum: momentum?.value.get(),
                weight_decay: weight_decay?.value.get(),
            })
        }
        types::Optimizer::Adam(settings) => {
            let types::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } = settings.value;
            Some(Optimizer::Adam {
                learning_rate: learning_rate?.value.get(),
                beta1: beta1?.value.get(),
                beta2: beta2?.value.get(),
                epsilon: epsilon?.value.get(),
                weight_decay: weight_decay?.value.get(),
            })
        }
        types::Optimizer::Adamw(settings) => {
            word_not_built("adamw", settings.span, &["sgd", "adam"], found);
            None
        }
    }
}

/// An evaluation, and the place of `cross_dataset`.
pub struct ProvenEvaluation {
    /// The evaluation.
    pub checked: Evaluation,
    /// Where `cross_dataset` stands.
    pub cross_dataset: Span,
}

/// Proves what the result is compared with; nothing when absent.
pub fn evaluation(evaluation: Option<types::Evaluation>, found: &mut Found) -> Option<ProvenEvaluation> {
    let Some(types::Evaluation {
        baselines,
        cross_dataset,
    }) = evaluation
    else {
        let checked = Evaluation {
            baselines: BTreeSet::new(),
            cross_dataset: false,
        };
        return Some(ProvenEvaluation {
            checked,
            cross_dataset: Span::default(),
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
        },
        cross_dataset: cross_dataset.span,
    })
}
