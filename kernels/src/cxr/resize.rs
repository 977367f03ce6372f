//! Resizing that keeps what a radiograph means: each new pixel is the mean of the area it covers.

use image::GrayImage;

use super::ImageError;

/// Makes `image` `size` x `size` pixels; width and height are scaled independently, as networks of square input need.
///
/// Along an axis that shrinks, a new pixel is the mean of the old pixels weighted by the length it covers of each
/// (area filter), so the mean of the image stays and nothing aliases. Along an axis that grows, it is interpolated
/// linearly between the two nearest old centres (bilinear filter), the edge pixel standing for what lies beyond.
/// An image of that size already is returned as it is.
///
/// # Numerics
/// Separable: columns of a new row are summed in `f32`, then its rows; rounded to 8 bits once, half up.
/// # Errors
/// [`ImageError::NoPixels`] if either side of the image or `size` is 0
/// # Example
/// ```
/// use image::GrayImage;
/// let image = GrayImage::from_raw(4, 2, vec![10, 20, 30, 50, 30, 40, 70, 90]).unwrap();
/// assert_eq!(kernels::cxr::resize(&image, 2)?.into_raw(), [15, 40, 35, 80]);
/// assert_eq!(kernels::cxr::resize(&image, 1)?.into_raw(), [43]);
/// # Ok::<(), kernels::cxr::ImageError>(())
/// ```
pub fn resize(image: &GrayImage, size: u32) -> Result<GrayImage, ImageError> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 || size == 0 {
        return Err(ImageError::NoPixels { width, height, size });
    }
    if (width, height) == (size, size) {
        return Ok(image.clone());
    }
    let columns: Vec<Taps> = (0..size).map(|x| Taps::of(x, width, size)).collect();
    let mut sums = vec![0.0_f32; width as usize];
    let mut out = Vec::with_capacity(size as usize * size as usize);
    for y in 0..size {
        sum_rows(image, &Taps::of(y, height, size), &mut sums);
        out.extend(columns.iter().map(|taps| (taps.apply(&sums) + 0.5) as u8));
    }
    Ok(GrayImage::from_raw(size, size, out).expect("one value is written per pixel"))
}

/// `sums[x] = Σ_y weight_y · image[y][x]`; rows are contiguous, so the compiler vectorises over x.
fn sum_rows(image: &GrayImage, rows: &Taps, sums: &mut [f32]) {
    sums.fill(0.0);
    let pixels = image.as_raw().chunks_exact(sums.len()).skip(rows.start);
    for (row, weight) in pixels.zip(&rows.weights) {
        for (sum, pixel) in sums.iter_mut().zip(row) {
            *sum += weight * f32::from(*pixel);
        }
    }
}

/// The old pixels a new pixel is made of along one axis, and their weights, which sum to 1.
struct Taps {
    start: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn of(new: u32, old_length: u32, new_length: u32) -> Self {
        if new_length <= old_length {
            Self::area(new, old_length, new_length)
        } else {
            Self::linear(new, old_length, new_length)
        }
    }

    /// Overlap of the new pixel's interval with each old pixel, in units of 1/new_length of an old pixel: exact.
    fn area(new: u32, old_length: u32, new_length: u32) -> Self {
        let (new, old_length, new_length) = (u64::from(new), u64::from(old_length), u64::from(new_length));
        let (from, to) = (new * old_length, (new + 1) * old_length);
        let start = from / new_length;
        let end = to.div_ceil(new_length);
        let overlap = |old: u64| ((old + 1) * new_length).min(to) - (old * new_length).max(from);
        Self {
            start: start as usize,
            weights: (start..end)
                .map(|old| (overlap(old) as f64 / old_length as f64) as f32)
                .collect(),
        }
    }

