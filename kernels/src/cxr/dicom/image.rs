//! What the attributes say of the pixels, checked (Image Pixel module, PS3.3 C.7.6.3).

use super::{
    DicomError,
    error::{bad_value, unsupported},
    syntax::{Coding, Syntax},
    tags::*,
    values::{Set, shown},
};
use crate::cxr::{MAX_SAMPLES, MAX_SIDE};

/// The pixels of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub columns: u32,
    pub rows: u32,
    /// Frames the file says it has, at least 1.
    pub frames: u32,
    pub photometric: Photometric,
    /// 1 or 3.
    pub channels: u32,
    /// Whether the channels of native frames lie one after another.
    pub planar: bool,
    /// Bits of a word: 8 or 16.
    pub allocated: u32,
    /// Bits of a value, 1 to `allocated`.
    pub stored: u32,
    /// The value's highest bit.
    pub high_bit: u32,
    pub signed: bool,
}

/// PS3.3 C.7.6.3.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    Monochrome1,
    Monochrome2,
    Palette,
    Rgb,
    YbrFull,
    YbrFull422,
    /// A transform that JPEG 2000 undoes.
    YbrIct,
    /// Likewise, without loss.
    YbrRct,
}

impl Photometric {
    fn new(text: &str) -> Result<Self, DicomError> {
        Ok(match text {
            "MONOCHROME1" => Self::Monochrome1,
            "MONOCHROME2" => Self::Monochrome2,
            "PALETTE COLOR" => Self::Palette,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::YbrFull,
            "YBR_FULL_422" => Self::YbrFull422,
            "YBR_ICT" => Self::YbrIct,
            "YBR_RCT" => Self::YbrRct,
            other => return unsupported(format!("photometric interpretation {}", shown(other))),
        })
    }

    pub fn is_grey(self) -> bool {
        matches!(self, Self::Monochrome1 | Self::Monochrome2)
    }

    fn channels(self) -> u32 {
        match self {
            Self::Monochrome1 | Self::Monochrome2 | Self::Palette => 1,
            Self::Rgb | Self::YbrFull | Self::YbrFull422 | Self::YbrIct | Self::YbrRct => 3,
        }
    }
}

impl Image {
    /// Reads and checks the attributes of the pixels.
    pub fn new(set: &Set<'_>, syntax: &Syntax) -> Result<Self, DicomError> {
        let required = |tag| {
            let word = set.word(tag)?.map(u32::from);
            word.ok_or(DicomError::Missing {
                keyword: keyword(tag),
            })
        };
        let allocated = required(BITS_ALLOCATED)?;
        if !matches!(allocated, 8 | 16) {
            return unsupported(format!(
                "an image with {allocated} bits allocated (only 8 and 16 are read)"
            ));
        }
        let stored = required(BITS_STORED)?;
        if !(1..=allocated).contains(&stored) {
            let expected = format!("1 to {allocated}, the bits allocated");
            return Err(bad_value(BITS_STORED, stored, expected));
        }
        let high_bit = set.word(HIGH_BIT)?.map_or(stored - 1, u32::from);
        if !(stored - 1..allocated).contains(&high_bit) {
            let expected = format!("{} to {}", stored - 1, allocated - 1);
            return Err(bad_value(HIGH_BIT, high_bit, expected));
        }
        let compressed = !matches!(syntax.coding, Coding::Native | Coding::Encapsulated | Coding::Rle);
        if compressed && high_bit != stored - 1 {
            return unsupported(format!(
                "a compressed frame with high bit {high_bit} and {stored} bits stored"
            ));
        }
        let signed = match required(PIXEL_REPRESENTATION)? {
            0 => false,
            1 => true,
            other => return Err(bad_value(PIXEL_REPRESENTATION, other, "0 or 1")),
        };
        let Some(named) = set.code(PHOTOMETRIC_INTERPRETATION) else {
            let keyword = keyword(PHOTOMETRIC_INTERPRETATION);
            return Err(DicomError::Missing { keyword });
        };
        let photometric = Photometric::new(&named)?;
        let transformed = matches!(photometric, Photometric::YbrIct | Photometric::YbrRct);
        if transformed && syntax.coding != Coding::Jpeg2000 {
            return unsupported("YBR_ICT or YBR_RCT outside JPEG 2000");
        }
        if photometric == Photometric::YbrFull422 && allocated != 8 && !compressed {
            return unsupported("YBR_FULL_422 of 16 bits");
        }
        let channels = required(SAMPLES_PER_PIXEL)?;
        if channels != photometric.channels() {
            let expected = format!("{} for {named}", photometric.channels());
            return Err(bad_value(SAMPLES_PER_PIXEL, channels, expected));
        }
        let planar = match set.word(PLANAR_CONFIGURATION)? {
            None | Some(0) => false,
            Some(1) => channels > 1,
            Some(other) => return Err(bad_value(PLANAR_CONFIGURATION, other, "0 or 1")),
        };
        let image = Self {
            columns: required(COLUMNS)?,
            rows: required(ROWS)?,
            frames: frames(set)?,
            photometric,
            channels,
            planar,
            allocated,
            stored,
            high_bit,
            signed,
        };
        image.check_size()?;
        Ok(image)
    }

    fn check_size(&self) -> Result<(), DicomError> {
        for (tag, side) in [(ROWS, self.rows), (COLUMNS, self.columns)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(bad_value(tag, side, format!("1 to {MAX_SIDE}")));
            }
        }
        if self.samples() > MAX_SAMPLES {
            return Err(DicomError::TooLarge {
                what: format!(
                    "a frame of {} x {} pixels with {} channels has {} samples",
                    self.columns,
                    self.rows,
                    self.channels,
                    self.samples()
                ),
                most: MAX_SAMPLES,
            });
        }
        Ok(())
    }

    /// Samples of a frame, at most [`MAX_SAMPLES`].
    pub fn samples(&self) -> u64 {
        u64::from(self.columns) * u64::from(self.rows) * u64::from(self.channels)
    }

    /// Bytes of a frame that is not compressed.
    pub fn native_length(&self) -> usize {
        let samples = match self.photometric {
            // Two pixels share their colours (PS3.3 C.7.6.3.1.2).
            Photometric::YbrFull422 => self.samples() / 3 * 2,
            _ => self.samples(),
        };
        samples as usize * self.allocated as usize / 8
    }
}

/// How many frames there are; one where it is not said.
fn frames(set: &Set<'_>) -> Result<u32, DicomError> {
    let frames = set.integer(NUMBER_OF_FRAMES)?.unwrap_or(1);
    match u32::try_from(frames) {
        // As others read it.
        Ok(0) => Ok(1),
        Ok(frames) => Ok(frames),
        Err(_) => Err(bad_value(NUMBER_OF_FRAMES, frames, "0 to 4294967295")),
    }
}
