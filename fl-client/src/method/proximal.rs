//! A pull towards other weights: FedProx's clients, and Ditto's personal models.
//!
//! In: weights to stay near, and how strongly. Out: changed gradients. Start at [`Toward`].

use rayon::prelude::*;
use safetensors::SafeTensors;

use super::{Fingerprint, fingerprint, recall};
use crate::{
    fit::Adjust,
    model::{StepResult, Weights},
    pieces::Piece,
};

/// Values one task changes at a time.
const CHUNK: usize = 1 << 15;

/// Adds `strength/2·‖w - anchor‖²` over the tensors in training to the loss, by its gradient `strength·(w - anchor)`.
///
/// Losses that are reported stay those of the data: the term is not in them. Running statistics and frozen tensors have no
/// gradient and are not pulled.
///
/// # Numerics
/// `f32`, value by value: no dependence on thread count.
/// # Source
/// FedProx: Li et al. 2018, arXiv:1812.06127, equation 2. Ditto: Li et al. 2020, arXiv:2012.04221, algorithm 1. Parity:
/// `tests/parity/train/make_methods.py`
pub struct Toward<'a> {
    /// What to stay near.
    pub anchor: &'a Weights,
    /// How strongly: µ, or λ.
    pub strength: f64,
}

impl Toward<'_> {
    fn fingerprint(&self) -> Fingerprint {
        // The anchor is the global model, which a checkpoint's own digest knows but for Ditto's second training.
        let mut values = self.anchor.clone().into_reals();
        values.push(vec![self.strength as f32]);
        fingerprint(&values)
    }
}

impl Adjust for Toward<'_> {
    fn adjust(&mut self, weights: &Weights, result: &mut StepResult) {
        let strength = self.strength as f32;
        for (place, gradient) in result.gradients_mut() {
            let (weights, anchor) = (weights.real(place), self.anchor.real(place));
            let parts = gradient.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK));
            parts
                .zip(anchor.par_chunks(CHUNK))
                .for_each(|((gradient, weights), anchor)| {
                    for ((gradient, weight), anchor) in gradient.iter_mut().zip(weights).zip(anchor) {
                        *gradient += strength * (weight - anchor);
                    }
                });
        }
    }

    fn memory(&self) -> Vec<Piece> {
        vec![self.fingerprint().into_piece()]
    }

    fn recall(&mut self, file: &SafeTensors<'_>) -> Result<(), String> {
        recall(file, &self.fingerprint())
    }
}
