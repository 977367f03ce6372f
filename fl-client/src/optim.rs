//! Optimisers: how weights follow gradients, as PyTorch's of the same names.
//!
//! In: weights and their gradients. Out: the next weights, in place. State starts at zero with every [`Descent::new`]; it is
//! written and read by name with [`Descent::pieces`] and [`Descent::read`]. Start at [`Descent::step`]. Every value is
//! computed by itself, so threads do not matter.

mod entered;
mod state;

use contract::training::{Moments, Optimizer};
use rayon::prelude::*;

use crate::model::{StepResult, Weights};

pub use entered::Entered;

/// Values one task updates at a time.
const CHUNK: usize = 1 << 15;

/// An optimiser with its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    rule: Optimizer,
    /// What the learning rate is multiplied by.
    factor: f64,
    /// Steps taken.
    steps: i32,
    /// Gradients in the steps of this job.
    entered: Entered,
    /// State of each tensor, by its place.
    states: Vec<State>,
}

/// What an optimiser remembers of one tensor; zeros before the first step.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    /// Velocity (SGD) or first moment (Adam).
    first: Vec<f32>,
    /// Second moment (Adam).
    second: Vec<f32>,
}

/// A weight became NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    /// The place of its tensor in the model.
    pub tensor: usize,
}

impl Descent {
    /// With no steps taken.
    pub fn new(rule: Optimizer) -> Self {
        Self {
            rule,
            factor: 1.0,
            steps: 0,
            entered: Entered::default(),
            states: Vec::new(),
        }
    }

    /// The same state in a job that begins: a factor of 1, and no gradients in its steps yet.
    #[must_use]
    pub fn carried_on(&self) -> Self {
        Self {
            factor: 1.0,
            entered: Entered::default(),
            ..self.clone()
        }
    }

    /// Multiplies the optimiser's learning rate by `factor` from now on.
    pub fn set_factor(&mut self, factor: f64) {
        self.factor = factor;
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let (Optimizer::Sgd { learning_rate, .. }
        | Optimizer::Adam(Moments { learning_rate, .. })
        | Optimizer::Adamw(Moments { learning_rate, .. })) = self.rule;
        learning_rate * self.factor
    }

    /// How much gradient this job's steps put into the difference they made: FedNova's `a`, see [`Entered`].
    pub fn local_steps(&self) -> f64 {
        self.entered.sum()
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`NotFinite`] with the first tensor that no longer holds numbers.
    pub fn step(&mut self, weights: &mut Weights, result: &StepResult) -> Result<(), NotFinite> {
        self.steps += 1;
        self.entered.step(self.rule, self.factor);
        for (tensor, gradient) in result.gradients() {
            if self.states.len() <= tensor {
                self.states.resize_with(tensor + 1, State::default);
            }
            let finite = update(
                self.rule,
                self.factor,
                self.steps,
                weights.real_mut(tensor),
                gradient,
                &mut self.states[tensor],
            );
            if !finite {
                return Err(NotFinite { tensor });
            }
        }
        Ok(())
    }
}

/// Updates one tensor; says whether all its values are still finite.
///
/// The learning rate is `factor` times the rule's; `step` counts from 1.
fn update(
    rule: Optimizer,
    factor: f64,
    step: i32,
    weights: &mut [f32],
    gradient: &[f32],
    state: &mut State,
) -> bool {
    assert_eq!(weights.len(), gradient.len());
    state.first.resize(weights.len(), 0.0);
    let parts = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    let parts = parts.zip(state.first.par_chunks_mut(CHUNK));
    let all = |finite, also| finite & also;
    match rule {
        Optimizer::Sgd {
            learning_rate,
            momentum,
            nesterov,
            weight_decay,
        } => {
            let rule = Sgd {
                learning_rate: (learning_rate * factor) as f32,
                momentum: momentum as f32,
                weight_decay: weight_decay as f32,
            };
            let update = if nesterov {
                Sgd::update::<true>
            } else {
                Sgd::update::<false>
            };
            parts
                .map(|((weights, gradient), velocity)| update(&rule, weights, gradient, velocity))
                .reduce(|| true, all)
        }
        Optimizer::Adam(moments) | Optimizer::Adamw(moments) => {
            let Moments {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } = moments;
            let learning_rate = learning_rate * factor;
            let (penalty, shrink) = match rule {
                Optimizer::Adamw(_) => (0.0, 1.0 - learning_rate * weight_decay),
                Optimizer::Adam(_) | Optimizer::Sgd { .. } => (weight_decay, 1.0),
            };
            let rule = Adam {
                step_size: (learning_rate / (1.0 - beta1.powi(step))) as f32,
                first_share: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                second_share: (1.0 - beta2) as f32,
                second_root: (1.0 - beta2.powi(step)).sqrt() as f32,
                epsilon: epsilon as f32,
                penalty: penalty as f32,
                shrink: shrink as f32,
            };
            state.second.resize(gradient.len(), 0.0);
            parts
                .zip(state.second.par_chunks_mut(CHUNK))
                .map(|(((weights, gradient), first), second)| rule.update(weights, gradient, first, second))
                .reduce(|| true, all)
        }
    }
}

