//! The recipe of a training job: read, and proven to make sense.
//!
//! In: a file. Out: a [`Recipe`] whose every value lies within its bounds. Start at [`open`].

use std::path::Path;

use contract::{
    job::JobError,
    recipe::{
        Augment, ClassWeights, Decay, EarlyStop, LocalPrivacy, Loss, LossKind, Method, OptimizerState,
        Recipe, Schedule,
    },
    training::{Moments, Optimizer},
};

use crate::data::document::{self, Version};

/// Largest recipe read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a recipe.
///
/// # Errors
/// `InputMissing`, `Io` or `InputInvalid` naming the file and the value.
pub fn open(path: &Path) -> Result<Recipe, JobError> {
    let version = Version {
        field: "fedwing_recipe",
        known: Recipe::VERSION,
    };
    let recipe: Recipe = document::read(path, MAX_BYTES, version, |recipe: &Recipe| recipe.fedwing_recipe)?;
    check(&recipe).map_err(|reason| JobError::invalid(path, reason))?;
    Ok(recipe)
}

/// Proves the bounds of the course of training; the first value out of them as an error.
fn check(recipe: &Recipe) -> Result<(), String> {
    let Recipe {
        fedwing_recipe: _,
        batch_size,
        optimizer,
        optimizer_state,
        schedule,
        loss,
        method,
        clip_norm,
        freeze: _,
        augment,
        validation,
        early_stop,
        privacy,
        precision: _,
        ahead,
    } = recipe;
    at_least_one("batch_size", *batch_size)?;
    at_least_one("ahead", *ahead)?;
    check_optimizer(optimizer)?;
    check_schedule(schedule)?;
    check_loss(loss)?;
    check_method(recipe, *method, *optimizer_state)?;
    if let Some(rule) = privacy {
        check_privacy(recipe, rule)?;
    }
    if let Some(norm) = clip_norm {
        bound("clip_norm", *norm, *norm > 0.0, "more than 0")?;
    }
    if let Some(augment) = augment {
        check_augment(augment)?;
    }
    if let Some(share) = validation {
        let inside = *share > 0.0 && *share < 1.0;
        bound("validation", *share, inside, "above 0 and below 1")?;
    }
    match (early_stop, validation) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("`early_stop` needs `validation`, whose loss it watches".to_owned()),
        (Some(EarlyStop { patience, least }), Some(_)) => {
            at_least_one("early_stop.patience", *patience)?;
            bound("early_stop.least", *least, *least >= 0.0, "0 or more")
        }
    }
}

fn check_optimizer(optimizer: &Optimizer) -> Result<(), String> {
    match optimizer {
        Optimizer::Sgd {
            learning_rate,
            momentum,
            nesterov,
            weight_decay,
        } => {
            check_rates(*learning_rate, *weight_decay)?;
            share("optimizer.momentum", *momentum)?;
            if *nesterov && *momentum == 0.0 {
                return Err(
                    "`optimizer.nesterov` looks ahead along momentum and needs some, not 0".to_owned(),
                );
            }
            Ok(())
        }
        Optimizer::Adam(moments) | Optimizer::Adamw(moments) => {
            let Moments {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } = moments;
            check_rates(*learning_rate, *weight_decay)?;
            share("optimizer.beta1", *beta1)?;
            share("optimizer.beta2", *beta2)?;
            bound("optimizer.epsilon", *epsilon, *epsilon > 0.0, "more than 0")
        }
    }
}

fn check_rates(learning_rate: f64, weight_decay: f64) -> Result<(), String> {
    bound(
        "optimizer.learning_rate",
        learning_rate,
        learning_rate > 0.0,
        "more than 0",
    )?;
    bound(
        "optimizer.weight_decay",
        weight_decay,
        weight_decay >= 0.0,
        "0 or more",
    )
}

