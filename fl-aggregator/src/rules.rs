//! Turns a rule into what is done with each tensor: looks at the updates where the rule has to, and decides.
//!
//! In: the rule, its privacy, the inputs and the state. Out: a [`Recipe`]. Start at [`decide`].

use contract::{
    aggregation::{CentralPrivacy, NamePattern, Needs, Strategy},
    exit::JobExit,
    ids::Seed,
    job::JobError,
    tensors::{LOCAL_STEPS, TRAIN_LOSS, is_running_statistic},
};
use kernels::aggregate::{
    self, CoefficientError, Distances, Element, MiddleMean, NearMedian, ServerStep, Weights, Weiszfeld,
    add_squared_differences, add_squared_distances, clip_factor, pairs,
};

use crate::{
    blocks::{Rows, check_finite, float_pieces},
    inputs::Inputs,
    pieces::{self, Piece},
    private::{self, Clipped},
    state::{Memory, State},
    update::{Content, Decode, Update},
};

/// What is done with each tensor.
pub struct Recipe {
    /// Updates that have a part in the new model, by number.
    pub chosen: Vec<usize>,
    /// How floating-point parameters come about.
    pub parameters: Floats,
    /// How running statistics of batch normalisation do.
    pub statistics: Floats,
    /// How integers do.
    pub integers: Integers,
    /// The server's step from the global model towards the mean of the parameters.
    pub step: Option<ServerStep>,
    /// Noise on every floating-point value.
    pub noise: Option<private::NoisePlan>,
    /// Whether each tensor stays as it is in the global model.
    pub kept: Vec<bool>,
    /// SCAFFOLD: the share of each update's change that enters the server's control variate.
    pub control_share: Option<f64>,
    /// Each update's share in the new model, where the rule weighs updates as a whole.
    pub shares: Option<Vec<f64>>,
    /// The norm differences were scaled down to for privacy's sake.
    pub norm: Option<f64>,
    /// What the rule remembers after this round.
    pub memory: Memory,
}

/// How a tensor of floating-point numbers comes about.
pub enum Floats {
    /// The exact sample-weighted mean of the chosen updates.
    Mean(Weights),
    /// The global model and scaled differences of the chosen updates from it.
    Differences(Vec<f64>),
    /// The mean of the middle values.
    Middle(MiddleMean),
    /// The mean of the values nearest to the median.
    Near(NearMedian),
}

/// How a tensor of integers comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integers {
    /// The largest value: a count that some client reached.
    Largest,
    /// The lower median: a value that clients who lie cannot move alone.
    LowerMedian,
}

/// Decides what is done with each tensor.
///
/// # Errors
/// [`JobError`]: the rule does not fit the updates, or a value that is not finite
pub fn decide(
    strategy: &Strategy,
    privacy: Option<&CentralPrivacy>,
    keep: &[NamePattern],
    seed: Option<Seed>,
    inputs: &Inputs,
    state: &State,
) -> Result<Recipe, JobError> {
    let kept = kept(strategy, keep, inputs)?;
    if !matches!(strategy, Strategy::Scaffold { .. }) {
        inputs.updates.iter().try_for_each(Update::refuse_controls)?;
    }
    if strategy.needs() == Needs::Each || privacy.is_some() {
        one_by_one(inputs)?;
    }
    let mut recipe = match privacy {
        Some(privacy) => private_mean(strategy, privacy, seed, inputs, state, kept)?,
        None => Plain { inputs, kept }
            .decide(strategy)?
            .with_memory(&state.memory),
    };
    recipe.step = step(strategy);
    recipe.memory.steps += 1;
    Ok(recipe)
}

fn one_by_one(inputs: &Inputs) -> Result<(), JobError> {
    let sum = inputs
        .updates
        .iter()
        .find(|update| matches!(update.content, Content::Partial(_)));
    match sum {
        None => Ok(()),
        Some(sum) => Err(JobError::invalid(
            sum.file.path(),
            "it is the sum of several updates; this rule looks at each of them",
        )),
    }
}

