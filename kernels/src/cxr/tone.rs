//! What a stored word looks like: black, white or between, as one function of its value.
//!
//! In: a [`Meaning`] and, for percentiles, how often each level occurs. Out: a [`Tone`], from level to 0 (black) to
//! 65,535 (white). A *level* is a stored value counted from the lowest that can be stored, so it is never negative.
//! Start at [`Steps::of`], then [`Steps::tone`].

use super::{Colour, ImageError, Lut, Meaning, Modality, Stored, Voi, VoiFunction};

/// White.
pub(super) const WHITE: u16 = u16::MAX;

/// Levels a word can have at most.
const LEVELS: usize = 1 << 16;

/// The least levels a window spans for [`Line`]: a narrower one is a table, which knows steps.
const LEAST_SPAN: f64 = 2.0;

/// From a stored word to its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Levels {
    shift: u32,
    mask: u16,
    /// The sign bit: two's complements in order of value, from the lowest on, are those with it flipped.
    flip: u16,
}

impl Levels {
    fn of(stored: Stored) -> Result<Self, ImageError> {
        let Stored {
            allocated,
            bits,
            high_bit,
            signed,
        } = stored;
        if !matches!(allocated, 8 | 16) || !(1..=allocated).contains(&bits) {
            return Err(refused(format!(
                "{bits} bits stored in words of {allocated}; expected 1 to 8 of 8, or 1 to 16 of 16"
            )));
        }
        if !(bits - 1..allocated).contains(&high_bit) {
            return Err(refused(format!(
                "{bits} bits up to bit {high_bit} of words of {allocated}; expected bit {} to {}",
                bits - 1,
                allocated - 1
            )));
        }
        Ok(Self {
            shift: high_bit + 1 - bits,
            mask: u16::MAX >> (16 - bits),
            flip: if signed { 1 << (bits - 1) } else { 0 },
        })
    }

    /// Of words that are levels already.
    pub(super) fn plain() -> Self {
        Self {
            shift: 0,
            mask: u16::MAX,
            flip: 0,
        }
    }

    #[inline(always)]
    pub(super) fn level(self, word: u16) -> u16 {
        ((word >> self.shift) & self.mask) ^ self.flip
    }

    fn value(self, level: u16) -> i32 {
        i32::from(level) - i32::from(self.flip)
    }

    /// Levels there are.
    pub(super) fn count(self) -> usize {
        usize::from(self.mask) + 1
    }

    /// First and last level of the values from `one` to `other`, if there are any.
    fn between(self, (one, other): (i32, i32)) -> Option<(u16, u16)> {
        let level = |value: i32| i64::from(value) + i64::from(self.flip);
        let first = level(one.min(other)).max(0);
        let last = level(one.max(other)).min(i64::from(self.mask));
        (first <= last).then_some((first as u16, last as u16))
    }
}

/// The steps from level to display, checked.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    meaning: &'a Meaning,
    pub(super) levels: Levels,
    /// First and last level that mean no image.
    pub(super) padding: Option<(u16, u16)>,
}

