//! A prepared image: a square of grey values, and the memory it is made in.

use std::{borrow::Cow, marker::PhantomData};

use super::{Depth, Target};

/// A square of grey values, reused from image to image.
#[derive(Debug, Clone, Default)]
pub struct Square {
    size: u32,
    pixels: Pixels,
    pub(super) sums: Vec<u32>,
    pub(super) words: Vec<u16>,
}

/// Grey values, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// 0 (black) to 255.
    U8(Vec<u8>),
    /// 0 (black) to 65,535.
    U16(Vec<u16>),
}

impl Default for Pixels {
    fn default() -> Self {
        Pixels::U8(Vec::new())
    }
}

impl Square {
    /// One without pixels.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of given pixels, such as those of a shard; nothing unless there are `size` × `size`.
    pub fn of(size: u32, pixels: Pixels) -> Option<Self> {
        let found = match &pixels {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len(),
        };
        (found as u64 == u64::from(size) * u64::from(size)).then(|| Self {
            size,
            pixels,
            ..Self::default()
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The grey values.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The grey values as bytes; those of 16 bits are little-endian.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.pixels {
            Pixels::U8(values) => Cow::Borrowed(values),
            Pixels::U16(values) => Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    }

    /// Black pixels of a target, and memory for sums and words, whatever they hold.
    pub(super) fn begin(&mut self, target: Target) -> (&mut Pixels, &mut Vec<u32>, &mut Vec<u16>) {
        let Target { size, depth, fit: _ } = target;
        let length = size as usize * size as usize;
        self.size = size;
        match (&mut self.pixels, depth) {
            (Pixels::U8(values), Depth::U8) => {
                values.clear();
                values.resize(length, 0);
            }
            (Pixels::U16(values), Depth::U16) => {
                values.clear();
                values.resize(length, 0);
            }
            (pixels, Depth::U8) => *pixels = Pixels::U8(vec![0; length]),
            (pixels, Depth::U16) => *pixels = Pixels::U16(vec![0; length]),
        }
        (&mut self.pixels, &mut self.sums, &mut self.words)
    }
}

/// A grey value of a square.
pub(super) trait Pixel: Copy + Ord {
    const BLACK: Self;
    const WHITE: Self;
    /// Levels of 16 bits to one of these.
    const SCALE: u64;

    /// Of a number that is in range.
    fn narrow(value: u64) -> Self;
}

impl Pixel for u8 {
    const BLACK: Self = 0;
    const WHITE: Self = 255;
    const SCALE: u64 = 257;

    fn narrow(value: u64) -> Self {
        value as u8
    }
}

impl Pixel for u16 {
    const BLACK: Self = 0;
    const WHITE: Self = 65_535;
    const SCALE: u64 = 1;

    fn narrow(value: u64) -> Self {
        value as u16
    }
}

/// Divides weighted sums, rounding half up.
pub(super) struct Mean<P> {
    divisor: u64,
    pixel: PhantomData<P>,
}

impl<P: Pixel> Mean<P> {
    /// Of sums whose weights are the products of two totals.
    pub(super) fn of(rows: u32, columns: u32) -> Self {
        Self {
            divisor: u64::from(rows) * u64::from(columns) * P::SCALE,
            pixel: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn of_sum(&self, sum: u64) -> P {
        P::narrow((sum + self.divisor / 2) / self.divisor)
    }
}
