//! Combines the same tensor of several updates into one: floating-point values are averaged, integers are kept.
//!
//! In: one [`Part`] per update (a tensor's bytes as they lie in a file, and the update's sample count), in an order the
//! caller fixes. Out: the combined tensor's bytes. Start at [`combine`]. Memory is one output block and one
//! accumulator per thread, whatever the number of updates: a caller with mapped files passes pieces of any length.

mod distance;
mod element;
mod geometric;
mod kept;
mod mean;
mod network;
mod order;
mod rows;
mod select;
mod simd;

pub use distance::{DISTANCE_RUN, Distances, add_squared_differences, add_squared_distances, pairs};
pub use element::{Element, Float, Integer};
pub use geometric::{GeometricError, Weiszfeld, geometric_median};
pub use kept::{lower_median, maximum};
pub use mean::weighted_mean;
pub use order::{MiddleMean, NearMedian, OrderError};
pub use rows::{Real, first_not_finite, read_row, write_row};
pub use select::{SelectError, bulyan, krum, krum_scores, multi_krum};

/// One update's share of a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Little-endian values without gaps, at any alignment.
    pub bytes: &'a [u8],
    /// Samples the update was trained on.
    pub samples: u64,
}

/// Why parts cannot be combined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CombineError {
    /// Nothing to combine.
    #[error("there are no updates")]
    NoParts,
    /// A weight of nothing.
    #[error("update {part} has no samples")]
    NoSamples {
        /// The part, counted from 0.
        part: usize,
    },
    /// More samples than can be counted.
    #[error("the updates' sample counts sum to more than {}", u64::MAX)]
    TooManySamples,
    /// Parts of different length, or no whole number of values.
    #[error("update {part} has {bytes} bytes where {expected} are expected")]
    LengthMismatch {
        /// The part, counted from 0.
        part: usize,
        /// Its length.
        bytes: usize,
        /// The length of the output.
        expected: usize,
    },
    /// A NaN or an infinity.
    #[error("update {part} is {value} at index {index}")]
    NotFinite {
        /// The part, counted from 0.
        part: usize,
        /// Index of the value within the part.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f64,
    },
    /// Finite `F64` values whose weighted sum is none.
    #[error("the weighted sum overflows at index {index}")]
    Overflow {
        /// Index of the value within the parts.
        index: usize,
    },
}

/// Combines `parts` into `out`: [`weighted_mean`] for floating-point values, [`maximum`] for integers and booleans.
///
/// # Shapes
/// - `parts`: K parts of `out.len()` bytes each, a whole number of values
/// # Errors
/// [`CombineError`]
/// # Example
/// ```
/// use kernels::aggregate::{Element, Float, Part, combine};
/// let (a, b) = (1.0_f32.to_le_bytes(), 4.0_f32.to_le_bytes());
/// let mut out = [0; 4];
/// let parts = [Part { bytes: &a, samples: 20 }, Part { bytes: &b, samples: 10 }];
/// combine(Element::Float(Float::F32), &parts, &mut out)?;
/// assert_eq!(f32::from_le_bytes(out), 2.0);
/// # Ok::<(), kernels::aggregate::CombineError>(())
/// ```
pub fn combine(element: Element, parts: &[Part<'_>], out: &mut [u8]) -> Result<(), CombineError> {
    match element {
        Element::Float(float) => weighted_mean(float, parts, out),
        Element::Integer(integer) => maximum(integer, parts, out),
    }
}

/// Parts there are, each as long as `out`, which holds whole values of `width` bytes.
fn check_lengths(parts: &[Part<'_>], out: &[u8], width: usize) -> Result<(), CombineError> {
    if parts.is_empty() {
        return Err(CombineError::NoParts);
    }
    let expected = out.len() / width * width;
    let wrong = |part: &Part<'_>| part.bytes.len() != out.len() || out.len() != expected;
    match parts.iter().position(wrong) {
        None => Ok(()),
        Some(part) => Err(CombineError::LengthMismatch {
            part,
            bytes: parts[part].bytes.len(),
            expected,
        }),
    }
}