impl<'a> Steps<'a> {
    /// Of a frame with `channels`.
    ///
    /// # Errors
    /// [`ImageError::Meaning`] for what no pixel can mean
    pub(super) fn of(meaning: &'a Meaning, channels: u32) -> Result<Self, ImageError> {
        let Meaning {
            colour,
            stored,
            modality,
            voi,
            inverted: _,
            padding,
            aspect: _,
        } = meaning;
        let levels = Levels::of(*stored)?;
        let mixed = match colour {
            Colour::AsIs => channels >= 3,
            Colour::Ybr => true,
            Colour::Palette { first: _, luma } if luma.is_empty() => {
                return Err(refused("a palette without entries".to_owned()));
            }
            Colour::Palette { .. } if channels != 1 => {
                return Err(refused(format!(
                    "a palette over {channels} channels; expected one"
                )));
            }
            Colour::Palette { .. } => false,
        };
        if mixed && stored.signed {
            return Err(refused("signed colours; expected unsigned".to_owned()));
        }
        match modality {
            Modality::Linear { slope, intercept }
                if !slope.is_finite() || *slope == 0.0 || !intercept.is_finite() =>
            {
                return Err(refused(format!(
                    "a rescale slope of {slope} and intercept of {intercept}; expected numbers, the slope not 0"
                )));
            }
            Modality::Lut(lut) => check(lut, "modality")?,
            Modality::Identity | Modality::Linear { .. } => {}
        }
        match voi {
            Voi::Window {
                centre,
                width,
                function,
            } => {
                let least = if *function == VoiFunction::Linear {
                    1.0
                } else {
                    f64::MIN_POSITIVE
                };
                if !centre.is_finite() || !width.is_finite() || *width < least {
                    return Err(refused(format!(
                        "a window with centre {centre} and width {width}; expected numbers, the width at least 1 for \
                         LINEAR and above 0 for others"
                    )));
                }
            }
            Voi::Lut(lut) => check(lut, "VOI")?,
            Voi::Percentiles { low, high } => {
                if !(0.0 <= *low && low < high && *high <= 100.0) {
                    return Err(refused(format!(
                        "percentiles {low} to {high}; expected 0 to 100, the second the larger"
                    )));
                }
            }
            Voi::Full => {}
        }
        Ok(Self {
            meaning,
            levels,
            padding: if mixed {
                None
            } else {
                padding.and_then(|range| levels.between(range))
            },
        })
    }

    pub(super) fn colour(&self) -> &Colour {
        &self.meaning.colour
    }

    /// The value of the modality a level stands for.
    fn modality(&self, level: u16) -> f64 {
        let stored = self.levels.value(level);
        let value = match &self.meaning.colour {
            Colour::AsIs | Colour::Ybr => stored,
            Colour::Palette { first, luma } => i32::from(nearest(luma, *first, stored)),
        };
        match &self.meaning.modality {
            Modality::Identity => f64::from(value),
            Modality::Linear { slope, intercept } => slope * f64::from(value) + intercept,
            Modality::Lut(lut) => f64::from(nearest(&lut.values, lut.first, value)),
        }
    }

