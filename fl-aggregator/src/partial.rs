//! The `partial` job: the exact sum of some updates, for a tree of aggregations.
//!
//! Each floating-point tensor becomes a few `f64` tensors that add up to the sum exactly, stacked along a new first
//! axis; integers become the largest values. Whatever the tree, `aggregate` gets the same sums. Start at [`run`].

use std::{collections::BTreeMap, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use contract::{
    args::PartialArgs,
    exit::JobExit,
    ids::{ClientId, Round},
    job::JobError,
    tensors::{Header, NUM_SAMPLES, TensorKind},
    units::SampleCount,
};
use kernels::aggregate::{
    Element, Float, Weights, components_needed, maximum, partial_components, write_row,
};
use serde::{Deserialize, Serialize};

use crate::{
    blocks::{Rows, explain, float_pieces, integers},
    inputs::{Fewest, Inputs},
    pieces::{self, Piece},
    rules::is_float,
    tensor_file::TensorFile,
    update::{Content, Decode, Update},
    written::{NewTensor, Written},
};

/// Metadata key of a partial sum: a [`PartialSum`] as JSON.
pub const PARTIAL: &str = "partial";

/// Counts of bytes stay below this, so that few of them do not overflow when added up.
const LARGEST_COUNT: u64 = 1 << 53;

/// What is behind a partial sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialSum {
    /// Who is in it.
    pub members: Vec<Member>,
    /// Selected clients that said they are absent.
    pub absent: Vec<ClientId>,
    /// Bytes of the update files behind it.
    pub received_bytes: u64,
    /// Bytes the same updates have as plain values.
    pub plain_bytes: u64,
}

/// One client's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The client, where its update names it.
    pub client: Option<ClientId>,
    /// Samples it was trained on.
    pub num_samples: u64,
}

impl PartialSum {
    /// What the file says of itself, where it is a partial sum.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn of(file: &TensorFile) -> Result<Option<Self>, JobError> {
        let refuse = |reason: String| Err(JobError::invalid(file.path(), reason));
        let kind = file.header.as_ref().map(|header| header.kind);
        let Some(text) = file.metadata.get(PARTIAL) else {
            return match kind {
                Some(TensorKind::Partial) => refuse(format!("it is a sum without metadata `{PARTIAL}`")),
                _ => Ok(None),
            };
        };
        if let Some(kind) = kind.filter(|kind| *kind != TensorKind::Partial) {
            return refuse(format!(
                "its kind is `{kind}`, and it has metadata `{PARTIAL}` as a sum does"
            ));
        }
        match serde_json::from_str::<Self>(text) {
            Err(error) => refuse(format!("metadata `{PARTIAL}`: {error}")),
            Ok(sum) => sum.check(file).map(|()| Some(sum)),
        }
    }

    /// Its members have the samples it stands for, and its numbers can be added up.
    fn check(&self, file: &TensorFile) -> Result<(), JobError> {
        let refuse = |reason: String| Err(JobError::invalid(file.path(), reason));
        if self.members.iter().any(|member| member.num_samples == 0) {
            return refuse(format!("metadata `{PARTIAL}` has a member without samples"));
        }
        if self.received_bytes.max(self.plain_bytes) >= LARGEST_COUNT {
            return refuse(format!(
                "metadata `{PARTIAL}` counts more bytes than there can be"
            ));
        }
        let add = |sum: u64, member: &Member| sum.checked_add(member.num_samples);
        let total = self.members.iter().try_fold(0, add);
        let stated = file.metadata.get(NUM_SAMPLES).and_then(|text| text.parse().ok());
        if total.is_some() && total == stated {
            return Ok(());
        }
        refuse(format!(
            "its members do not have as many samples together as metadata `{NUM_SAMPLES}` says"
        ))
    }
}

/// Runs the job.
///
/// # Errors
/// [`JobError`]: inputs that do not belong together, a value that is not finite, or the file cannot be written
pub fn run(args: &PartialArgs) -> Result<(), JobError> {
    let PartialArgs {
        global,
        updates,
        samples,
        threads: _,
        output,
    } = args;
    // Whether enough clients are there is for the job that sees all of them.
    let inputs = Inputs::open(global, updates, samples, Fewest::Any)?;
    if let Some(update) = inputs
        .updates
        .iter()
        .find(|update| matches!(update.content, Content::Masked(_)))
    {
        return Err(JobError::invalid(
            update.file.path(),
            "it is masked: `aggregate` adds masked updates up",
        ));
    }
    inputs.updates.iter().try_for_each(Update::refuse_controls)?;
    if inputs.updates.is_empty() {
        // Everyone here is absent: the file says so, and has no sum.
        return Written::create(output.path(), &metadata(&inputs), &[])?.finish();
    }
    let counts: Vec<u64> = inputs.updates.iter().map(|update| update.samples).collect();
    let weights =
        Weights::new(&counts).map_err(|error| JobError::new(JobExit::InputInvalid, error.to_string()))?;
    let work = Work {
        inputs: &inputs,
        updates: inputs.updates.iter().collect(),
        weights,
    };
    let components = work.components()?;
    let sums = Written::create(output.path(), &metadata(&inputs), &tensors(&inputs, &components))?;
    work.integers(&sums)?;
    let (narrow, wide) = float_pieces(&inputs, |_| true);
    pieces::each(&narrow, Rows::<f32>::new, |rows, piece| {
        work.write(rows, piece, &components, &sums)
    })?;
    pieces::each(&wide, Rows::<f64>::new, |rows, piece| {
        work.write(rows, piece, &components, &sums)
    })?;
    sums.finish()
}

