//! Tensors that training leaves as they are.
//!
//! In: a model and patterns of names. Out: a [`Frozen`] set by place of the tensor. Start at [`Frozen::matching`].

use contract::{aggregation::NamePattern, exit::JobExit, job::JobError};

use super::{Model, Role};

/// The places of the tensors that stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frozen(Vec<bool>);

impl Frozen {
    /// No tensor.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every trained tensor of `model` whose name one of the patterns matches.
    ///
    /// # Errors
    /// `Usage` naming the first pattern that matches no trained tensor, or if nothing is left to train.
    pub fn matching(model: &Model, patterns: &[NamePattern]) -> Result<Self, JobError> {
        let trained = || {
            let specs = model.tensors().iter();
            specs.map(|spec| (spec.name.as_str(), spec.role == Role::Trained))
        };
        let usage = |text: String, help: &str| Err(JobError::new(JobExit::Usage, text).help(help));
        let idle = patterns
            .iter()
            .find(|pattern| !trained().any(|(name, trained)| trained && pattern.matches(name)));
        if let Some(pattern) = idle {
            return usage(
                format!(
                    "`freeze` has `{}`, which is no trained tensor of {}",
                    pattern.as_str(),
                    model.arch()
                ),
                "give names of tensors as in the model's file, `*` for any characters",
            );
        }
        let frozen: Vec<bool> = trained()
            .map(|(name, trained)| trained && patterns.iter().any(|pattern| pattern.matches(name)))
            .collect();
        if trained()
            .zip(&frozen)
            .all(|((_, trained), frozen)| *frozen || !trained)
        {
            return usage(
                format!("`freeze` leaves nothing of {} to train", model.arch()),
                "leave out a pattern",
            );
        }
        Ok(Self(frozen))
    }

    /// Whether the tensor at `place` stays as it is.
    pub fn contains(&self, place: usize) -> bool {
        self.0.get(place).copied().unwrap_or(false)
    }
}
