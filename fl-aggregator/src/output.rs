//! Follows a recipe: combines the updates piece by piece and writes the new global model and the rule's state.

use std::{collections::BTreeMap, path::Path};

use contract::{
    exit::JobExit,
    job::JobError,
    tensors::{CONTROL, Header, NUM_SAMPLES, is_running_statistic},
};
use kernels::{
    aggregate::{
        Addend, CombineError, Element, Float, Moments, Real, combine_differences, first_not_finite,
        lower_median, maximum, mean, mean_f64, read_row, write_row,
    },
    privacy::add_noise,
};

use crate::{
    blocks::{
        Rows, check_finite, checked_bytes, explain, explain_control, float_of, float_pieces, integers, place,
    },
    inputs::Inputs,
    pieces::{self, Piece},
    rules::{Floats, Integers, Recipe, is_float},
    state::{self, FIRST, SECOND, State},
    tensor_file::{Tensor, TensorFile},
    update::{Decode, Update},
    written::{NewTensor, Written},
};

/// The files a round writes, before they are put in their places.
pub struct Outputs {
    model: Written,
    state: Option<Written>,
}

impl Outputs {
    /// A model and perhaps a state.
    pub fn of(model: Written, state: Option<Written>) -> Self {
        Self { model, state }
    }

    /// Puts both in their places.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn finish(self) -> Result<(), JobError> {
        if let Some(state) = self.state {
            state.finish()?;
        }
        self.model.finish()
    }
}

/// Writes the combined tensors in the global model's order, with `header`, or where there is none (a model from
/// elsewhere) with the global model's own metadata and the new sample count; and the state, where one is asked for.
///
/// # Errors
/// [`JobError`]: a value that is not finite, with file, tensor and coordinates; or a file cannot be written
pub fn write(
    path: &Path,
    state_path: Option<&Path>,
    inputs: &Inputs,
    recipe: &Recipe,
    state: &State,
    header: Option<&Header>,
) -> Result<Outputs, JobError> {
    let model = Written::create(path, &metadata(inputs, header), &like(inputs))?;
    let (tensors, layout) = state_tensors(inputs, recipe);
    let new_state = state_path
        .map(|path| Written::create(path, &state::metadata(&recipe.memory, header), &tensors))
        .transpose()?;
    let work = Work {
        inputs,
        recipe,
        chosen: recipe
            .chosen
            .iter()
            .map(|number| &inputs.updates[*number])
            .collect(),
        state,
        layout,
        model: &model,
        new_state: new_state.as_ref(),
    };
    work.copy_and_count()?;
    let (narrow, wide) = float_pieces(inputs, |number| !recipe.kept[number]);
    pieces::each(&narrow, Scratch::<f32>::new, |scratch, piece| {
        work.piece(scratch, piece)
    })?;
    pieces::each(&wide, Scratch::<f64>::new, |scratch, piece| {
        work.piece(scratch, piece)
    })?;
    Ok(Outputs {
        model,
        state: new_state,
    })
}

/// The metadata of the new model: keys of the global model that are not ours are kept.
pub fn metadata(inputs: &Inputs, header: Option<&Header>) -> BTreeMap<String, String> {
    let mut metadata = inputs.global.metadata.clone();
    match header {
        Some(header) => metadata.extend(header.to_metadata()),
        None => {
            metadata.insert(NUM_SAMPLES.to_owned(), inputs.total_samples.to_string());
        }
    }
    metadata
}

/// Tensors as the global model's.
pub fn like(inputs: &Inputs) -> Vec<NewTensor> {
    let new = |tensor: &Tensor| NewTensor {
        name: tensor.name.clone(),
        dtype: tensor.dtype.to_string(),
        shape: tensor.shape.clone(),
        bytes: tensor.byte_length(),
    };
    inputs.global.tensors.iter().map(new).collect()
}

