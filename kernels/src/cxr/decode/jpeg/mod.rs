//! JPEG (ITU-T T.81): lossless, baseline and extended sequential, with Huffman codes.
//!
//! In: the bytes of one image. Out: [`Decoded`]. Start at [`decode`]. Samples are given as they are coded: no colour is
//! transformed.

mod bits;
mod cpu;
mod dct;
mod header;
mod huffman;
mod idct;
mod lossless;
mod progressive;
#[cfg(test)]
mod tests;

use self::header::{Header, Markers, Process};
use super::{DecodeError, as_frame};
use crate::cxr::{Frame, Wanted};

const FORMAT: &str = "JPEG";

/// An image, and what its stream says of its colours.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The samples: 1 or 3 channels.
    pub frame: Frame<'static>,
    /// What three channels are. A data set that says otherwise, as DICOM's may, knows better; but progressive images are
    /// always given as RGB.
    pub transform: Transform,
}

/// The colour transform that a stream names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Nothing: neither JFIF nor Adobe's marker, and components called neither `R`, `G`, `B`. Pictures are then YCbCr.
    Unsaid,
    /// None: grey, or RGB.
    None,
    /// YCbCr of full range (T.871), the first channel the luma.
    Ybr,
}

/// Decodes an image.
///
/// # Shapes
/// - `bytes`: one image, from its start marker; what follows its last scan is ignored
/// - returns 1 or 3 channels of 2 to 16 bits at full resolution; channels stored smaller are repeated to it
/// - [`Wanted::AtLeast`]: the frame is an eighth or a quarter of each side, rounded up, where that is enough and the
///   process is sequential: a sample is then the mean of 8 by 8 or 4 by 4, what fills up blocks at the edges included
/// # Numerics
/// Lossless: exact; a value that needs more than the stream's bits keeps the lower ones. Sequential: the accurate integer
/// inverse DCT that is common to decoders (`islow`), bit for bit; an eighth or a quarter: the mean before values are cut
/// off at the ends of the range, rounded to nearest, halves up (a quarter: in fixed point). The same bits on every processor.
/// # Errors
/// `Truncated` if the image ends early; `Invalid` if the stream breaks the format; `Unsupported` for arithmetic coding,
/// the hierarchical mode and images of 2 or 4 channels; `TooLarge` beyond [`MAX_SIDE`](crate::cxr::MAX_SIDE) or
/// [`MAX_SAMPLES`](crate::cxr::MAX_SAMPLES). Memory is taken only for as many samples as the bytes can hold.
/// # Source
/// ITU-T T.81; transforms after Loeffler, Ligtenberg and Moschytz 1989
pub fn decode(bytes: &[u8], wanted: Wanted) -> Result<Decoded, DecodeError> {
    let mut markers = Markers::new(bytes)?;
    let first = markers.next_scan()?;
    let (Some(scan), Some(header)) = (first, markers.header.clone()) else {
        return invalid("an end of image before its first scan".to_owned());
    };
    plausible(&header, markers.rest.len())?;
    let transform = markers.transform(&header);
    match header.process {
        Process::Progressive => progressive::decode(bytes, &header, markers.rest),
        Process::Lossless => {
            lossless::decode(&header, markers, scan).map(|frame| Decoded { frame, transform })
        }
        Process::Sequential => {
            dct::decode(&header, markers, scan, wanted).map(|frame| Decoded { frame, transform })
        }
    }
}

/// What a stream says of its colours; read up to its first scan.
///
/// # Errors
/// As [`decode`], of the markers before the first scan
pub fn transform(bytes: &[u8]) -> Result<Transform, DecodeError> {
    let mut markers = Markers::new(bytes)?;
    markers.next_scan()?;
    match &markers.header {
        Some(header) => Ok(markers.transform(header)),
        None => invalid("an end of image before its first scan".to_owned()),
    }
}

/// Refuses an image for which there are fewer bits than any coding of it takes.
fn plausible(header: &Header, bytes: usize) -> Result<(), DecodeError> {
    let most = header.most_sampling();
    let bits: u64 = header
        .components
        .iter()
        .map(|component| {
            let (width, height) = header.component_size(component, most);
            let blocks = u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8));
            match header.process {
                Process::Lossless => u64::from(width) * u64::from(height),
                // A DC difference and an end of block.
                Process::Sequential => 2 * blocks,
                // Scans of AC coefficients can be left out.
                Process::Progressive => blocks,
            }
        })
        .sum();
    if bits > 8 * bytes as u64 {
        let Header { width, height, .. } = header;
        return Err(cut_short(format!(
            "before its first scan's end: {bytes} bytes left for {width} x {height} pixels"
        )));
    }
    Ok(())
}

/// The scans must have all components, each once; this says which there were.
#[derive(Default)]
struct Seen(Vec<usize>);

impl Seen {
    fn add(&mut self, index: usize) -> Result<(), DecodeError> {
        if self.0.contains(&index) {
            return invalid(format!("a second scan of component {}", index + 1));
        }
        self.0.push(index);
        Ok(())
    }

    fn all(&self, header: &Header) -> bool {
        self.0.len() == header.components.len()
    }
}

fn cut_short(at: String) -> DecodeError {
    DecodeError::Truncated { format: FORMAT, at }
}

fn invalid<T>(what: String) -> Result<T, DecodeError> {
    Err(DecodeError::Invalid { format: FORMAT, what })
}

fn unsupported<T>(what: &str) -> Result<T, DecodeError> {
    Err(DecodeError::Unsupported {
        format: FORMAT,
        what: what.to_owned(),
    })
}
