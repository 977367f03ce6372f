//! Rules of what a client does in a round: from keys to the parts of a [`Recipe`].
//!
//! Start at [`local`]. What needs other parts of the specification (the network, the rule, privacy) is in `methods.rs`.

use contract::{
    recipe::{
        Across, Augment, ClassWeights, Decay, EarlyStop, Loss, LossKind, Method, OptimizerState, Precision,
        Recipe, Schedule,
    },
    training::{Moments, Optimizer},
};

use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, types},
};

/// What a client does in a round, and the places rules of several parts point at.
pub struct ProvenLocal {
    /// Passes over a client's samples in a round, at least 1.
    pub epochs: u32,
    /// How it trains: the method, what stays as it is and the samples' privacy are other parts' and not in it yet.
    pub recipe: Recipe,
    /// Where the places are.
    pub places: LocalPlaces,
}

/// Where in a specification parts of a recipe stand.
#[derive(Debug, Clone, Copy)]
pub struct LocalPlaces {
    /// The batch size.
    pub batch_size: Span,
    /// The optimiser's word.
    pub optimizer: Span,
    /// The class weights, if they are there.
    pub class_weights: Option<Span>,
    /// The early stop, if it is there.
    pub early_stop: Option<Span>,
}

/// Proves what a client does in each of `rounds` rounds, where their number is known.
pub fn local(local: types::Local, rounds: Option<u32>, found: &mut Found) -> Option<ProvenLocal> {
    let types::Local {
        epochs,
        batch_size,
        optimizer,
        optimizer_state,
        schedule,
        loss,
        clip_norm,
        augment,
        validation,
        early_stop,
        precision,
        ahead,
    } = local;
    let epochs = epochs.map(|epochs| epochs.value.get32());
    let optimizer = optimizer.and_then(|written| {
        let place = self::place(&written.value);
        Some((self::optimizer(written.value, found)?, place))
    });
    let optimizer_state = state(optimizer_state, optimizer, found);
    let schedule = match schedule {
        None => Some(Schedule::CONSTANT),
        Some(written) => self::schedule(written, rounds, epochs, found),
    };
    let class_weights = loss
        .as_ref()
        .and_then(|loss| loss.value.class_weights.as_ref())
        .map(|written| match &written.value {
            types::ClassWeights::Equal | types::ClassWeights::Balanced => written.span,
            types::ClassWeights::Given(list) => list.span,
        });
    let loss = match loss {
        None => Some(Loss::CROSS_ENTROPY),
        Some(written) => self::loss(written.value, found),
    };
    let augment = match augment {
        None => Some(None),
        Some(written) => self::augment(written, found).map(Some),
    };
    if let (Some(early_stop), None) = (&early_stop, &validation) {
        found.push(
            Diagnostic::error(
                Code::NoValidation,
                early_stop.span,
                "`early_stop` watches the loss on validation samples, and no samples are kept for that",
            )
            .label("needs `validation`")
            .help("write `validation: 0.1` beside it, or leave `early_stop` out"),
        );
    }
    let stop_place = early_stop.as_ref().map(|early_stop| early_stop.span);
    let early_stop = match early_stop {
        None => None,
        Some(At {
            value: types::EarlyStop { patience, least },
            span: _,
        }) => Some(EarlyStop {
            patience: patience?.value.get32(),
            least: least?.value.get(),
        }),
    };
    let precision = match precision.map(|precision| precision.value) {
        None | Some(types::Precision::F32) => Precision::F32,
        Some(types::Precision::Bf16) => Precision::Bf16,
    };
    let (optimizer, optimizer_place) = optimizer?;
    let batch_size = batch_size?;
    Some(ProvenLocal {
        epochs: epochs?,
        places: LocalPlaces {
            batch_size: batch_size.span,
            optimizer: optimizer_place,
            class_weights,
            early_stop: stop_place,
        },
        recipe: Recipe {
            fedwing_recipe: Recipe::VERSION,
            batch_size: batch_size.value.get32(),
            optimizer,
            optimizer_state: optimizer_state?,
            schedule: schedule?,
            loss: loss?,
            method: Method::Plain,
            clip_norm: clip_norm.map(|norm| norm.value.get()),
            freeze: Vec::new(),
            augment: augment?,
            validation: validation.map(|share| share.value.get()),
            early_stop,
            privacy: None,
            precision,
            ahead: ahead?.value.get32(),
        },
    })
}

