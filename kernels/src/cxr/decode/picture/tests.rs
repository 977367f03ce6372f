use image::{
    DynamicImage, ImageBuffer, ImageEncoder, ImageFormat,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use proptest::prelude::*;

use super::*;
use crate::cxr::decode::jpeg::Transform;

fn png_file(image: &DynamicImage, filter: FilterType) -> Vec<u8> {
    let mut out = Vec::new();
    PngEncoder::new_with_quality(&mut out, CompressionType::Fast, filter)
        .write_image(
            image.as_bytes(),
            image.width(),
            image.height(),
            image.color().into(),
        )
        .unwrap();
    out
}

fn images() -> impl Strategy<Value = DynamicImage> {
    let values = prop::collection::vec(any::<u16>(), 4 * 300);
    (1_u32..20, 1_u32..15, 0..8, values).prop_map(|(width, height, kind, values)| {
        let bytes = |channels: usize| -> Vec<u8> {
            let count = (width * height) as usize * channels;
            values[..count].iter().map(|value| (value >> 6) as u8).collect()
        };
        let words = |channels: usize| values[..(width * height) as usize * channels].to_vec();
        macro_rules! image {
            ($variant:ident, $raw:expr) => {
                DynamicImage::$variant(ImageBuffer::from_raw(width, height, $raw).unwrap())
            };
        }
        match kind {
            0 => image!(ImageLuma8, bytes(1)),
            1 => image!(ImageLumaA8, bytes(2)),
            2 => image!(ImageRgb8, bytes(3)),
            3 => image!(ImageRgba8, bytes(4)),
            4 => image!(ImageLuma16, words(1)),
            5 => image!(ImageLumaA16, words(2)),
            6 => image!(ImageRgb16, words(3)),
            _ => image!(ImageRgba16, words(4)),
        }
    })
}

fn filters() -> impl Strategy<Value = FilterType> {
    use FilterType::*;
    prop::sample::select(vec![NoFilter, Sub, Up, Avg, Paeth, Adaptive])
}

proptest! {
    #[test]
    fn what_was_written_is_read(image in images(), filter in filters()) {
        let file = png_file(&image, filter);
        let (frame, meaning) = decode(&file, Wanted::AtLeast(1)).unwrap();
        frame.check().unwrap();
        prop_assert_eq!((frame.width, frame.height), (image.width(), image.height()));
        prop_assert_eq!(frame.channels, u32::from(image.color().channel_count()));
        prop_assert_eq!(frame.bits, u32::from(image.color().bits_per_pixel()) / frame.channels);
        prop_assert_eq!(meaning, Meaning::picture(frame.bits));
        let bytes = match &frame.samples {
            Samples::U8(values) => values.to_vec(),
            Samples::U16(values) => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        };
        prop_assert_eq!(bytes, image.as_bytes());
    }

    #[test]
    fn a_file_cut_anywhere_is_refused(image in images(), filter in filters(), at in any::<prop::sample::Index>()) {
        let file = png_file(&image, filter);
        // A checksum cut in two is found too; without its last byte the file ends inside IEND.
        prop_assert!(decode(&file[..at.index(file.len())], Wanted::Full).is_err());
    }
}

fn small() -> DynamicImage {
    let values = (0..9 * 7 * 3).map(|i: u32| (i * i * 5) as u8).collect();
    DynamicImage::ImageRgb8(ImageBuffer::from_raw(9, 7, values).unwrap())
}

#[test]
fn no_changed_byte_panics() {
    let file = png_file(&small(), FilterType::Paeth);
    for at in 0..file.len() {
        for value in 0..=u8::MAX {
            let mut changed = file.clone();
            changed[at] = value;
            if let Ok((frame, _)) = decode(&changed, Wanted::Full) {
                frame.check().unwrap();
            }
        }
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let file = png_file(&small(), FilterType::Up);
    let idat = file.windows(4).position(|name| name == b"IDAT").unwrap();
    let length = u32::from_be_bytes(file[idat - 4..idat].try_into().unwrap()) as usize;
    for at in [29, idat + 4 + length] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let error = decode(&changed, Wanted::Full).unwrap_err().to_string();
        assert!(error.contains("CRC"), "{error}");
    }
}

#[test]
fn a_file_too_short_for_its_pixels_is_refused_before_memory_is_taken() {
    let mut file = png_file(&small(), FilterType::NoFilter);
    // 16384 x 2048 pixels of three bytes.
    file[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 8, 0]);
    let error = decode(&file, Wanted::Full).unwrap_err().to_string();
    assert!(error.ends_with("compressed bytes for 100665344"), "{error}");
    file[16..20].copy_from_slice(&[0, 0, 0x40, 1]);
    let error = decode(&file, Wanted::Full).unwrap_err().to_string();
    assert_eq!(error, "PNG: a side of 16385 pixels; at most 16384");
}

#[test]
fn the_first_bytes_tell_the_format() {
    let mut jpeg = Vec::new();
    small()
        .write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
        .unwrap();
    let (frame, meaning) = decode(&jpeg, Wanted::Full).unwrap();
    assert_eq!((frame.width, frame.height, frame.channels), (9, 7, 3));
    assert_eq!(meaning.colour, Colour::Ybr);
    let grey = DynamicImage::ImageLuma8(small().to_luma8());
    let mut jpeg = Vec::new();
    grey.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
        .unwrap();
    assert_eq!(
        jpeg::decode(&jpeg, Wanted::Full).unwrap().transform,
        Transform::None
    );
    assert_eq!(decode(&jpeg, Wanted::Full).unwrap().1, Meaning::picture(8));
    let error = decode(b"Image Index,Labels", Wanted::Full)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "picture: not an image by its first bytes; expected PNG or JPEG"
    );
}
