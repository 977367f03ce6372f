//! Rules that look at the aggregation rule together with clients, privacy, encoding and tree.

use contract::{
    aggregation::{CentralPrivacy, Needs, Strategy},
    recipe::{LocalPrivacy, Method},
};

use super::{
    algorithm, checked::Privacy, dataset::Proven, execution::ProvenExecution, training::ProvenFederation,
};
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{Found, types},
};

/// What others may learn of a client's part, and where that stands.
pub struct ProvenPrivacy {
    /// The privacy.
    pub checked: Privacy,
    /// Where `central` stands, if it does.
    pub central: Option<Span>,
    /// What a client's samples are promised: it goes into the recipe.
    pub samples: Option<LocalPrivacy>,
    /// Where that stands, if it does.
    pub local: Option<Span>,
    /// Where `secure_aggregation` stands.
    pub secure_aggregation: Span,
}

/// Proves what others may learn of a client's part; everything when absent. `data_stays_at_site` is the sites' matter.
pub fn privacy(privacy: Option<&types::Privacy>, found: &mut Found) -> Option<ProvenPrivacy> {
    let Some(types::Privacy {
        data_stays_at_site: _,
        central,
        local,
        secure_aggregation,
    }) = privacy
    else {
        return Some(ProvenPrivacy {
            checked: Privacy {
                central: None,
                secure_aggregation: false,
            },
            central: None,
            samples: None,
            local: None,
            secure_aggregation: Span::default(),
        });
    };
    let proven: Option<CentralPrivacy> = match central {
        Some(central) => Some(algorithm::central(central.value.clone(), found)?),
        None => None,
    };
    let samples = match local {
        Some(local) => Some(algorithm::samples(local.value.clone())?),
        None => None,
    };
    let secure_aggregation = secure_aggregation.as_ref()?;
    Some(ProvenPrivacy {
        checked: Privacy {
            central: proven,
            secure_aggregation: secure_aggregation.value,
        },
        central: central.as_ref().map(|central| central.span),
        samples,
        local: local.as_ref().map(|local| local.span),
        secure_aggregation: secure_aggregation.span,
    })
}

/// Applies every rule of this file.
pub fn learning(
    federation: &ProvenFederation,
    execution: &ProvenExecution,
    privacy: &ProvenPrivacy,
    datasets: &[Proven],
    found: &mut Found,
) {
    central(federation, privacy, found);
    tree(federation, execution, privacy, found);
    maskable(federation, execution, privacy, found);
    // The dataset whose rounds have the fewest clients decides.
    let selected = |dataset: &Proven| federation.checked.fraction.of(dataset.clients);
    let Some(smallest) = datasets.iter().min_by_key(|dataset| selected(dataset)) else {
        return;
    };
    let round = Round {
        dataset: smallest.name.as_str(),
        selected: selected(smallest),
        left: federation.checked.min_clients.unwrap_or(selected(smallest)),
    };
    if let Some(place) = federation.min_clients
        && round.left > round.selected
    {
        let words = format!(
            "a round needs {} clients but only {} of `{}` are selected for one",
            round.left, round.selected, round.dataset
        );
        found.push(
            Diagnostic::error(Code::TooManyRequired, place, words)
                .label(format!("must be between 1 and {}", round.selected))
                .help("lower `min_clients`, or raise `fraction` or the number of clients"),
        );
        return;
    }
    enough_updates(federation, &round, found);
    enough_masked(federation, privacy, &round, found);
}

/// The smallest round there may be.
struct Round<'a> {
    dataset: &'a str,
    /// Clients selected for it.
    selected: u32,
    /// Clients it may be left with.
    left: u32,
}

impl Round<'_> {
    /// The number of updates, as the end of a sentence.
    fn words(&self) -> String {
        let Round {
            dataset,
            selected,
            left,
        } = self;
        if left < selected {
            format!("`min_clients` allows a round of `{dataset}` with {left}")
        } else {
            format!("a round of `{dataset}` has {selected}")
        }
    }
}

/// Rules that tell outliers need more updates than there may be outliers.
fn enough_updates(federation: &ProvenFederation, round: &Round<'_>, found: &mut Found) {
    let left = u64::from(round.left);
    let rule = federation.checked.strategy;
    let word = rule.word();
    let (byzantine, needed) = match rule {
        Strategy::Krum { byzantine } => (byzantine, 2 * byzantine + 3),
        Strategy::MultiKrum { byzantine, keep } => {
            let needed = 2 * byzantine + 3;
            if left >= needed && keep > left - byzantine {
                let words = format!(
                    "`multi_krum` keeps {keep} updates, {byzantine} may be anything, and {}",
                    round.words()
                );
                found.push(
                    Diagnostic::error(Code::TooFewUpdates, federation.algorithm, words)
                        .label(format!("`keep` must be at most {}", left - byzantine))
                        .help("lower `keep` or `byzantine`, or have more clients in a round"),
                );
            }
            (byzantine, needed)
        }
        Strategy::Bulyan { byzantine } => (byzantine, 4 * byzantine + 3),
        // A trimmed share below one half always leaves a value.
        Strategy::TrimmedMean { beta: _ }
        | Strategy::Fedavg
        | Strategy::Fedprox
        | Strategy::Fedbn
        | Strategy::Fedavgm { .. }
        | Strategy::Fedadam { .. }
        | Strategy::Fedyogi { .. }
        | Strategy::Fedadagrad { .. }
        | Strategy::Fednova
        | Strategy::Scaffold { .. }
        | Strategy::Qfedavg { .. }
        | Strategy::Median
        | Strategy::GeometricMedian { .. }
        | Strategy::NormBound { .. } => return,
    };
    if left < needed {
        let words = format!(
            "`{word}` needs {needed} updates when {byzantine} may be anything, and {}",
            round.words()
        );
        found.push(
            Diagnostic::error(Code::TooFewUpdates, federation.algorithm, words)
                .label(format!("needs {needed} updates"))
                .help("lower `byzantine`, or have more clients in a round"),
        );
    }
}

