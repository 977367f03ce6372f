//! Differences become bytes.

use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::decode::{EncodedTensor, Form, left_out};

/// Values converted at a time.
const BLOCK: usize = 1024;

/// How a difference is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Encoding {
    /// In full precision.
    Delta,
    /// As half floats.
    Fp16,
    /// As brain floats.
    Bf16,
    /// As 8-bit integers times one scale.
    Int8,
    /// Only the largest by magnitude, with their places.
    TopK {
        /// Share of the values that is written, more than 0, at most 1.
        share: f64,
    },
}

/// An encoded difference: little-endian bytes as they lie in an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoded {
    /// `f32`.
    Delta(Vec<u8>),
    /// Half floats.
    Fp16(Vec<u8>),
    /// Brain floats.
    Bf16(Vec<u8>),
    /// 8-bit integers and what multiplies them.
    Int8 {
        /// Two's complement, -127 to 127.
        values: Vec<u8>,
        /// 0 if every value is.
        scale: f32,
    },
    /// The largest by magnitude.
    TopK {
        /// Their places, `u32`, ascending.
        indices: Vec<u8>,
        /// They themselves, `f32`, in the order of `indices`.
        values: Vec<u8>,
    },
}

/// Why a difference cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// A NaN or an infinity.
    #[error("the difference is {value} at index {index}")]
    NotFinite {
        /// Index of the value within the tensor.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// A value that rounds to infinity in the narrow format.
    #[error("the difference is {value} at index {index}, more than the encoding holds ({largest})")]
    Overflow {
        /// Index of the value within the tensor.
        index: usize,
        /// The value.
        value: f32,
        /// The largest number of the format.
        largest: f32,
    },
    /// More values than places can be written for.
    #[error("the tensor has {len} values, places are written for at most 2³²")]
    TooLong {
        /// Number of values.
        len: usize,
    },
}

/// Encodes a difference.
///
/// # Shapes
/// - `difference`: P values
/// # Numerics
/// Each value is rounded once, to the nearest, ties to even. The scale of [`Encoding::Int8`] is rounded up to `f32`, so
/// that `abs(d - δ) <= scale/2` for every value, subnormal ones included. [`Encoding::TopK`] takes [`kept`] values, of
/// equal magnitudes the one with the lower index first.
/// # Errors
/// `NotFinite` at the first NaN or infinity; `Overflow` at the first value that a half or brain float cannot hold;
/// `TooLong` for places beyond `u32`
/// # Example
/// ```
/// use kernels::codec::{Encoded, Encoding, encode};
/// let encoded = encode(Encoding::Int8, &[1.0, -127.0, 0.25])?;
/// assert_eq!(encoded, Encoded::Int8 { values: vec![1, 129, 0], scale: 1.0 });
/// assert_eq!(encoded.left_out(&[1.0, -127.0, 0.25]), [0.0, 0.0, 0.25]);
/// # Ok::<(), kernels::codec::EncodeError>(())
/// ```
pub fn encode(encoding: Encoding, difference: &[f32]) -> Result<Encoded, EncodeError> {
    if let Some(index) = difference.iter().position(|value| !value.is_finite()) {
        let value = difference[index];
        return Err(EncodeError::NotFinite { index, value });
    }
    Ok(match encoding {
        Encoding::Delta => Encoded::Delta(bytes(difference.iter().map(|value| value.to_le_bytes()))),
        Encoding::Fp16 => {
            let code = |values: &[f32], out: &mut Vec<u8>| {
                let mut halves = [f16::ZERO; BLOCK];
                let halves = &mut halves[..values.len()];
                halves.convert_from_f32_slice(values);
                out.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
                halves.iter().position(|half| !half.is_finite())
            };
            Encoded::Fp16(narrow(difference, f16::MAX.to_f32(), code)?)
        }
        Encoding::Bf16 => {
            let code = |values: &[f32], out: &mut Vec<u8>| {
                let mut brains = [bf16::ZERO; BLOCK];
                let brains = &mut brains[..values.len()];
                brains.convert_from_f32_slice(values);
                out.extend(brains.iter().flat_map(|brain| brain.to_le_bytes()));
                brains.iter().position(|brain| !brain.is_finite())
            };
            Encoded::Bf16(narrow(difference, bf16::MAX.to_f32(), code)?)
        }
        Encoding::Int8 => quantise(difference),
        Encoding::TopK { share } => largest(difference, share)?,
    })
}

