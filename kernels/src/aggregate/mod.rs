//! Combines the same tensor of several updates into one: floating-point values are averaged, integers are kept.
//!
//! In: one row of values per update ([`read_row`]), or one [`Part`] of bytes where they are integers. Out: the combined
//! values, put into bytes by [`write_row`]. Start at [`mean`]. All work on blocks: a caller with mapped files passes
//! pieces of any length from as many threads as it likes, and needs memory for its blocks only.

mod distance;
mod element;
mod exact;
mod geometric;
mod kept;
mod linear;
mod mean;
mod network;
#[cfg(test)]
mod oracle;
mod order;
mod rows;
mod select;
mod server;

pub use distance::{DISTANCE_RUN, Distances, add_squared_differences, add_squared_distances, pairs};
pub use element::{Element, Float, Integer};
pub use geometric::{GeometricError, Weiszfeld, geometric_median};
pub use kept::{lower_median, maximum};
pub use linear::{CoefficientError, clip_factor, combine_differences, fednova, qfedavg};
pub use mean::{Addend, Weights, components_needed, mean, mean_f64, partial_components};
pub use order::{MiddleMean, NearMedian, OrderError};
pub use rows::{Real, first_not_finite, read_row, write_row};
pub use select::{SelectError, bulyan, krum, krum_scores, multi_krum};
pub use server::{Moments, ServerStep, StepError};

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
    #[error("the updates' sample counts sum to 2^53 or more")]
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