/// Where a tensor's memories are in the new state file.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    first: Option<usize>,
    second: Option<usize>,
    control: Option<usize>,
}

/// Whether the server steps with this tensor: a parameter that does not stay.
fn steps(inputs: &Inputs, recipe: &Recipe, number: usize) -> bool {
    let name = &inputs.global.tensors[number].name;
    is_float(inputs, number) && !recipe.kept[number] && !is_running_statistic(name)
}

/// The tensors of the new state file, and where each of the model's tensors finds its own.
fn state_tensors(inputs: &Inputs, recipe: &Recipe) -> (Vec<NewTensor>, Vec<Places>) {
    let mut tensors = Vec::new();
    let mut layout = vec![Places::default(); inputs.global.tensors.len()];
    for (number, places) in layout.iter_mut().enumerate() {
        if !steps(inputs, recipe, number) {
            continue;
        }
        let tensor = &inputs.global.tensors[number];
        let mut add = |prefix: &str, wanted: bool| {
            wanted.then(|| {
                let values: usize = tensor.shape.iter().product();
                tensors.push(NewTensor {
                    name: format!("{prefix}{}", tensor.name),
                    dtype: "F64".to_owned(),
                    shape: tensor.shape.clone(),
                    bytes: values * 8,
                });
                tensors.len() - 1
            })
        };
        places.first = add(FIRST, recipe.step.is_some_and(|step| step.uses_first()));
        places.second = add(SECOND, recipe.step.is_some_and(|step| step.uses_second()));
        places.control = add(CONTROL, recipe.control_share.is_some());
    }
    (tensors, layout)
}

/// Whether a tensor holds variances of batch normalisation.
fn is_variance(name: &str) -> bool {
    is_running_statistic(name) && name.ends_with("var")
}

/// The row of an update; rules that look at each update get no sums.
fn row<'a, R>(addend: &Addend<'a, R>) -> Option<&'a [R]> {
    match addend {
        Addend::Update(row) => Some(row),
        Addend::Partial(_) => None,
    }
}

/// The first value that no round leaves in a state: none at all, or a mean of squares below 0.
fn unsound(prefix: &str, values: &[f64]) -> Option<usize> {
    first_not_finite(values).or_else(|| match prefix {
        SECOND => values.iter().position(|value| *value < 0.0),
        _ => None,
    })
}

/// A thread's memory for one piece.
struct Scratch<R> {
    rows: Rows<R>,
    mean: Vec<f64>,
    stepped: Vec<f64>,
    new: Vec<R>,
    first: Vec<f64>,
    second: Vec<f64>,
    sorted: Vec<R>,
    bytes: Vec<u8>,
}