    /// The lowest and highest value the modality can have.
    fn range(&self) -> (f64, f64) {
        let last = self.levels.mask;
        let stored = match &self.meaning.colour {
            Colour::AsIs | Colour::Ybr => (self.levels.value(0), self.levels.value(last)),
            Colour::Palette { .. } => (0, i32::from(u16::MAX)),
        };
        match &self.meaning.modality {
            Modality::Identity => (f64::from(stored.0), f64::from(stored.1)),
            Modality::Linear { slope, intercept } => {
                let ends = [stored.0, stored.1].map(|value| slope * f64::from(value) + intercept);
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
            Modality::Lut(lut) => (0.0, largest(lut)),
        }
    }

    /// Whether [`Steps::tone`] needs the percentiles of a frame, and which.
    pub(super) fn asks_percentiles(&self) -> Option<(f64, f64)> {
        match self.meaning.voi {
            Voi::Percentiles { low, high } => Some((low, high)),
            Voi::Full | Voi::Window { .. } | Voi::Lut(_) => None,
        }
    }

    /// The values of the modality at two percentiles, of levels counted by `counts`, padding left out; nothing if all
    /// is padding.
    ///
    /// Between two values the percentile is interpolated: percentile p of n sorted values is at place `p/100·(n − 1)`.
    pub(super) fn percentiles(&self, counts: &[u32], (low, high): (f64, f64)) -> Option<(f64, f64)> {
        let padded = |level: u16| {
            self.padding
                .is_some_and(|(first, last)| (first..=last).contains(&level))
        };
        let mut found: Vec<(f64, u64)> = (0..=self.levels.mask)
            .zip(counts)
            .filter(|(level, count)| **count > 0 && !padded(*level))
            .map(|(level, count)| (self.modality(level), u64::from(*count)))
            .collect();
        // Slopes may be negative, and tables in any order.
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: u64 = found.iter().map(|(_, count)| count).sum();
        let at = |place: u64| {
            let mut before = 0;
            found
                .iter()
                .find(|(_, count)| {
                    before += count;
                    place < before
                })
                .map(|(value, _)| *value)
        };
        let percentile = |percent: f64| {
            let place = percent / 100.0 * all.checked_sub(1)? as f64;
            let (below, above) = (at(place as u64)?, at((place.ceil() as u64).min(all - 1))?);
            Some(below + (above - below) * place.fract())
        };
        Some((percentile(low)?, percentile(high)?))
    }

    /// The display of every level; `window` is what [`Steps::percentiles`] gave, where they are asked.
    pub(super) fn tone(&self, window: Option<(f64, f64)>) -> Tone {
        match self.line(window) {
            Some(line) => Tone::Line(line),
            None => Tone::Table(self.table(window)),
        }
    }

    /// As arithmetic, where modality and window are linear and the window is not a step.
    fn line(&self, window: Option<(f64, f64)>) -> Option<Line> {
        let (slope, intercept) = match (&self.meaning.colour, &self.meaning.modality) {
            (Colour::AsIs | Colour::Ybr, Modality::Identity) => (1.0, 0.0),
            (Colour::AsIs | Colour::Ybr, Modality::Linear { slope, intercept }) => (*slope, *intercept),
            (Colour::Palette { .. }, _) | (_, Modality::Lut(_)) => return None,
        };
        let (centre, width) = match self.meaning.voi {
            Voi::Full => middle(self.range()),
            Voi::Percentiles { .. } => middle(window?),
            Voi::Window {
                centre,
                width,
                function: VoiFunction::Linear,
            } => (centre - 0.5, width - 1.0),
            Voi::Window {
                centre,
                width,
                function: VoiFunction::LinearExact,
            } => (centre, width),
            Voi::Window { .. } | Voi::Lut(_) => return None,
        };
        // The same window over levels.
        let middle = (centre - intercept) / slope + f64::from(self.levels.flip);
        let span = width / slope;
        (span.is_finite() && span.abs() >= LEAST_SPAN && middle.is_finite()).then(|| {
            let span = if self.meaning.inverted { -span } else { span };
            let pivot = middle.round().clamp(0.0, f64::from(WHITE));
            let white = f64::from(WHITE);
            Line {
                pivot: pivot as f32,
                gain: (white / span) as f32,
                offset: (white * ((pivot - middle) / span + 0.5)).clamp(-1e12, 1e12) as f32,
                padding: Padding::of(self.padding),
            }
        })
    }

    fn table(&self, window: Option<(f64, f64)>) -> Box<[u16; LEVELS]> {
        let mut table: Box<[u16; LEVELS]> = vec![0; LEVELS]
            .into_boxed_slice()
            .try_into()
            .expect("as many entries as were asked for");
        for (level, entry) in (0..=self.levels.mask).zip(table.iter_mut()) {
            *entry = (self.display(level, window) * f64::from(WHITE) + 0.5) as u16;
        }
        table
    }

    /// From level to 0 (black) to 1 (white): the definition.
    pub(super) fn display(&self, level: u16, window: Option<(f64, f64)>) -> f64 {
        if self
            .padding
            .is_some_and(|(first, last)| (first..=last).contains(&level))
        {
            return 0.0;
        }
        let value = self.modality(level);
        let shown = match &self.meaning.voi {
            Voi::Full => between(value, self.range()),
            Voi::Percentiles { .. } => window.map_or(0.0, |window| between(value, window)),
            Voi::Window {
                centre,
                width,
                function,
            } => match function {
                VoiFunction::Linear => linear(value, *centre, *width),
                VoiFunction::LinearExact => linear_exact(value, *centre, *width),
                VoiFunction::Sigmoid => sigmoid(value, *centre, *width),
            },
            Voi::Lut(lut) => {
                // Beyond an i32 the cast saturates, as the table does.
                let input = (value + 0.5).floor() as i32;
                (f64::from(nearest(&lut.values, lut.first, input)) / largest(lut)).min(1.0)
            }
        };
        if self.meaning.inverted { 1.0 - shown } else { shown }
    }
}

/// PS3.3 C.11.2.1.2.1, from 0 to 1.
fn linear(x: f64, centre: f64, width: f64) -> f64 {
    let half = (width - 1.0) / 2.0;
    if x <= centre - 0.5 - half {
        0.0
    } else if x > centre - 0.5 + half {
        1.0
    } else {
        (x - (centre - 0.5)) / (width - 1.0) + 0.5
    }
}

/// PS3.3 C.11.2.1.3.2, from 0 to 1.
fn linear_exact(x: f64, centre: f64, width: f64) -> f64 {
    if x <= centre - width / 2.0 {
        0.0
    } else if x > centre + width / 2.0 {
        1.0
    } else {
        (x - centre) / width + 0.5
    }
}

/// PS3.3 C.11.2.1.3.1, from 0 to 1.
fn sigmoid(x: f64, centre: f64, width: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-4.0 * (x - centre) / width))
}

