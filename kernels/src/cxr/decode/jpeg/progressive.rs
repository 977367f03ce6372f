//! Progressive images (T.81 Annex G), by the decoder that the `image` crate brings.
//!
//! That decoder is lenient, so the markers are walked here first.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, codecs::jpeg::JpegDecoder};

use super::{DecodeError, Decoded, FORMAT, Header, Transform, as_frame, cut_short, invalid, unsupported};
use crate::cxr::Samples;

/// Decodes `bytes`, whose first scan's data begin `rest`.
pub(super) fn decode(bytes: &[u8], header: &Header, rest: &[u8]) -> Result<Decoded, DecodeError> {
    if header.bits != 8 {
        return unsupported(&format!("a progressive image of {} bits", header.bits));
    }
    let mut pairs = rest.array_windows();
    if !pairs.any(|pair: &[u8; 2]| *pair == [0xFF, 0xD9]) {
        return Err(cut_short("before the end of a progressive image".to_owned()));
    }
    let fault = |error: image::ImageError| DecodeError::Invalid {
        format: FORMAT,
        what: error.to_string(),
    };
    let decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let size = decoder.dimensions();
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::Rgb8 => 3,
        other => return unsupported(&format!("a progressive image of type {other:?}")),
    };
    if size != (header.width, header.height) || channels as usize != header.components.len() {
        return invalid(format!(
            "an image of {} x {} pixels in one of another size",
            size.0, size.1
        ));
    }
    let samples = size.0 as usize * size.1 as usize * channels as usize;
    let mut values = vec![0; samples];
    if decoder.total_bytes() != samples as u64 {
        return invalid("a progressive image of another length".to_owned());
    }
    decoder.read_image(&mut values).map_err(fault)?;
    Ok(Decoded {
        frame: as_frame(FORMAT, size, channels, 8, Samples::U8(values.into()))?,
        // It is RGB already.
        transform: Transform::None,
    })
}
