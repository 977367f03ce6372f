//! Reads the same piece of every update as rows of numbers, and says what is wrong with one in the reader's words.

use contract::{exit::JobExit, job::JobError, tensors::CONTROL};
use kernels::aggregate::{
    Addend, CombineError, Element, Float, Integer, Part, Real, first_not_finite, read_row, write_row,
};
use safetensors::Dtype;

use crate::{
    inputs::Inputs,
    pieces::{self, Piece},
    tensor_file::{Tensor, TensorFile},
    update::{Content, Decode, Update},
};

/// A thread's memory for the rows of one piece.
#[derive(Default)]
pub struct Rows<R> {
    global: Vec<R>,
    rows: Vec<Vec<R>>,
    components: Vec<Vec<f64>>,
}

impl<R: Decode> Rows<R> {
    /// Memory that grows with the first piece.
    pub fn new() -> Self {
        Self {
            global: Vec::new(),
            rows: Vec::new(),
            components: Vec::new(),
        }
    }

    /// Gives `work` the global model's values of `piece` and those of each of `updates`.
    pub fn with<T>(
        &mut self,
        inputs: &Inputs,
        updates: &[&Update],
        piece: &Piece,
        work: impl FnOnce(&[R], &[&[R]]) -> T,
    ) -> T {
        let float = float_of(&inputs.global.tensors[piece.tensor]);
        let global = global_row(&inputs.global, float, piece, &mut self.global);
        self.rows.resize_with(updates.len(), Vec::new);
        let rows: Vec<&[R]> = updates
            .iter()
            .zip(&mut self.rows)
            .map(|(update, scratch)| update.row(piece.tensor, float, piece.range.clone(), global, scratch))
            .collect();
        work(global, &rows)
    }

    /// Gives `work` the global model's values of `piece` and what each update adds to the weighted sum.
    pub fn with_addends<T>(
        &mut self,
        inputs: &Inputs,
        updates: &[&Update],
        piece: &Piece,
        work: impl FnOnce(&[R], &[Addend<'_, R>]) -> T,
    ) -> T {
        let sums: Vec<bool> = updates
            .iter()
            .map(|update| matches!(update.content, Content::Partial(_)))
            .collect();
        if !sums.contains(&true) {
            return self.with(inputs, updates, piece, |global, rows| {
                let addends: Vec<Addend<'_, R>> = rows.iter().map(|row| Addend::Update(row)).collect();
                work(global, &addends)
            });
        }
        let float = float_of(&inputs.global.tensors[piece.tensor]);
        let values: usize = inputs.global.tensors[piece.tensor].shape.iter().product();
        let global = global_row(&inputs.global, float, piece, &mut self.global);
        let needed: usize = updates
            .iter()
            .zip(&sums)
            .filter(|(_, is_sum)| **is_sum)
            .map(|(update, _)| update.components(piece.tensor).0)
            .sum();
        self.components.resize_with(needed, Vec::new);
        self.rows.resize_with(updates.len(), Vec::new);
        let mut scratches = self.components.iter_mut();
        let mut components: Vec<Vec<&[f64]>> = Vec::with_capacity(updates.len());
        for (update, is_sum) in updates.iter().zip(&sums) {
            let mut of_update = Vec::new();
            if *is_sum {
                let (count, bytes) = update.components(piece.tensor);
                for (component, scratch) in (0..count).zip(&mut scratches) {
                    let start = (component * values + piece.range.start) * 8;
                    let bytes = &bytes[start..start + piece.range.len() * 8];
                    of_update.push(read_row::<f64>(Float::F64, bytes, scratch));
                }
            }
            components.push(of_update);
        }
        let addends: Vec<Addend<'_, R>> = updates
            .iter()
            .zip(&mut self.rows)
            .zip(&components)
            .zip(&sums)
            .map(|(((update, scratch), components), is_sum)| {
                if *is_sum {
                    Addend::Partial(components)
                } else {
                    Addend::Update(update.row(piece.tensor, float, piece.range.clone(), global, scratch))
                }
            })
            .collect();
        work(global, &addends)
    }
}

/// The global model's values of a piece.
pub fn global_row<'a, R: Real>(
    global: &'a TensorFile,
    float: Float,
    piece: &Piece,
    scratch: &'a mut Vec<R>,
) -> &'a [R] {
    let bytes = global.bytes(&global.tensors[piece.tensor]);
    let width = Element::Float(float).width();
    read_row(
        float,
        &bytes[piece.range.start * width..piece.range.end * width],
        scratch,
    )
}

/// The format of a tensor that is known to be of floating-point numbers.
pub fn float_of(tensor: &Tensor) -> Float {
    match tensor.element() {
        Some(Element::Float(float)) => float,
        _ => unreachable!("only floating-point tensors are cut into pieces of rows"),
    }
}

/// Pieces of the floating-point tensors that `wanted` wants: those computed on as `f32`, and those as `f64`.
pub fn float_pieces(inputs: &Inputs, wanted: impl Fn(usize) -> bool) -> (Vec<Piece>, Vec<Piece>) {
    let of = |wide: bool| {
        let tensors = inputs
            .global
            .tensors
            .iter()
            .enumerate()
            .filter(|(number, tensor)| {
                let is_float = matches!(tensor.element(), Some(Element::Float(_)));
                is_float && wanted(*number) && (tensor.dtype == Dtype::F64) == wide
            });
        let sizes = tensors.map(|(number, tensor)| (number, tensor.shape.iter().product()));
        pieces::cut(sizes, inputs.updates.len())
    };
    (of(false), of(true))
}

