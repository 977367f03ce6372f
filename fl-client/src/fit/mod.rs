//! The course of training: epochs of shuffled batches, one optimiser step a batch, as a recipe says.
//!
//! In: a model, its weights, samples, a [`Course`]. Out: changed weights and an [`Outcome`]. Start at [`fit`]; a step is in
//! [`step`], what is made small in [`loss`].
//! The same arguments give the same bits, whatever the number of threads, and however often training was interrupted.

pub mod checkpoint;
pub mod loss;
pub mod progress;
pub mod schedule;
pub mod step;
pub mod stop;
#[cfg(test)]
mod tests;
pub mod watch;

use contract::{exit::JobExit, ids::Seed, job::JobError, recipe::Recipe};
use kernels::random::Random;

use crate::{
    batches::{
        Samples,
        augment::Variation,
        loader::{Ahead, with_loader},
    },
    memory,
    method::private::Privately,
    model::{Frozen, Model, Weights},
    optim::Descent,
};
use checkpoint::{Keeper, Kept};
use loss::{Counts, Criterion, Total};
use progress::Reporter;
use schedule::factor;
use step::{At, Stepper};
use watch::{Best, Split, Watch, mean_loss, split};

pub use step::Adjust;

/// How training goes.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// Passes over the samples.
    pub epochs: u32,
    /// Rounds before the one of the first epoch.
    pub rounds_before: u32,
    /// Epochs that count as a round in the recipe's schedule.
    pub epochs_per_round: u32,
    /// How.
    pub recipe: &'a Recipe,
    /// Seed of the sample order, of augmentation and of all else that differs from job to job.
    pub seed: Seed,
    /// Seed of what stays the same from round to round: which patients are kept for validation.
    pub lasting: Seed,
    /// The optimiser's state to start with; zeros when `None`.
    pub optimizer: Option<&'a Descent>,
    /// Where an interrupted training goes on from; nowhere when `None`.
    pub keeper: Option<&'a Keeper<'a>>,
    /// Who is told.
    pub reporter: &'a Reporter,
}

impl<'a> Course<'a> {
    /// A course of so many epochs of one round, kept nowhere, told to nobody.
    pub fn of(epochs: u32, recipe: &'a Recipe, seed: Seed) -> Self {
        Self {
            epochs,
            rounds_before: 0,
            epochs_per_round: epochs,
            recipe,
            seed,
            lasting: seed,
            optimizer: None,
            keeper: None,
            reporter: &progress::SILENT,
        }
    }
}

/// What came of training, beside the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Mean loss per training sample of every epoch, measured while the weights moved.
    pub epoch_loss: Vec<f64>,
    /// Mean loss per validation sample after every epoch; empty where there are none.
    pub validation_loss: Vec<f64>,
    /// The epoch whose weights are kept, counted from 1, where validation was watched.
    pub best_epoch: Option<u32>,
    /// How much gradient the steps up to the kept weights put into their difference: FedNova's `a`.
    pub local_steps: f64,
    /// Samples trained on: all but those kept for validation.
    pub trained_on: u64,
    /// The optimiser after the last step, for a job that begins.
    pub optimizer: Descent,
}

/// Trains, and leaves the last epoch's weights in `weights`; the best epoch's where the recipe stops early.
///
/// # Numerics
/// Gradients come from the kernels of the network in a fixed order; everything else on the host is computed in a fixed
/// order: no dependence on thread count, on how far ahead batches are made, or on interruptions.
/// # Errors
/// `NotFinite` naming the epoch, the step and the last good one; `DataUnfit` if there are no samples, none are left beside
/// or for validation, or a batch is too small to normalise; `Usage` if no epochs are asked for, or the recipe does not fit
/// the model; `OutOfMemory` if the memory allowed is certainly too small; `Interrupted` after a signal; what reading or
/// writing the checkpoint ran into.
pub fn fit(
    model: &Model,
    weights: &mut Weights,
    samples: &Samples<'_>,
    course: Course<'_>,
    adjust: &mut dyn Adjust,
) -> Result<Outcome, JobError> {
    let recipe = course.recipe;
    if course.epochs == 0 {
        return Err(
            JobError::new(JobExit::Usage, "cannot train for 0 epochs").help("give at least 1 for `--epochs`")
        );
    }
    if samples.is_empty() {
        return Err(JobError::new(
            JobExit::DataUnfit,
            "there are no samples to train on",
        ));
    }
    let parts = split(samples, recipe.validation, course.lasting)?;
    let criterion = criterion_of(model, samples, &parts, recipe)?;
    let frozen = Frozen::matching(model, &recipe.freeze)?;
    let privately = match &recipe.privacy {
        Some(rule) => Some(Privately::new(
            rule,
            (model, &frozen),
            &course,
            parts.training.len(),
        )?),
        None => None,
    };
    memory::check(memory::least(model, samples, recipe))?;
    let kept = match course.keeper {
        Some(keeper) => keeper.read(model, weights, samples, &course, adjust)?,
        None => None,
    };
    let kept = kept.unwrap_or_else(|| Kept::start(&course));
    Training {
        stepper: Stepper {
            model,
            criterion: &criterion,
            frozen: &frozen,
            clip_norm: recipe.clip_norm,
            precision: recipe.precision,
        },
        samples,
        course,
        parts: &parts,
        privately: privately.as_ref(),
        kept,
        weights,
    }
    .run(adjust)
}

