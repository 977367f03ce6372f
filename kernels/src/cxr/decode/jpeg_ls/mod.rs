//! JPEG-LS (ITU-T T.87 | ISO/IEC 14495-1): lossless and near-lossless.
//!
//! In: a stream from SOI on. Out: a [`Frame`] of 1 or 3 channels. Start at [`decode`].

mod bits;
mod coder;
#[cfg(test)]
mod encoder;
mod params;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::{
    bits::{Bits, Fault},
    coder::{Coder, edges},
    params::{Params, Preset},
};
use super::{DecodeError, as_frame, check_size};
use crate::cxr::{Frame, Samples};

const FORMAT: &str = "JPEG-LS";

/// Markers (T.81 table B.1, T.87 table C.1), without their 0xFF.
mod marker {
    pub const SOI: u8 = 0xD8;
    pub const EOI: u8 = 0xD9;
    pub const SOS: u8 = 0xDA;
    pub const DNL: u8 = 0xDC;
    pub const DRI: u8 = 0xDD;
    pub const SOF: std::ops::RangeInclusive<u8> = 0xC0..=0xCF;
    pub const APP: std::ops::RangeInclusive<u8> = 0xE0..=0xEF;
    pub const APP8: u8 = 0xE8;
    pub const SOF55: u8 = 0xF7;
    pub const LSE: u8 = 0xF8;
    pub const COM: u8 = 0xFE;
}

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

/// Decodes a JPEG-LS stream, lossless or near-lossless, of 2 to 16 bits a sample.
///
/// Components may be interleaved by line, by sample or not at all, and parameters be preset (LSE of type 1). Mapping tables,
/// point transforms, restart intervals, sizes set later (LSE of type 4, DNL), subsampled components and the colour
/// transforms that some encoders announce in APP8 are refused by name.
///
/// # Shapes
/// - `bytes`: one stream; bytes behind its end are ignored
/// - returns height × width × 1 or 3; 8-bit samples up to 8 bits, else 16-bit
/// # Errors
/// [`DecodeError::Truncated`] if samples are missing; [`DecodeError::Invalid`] if the stream breaks a rule;
/// [`DecodeError::Unsupported`] for the features above; [`DecodeError::TooLarge`] beyond [`MAX_SIDE`](crate::cxr::MAX_SIDE) or
/// [`MAX_SAMPLES`](crate::cxr::MAX_SAMPLES)
/// # Source
/// ITU-T T.87 (06/98), annexes A and C. Parity with CharLS: `tests/parity/pictures/`
pub fn decode(bytes: &[u8]) -> Result<Frame<'static>, DecodeError> {
    let mut parser = Parser { bytes, at: 0 };
    if parser.marker()? != marker::SOI {
        return Err(invalid("does not begin with SOI"));
    }
    let mut preset = Preset::default();
    let mut image: Option<Image> = None;
    loop {
        let kind = parser.marker()?;
        match (kind, &mut image) {
            (marker::SOF55, None) => image = Some(Image::new(&Header::parse(parser.segment()?)?)?),
            (marker::SOS, Some(image)) => {
                let scan = Scan::parse(parser.segment()?, image)?;
                let data = parser.scan();
                scan.decode(data, preset, image)?;
                if image.decoded == image.ids.len() {
                    break;
                }
            }
            (marker::LSE, _) => preset = parse_preset(parser.segment()?)?,
            (marker::DRI, _) => {
                if parser.segment()?.iter().any(|byte| *byte != 0) {
                    return Err(unsupported("a restart interval"));
                }
            }
            (marker::APP8, _) => {
                let segment = parser.segment()?;
                if segment.starts_with(b"mrfx") && segment.get(4).is_some_and(|kind| *kind != 0) {
                    return Err(unsupported("a colour transform of an APP8 segment"));
                }
            }
            (marker::COM, _) => _ = parser.segment()?,
            (kind, _) if marker::APP.contains(&kind) => _ = parser.segment()?,
            (marker::SOF55, Some(_)) => return Err(invalid("a second frame header (SOF55)")),
            (marker::SOS, None) => return Err(invalid("a scan before the frame header (SOF55)")),
            (marker::DNL, _) => return Err(unsupported("a number of lines set later (DNL)")),
            (marker::EOI, _) => return Err(truncated("before the last component's scan")),
            (kind, _) if marker::SOF.contains(&kind) => {
                return Err(unsupported(format!(
                    "a frame of another JPEG process (marker FF{kind:02X})"
                )));
            }
            (kind, _) => return Err(invalid(format!("marker FF{kind:02X} where none may be"))),
        }
    }
    // The loop ends with a whole image only.
    image
        .ok_or_else(|| truncated("before the frame header"))?
        .into_frame()
}