struct Work<'a> {
    inputs: &'a Inputs,
    updates: Vec<&'a Update>,
    weights: Weights,
}

impl Work<'_> {
    /// For each tensor, the components that its sums need.
    fn components(&self) -> Result<Vec<usize>, JobError> {
        let most: Vec<AtomicUsize> = self
            .inputs
            .global
            .tensors
            .iter()
            .map(|_| AtomicUsize::new(1))
            .collect();
        let (narrow, wide) = float_pieces(self.inputs, |_| true);
        pieces::each(&narrow, Rows::<f32>::new, |rows, piece| {
            self.count(rows, piece, &most)
        })?;
        pieces::each(&wide, Rows::<f64>::new, |rows, piece| {
            self.count(rows, piece, &most)
        })?;
        Ok(most.into_iter().map(AtomicUsize::into_inner).collect())
    }

    fn count<R: Decode>(
        &self,
        rows: &mut Rows<R>,
        piece: &Piece,
        most: &[AtomicUsize],
    ) -> Result<(), JobError> {
        let needed = rows
            .with_addends(self.inputs, &self.updates, piece, |_, addends| {
                components_needed(&self.weights, addends)
            })
            .map_err(|error| explain(self.inputs, &self.updates, piece, &error))?;
        most[piece.tensor].fetch_max(needed, Ordering::Relaxed);
        Ok(())
    }

    fn write<R: Decode>(
        &self,
        rows: &mut Rows<R>,
        piece: &Piece,
        components: &[usize],
        sums: &Written,
    ) -> Result<(), JobError> {
        let length = piece.range.len();
        let mut values = vec![0.0_f64; components[piece.tensor] * length];
        let mut out: Vec<&mut [f64]> = values.chunks_mut(length).collect();
        rows.with_addends(self.inputs, &self.updates, piece, |_, addends| {
            partial_components(&self.weights, addends, &mut out)
        })
        .map_err(|error| explain(self.inputs, &self.updates, piece, &error))?;
        let of_tensor: usize = self.inputs.global.tensors[piece.tensor].shape.iter().product();
        let mut scratch = Vec::new();
        for (component, values) in values.chunks(length).enumerate() {
            let bytes = write_row(Float::F64, values, &mut scratch);
            let offset = (component * of_tensor + piece.range.start) * 8;
            sums.write(piece.tensor, offset, bytes)?;
        }
        Ok(())
    }

    fn integers(&self, sums: &Written) -> Result<(), JobError> {
        for (number, tensor) in self.inputs.global.tensors.iter().enumerate() {
            if !is_float(self.inputs, number) {
                sums.write(number, 0, &integers(&self.updates, tensor, number, maximum)?)?;
            }
        }
        Ok(())
    }
}

fn tensors(inputs: &Inputs, components: &[usize]) -> Vec<NewTensor> {
    let new = |(tensor, components): (&crate::tensor_file::Tensor, &usize)| match tensor.element() {
        Some(Element::Float(_)) => NewTensor {
            name: tensor.name.clone(),
            dtype: "F64".to_owned(),
            shape: [&[*components], &tensor.shape[..]].concat(),
            bytes: components * tensor.shape.iter().product::<usize>() * 8,
        },
        _ => NewTensor {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.clone(),
            bytes: tensor.byte_length(),
        },
    };
    inputs.global.tensors.iter().zip(components).map(new).collect()
}

fn metadata(inputs: &Inputs) -> BTreeMap<String, String> {
    let sum = PartialSum {
        members: inputs.members.clone(),
        absent: inputs.absent.clone(),
        received_bytes: inputs.received_bytes,
        plain_bytes: inputs.plain_bytes(),
    };
    let text = serde_json::to_string(&sum).expect("numbers and names are JSON");
    let mut metadata = BTreeMap::from([
        (PARTIAL.to_owned(), text),
        (NUM_SAMPLES.to_owned(), inputs.total_samples.to_string()),
    ]);
    if let Some(header) = &inputs.global.header {
        let header = Header {
            kind: TensorKind::Partial,
            synthetic: inputs.is_synthetic(),
            round: header.round.map(|round| Round(round.0.saturating_add(1))),
            client: None,
            num_samples: SampleCount(inputs.total_samples),
            ..header.clone()
        };
        metadata.extend(header.to_metadata());
    }
    metadata
}
