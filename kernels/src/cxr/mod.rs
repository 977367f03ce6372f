//! Makes decoded radiographs alike: grey, one size, 8 or 16 bits.
//!
//! In: a [`Frame`] as a decoder gives it and its [`Meaning`]. Out: a [`Square`] of grey pixels, and its
//! [`perceptual`](hash::perceptual) hash. Start at [`render()`].

mod axis;
pub mod decode;
pub mod dicom;
mod frame;
pub mod hash;
mod meaning;
mod place;
mod render;
mod rows;
mod square;
mod tone;

pub use frame::{Frame, Grid, MAX_SAMPLES, MAX_SIDE, Samples, Wanted};
pub use meaning::{Colour, Lut, Meaning, Modality, Stored, Voi, VoiFunction};
pub use render::{Depth, Fit, Rendered, Target, render};
pub use square::{Pixels, Square};

/// Why an image cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// An image or a target without pixels.
    #[error("an image of {width} x {height} pixels cannot be made {size} x {size}")]
    NoPixels {
        /// Width of the image.
        width: u32,
        /// Height of the image.
        height: u32,
        /// Width and height asked for.
        size: u32,
    },
    /// A frame that is not what it says, or too large.
    #[error(
        "a frame of {width} x {height} pixels with {channels} channels of {bits} bits cannot have {samples} samples; \
         sides are 1 to 16384, channels 1 to 4, bits 1 to 16, samples at most 2^27"
    )]
    Frame {
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
        /// Channels.
        channels: u32,
        /// Bits a sample.
        bits: u32,
        /// Samples there are.
        samples: usize,
    },
    /// A frame whose grid does not reach over the full image.
    #[error(
        "{samples} samples of {step} pixels each from {origin} on do not lie over {full} pixels; expected the first to \
         begin at most a step before 0 and the last to end at most a step before the edge"
    )]
    Grid {
        /// Samples along the axis.
        samples: u32,
        /// Full pixels along it.
        full: u32,
        /// Pixels a sample stands for.
        step: u32,
        /// Where the first begins.
        origin: String,
    },
    /// A meaning that no pixel can have.
    #[error("cannot be shown: {what}")]
    Meaning {
        /// What was found and what was expected.
        what: String,
    },
}