fn check_schedule(schedule: &Schedule) -> Result<(), String> {
    let Schedule {
        across: _,
        periods,
        warm_up,
        decay,
    } = schedule;
    at_least_one("schedule.periods", *periods)?;
    if warm_up >= periods {
        return Err(format!(
            "`schedule.warm_up` is {warm_up}, must be below the {periods} of `schedule.periods`"
        ));
    }
    match decay {
        Decay::None => Ok(()),
        Decay::Cosine { least } => bound(
            "schedule.decay.cosine.least",
            *least,
            (0.0..=1.0).contains(least),
            "from 0 to 1",
        ),
        Decay::Step { every, factor } => {
            at_least_one("schedule.decay.step.every", *every)?;
            let inside = *factor > 0.0 && *factor <= 1.0;
            bound(
                "schedule.decay.step.factor",
                *factor,
                inside,
                "above 0, at most 1",
            )
        }
    }
}

fn check_loss(loss: &Loss) -> Result<(), String> {
    let Loss {
        kind,
        smoothing,
        class_weights,
    } = loss;
    share("loss.smoothing", *smoothing)?;
    if let LossKind::Focal { gamma } = kind {
        bound("loss.kind.focal.gamma", *gamma, *gamma >= 0.0, "0 or more")?;
    }
    match class_weights {
        ClassWeights::Equal | ClassWeights::Balanced => Ok(()),
        ClassWeights::Given(weights) => {
            for weight in weights {
                bound("loss.class_weights.given", *weight, *weight >= 0.0, "0 or more")?;
            }
            if weights.iter().all(|weight| *weight == 0.0) {
                return Err("`loss.class_weights.given` is 0 for every class".to_owned());
            }
            Ok(())
        }
    }
}

fn check_method(recipe: &Recipe, method: Method, optimizer_state: OptimizerState) -> Result<(), String> {
    let is_plain = matches!(recipe.optimizer, Optimizer::Sgd { momentum: 0.0, .. });
    if optimizer_state == OptimizerState::Kept && is_plain {
        return Err("`optimizer_state` keeps moments, and SGD without momentum has none".to_owned());
    }
    match method {
        Method::Plain | Method::Qfedavg | Method::Fedbn | Method::Fedper => Ok(()),
        Method::Fedprox { mu } => bound("method.fedprox.mu", mu, mu >= 0.0, "0 or more"),
        Method::Ditto { lambda } => bound("method.ditto.lambda", lambda, lambda >= 0.0, "0 or more"),
        Method::Scaffold if !is_plain => Err(
            "`method.scaffold` takes the mean gradient from how far plain steps went: `optimizer` must be SGD with a \
             `momentum` of 0"
                .to_owned(),
        ),
        Method::Scaffold if recipe.clip_norm.is_some() => Err(
            "`method.scaffold` takes the mean gradient from how far the steps went, which `clip_norm` shortens: leave \
             one of them out"
                .to_owned(),
        ),
        Method::Scaffold => Ok(()),
    }
}

fn check_privacy(recipe: &Recipe, rule: &LocalPrivacy) -> Result<(), String> {
    let LocalPrivacy {
        norm,
        noise_multiplier,
        delta,
    } = rule;
    bound("privacy.norm", *norm, *norm > 0.0, "more than 0")?;
    bound(
        "privacy.noise_multiplier",
        *noise_multiplier,
        *noise_multiplier > 0.0,
        "more than 0",
    )?;
    let inside = *delta > 0.0 && *delta < 1.0;
    bound("privacy.delta", *delta, inside, "above 0 and below 1")?;
    let refuse = |what: &str, why: &str| {
        Err(format!(
            "`{what}` {why}, which no noise hides: not with `privacy`"
        ))
    };
    if recipe.early_stop.is_some() {
        return refuse("early_stop", "chooses weights by the loss on samples");
    }
    if recipe.loss.class_weights == ClassWeights::Balanced {
        return refuse("loss.class_weights", "counts the client's samples of each class");
    }
    if recipe.method == Method::Qfedavg {
        return refuse("method.qfedavg", "sends the loss on the client's samples");
    }
    Ok(())
}

