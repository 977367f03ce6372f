//! Trained values of a model that was written smaller for its way here.
//!
//! In: a tensor as it was sent. Out: its values, as the aggregator takes clients to start from. Start at [`read`].

use contract::training::Broadcast;
use kernels::codec::{EncodedTensor, Form, decode_block};
use safetensors::{Dtype, tensor::TensorView};

use super::TensorSpec;

/// The values of a tensor.
///
/// # Errors
/// Another shape or type than `encoding` writes for `spec`; or no scale, where it writes one.
pub fn read(
    encoding: Broadcast,
    spec: &TensorSpec,
    view: &TensorView<'_>,
    scale: Option<&TensorView<'_>>,
) -> Result<Vec<f32>, String> {
    let (dtype, form) = match encoding {
        Broadcast::Fp16 => (Dtype::F16, Form::Fp16(view.data())),
        Broadcast::Bf16 => (Dtype::BF16, Form::Bf16(view.data())),
        Broadcast::Int8 => {
            let values = view.data();
            let scale = scale.and_then(scalar).ok_or_else(|| {
                format!(
                    "tensor `{}` has no scale, which must be one number of the type F32",
                    spec.name
                )
            })?;
            (Dtype::I8, Form::Int8 { values, scale })
        }
    };
    if (view.dtype(), view.shape()) != (dtype, &spec.shape) {
        return Err(format!(
            "tensor `{}` is {:?} {:?}, expected {dtype:?} {:?}",
            spec.name,
            view.dtype(),
            view.shape(),
            spec.shape
        ));
    }
    let length = spec.shape.iter().product();
    let tensor =
        EncodedTensor::check(form, length).map_err(|error| format!("tensor `{}`: {error}", spec.name))?;
    let mut values = vec![0.0; length];
    decode_block(&tensor, 0..length, &vec![0.0; length], &mut values);
    Ok(values)
}

fn scalar(view: &TensorView<'_>) -> Option<f32> {
    let is_one = view.dtype() == Dtype::F32 && view.shape().is_empty();
    let bytes = view.data().first_chunk().filter(|_| is_one)?;
    Some(f32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::{
        aggregation::Encoding,
        ids::Seed,
        tensors::{ENCODING, SCALE_SUFFIX},
        training::Arch,
    };

    use crate::{
        model::{Input, Model, ModelFile, Role, Weights},
        pieces::{Piece, write_pieces},
        update::encode,
    };

    fn model() -> Model {
        let input = Input {
            channels: 1,
            image_size: 8,
            classes: 2,
        };
        Model::new(Arch::SmallCnnBn, input).unwrap()
    }

    /// Weights as they are sent: differences from zeros.
    fn sent(model: &Model, weights: &Weights, encoding: Encoding) -> Vec<Piece> {
        let mut zeros = weights.clone();
        for index in 0..model.tensors().len() {
            zeros.real_mut(index).fill(0.0);
        }
        encode(encoding, model, &zeros, weights, None).unwrap().pieces
    }

    fn read_back(model: &Model, word: &str, pieces: Vec<Piece>) -> Result<Weights, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent.st");
        let metadata = BTreeMap::from([(ENCODING.to_owned(), word.to_owned())]);
        write_pieces(&path, &metadata, pieces).unwrap();
        let file = ModelFile::open(&path).unwrap();
        file.weights(model).map_err(|error| error.message)
    }

    #[test]
    fn a_model_that_was_sent_is_near_what_it_was() {
        let model = model();
        let weights = Weights::start(&model, Seed(5));
        for (word, encoding) in [
            ("fp16", Encoding::Fp16),
            ("bf16", Encoding::Bf16),
            ("int8", Encoding::Int8),
        ] {
            let read = read_back(&model, word, sent(&model, &weights, encoding)).unwrap();
            let mut differ = 0;
            for (index, spec) in model.tensors().iter().enumerate() {
                let most = weights
                    .real(index)
                    .iter()
                    .fold(0.0_f32, |most, value| most.max(value.abs()));
                for (read, value) in read.real(index).iter().zip(weights.real(index)) {
                    assert!(
                        (read - value).abs() <= most / 250.0,
                        "{word}: {}: {value} is {read}",
                        spec.name
                    );
                    differ += usize::from(read != value);
                }
                assert!(spec.role == Role::Trained || read.real(index) == weights.real(index));
            }
            assert!(differ > 0, "{word}");
        }
    }

    #[test]
    fn what_is_not_as_the_encoding_writes_it_is_refused() {
        let model = model();
        let weights = Weights::start(&model, Seed(5));
        let int8 = || sent(&model, &weights, Encoding::Int8);
        let scale_of = |piece: &Piece| piece.name.ends_with(SCALE_SUFFIX);
        let refused = |word: &str, pieces| read_back(&model, word, pieces).unwrap_err();

        let mut lacking = int8();
        let place = lacking.iter().position(scale_of).unwrap();
        let lost = lacking.remove(place).name;
        assert!(refused("int8", lacking).contains(&format!("`{lost}` is missing")));
        let mut longer = int8();
        longer[place].shape = vec![1];
        assert!(refused("int8", longer).contains("has no scale"));
        assert!(refused("bf16", int8()).contains("is not one of"));
        assert!(refused("fp16", sent(&model, &weights, Encoding::Bf16)).contains("expected F16"));
        assert!(refused("zip", int8()).contains("must be one of fp16, bf16, int8"));
    }
}
