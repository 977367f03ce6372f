//! SCAFFOLD's clients: gradients corrected by what the server and the client know of them.
//!
//! In: the server's control variate, the client's. Out: changed gradients; after training the client's new variate and how
//! it changed. Start at [`Variates`].

use std::path::Path;

use contract::{exit::JobExit, ids::Round, job::JobError, tensors::CONTROL};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::{Fingerprint, fingerprint, recall};
use crate::{
    checks::Expected,
    fit::Adjust,
    model::{Frozen, Model, ModelFile, Role, StepResult, Weights},
    pieces::Piece,
};

/// The server's control variate c, by place of the tensor; empty for tensors that do not follow gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerVariate(Vec<Vec<f64>>);

impl ServerVariate {
    /// Before the first round.
    pub fn zeros(model: &Model) -> Self {
        let zeros = model.tensors().iter().map(|spec| match spec.role {
            Role::Trained => vec![0.0; spec.len()],
            Role::Statistic | Role::Counter => Vec::new(),
        });
        Self(zeros.collect())
    }

    /// These values, of trained tensors.
    pub fn from_values(model: &Model, values: &Weights) -> Self {
        let mut server = Self::zeros(model);
        for (place, tensor) in server.0.iter_mut().enumerate() {
            for (value, given) in tensor.iter_mut().zip(values.real(place)) {
                *value = f64::from(*given);
            }
        }
        server
    }

    /// Opens the state that `fl-aggregator` wrote beside the global model of `round`.
    ///
    /// A tensor without a variate is one that the server keeps as it is: its variate is 0.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, `InputInvalid` or `NotFinite`, naming the file.
    pub fn open(expected: &Expected<'_>, path: &Path, round: Round, model: &Model) -> Result<Self, JobError> {
        let file = ModelFile::open(path)?;
        expected.state(path, &file.header()?, round)?;
        let tensors = file.tensors()?;
        let mut server = Self::zeros(model);
        let mut found = 0;
        for (values, spec) in server.0.iter_mut().zip(model.tensors()) {
            let name = format!("{CONTROL}{}", spec.name);
            let Ok(view) = tensors.tensor(&name) else { continue };
            if spec.role != Role::Trained || view.dtype() != Dtype::F64 || view.shape() != spec.shape {
                let reason = format!(
                    "tensor `{name}` is {:?} {:?}, expected F64 {:?} of a trained tensor",
                    view.dtype(),
                    view.shape(),
                    spec.shape
                );
                return Err(JobError::invalid(path, reason));
            }
            let (bytes, _) = view.data().as_chunks();
            for (value, bytes) in values.iter_mut().zip(bytes) {
                *value = f64::from_le_bytes(*bytes);
            }
            if values.iter().any(|value| !value.is_finite()) {
                let text = format!("`{}`: tensor `{name}` holds NaN or infinity", path.display());
                return Err(JobError::new(JobExit::NotFinite, text).about(path));
            }
            found += 1;
        }
        if found == 0 {
            let reason = format!(
                "it holds no control variates (tensors `{CONTROL}NAME`) of {}",
                model.arch()
            );
            return Err(JobError::invalid(path, reason)
                .help("pass the state that the rule `scaffold` wrote, or nothing in the first round"));
        }
        Ok(server)
    }
}

/// Both variates during a client's training: every gradient g becomes `g + c - c_i`.
///
/// # Numerics
/// `c - c_i` in `f64`, rounded to `f32` once; value by value, so no dependence on thread count.
/// # Source
/// Karimireddy et al. 2019, arXiv:1910.06378, algorithm 1, option II. Parity: `tests/parity/train/make_methods.py`
pub struct Variates<'a> {
    server: &'a ServerVariate,
    /// The client's, c_i; trained tensors only.
    own: &'a Weights,
    /// `c - c_i`
    correction: Vec<Vec<f32>>,
}

/// What the client's variate becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// c_i⁺; trained tensors only.
    pub own: Weights,
    /// `c_i⁺ - c_i`; trained tensors only.
    pub change: Weights,
}

impl<'a> Variates<'a> {
    /// For one training.
    pub fn new(server: &'a ServerVariate, own: &'a Weights) -> Self {
        let tensors = server.0.iter().enumerate();
        let correction = tensors.map(|(place, server)| {
            let own = own.real(place);
            let values = server.iter().zip(own);
            values.map(|(c, own)| (c - f64::from(*own)) as f32).collect()
        });
        Self {
            server,
            own,
            correction: correction.collect(),
        }
    }

    /// The client's next variate, `c_i⁺ = c_i - c + (w_global - w)/rates`, with `rates` the sum of the learning rates of all
    /// steps: K·η where the rate stays.
    ///
    /// It is the mean of the gradients the steps followed, each counted by its step's learning rate; weight decay counts as
    /// part of the gradient. Frozen tensors, and all of them where no step had any length, keep their variate.
    ///
    /// # Numerics
    /// `f64`, rounded to `f32` once.
    /// # Errors
    /// `NotFinite` naming the tensor.
    pub fn next(
        &self,
        model: &Model,
        frozen: &Frozen,
        (global, trained): (&Weights, &Weights),
        rates: f64,
    ) -> Result<Next, JobError> {
        let mut next = Next {
            own: self.own.clone(),
            change: self.own.clone(),
        };
        for (place, spec) in model.tensors().iter().enumerate() {
            let moves = rates > 0.0 && !frozen.contains(place);
            let server = &self.server.0[place];
            for (index, c) in server.iter().enumerate() {
                let own = self.own.real(place)[index];
                let way = f64::from(global.real(place)[index]) - f64::from(trained.real(place)[index]);
                let new = match moves {
                    true => (f64::from(own) - c + way / rates) as f32,
                    false => own,
                };
                let change = (f64::from(new) - f64::from(own)) as f32;
                if !new.is_finite() || !change.is_finite() {
                    let text = format!("the control variate of `{}` became {new}", spec.name);
                    return Err(JobError::new(JobExit::NotFinite, text)
                        .help("raise the learning rate if it is tiny, else lower it"));
                }
                next.own.real_mut(place)[index] = new;
                next.change.real_mut(place)[index] = change;
            }
        }
        Ok(next)
    }

    fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.correction)
    }
}

impl Next {
    /// The change as an update carries it.
    pub fn pieces(&self, model: &Model) -> Vec<Piece> {
        let specs = model.tensors().iter().enumerate();
        specs
            .filter(|(_, spec)| spec.role == Role::Trained)
            .map(|(place, spec)| {
                let name = format!("{CONTROL}{}", spec.name);
                Piece::floats(name, &spec.shape, self.change.real(place))
            })
            .collect()
    }
}

impl Adjust for Variates<'_> {
    fn adjust(&mut self, _: &Weights, result: &mut StepResult) {
        for (place, gradient) in result.gradients_mut() {
            let parts = gradient.par_iter_mut().with_min_len(1 << 15);
            parts
                .zip(&self.correction[place])
                .for_each(|(gradient, correction)| *gradient += correction);
        }
    }

    fn memory(&self) -> Vec<Piece> {
        vec![self.fingerprint().into_piece()]
    }

    fn recall(&mut self, file: &SafeTensors<'_>) -> Result<(), String> {
        recall(file, &self.fingerprint())
    }
}
