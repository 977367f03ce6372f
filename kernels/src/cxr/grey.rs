//! Conversion to 8-bit grey, bit for bit as PIL's `convert("L")` where that is lossless in depth.

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Pixel};

use super::ImageError;

/// One grey value per pixel, 0 (black) to 255.
///
/// Colour becomes luma (ITU-R BT.601-2: 0.299 R + 0.587 G + 0.114 B, in 16-bit fixed point, rounded), alpha is dropped
/// without blending, 16-bit values are divided by 257 and rounded, after the luma is taken.
///
/// # Shapes
/// - `image`: any size; returns the same size
/// # Errors
/// [`ImageError::PixelType`] for floating-point pixels
/// # Source
/// Pillow, `Convert.c`: `L24(rgb) = (R·19595 + G·38470 + B·7471 + 0x8000) >> 16`. Parity: `tests/parity/cxr/`
/// # Example
/// ```
/// use image::{DynamicImage, Rgb, RgbImage};
/// let red = DynamicImage::ImageRgb8(RgbImage::from_pixel(2, 1, Rgb([255, 0, 0])));
/// assert_eq!(kernels::cxr::to_grey(red)?.into_raw(), [76, 76]);
/// # Ok::<(), kernels::cxr::ImageError>(())
/// ```
pub fn to_grey(image: DynamicImage) -> Result<GrayImage, ImageError> {
    let kind = format!("{:?}", image.color());
    match image {
        DynamicImage::ImageLuma8(image) => Ok(image),
        DynamicImage::ImageLumaA8(image) => Ok(map(&image, |pixel| pixel.0[0])),
        DynamicImage::ImageRgb8(image) => Ok(map(&image, |pixel| luma8(pixel.0))),
        DynamicImage::ImageRgba8(image) => Ok(map(&image, |pixel| luma8(colour(pixel.0)))),
        DynamicImage::ImageLuma16(image) => Ok(map(&image, |pixel| narrow(pixel.0[0]))),
        DynamicImage::ImageLumaA16(image) => Ok(map(&image, |pixel| narrow(pixel.0[0]))),
        DynamicImage::ImageRgb16(image) => Ok(map(&image, |pixel| narrow(luma16(pixel.0)))),
        DynamicImage::ImageRgba16(image) => Ok(map(&image, |pixel| narrow(luma16(colour(pixel.0))))),
        _ => Err(ImageError::PixelType { kind }),
    }
}

fn map<P: Pixel>(image: &ImageBuffer<P, Vec<P::Subpixel>>, grey: impl Fn(&P) -> u8) -> GrayImage
where
    P::Subpixel: image::Primitive,
{
    let mut out = GrayImage::new(image.width(), image.height());
    for (to, from) in out.pixels_mut().zip(image.pixels()) {
        *to = Luma([grey(from)]);
    }
    out
}

fn colour<T: Copy>([r, g, b, _]: [T; 4]) -> [T; 3] {
    [r, g, b]
}

fn luma(rgb: [u32; 3]) -> u32 {
    (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16
}

fn luma8(rgb: [u8; 3]) -> u8 {
    // The weights sum to 65536, so the luma of bytes is a byte.
    luma(rgb.map(u32::from)) as u8
}

fn luma16(rgb: [u16; 3]) -> u16 {
    // 65535·65536 + 0x8000 still fits 32 bits.
    luma(rgb.map(u32::from)) as u16
}

/// 16 to 8 bits: `v / 257`, rounded; 65535 is 255.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayAlphaImage, Rgb, Rgb32FImage, RgbImage, RgbaImage};

    fn one<P: Pixel>(pixel: P) -> ImageBuffer<P, Vec<P::Subpixel>> {
        ImageBuffer::from_pixel(1, 1, pixel)
    }

    fn grey(image: impl Into<DynamicImage>) -> u8 {
        to_grey(image.into()).unwrap().into_raw()[0]
    }

    #[test]
    fn alpha_is_dropped_whatever_it_is() {
        for alpha in [0, 128, 255] {
            let rgba: RgbaImage = one(image::Rgba([10, 200, 30, alpha]));
            let rgb: RgbImage = one(Rgb([10, 200, 30]));
            assert_eq!(grey(rgba), grey(rgb));
            let la: GrayAlphaImage = one(image::LumaA([77, alpha]));
            assert_eq!(grey(la), 77);
        }
    }

    #[test]
    fn eight_bits_widened_to_sixteen_come_back() {
        for value in 0..=255_u16 {
            assert_eq!(grey(one(Luma([value * 257]))), value as u8);
            assert_eq!(grey(one(image::LumaA([value * 257, 3]))), value as u8);
            assert_eq!(grey(one(Rgb([value * 257; 3]))), value as u8);
            assert_eq!(grey(one(image::Rgba([value * 257; 4]))), value as u8);
            assert_eq!(grey(one(Rgb([value as u8; 3]))), value as u8);
        }
        assert_eq!((grey(one(Luma([128_u16]))), grey(one(Luma([129_u16])))), (0, 1));
    }

    #[test]
    fn every_sixteen_bit_value_goes_to_the_nearest_byte() {
        for value in 0..=u16::MAX {
            assert_eq!(narrow(value), (f64::from(value) / 257.0).round() as u8);
        }
    }

    #[test]
    fn floating_point_pixels_are_refused() {
        let error = to_grey(DynamicImage::ImageRgb32F(Rgb32FImage::new(1, 1))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pixels of type Rgb32F are not supported; use 8 or 16 bits a channel"
        );
    }
}