/// What the recipe has training make small on these samples.
fn criterion_of(
    model: &Model,
    samples: &Samples<'_>,
    parts: &Split,
    recipe: &Recipe,
) -> Result<Criterion, JobError> {
    let outputs = model.input().classes as usize;
    let rows = parts.training.iter().map(|sample| samples.labels(*sample));
    let counts = Counts::of(samples.target(), outputs, rows);
    Criterion::new(&recipe.loss, samples.target(), outputs, &counts)
}

/// The recipe's loss of these weights on the samples that [`fit`] would train on, as they are and with running statistics.
///
/// # Errors
/// `DataUnfit` if no samples are left beside validation; `NotFinite` if the loss is no number; `Usage` if the recipe's loss
/// does not fit the model.
pub fn loss_before(
    model: &Model,
    weights: &Weights,
    samples: &Samples<'_>,
    course: &Course<'_>,
) -> Result<f64, JobError> {
    let recipe = course.recipe;
    let parts = split(samples, recipe.validation, course.lasting)?;
    let criterion = criterion_of(model, samples, &parts, recipe)?;
    let places = (samples, parts.training.as_slice());
    mean_loss((model, weights), places, recipe.batch_size, &criterion).map_err(|error| JobError {
        message: format!("before training: {}", error.message),
        ..error
    })
}

/// A training under way.
struct Training<'a> {
    stepper: Stepper<'a>,
    samples: &'a Samples<'a>,
    course: Course<'a>,
    parts: &'a Split,
    /// With privacy of the samples.
    privately: Option<&'a Privately>,
    /// What a checkpoint holds, but the weights.
    kept: Kept,
    weights: &'a mut Weights,
}