/// A setting that changes nothing where it stands.
pub fn no_effect(span: Span, words: String, label: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::NoEffect, span, words)
        .label(label)
        .help(help)
}

/// Where an optimiser's word stands.
fn place(optimizer: &types::Optimizer) -> Span {
    match optimizer {
        types::Optimizer::Sgd(settings) => settings.span,
        types::Optimizer::Adam(settings) | types::Optimizer::Adamw(settings) => settings.span,
    }
}

fn optimizer(optimizer: types::Optimizer, found: &mut Found) -> Option<Optimizer> {
    match optimizer {
        types::Optimizer::Sgd(settings) => {
            let types::Sgd {
                learning_rate,
                momentum,
                nesterov,
                weight_decay,
            } = settings.value;
            let momentum = momentum?.value.get();
            let nesterov = nesterov?;
            if nesterov.value && momentum == 0.0 {
                found.push(no_effect(
                    nesterov.span,
                    "`nesterov` looks ahead along the momentum, and there is none".to_owned(),
                    "needs `momentum`",
                    "write `momentum: 0.9` beside it, or leave `nesterov` out",
                ));
            }
            Some(Optimizer::Sgd {
                learning_rate: learning_rate?.value.get(),
                momentum,
                nesterov: nesterov.value,
                weight_decay: weight_decay?.value.get(),
            })
        }
        types::Optimizer::Adam(settings) => moments(settings.value).map(Optimizer::Adam),
        types::Optimizer::Adamw(settings) => moments(settings.value).map(Optimizer::Adamw),
    }
}

fn moments(settings: types::Adam) -> Option<Moments> {
    let types::Adam {
        learning_rate,
        beta1,
        beta2,
        epsilon,
        weight_decay,
    } = settings;
    Some(Moments {
        learning_rate: learning_rate?.value.get(),
        beta1: beta1?.value.get(),
        beta2: beta2?.value.get(),
        epsilon: epsilon?.value.get(),
        weight_decay: weight_decay?.value.get(),
    })
}

/// What becomes of moments; SGD without momentum has none to keep.
fn state(
    written: Option<At<types::OptimizerState>>,
    optimizer: Option<(Optimizer, Span)>,
    found: &mut Found,
) -> Option<OptimizerState> {
    let Some(At { value, span }) = written else {
        return Some(OptimizerState::Reset);
    };
    match (value, optimizer) {
        (types::OptimizerState::Reset, _) => Some(OptimizerState::Reset),
        (types::OptimizerState::Kept, Some((Optimizer::Sgd { momentum: 0.0, .. }, _))) => {
            found.push(no_effect(
                span,
                "`optimizer_state: kept` keeps moments, and `sgd` without momentum has none".to_owned(),
                "nothing to keep",
                "give `sgd` a momentum, or leave `optimizer_state` out",
            ));
            None
        }
        (types::OptimizerState::Kept, _) => Some(OptimizerState::Kept),
    }
}

/// What a schedule counts, its name for readers, and how many there are.
fn periods(
    across: Option<At<types::Across>>,
    rounds: Option<u32>,
    epochs: Option<u32>,
) -> Option<(Across, &'static str, u32)> {
    match across.map(|across| across.value) {
        None | Some(types::Across::Rounds) => Some((Across::Rounds, "rounds", rounds?)),
        Some(types::Across::Epochs) => Some((Across::Epochs, "epochs", epochs?)),
    }
}

