//! Optimisers on the server: the step from the global model towards the mean of the updates.
use super::{CombineError, Real};

/// A server optimiser with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServerStep {
    /// FedAvgM.
    Momentum {
        /// Step size.
        learning_rate: f64,
        /// Share of the last step kept.
        momentum: f64,
    },
    /// FedAdam, with bias correction.
    Adam {
        /// Step size.
        learning_rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        tau: f64,
    },
    /// FedYogi.
    Yogi {
        /// Step size.
        learning_rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        tau: f64,
    },
    /// FedAdagrad.
    Adagrad {
        /// Step size.
        learning_rate: f64,
        /// Added to the root of the summed squares.
        tau: f64,
    },
}

/// A block of an optimiser's state; zeros before the first round. A moment that [`ServerStep`] does not use is left as
/// it is and may be empty.
#[derive(Debug)]
pub struct Moments<'a, R> {
    /// Momentum, or the mean of the differences.
    pub first: &'a mut [R],
    /// The mean or sum of their squares.
    pub second: &'a mut [R],
}

impl ServerStep {
    /// Steps.
    pub fn apply<R: Real, O: Real>(
        &self,
        round: u64,
        global: &[R],
        mean: &[f64],
        moments: Moments<'_, R>,
        out: &mut [O],
    ) -> Result<(), CombineError> {
        let _ = (round, global, mean, moments, out);
        unimplemented!()
    }

    /// Whether the first moment is used.
    pub fn uses_first(&self) -> bool {
        !matches!(self, ServerStep::Adagrad { .. })
    }

    /// Whether the second moment is used.
    pub fn uses_second(&self) -> bool {
        !matches!(self, ServerStep::Momentum { .. })
    }
}
