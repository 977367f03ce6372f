//! Draws synthetic frontal chest radiographs, with and without an opacity in a lung.
//!
//! In: a seed, a [`Finding`], a size. Out: 8-bit grey pixels, dense tissue bright. Start at [`draw`].
//! These are drawings for tests and demonstrations: no patient is behind them, and no result on them says anything
//! about patients. Whoever stores one must say that it is synthetic.
//!
//! A drawing is a sum of soft shapes in a frame from -1 to 1 (`anatomy`), opacities among them (`opacity`), then
//! what a detector does to it (`exposure`). Position, size and density of everything vary from patient to patient.

mod anatomy;
mod exposure;
mod opacity;
mod shape;

use image::GrayImage;

use self::{anatomy::Anatomy, exposure::Exposure, opacity::Opacity, shape::Point};
use crate::random::Random;

/// What a drawing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// Lungs as they should be.
    NoFinding,
    /// One to three soft opacities in the lungs, some of them hard to see.
    Opacity,
}

/// Draws the radiograph of one patient.
///
/// The same arguments give the same pixels; another size shows the same patient. With the other finding, a seed shows
/// the same patient without the opacity or with it.
///
/// # Shapes
/// - returns `size` x `size` grey values, 0 (air) to 255
/// # Panics
/// If `size` is 0.
/// # Example
/// ```
/// use kernels::phantom::{Finding, draw};
/// let image = draw(7, Finding::Opacity, 64);
/// assert_eq!(image.dimensions(), (64, 64));
/// assert_eq!(image, draw(7, Finding::Opacity, 64));
/// ```
pub fn draw(seed: u64, finding: Finding, size: u32) -> GrayImage {
    assert!(size > 0, "a drawing has at least one pixel");
    let mut random = Random::new(seed);
    let anatomy = Anatomy::draw(&mut random);
    // Drawn whether shown or not: what follows in the stream must not tell the finding.
    let opacities = Opacity::draw_some(&anatomy, &mut random);
    let exposure = Exposure::draw(&mut random);
    let shown: &[Opacity] = match finding {
        Finding::NoFinding => &[],
        Finding::Opacity => &opacities,
    };

    let mut density = Vec::with_capacity(size as usize * size as usize);
    for row in 0..size {
        for column in 0..size {
            let centre = |i: u32| (2.0 * i as f32 + 1.0) / size as f32 - 1.0;
            let point = Point {
                x: centre(column),
                y: centre(row),
            };
            let opaque: f32 = shown.iter().map(|opacity| opacity.at(point)).sum();
            density.push(anatomy.density(point, opaque));
        }
    }
    let pixels = density
        .into_iter()
        .map(|density| exposure.pixel(density, &mut random))
        .collect();
    GrayImage::from_raw(size, size, pixels).expect("one value is drawn per pixel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auroc;

    fn mean(image: &GrayImage) -> f64 {
        image.as_raw().iter().map(|p| f64::from(*p)).sum::<f64>() / image.as_raw().len() as f64
    }

    #[test]
    fn an_opacity_changes_the_lungs_and_leaves_the_rest_of_the_patient() {
        for seed in 0..20 {
            let (without, with) = (
                draw(seed, Finding::NoFinding, 64),
                draw(seed, Finding::Opacity, 64),
            );
            let brighter = without
                .as_raw()
                .iter()
                .zip(with.as_raw())
                .filter(|(a, b)| a < b)
                .count();
            let darker = without
                .as_raw()
                .iter()
                .zip(with.as_raw())
                .filter(|(a, b)| a > b)
                .count();
            assert!((10..2500).contains(&brighter), "seed {seed}: {brighter} pixels");
            assert_eq!(darker, 0, "seed {seed}");
            // The corners are air or shoulder.
            for (x, y) in [(0, 0), (63, 0), (0, 63), (63, 63)] {
                assert_eq!(without.get_pixel(x, y), with.get_pixel(x, y), "seed {seed}");
            }
        }
    }

    #[test]
    fn another_size_shows_the_same_patient() {
        let (large, small) = (draw(3, Finding::Opacity, 128), draw(3, Finding::Opacity, 32));
        let shrunk = image::imageops::resize(&large, 32, 32, image::imageops::FilterType::Triangle);
        let difference = shrunk
            .as_raw()
            .iter()
            .zip(small.as_raw())
            .map(|(a, b)| f64::from(a.abs_diff(*b)))
            .sum::<f64>();
        assert!(difference / 1024.0 < 10.0, "{}", difference / 1024.0);
        assert_ne!(draw(3, Finding::Opacity, 32), draw(4, Finding::Opacity, 32));
    }

    #[test]
    fn the_mean_brightness_alone_does_not_tell_the_finding() {
        let finding = |i: usize| {
            if i.is_multiple_of(2) {
                Finding::NoFinding
            } else {
                Finding::Opacity
            }
        };
        let brightness: Vec<f64> = (0..400).map(|i| mean(&draw(i as u64, finding(i), 32))).collect();
        let positive: Vec<bool> = (0..brightness.len())
            .map(|i| finding(i) == Finding::Opacity)
            .collect();
        let area = auroc(&brightness, &positive, &vec![1.0; positive.len()]).unwrap();
        assert!((0.45..0.70).contains(&area), "{area}");
    }

    #[test]
    fn lungs_are_darker_than_the_mediastinum_and_air_is_darkest() {
        let at = |x: u32, y: u32| {
            let of = |seed| f64::from(draw(seed, Finding::NoFinding, 64).get_pixel(x, y).0[0]);
            (0..40).map(of).sum::<f64>() / 40.0
        };
        let (lung, mediastinum, air) = (at(17, 28), at(32, 28), at(1, 1));
        assert!(
            air + 20.0 < lung && lung + 40.0 < mediastinum,
            "{air} {lung} {mediastinum}"
        );
    }
}