fn step(strategy: &Strategy) -> Option<ServerStep> {
    match *strategy {
        Strategy::Fedavgm {
            learning_rate,
            momentum,
        } => Some(ServerStep::Momentum {
            learning_rate,
            momentum,
        }),
        Strategy::Fedadam {
            learning_rate,
            beta1,
            beta2,
            tau,
        } => Some(ServerStep::Adam {
            learning_rate,
            beta1,
            beta2,
            tau,
        }),
        Strategy::Fedyogi {
            learning_rate,
            beta1,
            beta2,
            tau,
        } => Some(ServerStep::Yogi {
            learning_rate,
            beta1,
            beta2,
            tau,
        }),
        Strategy::Fedadagrad { learning_rate, tau } => Some(ServerStep::Adagrad { learning_rate, tau }),
        _ => None,
    }
}

/// Tensors that stay: those a pattern matches, and under FedBN every layer that has running statistics.
fn kept(strategy: &Strategy, keep: &[NamePattern], inputs: &Inputs) -> Result<Vec<bool>, JobError> {
    let tensors = &inputs.global.tensors;
    for pattern in keep {
        if !tensors.iter().any(|tensor| pattern.matches(&tensor.name)) {
            let message = format!(
                "`--keep {}` matches no tensor of the global model",
                pattern.as_str()
            );
            return Err(JobError::new(JobExit::Usage, message).about(inputs.global.path()));
        }
    }
    let mut kept: Vec<bool> = tensors
        .iter()
        .map(|tensor| keep.iter().any(|pattern| pattern.matches(&tensor.name)))
        .collect();
    if *strategy == Strategy::Fedbn {
        let layer = |name: &str| name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned();
        let normalised: Vec<String> = tensors
            .iter()
            .filter(|tensor| is_running_statistic(&tensor.name))
            .map(|tensor| layer(&tensor.name))
            .collect();
        if normalised.is_empty() {
            let reason = "no layer has running statistics, so `fedbn` would keep nothing; `--keep` names layers to keep";
            return Err(JobError::invalid(inputs.global.path(), reason));
        }
        for (kept, tensor) in kept.iter_mut().zip(tensors) {
            *kept |= normalised.contains(&layer(&tensor.name));
        }
    }
    Ok(kept)
}

/// Rules without noise.
struct Plain<'a> {
    inputs: &'a Inputs,
    kept: Vec<bool>,
}