fn check_augment(augment: &Augment) -> Result<(), String> {
    let Augment {
        crop,
        flip,
        rotate,
        brightness,
        contrast,
    } = augment;
    let unit = |name: &str, value: f64| bound(name, value, (0.0..=1.0).contains(&value), "from 0 to 1");
    let inside = *crop > 0.0 && *crop <= 1.0;
    bound("augment.crop", *crop, inside, "above 0, at most 1")?;
    unit("augment.flip", *flip)?;
    let inside = (0.0..=180.0).contains(rotate);
    bound("augment.rotate", *rotate, inside, "from 0 to 180 degrees")?;
    unit("augment.brightness", *brightness)?;
    share("augment.contrast", *contrast)
}

fn at_least_one(name: &str, value: u32) -> Result<(), String> {
    match value {
        0 => Err(format!("`{name}` must be at least 1")),
        _ => Ok(()),
    }
}

fn share(name: &str, value: f64) -> Result<(), String> {
    bound(name, value, (0.0..1.0).contains(&value), "from 0 to below 1")
}

fn bound(name: &str, value: f64, inside: bool, must: &str) -> Result<(), String> {
    if inside && value.is_finite() {
        Ok(())
    } else {
        Err(format!("`{name}` is {value}, must be {must}"))
    }
}

#[cfg(test)]
mod tests {
    use contract::recipe::Across;

    use super::*;

