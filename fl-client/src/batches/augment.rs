//! Augmentation: a training image varied, by draws that depend on seed, epoch and sample alone.
//!
//! In: an [`Augment`] and grey values in 0..1. Out: other grey values in 0..1. Start at [`Draw::new`], then
//! [`Draw::apply`]. Cutting out, turning and flipping are one bilinear resampling, so an image is smoothed once.

use contract::{ids::Seed, recipe::Augment};
use kernels::random::Random;

/// How images are varied in one epoch.
#[derive(Debug, Clone, Copy)]
pub struct Variation<'a> {
    /// Within which bounds.
    pub augment: &'a Augment,
    /// The job's seed.
    pub seed: Seed,
    /// The epoch, counted from 1.
    pub epoch: u32,
}

impl Variation<'_> {
    /// How the sample at this place is varied.
    pub fn of(&self, sample: usize) -> Draw {
        let purpose = format!("augment epoch {} sample {sample}", self.epoch);
        Draw::new(self.augment, &mut Random::new(self.seed.derive(&purpose).0))
    }
}

/// How one image is varied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The side of the square cut out, as a share of the image's.
    pub side: f64,
    /// Where the square lies between the left edge (0) and the right (1).
    pub x: f64,
    /// Where it lies between the upper edge and the lower.
    pub y: f64,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// The angle what is seen is turned counter-clockwise, in degrees.
    pub angle: f64,
    /// Added to every grey value.
    pub brightness: f64,
    /// Every value's distance from the image's mean is multiplied by 1 plus this.
    pub contrast: f64,
}

impl Draw {
    /// Draws uniformly within the bounds. Every image takes as many numbers, whatever is asked for: a setting changes its
    /// own draw alone.
    pub fn new(augment: &Augment, random: &mut Random) -> Self {
        let Augment {
            crop,
            flip,
            rotate,
            brightness,
            contrast,
        } = *augment;
        let mut either_way = |most: f64| most * (2.0 * random.uniform() - 1.0);
        let (angle, brightness, contrast) =
            (either_way(rotate), either_way(brightness), either_way(contrast));
        Self {
            side: 1.0 - (1.0 - crop) * random.uniform(),
            x: random.uniform(),
            y: random.uniform(),
            flip: random.uniform() < flip,
            angle,
            brightness,
            contrast,
        }
    }

    /// Whether places move.
    fn moves(&self) -> bool {
        self.side != 1.0 || self.flip || self.angle != 0.0
    }

    /// Whether the image stays as it is, bit for bit.
    pub fn is_identity(&self) -> bool {
        !self.moves() && self.brightness == 0.0 && self.contrast == 0.0
    }

    /// Varies a square image of grey values from 0 (black) to 1 (white): places first, then contrast about the mean, then
    /// brightness; what would leave 0..1 ends there.
    ///
    /// # Shapes
    /// - `grey`: side × side values, row by row; returns as many
    /// # Numerics
    /// Places, weights and the mean in `f64`, in order, with `libm`: the same bits on every platform and thread.
    pub fn apply(&self, grey: &[f32], side: usize) -> Vec<f32> {
        let mut image = if self.moves() {
            self.warp(grey, side)
        } else {
            grey.to_vec()
        };
        if self.brightness != 0.0 || self.contrast != 0.0 {
            let mean = image.iter().map(|value| f64::from(*value)).sum::<f64>() / image.len() as f64;
            for value in &mut image {
                let varied = mean + (1.0 + self.contrast) * (f64::from(*value) - mean) + self.brightness;
                *value = varied.clamp(0.0, 1.0) as f32;
            }
        }
        image
    }

