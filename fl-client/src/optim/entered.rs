//! How much gradient steps put into the difference they make, for rules that must know (FedNova).
//!
//! In: each step's rule and factor. Out: one number, [`Entered::sum`]. Start at [`Entered::step`].

use contract::training::Optimizer;

/// FedNova's `a`: the L1 norm of the weights with which a job's gradients enter the difference it makes, in units of the
/// optimiser's learning rate.
///
/// Plain SGD with a learning rate that stays weighs each gradient once, so this is the number of steps. A schedule weighs
/// a step by its factor `f`. Momentum ρ carries a gradient into later steps: with `s ← ρ·s + 1` before each step, a step
/// adds `f·s`, and with Nesterov's look ahead `f·(1 + ρ·s)`. Adam's steps have the length of the learning rate whatever
/// the gradient: each adds `f`. Weight decay and what methods add count as part of the gradient, clipping as its scale.
/// Gradients of earlier jobs, in moments that a client keeps, are not counted.
///
/// # Numerics
/// `f64`, step by step: the same steps give the same bits.
/// # Source
/// Wang et al. 2020, arXiv:2007.07481, section 4 (local momentum, and local learning rates that change)
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Entered {
    carried: f64,
    sum: f64,
}

impl Entered {
    /// As an interrupted job left it: what [`Entered::carried`] and [`Entered::sum`] said.
    pub fn resumed(carried: f64, sum: f64) -> Self {
        Self { carried, sum }
    }

    /// Counts one step whose learning rate is `factor` times the rule's.
    pub fn step(&mut self, rule: Optimizer, factor: f64) {
        self.sum += factor
            * match rule {
                Optimizer::Sgd {
                    momentum, nesterov, ..
                } => {
                    self.carried = momentum * self.carried + 1.0;
                    if nesterov {
                        1.0 + momentum * self.carried
                    } else {
                        self.carried
                    }
                }
                Optimizer::Adam(_) | Optimizer::Adamw(_) => 1.0,
            };
    }

    /// The sum of the velocity's weights: `s` above.
    pub fn carried(&self) -> f64 {
        self.carried
    }

    /// The sum over all steps.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use contract::training::Moments;
    use proptest::prelude::*;

    use super::*;

    fn sgd(momentum: f64, nesterov: bool) -> Optimizer {
        Optimizer::Sgd {
            learning_rate: 1.0,
            momentum,
            nesterov,
            weight_decay: 0.0,
        }
    }

    fn count(rule: Optimizer, factors: &[f64]) -> f64 {
        let mut entered = Entered::default();
        factors.iter().for_each(|factor| entered.step(rule, *factor));
        entered.sum()
    }

    #[test]
    fn each_gradient_counts_as_often_as_it_is_applied() {
        assert_eq!(count(sgd(0.0, false), &[1.0; 7]), 7.0);
        // 1 + 1.5 + 1.75
        assert_eq!(count(sgd(0.5, false), &[1.0; 3]), 4.25);
        // (1 + 0.5) + (1 + 0.75) + (1 + 0.875)
        assert_eq!(count(sgd(0.5, true), &[1.0; 3]), 5.125);
        // 1·1 + 0.5·1.5 + 0·1.75
        assert_eq!(count(sgd(0.5, false), &[1.0, 0.5, 0.0]), 1.75);
        let adam = Optimizer::Adamw(Moments {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
        });
        assert_eq!(count(adam, &[1.0, 0.5, 0.25]), 1.75);
    }

    proptest! {
        /// With gradients of 1 and a learning rate of 1, the difference is the sum of their weights.
        #[test]
        fn the_sum_is_the_way_that_gradients_of_one_go(
            momentum in 0.0..0.99_f64,
            nesterov: bool,
            factors in prop::collection::vec(0.0..1.0_f64, 1..30),
        ) {
            let rule = sgd(momentum, nesterov);
            let (mut weights, mut state) = (vec![0.0], super::super::State::default());
            for (step, factor) in (1..).zip(&factors) {
                super::super::update(rule, *factor, step, &mut weights, &[1.0], &mut state);
            }
            let (way, found) = (-f64::from(weights[0]), count(rule, &factors));
            prop_assert!((way - found).abs() <= 1e-4 * way.max(1.0), "{way} is not {found}");
        }
    }
}
