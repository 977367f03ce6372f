//! Optimisers: how weights follow gradients, as PyTorch's of the same names.
//!
//! In: weights and their gradients. Out: the next weights, in place. State starts anew with every [`Descent`], that is
//! with every job. Start at [`Descent::step`]. Every value is computed by itself, so threads do not matter.

use contract::training::Optimizer;
use rayon::prelude::*;

use crate::model::{StepResult, Weights};

/// Values one task updates at a time.
const CHUNK: usize = 1 << 15;

/// An optimiser with its state.
#[derive(Debug)]
pub struct Descent {
    rule: Optimizer,
    /// Steps taken.
    steps: i32,
    /// State of each tensor, by its place.
    states: Vec<State>,
}

/// What an optimiser remembers of one tensor; zeros before the first step.
#[derive(Debug, Default)]
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
            steps: 0,
            states: Vec::new(),
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`NotFinite`] with the first tensor that no longer holds numbers.
    pub fn step(&mut self, weights: &mut Weights, result: &StepResult) -> Result<(), NotFinite> {
        self.steps += 1;
        for (tensor, gradient) in result.gradients() {
            if self.states.len() <= tensor {
                self.states.resize_with(tensor + 1, State::default);
            }
            let finite = update(
                self.rule,
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

/// How much gradient `steps` steps put into the difference they make: FedNova's `a`, the L1 norm of the weights with which
/// the gradients enter it, in units of the learning rate.
///
/// Plain SGD weighs each gradient once, so this is `steps`; so it is taken to be for Adam, whose steps have the length of
/// the learning rate whatever the gradient. Momentum ρ carries a gradient into later steps:
/// `(τ - ρ·(1 - ρ^τ)/(1 - ρ))/(1 - ρ)`. Weight decay counts as part of the gradient.
///
/// # Source
/// Wang et al. 2020, arXiv:2007.07481, section 4 (local momentum)
pub fn local_steps(rule: Optimizer, steps: u64) -> f64 {
    let steps = steps as f64;
    match rule {
        Optimizer::Sgd { momentum, .. } => {
            let kept = 1.0 - momentum;
            (steps - momentum * (1.0 - momentum.powf(steps)) / kept) / kept
        }
        Optimizer::Adam { .. } => steps,
    }
}

/// Updates one tensor; says whether all its values are still finite.
fn update(rule: Optimizer, step: i32, weights: &mut [f32], gradient: &[f32], state: &mut State) -> bool {
    assert_eq!(weights.len(), gradient.len());
    state.first.resize(weights.len(), 0.0);
    let parts = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    let parts = parts.zip(state.first.par_chunks_mut(CHUNK));
    let all = |finite, also| finite & also;
    match rule {
        Optimizer::Sgd {
            learning_rate,
            momentum,
            weight_decay,
        } => {
            let rule = Sgd {
                learning_rate: learning_rate as f32,
                momentum: momentum as f32,
                weight_decay: weight_decay as f32,
            };
            parts
                .map(|((weights, gradient), velocity)| rule.update(weights, gradient, velocity))
                .reduce(|| true, all)
        }
        Optimizer::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => {
            let rule = Adam {
                step_size: (learning_rate / (1.0 - beta1.powi(step))) as f32,
                first_share: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                second_share: (1.0 - beta2) as f32,
                second_root: (1.0 - beta2.powi(step)).sqrt() as f32,
                epsilon: epsilon as f32,
                weight_decay: weight_decay as f32,
            };
            state.second.resize(gradient.len(), 0.0);
            parts
                .zip(state.second.par_chunks_mut(CHUNK))
                .map(|(((weights, gradient), first), second)| rule.update(weights, gradient, first, second))
                .reduce(|| true, all)
        }
    }
}

/// `v = momentum·v + (g + weight_decay·w)`, `w -= learning_rate·v`: `torch.optim.SGD` without dampening.
struct Sgd {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
}

impl Sgd {
    fn update(&self, weights: &mut [f32], gradient: &[f32], velocity: &mut [f32]) -> bool {
        let mut finite = true;
        for ((weight, gradient), velocity) in weights.iter_mut().zip(gradient).zip(velocity) {
            let gradient = gradient + self.weight_decay * *weight;
            *velocity = self.momentum * *velocity + gradient;
            *weight -= self.learning_rate * *velocity;
            finite &= weight.is_finite();
        }
        finite
    }
}

/// Kingma and Ba 2015, arXiv:1412.6980, algorithm 1, arranged as `torch.optim.Adam` does: L2 penalty in the gradient,
/// `m += (1-β1)·(g-m)`, `v = β2·v + (1-β2)·g²`, `w -= lr/(1-β1ᵗ)·m / (√v/√(1-β2ᵗ) + ε)`.
struct Adam {
    step_size: f32,
    first_share: f32,
    beta2: f32,
    second_share: f32,
    second_root: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl Adam {
    fn update(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) -> bool {
        let mut finite = true;
        for (((weight, gradient), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            let gradient = gradient + self.weight_decay * *weight;
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
            weight_decay: 0.25,
        };
        let (mut weights, mut state) = (vec![4.0], State::default());
        // g = 1 + 0.25·4 = 2, v = 2, w = 4 - 1 = 3
        assert!(update(rule, 1, &mut weights, &[1.0], &mut state));
        assert_eq!(weights, [3.0]);
        // g = 1 + 0.75 = 1.75, v = 1 + 1.75 = 2.75, w = 3 - 1.375
        assert!(update(rule, 2, &mut weights, &[1.0], &mut state));
        assert_eq!(weights, [1.625]);
    }

    #[test]
    fn the_first_step_of_adam_has_the_length_of_the_learning_rate() {
        let rule = Optimizer::Adam {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        };
        let (mut weights, mut state) = (vec![1.0, 1.0], State::default());
        assert!(update(rule, 1, &mut weights, &[1e-3, -5.0], &mut state));
        assert!(
            (weights[0] - 0.9).abs() < 1e-5 && (weights[1] - 1.1).abs() < 1e-5,
            "{weights:?}"
        );
    }

    #[test]
    fn local_steps_count_each_gradient_as_often_as_momentum_applies_it() {
        let sgd = |momentum| Optimizer::Sgd {
            learning_rate: 1.0,
            momentum,
            weight_decay: 0.0,
        };
        assert_eq!(local_steps(sgd(0.0), 7), 7.0);
        for (momentum, steps) in [(0.5, 3), (0.9, 1), (0.9, 20), (0.99, 4)] {
            // With gradients of 1 and a learning rate of 1, the difference is the sum of their weights.
            let (mut weights, mut state) = (vec![0.0], State::default());
            for step in 1..=steps {
                assert!(update(sgd(momentum), step, &mut weights, &[1.0], &mut state));
            }
            let (expected, found) = (-f64::from(weights[0]), local_steps(sgd(momentum), steps as u64));
            assert!(
                (expected - found).abs() < 1e-4 * expected,
                "{expected} is not {found}"
            );
        }
        // 1 + 1.5 + 1.75
        assert_eq!(local_steps(sgd(0.5), 3), 4.25);
        let adam = Optimizer::Adam {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        };
        assert_eq!(local_steps(adam, 7), 7.0);
    }

    #[test]
    fn a_weight_that_is_no_number_is_noticed_in_the_last_chunk_too() {
        let rule = Optimizer::Sgd {
            learning_rate: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
        };
        let mut gradient = vec![0.0; CHUNK + 3];
        let mut weights = vec![1.0; CHUNK + 3];
        assert!(update(rule, 1, &mut weights, &gradient, &mut State::default()));
        gradient[CHUNK + 2] = f32::INFINITY;
        assert!(!update(rule, 1, &mut weights, &gradient, &mut State::default()));
    }
}
