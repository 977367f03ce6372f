//! An update on its way: what a client learnt, as encoded differences from the global model.
//!
//! In: global and trained weights, an encoding, what the last encoding left out. Out: the [`Piece`]s of an update file and
//! what is left out now. Start at [`encode`].
//!
//! | encoding | tensors of a parameter `NAME` |
//! |---|---|
//! | `delta` | `NAME`, `F32`, the model's shape |
//! | `fp16`, `bf16` | `NAME`, `F16` or `BF16`, the model's shape |
//! | `int8` | `NAME`, `I8`, the model's shape; `NAME#scale`, `F32`, a scalar |
//! | `top_k` | `NAME`, `F32`, k; `NAME#index`, `U32`, k, ascending places in the row-major tensor |
//!
//! Running statistics (`F32`) and counters (`I64`) stand as they are, not as differences: they are data, and exact.

use contract::{
    aggregation::Encoding,
    exit::JobExit,
    job::JobError,
    tensors::{INDEX_SUFFIX, SCALE_SUFFIX},
};
use kernels::codec;
use rayon::prelude::*;

use crate::{
    model::{Model, Role, TensorSpec, Weights},
    pieces::{Piece, PieceKind},
    residual::Residual,
};

/// An encoded update.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedUpdate {
    /// The tensors to write.
    pub pieces: Vec<Piece>,
    /// What was left out of them.
    pub residual: Residual,
}

/// Encodes the change from `global` to `trained`, plus what the last encoding left out.
///
/// # Errors
/// `NotFinite` naming the first tensor, in the model's order, with a value the encoding cannot hold.
pub fn encode(
    encoding: Encoding,
    model: &Model,
    global: &Weights,
    trained: &Weights,
    residual: Option<&Residual>,
) -> Result<EncodedUpdate, JobError> {
    let rule = match encoding {
        Encoding::Delta => codec::Encoding::Delta,
        Encoding::Fp16 => codec::Encoding::Fp16,
        Encoding::Bf16 => codec::Encoding::Bf16,
        Encoding::Int8 => codec::Encoding::Int8,
        Encoding::TopK { share } => codec::Encoding::TopK { share },
    };
    let one = |(index, spec): (usize, &TensorSpec)| match spec.role {
        Role::Trained => {
            let residual = residual.map(|residual| residual.tensor(index));
            let difference = codec::difference(trained.real(index), global.real(index), residual);
            let encoded = codec::encode(rule, &difference).map_err(|error| refused(spec, error))?;
            let left_out = encoded.left_out(&difference);
            Ok((pieces_of(spec, encoded), left_out))
        }
        Role::Statistic | Role::Counter => {
            let piece = as_it_is(spec.name.clone(), spec, trained, index);
            Ok((vec![piece], Vec::new()))
        }
    };
    let tensors: Vec<Result<_, JobError>> = model.tensors().par_iter().enumerate().map(one).collect();
    let (mut pieces, mut left_out) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let (parts, rest) = tensor?;
        pieces.extend(parts);
        left_out.push(rest);
    }
    Ok(EncodedUpdate {
        pieces,
        residual: Residual::from_tensors(left_out),
    })
}

fn refused(spec: &TensorSpec, error: codec::EncodeError) -> JobError {
    let text = format!("the change of `{}` cannot be encoded: {error}", spec.name);
    JobError::new(JobExit::NotFinite, text)
        .help("lower the learning rate, or choose an encoding with a wider range such as `bf16` or `int8`")
}

/// The tensor at `index` with its values, under this name.
pub fn as_it_is(name: String, spec: &TensorSpec, weights: &Weights, index: usize) -> Piece {
    match weights.count(index) {
        None => Piece::floats(name, &spec.shape, weights.real(index)),
        Some(count) => Piece {
            name,
            kind: PieceKind::I64,
            shape: spec.shape.clone(),
            bytes: count.to_le_bytes().to_vec(),
        },
    }
}

