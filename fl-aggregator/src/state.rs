//! What a rule remembers between rounds: a tensor file of its moments, and counts in the file's metadata.
//!
//! Every rule writes one when asked, also those that remember nothing, so that a workflow treats all rules alike.

use std::collections::BTreeMap;

use contract::{
    aggregation::{CentralPrivacy, Strategy},
    argv::{ArgValue, InputFile},
    exit::JobExit,
    ids::{ClientId, Round},
    job::JobError,
    tensors::{Header, TensorKind},
};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::{inputs::lineage, tensor_file::TensorFile};

/// Metadata key of [`Memory`] as JSON.
const MEMORY: &str = "rule_memory";

/// Prefix of a tensor's first moment.
pub const FIRST: &str = "first_moment:";

/// Prefix of a tensor's second moment.
pub const SECOND: &str = "second_moment:";

/// What a rule remembers besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Format version, [`Memory::VERSION`].
    pub fedwing_state: u32,
    /// The rule's word.
    pub rule: String,
    /// The privacy of every round so far: what was spent is told for one kind of noise in all of them.
    pub privacy: Option<CentralPrivacy>,
    /// Steps the rule has taken.
    pub steps: u64,
    /// The norm differences are scaled down to in the next round, where it adapts.
    pub norm: Option<f64>,
    /// Private rounds each client took part in.
    pub participations: BTreeMap<ClientId, u64>,
    /// Private rounds so far.
    pub private_rounds: u64,
    /// Whether an update of a private round did not name its client.
    pub nameless: bool,
}

impl Memory {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// What a rule remembers before its first round.
    pub fn beginning(rule: String, privacy: Option<CentralPrivacy>) -> Self {
        Self {
            fedwing_state: Self::VERSION,
            rule,
            privacy,
            steps: 0,
            norm: None,
            participations: BTreeMap::new(),
            private_rounds: 0,
            nameless: false,
        }
    }

    /// Reads what [`metadata`] wrote. The version is looked at first: a newer one may have fields that do not parse here.
    fn read(text: &str) -> Result<Self, String> {
        let unreadable = |error| format!("metadata `{MEMORY}`: {error}");
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        match value.get("fedwing_state") {
            Some(version) if *version == Self::VERSION => {}
            Some(version) => {
                return Err(format!(
                    "it has format version {version}, this program reads version {}",
                    Self::VERSION
                ));
            }
            None => return Err(format!("metadata `{MEMORY}` has no `fedwing_state`")),
        }
        let memory: Self = serde_json::from_value(value).map_err(unreadable)?;
        if memory.is_possible() {
            Ok(memory)
        } else {
            Err(format!(
                "metadata `{MEMORY}` has counts or a norm that no rounds lead to"
            ))
        }
    }

    /// Whether rounds can have led here: what is counted on from it does not overflow either.
    fn is_possible(&self) -> bool {
        let most = self.participations.values().copied().max().unwrap_or(0);
        let counts = most <= self.private_rounds
            && self.private_rounds <= self.steps
            && self.steps < u64::from(u32::MAX);
        counts && self.norm.is_none_or(|norm| norm > 0.0 && norm.is_finite())
    }
}

/// What a rule remembers of the rounds before.
pub struct State {
    /// The file, in rounds after the first.
    pub file: Option<TensorFile>,
    /// Its metadata, or that of a beginning.
    pub memory: Memory,
}

