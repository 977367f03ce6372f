//! DICOM RLE Lossless (PS3.5 Annex G): one segment of PackBits for each byte of a pixel.
//!
//! In: the bytes of one frame, and what the data set says of it. Out: a [`Frame`]. Start at [`decode`].

use std::borrow::Cow;

use super::{DecodeError, as_frame, check_size};
use crate::cxr::{Frame, Samples};

const FORMAT: &str = "RLE";

/// Bytes of the header: the number of segments, then the offsets of 15 (PS3.5 G.5).
const HEADER: usize = 64;

/// The longest run or literal of PackBits.
const LONGEST: usize = 128;

/// Pixels decoded at a time: all segments' bytes of them stay in the cache until they are one image.
const STRIPE: usize = 8192;

/// Decodes a frame.
///
/// # Shapes
/// - `size`: width and height; `channels` 1 or 3; `bits_allocated` 8 or 16
/// - returns `width · height · channels` values, channels of a pixel side by side, all bits of a word kept
/// # Numerics
/// Lossless. A segment may be longer than its plane: what follows is padding.
/// # Errors
/// `Truncated` if a segment holds too little; `Invalid` if the header does not fit the frame; `Unsupported` for other
/// channels or bits; `TooLarge` beyond [`MAX_SIDE`](crate::cxr::MAX_SIDE) or [`MAX_SAMPLES`](crate::cxr::MAX_SAMPLES)
/// # Source
/// DICOM PS3.5 Annex G
pub fn decode(
    bytes: &[u8],
    width: u32,
    height: u32,
    channels: u32,
    bits_allocated: u32,
) -> Result<Frame<'static>, DecodeError> {
    if !matches!(channels, 1 | 3) || !matches!(bits_allocated, 8 | 16) {
        return Err(DecodeError::Unsupported {
            format: FORMAT,
            what: format!("a pixel of {channels} channels of {bits_allocated} bits"),
        });
    }
    check_size(FORMAT, (width, height), channels)?;
    let pixels = width as usize * height as usize;
    let planes = (channels * bits_allocated / 8) as usize;
    let mut segments = segments(bytes, planes)?;
    for (number, segment) in segments.iter().enumerate() {
        // Two bytes become at most a whole run.
        if segment.rest.len().div_ceil(2) * LONGEST < pixels {
            return Err(cut_short(number, planes));
        }
    }
    let samples = pixels * channels as usize;
    let samples = if bits_allocated == 8 {
        let mut out = vec![0_u8; samples];
        match channels {
            1 => stripes(&mut segments, &mut out, 1, |out, [plane]| {
                out.copy_from_slice(plane)
            })?,
            _ => stripes(&mut segments, &mut out, 3, |out, [red, green, blue]| {
                let planes = red.iter().zip(green).zip(blue);
                for (pixel, ((red, green), blue)) in out.as_chunks_mut::<3>().0.iter_mut().zip(planes) {
                    *pixel = [*red, *green, *blue];
                }
            })?,
        }
        Samples::U8(Cow::Owned(out))
    } else {
        let mut out = vec![0_u16; samples];
        let word = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
        match channels {
            1 => stripes(&mut segments, &mut out, 1, |out, [high, low]| {
                for (value, (high, low)) in out.iter_mut().zip(high.iter().zip(low)) {
                    *value = word(high, low);
                }
            })?,
            _ => stripes(&mut segments, &mut out, 3, |out, planes: [&[u8]; 6]| {
                for (channel, [high, low]) in planes.as_chunks().0.iter().enumerate() {
                    let values = out.iter_mut().skip(channel).step_by(3);
                    for (value, (high, low)) in values.zip(high.iter().zip(*low)) {
                        *value = word(high, low);
                    }
                }
            })?,
        }
        Samples::U16(Cow::Owned(out))
    };
    as_frame(FORMAT, (width, height), channels, bits_allocated, samples)
}

fn cut_short(segment: usize, of: usize) -> DecodeError {
    DecodeError::Truncated {
        format: FORMAT,
        at: format!("in segment {} of {of}", segment + 1),
    }
}

