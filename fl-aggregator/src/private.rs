//! Central differential privacy of a round: what differences are scaled to, which noise is added, and what was spent.

use contract::{aggregation::CentralPrivacy, exit::JobExit, ids::Seed, job::JobError, metrics::PrivacySpent};
use kernels::{
    aggregate::clip_factor,
    privacy::{Accountant, AdaptiveNorm, Noise, mean_noise, split_noise},
};

use crate::{inputs::Inputs, state::Memory};

/// Names of the noise streams.
const DIFFERENCES: &str = "differences";
const COUNT: &str = "count";

/// Noise on every floating-point value of the new model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoisePlan {
    /// Its standard deviation.
    pub standard_deviation: f64,
    seed: u64,
    round: u64,
}

impl NoisePlan {
    /// The noise of tensor `number`.
    pub fn of_tensor(&self, number: usize) -> Noise {
        Noise::new(self.seed, DIFFERENCES, self.round, number as u64)
    }
}

/// What privacy makes of the updates.
pub struct Clipped {
    /// What each difference is multiplied with.
    pub coefficients: Vec<f64>,
    /// The norm they were scaled down to.
    pub norm: f64,
    /// The noise, where there is any.
    pub noise: Option<NoisePlan>,
    /// The memory with the next round's norm and this round's participations.
    pub memory: Memory,
}

/// Scales differences of the given L2 norms down and plans the noise on their mean.
///
/// # Errors
/// [`JobError`]: noise without a seed, or numbers that do not fit
pub fn clip(
    privacy: &CentralPrivacy,
    norms: &[f64],
    seed: Option<Seed>,
    inputs: &Inputs,
    memory: &Memory,
) -> Result<Clipped, JobError> {
    let mut memory = memory.clone();
    let updates = norms.len() as u64;
    let header_round = inputs.global.header.as_ref().and_then(|header| header.round);
    let round = header_round.map_or(memory.steps, |round| u64::from(round.0));
    let multiplier = privacy.noise_multiplier();
    let drawn = |purpose: &str| match seed {
        Some(seed) => Ok(Noise::new(seed.0, purpose, round, 0)),
        None => Err(
            JobError::new(JobExit::Usage, "`--seed` is missing: noise is drawn from it")
                .help("whoever knows the seed can take the noise away: keep it secret"),
        ),
    };
    let (norm, for_differences) = match *privacy {
        CentralPrivacy::Fixed { norm, .. } => (norm, multiplier),
        CentralPrivacy::Adaptive {
            initial_norm,
            quantile,
            learning_rate,
            count_noise,
            ..
        } => {
            let norm = memory.norm.unwrap_or(initial_norm);
            let below = norms.iter().filter(|of_update| **of_update <= norm).count() as u64;
            let draw = if count_noise > 0.0 {
                drawn(COUNT)?.normal(0)
            } else {
                0.0
            };
            let follow = AdaptiveNorm::new(quantile, learning_rate, count_noise).map_err(unfit)?;
            memory.norm = Some(follow.next(norm, below, updates, draw).map_err(unfit)?);
            (norm, split_noise(multiplier, count_noise).map_err(unfit)?)
        }
    };
    let coefficients = norms
        .iter()
        .map(|of_update| clip_factor(norm, *of_update) / updates as f64)
        .collect();
    let noise = if multiplier > 0.0 {
        drawn(DIFFERENCES)?;
        Some(NoisePlan {
            standard_deviation: mean_noise(for_differences, norm, updates).map_err(unfit)?,
            seed: seed.map_or(0, |seed| seed.0),
            round,
        })
    } else {
        None
    };
    for member in &inputs.members {
        match member.client {
            Some(client) => *memory.participations.entry(client).or_default() += 1,
            None => memory.nameless = true,
        }
    }
    memory.private_rounds += 1;
    Ok(Clipped {
        coefficients,
        norm,
        noise,
        memory,
    })
}

/// The bound on what all rounds so far tell of the client that took part most often.
///
/// Where updates do not name their clients, any may have been in every round.
///
/// # Errors
/// [`JobError`]: numbers the accountant refuses
pub fn spent(privacy: &CentralPrivacy, norm: f64, memory: &Memory) -> Result<PrivacySpent, JobError> {
    let most = memory.participations.values().copied().max().unwrap_or(0);
    let rounds = if memory.nameless {
        memory.private_rounds
    } else {
        most
    };
    let noise_multiplier = privacy.noise_multiplier();
    let delta = privacy.delta();
    let epsilon = if noise_multiplier > 0.0 {
        let accountant = Accountant::new(noise_multiplier).map_err(unfit)?;
        Some(accountant.epsilon(rounds, delta).map_err(unfit)?.epsilon)
    } else {
        None
    };
    Ok(PrivacySpent {
        epsilon: epsilon.filter(|epsilon| epsilon.is_finite()),
        delta,
        noise_multiplier,
        norm,
        rounds,
    })
}

fn unfit(error: impl std::fmt::Display) -> JobError {
    JobError::new(JobExit::DataUnfit, error.to_string())
}