/// Refuses NaN and infinities in the rows of a piece and in the global model's.
pub fn check_finite<R: Real>(
    inputs: &Inputs,
    updates: &[&Update],
    piece: &Piece,
    global: &[R],
    rows: &[&[R]],
) -> Result<(), JobError> {
    let of_rows = rows.iter().zip(updates).map(|(row, update)| (*row, &update.file));
    for (row, file) in of_rows.chain([(global, &inputs.global)]) {
        if let Some(index) = first_not_finite(row) {
            let tensor = &inputs.global.tensors[piece.tensor];
            return Err(not_finite(
                file,
                tensor,
                piece.range.start + index,
                row[index].into(),
            ));
        }
    }
    Ok(())
}

/// A value of `file` that is none.
fn not_finite(file: &TensorFile, tensor: &Tensor, index: usize, value: f64) -> JobError {
    let path = file.path();
    let message = format!("`{}`: {} is {value}", path.display(), place(tensor, index));
    JobError::new(JobExit::NotFinite, message)
        .about(path)
        .help("the client's training diverged; a smaller learning rate is the usual way out")
}

fn too_large(tensor: &Tensor, index: usize) -> JobError {
    let message = format!(
        "the new value of {} is too large for its type",
        place(tensor, index)
    );
    JobError::new(JobExit::NotFinite, message)
}

fn global_value(inputs: &Inputs, tensor: &Tensor, index: usize) -> f64 {
    let float = float_of(tensor);
    let width = Element::Float(float).width();
    let bytes = &inputs.global.bytes(tensor)[index * width..(index + 1) * width];
    read_row::<f64>(float, bytes, &mut Vec::new())[0]
}

/// The new values of a piece as bytes of the tensor's format: borrowed where they are that already, else in `scratch`.
///
/// # Errors
/// [`JobError`] at the first that is beyond the format's largest
pub fn checked_bytes<'a, R: Real>(
    tensor: &Tensor,
    piece: &Piece,
    values: &'a [R],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], JobError> {
    let float = float_of(tensor);
    let bytes = write_row(float, values, scratch);
    let beyond = match float {
        Float::F64 => first_not_finite(read_row::<f64>(float, bytes, &mut Vec::new())),
        Float::F16 | Float::Bf16 | Float::F32 => {
            first_not_finite(read_row::<f32>(float, bytes, &mut Vec::new()))
        }
    };
    match beyond {
        None => Ok(bytes),
        Some(index) => Err(too_large(tensor, piece.range.start + index)),
    }
}

/// Where in a tensor a value is.
pub fn place(tensor: &Tensor, index: usize) -> String {
    match tensor.shape[..] {
        [] => format!("tensor `{}`", tensor.name),
        _ => format!("tensor `{}` at {:?}", tensor.name, tensor.coordinates(index)),
    }
}

/// A kernel that makes one tensor of integers of several.
pub type IntegerRule = fn(Integer, &[Part<'_>], &mut [u8]) -> Result<(), CombineError>;

/// The values of an integer tensor that `rule` makes of the updates'.
pub fn integers(
    updates: &[&Update],
    tensor: &Tensor,
    number: usize,
    rule: IntegerRule,
) -> Result<Vec<u8>, JobError> {
    let Some(Element::Integer(integer)) = tensor.element() else {
        unreachable!("floating-point tensors are read by rows")
    };
    let mut parts = Vec::with_capacity(updates.len());
    for update in updates {
        parts.push(Part {
            bytes: update.plain_bytes(number),
            samples: update.samples,
        });
    }
    let mut out = vec![0; tensor.byte_length()];
    // Lengths were checked when the inputs were opened: a defect of ours.
    rule(integer, &parts, &mut out)
        .map_err(|error| JobError::new(JobExit::Unexpected, format!("tensor `{}`: {error}", tensor.name)))?;
    Ok(out)
}

/// As [`explain`], of the changes of control variates.
pub fn explain_control(
    inputs: &Inputs,
    updates: &[&Update],
    piece: &Piece,
    error: &CombineError,
) -> JobError {
    let mut tensor = inputs.global.tensors[piece.tensor].clone();
    tensor.name.insert_str(0, CONTROL);
    match error {
        CombineError::NotFinite { part, index, value } => {
            not_finite(&updates[*part].file, &tensor, piece.range.start + index, *value)
        }
        other => JobError::new(JobExit::NotFinite, format!("tensor `{}`: {other}", tensor.name)),
    }
}

/// Says which file and which value a kernel refused.
pub fn explain(inputs: &Inputs, updates: &[&Update], piece: &Piece, error: &CombineError) -> JobError {
    let tensor = &inputs.global.tensors[piece.tensor];
    match error {
        CombineError::NotFinite { part, index, value } => {
            not_finite(&updates[*part].file, tensor, piece.range.start + index, *value)
        }
        CombineError::Overflow { index } => {
            let index = piece.range.start + index;
            match global_value(inputs, tensor, index) {
                value if value.is_finite() => too_large(tensor, index),
                value => not_finite(&inputs.global, tensor, index, value),
            }
        }
        // Counts and lengths were checked when the inputs were opened: a defect of ours.
        other => JobError::new(JobExit::Unexpected, format!("tensor `{}`: {other}", tensor.name)),
    }
}