    const SGD: Optimizer = Optimizer::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };

    const PRIVATE: LocalPrivacy = LocalPrivacy {
        norm: 1.0,
        noise_multiplier: 1.0,
        delta: 1e-5,
    };

    fn plain() -> Recipe {
        let optimizer = Optimizer::Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
        };
        Recipe {
            schedule: Schedule {
                across: Across::Rounds,
                periods: 5,
                warm_up: 4,
                decay: Decay::Cosine { least: 1.0 },
            },
            clip_norm: Some(1e-9),
            augment: Some(Augment {
                crop: 1.0,
                flip: 1.0,
                rotate: 180.0,
                brightness: 1.0,
                contrast: 0.99,
            }),
            validation: Some(0.5),
            early_stop: Some(EarlyStop {
                patience: 1,
                least: 0.0,
            }),
            ..Recipe::plain(1, optimizer)
        }
    }

    #[test]
    fn every_value_out_of_its_bounds_is_named_and_those_at_them_are_not() {
        assert_eq!(check(&plain()), Ok(()));
        fn given(weights: &[f64]) -> ClassWeights {
            ClassWeights::Given(weights.to_vec())
        }
        fn sgd(recipe: &mut Recipe, change: impl Fn(&mut f64, &mut f64, &mut f64)) {
            if let Optimizer::Sgd {
                learning_rate,
                momentum,
                weight_decay,
                ..
            } = &mut recipe.optimizer
            {
                change(learning_rate, momentum, weight_decay);
            }
        }
        type Change<T> = fn(&mut T);
        let cases: &[(&str, Change<Recipe>)] = &[
            ("batch_size", |r| r.batch_size = 0),
            ("ahead", |r| r.ahead = 0),
            ("optimizer.learning_rate", |r| sgd(r, |rate, _, _| *rate = 0.0)),
            ("optimizer.learning_rate", |r| {
                sgd(r, |rate, _, _| *rate = f64::NAN)
            }),
            ("optimizer.momentum", |r| sgd(r, |_, momentum, _| *momentum = 1.0)),
            ("optimizer.nesterov", |r| sgd(r, |_, momentum, _| *momentum = 0.0)),
            ("optimizer.weight_decay", |r| sgd(r, |_, _, decay| *decay = -1.0)),
            ("schedule.periods", |r| r.schedule.periods = 0),
            ("schedule.warm_up", |r| r.schedule.warm_up = 5),
            ("schedule.decay.cosine.least", |r| {
                r.schedule.decay = Decay::Cosine { least: 1.1 }
            }),
            ("schedule.decay.step.every", |r| {
                r.schedule.decay = Decay::Step {
                    every: 0,
                    factor: 0.5,
                }
            }),
            ("schedule.decay.step.factor", |r| {
                r.schedule.decay = Decay::Step {
                    every: 1,
                    factor: 0.0,
                }
            }),
            ("loss.smoothing", |r| r.loss.smoothing = 1.0),
            ("loss.kind.focal.gamma", |r| {
                r.loss.kind = LossKind::Focal { gamma: -0.1 }
            }),
            ("loss.class_weights.given", |r| {
                r.loss.class_weights = given(&[1.0, -1.0])
            }),
            ("loss.class_weights.given", |r| {
                r.loss.class_weights = given(&[0.0, 0.0])
            }),
            ("clip_norm", |r| r.clip_norm = Some(0.0)),
            ("clip_norm", |r| r.clip_norm = Some(f64::INFINITY)),
            ("validation", |r| r.validation = Some(1.0)),
            ("early_stop", |r| r.validation = None),
            ("early_stop.patience", |r| {
                r.early_stop = Some(EarlyStop {
                    patience: 0,
                    least: 0.0,
                })
            }),
            ("early_stop.least", |r| {
                r.early_stop = Some(EarlyStop {
                    patience: 1,
                    least: -1.0,
                })
            }),
        ];
        let methods: &[(&str, Change<Recipe>)] = &[
            ("method.fedprox.mu", |r| r.method = Method::Fedprox { mu: -0.1 }),
            ("method.ditto.lambda", |r| {
                r.method = Method::Ditto { lambda: f64::NAN }
            }),
            ("method.scaffold", |r| r.method = Method::Scaffold),
            ("clip_norm", |r| {
                r.method = Method::Scaffold;
                r.optimizer = Recipe::plain(1, SGD).optimizer;
            }),
            ("optimizer_state", |r| {
                r.optimizer_state = OptimizerState::Kept;
                r.optimizer = Recipe::plain(1, SGD).optimizer;
            }),
            ("early_stop", |r| r.privacy = Some(PRIVATE)),
            ("loss.class_weights", |r| {
                r.privacy = Some(PRIVATE);
                r.early_stop = None;
                r.loss.class_weights = ClassWeights::Balanced;
            }),
            ("method.qfedavg", |r| {
                r.privacy = Some(PRIVATE);
                r.early_stop = None;
                r.method = Method::Qfedavg;
            }),
            ("privacy.norm", |r| {
                r.privacy = Some(LocalPrivacy { norm: 0.0, ..PRIVATE })
            }),
            ("privacy.noise_multiplier", |r| {
                r.privacy = Some(LocalPrivacy {
                    noise_multiplier: 0.0,
                    ..PRIVATE
                })
            }),
            ("privacy.delta", |r| {
                r.privacy = Some(LocalPrivacy {
                    delta: 1.0,
                    ..PRIVATE
                })
            }),
        ];
        for (name, change) in cases.iter().chain(methods) {
            let mut recipe = plain();
            change(&mut recipe);
            let error = check(&recipe).unwrap_err();
            assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
        }
        let augments: &[(&str, Change<Augment>)] = &[
            ("augment.crop", |a| a.crop = 0.0),
            ("augment.flip", |a| a.flip = -0.1),
            ("augment.rotate", |a| a.rotate = 181.0),
            ("augment.brightness", |a| a.brightness = 1.5),
            ("augment.contrast", |a| a.contrast = 1.0),
        ];
        for (name, change) in augments {
            let mut recipe = plain();
            recipe.augment.iter_mut().for_each(change);
            let error = check(&recipe).unwrap_err();
            assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
        }
    }
}