impl Plain<'_> {
    fn decide(self, strategy: &Strategy) -> Result<Recipe, JobError> {
        let everyone = || (0..self.inputs.updates.len()).collect::<Vec<usize>>();
        let counts = counts(self.inputs);
        match *strategy {
            Strategy::Fedavg
            | Strategy::Fedprox
            | Strategy::Fedbn
            | Strategy::Fedavgm { .. }
            | Strategy::Fedadam { .. }
            | Strategy::Fedyogi { .. }
            | Strategy::Fedadagrad { .. } => self.mean_of(everyone(), Integers::Largest),
            Strategy::Fednova => {
                let steps = stated(self.inputs, LOCAL_STEPS)?;
                let coefficients =
                    aggregate::fednova(&counts, &steps).map_err(|error| misfit(self.inputs, &error))?;
                self.differences(coefficients, Statistics::Mean)
            }
            Strategy::Scaffold {
                learning_rate,
                clients,
            } => {
                let updates = self.inputs.updates.len();
                if clients < updates as u64 {
                    let message =
                        format!("`clients` is {clients}, fewer than the {updates} updates of this round");
                    return Err(JobError::new(JobExit::Usage, message));
                }
                if let Some(update) = self.inputs.updates.iter().find(|update| !update.has_controls()) {
                    let reason = "it carries no change of control variates (tensors `control:NAME`), which `scaffold` needs";
                    return Err(JobError::invalid(update.file.path(), reason));
                }
                let mut recipe =
                    self.differences(vec![learning_rate / updates as f64; updates], Statistics::Mean)?;
                recipe.control_share = Some(1.0 / clients as f64);
                Ok(recipe)
            }
            Strategy::Qfedavg { q, learning_rate } => {
                let losses = stated(self.inputs, TRAIN_LOSS)?;
                let norms = squared_norms(self.inputs, |number| self.is_parameter(number))?;
                let coefficients = aggregate::qfedavg(&losses, &norms, q, learning_rate)
                    .map_err(|error| misfit(self.inputs, &error))?;
                self.differences(coefficients, Statistics::Mean)
            }
            Strategy::Median => {
                let rule = MiddleMean::median(self.inputs.updates.len()).map_err(unfit)?;
                let again = MiddleMean::median(self.inputs.updates.len()).map_err(unfit)?;
                self.ordered(everyone(), Floats::Middle(rule), Floats::Middle(again))
            }
            Strategy::TrimmedMean { beta } => {
                let updates = self.inputs.updates.len();
                // The share is cut as Flower cuts it; below one half, so that something is left.
                let cut = (beta * updates as f64) as usize;
                let rule = || MiddleMean::trimmed(updates, cut).map_err(unfit);
                let (parameters, statistics) = (rule()?, rule()?);
                self.ordered(everyone(), Floats::Middle(parameters), Floats::Middle(statistics))
            }
            Strategy::Krum { byzantine } => {
                let distances = distances(self.inputs, &self.kept)?;
                let chosen = aggregate::krum(&distances, byzantine as usize).map_err(unfit)?;
                self.mean_of(vec![chosen], Integers::LowerMedian)
            }
            Strategy::MultiKrum { byzantine, keep } => {
                let distances = distances(self.inputs, &self.kept)?;
                let chosen =
                    aggregate::multi_krum(&distances, byzantine as usize, keep as usize).map_err(unfit)?;
                self.mean_of(chosen, Integers::LowerMedian)
            }
            Strategy::Bulyan { byzantine } => {
                let distances = distances(self.inputs, &self.kept)?;
                let chosen = aggregate::bulyan(&distances, byzantine as usize).map_err(unfit)?;
                let near = || {
                    let keep = chosen.len().saturating_sub(2 * byzantine as usize);
                    NearMedian::new(chosen.len(), keep).map_err(unfit)
                };
                let (parameters, statistics) = (Floats::Near(near()?), Floats::Near(near()?));
                self.ordered(chosen, parameters, statistics)
            }
            Strategy::GeometricMedian {
                iterations,
                smoothing,
            } => {
                let distances = distances(self.inputs, &self.kept)?;
                let settings = Weiszfeld {
                    iterations,
                    smoothing,
                };
                let shares = aggregate::geometric_median(&distances, &counts, settings).map_err(unfit)?;
                let mut recipe = self.differences(shares.clone(), Statistics::Same)?;
                recipe.shares = Some(shares);
                Ok(recipe)
            }
            Strategy::NormBound { norm } => {
                let norms = squared_norms(self.inputs, |number| !self.kept[number])?;
                let total = self.inputs.total_samples as f64;
                let share = |(count, squared): (&u64, &f64)| {
                    *count as f64 / total * clip_factor(norm, squared.sqrt())
                };
                let coefficients = counts.iter().zip(&norms).map(share).collect();
                self.differences(coefficients, Statistics::Same)
            }
        }
    }

    fn recipe(
        self,
        chosen: Vec<usize>,
        parameters: Floats,
        statistics: Floats,
        integers: Integers,
    ) -> Recipe {
        Recipe {
            chosen,
            parameters,
            statistics,
            integers,
            step: None,
            noise: None,
            kept: self.kept,
            control_share: None,
            shares: None,
            norm: None,
            memory: Memory::beginning(String::new(), None),
        }
    }

    /// The mean of `chosen`, which stand in the order of the updates.
    fn mean_of(self, mut chosen: Vec<usize>, integers: Integers) -> Result<Recipe, JobError> {
        chosen.sort_unstable();
        let all = counts(self.inputs);
        let counts: Vec<u64> = match chosen[..] {
            // Its values as they are: a product and its quotient may be another `f64`.
            [_] if integers == Integers::LowerMedian => vec![1],
            _ => chosen.iter().map(|number| all[*number]).collect(),
        };
        let weights = || Weights::new(&counts).map_err(unfit);
        let total: u64 = counts.iter().sum();
        let mut shares = vec![0.0; all.len()];
        for (number, count) in chosen.iter().zip(&counts) {
            shares[*number] = *count as f64 / total as f64;
        }
        let (parameters, statistics) = (Floats::Mean(weights()?), Floats::Mean(weights()?));
        let mut recipe = self.recipe(chosen, parameters, statistics, integers);
        recipe.shares = Some(shares);
        Ok(recipe)
    }

    fn differences(self, coefficients: Vec<f64>, statistics: Statistics) -> Result<Recipe, JobError> {
        let statistics = match statistics {
            Statistics::Mean => Floats::Mean(Weights::new(&counts(self.inputs)).map_err(unfit)?),
            Statistics::Same => Floats::Differences(coefficients.clone()),
        };
        let chosen = (0..coefficients.len()).collect();
        Ok(self.recipe(
            chosen,
            Floats::Differences(coefficients),
            statistics,
            Integers::Largest,
        ))
    }

    fn ordered(
        self,
        mut chosen: Vec<usize>,
        parameters: Floats,
        statistics: Floats,
    ) -> Result<Recipe, JobError> {
        chosen.sort_unstable();
        Ok(self.recipe(chosen, parameters, statistics, Integers::LowerMedian))
    }

    fn is_parameter(&self, number: usize) -> bool {
        !self.kept[number] && !is_running_statistic(&self.inputs.global.tensors[number].name)
    }
}

