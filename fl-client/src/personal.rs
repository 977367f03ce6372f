//! What a client keeps at its site from one of its rounds to the next.
//!
//! In: the file of an earlier round, or nothing. Out: one for the next; for evaluation, a model with the client's own parts.
//! Start at [`Personal::open`] and [`apply`].
//!
//! # Format
//! Safetensors of kind `personal` with the header of the client's update, and metadata [`METHOD`]. Tensors: the client's own
//! parts of a model by their names; `control:NAME` of SCAFFOLD; `optimizer.…` where the recipe keeps moments, and
//! `own.optimizer.…` those of Ditto's second model. DP-SGD adds metadata [`STEPS`] and [`SHARE`].

use std::{collections::BTreeMap, fs, path::Path};

use contract::{
    ids::{ClientId, Round},
    job::{JobError, write_whole},
    recipe::{Method, OptimizerState, Recipe},
    tensors::{CONTROL, Header, TensorKind},
};
use safetensors::{SafeTensors, tensor::TensorView};

use crate::{
    checks::{Expected, PERSONAL_WAY_OUT},
    method::own::own,
    model::{Model, ModelFile, Role, Weights},
    optim::Descent,
    pieces::{Piece, write_pieces},
    update::as_it_is,
};

/// Metadata key of the method's word.
pub const METHOD: &str = "method";

/// Metadata key of the DP-SGD steps taken so far.
pub const STEPS: &str = "privacy_steps";

/// Metadata key of the probability with which each of those steps took a sample.
pub const SHARE: &str = "privacy_sampling_share";

/// Prefix of an optimiser's tensors.
const OPTIMIZER: &str = "optimizer.";

/// Prefix of what belongs to Ditto's second model and is not its weights.
const OWN: &str = "own.";

/// What a client keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its own parts of a model; empty elsewhere.
    pub own: Weights,
    /// SCAFFOLD: its control variate, for trained tensors; empty elsewhere.
    pub variate: Weights,
    /// The optimiser's moments, where the recipe keeps them.
    pub optimizer: Option<Descent>,
    /// Ditto: those of its own model.
    pub own_optimizer: Option<Descent>,
    /// DP-SGD: steps taken so far.
    pub steps: u64,
    /// DP-SGD: the probability with which they took a sample; none before the first.
    pub share: Option<f64>,
}

/// What a client keeps, and the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Personal {
    /// What it keeps.
    pub kept: Kept,
    method: &'static str,
    /// The file it was read from, to be handed on as it is.
    bytes: Option<Vec<u8>>,
}

/// The word of a method.
pub fn word(method: Method) -> &'static str {
    match method {
        Method::Plain => "plain",
        Method::Fedprox { .. } => "fedprox",
        Method::Scaffold => "scaffold",
        Method::Qfedavg => "qfedavg",
        Method::Fedbn => "fedbn",
        Method::Fedper => "fedper",
        Method::Ditto { .. } => "ditto",
    }
}

/// Whether each tensor has a control variate in the client's file.
fn variates(method: Method, model: &Model) -> Vec<bool> {
    let specs = model.tensors().iter();
    specs
        .map(|spec| method == Method::Scaffold && spec.role == Role::Trained)
        .collect()
}

impl Personal {
    /// What a client begins with: its parts of the global model, a variate of 0, no moments, no steps.
    ///
    /// # Errors
    /// `Usage` if the method does not fit the model.
    pub fn beginning(recipe: &Recipe, model: &Model, global: &Weights) -> Result<Self, JobError> {
        let mut variate = global.only(&variates(recipe.method, model));
        for place in 0..model.tensors().len() {
            variate.real_mut(place).fill(0.0);
        }
        let keeps = recipe.optimizer_state == OptimizerState::Kept;
        let fresh = || keeps.then(|| Descent::new(recipe.optimizer));
        Ok(Self {
            kept: Kept {
                own: global.only(&own(recipe.method, model)?),
                variate,
                optimizer: fresh(),
                own_optimizer: fresh().filter(|_| matches!(recipe.method, Method::Ditto { .. })),
                steps: 0,
                share: None,
            },
            method: word(recipe.method),
            bytes: None,
        })
    }

