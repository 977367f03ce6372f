//! From an image file to grey pixels of one size.
//!
//! In: a PNG or JPEG file of any size and pixel type. Out: `size` × `size` bytes. What a file claims about itself is
//! checked before memory is taken. Start at [`read_square`].

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::Path,
};

use contract::job::JobError;
use image::{ImageReader, Limits};
use kernels::cxr;

/// The largest width or height accepted, in pixels: four times that of any X-ray detector.
pub const MAX_SIDE: u32 = 16_384;

/// The largest image file accepted, in bytes; some decoders read the whole file first.
const MAX_FILE: u64 = 256 << 20;

/// The most memory one image may take while it is decoded, in bytes.
const MAX_DECODED: u64 = 512 << 20;

/// Reads an image, turns it grey and scales it by area to `size` × `size` pixels, row by row.
///
/// The format is told by the file's first bytes, not by its name.
///
/// # Errors
/// `InputMissing` if there is no such file; `Io` if it cannot be read; `InputInvalid` if it is no image, too large, or
/// of pixels that are not 8 or 16 bits a channel. Each names the file and a way out.
pub fn read_square(path: &Path, size: u32) -> Result<Vec<u8>, JobError> {
    let reading = |error: io::Error| {
        JobError::reading(path, &error)
            .help("check that the image is there and readable, or take its line out")
    };
    let refused = |reason: String| {
        JobError::invalid(path, reason).help("replace the file by a whole PNG or JPEG image, or take it out")
    };
    let about = fs::metadata(path).map_err(reading)?;
    if !about.is_file() {
        return Err(refused(
            "not a regular file; expected a PNG or JPEG image".to_owned(),
        ));
    }
    if about.len() > MAX_FILE {
        let length = about.len();
        return Err(refused(format!("{length} bytes; an image may have {MAX_FILE}")));
    }
    let file = BufReader::new(File::open(path).map_err(reading)?);
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(reading)?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    if reader.format().is_none() {
        return Err(refused(
            "not an image by its first bytes; expected PNG or JPEG".to_owned(),
        ));
    }
    let decoded = reader
        .decode()
        .map_err(|error| refused(format!("cannot be decoded: {error}")))?;
    let grey = cxr::to_grey(decoded).map_err(|error| refused(error.to_string()))?;
    let square = cxr::resize(&grey, size).map_err(|error| refused(error.to_string()))?;
    Ok(square.into_raw())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use contract::exit::JobExit;
    use image::{
        DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
    };
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::{PALETTE_PNG, png};

    fn refusal(path: &Path) -> JobError {
        read_square(path, 2).expect_err("a file that is no image was read")
    }

    #[test]
    fn every_pixel_type_becomes_the_same_grey() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.png");
        let deep = ImageBuffer::<Luma<u16>, _>::from_pixel(4, 4, Luma([100 * 257]));
        let images = [
            DynamicImage::ImageLuma8(GrayImage::from_pixel(4, 4, Luma([100]))),
            DynamicImage::ImageLumaA8(GrayAlphaImage::from_pixel(4, 4, LumaA([100, 7]))),
            DynamicImage::ImageRgb8(RgbImage::from_pixel(4, 4, Rgb([100; 3]))),
            DynamicImage::ImageRgba8(RgbaImage::from_pixel(4, 4, Rgba([100, 100, 100, 255]))),
            DynamicImage::ImageLuma16(deep),
        ];
        for image in images {
            png(&path, &image);
            assert_eq!(read_square(&path, 2).unwrap(), [100; 4], "{:?}", image.color());
        }
        fs::write(&path, PALETTE_PNG).unwrap();
        assert_eq!(read_square(&path, 2).unwrap(), [100; 4], "palette");
    }

    #[test]
    fn a_jpeg_named_png_is_read_by_its_bytes() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.png");
        let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(8, 8, Luma([100])));
        image.save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
        let pixels = read_square(&path, 2).unwrap();
        assert!(pixels.iter().all(|pixel| pixel.abs_diff(100) <= 2), "{pixels:?}");
    }

    #[test]
    fn a_missing_image_is_a_missing_input_and_a_folder_is_no_image() {
        let dir = TempDir::new().unwrap();
        assert_eq!(refusal(&dir.path().join("gone.png")).exit, JobExit::InputMissing);
        assert_eq!(refusal(dir.path()).exit, JobExit::InputInvalid);
    }

    #[test]
    fn what_is_no_whole_image_is_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.png");
        File::create(&path)
            .unwrap()
            .write_all(b"Image Index,Labels")
            .unwrap();
        let error = refusal(&path);
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("first bytes"), "{error}");

        png(&path, &DynamicImage::ImageLuma8(GrayImage::new(64, 64)));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        let error = refusal(&path);
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("cannot be decoded"), "{error}");
        assert_eq!(error.file.as_deref(), Some(path.as_path()));
        assert!(error.help.is_some());
    }

    #[test]
    fn an_image_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.png");
        png(&path, &DynamicImage::ImageLuma8(GrayImage::new(MAX_SIDE + 1, 1)));
        let error = refusal(&path);
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("cannot be decoded"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn changed_images_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>(), jpeg in any::<bool>()) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("image");
            let image = DynamicImage::ImageLuma8(GrayImage::from_fn(9, 7, |x, y| Luma([(x * y * 5) as u8])));
            let format = if jpeg { image::ImageFormat::Jpeg } else { image::ImageFormat::Png };
            image.save_with_format(&path, format).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            fs::write(&path, bytes).unwrap();
            if let Ok(pixels) = read_square(&path, 3) {
                prop_assert_eq!(pixels.len(), 9);
            }
        }
    }
}
