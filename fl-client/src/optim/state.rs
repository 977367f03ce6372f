//! An optimiser's state as tensors with names, for files: checkpoints, and what a client keeps at its site.
//!
//! In: a [`Descent`]. Out: [`Piece`]s, and from a file's tensors the same [`Descent`] again, bit for bit.

use contract::training::Optimizer;
use safetensors::{Dtype, SafeTensors};

use super::{Descent, Entered, State};
use crate::{
    model::{Model, Role},
    pieces::{Piece, PieceKind},
};

/// Prefix of the velocity (SGD) or first moment (Adam, AdamW) of the tensor whose name follows.
pub const FIRST: &str = "optimizer.first:";

/// Prefix of the second moment (Adam, AdamW) of the tensor whose name follows.
pub const SECOND: &str = "optimizer.second:";

/// The number of steps taken, an `I64` scalar.
pub const STEPS: &str = "optimizer.steps";

impl Descent {
    /// The state as tensors: `STEPS`, and `FIRST` and `SECOND` of every tensor that was stepped.
    pub fn pieces(&self, model: &Model) -> Vec<Piece> {
        let mut pieces = vec![Piece {
            name: STEPS.to_owned(),
            kind: PieceKind::I64,
            shape: Vec::new(),
            bytes: i64::from(self.steps).to_le_bytes().to_vec(),
        }];
        for (spec, State { first, second }) in model.tensors().iter().zip(&self.states) {
            for (prefix, values) in [(FIRST, first), (SECOND, second)] {
                if !values.is_empty() {
                    pieces.push(Piece::floats(
                        format!("{prefix}{}", spec.name),
                        &spec.shape,
                        values,
                    ));
                }
            }
        }
        pieces
    }

    /// The inverse of [`Descent::pieces`] for a job that begins; other tensors of the file are not looked at.
    ///
    /// # Errors
    /// What is wrong: no steps, a tensor of another shape or type or with NaN or infinity, a moment that the rule does not
    /// have or lacks, or one of a tensor that `model` does not train.
    pub fn read(rule: Optimizer, model: &Model, file: &SafeTensors<'_>) -> Result<Self, String> {
        let view = file
            .tensor(STEPS)
            .map_err(|_| format!("tensor `{STEPS}` is missing"))?;
        let steps = match (view.dtype(), view.data().first_chunk()) {
            (Dtype::I64, Some(bytes)) if view.shape().is_empty() => i64::from_le_bytes(*bytes),
            _ => return Err(format!("tensor `{STEPS}` is no 64-bit integer")),
        };
        let steps = i32::try_from(steps)
            .ok()
            .filter(|steps| *steps >= 0)
            .ok_or_else(|| format!("`{STEPS}` is {steps}"))?;
        let has_second = match rule {
            Optimizer::Sgd { .. } => false,
            Optimizer::Adam(_) | Optimizer::Adamw(_) => true,
        };
        let mut states = Vec::new();
        for spec in model.tensors() {
            let read = |prefix: &str| match file.tensor(&format!("{prefix}{}", spec.name)) {
                Err(_) => Ok(Vec::new()),
                Ok(view) if view.dtype() == Dtype::F32 && view.shape() == spec.shape.as_slice() => {
                    let (values, _) = view.data().as_chunks();
                    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                    match values.iter().all(|value| value.is_finite()) {
                        true => Ok(values),
                        false => Err(format!("tensor `{prefix}{}` holds NaN or infinity", spec.name)),
                    }
                }
                Ok(view) => Err(format!(
                    "tensor `{prefix}{}` has type {:?} and shape {:?}, expected F32 and {:?}",
                    spec.name,
                    view.dtype(),
                    view.shape(),
                    spec.shape
                )),
            };
            let state = State {
                first: read(FIRST)?,
                second: read(SECOND)?,
            };
            if state.second.is_empty() == (has_second && !state.first.is_empty()) {
                return Err(format!(
                    "the moments of `{}` are not those of the optimiser",
                    spec.name
                ));
            }
            if spec.role != Role::Trained && !state.first.is_empty() {
                return Err(format!("`{}` is not trained and has a moment", spec.name));
            }
            states.push(state);
        }
        while states.last().is_some_and(|state| state.first.is_empty()) {
            states.pop();
        }
        Ok(Self {
            rule,
            factor: 1.0,
            steps,
            entered: Entered::default(),
            states,
        })
    }

    /// With the gradients that an interrupted job's steps already put in.
    #[must_use]
    pub fn with_entered(mut self, entered: Entered) -> Self {
        self.entered = entered;
        self
    }

    /// The gradients that this job's steps put in so far.
    pub fn entered(&self) -> Entered {
        self.entered
    }
}
