//! Masked updates: their sum, with what is left of masks shared with absent clients taken out.
//!
//! In: masked updates of every present client, and what each revealed of its masks with absent ones. Out: the mean of
//! the updates, none of which can be read. Start at [`Masked::of`].

use std::{collections::BTreeMap, path::Path};

use contract::{
    aggregation::{CentralPrivacy, NamePattern, Strategy},
    argv::InputFile,
    exit::JobExit,
    ids::ClientId,
    job::JobError,
    secure::{FEWEST_CLIENTS, MASK_CHECK, RevealFile},
    tensors::Header,
};
use kernels::{
    aggregate::{Element, maximum},
    secure::{Seed, Sign, add_mask, decode_mean},
};

use crate::{
    blocks::{checked_bytes, float_of, integers},
    inputs::Inputs,
    output::{Outputs, like, metadata},
    pieces::{self, Piece},
    rules::{self, Recipe, is_float},
    state::{self, State},
    update::{Content, Update},
    written::Written,
};

/// Masked updates and what is to be taken out of their sum.
pub struct Masked<'a> {
    inputs: &'a Inputs,
    fraction_bits: u32,
    /// Masks of present clients that no absent client took away.
    leftovers: Vec<(Seed, Sign)>,
    /// The index of each tensor's first value among all floating-point values.
    first_index: Vec<u64>,
    /// Number of floating-point values, and the index of the check.
    values: u64,
}

impl<'a> Masked<'a> {
    /// Checks that every leftover mask is known; none where the updates are not masked.
    ///
    /// # Errors
    /// [`JobError`]: an update without a client, or a mask that is not revealed, or revealed for nothing
    pub fn of(inputs: &'a Inputs, reveals: &[InputFile]) -> Result<Option<Self>, JobError> {
        let Some(Content::Masked(fraction_bits)) = inputs.updates.first().map(|update| &update.content)
        else {
            return match reveals.first() {
                None => Ok(None),
                Some(_) => Err(JobError::new(
                    JobExit::Usage,
                    "`--reveal` is for masked updates; these are not",
                )),
            };
        };
        for update in &inputs.updates {
            if update.client().is_none() {
                return Err(JobError::invalid(
                    update.file.path(),
                    "it is masked, but names no client",
                ));
            }
        }
        if inputs.members.len() < FEWEST_CLIENTS {
            let message = "only one masked update is there: its masks would be all that hides it";
            return Err(JobError::new(JobExit::DataUnfit, message));
        }
        let mut first_index = Vec::with_capacity(inputs.global.tensors.len());
        let mut next = 0;
        for (number, tensor) in inputs.global.tensors.iter().enumerate() {
            first_index.push(next);
            if is_float(inputs, number) {
                next += tensor.shape.iter().product::<usize>() as u64;
            }
        }
        let masked = Self {
            inputs,
            fraction_bits: *fraction_bits,
            leftovers: leftovers(inputs, reveals)?,
            first_index,
            values: next,
        };
        masked.check()?;
        Ok(Some(masked))
    }

    /// The checks are masked as the parameters are and sum to the sample count: if they do not, neither is the sum of
    /// the parameters what it should be.
    fn check(&self) -> Result<(), JobError> {
        let mut sum = [0_u64];
        for update in &self.inputs.updates {
            let path = update.file.path();
            let stated = update
                .file
                .metadata
                .get(MASK_CHECK)
                .and_then(|text| text.parse().ok());
            let check: u64 = stated.ok_or_else(|| {
                JobError::invalid(path, format!("its metadata has no number `{MASK_CHECK}`"))
            })?;
            sum[0] = sum[0].wrapping_add(check);
        }
        for (seed, sign) in &self.leftovers {
            add_mask(seed, self.values, *sign, &mut sum);
        }
        if sum[0] == self.inputs.total_samples {
            return Ok(());
        }
        let message =
            "the masks of these updates do not cancel: one is missing or of other keys, or a reveal is wrong";
        Err(JobError::new(JobExit::InputInvalid, message).about(self.inputs.global.path()))
    }

    /// What is done with each tensor: the sum allows the sample-weighted mean and nothing else.
    ///
    /// # Errors
    /// [`JobError`]: another rule, or one that needs each update
    pub fn recipe(
        &self,
        strategy: &Strategy,
        privacy: Option<&CentralPrivacy>,
        keep: &[NamePattern],
        state: &State,
    ) -> Result<Recipe, JobError> {
        if !matches!(strategy, Strategy::Fedavg | Strategy::Fedprox) || privacy.is_some() || !keep.is_empty()
        {
            let message =
                "masked updates have a plain mean only: `--strategy fedavg`, no `--privacy`, no `--keep`";
            return Err(JobError::new(JobExit::Usage, message));
        }
        rules::decide(strategy, None, &[], None, self.inputs, state)
    }

