//! Which samples a new pixel is made of along one axis, in whole numbers.
//!
//! In: how samples lie along the axis, and the number of new pixels. Out: a [`Tap`] a new pixel, whose weights sum to
//! [`Axis::total`] exactly. Start at [`Axis::of`].

/// How samples lie along an axis of the full image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spacing {
    /// Number of samples, 1 to 16,384.
    pub samples: u32,
    /// Full pixels, 1 to 16,384.
    pub full: u32,
    /// Full pixels a sample stands for.
    pub step: u32,
    /// Where the first begins, in quarters of a full pixel; at most 0 and above `-step`.
    pub origin: i64,
}

/// Parts of a full pixel in which places are counted.
const PARTS: i64 = 4;

/// The most the weights of a new pixel sum to: 65,535 times it still fits 32 bits.
const LARGEST_TOTAL: i64 = 1 << 16;

/// Consecutive samples with their weights: the first's, the same for all in the middle, the last's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub start: u32,
    pub length: u32,
    pub first: u32,
    pub middle: u32,
    /// 0 if there is one sample.
    pub last: u32,
}

impl Tap {
    /// The weight of its nth sample.
    pub(super) fn weight(self, nth: usize) -> u32 {
        if nth == 0 {
            self.first
        } else if nth + 1 == self.length as usize {
            self.last
        } else {
            self.middle
        }
    }

    /// The weighted sum of its samples among `values`.
    #[inline(always)]
    pub(super) fn of(self, values: &[u32]) -> u64 {
        let values = &values[self.start as usize..][..self.length as usize];
        let product = |weight: u32, value: u32| u64::from(weight) * u64::from(value);
        match values {
            [] => 0,
            [one] => product(self.first, *one),
            [first, between @ .., last] => {
                let between: u64 = between.iter().map(|value| u64::from(*value)).sum();
                product(self.first, *first) + product(self.last, *last) + u64::from(self.middle) * between
            }
        }
    }
}

/// An axis of the new image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    pub taps: Vec<Tap>,
    /// What the weights of every tap sum to, at most 65,536.
    pub total: u32,
}

impl Axis {
    /// `new` pixels over the full image: area means where there are samples enough, otherwise interpolated.
    pub(super) fn of(spacing: Spacing, new: u32) -> Self {
        if new <= spacing.samples {
            Self::area(spacing, new)
        } else {
            Self::between_centres(spacing, new)
        }
    }

    /// Overlaps in units of `1/(new·parts)` full pixels. The outer samples stand for all up to the edge.
    fn area(spacing: Spacing, new: u32) -> Self {
        let parts = spacing.parts();
        let (samples, new) = (i64::from(spacing.samples), i64::from(new));
        let (full, step) = (i64::from(spacing.full) * parts, i64::from(spacing.step) * parts);
        let origin = spacing.origin * parts / PARTS;
        let begin = |sample: i64| {
            if sample == 0 {
                0
            } else {
                (origin + sample * step).min(full)
            }
        };
        let end = |sample: i64| {
            if sample == samples - 1 {
                full
            } else {
                (origin + (sample + 1) * step).min(full)
            }
        };
        let mut start = 0;
        let taps = (0..new).map(|pixel| {
            let (from, to) = (pixel * full, (pixel + 1) * full);
            let overlap =
                |sample| ((end(sample) * new).min(to) - (begin(sample) * new).max(from)).max(0) as u32;
            while end(start) * new <= from {
                start += 1;
            }
            let mut last = start;
            while end(last) * new < to {
                last += 1;
            }
            Tap {
                start: start as u32,
                length: (last - start + 1) as u32,
                first: overlap(start),
                middle: (step * new) as u32,
                last: if last > start { overlap(last) } else { 0 },
            }
        });
        Self {
            taps: taps.collect(),
            total: full as u32,
        }
    }

    /// The two nearest centres of samples; beyond the outer ones, those.
    fn between_centres(spacing: Spacing, new: u32) -> Self {
        let parts = spacing.parts();
        let (samples, new) = (i64::from(spacing.samples), i64::from(new));
        let (full, step) = (i64::from(spacing.full) * parts, i64::from(spacing.step) * parts);
        let origin = spacing.origin * parts / PARTS;
        // The centre of pixel p is at (p + 1/2)·full/new, that of sample s at origin + (s + 1/2)·step.
        let exact = 2 * new * step;
        let total = exact.min(LARGEST_TOTAL);
        let taps = (0..new).map(|pixel| {
            let place = (2 * pixel + 1) * full - 2 * new * origin - new * step;
            let place = place.clamp(0, (samples - 1) * exact);
            let after = ((place % exact) * total + exact / 2) / exact;
            Tap {
                start: (place / exact) as u32,
                length: if after > 0 { 2 } else { 1 },
                first: (total - after) as u32,
                middle: 0,
                last: after as u32,
            }
        });
        Self {
            taps: taps.collect(),
            total: total as u32,
        }
    }
}

impl Spacing {
    /// The fewest parts of a full pixel in which the origin is whole: 1, 2 or 4.
    fn parts(self) -> i64 {
        match self.origin % PARTS {
            0 => 1,
            2 | -2 => 2,
            _ => PARTS,
        }
    }
}