    /// Opens what `client` kept in a round before `round`, for the same experiment, recipe and network.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, `InputInvalid` or `NotFinite`, naming the file and the tensor or field.
    pub fn open(
        expected: &Expected<'_>,
        path: &Path,
        (client, round): (ClientId, Round),
        recipe: &Recipe,
        model: &Model,
    ) -> Result<Self, JobError> {
        let file = ModelFile::open(path)?;
        let header = file.header()?;
        let last = Round(round.0.saturating_sub(1));
        expected.personal(path, &header, client, last, model)?;
        let metadata = file.metadata()?;
        let invalid = |reason: String| JobError::invalid(path, reason).help(PERSONAL_WAY_OUT);
        let method = word(recipe.method);
        match metadata.get(METHOD) {
            Some(found) if found == method => {}
            found => {
                let found = found.map_or("none", String::as_str);
                return Err(invalid(format!("its method is {found}, expected {method}")));
            }
        }
        let tensors = file.tensors()?;
        let own_places = own(recipe.method, model)?;
        let keeps = recipe.optimizer_state == OptimizerState::Kept;
        let has_second = matches!(recipe.method, Method::Ditto { .. });
        let known = |name: &str| {
            let place = |name: &str| model.tensors().iter().position(|spec| spec.name == name);
            if let Some(rest) = name.strip_prefix(CONTROL) {
                return place(rest).is_some_and(|place| variates(recipe.method, model)[place]);
            }
            let optimizer = name.strip_prefix(OWN).filter(|_| has_second).unwrap_or(name);
            (keeps && optimizer.starts_with(OPTIMIZER)) || place(name).is_some_and(|place| own_places[place])
        };
        let stranger = tensors.names().into_iter().filter(|name| !known(name)).min();
        if let Some(name) = stranger {
            return Err(invalid(format!(
                "tensor `{name}` is not what {method} keeps of {}",
                model.arch()
            )));
        }
        let read = |prefix: &str, wanted: &[bool]| {
            Weights::read_some(model, &tensors, prefix, wanted).map_err(invalid)
        };
        let kept = Kept {
            own: read("", &own_places)?,
            variate: read(CONTROL, &variates(recipe.method, model))?,
            optimizer: match keeps {
                true => Some(Descent::read(recipe.optimizer, model, &tensors).map_err(invalid)?),
                false => None,
            },
            own_optimizer: match keeps && has_second {
                true => Some(stripped(recipe, model, &tensors).map_err(invalid)?),
                false => None,
            },
            steps: parse(&metadata, STEPS, recipe.privacy.is_some())
                .map_err(invalid)?
                .unwrap_or(0),
            share: match metadata.contains_key(SHARE) {
                true => parse(&metadata, SHARE, true).map_err(invalid)?,
                false => None,
            },
        };
        for weights in [&kept.own, &kept.variate] {
            if let Some(name) = weights.first_not_finite(model) {
                let text = format!("`{}`: tensor `{name}` holds NaN or infinity", path.display());
                return Err(JobError::new(contract::exit::JobExit::NotFinite, text)
                    .about(path)
                    .help(PERSONAL_WAY_OUT));
            }
        }
        if (kept.steps > 0) != kept.share.is_some() {
            return Err(invalid(format!(
                "metadata `{STEPS}` and `{SHARE}` do not go together"
            )));
        }
        let bytes = fs::read(path).map_err(|error| JobError::reading(path, &error))?;
        Ok(Self {
            kept,
            method,
            bytes: Some(bytes),
        })
    }

    /// The same client with something else kept.
    #[must_use]
    pub fn with(&self, kept: Kept) -> Self {
        Self {
            kept,
            method: self.method,
            bytes: None,
        }
    }