    /// Writes the mean of the updates.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn write(
        &self,
        path: &Path,
        state_path: Option<&Path>,
        recipe: &Recipe,
        header: Option<&Header>,
    ) -> Result<Outputs, JobError> {
        let model = Written::create(path, &metadata(self.inputs, header), &like(self.inputs))?;
        let state = state_path
            .map(|path| Written::create(path, &state::metadata(&recipe.memory, header), &[]))
            .transpose()?;
        let tensors = &self.inputs.global.tensors;
        for (number, tensor) in tensors.iter().enumerate() {
            if !is_float(self.inputs, number) {
                let updates: Vec<&Update> = self.inputs.updates.iter().collect();
                model.write(number, 0, &integers(&updates, tensor, number, maximum)?)?;
            }
        }
        let floats = (0..tensors.len()).filter(|number| is_float(self.inputs, *number));
        let sizes = floats.map(|number| (number, tensors[number].shape.iter().product()));
        let pieces = pieces::cut(sizes, self.inputs.updates.len());
        pieces::each(&pieces, || (), |(), piece| self.piece(piece, &model))?;
        Ok(Outputs::of(model, state))
    }

    fn piece(&self, piece: &Piece, model: &Written) -> Result<(), JobError> {
        let mut sums = vec![0_u64; piece.range.len()];
        for update in &self.inputs.updates {
            let bytes = &update.plain_bytes(piece.tensor)[piece.range.start * 8..piece.range.end * 8];
            for (sum, value) in sums.iter_mut().zip(bytes.as_chunks().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*value));
            }
        }
        let first = self.first_index[piece.tensor] + piece.range.start as u64;
        for (seed, sign) in &self.leftovers {
            add_mask(seed, first, *sign, &mut sums);
        }
        let total = self.inputs.total_samples;
        let means: Vec<f64> = sums
            .iter()
            .map(|sum| decode_mean(*sum, self.fraction_bits, total))
            .collect();
        let tensor = &self.inputs.global.tensors[piece.tensor];
        let width = Element::Float(float_of(tensor)).width();
        let mut scratch = Vec::new();
        let bytes = checked_bytes(tensor, piece, &means, &mut scratch)?;
        model.write(piece.tensor, piece.range.start * width, bytes)
    }
}

/// The masks that each present client shares with each absent one: all of them, and no other.
fn leftovers(inputs: &Inputs, reveals: &[InputFile]) -> Result<Vec<(Seed, Sign)>, JobError> {
    let round = inputs
        .global
        .header
        .as_ref()
        .and_then(|header| header.round)
        .and_then(|round| round.0.checked_add(1));
    let present: Vec<ClientId> = inputs.members.iter().filter_map(|member| member.client).collect();
    let mut seeds = BTreeMap::new();
    for file in reveals {
        let reveal = RevealFile::read(file.path())?;
        let refuse = |reason: String| Err(JobError::invalid(file.path(), reason));
        let header = inputs.global.header.as_ref();
        let same = header.is_some_and(|header| {
            (&header.experiment, &header.dataset, &header.spec_digest)
                == (&reveal.of.experiment, &reveal.of.dataset, &reveal.of.spec_digest)
        });
        if !same || Some(reveal.round.0) != round {
            return refuse(format!(
                "it is of {}, round {}: another round or experiment",
                reveal.of, reveal.round
            ));
        }
        for revealed in reveal.seeds {
            if !present.contains(&reveal.of.client) || !inputs.absent.contains(&revealed.absent) {
                return refuse(format!(
                    "it reveals the mask of clients {} and {}, whose updates do not leave it in the sum",
                    reveal.of.client, revealed.absent
                ));
            }
            let pair = (reveal.of.client, revealed.absent);
            if seeds.insert(pair, Seed(revealed.seed.0)).is_some() {
                return refuse(format!(
                    "the mask of clients {} and {} is revealed twice",
                    pair.0, pair.1
                ));
            }
        }
    }
    for client in &present {
        for absent in &inputs.absent {
            if !seeds.contains_key(&(*client, *absent)) {
                let message = format!(
                    "client {absent} is absent, and no `--reveal` has the mask that client {client} shares with it"
                );
                return Err(JobError::new(JobExit::Usage, message)
                    .help("`fl-client reveal` of every present client writes what is needed"));
            }
        }
    }
    Ok(seeds
        .into_iter()
        .map(|((client, absent), seed)| (seed, Sign::between(client.0, absent.0).opposite()))
        .collect())
}