impl<R: Decode> Scratch<R> {
    fn new() -> Self {
        Self {
            rows: Rows::new(),
            mean: Vec::new(),
            stepped: Vec::new(),
            new: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            sorted: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

struct Work<'a> {
    inputs: &'a Inputs,
    recipe: &'a Recipe,
    chosen: Vec<&'a Update>,
    state: &'a State,
    layout: Vec<Places>,
    model: &'a Written,
    new_state: Option<&'a Written>,
}

impl Work<'_> {
    /// Tensors that stay, and integers.
    fn copy_and_count(&self) -> Result<(), JobError> {
        for (number, tensor) in self.inputs.global.tensors.iter().enumerate() {
            if self.recipe.kept[number] {
                self.model.write(number, 0, self.inputs.global.bytes(tensor))?;
            } else if !is_float(self.inputs, number) {
                let rule = match self.recipe.integers {
                    Integers::Largest => maximum,
                    Integers::LowerMedian => lower_median,
                };
                let out = integers(&self.chosen, tensor, number, rule)?;
                self.model.write(number, 0, &out)?;
            }
        }
        Ok(())
    }

    fn piece<R: Decode>(&self, scratch: &mut Scratch<R>, piece: &Piece) -> Result<(), JobError> {
        let Scratch {
            rows,
            mean: doubles,
            stepped,
            new,
            first,
            second,
            sorted,
            bytes,
        } = scratch;
        let tensor = &self.inputs.global.tensors[piece.tensor];
        let is_statistic = is_running_statistic(&tensor.name);
        let rule = if is_statistic {
            &self.recipe.statistics
        } else {
            &self.recipe.parameters
        };
        let step = self.recipe.step.filter(|_| !is_statistic);
        let refused = |error| explain(self.inputs, &self.chosen, piece, &error);
        // Values end in `new` where they are rounded to the model's precision at once, else in `doubles`.
        let mut is_rounded = true;

        // Half and brain floats are computed on as `f32`; rounding through it would round twice.
        let float = float_of(tensor);
        let is_half = matches!(float, Float::F16 | Float::Bf16);
        let direct = step.is_none() && self.recipe.noise.is_none() && !is_half;
        match rule {
            Floats::Mean(weights) if direct => {
                new.resize(piece.range.len(), R::ZERO);
                rows.with_addends(self.inputs, &self.chosen, piece, |_, addends| {
                    mean(weights, addends, new)
                })
                .map_err(refused)?;
            }
            Floats::Middle(middle) => rows.with(self.inputs, &self.chosen, piece, |global, rows| {
                check_finite(self.inputs, &self.chosen, piece, global, rows)?;
                new.resize(piece.range.len(), R::ZERO);
                middle.apply(rows, sorted, new);
                Ok(())
            })?,
            Floats::Near(near) => rows.with(self.inputs, &self.chosen, piece, |global, rows| {
                check_finite(self.inputs, &self.chosen, piece, global, rows)?;
                new.resize(piece.range.len(), R::ZERO);
                near.apply(rows, sorted, new);
                Ok(())
            })?,
            Floats::Mean(_) | Floats::Differences(_) => {
                is_rounded = false;
                doubles.resize(piece.range.len(), 0.0);
                rows.with_addends(self.inputs, &self.chosen, piece, |global, addends| {
                    match rule {
                        Floats::Mean(weights) => mean_f64(weights, addends, doubles).map_err(refused)?,
                        Floats::Differences(coefficients) => {
                            let rows: Vec<&[R]> = addends.iter().filter_map(row).collect();
                            combine_differences(&rows, coefficients, global, doubles).map_err(refused)?;
                        }
                        Floats::Middle(_) | Floats::Near(_) => unreachable!("done above"),
                    }
                    self.add_noise(piece, doubles);
                    if is_variance(&tensor.name) {
                        // A variance below zero makes NaN of every output; what is done after the noise costs no
                        // privacy, and without noise it is a rounding's worth.
                        doubles.iter_mut().for_each(|value| *value = value.max(0.0));
                    }
                    match step {
                        None => {}
                        Some(step) => {
                            self.read_state(FIRST, step.uses_first(), piece, first)?;
                            self.read_state(SECOND, step.uses_second(), piece, second)?;
                            let moments = Moments { first, second };
                            stepped.resize(doubles.len(), 0.0);
                            step.apply(self.state.memory.steps + 1, global, doubles, moments, stepped)
                                .map_err(|error| refused(CombineError::Overflow { index: error.index }))?;
                            std::mem::swap(doubles, stepped);
                        }
                    }
                    Ok(())
                })?;
                if step.is_some() {
                    let places = self.layout[piece.tensor];
                    self.write_state(places.first, piece, first, bytes)?;
                    self.write_state(places.second, piece, second, bytes)?;
                }
            }
        }
        if let Some(share) = self.recipe.control_share.filter(|_| !is_statistic) {
            self.control::<R>(share, piece, stepped, first, bytes)?;
        }
        let width = Element::Float(float).width();
        let bytes = if direct && matches!(rule, Floats::Mean(_)) {
            // The mean has looked at its results itself.
            write_row(float, new, bytes)
        } else if is_rounded {
            checked_bytes(tensor, piece, new, bytes)?
        } else {
            checked_bytes(tensor, piece, doubles, bytes)?
        };
        self.model.write(piece.tensor, piece.range.start * width, bytes)
    }

    fn add_noise(&self, piece: &Piece, values: &mut [f64]) {
        let Some(noise) = &self.recipe.noise else { return };
        let first = piece.range.start as u64;
        add_noise(
            &noise.of_tensor(piece.tensor),
            first,
            noise.standard_deviation,
            values,
        );
    }

    /// Zeros before the first round.
    fn read_state(
        &self,
        prefix: &str,
        wanted: bool,
        piece: &Piece,
        out: &mut Vec<f64>,
    ) -> Result<(), JobError> {
        out.clear();
        if !wanted {
            return Ok(());
        }
        let tensor = &self.inputs.global.tensors[piece.tensor];
        match self.state.tensor(prefix, &tensor.name, &tensor.shape)? {
            None => out.resize(piece.range.len(), 0.0),
            Some(bytes) => {
                let mut scratch = Vec::new();
                let bytes = &bytes[piece.range.start * 8..piece.range.end * 8];
                out.extend_from_slice(read_row(Float::F64, bytes, &mut scratch));
                if let Some(index) = unsound(prefix, out) {
                    let place = place(tensor, piece.range.start + index);
                    let reason = format!("`{prefix}` of {place} is {}", out[index]);
                    let path = self.state.file.as_ref().map_or(Path::new(""), TensorFile::path);
                    return Err(JobError::invalid(path, reason));
                }
            }
        }
        Ok(())
    }

    fn write_state(
        &self,
        number: Option<usize>,
        piece: &Piece,
        values: &[f64],
        bytes: &mut Vec<u8>,
    ) -> Result<(), JobError> {
        let (Some(state), Some(number)) = (self.new_state, number) else {
            return Ok(());
        };
        if let Some(index) = first_not_finite(values) {
            let tensor = &self.inputs.global.tensors[piece.tensor];
            let place = place(tensor, piece.range.start + index);
            let message = format!("what is to be remembered of {place} is too large for its type");
            return Err(JobError::new(JobExit::NotFinite, message));
        }
        let bytes = write_row(Float::F64, values, bytes);
        state.write(number, piece.range.start * 8, bytes)
    }

    /// The server's control variate: `c + Σ_k share·Δc_k`.
    fn control<R: Real>(
        &self,
        share: f64,
        piece: &Piece,
        doubles: &mut Vec<f64>,
        variate: &mut Vec<f64>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), JobError> {
        let float = float_of(&self.inputs.global.tensors[piece.tensor]);
        let width = Element::Float(float).width();
        let range = piece.range.start * width..piece.range.end * width;
        self.read_state(CONTROL, true, piece, variate)?;
        let mut scratches = vec![Vec::new(); self.chosen.len()];
        let mut rows: Vec<&[R]> = Vec::with_capacity(self.chosen.len());
        for (update, scratch) in self.chosen.iter().zip(&mut scratches) {
            let change = update.control_bytes(piece.tensor).ok_or_else(|| {
                let name = &self.inputs.global.tensors[piece.tensor].name;
                JobError::invalid(update.file.path(), format!("tensor `{CONTROL}{name}` is missing"))
            })?;
            rows.push(read_row(float, &change[range.clone()], scratch));
        }
        let zeros = vec![R::ZERO; piece.range.len()];
        doubles.resize(piece.range.len(), 0.0);
        combine_differences(&rows, &vec![share; rows.len()], &zeros, doubles)
            .map_err(|error| explain_control(self.inputs, &self.chosen, piece, &error))?;
        for (variate, change) in variate.iter_mut().zip(&*doubles) {
            *variate += change;
        }
        self.write_state(self.layout[piece.tensor].control, piece, variate, bytes)
    }
}
