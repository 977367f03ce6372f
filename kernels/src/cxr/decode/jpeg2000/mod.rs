//! JPEG 2000, part 1 (ITU-T T.800 | ISO/IEC 15444-1): whole, or at a resolution the wavelet already has.
//!
//! In: a codestream, or a JP2 file around one. Out: a [`Frame`]. Start at [`decode`]. Entropy decoding and the wavelet are
//! those of the crate `hayro-jpeg2000`; what a stream announces is checked here first, in `header.rs`.

mod boxes;
mod header;
mod segments;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use self::{boxes::codestream, header::Header};
use super::DecodeError;
use crate::cxr::{Frame, Grid, Samples, Wanted};

const FORMAT: &str = "JPEG 2000";

fn invalid(what: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        format: FORMAT,
        what: what.into(),
    }
}

fn unsupported(what: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported {
        format: FORMAT,
        what: what.into(),
    }
}

fn truncated(at: impl Into<String>) -> DecodeError {
    DecodeError::Truncated {
        format: FORMAT,
        at: at.into(),
    }
}

/// Decodes a JPEG 2000 codestream or JP2 file of 1 or 3 components with up to 16 bits, signed or not.
///
/// [`Wanted::AtLeast`] leaves out as many levels of the wavelet as still leave so many samples along each axis: their
/// packets are read over, nothing of them is decoded. Three components come with the multiple component transform undone
/// where there is one; other colour transforms are the caller's.
///
/// High-throughput coding (HTJ2K, part 15), subsampled components, palettes, packed packet headers, changes of the
/// progression order and coding styles of single tiles are refused by name.
///
/// # Shapes
/// - `bytes`: one codestream or file; bytes behind its end are ignored
/// - returns height × width × 1 or 3; 8-bit samples up to 8 bits, else 16-bit; signed values as two's complement,
///   extended to the sample
/// - at `r` levels less: sides divided by `2^r`, rounded up. Low-pass samples lie at full pixels `i · 2^r`, so the grid has
///   step `2^r` and origin `-(2^r - 1) / 2`
/// # Numerics
/// Lossless streams exactly. Lossy ones in `f32` without fused operations, rounded to the nearest integer (halves up) and
/// clamped: the same bits on every processor; within 1 of OpenJPEG.
///
/// A reduced resolution is not the mean over its pixels: the wavelet's low-pass filter is longer, and not a box. On a
/// radiograph-like image of 12 bits at 1/20 of its size, 1, 2 and 3 levels less differ from the mean of the decoded pixels
/// over the grid's cells by 2.5, 1.9 and 2.4 grey levels of 4096 on average; by 94, 73 and 36 at most, at a shutter's edge
/// of 1000 grey levels. `kernels/tests/pictures.rs` holds these bounds.
/// # Errors
/// [`DecodeError::Truncated`] if a part is missing; [`DecodeError::Invalid`] if the stream breaks a rule;
/// [`DecodeError::Unsupported`] for the features above; [`DecodeError::TooLarge`] for sizes, tiles and code-blocks beyond
/// what is decoded, or beyond what so few bytes can hold
/// # Source
/// ITU-T T.800 (2019). Parity with OpenJPEG: `tests/parity/pictures/`
pub fn decode(bytes: &[u8], wanted: Wanted) -> Result<Frame<'static>, DecodeError> {
    let stream = codestream(bytes)?;
    let header = Header::parse(stream)?;
    let levels = levels_left_out(&header, wanted);
    let settings = DecodeSettings {
        strict: true,
        // The decoder leaves out as many levels as the ratio has powers of two.
        target_resolution: Some((header.width >> levels, header.height >> levels)),
        ..DecodeSettings::default()
    };
    let failed = |error: hayro_jpeg2000::DecodeError| invalid(error.to_string());
    let image = Image::new(stream, &settings).map_err(failed)?;
    let (width, height) = (
        header.width.div_ceil(1 << levels),
        header.height.div_ceil(1 << levels),
    );
    if (image.width(), image.height()) != (width, height) {
        return Err(invalid(format!(
            "decoded to {} x {} pixels; {width} x {height} were expected",
            image.width(),
            image.height()
        )));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let planes: Vec<&[f32]> = decoded.components().iter().map(|plane| plane.samples()).collect();
    if planes.len() != header.components as usize
        || planes
            .iter()
            .any(|plane| plane.len() as u64 != u64::from(width) * u64::from(height))
    {
        return Err(invalid(format!(
            "decoded to {} components of another size",
            planes.len()
        )));
    }
    let step = 1 << levels;
    let frame = Frame {
        width,
        height,
        channels: header.components,
        bits: header.bits,
        samples: samples(&planes, &header),
        grid: Grid {
            full_width: header.width,
            full_height: header.height,
            step,
            origin: (1.0 - step as f32) / 2.0,
        },
    };
    frame.check().map_err(|error| invalid(error.to_string()))?;
    Ok(frame)
}

/// How many levels both sides can be halved and still have what is wanted.
fn levels_left_out(header: &Header, wanted: Wanted) -> u8 {
    let Wanted::AtLeast(least) = wanted else {
        return 0;
    };
    // Elsewhere on the reference grid, low-pass samples do not lie on multiples of the step from the image's corner.
    if !header.at_origin {
        return 0;
    }
    let side = header.width.min(header.height);
    (0..=header.levels)
        .rev()
        .find(|levels| side >> levels >= 1 && side.div_ceil(1 << levels) >= least)
        .unwrap_or(0)
}

/// The decoder's values as stored ones, channels side by side.
///
/// The decoder adds half the range to signed components as well: it is taken off again.
fn samples(planes: &[&[f32]], header: &Header) -> Samples<'static> {
    let most = ((1_u32 << header.bits) - 1) as f32;
    let half = if header.signed {
        1_u32 << (header.bits - 1)
    } else {
        0
    };
    // Not a number becomes 0.
    let value = |sample: f32| ((sample.clamp(0.0, most) + 0.5) as u32).wrapping_sub(half);
    if header.bits <= 8 {
        Samples::U8(Cow::Owned(interleave(planes, |sample| value(sample) as u8)))
    } else {
        Samples::U16(Cow::Owned(interleave(planes, |sample| value(sample) as u16)))
    }
}

fn interleave<T>(planes: &[&[f32]], value: impl Fn(f32) -> T) -> Vec<T> {
    match planes {
        [plane] => plane.iter().map(|sample| value(*sample)).collect(),
        [first, rest @ ..] => (0..first.len())
            .flat_map(|i| std::iter::once(first[i]).chain(rest.iter().map(move |plane| plane[i])))
            .map(value)
            .collect(),
        [] => Vec::new(),
    }
}
