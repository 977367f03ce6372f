//! Rows of samples to sums of their display values: the loops that see every sample.
//!
//! In: the words of a frame, a [`Tone`], the rows a new pixel is made of. Out: a weighted sum a column. Start at
//! [`Rows::sum`].

use super::{
    Colour, Frame,
    axis::Tap,
    tone::{Levels, Line, Steps, Tone},
};
use crate::simd::{Body, widest};

/// A stored word.
pub(super) trait Word: Copy {
    fn wide(self) -> u16;
}

impl Word for u8 {
    #[inline(always)]
    fn wide(self) -> u16 {
        u16::from(self)
    }
}

impl Word for u16 {
    #[inline(always)]
    fn wide(self) -> u16 {
        self
    }
}

/// Rows of a frame, as grey words.
pub(super) struct Rows<'a, W> {
    words: &'a [W],
    width: usize,
    channels: usize,
    kind: Kind,
    /// Of the frame's words.
    stored: Levels,
    tone: Tone,
    spare: &'a mut Vec<u16>,
}

/// How the words of pixels become grey ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They are.
    Grey,
    /// By taking the first of several channels.
    First,
    /// By taking the luma of the first three channels.
    Luma,
}

impl<'a, W: Word> Rows<'a, W> {
    pub(super) fn of(words: &'a [W], frame: &Frame<'_>, steps: &Steps<'_>, spare: &'a mut Vec<u16>) -> Self {
        let kind = match (steps.colour(), frame.channels) {
            (_, 1) => Kind::Grey,
            (Colour::AsIs, 3 | 4) => Kind::Luma,
            (Colour::AsIs | Colour::Ybr | Colour::Palette { .. }, _) => Kind::First,
        };
        Self {
            words,
            width: frame.width as usize,
            channels: frame.channels as usize,
            kind,
            stored: steps.levels,
            tone: Tone::black(),
            spare,
        }
    }

    /// Sets what levels look like; until then they are black.
    pub(super) fn tone(&mut self, tone: Tone) {
        self.tone = tone;
    }

    /// How often each level occurs.
    pub(super) fn count(&mut self) -> Vec<u32> {
        let mut counts = vec![0; self.stored.count()];
        let (kind, stored) = (self.kind, self.stored);
        for row in self.words.chunks_exact(self.width * self.channels) {
            if kind == Kind::Grey {
                count(row, stored, &mut counts);
            } else {
                let made = grey(row, self.channels, kind, stored, self.spare);
                count(self.spare, made, &mut counts);
            }
        }
        counts
    }

    /// `sums[x] = Σ_y weight_y · tone(row y, x)`
    pub(super) fn sum(&mut self, tap: Tap, sums: &mut [u32]) {
        let length = self.width * self.channels;
        let rows = &self.words[tap.start as usize * length..][..tap.length as usize * length];
        sums.fill(0);
        for (nth, row) in rows.chunks_exact(length).enumerate() {
            let weight = tap.weight(nth);
            if self.kind == Kind::Grey {
                add(row, self.stored, &self.tone, weight, sums);
            } else {
                let made = grey(row, self.channels, self.kind, self.stored, self.spare);
                add(self.spare, made, &self.tone, weight, sums);
            }
        }
    }
}

/// Grey words of a row of colours, and where their levels are.
fn grey<W: Word>(row: &[W], channels: usize, kind: Kind, stored: Levels, out: &mut Vec<u16>) -> Levels {
    out.clear();
    let pixels = row.chunks_exact(channels);
    match kind {
        Kind::Grey | Kind::First => {
            out.extend(pixels.map(|pixel| pixel[0].wide()));
            stored
        }
        Kind::Luma => {
            let level = |word: W| u32::from(stored.level(word.wide()));
            out.extend(pixels.map(|pixel| luma([level(pixel[0]), level(pixel[1]), level(pixel[2])])));
            Levels::plain()
        }
    }
}

/// ITU-R BT.601-2 in 16-bit fixed point, rounded: Pillow's `L24`. The weights sum to 65,536, and 65,535 times that and the
/// half still fits 32 bits.
fn luma(rgb: [u32; 3]) -> u16 {
    ((rgb[0] * 19_595 + rgb[1] * 38_470 + rgb[2] * 7_471 + 0x8000) >> 16) as u16
}

fn count<W: Word>(row: &[W], levels: Levels, counts: &mut [u32]) {
    for word in row {
        counts[usize::from(levels.level(word.wide()))] += 1;
    }
}

/// `sums[x] += weight · tone(row[x])`
fn add<W: Word>(row: &[W], levels: Levels, tone: &Tone, weight: u32, sums: &mut [u32]) {
    match tone {
        Tone::Line(line) => widest(AddLine {
            row,
            levels,
            line: *line,
            weight,
            sums,
        }),
        Tone::Table(table) => {
            for (sum, word) in sums.iter_mut().zip(row) {
                *sum += weight * u32::from(table[usize::from(levels.level(word.wide()))]);
            }
        }
    }
}

struct AddLine<'a, W> {
    row: &'a [W],
    levels: Levels,
    line: Line,
    weight: u32,
    sums: &'a mut [u32],
}

impl<W: Word> Body for AddLine<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (sum, word) in self.sums.iter_mut().zip(self.row) {
            *sum += self.weight * self.line.shown(self.levels.level(word.wide()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxr::{Meaning, Voi, VoiFunction};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_sums(
            words in prop::collection::vec(any::<u16>(), 0..300), centre in 0.0..65_536.0, width in 4.0..90_000.0,
            weight in 1_u32..200, before in 0_u32..1_000_000,
        ) {
            let meaning = Meaning {
                voi: Voi::Window { centre, width, function: VoiFunction::Linear },
                padding: Some((100, 900)),
                ..Meaning::picture(16)
            };
            let steps = Steps::of(&meaning, 1).unwrap();
            let Tone::Line(line) = steps.tone(None) else { panic!("a line") };
            let mut wide = vec![before; words.len()];
            let mut plain = wide.clone();
            let (row, levels) = (words.as_slice(), steps.levels);
            widest(AddLine { row, levels, line, weight, sums: &mut wide });
            AddLine { row, levels, line, weight, sums: &mut plain }.run();
            prop_assert_eq!(&wide, &plain);
            let one_by_one: Vec<u32> =
                words.iter().map(|word| before + weight * line.shown(levels.level(*word))).collect();
            prop_assert_eq!(wide, one_by_one);
        }
    }
}