/// The segments, as the header lists them.
fn segments(bytes: &[u8], expected: usize) -> Result<Vec<PackBits<'_>>, DecodeError> {
    let header = bytes.get(..HEADER).ok_or_else(|| DecodeError::Truncated {
        format: FORMAT,
        at: format!("in its header: {} bytes of {HEADER}", bytes.len()),
    })?;
    let mut words = header
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word) as usize);
    let number = words.next().unwrap_or(0);
    if number != expected {
        return Err(DecodeError::Invalid {
            format: FORMAT,
            what: format!("{number} segments where the frame needs {expected}"),
        });
    }
    let mut ends: Vec<usize> = words.take(expected).collect();
    ends.push(bytes.len());
    let pairs = ends.iter().zip(ends.iter().skip(1));
    pairs
        .enumerate()
        .map(|(number, (&start, &end))| {
            if start < HEADER || start > end {
                return Err(DecodeError::Invalid {
                    format: FORMAT,
                    what: format!("segment {} from byte {start} to {end}", number + 1),
                });
            }
            let rest = bytes.get(start..end).ok_or_else(|| cut_short(number, expected))?;
            Ok(PackBits {
                rest,
                spare: [0; LONGEST],
                kept: 0,
            })
        })
        .collect()
}

/// Decodes all segments a stripe at a time; `join` makes pixels of the planes' bytes.
fn stripes<T, const PLANES: usize>(
    segments: &mut [PackBits<'_>],
    out: &mut [T],
    channels: usize,
    join: impl Fn(&mut [T], [&[u8]; PLANES]),
) -> Result<(), DecodeError> {
    let mut bytes = vec![[0_u8; STRIPE + LONGEST]; PLANES];
    for stripe in out.chunks_mut(STRIPE * channels) {
        let pixels = stripe.len() / channels;
        for (number, (segment, bytes)) in segments.iter_mut().zip(&mut bytes).enumerate() {
            if !segment.fill(bytes, pixels) {
                return Err(cut_short(number, PLANES));
            }
        }
        join(stripe, std::array::from_fn(|plane| &bytes[plane][..pixels]));
    }
    Ok(())
}

/// A segment being decoded (PS3.5 G.3.2).
struct PackBits<'a> {
    rest: &'a [u8],
    /// Bytes already decoded beyond the last stripe, and how many.
    spare: [u8; LONGEST],
    kept: usize,
}

impl PackBits<'_> {
    /// Writes the next `length` bytes to the start of `out`; whether there were as many.
    ///
    /// Runs and literals are written by their greatest length, which is one length to copy, then cut.
    fn fill(&mut self, out: &mut [u8; STRIPE + LONGEST], length: usize) -> bool {
        out[..LONGEST].copy_from_slice(&self.spare);
        let mut at = self.kept;
        let mut rest = self.rest;
        while at < length {
            // Never shorter: `at` is below `STRIPE`.
            let Some(place) = out[at..].first_chunk_mut::<LONGEST>() else {
                return false;
            };
            let Some((&control, after)) = rest.split_first() else {
                return false;
            };
            rest = after;
            let control = usize::from(control);
            if control < 128 {
                let literal = control + 1;
                if let Some(source) = rest.first_chunk::<LONGEST>() {
                    *place = *source;
                    rest = &rest[literal..];
                } else if let Some((source, after)) = rest.split_at_checked(literal) {
                    place[..literal].copy_from_slice(source);
                    rest = after;
                } else {
                    return false;
                }
                at += literal;
            } else if control > 128 {
                let Some((&value, after)) = rest.split_first() else {
                    return false;
                };
                *place = [value; LONGEST];
                rest = after;
                at += 257 - control;
            }
        }
        self.rest = rest;
        self.kept = at - length;
        self.spare = *out[length..].first_chunk().unwrap_or(&[0; LONGEST]);
        true
    }
}

#[cfg(test)]
mod tests;
