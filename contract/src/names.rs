//! File names, job names and the one place both are made.
//!
//! Every name carries experiment and dataset, so two experiments in one folder never overwrite each other, and a
//! flat name space (HTCondor file transfer has no folders) never clashes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ClientId, DatasetName, ExperimentName, Round, SiteName},
    training::BaselineKind,
};

/// A logical file name: one path component, no folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(Arc<str>);

/// Why a text is not a logical file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a plain file name: it must be one path component of at most 255 bytes")]
pub struct InvalidFileName {
    /// The text as given.
    pub given: String,
}

impl FileName {
    /// Accepts one path component of at most 255 bytes that is neither `.` nor `..`.
    ///
    /// # Errors
    /// [`InvalidFileName`] with the text as given.
    pub fn new(text: &str) -> Result<Self, InvalidFileName> {
        let ok = !text.is_empty()
            && text.len() <= 255
            && text != "."
            && text != ".."
            && !text.contains(['/', '\0', '\n']);
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(InvalidFileName {
                given: text.to_owned(),
            })
        }
    }

    fn made(text: String) -> Self {
        debug_assert!(Self::new(&text).is_ok(), "{text}");
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FileName {
    type Error = InvalidFileName;
    fn try_from(text: String) -> Result<Self, InvalidFileName> {
        Self::new(&text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> String {
        name.0.as_ref().to_owned()
    }
}

/// The failure file a job leaves in its directory when it stops: see [`crate::job::Failure`].
pub const FAILURE_FILE: &str = "fedwing-failure.json";

/// The variable of the environment that names another file for it.
pub const FAILURE_VARIABLE: &str = "FEDWING_FAILURE_FILE";

/// Makes the names of one dataset's files.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// The experiment.
    pub experiment: &'a ExperimentName,
    /// The dataset within it.
    pub dataset: &'a DatasetName,
}

impl Names<'_> {
    fn name(&self, rest: fmt::Arguments<'_>) -> FileName {
        FileName::made(format!("{}.{}.{rest}", self.experiment, self.dataset))
    }

    /// The dataset's settings, read by `prepare`.
    pub fn dataset_config(&self) -> FileName {
        self.name(format_args!("dataset.json"))
    }

    /// The dataset's settings as a site reads them.
    pub fn site_config(&self, site: &SiteName) -> FileName {
        self.name(format_args!("at.{site}.dataset.json"))
    }

    /// The manifest that a site writes; it names images and patients and stays where they are.
    pub fn site_manifest(&self, site: &SiteName) -> FileName {
        self.name(format_args!("at.{site}.manifest.json"))
    }

    /// The program of clients' jobs that a site keeps.
    pub fn site_program(&self, site: &SiteName) -> FileName {
        self.name(format_args!("at.{site}.program"))
    }

    /// How the dataset's models are trained, read by `train` and `baseline`.
    pub fn recipe(&self) -> FileName {
        self.name(format_args!("recipe.json"))
    }

    /// Which image went to which split and client; it names images and patients and stays where they are.
    pub fn manifest(&self) -> FileName {
        self.name(format_args!("manifest.json"))
    }

    /// Class balance, sizes and divergences per client.
    pub fn stats(&self) -> FileName {
        self.name(format_args!("stats.json"))
    }

    /// One client's training samples.
    pub fn shard(&self, client: ClientId) -> FileName {
        self.name(format_args!("c{:04}.shard.safetensors", client.0))
    }

    /// The test samples, of patients no client has.
    pub fn test_shard(&self) -> FileName {
        self.name(format_args!("test.shard.safetensors"))
    }

    /// The samples that thresholds are chosen on, of patients on no other side.
    pub fn validation_shard(&self) -> FileName {
        self.name(format_args!("validation.shard.safetensors"))
    }

    /// The global model after a round; round 0 is the initial model.
    pub fn global(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.global.safetensors", round.0))
    }

    /// What the rule made of a round's updates, where the global model is more: see [`crate::args::BroadcastArgs`].
    pub fn aggregated(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.aggregated.safetensors", round.0))
    }

    /// What clients start from after a round, where that is not the global model itself.
    pub fn start(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.start.safetensors", round.0))
    }

    /// The same as it is sent to them.
    pub fn broadcast(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.broadcast.safetensors", round.0))
    }

    /// What one client sends after training in a round.
    pub fn update(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!(
            "r{:04}.c{:04}.update.safetensors",
            round.0, client.0
        ))
    }

    /// One client's training metrics in a round.
    pub fn train_metrics(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!("r{:04}.c{:04}.train.json", round.0, client.0))
    }

    /// What went into a round's aggregation.
    pub fn aggregate_metrics(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.aggregate.json", round.0))
    }

    /// What the rule remembers after a round.
    pub fn state(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.state.safetensors", round.0))
    }

    /// The sum of some of a round's updates: number `number` on level `level` of the tree, both counted from 0.
    pub fn partial(&self, round: Round, level: u32, number: u32) -> FileName {
        self.name(format_args!(
            "r{:04}.l{level}.p{number:04}.partial.safetensors",
            round.0
        ))
    }

    /// What the encoding of a client's update in a round left out; it stays with the client.
    pub fn residual(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!(
            "r{:04}.c{:04}.residual.safetensors",
            round.0, client.0
        ))
    }

    /// What a client keeps at its site after a round.
    pub fn personal(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!(
            "r{:04}.c{:04}.personal.safetensors",
            round.0, client.0
        ))
    }

    /// What a client's interrupted training in a round goes on from.
    pub fn checkpoint(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!(
            "r{:04}.c{:04}.checkpoint.safetensors",
            round.0, client.0
        ))
    }

    /// Test metrics of a client's own model after a round.
    pub fn personal_metrics(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!("r{:04}.c{:04}.evaluate.json", round.0, client.0))
    }

    /// The outputs of a round's global model for every test sample; they stay where the test samples are.
    pub fn predictions(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.predictions.safetensors", round.0))
    }

    /// A client's secret key; it stays with the client.
    pub fn secret_key(&self, client: ClientId) -> FileName {
        self.name(format_args!("c{:04}.secret-key.json", client.0))
    }

    /// A client's public key.
    pub fn public_key(&self, client: ClientId) -> FileName {
        self.name(format_args!("c{:04}.public-key.json", client.0))
    }

    /// What a client reveals of masks shared with clients absent from a round.
    pub fn reveal(&self, round: Round, client: ClientId) -> FileName {
        self.name(format_args!("r{:04}.c{:04}.reveal.json", round.0, client.0))
    }

    /// The global model's test metrics after a round.
    pub fn evaluate_metrics(&self, round: Round) -> FileName {
        self.name(format_args!("r{:04}.evaluate.json", round.0))
    }

    /// A baseline's model.
    pub fn baseline_model(&self, kind: BaselineKind, client: Option<ClientId>) -> FileName {
        self.name(format_args!(
            "{}{}.model.safetensors",
            kind.as_str(),
            client_part(client)
        ))
    }

    /// What a baseline's interrupted training goes on from.
    pub fn baseline_checkpoint(&self, kind: BaselineKind, client: Option<ClientId>) -> FileName {
        self.name(format_args!(
            "{}{}.checkpoint.safetensors",
            kind.as_str(),
            client_part(client)
        ))
    }

    /// A baseline's test metrics.
    pub fn baseline_metrics(&self, kind: BaselineKind, client: Option<ClientId>) -> FileName {
        self.name(format_args!(
            "{}{}.baseline.json",
            kind.as_str(),
            client_part(client)
        ))
    }

    /// Test metrics of this dataset's final model on the test samples of `other`.
    pub fn cross_metrics(&self, other: &DatasetName) -> FileName {
        self.name(format_args!("on.{other}.evaluate.json"))
    }
}

fn client_part(client: Option<ClientId>) -> String {
    client
        .map(|client| format!(".c{:04}", client.0))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_experiment_and_dataset_and_sort_by_round() {
        let (experiment, dataset) = (
            ExperimentName::new("e1").unwrap(),
            DatasetName::new("nih").unwrap(),
        );
        let names = Names {
            experiment: &experiment,
            dataset: &dataset,
        };
        assert_eq!(names.global(Round(3)).as_str(), "e1.nih.r0003.global.safetensors");
        assert!(names.global(Round(9)) < names.global(Round(10)));
        assert_eq!(
            names.update(Round(1), ClientId(2)).as_str(),
            "e1.nih.r0001.c0002.update.safetensors"
        );
    }

    #[test]
    fn a_file_name_is_one_component() {
        for bad in ["", ".", "..", "a/b", "/a", "a\nb"] {
            assert!(FileName::new(bad).is_err(), "{bad:?}");
        }
    }
}