    fn linear(new: u32, old_length: u32, new_length: u32) -> Self {
        let scale = f64::from(old_length) / f64::from(new_length);
        let centre = (f64::from(new) + 0.5) * scale - 0.5;
        let centre = centre.clamp(0.0, f64::from(old_length - 1));
        let after = centre.fract() as f32;
        let start = centre as usize;
        Self {
            start,
            weights: if after > 0.0 {
                vec![1.0 - after, after]
            } else {
                vec![1.0]
            },
        }
    }

    fn apply(&self, values: &[f32]) -> f32 {
        self.weights
            .iter()
            .zip(&values[self.start..])
            .map(|(weight, value)| weight * value)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn images() -> impl Strategy<Value = GrayImage> {
        (1_u32..40, 1_u32..40).prop_flat_map(|(width, height)| {
            let pixels = prop::collection::vec(any::<u8>(), (width * height) as usize);
            pixels.prop_map(move |pixels| GrayImage::from_raw(width, height, pixels).unwrap())
        })
    }

    fn mean(pixels: &[u8]) -> f64 {
        pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64
    }

    /// The definition: every new pixel as the integral over its rectangle of a piecewise constant image.
    fn by_integration(image: &GrayImage, size: u32) -> Vec<f64> {
        let overlap = |new: u32, old: u32, length: u32| {
            let scale = f64::from(length) / f64::from(size);
            let (from, to) = (f64::from(new) * scale, f64::from(new + 1) * scale);
            (to.min(f64::from(old + 1)) - from.max(f64::from(old))).max(0.0) / scale
        };
        let pixel = |x: u32, y: u32| {
            let terms = image.enumerate_pixels().map(|(ox, oy, p)| {
                overlap(x, ox, image.width()) * overlap(y, oy, image.height()) * f64::from(p.0[0])
            });
            terms.sum()
        };
        (0..size)
            .flat_map(|y| (0..size).map(move |x| (x, y)))
            .map(|(x, y)| pixel(x, y))
            .collect()
    }

    proptest! {
        #[test]
        fn shrinking_is_the_integral_over_each_new_pixel(image in images(), share in 0.1..1.0_f64) {
            let size = ((f64::from(image.width().min(image.height())) * share) as u32).max(1);
            let out = resize(&image, size).unwrap();
            for (ours, exact) in out.as_raw().iter().zip(by_integration(&image, size)) {
                prop_assert!((f64::from(*ours) - exact).abs() <= 0.501, "{} against {}", ours, exact);
            }
            prop_assert!((mean(out.as_raw()) - mean(image.as_raw())).abs() <= 0.501);
        }

        #[test]
        fn a_constant_image_stays_constant(width in 1_u32..50, height in 1_u32..50, size in 1_u32..50, value: u8) {
            let image = GrayImage::from_pixel(width, height, image::Luma([value]));
            prop_assert!(resize(&image, size).unwrap().as_raw().iter().all(|pixel| *pixel == value));
        }

        #[test]
        fn the_same_size_is_the_same_image(pixels in prop::collection::vec(any::<u8>(), 49)) {
            let image = GrayImage::from_raw(7, 7, pixels).unwrap();
            prop_assert_eq!(resize(&image, 7).unwrap(), image);
        }

        #[test]
        fn no_value_beyond_those_of_the_image_appears(image in images(), size in 1_u32..60) {
            let out = resize(&image, size).unwrap();
            let (old, new) = (image.as_raw().iter(), out.as_raw().iter());
            prop_assert!(new.clone().min() >= old.clone().min() && new.max() <= old.max());
        }
    }

    #[test]
    fn growing_interpolates_between_centres() {
        let image = GrayImage::from_raw(2, 2, vec![0, 100, 0, 100]).unwrap();
        let out = resize(&image, 4).unwrap();
        assert_eq!(out.as_raw()[..4], [0, 25, 75, 100]);
    }

    #[test]
    fn nothing_cannot_be_resized() {
        assert!(resize(&GrayImage::new(0, 5), 4).is_err());
        assert!(resize(&GrayImage::new(5, 5), 0).is_err());
    }
}