/// Central privacy holds for means of updates taken one by one.
fn central(federation: &ProvenFederation, privacy: &ProvenPrivacy, found: &mut Found) {
    let Some(place) = privacy.central else { return };
    let rule = federation.checked.strategy;
    if rule.needs() == Needs::Each {
        let words = format!(
            "central privacy bounds the part of a client in a mean, and `{}` is not a plain mean of updates",
            rule.word()
        );
        found.push(
            Diagnostic::error(Code::NoCentralPrivacy, place, words)
                .label(format!("not with `{}`", rule.word()))
                .help(
                    "use `fedavg`, `fedavgm`, `fedadam`, `fedyogi` or `fedadagrad`, or leave `central` out",
                ),
        );
    }
}

/// A tree hands on sums alone.
fn tree(
    federation: &ProvenFederation,
    execution: &ProvenExecution,
    privacy: &ProvenPrivacy,
    found: &mut Found,
) {
    let Some(place) = execution.fan_in else { return };
    let rule = federation.checked.strategy;
    let sums = rule.needs() == Needs::Sum;
    let word = rule.word();
    let mut refuse = |words: String, label: &str| {
        found.push(
            Diagnostic::error(Code::NoTree, place, words)
                .label(label)
                .help("leave `aggregation` out: one job then reads all updates of a round"),
        );
    };
    if !sums {
        let words = format!("a tree hands on sums of updates, and `{word}` needs each update by itself");
        refuse(words, &format!("not with `{word}`"));
    }
    if privacy.central.is_some() {
        let words =
            "a tree hands on sums of updates, and central privacy must scale down each by itself".to_owned();
        refuse(words, "not with `privacy: {central: ...}`");
    }
    if privacy.checked.secure_aggregation {
        let words =
            "a tree hands on sums of updates, and masks fall away only in the sum of all of them".to_owned();
        refuse(words, "not with `secure_aggregation`");
    }
}

/// Masks fall away in a plain sum and nowhere else.
fn maskable(
    federation: &ProvenFederation,
    execution: &ProvenExecution,
    privacy: &ProvenPrivacy,
    found: &mut Found,
) {
    if !privacy.checked.secure_aggregation {
        return;
    }
    let rule = federation.checked.strategy;
    let mut refuse = |words: String, label: String, help: &str| {
        found.push(
            Diagnostic::error(Code::NotMaskable, privacy.secure_aggregation, words)
                .label(label)
                .help(help),
        );
    };
    let keeps_head = federation.checked.recipe.method == Method::Fedper;
    if !matches!(rule, Strategy::Fedavg | Strategy::Fedprox) || keeps_head {
        let word = if keeps_head {
            "fedper".to_owned()
        } else {
            rule.word()
        };
        refuse(
            format!("masked updates can only be added up, as `fedavg` does, and `{word}` does more"),
            format!("not with `{word}`"),
            "use `fedavg`, `fedprox` or `ditto`, or leave `secure_aggregation` out",
        );
    }
    if federation.compression.is_some() {
        refuse(
            "masked updates look like noise, which no encoding makes smaller".to_owned(),
            "not with `compression`".to_owned(),
            "leave `compression` or `secure_aggregation` out",
        );
    }
    if execution.checked.clients_per_job > 1 {
        refuse(
            "masks hide clients' updates from each other, and a job of several clients has the keys of all"
                .to_owned(),
            "not with `clients_per_job`".to_owned(),
            "leave `clients_per_job` or `secure_aggregation` out",
        );
    }
    if privacy.central.is_some() {
        refuse(
            "central privacy must scale down each update, and a masked one cannot be read".to_owned(),
            "not with `central`".to_owned(),
            "leave `central` or `secure_aggregation` out",
        );
    }
}

/// In a sum of two, each of the two clients finds the other's update.
fn enough_masked(
    federation: &ProvenFederation,
    privacy: &ProvenPrivacy,
    round: &Round<'_>,
    found: &mut Found,
) {
    const LEAST: u32 = 3;
    if !privacy.checked.secure_aggregation || round.left >= LEAST {
        return;
    }
    let place = match federation.min_clients {
        Some(place) if round.selected >= LEAST => place,
        _ => privacy.secure_aggregation,
    };
    let words = format!(
        "masks hide an update among those of at least {LEAST} clients, and {}",
        round.words()
    );
    found.push(
        Diagnostic::error(Code::TooFewMasked, place, words)
            .label("too few clients to hide among")
            .help("with 2 clients each learns the other's update by taking its own from the sum; have more in a round"),
    );
}