/// Reads marker segments.
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next marker; fill bytes before it are skipped (T.81 B.1.1.2).
    fn marker(&mut self) -> Result<u8, DecodeError> {
        let end = || truncated("where a marker was expected");
        if *self.bytes.get(self.at).ok_or_else(end)? != 0xFF {
            return Err(invalid(format!("no marker at byte {}", self.at)));
        }
        while *self.bytes.get(self.at).ok_or_else(end)? == 0xFF {
            self.at += 1;
        }
        self.at += 1;
        Ok(self.bytes[self.at - 1])
    }

    /// What a marker's segment holds behind its length.
    fn segment(&mut self) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .first_chunk::<2>()
            .map(|length| usize::from(u16::from_be_bytes(*length)))
            .ok_or_else(|| truncated("in a marker segment"))?;
        if length < 2 {
            return Err(invalid(format!("a segment of {length} bytes; at least 2")));
        }
        let segment = rest
            .get(2..length)
            .ok_or_else(|| truncated("in a marker segment"))?;
        self.at += length;
        Ok(segment)
    }

    /// The bytes of a scan, up to the next marker or the end.
    fn scan(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let mut end = 0;
        loop {
            match rest[end..].iter().position(|byte| *byte == 0xFF) {
                Some(next) => end += next,
                None => end = rest.len(),
            }
            // A byte after 0xFF that begins with a zero bit belongs to the scan.
            if rest.get(end + 1).is_none_or(|byte| *byte >= 0x80) {
                break;
            }
            end += 2;
        }
        let end = end.min(rest.len());
        self.at += end;
        &rest[..end]
    }
}

/// A frame header (T.87 C.2.2).
struct Header {
    bits: u32,
    width: u32,
    height: u32,
    ids: Vec<u8>,
}

impl Header {
    fn parse(segment: &[u8]) -> Result<Self, DecodeError> {
        let Some(([bits, h0, h1, w0, w1, count], components)) = segment.split_first_chunk::<6>() else {
            return Err(invalid("a frame header without its fields"));
        };
        let (bits, count) = (u32::from(*bits), usize::from(*count));
        let height = u32::from(u16::from_be_bytes([*h0, *h1]));
        let width = u32::from(u16::from_be_bytes([*w0, *w1]));
        if !(2..=16).contains(&bits) {
            return Err(invalid(format!("{bits} bits a sample; from 2 to 16")));
        }
        if height == 0 || width == 0 {
            return Err(unsupported("a size that the frame header does not give"));
        }
        check_size(FORMAT, (width, height), count as u32)?;
        if count != 1 && count != 3 {
            return Err(unsupported(format!("{count} components")));
        }
        let (components, rest) = components.as_chunks::<3>();
        if components.len() != count || !rest.is_empty() {
            return Err(invalid(format!(
                "a frame header that does not list its {count} components"
            )));
        }
        if components.iter().any(|[_, sampling, _]| *sampling != 0x11) {
            return Err(unsupported("a subsampled component"));
        }
        let ids: Vec<u8> = components.iter().map(|[id, ..]| *id).collect();
        if count == 3 && (ids[0] == ids[1] || ids[1] == ids[2] || ids[0] == ids[2]) {
            return Err(invalid("components that share an identifier"));
        }
        Ok(Self {
            bits,
            width,
            height,
            ids,
        })
    }
}

