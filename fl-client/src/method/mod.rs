//! What a client does beside following its own gradients: FedProx, SCAFFOLD, q-FedAvg, FedBN, FedPer, Ditto, DP-SGD.
//!
//! In: the global model, what the client kept, samples, a course. Out: what the update carries, what the client keeps now.
//! Start at [`Side::train`].
//!
//! | method | before training | each gradient | the update | kept at the site |
//! |---|---|---|---|---|
//! | FedProx | | `+ µ(w - w_global)` | | |
//! | SCAFFOLD | | `+ c - c_i` | changes of c_i | c_i |
//! | q-FedAvg | loss of the global model | | that loss | |
//! | FedBN, FedPer | own layers put in | | the global model's there | own layers |
//! | Ditto | | second training: `+ λ(v - w_global)` | of the first | the second model |
//! | DP-SGD | | bounded by sample, with noise | | steps so far |

pub mod own;
pub mod private;
pub mod proximal;
pub mod scaffold;

use std::path::Path;

use contract::{
    exit::JobExit,
    job::JobError,
    metrics::SamplePrivacySpent,
    recipe::{Method, OptimizerState},
    tensors::Header,
    training::{Moments, Optimizer},
};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::{
    batches::Samples,
    fit::{Course, Outcome, checkpoint::Keeper, fit, loss_before},
    model::{Frozen, Model, Weights},
    personal::{Kept, Personal},
    pieces::{Piece, PieceKind},
};
use proximal::Toward;
use scaffold::{ServerVariate, Variates};

/// Of what a method changes gradients by, for checkpoints.
const FINGERPRINT: &str = "method.digest";

/// What a method brings to a client's training.
pub struct Side<'a> {
    /// The network.
    pub model: &'a Model,
    /// The global model's weights.
    pub global: &'a Weights,
    /// What the client kept, or begins with; where the recipe has it keep something.
    pub personal: Option<Personal>,
    /// The personal file that was given, for messages.
    pub given: Option<&'a Path>,
    /// SCAFFOLD: the server's variate.
    pub server: Option<ServerVariate>,
    /// Where checkpoints go, and the header of the job's update.
    pub checkpoint: Option<(&'a Path, &'a Header)>,
}

/// What came of training.
pub struct Done {
    /// What the update carries.
    pub sent: Weights,
    /// Of the model that is sent.
    pub outcome: Outcome,
    /// SCAFFOLD: changes of the client's control variate.
    pub controls: Vec<Piece>,
    /// q-FedAvg: loss of the global model.
    pub train_loss: Option<f64>,
    /// DP-SGD: what was promised so far.
    pub privacy: Option<SamplePrivacySpent>,
    /// What the client keeps now.
    pub personal: Option<Personal>,
}