/// Proves a schedule: that there are periods enough for it to change anything.
fn schedule(
    written: At<types::Schedule>,
    rounds: Option<u32>,
    epochs: Option<u32>,
    found: &mut Found,
) -> Option<Schedule> {
    let (span, across, warm_up, decay, least_left, what) = match written.value {
        types::Schedule::Constant(At { value, span }) => {
            let types::Constant { across, warm_up } = value;
            (span, across, warm_up?.value.get32(), Decay::None, 1, "")
        }
        types::Schedule::Cosine(At { value, span }) => {
            let types::Cosine {
                across,
                warm_up,
                least,
            } = value;
            let least = least?.value.get();
            let decay = Decay::Cosine { least };
            (span, across, warm_up?.value.get32(), decay, 2, "a cosine")
        }
        types::Schedule::Step(At { value, span }) => {
            let types::Steps {
                across,
                warm_up,
                every,
                factor,
            } = value;
            let every = every?.value.get32();
            let factor = factor?.value.0.get();
            let decay = Decay::Step { every, factor };
            (
                span,
                across,
                warm_up?.value.get32(),
                decay,
                every.saturating_add(1),
                "the first step",
            )
        }
    };
    let (across, name, periods) = periods(across, rounds, epochs)?;
    let left = periods.saturating_sub(warm_up);
    if left < least_left {
        let needs = match what {
            "" => format!("the warm-up of {warm_up} {name} must leave at least 1"),
            what => format!("{what} needs {least_left} {name} after the warm-up of {warm_up}"),
        };
        let help = match across {
            Across::Rounds => "have more `rounds`, shorten the schedule, or count `across: epochs`",
            Across::Epochs => "have more `epochs`, shorten the schedule, or count `across: rounds`",
        };
        found.push(
            Diagnostic::error(
                Code::ScheduleUnfit,
                span,
                format!("{needs}, and there are {periods} {name}"),
            )
            .label("would change nothing in time")
            .help(help),
        );
        return None;
    }
    Some(Schedule {
        across,
        periods,
        warm_up,
        decay,
    })
}

fn loss(loss: types::Loss, found: &mut Found) -> Option<Loss> {
    let types::Loss {
        kind,
        smoothing,
        class_weights,
    } = loss;
    let kind = match kind.map(|kind| kind.value) {
        None | Some(types::LossKind::CrossEntropy) => LossKind::CrossEntropy,
        Some(types::LossKind::Focal(At { value, span: _ })) => {
            let types::Focal { gamma } = value;
            LossKind::Focal {
                gamma: gamma?.value.get(),
            }
        }
    };
    let class_weights = match class_weights.map(|weights| weights.value) {
        None | Some(types::ClassWeights::Equal) => ClassWeights::Equal,
        Some(types::ClassWeights::Balanced) => ClassWeights::Balanced,
        Some(types::ClassWeights::Given(At { value, span })) => {
            let weights: Vec<f64> = value.0.iter().map(|weight| weight.value.get()).collect();
            if weights.iter().all(|weight| *weight == 0.0) {
                found.push(
                    Diagnostic::error(
                        Code::ClassWeights,
                        span,
                        "every class weight is 0: nothing would be learned",
                    )
                    .label("must have one above 0"),
                );
                return None;
            }
            ClassWeights::Given(weights)
        }
    };
    Some(Loss {
        kind,
        smoothing: smoothing?.value.get(),
        class_weights,
    })
}

fn augment(written: At<types::Augment>, found: &mut Found) -> Option<Augment> {
    let types::Augment {
        crop,
        flip,
        rotate,
        brightness,
        contrast,
    } = written.value;
    let augment = Augment {
        crop: crop?.value.0.get(),
        flip: flip?.value.get(),
        rotate: rotate?.value.get(),
        brightness: brightness?.value.get(),
        contrast: contrast?.value.get(),
    };
    let nothing = Augment {
        crop: 1.0,
        flip: 0.0,
        rotate: 0.0,
        brightness: 0.0,
        contrast: 0.0,
    };
    if augment == nothing {
        found.push(no_effect(
            written.span,
            "`augment` varies nothing".to_owned(),
            "needs a setting that changes images",
            "write `augment: {crop: 0.8, rotate: 10}`, or leave it out",
        ));
        return None;
    }
    Some(augment)
}
