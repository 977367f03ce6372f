//! One update as the rules see it: whatever its encoding, rows of numbers in the global model's order.
//!
//! In: a checked [`TensorFile`] and the global model's. Out: blocks of values by tensor and range.
//! Start at [`Update::open`]; reading a block takes memory for that block only.

use std::{collections::BTreeSet, ops::Range};

use contract::{
    aggregation::Encoding,
    argv::ArgValue,
    ids::ClientId,
    job::JobError,
    tensors::{ABSENT, CONTROL, ENCODING, INDEX_SUFFIX, MASKED, SCALE_SUFFIX, is_running_statistic},
};
use kernels::{
    aggregate::{Element, Float, Real, read_row},
    codec::{EncodedTensor, Form, decode_block},
    secure::FixedPoint,
};
use safetensors::Dtype;

use crate::{
    partial::PartialSum,
    tensor_file::{Tensor, TensorFile},
};

/// An update and where each of the global model's tensors is in it.
pub struct Update {
    /// The file.
    pub file: TensorFile,
    /// Samples it was trained on, at least 1.
    pub samples: u64,
    /// What its tensors are.
    pub content: Content,
    /// For each of the global model's tensors, where its values are.
    places: Vec<Place>,
    /// The same for the changes of control variates; empty where the update carries none.
    controls: Vec<Option<usize>>,
}

/// What an update's tensors are.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Trained values, or differences by an encoding.
    Values,
    /// The exact sum of several updates.
    Partial(PartialSum),
    /// Fixed-point numbers under masks, with this many fractional bits.
    Masked(u32),
}

/// Where one tensor's values are in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// As they are, or a sum's components, or masked numbers.
    Plain(usize),
    /// Differences of this many values from the global model.
    Encoded { form: Tensors, values: usize },
}

/// Which tensors hold one tensor's differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tensors {
    Delta(usize),
    Fp16(usize),
    Bf16(usize),
    Int8 { values: usize, scale: usize },
    TopK { values: usize, indices: usize },
}

impl Tensors {
    fn of(self, file: &TensorFile) -> Form<'_> {
        let bytes = |number: usize| file.bytes(&file.tensors[number]);
        match self {
            Tensors::Delta(values) => Form::Delta(bytes(values)),
            Tensors::Fp16(values) => Form::Fp16(bytes(values)),
            Tensors::Bf16(values) => Form::Bf16(bytes(values)),
            Tensors::Int8 { values, scale } => Form::Int8 {
                values: bytes(values),
                scale: file.scalar(scale),
            },
            Tensors::TopK { values, indices } => Form::TopK {
                indices: bytes(indices),
                values: bytes(values),
            },
        }
    }

    /// The same, of places only those in `range`: they ascend, and a piece shall not cost as much as the tensor.
    fn within(self, file: &TensorFile, range: Range<usize>) -> Form<'_> {
        match self.of(file) {
            Form::TopK { indices, values } => {
                let (places, _) = indices.as_chunks();
                let below =
                    |end: usize| places.partition_point(|bytes| (u32::from_le_bytes(*bytes) as usize) < end);
                let bytes = 4 * below(range.start)..4 * below(range.end);
                Form::TopK {
                    indices: &indices[bytes.clone()],
                    values: &values[bytes],
                }
            }
            form => form,
        }
    }
}

impl Update {
    /// The client, where the update names it.
    pub fn client(&self) -> Option<ClientId> {
        self.file.header.as_ref().and_then(|header| header.client)
    }

    /// Whether it says that samples behind it are drawn.
    pub fn is_synthetic(&self) -> bool {
        self.file.header.as_ref().is_some_and(|header| header.synthetic)
    }

    /// Finds every tensor of the global model: the same names, types and shapes, no more and no fewer.
    ///
    /// # Errors
    /// [`JobError`] naming file and tensor
    pub fn open(file: TensorFile, global: &TensorFile, samples: u64) -> Result<Self, JobError> {
        let content = content(&file)?;
        let encoding = encoding(&file)?;
        let mut known = BTreeSet::new();
        let mut places = Vec::with_capacity(global.tensors.len());
        for wanted in &global.tensors {
            let place = place(&file, wanted, &content, encoding, &mut known)?;
            places.push(place);
        }
        let control = |tensor: &Tensor| {
            let number = file.find(&format!("{CONTROL}{}", tensor.name))?;
            // A model may have such a tensor of its own.
            (is_parameter(tensor) && !known.contains(&number)).then_some(number)
        };
        let controls: Vec<Option<usize>> = global.tensors.iter().map(control).collect();
        for (control, wanted) in controls.iter().zip(&global.tensors) {
            let Some(number) = *control else { continue };
            expect(&file, &file.tensors[number], wanted.dtype, &wanted.shape)?;
            known.insert(number);
        }
        let extra = (0..file.tensors.len()).find(|number| !known.contains(number));
        if let Some(number) = extra {
            return Err(not_in_the_model(&file, number));
        }
        let has_controls = controls.iter().any(Option::is_some);
        Ok(Self {
            file,
            samples,
            content,
            places,
            controls: if has_controls { controls } else { Vec::new() },
        })
    }