fn pieces_of(spec: &TensorSpec, encoded: codec::Encoded) -> Vec<Piece> {
    let piece = |kind: PieceKind, shape: &[usize], bytes| Piece {
        name: spec.name.clone(),
        kind,
        shape: shape.to_vec(),
        bytes,
    };
    match encoded {
        codec::Encoded::Delta(bytes) => vec![piece(PieceKind::F32, &spec.shape, bytes)],
        codec::Encoded::Fp16(bytes) => vec![piece(PieceKind::F16, &spec.shape, bytes)],
        codec::Encoded::Bf16(bytes) => vec![piece(PieceKind::Bf16, &spec.shape, bytes)],
        codec::Encoded::Int8 { values, scale } => vec![
            piece(PieceKind::I8, &spec.shape, values),
            Piece::floats(format!("{}{SCALE_SUFFIX}", spec.name), &[], &[scale]),
        ],
        codec::Encoded::TopK { indices, values } => {
            let count = [indices.len() / PieceKind::U32.width()];
            let places = Piece {
                name: format!("{}{INDEX_SUFFIX}", spec.name),
                ..piece(PieceKind::U32, &count, indices)
            };
            vec![piece(PieceKind::F32, &count, values), places]
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{ids::Seed, tensors::is_running_statistic, training::Arch};

    use super::*;
    use crate::model::Input;

    fn model(arch: Arch) -> Model {
        let input = Input {
            channels: 1,
            image_size: 32,
            classes: 2,
        };
        Model::new(arch, input).unwrap()
    }

    #[test]
    fn what_models_call_statistics_is_what_the_contract_calls_so() {
        for arch in Arch::ALL {
            for spec in model(*arch).tensors() {
                assert_eq!(
                    spec.role == Role::Statistic,
                    is_running_statistic(&spec.name),
                    "{}",
                    spec.name
                );
            }
        }
    }

    #[test]
    fn statistics_and_counters_stand_as_they_are_and_parameters_as_differences() {
        let model = model(Arch::Resnet18);
        let (global, mut trained) = (Weights::start(&model, Seed(1)), Weights::start(&model, Seed(1)));
        for index in 0..model.tensors().len() {
            trained.real_mut(index).iter_mut().for_each(|value| *value += 1.0);
        }
        let update = encode(Encoding::Int8, &model, &global, &trained, None).unwrap();
        let piece = |name: &str| update.pieces.iter().find(|piece| piece.name == name).unwrap();
        assert_eq!(piece("bn1.weight").kind, PieceKind::I8);
        assert_eq!(piece("bn1.weight").bytes, [127; 64]);
        assert!(piece("bn1.weight#scale").shape.is_empty());
        assert_eq!(
            piece("bn1.weight#scale").bytes,
            (1.0_f32 / 127.0).next_up().to_le_bytes()
        );
        assert_eq!(piece("bn1.running_var").kind, PieceKind::F32);
        assert_eq!(piece("bn1.running_var").bytes, 2.0_f32.to_le_bytes().repeat(64));
        assert_eq!(piece("bn1.num_batches_tracked").kind, PieceKind::I64);
        assert!(
            update
                .pieces
                .iter()
                .all(|piece| piece.name != "bn1.running_mean#scale")
        );
    }

    #[test]
    fn the_first_tensor_that_cannot_be_encoded_is_named() {
        let model = model(Arch::SmallCnn);
        let (global, mut trained) = (Weights::start(&model, Seed(1)), Weights::start(&model, Seed(1)));
        for index in [3, 1] {
            trained.real_mut(index)[2] = 1e6;
        }
        let error = encode(Encoding::Fp16, &model, &global, &trained, None).unwrap_err();
        assert_eq!(error.exit, JobExit::NotFinite);
        assert!(
            error.message.starts_with("the change of `conv1.bias`"),
            "{}",
            error.message
        );
        assert!(error.message.contains("at index 2"), "{}", error.message);
    }
}