/// The image as far as it is decoded.
struct Image {
    bits: u32,
    width: usize,
    height: usize,
    ids: Vec<u8>,
    /// Components whose scan is done.
    decoded: usize,
    pixels: Pixels,
}

enum Pixels {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Image {
    fn new(header: &Header) -> Result<Self, DecodeError> {
        let &Header {
            bits,
            width,
            height,
            ref ids,
        } = header;
        Ok(Self {
            bits,
            width: width as usize,
            height: height as usize,
            ids: ids.clone(),
            decoded: 0,
            pixels: if bits <= 8 {
                Pixels::Bytes(Vec::new())
            } else {
                Pixels::Words(Vec::new())
            },
        })
    }

    /// Puts line `y` of component `component` in its place. Memory grows with the lines that are there.
    fn put(&mut self, y: usize, component: usize, line: &[u16]) {
        let channels = self.ids.len();
        let place = y * self.width * channels;
        match &mut self.pixels {
            Pixels::Bytes(out) => put(out, place, channels, component, line, |value| value as u8),
            Pixels::Words(out) => put(out, place, channels, component, line, |value| value),
        }
    }

    /// Takes memory for the image at once where so many bytes of a scan may well hold it.
    fn reserve(&mut self, scan_bytes: usize) {
        let samples = self.width * self.height * self.ids.len();
        if samples / 64 <= scan_bytes {
            match &mut self.pixels {
                Pixels::Bytes(out) => out.reserve_exact(samples.saturating_sub(out.len())),
                Pixels::Words(out) => out.reserve_exact(samples.saturating_sub(out.len())),
            }
        }
    }

    fn into_frame(self) -> Result<Frame<'static>, DecodeError> {
        let samples = match self.pixels {
            Pixels::Bytes(values) => Samples::U8(Cow::Owned(values)),
            Pixels::Words(values) => Samples::U16(Cow::Owned(values)),
        };
        let size = (self.width as u32, self.height as u32);
        as_frame(FORMAT, size, self.ids.len() as u32, self.bits, samples)
    }
}

fn put<T: Copy + Default>(
    out: &mut Vec<T>,
    place: usize,
    channels: usize,
    component: usize,
    line: &[u16],
    narrow: impl Fn(u16) -> T,
) {
    if channels == 1 {
        out.extend(line.iter().map(|value| narrow(*value)));
        return;
    }
    let end = place + line.len() * channels;
    if out.len() < end {
        out.resize(end, T::default());
    }
    let pixels = out[place..end].chunks_exact_mut(channels);
    for (pixel, value) in pixels.zip(line) {
        pixel[component] = narrow(*value);
    }
}

/// How components of a scan take turns (T.87 C.2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interleave {
    Line,
    Sample,
}

/// A scan header.
struct Scan {
    /// Places of its components in the frame: one, or all.
    components: std::ops::Range<usize>,
    near: u8,
    interleave: Interleave,
}

impl Scan {
    fn parse(segment: &[u8], image: &Image) -> Result<Self, DecodeError> {
        let Some((&count, rest)) = segment.split_first() else {
            return Err(invalid("a scan header without its fields"));
        };
        let count = usize::from(count);
        let Some((components, &[near, interleave, transform])) = rest.split_at_checked(2 * count) else {
            return Err(invalid(format!(
                "a scan header that does not list its {count} components"
            )));
        };
        if transform != 0 {
            return Err(unsupported("a point transform"));
        }
        let components = components.as_chunks::<2>().0;
        if components.iter().any(|[_, table]| *table != 0) {
            return Err(unsupported("a mapping table"));
        }
        let next = image.decoded..image.decoded + count;
        if image.ids.get(next.clone()) != Some(&*components.iter().map(|[id, _]| *id).collect::<Vec<_>>()) {
            return Err(invalid("a scan of components other than the frame's next"));
        }
        let interleave = match (interleave, count) {
            (0, 1) | (1, 1 | 3) => Interleave::Line,
            (2, 1) => Interleave::Line,
            (2, 3) => Interleave::Sample,
            (0, _) => return Err(invalid(format!("{count} components that are not interleaved"))),
            (1 | 2, _) => return Err(unsupported(format!("a scan of {count} components"))),
            (mode, _) => return Err(invalid(format!("interleave mode {mode}; from 0 to 2"))),
        };
        Ok(Self {
            components: next,
            near,
            interleave,
        })
    }

