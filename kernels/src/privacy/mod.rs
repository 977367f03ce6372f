//! Differential privacy, of clients and of samples: how far to clip, how much noise to add, and what that promises.
//!
//! | file | from | to |
//! |---|---|---|
//! | `clip` | the norms of a round's differences | the norm to clip to, the noise's standard deviation |
//! | `noise` | a seed and where a value stands | Gaussian noise, the same however the work is cut |
//! | `accountant` | a noise multiplier, a sampling share, rounds or steps | ε for a given δ, and the inverse |
//! | `renyi` | one step's noise and sampling share | Rényi divergences, and ε from them |
//!
//! # What is promised to a client
//! In a round, m updates take part. Each is a difference from the global model, scaled down to an L2 norm of at most C,
//! and their mean, **every update weighing 1/m**, gets noise of standard deviation `z·C/m` ([`mean_noise`]). Two runs
//! are neighbours if they differ in one client, whose updates are replaced by ones that contribute nothing (a zero
//! difference; in the count of [`AdaptiveNorm`], one half), the number m of updates staying as it was. The sum then moves
//! by at most C, so a round is a Gaussian mechanism of noise multiplier z. Weights by sample count, or an m that depends
//! on who answered, are outside this promise.
//!
//! Clients are drawn when a plan is made, and the plan can be read: sampling hides nobody, so no amplification by
//! sampling is claimed. A client's loss is composed over the rounds in which it took part; the figure for a run is that
//! of the client that took part most often.
//!
//! # What is promised to a sample
//! Under DP-SGD a client's step takes each of its n samples with probability L/n, scales their gradients down to a norm of
//! at most C, adds noise of standard deviation `z·C` to the sum and divides by L. Two runs are neighbours if a sample is
//! there in one and not in the other, n and all else staying as it was. The loss is composed over all steps of a client
//! ([`Accountant::sampled`]); who drew what stays at the client, so sampling does amplify.
//!
//! Both promises are against whoever sees the models and does not know the noise's seed, see [`Noise`].

mod accountant;
mod clip;
mod noise;
#[cfg(test)]
mod parity;
mod renyi;

pub use accountant::{Accountant, Spent, noise_for};
pub use clip::{AdaptiveNorm, mean_noise, split_noise};
pub use noise::{Noise, add_noise};
pub use renyi::{Divergence, ORDERS, convert, rdp_gaussian, rdp_subsampled};

/// Why there is no promise, or no norm.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PrivacyError {
    /// A noise multiplier that promises nothing.
    #[error("a noise multiplier of {0} bounds no loss of privacy, it must be more than 0")]
    NoNoise(f64),
    /// No probability to fail with, or all of it.
    #[error("delta is {0}, it must be more than 0 and below 1")]
    Delta(f64),
    /// No loss to aim for.
    #[error("epsilon is {0}, it must be more than 0")]
    Epsilon(f64),
    /// Nothing to protect.
    #[error("no noise is needed for 0 rounds")]
    NoRounds,
    /// A promise no noise keeps within the orders used.
    #[error("no noise multiplier gives epsilon {epsilon} at delta {delta} over {rounds} rounds")]
    OutOfReach {
        /// The loss aimed for.
        epsilon: f64,
        /// The probability with which it may be exceeded.
        delta: f64,
        /// Rounds composed.
        rounds: u64,
    },
    /// No probability.
    #[error("the sampling share is {0}, it must be from 0 to 1")]
    SamplingShare(f64),
    /// An order at which there is no Rényi divergence, or too many terms.
    #[error("the order is {0}, it must be more than 1 and at most 100,000")]
    Order(f64),
    /// No divergence, NaN or less than 0.
    #[error("the divergence of order {order} is {divergence}, it must be 0 or more")]
    Divergence {
        /// The order.
        order: f64,
        /// What was given for it.
        divergence: f64,
    },
    /// A bound without anything to take it from.
    #[error("there are no orders")]
    NoOrders,
    /// A norm that nothing can be clipped to.
    #[error("the norm is {0}, it must be more than 0 and finite")]
    Norm(f64),
    /// A round in which nobody took part.
    #[error("there are no updates")]
    NoUpdates,
    /// More updates below the norm than updates.
    #[error("{below} of {updates} updates are below the norm")]
    Count {
        /// Updates below the norm.
        below: u64,
        /// Updates of the round.
        updates: u64,
    },
    /// A setting of the adaptive norm outside its range.
    #[error("`{name}` is {value}, it must be {range}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
}