/// What running statistics get under a rule that scales differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistics {
    /// The plain mean: scales above one would take variances below zero.
    Mean,
    /// The same: the scales sum to at most one.
    Same,
}

impl Recipe {
    fn with_memory(mut self, memory: &Memory) -> Self {
        self.memory = memory.clone();
        self
    }
}

/// Clipped differences, averaged without sample counts, and noise.
fn private_mean(
    strategy: &Strategy,
    privacy: &CentralPrivacy,
    seed: Option<Seed>,
    inputs: &Inputs,
    state: &State,
    kept: Vec<bool>,
) -> Result<Recipe, JobError> {
    if strategy.needs() == Needs::Each {
        let message = format!(
            "`--privacy` bounds the part of each update in a mean; `{}` is none",
            strategy.word()
        );
        return Err(JobError::new(JobExit::Usage, message));
    }
    let norms: Vec<f64> = squared_norms(inputs, |number| !kept[number])?
        .into_iter()
        .map(f64::sqrt)
        .collect();
    let Clipped {
        coefficients,
        norm,
        noise,
        memory,
    } = private::clip(privacy, &norms, seed, inputs, &state.memory)?;
    let mut recipe = Plain { inputs, kept }.differences(coefficients, Statistics::Same)?;
    recipe.noise = noise;
    recipe.norm = Some(norm);
    recipe.memory = memory;
    Ok(recipe)
}

fn counts(inputs: &Inputs) -> Vec<u64> {
    inputs.updates.iter().map(|update| update.samples).collect()
}

/// A rule that does not fit the updates.
fn unfit(error: impl std::fmt::Display) -> JobError {
    JobError::new(JobExit::DataUnfit, error.to_string())
}