    /// Looks every pixel of the result up in the image, between the four nearest pixels (bilinear); beyond the edge lie
    /// the edge's values.
    fn warp(&self, grey: &[f32], side: usize) -> Vec<f32> {
        assert_eq!(grey.len(), side * side, "a square image");
        let length = side as f64;
        // A square of `side` that lies within the image, from its centre in pixels.
        let centre = |share: f64| (share * (1.0 - self.side) + self.side / 2.0) * length - 0.5;
        let (centre_x, centre_y) = (centre(self.x), centre(self.y));
        let (sine, cosine) = sine_and_cosine(self.angle);
        let middle = (length - 1.0) / 2.0;
        let mirror = if self.flip { -1.0 } else { 1.0 };
        let mut out = Vec::with_capacity(grey.len());
        for row in 0..side {
            let v = self.side * (row as f64 - middle);
            for column in 0..side {
                let u = self.side * mirror * (column as f64 - middle);
                // What is seen turns counter-clockwise where places are looked up clockwise; rows count downwards.
                let x = centre_x + cosine * u - sine * v;
                let y = centre_y + sine * u + cosine * v;
                out.push(between(grey, side, x, y));
            }
        }
        out
    }
}

/// Exact for quarter turns.
fn sine_and_cosine(degrees: f64) -> (f64, f64) {
    match degrees {
        0.0 => (0.0, 1.0),
        90.0 => (1.0, 0.0),
        -90.0 => (-1.0, 0.0),
        180.0 | -180.0 => (0.0, -1.0),
        _ => libm::sincos(degrees.to_radians()),
    }
}

