//! What the encoding of a client's updates left out so far: kept by the client, sent with its next update.
//!
//! In: a residual file of an earlier round, or nothing. Out: one for the next. Tensors that follow gradients only: running
//! statistics and counters are never encoded. Start at [`Residual::zeros`]; `Expected::residual` in [`crate::checks`]
//! reads one.

use std::path::Path;

use contract::{
    job::JobError,
    tensors::{Header, TensorKind},
};

use crate::{
    model::{Model, Role, Weights},
    pieces::{Piece, write_pieces},
};

/// One value for each trained value of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual(Vec<Vec<f32>>);

impl Residual {
    /// Nothing left out yet.
    pub fn zeros(model: &Model) -> Self {
        let zeros = model.tensors().iter().map(|spec| match spec.role {
            Role::Trained => vec![0.0; spec.len()],
            Role::Statistic | Role::Counter => Vec::new(),
        });
        Self(zeros.collect())
    }

    /// Left out as these values say, which are there for trained tensors only.
    pub fn from_values(values: Weights) -> Self {
        Self(values.into_reals())
    }

    /// By place of the tensor in the model; empty for tensors that do not follow gradients.
    pub fn from_tensors(tensors: Vec<Vec<f32>>) -> Self {
        Self(tensors)
    }

    /// The values of the tensor at `index`, row-major; empty if it does not follow gradients.
    pub fn tensor(&self, index: usize) -> &[f32] {
        &self.0[index]
    }

    /// Writes the file; `update` is the header of the update that goes with it.
    ///
    /// # Errors
    /// `Io` naming the file; nothing is left then.
    pub fn save(&self, path: &Path, update: &Header, model: &Model) -> Result<(), JobError> {
        let header = Header {
            kind: TensorKind::Residual,
            ..update.clone()
        };
        let trained = model
            .tensors()
            .iter()
            .zip(&self.0)
            .filter(|(spec, _)| spec.role == Role::Trained);
        let pieces = trained.map(|(spec, values)| Piece::floats(spec.name.clone(), &spec.shape, values));
        write_pieces(path, &header.to_metadata(), pieces.collect())
    }
}
