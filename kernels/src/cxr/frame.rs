//! A decoded frame: what decoders make and rendering reads.

use std::borrow::Cow;

use super::ImageError;

/// The largest width or height accepted, in pixels: four times that of any X-ray detector.
pub const MAX_SIDE: u32 = 16_384;

/// The most pixels of a frame, all channels together: no decoder takes memory for more.
pub const MAX_SAMPLES: u64 = 1 << 27;

/// Stored values, row by row, channels of a pixel side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples<'a> {
    /// Up to 8 bits.
    U8(Cow<'a, [u8]>),
    /// Up to 16 bits; signed values are their two's complement.
    U16(Cow<'a, [u16]>),
}

impl Samples<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Samples::U8(values) => values.len(),
            Samples::U16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How samples of a frame lie in the full image.
///
/// Sample `i` of an axis stands for the full pixels from `origin + i·step` to `origin + (i + 1)·step`; parts beyond the
/// image count for nothing. A frame of full resolution has step 1 and origin 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Width of the full image in pixels.
    pub full_width: u32,
    /// Height of the full image in pixels.
    pub full_height: u32,
    /// Full pixels a sample stands for, along each axis.
    pub step: u32,
    /// Where the first sample begins, in full pixels; at most 0 and above `-step`.
    pub origin: f32,
}

/// One frame of an image as stored, before its values mean anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<'a> {
    /// Samples of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Values of a pixel: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha).
    pub channels: u32,
    /// Bits of a value that mean something, 1 to 16.
    pub bits: u32,
    /// The values, `width · height · channels`.
    pub samples: Samples<'a>,
    /// How they lie in the full image.
    pub grid: Grid,
}

impl<'a> Frame<'a> {
    /// A frame of full resolution.
    ///
    /// # Errors
    /// [`ImageError::Frame`] if the number of samples is not that of the size, or a side, the channels or the bits are
    /// out of range
    pub fn new(
        (width, height): (u32, u32),
        channels: u32,
        bits: u32,
        samples: Samples<'a>,
    ) -> Result<Self, ImageError> {
        let grid = Grid {
            full_width: width,
            full_height: height,
            step: 1,
            origin: 0.0,
        };
        let frame = Self {
            width,
            height,
            channels,
            bits,
            samples,
            grid,
        };
        frame.check()?;
        Ok(frame)
    }

    /// The frame with samples of its own.
    pub fn into_owned(self) -> Frame<'static> {
        let samples = match self.samples {
            Samples::U8(values) => Samples::U8(Cow::Owned(values.into_owned())),
            Samples::U16(values) => Samples::U16(Cow::Owned(values.into_owned())),
        };
        Frame { samples, ..self }
    }

    /// Checks what every reader of a frame relies on.
    ///
    /// # Errors
    /// [`ImageError::Frame`], as [`Frame::new`]
    pub fn check(&self) -> Result<(), ImageError> {
        let most = match self.samples {
            Samples::U8(_) => 8,
            Samples::U16(_) => 16,
        };
        let expected = u64::from(self.width) * u64::from(self.height) * u64::from(self.channels);
        let sides = [
            self.width,
            self.height,
            self.grid.full_width,
            self.grid.full_height,
        ];
        let whole = sides.iter().all(|side| (1..=MAX_SIDE).contains(side))
            && (1..=4).contains(&self.channels)
            && (1..=most).contains(&self.bits)
            && self.grid.step >= 1
            && expected <= MAX_SAMPLES
            && self.samples.len() as u64 == expected;
        if whole {
            Ok(())
        } else {
            Err(ImageError::Frame {
                width: self.width,
                height: self.height,
                channels: self.channels,
                bits: self.bits,
                samples: self.samples.len(),
            })
        }
    }
}

/// What a caller needs of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Every pixel.
    Full,
    /// At least so many samples along each axis: a decoder that is faster at a lower resolution may take one.
    AtLeast(u32),
}