    fn decode(self, data: &[u8], preset: Preset, image: &mut Image) -> Result<(), DecodeError> {
        let params = Params::new(image.bits, self.near, preset).map_err(invalid)?;
        // A line takes a bit at least.
        if 8 * data.len() < image.height {
            return Err(truncated(format!(
                "a scan of {} bytes for {} lines",
                data.len(),
                image.height
            )));
        }
        image.reserve(data.len());
        if params.is_simple() {
            self.lines::<true>(params, data, image)?;
        } else {
            self.lines::<false>(params, data, image)?;
        }
        image.decoded = self.components.end;
        Ok(())
    }

    fn lines<const LOSSLESS: bool>(
        &self,
        params: Params,
        data: &[u8],
        image: &mut Image,
    ) -> Result<(), DecodeError> {
        let mut coder = Coder::new(params);
        let mut bits = Bits::new(data);
        let empty = || [0; 3].map(|_| vec![0_u16; image.width + 2]);
        let (mut above, mut lines) = (empty(), empty());
        // Kept for each component where they take turns by line, else one for all.
        let mut orders = [0; 3];
        for y in 0..image.height {
            for (above, line) in above.iter_mut().zip(&mut lines) {
                edges(above, line);
            }
            let decoded = match self.interleave {
                Interleave::Sample => coder.pixels::<LOSSLESS>(&mut bits, &above, &mut lines, &mut orders[0]),
                Interleave::Line => (0..self.components.len()).try_for_each(|c| {
                    coder.line::<LOSSLESS>(&mut bits, &above[c], &mut lines[c], &mut orders[c])
                }),
            };
            match bits.check() {
                Err(Fault::End) => return Err(truncated(format!("in line {y} of {}", image.height))),
                Err(Fault::Overlong) => return Err(invalid(format!("a code beyond its limit in line {y}"))),
                Ok(()) => {}
            }
            decoded.map_err(|_| invalid(format!("a run beyond the end of line {y}")))?;
            for (component, line) in self.components.clone().zip(&lines) {
                image.put(y, component, &line[1..=image.width]);
            }
            std::mem::swap(&mut above, &mut lines);
        }
        let left = bits.left();
        if left >= 16 {
            return Err(invalid(format!("a scan with {left} bits behind its last line")));
        }
        Ok(())
    }
}

/// An LSE segment (T.87 C.2.4.1).
fn parse_preset(segment: &[u8]) -> Result<Preset, DecodeError> {
    match segment.split_first() {
        Some((1, values)) => {
            let (values, rest) = values.as_chunks::<2>();
            let values: Vec<u16> = values.iter().map(|value| u16::from_be_bytes(*value)).collect();
            match (&*values, rest) {
                (&[max, t1, t2, t3, reset], []) => Ok(Preset {
                    max,
                    thresholds: [t1, t2, t3],
                    reset,
                }),
                _ => Err(invalid("preset parameters (LSE) that are not five")),
            }
        }
        Some((2 | 3, _)) => Err(unsupported("a mapping table")),
        Some((4, _)) => Err(unsupported("a size set by an LSE segment")),
        Some((kind, _)) => Err(invalid(format!("an LSE segment of type {kind}; from 1 to 4"))),
        None => Err(invalid("an empty LSE segment")),
    }
}
