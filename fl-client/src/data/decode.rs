//! From an image file to grey pixels of one size.
//!
//! In: a PNG, JPEG or DICOM file, told by its first bytes. Out: a [`Square`]. What a file claims about itself is checked
//! before memory is taken; buffers are kept from image to image, one set a thread. Start at [`square`].

use std::{cell::RefCell, fs::File, io, path::Path};

use contract::{
    dataset::{Depth, Fit, ImageSettings},
    exit::JobExit,
    job::JobError,
};
use kernels::cxr::{
    self, Frame, Meaning, Target, Wanted,
    decode::picture,
    dicom::{self, DicomError},
    hash::{Hash, perceptual},
    render,
};
use memmap2::{Mmap, MmapOptions};

/// The largest width or height asked for or accepted, in pixels: four times that of any X-ray detector.
pub const MAX_SIDE: u32 = cxr::MAX_SIDE;

/// The largest image file accepted, in bytes: files of many frames.
const MAX_FILE: u64 = 4 << 30;

/// Files up to this size are read at once; of larger ones the pages that are looked at.
const READ_AT_ONCE: u64 = 64 << 20;

/// What PNG files begin with.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// What JPEG files begin with.
const JPEG: &[u8] = b"\xff\xd8\xff";

thread_local! {
    /// What images of one thread are rendered into.
    static SQUARE: RefCell<cxr::Square> = RefCell::new(cxr::Square::new());
}

/// A prepared image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Square {
    /// Grey values, row by row; 16-bit values as two bytes, the lower first.
    pub pixels: Vec<u8>,
    /// Hash of what is seen, if anything is.
    pub seen: Option<Hash>,
    /// Whether the file says nothing of a window, so that its values were stretched between percentiles.
    pub percentiles: bool,
}

/// Why an image cannot be used, or not now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `InputMissing` or `InputInvalid` for what is wrong with the image itself; `Io` for what another attempt may mend.
    pub exit: JobExit,
    /// What is wrong, with the value found.
    pub reason: String,
}

impl Refusal {
    fn invalid(reason: impl std::fmt::Display) -> Self {
        Self {
            exit: JobExit::InputInvalid,
            reason: reason.to_string(),
        }
    }

    fn reading(error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound {
            JobExit::InputMissing
        } else {
            JobExit::Io
        };
        Self {
            exit,
            reason: format!("cannot be read: {error}"),
        }
    }

    /// The end of a job that needs this image.
    pub fn at(&self, path: &Path) -> JobError {
        let error = JobError::new(self.exit, format!("`{}`: {}", path.display(), self.reason)).about(path);
        error.help(match self.exit {
            JobExit::InputInvalid => "replace the file by a whole PNG, JPEG or DICOM image, or take it out",
            _ => "check that the image is there and readable, or take it out",
        })
    }
}

/// Reads an image and makes it a grey square of the size and depth asked for.
///
/// The format is told by the file's first bytes; without those of any, a name that ends in `.dcm` or `.dicom` tells.
/// `frame` counts from 0; a file of several frames needs one.
///
/// # Errors
/// [`Refusal`]: no such file, one that cannot be read, no image, or one too large.
pub fn square(path: &Path, frame: Option<u32>, settings: &ImageSettings) -> Result<Square, Refusal> {
    let bytes = map(path, Pages::All)?;
    let wanted = Wanted::AtLeast(settings.size);
    if is_dicom(&bytes) || is_named_dicom(path) {
        let object = dicom::open(&bytes).map_err(|error| refused(&error))?;
        let number = match (frame, object.frames()) {
            (Some(number), _) => number,
            (None, 1) => 0,
            (None, frames) => {
                return Err(Refusal::invalid(format!(
                    "it has {frames} frames and none is asked for; the source `dicom` takes frames apart"
                )));
            }
        };
        let meaning = object.meaning(number).map_err(|error| refused(&error))?;
        let frame = object.frame(number, wanted).map_err(|error| refused(&error))?;
        return rendered(&frame, &meaning, settings);
    }
    if !is_picture(&bytes) {
        return Err(Refusal::invalid(
            "not an image by its first bytes; expected PNG, JPEG or DICOM",
        ));
    }
    let (frame, meaning) = picture::decode(&bytes, wanted).map_err(|error| cannot_be_decoded(&error))?;
    rendered(&frame, &meaning, settings)
}