/// How far `x` is from the first value to the second, 0 to 1; 0 up to the first, also where both are the same.
fn between(x: f64, (low, high): (f64, f64)) -> f64 {
    if x <= low {
        0.0
    } else if x >= high {
        1.0
    } else {
        (x - low) / (high - low)
    }
}

fn middle((low, high): (f64, f64)) -> (f64, f64) {
    (low + (high - low) / 2.0, high - low)
}

fn nearest(values: &[u16], first: i32, input: i32) -> u16 {
    let place = (i64::from(input) - i64::from(first)).clamp(0, values.len() as i64 - 1);
    values[place as usize]
}

/// The largest value the bits of a table's entries hold.
fn largest(lut: &Lut) -> f64 {
    f64::from((1_u32 << lut.bits) - 1)
}

fn check(lut: &Lut, name: &str) -> Result<(), ImageError> {
    let Lut {
        first: _,
        values,
        bits,
    } = lut;
    if (1..=LEVELS).contains(&values.len()) && (1..=16).contains(bits) {
        Ok(())
    } else {
        Err(refused(format!(
            "a {name} table with {} entries of {bits} bits; expected 1 to 65536 of 1 to 16",
            values.len()
        )))
    }
}

pub(super) fn refused(what: String) -> ImageError {
    ImageError::Meaning { what }
}

/// From level to display.
#[derive(Debug)]
pub(super) enum Tone {
    /// By arithmetic.
    Line(Line),
    /// By looking it up.
    Table(Box<[u16; LEVELS]>),
}

/// `(level − pivot)·gain + offset`, clamped, rounded; black where there is no image.
///
/// The pivot is a whole number near the window's centre, so the difference is exact in `f32` and no digits of narrow
/// windows far from 0 are lost: the result is within 0.51 of the real number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pivot: f32,
    gain: f32,
    offset: f32,
    padding: Padding,
}

impl Tone {
    /// All black.
    pub(super) fn black() -> Self {
        Tone::Line(Line {
            pivot: 0.0,
            gain: 0.0,
            offset: 0.0,
            padding: Padding::of(None),
        })
    }
}

/// Levels that are shown black, as one comparison.
#[derive(Debug, Clone, Copy)]
struct Padding {
    first: u32,
    more: u32,
}

impl Padding {
    fn of(range: Option<(u16, u16)>) -> Self {
        match range {
            Some((first, last)) => Self {
                first: u32::from(first),
                more: u32::from(last - first),
            },
            // No level is that high.
            None => Self {
                first: u32::MAX,
                more: 0,
            },
        }
    }
}

/// Adding it rounds a number from 0 to 2²³ to the nearest whole one, held in the lowest bits.
const ROUNDING: f32 = 8_388_608.0;

impl Line {
    #[inline(always)]
    pub(super) fn shown(&self, level: u16) -> u32 {
        let value = (f32::from(level) - self.pivot) * self.gain + self.offset;
        // Written so that each is one instruction: `f32::max` asks for NaN, of which there are none.
        let value = if value > 0.0 { value } else { 0.0 };
        let value = if value < 65_535.0 { value } else { 65_535.0 };
        let value = (value + ROUNDING).to_bits() & 0xffff;
        if u32::from(level).wrapping_sub(self.padding.first) <= self.padding.more {
            0
        } else {
            value
        }
    }
}