    /// Writes the file; `update` is the header of the update that goes with it.
    ///
    /// # Errors
    /// `Io` naming the file; nothing is left then.
    pub fn save(&self, path: &Path, update: &Header, model: &Model) -> Result<(), JobError> {
        let header = Header {
            kind: TensorKind::Personal,
            ..update.clone()
        };
        let Kept {
            own,
            variate,
            optimizer,
            own_optimizer,
            steps,
            share,
        } = &self.kept;
        let mut metadata = header.to_metadata();
        metadata.insert(METHOD.to_owned(), self.method.to_owned());
        metadata.insert(STEPS.to_owned(), steps.to_string());
        if let Some(share) = share {
            metadata.insert(SHARE.to_owned(), format!("{share:?}"));
        }
        let mut pieces = Vec::new();
        for (place, spec) in model.tensors().iter().enumerate() {
            for (prefix, weights) in [("", own), (CONTROL, variate)] {
                let is_there = weights.count(place).is_some() || !weights.real(place).is_empty();
                if is_there {
                    pieces.push(as_it_is(format!("{prefix}{}", spec.name), spec, weights, place));
                }
            }
        }
        pieces.extend(optimizer.iter().flat_map(|state| state.pieces(model)));
        let second = own_optimizer.iter().flat_map(|state| state.pieces(model));
        pieces.extend(second.map(|piece| Piece {
            name: format!("{OWN}{}", piece.name),
            ..piece
        }));
        write_pieces(path, &metadata, pieces)
    }

    /// Writes what was read as it was; what the client began with, where nothing was read.
    ///
    /// # Errors
    /// As [`Personal::save`].
    pub fn hand_on(&self, path: &Path, update: &Header, model: &Model) -> Result<(), JobError> {
        match &self.bytes {
            Some(bytes) => write_whole(path, |out| std::io::Write::write_all(out, bytes)),
            None => self.save(path, update, model),
        }
    }
}

/// A number in metadata; none where it is not needed and not there.
fn parse<T: std::str::FromStr>(
    metadata: &BTreeMap<String, String>,
    key: &str,
    is_needed: bool,
) -> Result<Option<T>, String> {
    match metadata.get(key) {
        None if is_needed => Err(format!("metadata `{key}` is missing")),
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("metadata `{key}` is `{text}`, not a number")),
        },
    }
}

/// The optimiser of Ditto's second model, whose tensors have a prefix.
fn stripped(recipe: &Recipe, model: &Model, file: &SafeTensors<'_>) -> Result<Descent, String> {
    let tensors = file.tensors();
    let own: BTreeMap<&str, TensorView<'_>> = tensors
        .iter()
        .filter_map(|(name, view)| Some((name.strip_prefix(OWN)?, view.clone())))
        .collect();
    let bytes = safetensors::serialize(own, None).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    Descent::read(recipe.optimizer, model, &file)
}

/// Puts a client's own parts, of the file it kept in `round` or before, in place of the global model's: the model that the
/// client ends with under FedBN, FedPer and Ditto.
///
/// # Errors
/// `InputMissing`, `Io`, `InputInvalid` or `NotFinite` naming the file; `Usage` if the method does not fit the model.
pub fn apply(
    expected: &Expected<'_>,
    path: &Path,
    (client, round): (ClientId, Round),
    model: &Model,
    weights: &mut Weights,
) -> Result<(), JobError> {
    let file = ModelFile::open(path)?;
    expected.personal(path, &file.header()?, client, round, model)?;
    let metadata = file.metadata()?;
    let method = match metadata.get(METHOD).map_or("", String::as_str) {
        "fedbn" => Method::Fedbn,
        "fedper" => Method::Fedper,
        "ditto" => Method::Ditto { lambda: 0.0 },
        other => {
            let reason = format!("it holds no parts of a model: its method is `{other}`");
            return Err(JobError::invalid(path, reason).help(
                "evaluate a client's own model under fedbn, fedper or ditto, or leave `--personal` out",
            ));
        }
    };
    let own = own(method, model)?;
    let tensors = file.tensors()?;
    let parts = Weights::read_some(model, &tensors, "", &own)
        .map_err(|reason| JobError::invalid(path, reason).help(PERSONAL_WAY_OUT))?;
    if let Some(name) = parts.first_not_finite(model) {
        let text = format!("`{}`: tensor `{name}` holds NaN or infinity", path.display());
        return Err(JobError::new(contract::exit::JobExit::NotFinite, text).about(path));
    }
    weights.adopt(&parts, &own);
    Ok(())
}