fn refused(error: &DicomError) -> Refusal {
    match error {
        DicomError::NoImage { .. } | DicomError::NotDicom { .. } => Refusal::invalid(in_full(error)),
        other => cannot_be_decoded(other),
    }
}

fn cannot_be_decoded(error: &dyn std::error::Error) -> Refusal {
    Refusal::invalid(format!("cannot be decoded: {}", in_full(error)))
}

fn rendered(frame: &Frame<'_>, meaning: &Meaning, settings: &ImageSettings) -> Result<Square, Refusal> {
    let ImageSettings {
        size,
        channels: _,
        mean: _,
        std: _,
        depth,
        fit,
    } = settings;
    let target = Target {
        size: *size,
        depth: match depth {
            Depth::U8 => cxr::Depth::U8,
            Depth::U16 => cxr::Depth::U16,
        },
        fit: match fit {
            Fit::Stretch => cxr::Fit::Stretch,
            Fit::Pad => cxr::Fit::Pad,
        },
    };
    SQUARE.with_borrow_mut(|square| {
        let found = render(frame, meaning, target, square).map_err(|error| cannot_be_decoded(&error))?;
        Ok(Square {
            pixels: square.bytes().into_owned(),
            seen: perceptual(square),
            percentiles: found.percentiles.is_some(),
        })
    })
}

/// A square of 8-bit grey values in the depth asked for.
pub fn of_grey(grey: Vec<u8>, settings: &ImageSettings) -> Square {
    let pixels = match settings.depth {
        Depth::U8 => cxr::Pixels::U8(grey),
        // 0 stays 0 and 255 becomes 65,535.
        Depth::U16 => cxr::Pixels::U16(grey.into_iter().map(|value| u16::from(value) * 257).collect()),
    };
    let square = cxr::Square::of(settings.size, pixels).unwrap_or_default();
    Square {
        pixels: square.bytes().into_owned(),
        seen: perceptual(&square),
        percentiles: false,
    }
}

/// Whether a file begins as PNG or JPEG files do.
pub fn is_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(PNG) || bytes.starts_with(JPEG)
}

/// Whether a file begins as DICOM files do: 128 bytes of anything, then four letters (PS3.10 7.1).
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Whether a file without that beginning is one by its name.
pub fn is_named_dicom(path: &Path) -> bool {
    let extension = path.extension().and_then(|text| text.to_str());
    extension.is_some_and(|text| text.eq_ignore_ascii_case("dcm") || text.eq_ignore_ascii_case("dicom"))
}

/// Which pages of a file are read when it is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Those that are looked at, when they are.
    AsLookedAt,
    /// All at once, unless the file is large.
    All,
}

/// Maps a file.
///
/// # Errors
/// [`Refusal`]: no such file, one that cannot be read, none at all, or one too large.
pub fn map(path: &Path, pages: Pages) -> Result<Mmap, Refusal> {
    let reading = |error: io::Error| Refusal::reading(&error);
    // Asked before opening: opening a named pipe would wait for a writer.
    let about = std::fs::metadata(path).map_err(reading)?;
    if !about.is_file() {
        return Err(Refusal::invalid("not a regular file; expected an image"));
    }
    let length = about.len();
    if length > MAX_FILE {
        return Err(Refusal::invalid(format!(
            "{length} bytes; an image may have {MAX_FILE}"
        )));
    }
    let file = File::open(path).map_err(reading)?;
    let mut options = MmapOptions::new();
    if pages == Pages::All && length <= READ_AT_ONCE {
        options.populate();
    }
    // SAFETY: the map is read-only, and of a file that the job reads in place and nothing in fedwing writes. Should
    // somebody else cut the file meanwhile, the kernel ends the process with SIGBUS, which counts as a failure worth
    // another attempt, and that attempt goes on where this one was.
    unsafe { options.map(&file) }.map_err(reading)
}