impl Side<'_> {
    /// Trains as the recipe of `course` says.
    ///
    /// # Errors
    /// As [`fit`]; `Usage` if the method does not fit the model; `InputInvalid` if what was kept is of other samples.
    pub fn train(&self, samples: &Samples<'_>, course: Course<'_>) -> Result<Done, JobError> {
        let (model, recipe) = (self.model, course.recipe);
        let own = own::own(recipe.method, model)?;
        let is_ditto = matches!(recipe.method, Method::Ditto { .. });
        let before = self.personal.as_ref().map(|personal| &personal.kept);
        let mut weights = self.global.clone();
        if let Some(kept) = before.filter(|_| !is_ditto) {
            weights.adopt(&kept.own, &own);
        }
        let train_loss = match recipe.method {
            Method::Qfedavg => Some(loss_before(model, self.global, samples, &course)?),
            _ => None,
        };
        let keeper = self.keeper("update")?;
        let first = Course {
            optimizer: before.and_then(|kept| kept.optimizer.as_ref()),
            keeper: keeper.as_ref(),
            ..course
        };
        let (mut controls, mut variate) = (Vec::new(), None);
        let outcome = match (recipe.method, &self.server, before) {
            (Method::Fedprox { mu }, _, _) => {
                let mut toward = Toward {
                    anchor: self.global,
                    strength: mu,
                };
                fit(model, &mut weights, samples, first, &mut toward)?
            }
            (Method::Scaffold, Some(server), Some(kept)) => {
                let mut variates = Variates::new(server, &kept.variate);
                let outcome = fit(model, &mut weights, samples, first, &mut variates)?;
                let frozen = Frozen::matching(model, &recipe.freeze)?;
                let rates = learning_rate(recipe.optimizer) * outcome.local_steps;
                let next = variates.next(model, &frozen, (self.global, &weights), rates)?;
                controls = next.pieces(model);
                variate = Some(next.own);
                outcome
            }
            _ => fit(model, &mut weights, samples, first, &mut ())?,
        };
        // A keeper of one training; the next makes its own.
        drop(keeper);
        let mut runs = 1;
        let (mut second, mut second_optimizer) = (None, None);
        if let (Method::Ditto { lambda }, Some(kept)) = (recipe.method, before) {
            let (weights, outcome) = self.personal_model(samples, course, kept, lambda)?;
            (second, second_optimizer) = (Some(weights), Some(outcome.optimizer));
            runs = 2;
        }
        let (mut steps, mut share, mut privacy) = (0, None, None);
        if let Some(rule) = &recipe.privacy {
            let now = private::sampling_share(recipe.batch_size, outcome.trained_on);
            self.check_share(now)?;
            let an_epoch = outcome.trained_on.div_ceil(u64::from(recipe.batch_size));
            steps = before.map_or(0, |kept| kept.steps) + runs * u64::from(course.epochs) * an_epoch;
            share = Some(now);
            privacy = Some(private::spent(rule, now, steps)?);
        }
        let personal = self.personal.as_ref().map(|before| {
            let keeps = recipe.optimizer_state == OptimizerState::Kept;
            before.with(Kept {
                own: second.as_ref().unwrap_or(&weights).only(&own),
                variate: variate.unwrap_or_else(|| before.kept.variate.clone()),
                optimizer: keeps.then(|| outcome.optimizer.clone()),
                own_optimizer: second_optimizer.filter(|_| keeps),
                steps,
                share,
            })
        });
        if !is_ditto {
            weights.adopt(self.global, &own);
        }
        Ok(Done {
            sent: weights,
            outcome,
            controls,
            train_loss,
            privacy,
            personal,
        })
    }

    /// Ditto's second training: the client's own model, near the global one.
    fn personal_model(
        &self,
        samples: &Samples<'_>,
        course: Course<'_>,
        kept: &Kept,
        lambda: f64,
    ) -> Result<(Weights, Outcome), JobError> {
        let keeper = self.keeper("personal")?;
        let course = Course {
            seed: course.seed.derive("personal model"),
            optimizer: kept.own_optimizer.as_ref(),
            keeper: keeper.as_ref(),
            ..course
        };
        let mut toward = Toward {
            anchor: self.global,
            strength: lambda,
        };
        let mut weights = kept.own.clone();
        let outcome =
            fit(self.model, &mut weights, samples, course, &mut toward).map_err(|error| JobError {
                message: format!("the client's own model: {}", error.message),
                ..error
            })?;
        Ok((weights, outcome))
    }

    fn keeper(&self, stage: &'static str) -> Result<Option<Keeper<'_>>, JobError> {
        let keeper = |(path, header)| Keeper::new(path, header, stage);
        self.checkpoint.map(keeper).transpose()
    }

    /// Steps of different sampling are not counted together.
    fn check_share(&self, now: f64) -> Result<(), JobError> {
        let before = self.personal.as_ref().and_then(|personal| personal.kept.share);
        match (before, self.given) {
            (Some(before), Some(path)) if before != now => {
                let reason = format!(
                    "its steps took each sample with probability {before}, those of this job take them with {now}"
                );
                Err(JobError::invalid(path, reason).help("train on the shard it was made with"))
            }
            _ => Ok(()),
        }
    }
}

/// The optimiser's learning rate.
fn learning_rate(optimizer: Optimizer) -> f64 {
    let (Optimizer::Sgd { learning_rate, .. }
    | Optimizer::Adam(Moments { learning_rate, .. })
    | Optimizer::Adamw(Moments { learning_rate, .. })) = optimizer;
    learning_rate
}

/// A digest of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn into_piece(self) -> Piece {
        Piece {
            name: FINGERPRINT.to_owned(),
            kind: PieceKind::U32,
            shape: vec![8],
            bytes: self.0.to_vec(),
        }
    }
}

fn fingerprint(tensors: &[Vec<f32>]) -> Fingerprint {
    let mut hash = Sha256::new();
    for values in tensors {
        hash.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Fingerprint(hash.finalize().into())
}

/// Whether a checkpoint is of a training with the same changes of gradients.
fn recall(file: &SafeTensors<'_>, ours: &Fingerprint) -> Result<(), String> {
    match file.tensor(FINGERPRINT) {
        Ok(view) if view.dtype() == Dtype::U32 && view.data() == ours.0 => Ok(()),
        Ok(_) => Err("it is of other control variates or another model to stay near".to_owned()),
        Err(_) => Err(format!("tensor `{FINGERPRINT}` is missing")),
    }
}

/// Whether an optional piece of a job is there exactly when the recipe needs it.
///
/// # Errors
/// `Usage` naming the flag.
pub fn check_flag(is_needed: bool, is_given: bool, flag: &str, why: &str) -> Result<(), JobError> {
    let usage = |text: String, help: String| Err(JobError::new(JobExit::Usage, text).help(help));
    match (is_needed, is_given) {
        (true, false) => usage(
            format!("`{flag}` is missing: the recipe {why}"),
            format!("give `{flag}`"),
        ),
        (false, true) => usage(
            format!("`{flag}` has no effect: the recipe {why}"),
            format!("leave `{flag}` out"),
        ),
        (true, true) | (false, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