/// The difference to encode: `trained - global`, plus what the last encoding left out.
///
/// # Shapes
/// - `trained`, `global` and, where there is one, `residual`: P values each; returns P
/// # Numerics
/// Sums in `f64` in that order, rounds to `f32` once; values that overflow become infinite, which [`encode`] refuses.
/// # Panics
/// If the lengths differ.
pub fn difference(trained: &[f32], global: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
    assert_eq!(trained.len(), global.len());
    let change = trained
        .iter()
        .zip(global)
        .map(|(trained, global)| f64::from(*trained) - f64::from(*global));
    match residual {
        None => change.map(|change| change as f32).collect(),
        Some(residual) => {
            assert_eq!(trained.len(), residual.len());
            let sums = change
                .zip(residual)
                .map(|(change, residual)| change + f64::from(*residual));
            sums.map(|sum| sum as f32).collect()
        }
    }
}

/// How many of `len` values [`Encoding::TopK`] writes: `share · len` rounded up, at least 1 of any.
///
/// A product that misses a whole number by the rounding of `f64` alone counts as that number: 7 % of 100 are 7.
pub fn kept(share: f64, len: usize) -> usize {
    let product = share * len as f64;
    let whole = product.round();
    let miss = (product - whole).abs() <= 2.0 * f64::EPSILON * product;
    let count = if miss { whole } else { product.ceil() };
    (count as usize).max(1).min(len)
}

impl Encoded {
    /// The same without a copy.
    pub fn form(&self) -> Form<'_> {
        match self {
            Encoded::Delta(values) => Form::Delta(values),
            Encoded::Fp16(values) => Form::Fp16(values),
            Encoded::Bf16(values) => Form::Bf16(values),
            Encoded::Int8 { values, scale } => Form::Int8 {
                values,
                scale: *scale,
            },
            Encoded::TopK { indices, values } => Form::TopK { indices, values },
        }
    }

    /// What is left out of `difference`, which this was made of: `d - δ`, rounded to `f32` once.
    ///
    /// # Panics
    /// If this is not of as many values.
    pub fn left_out(&self, difference: &[f32]) -> Vec<f32> {
        let tensor = EncodedTensor::check(self.form(), difference.len());
        left_out(&tensor.expect("encoded of as many values"), difference)
    }
}

fn bytes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    values.flatten().collect()
}

/// Converts block by block; `code` appends a block and names the first value it cannot hold.
fn narrow(
    difference: &[f32],
    largest: f32,
    code: impl Fn(&[f32], &mut Vec<u8>) -> Option<usize>,
) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(2 * difference.len());
    for (number, block) in difference.chunks(BLOCK).enumerate() {
        if let Some(place) = code(block, &mut out) {
            return Err(EncodeError::Overflow {
                index: number * BLOCK + place,
                value: block[place],
                largest,
            });
        }
    }
    Ok(out)
}

fn quantise(difference: &[f32]) -> Encoded {
    let most = difference
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let exact = f64::from(most) / 127.0;
    let nearest = exact as f32;
    let scale = if f64::from(nearest) < exact {
        nearest.next_up()
    } else {
        nearest
    };
    if scale == 0.0 {
        let values = vec![0; difference.len()];
        return Encoded::Int8 { values, scale };
    }
    let scale_up = f64::from(scale);
    // Adding and taking away 1.5·2⁵² leaves the nearest integer, ties to even, in code that vectorises.
    const INTEGERS: f64 = 6_755_399_441_055_744.0;
    let code = |value: &f32| {
        let units = (f64::from(*value) / scale_up + INTEGERS) - INTEGERS;
        (units as i32 as i8).to_le_bytes()
    };
    Encoded::Int8 {
        values: bytes(difference.iter().map(code)),
        scale,
    }
}

fn largest(difference: &[f32], share: f64) -> Result<Encoded, EncodeError> {
    let len = difference.len();
    if len > 1 << 32 {
        return Err(EncodeError::TooLong { len });
    }
    let count = kept(share, len);
    // Magnitudes of finite floats order as their bits do; inverted, the largest come first, then the lower index.
    let rank = |(index, value): (usize, &f32)| u64::from(!value.abs().to_bits()) << 32 | index as u64;
    let mut ranks: Vec<u64> = difference.iter().enumerate().map(rank).collect();
    if count < len {
        ranks.select_nth_unstable(count);
    }
    let mut indices: Vec<u32> = ranks[..count].iter().map(|rank| *rank as u32).collect();
    indices.sort_unstable();
    let value = |index: &u32| difference[*index as usize].to_le_bytes();
    Ok(Encoded::TopK {
        values: bytes(indices.iter().map(value)),
        indices: bytes(indices.iter().map(|index| index.to_le_bytes())),
    })
}