    /// The bytes of the global model's tensor number `number`, where they are not encoded.
    pub fn plain_bytes(&self, number: usize) -> &[u8] {
        match self.places[number] {
            Place::Plain(place) => self.file.bytes(&self.file.tensors[place]),
            _ => unreachable!("only floating-point tensors are encoded, and those are read by rows"),
        }
    }

    /// The update's values of tensor `number` in `range`, `global` being the global model's.
    pub fn row<'a, R: Decode>(
        &'a self,
        number: usize,
        float: Float,
        range: Range<usize>,
        global: &[R],
        scratch: &'a mut Vec<R>,
    ) -> &'a [R] {
        match &self.places[number] {
            Place::Plain(place) => {
                let bytes = self.file.bytes(&self.file.tensors[*place]);
                let width = Element::Float(float).width();
                read_row(float, &bytes[range.start * width..range.end * width], scratch)
            }
            Place::Encoded { form, values } => {
                let form = form.within(&self.file, range.clone());
                let tensor = EncodedTensor::check(form, *values).expect("checked when the update was opened");
                R::decode(&tensor, range, global, scratch);
                scratch
            }
        }
    }

    /// Whether it carries changes of control variates.
    pub fn has_controls(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Refuses changes of control variates, where the rule has no use for them.
    ///
    /// # Errors
    /// [`JobError`] naming file and tensor
    pub fn refuse_controls(&self) -> Result<(), JobError> {
        match self.controls.iter().flatten().next() {
            None => Ok(()),
            Some(number) => Err(not_in_the_model(&self.file, *number)),
        }
    }

    /// The change of the control variate of tensor `number`, as bytes.
    pub fn control_bytes(&self, number: usize) -> Option<&[u8]> {
        let place = (*self.controls.get(number)?)?;
        Some(self.file.bytes(&self.file.tensors[place]))
    }

    /// Components of the sum of tensor `number`: how many, and their bytes one after the other.
    pub fn components(&self, number: usize) -> (usize, &[u8]) {
        let Place::Plain(place) = self.places[number] else {
            unreachable!("sums are not encoded")
        };
        let tensor = &self.file.tensors[place];
        (tensor.shape[0], self.file.bytes(tensor))
    }

    /// Bytes the same update has as plain values.
    pub fn plain_length(&self, global: &TensorFile) -> u64 {
        match &self.content {
            Content::Partial(sum) => sum.plain_bytes,
            _ => global
                .tensors
                .iter()
                .map(|tensor| tensor.byte_length() as u64)
                .sum(),
        }
    }
}