impl State {
    /// Opens the state that goes with `global`; a beginning where no file is given.
    ///
    /// # Errors
    /// [`JobError`]: the file is of another rule, privacy, experiment or round, or is missing in a later round of a rule
    /// that needs it
    pub fn open(
        given: Option<&InputFile>,
        strategy: &Strategy,
        privacy: Option<&CentralPrivacy>,
        global: &TensorFile,
    ) -> Result<Self, JobError> {
        let rule = strategy.word();
        let Some(given) = given else {
            let later = |header: &Header| header.round.is_some_and(|round| round > Round(0));
            if (strategy.remembers() || privacy.is_some()) && global.header.as_ref().is_some_and(later) {
                let message = format!(
                    "`--state-in` is missing: `{rule}` or its privacy continues from the round before"
                );
                return Err(JobError::new(JobExit::Usage, message)
                    .help("give the file that `--state-out` wrote beside this global model"));
            }
            return Ok(Self {
                file: None,
                memory: Memory::beginning(rule, privacy.copied()),
            });
        };
        let file = TensorFile::open(given.path())?;
        let path = file.path();
        let Some(text) = file.metadata.get(MEMORY) else {
            return Err(JobError::invalid(
                path,
                "it is no state file: `--state-out` writes them",
            ));
        };
        let memory = Memory::read(text).map_err(|reason| JobError::invalid(path, reason))?;
        if memory.rule != rule {
            let reason = format!("it is what `{}` remembers, the rule is `{rule}`", memory.rule);
            return Err(JobError::invalid(path, reason));
        }
        if memory.privacy.as_ref() != privacy {
            let text = |privacy: Option<&CentralPrivacy>| privacy.map_or("none".to_owned(), ArgValue::write);
            let reason = format!(
                "the privacy of its rounds is `{}`, that of this one `{}`",
                text(memory.privacy.as_ref()),
                text(privacy)
            );
            return Err(JobError::invalid(path, reason));
        }
        check_header(&file, global)?;
        Ok(Self {
            file: Some(file),
            memory,
        })
    }

    /// The bytes of the `f64` tensor `prefix` + `name` of this shape; none at the beginning.
    ///
    /// # Errors
    /// [`JobError`]: the file lacks it, or it has another shape
    pub fn tensor(&self, prefix: &str, name: &str, shape: &[usize]) -> Result<Option<&[u8]>, JobError> {
        let Some(file) = &self.file else { return Ok(None) };
        let full = format!("{prefix}{name}");
        let Some(number) = file.find(&full) else {
            return Err(JobError::invalid(
                file.path(),
                format!("tensor `{full}` is missing"),
            ));
        };
        let tensor = &file.tensors[number];
        if (tensor.dtype, &tensor.shape[..]) != (Dtype::F64, shape) {
            let reason = format!(
                "tensor `{full}` is {} {:?}, not F64 {shape:?}",
                tensor.dtype, tensor.shape
            );
            return Err(JobError::invalid(file.path(), reason));
        }
        Ok(Some(file.bytes(tensor)))
    }
}

/// The metadata of the state after this round.
pub fn metadata(memory: &Memory, model: Option<&Header>) -> BTreeMap<String, String> {
    let mut metadata = match model {
        Some(header) => Header {
            kind: TensorKind::State,
            ..header.clone()
        }
        .to_metadata(),
        None => BTreeMap::new(),
    };
    let text = serde_json::to_string(memory).expect("counts and a finite norm are JSON");
    metadata.insert(MEMORY.to_owned(), text);
    metadata
}

/// A state of ours goes with one global model: that of the round it was written in.
fn check_header(state: &TensorFile, global: &TensorFile) -> Result<(), JobError> {
    let (theirs, ours) = match (&state.header, &global.header) {
        (Some(theirs), Some(ours)) => (theirs, ours),
        (None, None) => return Ok(()),
        (None, Some(_)) => {
            let reason = "it is of a model from elsewhere, the global model is fedwing's";
            return Err(JobError::invalid(state.path(), reason));
        }
        (Some(_), None) => {
            let reason = "it is of a model of fedwing's, the global model is from elsewhere";
            return Err(JobError::invalid(state.path(), reason));
        }
    };
    if theirs.kind != TensorKind::State {
        let reason = format!("its kind is `{}`, not `{}`", theirs.kind, TensorKind::State);
        return Err(JobError::invalid(state.path(), reason));
    }
    let round = |header: &Header| {
        let text = header.round.map_or("none".to_owned(), |round| round.to_string());
        ("round", text)
    };
    let theirs = lineage(theirs).into_iter().chain([round(theirs)]);
    let ours = lineage(ours).into_iter().chain([round(ours)]);
    for ((field, theirs), (_, ours)) in theirs.zip(ours) {
        if theirs != ours {
            let reason = format!("its {field} is `{theirs}`, the global model's is `{ours}`");
            return Err(JobError::invalid(state.path(), reason));
        }
    }
    Ok(())
}
