//! Decoders of compressed frames: bytes to a [`Frame`].
//!
//! Every decoder checks what a stream claims before it takes memory, and refuses rather than guesses. None panics on any
//! bytes.

#[cfg(test)]
mod encoder;
pub mod jpeg;
pub mod jpeg2000;
pub mod jpeg_ls;
pub mod picture;
pub mod rle;

use super::{Frame, MAX_SAMPLES, MAX_SIDE, Samples};

/// Why a stream cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The stream ends before its image does.
    #[error("{format}: cut short {at}")]
    Truncated {
        /// The format.
        format: &'static str,
        /// Where, in words.
        at: String,
    },
    /// The stream breaks its format's rules.
    #[error("{format}: {what}")]
    Invalid {
        /// The format.
        format: &'static str,
        /// What was found and what was expected.
        what: String,
    },
    /// A feature of the format that is not decoded.
    #[error("{format}: {what} is not supported")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The feature.
        what: String,
    },
    /// The stream announces more than may be taken memory for.
    #[error("{format}: {what}; at most {most}")]
    TooLarge {
        /// The format.
        format: &'static str,
        /// What it announces.
        what: String,
        /// The limit.
        most: u64,
    },
}

/// Refuses sizes that no frame may have, before memory is taken for one.
fn check_size(format: &'static str, (width, height): (u32, u32), channels: u32) -> Result<(), DecodeError> {
    if width == 0 || height == 0 || channels == 0 {
        let what = format!("{width} x {height} pixels with {channels} channels");
        return Err(DecodeError::Invalid { format, what });
    }
    let limits = [
        (
            "a side of",
            "pixels",
            u64::from(width.max(height)),
            u64::from(MAX_SIDE),
        ),
        (
            "an image of",
            "samples",
            u64::from(width) * u64::from(height) * u64::from(channels),
            MAX_SAMPLES,
        ),
    ];
    for (what, unit, found, most) in limits {
        if found > most {
            let what = format!("{what} {found} {unit}");
            return Err(DecodeError::TooLarge { format, what, most });
        }
    }
    Ok(())
}

/// A frame of full resolution; a size that does not fit is the decoder's fault, and still no panic.
fn as_frame(
    format: &'static str,
    size: (u32, u32),
    channels: u32,
    bits: u32,
    samples: Samples<'static>,
) -> Result<Frame<'static>, DecodeError> {
    Frame::new(size, channels, bits, samples).map_err(|error| DecodeError::Invalid {
        format,
        what: error.to_string(),
    })
}