/// `v = momentum·v + (g + weight_decay·w)`, `w -= learning_rate·v`: `torch.optim.SGD` without dampening. With Nesterov's
/// look ahead `w -= learning_rate·(g + weight_decay·w + momentum·v)`.
struct Sgd {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
}

impl Sgd {
    fn update<const NESTEROV: bool>(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
    ) -> bool {
        let mut finite = true;
        for ((weight, gradient), velocity) in weights.iter_mut().zip(gradient).zip(velocity) {
            let gradient = gradient + self.weight_decay * *weight;
            *velocity = self.momentum * *velocity + gradient;
            let step = if NESTEROV {
                gradient + self.momentum * *velocity
            } else {
                *velocity
            };
            *weight -= self.learning_rate * step;
            finite &= weight.is_finite();
        }
        finite
    }
}

/// Kingma and Ba 2015, arXiv:1412.6980, algorithm 1, arranged as `torch.optim.Adam` does: L2 penalty in the gradient,
/// `m += (1-β1)·(g-m)`, `v = β2·v + (1-β2)·g²`, `w -= lr/(1-β1ᵗ)·m / (√v/√(1-β2ᵗ) + ε)`. AdamW has no penalty; its weights
/// are multiplied by `shrink` first.
struct Adam {
    step_size: f32,
    first_share: f32,
    beta2: f32,
    second_share: f32,
    second_root: f32,
    epsilon: f32,
    penalty: f32,
    shrink: f32,
}

impl Adam {
    fn update(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) -> bool {
        let mut finite = true;
        for (((weight, gradient), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            *weight *= self.shrink;
            let gradient = gradient + self.penalty * *weight;
            *m += self.first_share * (gradient - *m);
            *v = self.beta2 * *v + self.second_share * gradient * gradient;
            *weight -= self.step_size * *m / (v.sqrt() / self.second_root + self.epsilon);
            finite &= weight.is_finite();
        }
        finite
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_adds_the_last_step_and_decay_pulls_to_zero() {
        let rule = Optimizer::Sgd {
            learning_rate: 0.5,
            momentum: 0.5,
            nesterov: false,
            weight_decay: 0.25,
        };
        let (mut weights, mut state) = (vec![4.0], State::default());
        // g = 1 + 0.25·4 = 2, v = 2, w = 4 - 1 = 3
        assert!(update(rule, 1.0, 1, &mut weights, &[1.0], &mut state));
        assert_eq!(weights, [3.0]);
        // g = 1 + 0.75 = 1.75, v = 1 + 1.75 = 2.75, w = 3 - 1.375
        assert!(update(rule, 1.0, 2, &mut weights, &[1.0], &mut state));
        assert_eq!(weights, [1.625]);
    }

    #[test]
    fn the_first_step_of_adam_has_the_length_of_the_learning_rate() {
        let rule = Optimizer::Adam(Moments {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        });
        let (mut weights, mut state) = (vec![1.0, 1.0], State::default());
        assert!(update(rule, 1.0, 1, &mut weights, &[1e-3, -5.0], &mut state));
        assert!(
            (weights[0] - 0.9).abs() < 1e-5 && (weights[1] - 1.1).abs() < 1e-5,
            "{weights:?}"
        );
    }

    #[test]
    fn nesterov_looks_ahead_by_the_velocity() {
        let rule = Optimizer::Sgd {
            learning_rate: 0.5,
            momentum: 0.5,
            nesterov: true,
            weight_decay: 0.0,
        };
        let (mut weights, mut state) = (vec![4.0], State::default());
        // v = 2, w = 4 - 0.5·(2 + 1)
        assert!(update(rule, 1.0, 1, &mut weights, &[2.0], &mut state));
        assert_eq!(weights, [2.5]);
        // v = 1 + 2 = 3, half the learning rate: w = 2.5 - 0.25·(2 + 1.5)
        assert!(update(rule, 0.5, 2, &mut weights, &[2.0], &mut state));
        assert_eq!(weights, [1.625]);
    }

    #[test]
    fn weights_under_adamw_shrink_by_the_learning_rate_whatever_the_gradient() {
        let rule = Optimizer::Adamw(Moments {
            learning_rate: 0.5,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.5,
        });
        let (mut weights, mut state) = (vec![4.0], State::default());
        assert!(update(rule, 1.0, 1, &mut weights, &[0.0], &mut state));
        assert_eq!(weights, [3.0]);
        assert!(update(rule, 0.5, 2, &mut weights, &[0.0], &mut state));
        assert_eq!(weights, [2.625]);
    }

    #[test]
    fn a_weight_that_is_no_number_is_noticed_in_the_last_chunk_too() {
        let rule = Optimizer::Sgd {
            learning_rate: 1.0,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        };
        let mut gradient = vec![0.0; CHUNK + 3];
        let mut weights = vec![1.0; CHUNK + 3];
        assert!(update(
            rule,
            1.0,
            1,
            &mut weights,
            &gradient,
            &mut State::default()
        ));
        gradient[CHUNK + 2] = f32::INFINITY;
        assert!(!update(
            rule,
            1.0,
            1,
            &mut weights,
            &gradient,
            &mut State::default()
        ));
    }
}