/// What an update states of itself that the rule cannot use, by the update's file.
fn misfit(inputs: &Inputs, error: &CoefficientError) -> JobError {
    let (part, reason) = match error {
        CoefficientError::Steps { part, steps } => (
            part,
            format!("metadata `{LOCAL_STEPS}` is {steps}, it must be more than 0"),
        ),
        CoefficientError::Loss { part, loss } => (
            part,
            format!("metadata `{TRAIN_LOSS}` is {loss}, it must be 0 or more"),
        ),
        CoefficientError::Distance { part, squared_norm } => (
            part,
            format!("it is {squared_norm:e} (squared) away from the global model, which cannot be weighed"),
        ),
        CoefficientError::Counts(error) => return unfit(error),
    };
    JobError::invalid(inputs.updates[*part].file.path(), reason)
}

/// What every update states of itself as a number.
fn stated(inputs: &Inputs, key: &str) -> Result<Vec<f64>, JobError> {
    let of = |update: &Update| {
        let path = update.file.path();
        let Some(text) = update.file.metadata.get(key) else {
            return Err(JobError::invalid(
                path,
                format!("its metadata has no `{key}`, which the rule needs"),
            ));
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| JobError::invalid(path, format!("metadata `{key}` is `{text}`, not a number")))
    };
    inputs.updates.iter().map(of).collect()
}

/// Squared L2 distances between all updates, over all floating-point tensors that do not stay.
fn distances(inputs: &Inputs, kept: &[bool]) -> Result<Distances, JobError> {
    let updates: Vec<&Update> = inputs.updates.iter().collect();
    let mut distances = Distances::zero(updates.len());
    let (narrow, wide) = float_pieces(inputs, |number| !kept[number]);
    let count = pairs(updates.len());
    let sums = [
        each_row::<f32>(inputs, &updates, &narrow, count, |_, rows, scratch, sums| {
            add_squared_distances(rows, scratch, sums);
        })?,
        each_row::<f64>(inputs, &updates, &wide, count, |_, rows, scratch, sums| {
            add_squared_distances(rows, scratch, sums);
        })?,
    ];
    add(&sums, distances.sums_mut());
    Ok(distances)
}

/// Squared L2 norms of the updates' differences from the global model, over the floating-point tensors that are wanted.
fn squared_norms(inputs: &Inputs, wanted: impl Fn(usize) -> bool) -> Result<Vec<f64>, JobError> {
    let updates: Vec<&Update> = inputs.updates.iter().collect();
    let (narrow, wide) = float_pieces(inputs, wanted);
    let count = updates.len();
    let sums = [
        each_row::<f32>(inputs, &updates, &narrow, count, |global, rows, _, sums| {
            add_squared_differences(rows, global, sums);
        })?,
        each_row::<f64>(inputs, &updates, &wide, count, |global, rows, _, sums| {
            add_squared_differences(rows, global, sums);
        })?,
    ];
    let mut norms = vec![0.0; count];
    add(&sums, &mut norms);
    Ok(norms)
}

fn add(sums: &[Vec<f64>; 2], total: &mut [f64]) {
    for (number, total) in total.iter_mut().enumerate() {
        *total = sums[0][number] + sums[1][number];
    }
}

/// Sums over pieces of finite rows.
fn each_row<R: Decode>(
    inputs: &Inputs,
    updates: &[&Update],
    pieces: &[Piece],
    count: usize,
    work: impl Fn(&[R], &[&[R]], &mut Vec<f64>, &mut [f64]) + Sync + Send,
) -> Result<Vec<f64>, JobError> {
    let scratch = || (Rows::<R>::new(), Vec::new());
    pieces::sums(pieces, count, scratch, |(rows, scratch), piece, sums| {
        rows.with(inputs, updates, piece, |global, rows| {
            check_finite(inputs, updates, piece, global, rows)?;
            work(global, rows, scratch, sums);
            Ok(())
        })
    })
}

/// Whether a tensor is of floating-point numbers.
pub fn is_float(inputs: &Inputs, number: usize) -> bool {
    matches!(inputs.global.tensors[number].element(), Some(Element::Float(_)))
}