/// An error and what caused it, in one line.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use contract::exit::JobExit;
    use image::{
        DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
    };
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::{PALETTE_PNG, dicom::DicomFile, phantom_config, png};

    fn settings(size: u32, depth: Depth) -> ImageSettings {
        ImageSettings {
            size,
            depth,
            ..phantom_config().image
        }
    }

    fn read(path: &Path, size: u32) -> Result<Vec<u8>, Refusal> {
        square(path, None, &settings(size, Depth::U8)).map(|square| square.pixels)
    }

    fn refusal(path: &Path) -> JobError {
        let refusal = read(path, 2).expect_err("a file that is no image was read");
        refusal.at(path)
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
            assert_eq!(read(&path, 2).unwrap(), [100; 4], "{:?}", image.color());
        }
        fs::write(&path, PALETTE_PNG).unwrap();
        assert_eq!(read(&path, 2).unwrap(), [100; 4], "palette");
    }

    #[test]
    fn a_jpeg_named_png_is_read_by_its_bytes() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.png");
        let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(8, 8, Luma([100])));
        image.save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
        let pixels = read(&path, 2).unwrap();
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

    #[test]
    fn a_dicom_image_is_shown_through_its_window() {
        let dir = TempDir::new().unwrap();
        // Centre 128 and width 256 show 8 bits as they are.
        let file = DicomFile::new(3);
        let path = file.write(dir.path(), "image");
        let stored: Vec<u8> = (0..16u32)
            .map(|at| ((at * 37 + 303) ^ (3 * at * 7)) as u8)
            .collect();
        let shown = square(&path, None, &settings(4, Depth::U8)).unwrap();
        for (stored, shown) in stored.iter().zip(&shown.pixels) {
            assert!(stored.abs_diff(*shown) <= 1, "{stored} {shown}");
        }
        assert!(!shown.percentiles);
        let inverted = file
            .clone()
            .text(0x0028_0004, "CS", "MONOCHROME1")
            .write(dir.path(), "inverted");
        for (shown, inverted) in shown.pixels.iter().zip(read(&inverted, 4).unwrap()) {
            assert!((255 - shown).abs_diff(inverted) <= 1, "{shown} {inverted}");
        }
        let unsaid = file.text(0x0028_1050, "DS", "").text(0x0028_1051, "DS", "");
        let path = unsaid.write(dir.path(), "unsaid");
        assert!(square(&path, None, &settings(4, Depth::U8)).unwrap().percentiles);
    }

    #[test]
    fn a_frame_is_taken_by_its_number_and_one_of_several_must_be_asked_for() {
        let dir = TempDir::new().unwrap();
        let path = DicomFile::new(1).frames(5).write(dir.path(), "frames.dcm");
        for frame in 0..5 {
            let shown = square(&path, Some(frame), &settings(2, Depth::U8)).unwrap();
            assert!(
                shown
                    .pixels
                    .iter()
                    .all(|pixel| pixel.abs_diff(frame as u8 * 10) <= 1),
                "{shown:?}"
            );
        }
        let reason = |frame| square(&path, frame, &settings(2, Depth::U8)).unwrap_err().reason;
        assert!(reason(None).contains("5 frames"), "{}", reason(None));
        assert!(reason(Some(5)).contains("frame 5"), "{}", reason(Some(5)));
    }

    #[test]
    fn dicom_files_cut_anywhere_are_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.dcm");
        let whole = DicomFile::new(1).bytes();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(refusal(&path).exit, JobExit::InputInvalid, "{length}");
        }
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
            if let Ok(pixels) = read(&path, 3) {
                prop_assert_eq!(pixels.len(), 9);
            }
        }
    }
}
