//! Optimisers on the server: a step from the global model along the mean of the updates, with moments kept between
//! rounds.
//!
//! In: a block of the global model, of the mean ([`mean_f64`](super::mean_f64)) and of the [`Moments`]. Out: the new
//! global model's block; the moments are replaced. Start at [`ServerStep::apply`].

use super::Real;
use crate::simd::{Body, widest};

/// Values stepped at a time, for moments that are not kept.
const CHUNK: usize = 1024;

/// A server optimiser with its settings. Below `x` is the global model and `d = mean − x`.
///
/// # Source
/// Hsu et al. 2019, arXiv:1909.06335 (momentum); Reddi et al. 2020, arXiv:2003.00295, Algorithm 2 (the others); in the
/// variants that Flower's strategies of the same names have
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServerStep {
    /// FedAvgM: `v = momentum·v − d`, `x − learning_rate·v`.
    Momentum {
        /// Step size.
        learning_rate: f64,
        /// Share of the last step kept.
        momentum: f64,
    },
    /// FedAdam, with bias correction: `m = β1·m + (1−β1)·d`, `v = β2·v + (1−β2)·d²`,
    /// `x + η_t·m/(√v + τ)` where `η_t = learning_rate·√(1−β2^(t+1))/(1−β1^(t+1))`.
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
    /// FedYogi: `m` as FedAdam's, `v − (1−β2)·d²·sign(v − d²)`, `x + learning_rate·m/(√v + τ)`.
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
    /// FedAdagrad: `v + d²`, `x + learning_rate·d/(√v + τ)`.
    Adagrad {
        /// Step size.
        learning_rate: f64,
        /// Added to the root of the summed squares.
        tau: f64,
    },
}

/// A block of an optimiser's state, zeros before the first round. A moment that is not used may be empty.
#[derive(Debug)]
pub struct Moments<'a> {
    /// FedAvgM's momentum, or the decaying mean of the differences; see [`ServerStep::uses_first`].
    pub first: &'a mut [f64],
    /// The decaying mean or the sum of their squares; see [`ServerStep::uses_second`].
    pub second: &'a mut [f64],
}

/// A step that leads to no finite number: from an infinite model, a second moment below 0, or beyond the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's step is not finite at index {index}")]
pub struct StepError {
    /// Index of the value within the block.
    pub index: usize,
}

impl ServerStep {
    /// Whether it keeps the first moment.
    pub fn uses_first(&self) -> bool {
        !matches!(self, ServerStep::Adagrad { .. })
    }

    /// Whether it keeps the second moment.
    pub fn uses_second(&self) -> bool {
        !matches!(self, ServerStep::Momentum { .. })
    }

    /// Steps from `global` along `mean`, replaces the moments and writes the new model's block.
    ///
    /// # Shapes
    /// - `round`: `t`, from 1; `global`, `mean`, `out` and the moments used: P values each
    /// # Numerics
    /// In `f64`, value by value, with additions, products, quotients and square roots only: the same bits on every
    /// platform. The new value is rounded once, to `O` (`f64` for what is written narrower than `R`); moments are not, for
    /// where a value is near 0 the error of one kept in `f32` shows after a round or two (2e-6 of it seen).
    /// # Errors
    /// [`StepError`] at the first value that is not finite; the block's moments and output are then of no use
    /// # Panics
    /// Where lengths differ.
    pub fn apply<R: Real, O: Real>(
        &self,
        round: u64,
        global: &[R],
        mean: &[f64],
        moments: Moments<'_>,
        out: &mut [O],
    ) -> Result<(), StepError> {
        let length = out.len();
        assert!(global.len() == length && mean.len() == length, "one length");
        let Moments { first, second } = moments;
        assert!(!self.uses_first() || first.len() == length, "first moments");
        assert!(!self.uses_second() || second.len() == length, "second moments");
        for start in (0..length).step_by(CHUNK) {
            let range = start..length.min(start + CHUNK);
            let (mut no_first, mut no_second) = ([0.0; CHUNK], [0.0; CHUNK]);
            let finite = self.step(
                round,
                Chunk {
                    global: &global[range.clone()],
                    mean: &mean[range.clone()],
                    first: if self.uses_first() {
                        &mut first[range.clone()]
                    } else {
                        &mut no_first
                    },
                    second: if self.uses_second() {
                        &mut second[range.clone()]
                    } else {
                        &mut no_second
                    },
                    out: &mut out[range.clone()],
                },
            );
            if !finite {
                let index = out[range].iter().position(|value| !value.is_finite());
                let index = start + index.unwrap_or(0);
                return Err(StepError { index });
            }
        }
        Ok(())
    }

