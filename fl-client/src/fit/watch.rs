//! Validation: a client's patients kept from training, the loss on their images, and when to stop.
//!
//! In: samples with hashes of patients, then a loss an epoch. Out: a [`Split`], and whether to go on. Start at [`split`].

use std::collections::BTreeSet;

use contract::{exit::JobExit, ids::Seed, job::JobError, recipe::EarlyStop};
use kernels::random::Random;

use super::loss::{Criterion, Total};
use crate::{
    batches::{Batch, Samples},
    data::shard::PatientHash,
    model::{Frozen, Mode, Model, Pass, Weights},
};

/// Which samples are for what: places, ascending, each in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// To train on.
    pub training: Vec<usize>,
    /// To watch training by.
    pub validation: Vec<usize>,
}

/// Keeps a `share` of each client's patients for validation, rounded to the nearest number of patients.
///
/// Drawn from `seed` and the client alone, so every job with the same seed keeps the same patients. A patient's images
/// are never on both sides, not even of several clients.
///
/// # Errors
/// `DataUnfit` if no patient is left to train on, or none is kept.
pub fn split(samples: &Samples<'_>, share: Option<f64>, seed: Seed) -> Result<Split, JobError> {
    let Some(share) = share else {
        return Ok(Split {
            training: (0..samples.len()).collect(),
            validation: Vec::new(),
        });
    };
    let mut kept = BTreeSet::<PatientHash>::new();
    let mut all = BTreeSet::<PatientHash>::new();
    for shard in samples.shards() {
        // In the order of their hashes: the order of samples does not matter.
        let patients: BTreeSet<PatientHash> = shard.patients().iter().copied().collect();
        let patients: Vec<PatientHash> = patients.into_iter().collect();
        let client = shard.header().client.map_or(0, |client| client.0);
        let order =
            Random::new(seed.derive(&format!("validation client {client}")).0).permutation(patients.len());
        let count = (share * patients.len() as f64).round() as usize;
        kept.extend(order.iter().take(count).map(|place| patients[*place]));
        all.extend(patients);
    }
    let whose = samples.shards().flat_map(|shard| shard.patients());
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for (sample, patient) in whose.enumerate() {
        if kept.contains(patient) {
            validation.push(sample);
        } else {
            training.push(sample);
        }
    }
    if training.is_empty() || validation.is_empty() {
        let side = if training.is_empty() {
            "to train on"
        } else {
            "for validation"
        };
        let text = format!(
            "a validation share of {share} of {} patients leaves none {side}",
            all.len()
        );
        return Err(JobError::new(JobExit::DataUnfit, text)
            .help("choose another `validation` share, or give the client more patients"));
    }
    Ok(Split { training, validation })
}

/// The mean loss of the samples at these places, as they are and with running statistics.
///
/// # Errors
/// `NotFinite` if the loss is no number; `Unexpected` if the network refuses the samples.
pub fn mean_loss(
    (model, weights): (&Model, &Weights),
    (samples, places): (&Samples<'_>, &[usize]),
    batch_size: u32,
    criterion: &Criterion,
) -> Result<f64, JobError> {
    let mut pass = Pass::new(model, weights, Mode::Evaluation, &Frozen::none());
    let unexpected = |error: String| JobError::new(JobExit::Unexpected, error);
    let mut total = Total::default();
    for places in places.chunks(batch_size.max(1) as usize) {
        let Batch {
            pixels,
            shape,
            labels,
        } = samples.batch(places);
        let images = pass.input(pixels, shape);
        let logits = model
            .forward(&mut pass, images)
            .map_err(|error| unexpected(error.to_string()))?;
        let logits: Vec<f32> = logits
            .into_data()
            .try_into_vec()
            .map_err(|error| unexpected(format!("{error:?}")))?;
        total.add(criterion.evaluate(&logits, &labels, None));
    }
    match total.mean() {
        loss if loss.is_finite() => Ok(loss),
        loss => Err(JobError::new(JobExit::NotFinite, format!("the loss is {loss}"))
            .help("lower the learning rate, or check the shard's pixel values")),
    }
}

/// The weights of the best epoch so far, and what led to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The weights.
    pub weights: Weights,
    /// FedNova's `a` of the steps up to them.
    pub local_steps: f64,
}

/// Validation losses so far, and what they say about going on.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    rule: Option<EarlyStop>,
    losses: Vec<f64>,
    /// The best epoch, counted from 1, and its loss.
    best: Option<(u32, f64)>,
}

impl Watch {
    /// No losses yet.
    pub fn new(rule: Option<EarlyStop>) -> Self {
        Self {
            rule,
            losses: Vec::new(),
            best: None,
        }
    }

    /// Takes the loss after an epoch; says whether it is better than all before.
    pub fn note(&mut self, loss: f64) -> bool {
        self.losses.push(loss);
        let least = self.rule.map_or(0.0, |rule| rule.least);
        let is_better = self.best.is_none_or(|(_, best)| loss < best - least);
        if is_better {
            self.best = Some((self.losses.len() as u32, loss));
        }
        is_better
    }

    /// Whether to stop: too many epochs without a better loss.
    pub fn is_over(&self) -> bool {
        match (self.rule, self.best) {
            (Some(rule), Some((epoch, _))) => self.losses.len() as u32 - epoch >= rule.patience,
            _ => false,
        }
    }

    /// The best epoch, counted from 1.
    pub fn best_epoch(&self) -> Option<u32> {
        self.best.map(|(epoch, _)| epoch)
    }

    /// The loss after each epoch.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// The loss after each epoch.
    pub fn into_losses(self) -> Vec<f64> {
        self.losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_stops_after_as_many_epochs_without_a_better_loss_as_it_is_patient() {
        let mut watch = Watch::new(Some(EarlyStop {
            patience: 2,
            least: 0.1,
        }));
        assert!(watch.note(1.0) && !watch.is_over());
        // Smaller, but not by enough.
        assert!(!watch.note(0.95) && !watch.is_over());
        assert!(watch.note(0.8) && !watch.is_over());
        assert!(!watch.note(0.9) && !watch.is_over());
        assert!(!watch.note(0.75) && watch.is_over());
        assert_eq!(watch.best_epoch(), Some(3));
    }

    #[test]
    fn without_a_rule_training_never_stops_early() {
        let mut watch = Watch::new(None);
        for loss in 1..100 {
            watch.note(f64::from(loss));
            assert!(!watch.is_over());
        }
    }
}