impl Training<'_> {
    fn run(mut self, adjust: &mut dyn Adjust) -> Result<Outcome, JobError> {
        let reporter = self.course.reporter;
        if let Some(weights) = self.kept.weights.take() {
            *self.weights = weights;
        }
        reporter.start(&self.course, self.parts, (self.kept.epochs(), self.kept.step));
        while self.kept.epochs() < self.course.epochs && !self.kept.watch.is_over() {
            self.epoch(self.kept.epochs() + 1, adjust)?;
        }
        let Kept {
            epoch_loss,
            watch,
            best,
            descent,
            ..
        } = self.kept;
        let mut local_steps = descent.local_steps();
        let best_epoch = match (best, watch.best_epoch()) {
            (Some(best), Some(epoch)) => {
                if epoch < epoch_loss.len() as u32 {
                    *self.weights = best.weights;
                }
                local_steps = best.local_steps;
                Some(epoch)
            }
            _ => (!watch.losses().is_empty()).then_some(epoch_loss.len() as u32),
        };
        let outcome = Outcome {
            epoch_loss,
            validation_loss: watch.into_losses(),
            best_epoch,
            local_steps,
            trained_on: self.parts.training.len() as u64,
            optimizer: descent.carried_on(),
        };
        reporter.done(&self.course, &outcome);
        Ok(outcome)
    }

    /// The samples of each step of an epoch.
    fn batches(&self, epoch: u32) -> Vec<Vec<usize>> {
        let purpose = format!("order of epoch {epoch}");
        let training = &self.parts.training;
        if let Some(privately) = self.privately {
            return privately.batches(epoch, training);
        }
        let order = Random::new(self.course.seed.derive(&purpose).0).permutation(training.len());
        let order: Vec<usize> = order.into_iter().map(|place| training[place]).collect();
        order
            .chunks(self.course.recipe.batch_size as usize)
            .map(<[usize]>::to_vec)
            .collect()
    }

    /// An epoch, or what an interruption left of it; then validation and a checkpoint.
    fn epoch(&mut self, epoch: u32, adjust: &mut dyn Adjust) -> Result<(), JobError> {
        let course = self.course;
        let rate = factor(
            course.recipe.schedule,
            course.rounds_before,
            epoch - 1,
            course.epochs_per_round,
        );
        self.kept.descent.set_factor(rate);
        let learning_rate = self.kept.descent.learning_rate();
        self.steps(epoch, adjust)?;
        if let Some(name) = self.weights.first_not_finite(self.stepper.model) {
            let text = format!("`{name}` holds NaN or infinity after epoch {epoch}");
            return Err(JobError::new(JobExit::NotFinite, text)
                .help("lower the learning rate, or check the shard's pixel values"));
        }
        self.kept
            .epoch_loss
            .push(std::mem::take(&mut self.kept.partial).mean());
        self.kept.step = 0;
        self.watch(epoch)?;
        course.reporter.epoch(&course, &self.kept, learning_rate);
        self.save(adjust)?;
        match course.keeper {
            Some(keeper) if keeper.is_asked_to_stop() => Err(keeper.interrupted(At { epoch, step: 0 })),
            _ => Ok(()),
        }
    }

    fn steps(&mut self, epoch: u32, adjust: &mut dyn Adjust) -> Result<(), JobError> {
        let course = self.course;
        let (batches, samples) = (self.batches(epoch), self.samples);
        let (first, steps) = (self.kept.step, batches.len());
        let variation = course.recipe.augment.as_ref().map(|augment| Variation {
            augment,
            seed: course.seed,
            epoch,
        });
        let ahead = Ahead {
            items: course.recipe.ahead as usize,
            threads: rayon::current_num_threads(),
        };
        let make = |place: usize| samples.varied(&batches[first + place], variation);
        with_loader(steps - first.min(steps), ahead, make, |loader| {
            for batch in loader {
                let at = At {
                    epoch,
                    step: self.kept.step + 1,
                };
                let descent = &mut self.kept.descent;
                let total = match self.privately {
                    None => self.stepper.take(self.weights, batch, descent, adjust),
                    Some(privately) => {
                        privately.take(&self.stepper, at, self.weights, batch, descent, adjust)
                    }
                };
                let total =
                    total.map_err(|trouble| trouble.into_error(self.stepper.model, at, at.before(steps)))?;
                self.kept.partial.add(total);
                self.kept.step += 1;
                course.reporter.step(at, steps, self.kept.partial);
                if let Some(keeper) = course.keeper
                    && self.kept.step < steps
                    && keeper.is_asked_to_stop()
                {
                    self.save(adjust)?;
                    return Err(keeper.interrupted(at));
                }
            }
            Ok(())
        })
    }

    /// Measures validation and keeps the best weights.
    fn watch(&mut self, epoch: u32) -> Result<(), JobError> {
        if self.parts.validation.is_empty() {
            return Ok(());
        }
        let recipe = self.course.recipe;
        let loss = mean_loss(
            (self.stepper.model, self.weights),
            (self.samples, &self.parts.validation),
            recipe.batch_size,
            self.stepper.criterion,
        )
        .map_err(|error| JobError {
            message: format!("validation after epoch {epoch}: {}", error.message),
            ..error
        })?;
        if self.kept.watch.note(loss) && recipe.early_stop.is_some() {
            self.kept.best = Some(Best {
                weights: self.weights.clone(),
                local_steps: self.kept.descent.local_steps(),
            });
        }
        Ok(())
    }

    fn save(&self, adjust: &dyn Adjust) -> Result<(), JobError> {
        match self.course.keeper {
            Some(keeper) => keeper.write(self.stepper.model, self.weights, &self.kept, adjust),
            None => Ok(()),
        }
    }
}

impl Kept {
    /// Nothing done yet.
    fn start(course: &Course<'_>) -> Self {
        Self {
            weights: None,
            step: 0,
            partial: Total::default(),
            epoch_loss: Vec::new(),
            watch: Watch::new(course.recipe.early_stop),
            best: None,
            descent: match course.optimizer {
                Some(state) => state.carried_on(),
                None => Descent::new(course.recipe.optimizer),
            },
        }
    }
}
