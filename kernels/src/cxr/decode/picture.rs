//! Pictures without medical meaning: PNG and JPEG files.
//!
//! In: the bytes of a file. Out: a [`Frame`] and what its values mean. Start at [`decode`].

use std::{borrow::Cow, io::Cursor};

use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use super::{DecodeError, as_frame, check_size, jpeg};
use crate::cxr::{Colour, Frame, Meaning, Samples, Wanted};

const FORMAT: &str = "PNG";

/// What a PNG file begins with (PNG 5.2).
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Most bytes that a byte of a deflate stream stands for: 258 for each 2 bits.
const MAX_INFLATION: u64 = 1032;

/// Decodes a PNG or JPEG file; which of them, its first bytes tell.
///
/// PNG: every depth, colour type and interlacing. Grey of less than 8 bits is stretched to 8, palettes become their
/// colours, transparency becomes an alpha channel. Profiles, gamma and background are ignored, as is all but the default
/// picture of an animation. JPEG: see [`jpeg::decode`]; three channels that are YCbCr, or do not say, come as
/// [`Colour::Ybr`].
///
/// # Shapes
/// - `bytes`: one file
/// - returns 1 to 4 channels of 8 or 16 bits (PNG), 1 or 3 channels (JPEG), at full resolution unless [`jpeg::decode`]
///   finds that less is enough
/// # Errors
/// [`DecodeError::Invalid`] if the bytes begin like neither, or break the format's rules, checksums among them;
/// [`DecodeError::Truncated`] if the file ends early, or is too short for the pixels it announces;
/// [`DecodeError::TooLarge`] beyond [`MAX_SIDE`](crate::cxr::MAX_SIDE) or [`MAX_SAMPLES`](crate::cxr::MAX_SAMPLES)
/// # Source
/// Portable Network Graphics, third edition; ITU-T T.81 and T.871
pub fn decode(bytes: &[u8], wanted: Wanted) -> Result<(Frame<'static>, Meaning), DecodeError> {
    if bytes.starts_with(SIGNATURE) {
        let frame = decode_png(bytes)?;
        let meaning = Meaning::picture(frame.bits);
        return Ok((frame, meaning));
    }
    if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        let jpeg::Decoded { frame, transform } = jpeg::decode(bytes, wanted)?;
        let mut meaning = Meaning::picture(frame.bits);
        if frame.channels == 3 && transform != jpeg::Transform::None {
            meaning.colour = Colour::Ybr;
        }
        return Ok((frame, meaning));
    }
    Err(DecodeError::Invalid {
        format: "picture",
        what: "not an image by its first bytes; expected PNG or JPEG".to_owned(),
    })
}

fn decode_png(bytes: &[u8]) -> Result<Frame<'static>, DecodeError> {
    let size = check_announced(bytes)?;
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(refused)?;
    let (colour, depth) = reader.output_color_type();
    let channels = match colour {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        ColorType::Indexed => return Err(invalid("palette indices without their colours")),
    };
    check_size(FORMAT, size, channels)?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| invalid("more bytes than can be addressed"))?;
    let mut values = vec![0; length];
    let info = reader.next_frame(&mut values).map_err(refused)?;
    // To the end: a file cut short behind its last row is not whole.
    reader.finish().map_err(refused)?;
    if (info.width, info.height) != size {
        return Err(invalid(format!(
            "a first picture of {} x {} pixels",
            info.width, info.height
        )));
    }
    if depth == BitDepth::Sixteen {
        let values = values
            .as_chunks::<2>()
            .0
            .iter()
            .map(|value| u16::from_be_bytes(*value))
            .collect();
        as_frame(FORMAT, size, channels, 16, Samples::U16(Cow::Owned(values)))
    } else {
        as_frame(FORMAT, size, channels, 8, Samples::U8(Cow::Owned(values)))
    }
}

/// Checks the size that a PNG file announces, and that its compressed bytes can hold as much.
fn check_announced(bytes: &[u8]) -> Result<(u32, u32), DecodeError> {
    let cut = |at: &str| DecodeError::Truncated {
        format: FORMAT,
        at: at.to_owned(),
    };
    // Signature, length, type, then the fields (PNG 11.2.1).
    let Some(&[0, 0, 0, 13, b'I', b'H', b'D', b'R', ref fields @ ..]) =
        bytes.get(8..29).and_then(|header| header.first_chunk::<21>())
    else {
        return Err(if bytes.len() < 29 {
            cut("in its header")
        } else {
            invalid("does not begin with IHDR")
        });
    };
    let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, ..] = fields;
    let size = (
        u32::from_be_bytes([w0, w1, w2, w3]),
        u32::from_be_bytes([h0, h1, h2, h3]),
    );
    let channels = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    check_size(FORMAT, size, channels)?;
    let mut compressed = 0_u64;
    let mut rest = &bytes[8..];
    while let Some((&[l0, l1, l2, l3, kind @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if &kind == b"IDAT" {
            compressed += length.min(after.len()) as u64;
        }
        rest = after
            .get(length..)
            .and_then(|after| after.get(4..))
            .unwrap_or(&[]);
    }
    let row_bits = u64::from(size.0) * channels as u64 * u64::from(depth);
    // Each row begins with its filter.
    let announced = u64::from(size.1) * (1 + row_bits.div_ceil(8));
    if compressed.saturating_mul(MAX_INFLATION) < announced {
        return Err(cut(&format!("at {compressed} compressed bytes for {announced}")));
    }
    Ok(size)
}

fn invalid(what: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        format: FORMAT,
        what: what.into(),
    }
}

fn refused(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::IoError(_) => DecodeError::Truncated {
            format: FORMAT,
            at: "before its end".to_owned(),
        },
        other => invalid(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