    /// Whether all of the chunk's output is finite.
    fn step<R: Real, O: Real>(&self, round: u64, chunk: Chunk<'_, R, O>) -> bool {
        match *self {
            ServerStep::Momentum {
                learning_rate,
                momentum,
            } => widest(Step {
                chunk,
                rule: |d: f64, m: f64, v: f64| {
                    let m = momentum * m - d;
                    (m, v, -(learning_rate * m))
                },
            }),
            ServerStep::Adam {
                learning_rate,
                beta1,
                beta2,
                tau,
            } => {
                let exponent = round.saturating_add(1);
                let rate =
                    learning_rate * (1.0 - power(beta2, exponent)).sqrt() / (1.0 - power(beta1, exponent));
                widest(Step {
                    chunk,
                    rule: |d: f64, m: f64, v: f64| {
                        let m = beta1 * m + (1.0 - beta1) * d;
                        let v = beta2 * v + (1.0 - beta2) * (d * d);
                        (m, v, rate * m / (v.sqrt() + tau))
                    },
                })
            }
            ServerStep::Yogi {
                learning_rate,
                beta1,
                beta2,
                tau,
            } => widest(Step {
                chunk,
                rule: |d: f64, m: f64, v: f64| {
                    let m = beta1 * m + (1.0 - beta1) * d;
                    let change = (1.0 - beta2) * (d * d);
                    let difference = v - d * d;
                    let v = if difference > 0.0 {
                        v - change
                    } else if difference < 0.0 {
                        v + change
                    } else {
                        v
                    };
                    (m, v, learning_rate * m / (v.sqrt() + tau))
                },
            }),
            ServerStep::Adagrad { learning_rate, tau } => widest(Step {
                chunk,
                rule: |d: f64, m: f64, v: f64| {
                    let v = v + d * d;
                    (m, v, learning_rate * d / (v.sqrt() + tau))
                },
            }),
        }
    }
}

struct Chunk<'a, R, O> {
    global: &'a [R],
    mean: &'a [f64],
    first: &'a mut [f64],
    second: &'a mut [f64],
    out: &'a mut [O],
}

/// `rule` makes of a difference and two moments the new moments and the change of the model.
struct Step<'a, R, O, F> {
    chunk: Chunk<'a, R, O>,
    rule: F,
}

impl<R: Real, O: Real, F: Fn(f64, f64, f64) -> (f64, f64, f64)> Body for Step<'_, R, O, F> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Chunk {
            global,
            mean,
            first,
            second,
            out,
        } = self.chunk;
        let moments = first.iter_mut().zip(second);
        let mut finite = true;
        for (((out, global), mean), (first, second)) in out.iter_mut().zip(global).zip(mean).zip(moments) {
            let global: f64 = (*global).into();
            let (m, v, change) = (self.rule)(mean - global, *first, *second);
            *first = m;
            *second = v;
            *out = O::from_f64(global + change);
            finite &= out.is_finite();
        }
        finite
    }
}

/// `base` to a whole power by squaring.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut square, mut product) = (base, 1.0);
    while exponent > 0 {
        if exponent & 1 == 1 {
            product *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    product
}

#[cfg(test)]
mod tests;