/// Values of which updates can be encoded, or not.
pub trait Decode: Real {
    /// Puts the values of `range` that `tensor` stands for into `out`.
    fn decode(tensor: &EncodedTensor<'_>, range: Range<usize>, global: &[Self], out: &mut Vec<Self>);
}

impl Decode for f32 {
    fn decode(tensor: &EncodedTensor<'_>, range: Range<usize>, global: &[f32], out: &mut Vec<f32>) {
        out.resize(range.len(), 0.0);
        decode_block(tensor, range, global, out);
    }
}

impl Decode for f64 {
    fn decode(_: &EncodedTensor<'_>, _: Range<usize>, _: &[f64], _: &mut Vec<f64>) {
        unreachable!("an encoding of a tensor that is not F32 is refused when the update is opened")
    }
}

fn content(file: &TensorFile) -> Result<Content, JobError> {
    if let Some(sum) = PartialSum::of(file)? {
        return Ok(Content::Partial(sum));
    }
    match file.metadata.get(MASKED) {
        None => Ok(Content::Values),
        Some(text) => {
            let bits = text.parse().ok();
            let possible = bits.filter(|bits| *bits <= FixedPoint::MOST_FRACTION_BITS);
            possible.map(Content::Masked).ok_or_else(|| {
                let most = FixedPoint::MOST_FRACTION_BITS;
                let reason =
                    format!("metadata `{MASKED}` is `{text}`, not a number of bits from 0 to {most}");
                JobError::invalid(file.path(), reason)
            })
        }
    }
}

fn encoding(file: &TensorFile) -> Result<Option<Encoding>, JobError> {
    let Some(word) = file.metadata.get(ENCODING) else {
        return Ok(None);
    };
    Encoding::read(word).map(Some).map_err(|reason| {
        JobError::invalid(
            file.path(),
            format!("metadata `{ENCODING}` is `{word}`: {reason}"),
        )
    })
}

/// Whether the tensor holds trained numbers, which is what control variates are of.
fn is_parameter(tensor: &Tensor) -> bool {
    matches!(tensor.element(), Some(Element::Float(_))) && !is_running_statistic(&tensor.name)
}

fn not_in_the_model(file: &TensorFile, number: usize) -> JobError {
    let reason = format!(
        "tensor `{}` is not in the global model",
        file.tensors[number].name
    );
    JobError::invalid(file.path(), reason)
}

/// Whether the tensor is written by the update's encoding: running statistics and other types never are.
pub fn is_encoded(tensor: &Tensor) -> bool {
    tensor.dtype == Dtype::F32 && !is_running_statistic(&tensor.name)
}

fn place(
    file: &TensorFile,
    wanted: &Tensor,
    content: &Content,
    encoding: Option<Encoding>,
    known: &mut BTreeSet<usize>,
) -> Result<Place, JobError> {
    let mut named = |name: &str| -> Result<(usize, &Tensor), JobError> {
        let number = file.find(name).ok_or_else(|| {
            JobError::invalid(
                file.path(),
                format!("tensor `{name}` of the global model is missing"),
            )
        })?;
        known.insert(number);
        Ok((number, &file.tensors[number]))
    };
    let (number, tensor) = named(&wanted.name)?;
    let is_float = matches!(wanted.element(), Some(Element::Float(_)));
    match (content, encoding) {
        (Content::Partial(_), _) if is_float => {
            let components = tensor.shape.first().copied().unwrap_or(0);
            let shape = [&[components.max(1)], &wanted.shape[..]].concat();
            expect(file, tensor, Dtype::F64, &shape)?;
        }
        (Content::Masked(_), _) if is_float => expect(file, tensor, Dtype::U64, &wanted.shape)?,
        (Content::Values, Some(encoding)) if is_encoded(wanted) => {
            return encoded_place(file, wanted, encoding, number, named);
        }
        _ => expect(file, tensor, wanted.dtype, &wanted.shape)?,
    }
    Ok(Place::Plain(number))
}

fn encoded_place<'a>(
    file: &'a TensorFile,
    wanted: &Tensor,
    encoding: Encoding,
    values: usize,
    mut named: impl FnMut(&str) -> Result<(usize, &'a Tensor), JobError>,
) -> Result<Place, JobError> {
    let tensor = &file.tensors[values];
    let form = match encoding {
        Encoding::Delta => {
            expect(file, tensor, Dtype::F32, &wanted.shape)?;
            Tensors::Delta(values)
        }
        Encoding::Fp16 => {
            expect(file, tensor, Dtype::F16, &wanted.shape)?;
            Tensors::Fp16(values)
        }
        Encoding::Bf16 => {
            expect(file, tensor, Dtype::BF16, &wanted.shape)?;
            Tensors::Bf16(values)
        }
        Encoding::Int8 => {
            expect(file, tensor, Dtype::I8, &wanted.shape)?;
            let (scale, found) = named(&format!("{}{SCALE_SUFFIX}", wanted.name))?;
            expect(file, found, Dtype::F32, &[])?;
            Tensors::Int8 { values, scale }
        }
        Encoding::TopK { share: _ } => {
            let (indices, found) = named(&format!("{}{INDEX_SUFFIX}", wanted.name))?;
            let count = found.shape.first().copied().unwrap_or(0);
            expect(file, found, Dtype::U32, &[count])?;
            expect(file, tensor, Dtype::F32, &[count])?;
            Tensors::TopK { values, indices }
        }
    };
    let values = wanted.shape.iter().product();
    EncodedTensor::check(form.of(file), values)
        .map_err(|error| JobError::invalid(file.path(), format!("tensor `{}`: {error}", wanted.name)))?;
    Ok(Place::Encoded { form, values })
}

fn expect(file: &TensorFile, tensor: &Tensor, dtype: Dtype, shape: &[usize]) -> Result<(), JobError> {
    if (tensor.dtype, &tensor.shape[..]) == (dtype, shape) {
        return Ok(());
    }
    let reason = format!(
        "tensor `{}` is {} {:?}, an update of this model has {dtype} {shape:?}",
        tensor.name, tensor.dtype, tensor.shape
    );
    Err(JobError::invalid(file.path(), reason))
}

/// Why the client is absent from the round, where the file says so.
pub fn absence(file: &TensorFile) -> Option<&str> {
    file.metadata.get(ABSENT).map(String::as_str)
}