/// The value at a place between pixels.
fn between(grey: &[f32], side: usize, x: f64, y: f64) -> f32 {
    let last = (side - 1) as f64;
    let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
    let (to_right, down) = (x - left as f64, y - top as f64);
    let value = |row: usize, column: usize| f64::from(grey[row * side + column]);
    let upper = value(top, left) + to_right * (value(top, right) - value(top, left));
    let lower = value(bottom, left) + to_right * (value(bottom, right) - value(bottom, left));
    (upper + down * (lower - upper)) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Augment = Augment {
        crop: 1.0,
        flip: 0.0,
        rotate: 0.0,
        brightness: 0.0,
        contrast: 0.0,
    };

    const AS_IT_IS: Draw = Draw {
        side: 1.0,
        x: 0.5,
        y: 0.5,
        flip: false,
        angle: 0.0,
        brightness: 0.0,
        contrast: 0.0,
    };

    /// A point at row 1, column 3 of 5 × 5.
    fn point() -> Vec<f32> {
        let mut image = vec![0.0; 25];
        image[5 + 3] = 1.0;
        image
    }

    fn bright(image: &[f32]) -> Vec<(usize, usize)> {
        let lit = image.iter().enumerate().filter(|(_, value)| **value > 0.99);
        lit.map(|(at, _)| (at / 5, at % 5)).collect()
    }

    #[test]
    fn a_flip_exchanges_left_and_right_exactly() {
        let draw = Draw {
            flip: true,
            ..AS_IT_IS
        };
        let image: Vec<f32> = (0..16).map(|at| (at as f32 * 0.37).fract()).collect();
        let flipped = draw.apply(&image, 4);
        for (before, after) in image.chunks(4).zip(flipped.chunks(4)) {
            assert!(before.iter().rev().eq(after));
        }
    }

    #[test]
    fn a_positive_angle_turns_counter_clockwise() {
        // Upper right, next to the corner: a quarter turn takes it to the upper left, a half turn to the lower left.
        for (angle, expected) in [(90.0, (1, 1)), (180.0, (3, 1)), (-90.0, (3, 3))] {
            let turned = Draw { angle, ..AS_IT_IS }.apply(&point(), 5);
            assert_eq!(bright(&turned), [expected], "{angle}: {turned:?}");
        }
        // A flip is seen after the turn: the point of the upper left is then on the right again.
        let both = Draw {
            angle: 90.0,
            flip: true,
            ..AS_IT_IS
        };
        assert_eq!(bright(&both.apply(&point(), 5)), [(1, 3)]);
    }

    #[test]
    fn a_cut_out_of_a_ramp_is_a_flatter_ramp() {
        // Grey grows by 1/15 a pixel to the right; a half-size cut at the right edge begins at column 8.
        let ramp: Vec<f32> = (0..256).map(|at| (at % 16) as f32 / 15.0).collect();
        let draw = Draw {
            side: 0.5,
            x: 1.0,
            y: 0.3,
            ..AS_IT_IS
        };
        let cut = draw.apply(&ramp, 16);
        for (at, value) in cut.iter().enumerate() {
            let place: f64 = 8.0 + ((at % 16) as f64 + 0.5) / 2.0 - 0.5;
            let expected = place.min(15.0) / 15.0;
            assert!(
                (f64::from(*value) - expected).abs() < 1e-6,
                "{at}: {value}, {expected}"
            );
        }
    }

    #[test]
    fn brightness_adds_and_contrast_stretches_about_the_mean() {
        let image = [0.25, 0.75, 0.5, 0.5];
        let brighter = Draw {
            brightness: 0.25,
            ..AS_IT_IS
        };
        assert_eq!(brighter.apply(&image, 2), [0.5, 1.0, 0.75, 0.75]);
        let harder = Draw {
            contrast: 0.5,
            ..AS_IT_IS
        };
        assert_eq!(harder.apply(&image, 2), [0.125, 0.875, 0.5, 0.5]);
        let beyond = Draw {
            brightness: -0.5,
            contrast: 0.5,
            ..AS_IT_IS
        };
        assert_eq!(beyond.apply(&image, 2), [0.0, 0.375, 0.0, 0.0]);
    }

    fn bounds() -> impl Strategy<Value = Augment> {
        (0.05..=1.0, 0.0..=1.0, 0.0..=180.0, 0.0..=1.0, 0.0..0.99).prop_map(
            |(crop, flip, rotate, brightness, contrast)| Augment {
                crop,
                flip,
                rotate,
                brightness,
                contrast,
            },
        )
    }

    proptest! {
        #[test]
        fn bounds_that_allow_nothing_change_nothing(seed: u64, sample in 0_usize..1000, epoch in 1_u32..100) {
            let variation = Variation { augment: &NOTHING, seed: Seed(seed), epoch };
            prop_assert!(variation.of(sample).is_identity());
        }

        #[test]
        fn draws_keep_to_their_bounds_and_images_to_their_range(
            augment in bounds(),
            seed: u64,
            image in prop::collection::vec(0.0..=1.0_f32, 49),
        ) {
            let draw = Variation { augment: &augment, seed: Seed(seed), epoch: 3 }.of(17);
            prop_assert!(draw.side >= augment.crop && draw.side <= 1.0);
            prop_assert!(draw.angle.abs() <= augment.rotate);
            prop_assert!(draw.brightness.abs() <= augment.brightness && draw.contrast.abs() <= augment.contrast);
            prop_assert!(augment.flip > 0.0 || !draw.flip);
            let varied = draw.apply(&image, 7);
            prop_assert!(varied.iter().all(|value| (0.0..=1.0).contains(value)));
        }

        #[test]
        fn an_even_image_stays_even_wherever_it_is_cut_and_turned(augment in bounds(), seed: u64, grey in 0.0..=1.0_f32) {
            let augment = Augment { brightness: 0.0, contrast: 0.0, ..augment };
            let draw = Variation { augment: &augment, seed: Seed(seed), epoch: 1 }.of(0);
            prop_assert_eq!(draw.apply(&[grey; 36], 6), vec![grey; 36]);
        }
    }

    #[test]
    fn a_flip_happens_as_often_as_it_is_probable() {
        let augment = Augment {
            flip: 0.25,
            ..NOTHING
        };
        let variation = |sample| {
            let seed = Seed(5);
            Variation {
                augment: &augment,
                seed,
                epoch: 1,
            }
            .of(sample)
        };
        let flips = (0..4000).filter(|sample| variation(*sample).flip).count();
        assert!((900..1100).contains(&flips), "{flips}");
    }
}
