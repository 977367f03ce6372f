//! What a rule remembers between rounds: a tensor file of its moments, and counts in the file's metadata.
//!
//! Every rule writes one when asked, also those that remember nothing, so that a workflow treats all rules alike.

use std::collections::BTreeMap;

use contract::{
    aggregation::{CentralPrivacy, Strategy},
    argv::InputFile,
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
    pub fn beginning(rule: String) -> Self {
        Self {
            fedwing_state: Self::VERSION,
            rule,
            steps: 0,
            norm: None,
            participations: BTreeMap::new(),
            private_rounds: 0,
            nameless: false,
        }
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
    /// [`JobError`]: the file is of another rule, experiment or round, or is missing in a later round of a rule that needs it
    pub fn open(
        given: Option<&InputFile>,
        strategy: &Strategy,
        privacy: Option<&CentralPrivacy>,
        global: &TensorFile,
    ) -> Result<Self, JobError> {
        let rule = strategy.word();
        let Some(given) = given else {
            let later = |header: &Header| header.round.is_some_and(|round| round > Round(0));
            if (remembers(strategy) || privacy.is_some()) && global.header.as_ref().is_some_and(later) {
                let message = format!(
                    "`--state-in` is missing: `{rule}` or its privacy continues from the round before"
                );
                return Err(JobError::new(JobExit::Usage, message)
                    .help("give the file that `--state-out` wrote beside this global model"));
            }
            return Ok(Self {
                file: None,
                memory: Memory::beginning(rule),
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
        let memory: Memory = serde_json::from_str(text)
            .map_err(|error| JobError::invalid(path, format!("metadata `{MEMORY}`: {error}")))?;
        if memory.fedwing_state != Memory::VERSION {
            let reason = format!(
                "it has format version {}, this program reads version {}",
                memory.fedwing_state,
                Memory::VERSION
            );
            return Err(JobError::invalid(path, reason));
        }
        if memory.rule != rule {
            let reason = format!("it is what `{}` remembers, the rule is `{rule}`", memory.rule);
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

/// Whether the rule's next round depends on more than the global model.
fn remembers(strategy: &Strategy) -> bool {
    match strategy {
        Strategy::Fedavgm { .. }
        | Strategy::Fedadam { .. }
        | Strategy::Fedyogi { .. }
        | Strategy::Fedadagrad { .. }
        | Strategy::Scaffold { .. } => true,
        Strategy::Fedavg
        | Strategy::Fedprox
        | Strategy::Fedbn
        | Strategy::Fednova
        | Strategy::Qfedavg { .. }
        | Strategy::Median
        | Strategy::TrimmedMean { .. }
        | Strategy::Krum { .. }
        | Strategy::MultiKrum { .. }
        | Strategy::Bulyan { .. }
        | Strategy::GeometricMedian { .. }
        | Strategy::NormBound { .. } => false,
    }
}

/// A state of ours goes with one global model: that of the round it was written in.
fn check_header(state: &TensorFile, global: &TensorFile) -> Result<(), JobError> {
    let (Some(theirs), Some(ours)) = (&state.header, &global.header) else {
        return Ok(());
    };
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
