//! Compressed frames: decoded, and held against what the attributes say.

use std::borrow::Cow;

use super::{DicomError, image::Image, syntax::Coding};
use crate::cxr::{
    Frame, Samples, Wanted,
    decode::{jpeg, jpeg_ls, jpeg2000, rle},
};

/// Decodes a frame of `image`.
pub(super) fn decode(
    bytes: &[u8],
    image: &Image,
    coding: Coding,
    wanted: Wanted,
) -> Result<Frame<'static>, DicomError> {
    let frame = match coding {
        Coding::Rle => rle::decode(bytes, image.columns, image.rows, image.channels, image.allocated)?,
        Coding::Jpeg => jpeg::decode(bytes, wanted)?.frame,
        Coding::JpegLs => jpeg_ls::decode(bytes)?,
        Coding::Jpeg2000 => jpeg2000::decode(bytes, wanted)?,
        Coding::Native | Coding::Encapsulated | Coding::Unsupported => {
            return super::error::unsupported("decoding of a frame that is not compressed");
        }
    };
    fitted(frame, bytes, image, coding)
}

/// A frame as the attributes say, or a refusal.
fn fitted(
    frame: Frame<'static>,
    bytes: &[u8],
    image: &Image,
    coding: Coding,
) -> Result<Frame<'static>, DicomError> {
    let mismatch = |what, found: String, expected: String| {
        Err(DicomError::Mismatch {
            what,
            found,
            expected,
        })
    };
    let size = (frame.grid.full_width, frame.grid.full_height);
    if size != (image.columns, image.rows) {
        let expected = format!("{} x {}", image.columns, image.rows);
        return mismatch("the size", format!("{} x {}", size.0, size.1), expected);
    }
    if frame.channels != image.channels {
        return mismatch("channels", frame.channels.to_string(), image.channels.to_string());
    }
    // Some encoders write whole words, so more bits than are stored may come.
    if frame.bits > image.allocated {
        let expected = format!("{} allocated", image.allocated);
        return mismatch("bits", frame.bits.to_string(), expected);
    }
    // A stream of signed values with fewer bits than are stored: its highest bit is the sign.
    let sign = coding == Coding::Jpeg2000 && is_signed(bytes);
    let samples = match (frame.samples, image.allocated) {
        (Samples::U8(values), 16) if sign => {
            let wide = |value: &u8| i16::from(value.cast_signed()).cast_unsigned();
            Samples::U16(Cow::Owned(values.iter().map(wide).collect()))
        }
        (Samples::U8(values), 16) => {
            Samples::U16(Cow::Owned(values.iter().map(|value| u16::from(*value)).collect()))
        }
        (Samples::U16(values), 8) => {
            // Not more than 8 bits, so the lower half is all.
            Samples::U8(Cow::Owned(values.iter().map(|value| *value as u8).collect()))
        }
        (samples, _) => samples,
    };
    Ok(Frame {
        bits: image.stored,
        samples,
        ..frame
    })
}

/// Whether a JPEG 2000 codestream says that its values have a sign (SIZ, ITU-T T.800 A.5.1).
fn is_signed(bytes: &[u8]) -> bool {
    const MARKS: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
    // From the first mark to the depth of the first component.
    const DEPTH: usize = 42;
    let start = bytes.windows(4).position(|window| window == MARKS);
    start
        .and_then(|start| bytes.get(start + DEPTH))
        .is_some_and(|depth| depth & 0x80 != 0)
}
