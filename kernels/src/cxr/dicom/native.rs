//! Frames that are not compressed: words as they are (PS3.5 8.1, annex A).
//!
//! In: the bytes of a frame. Out: its samples, borrowed where they already lie as they must. Start at [`samples`].

use std::borrow::Cow;

use super::{
    DicomError,
    error::unsupported,
    image::{Image, Photometric},
};
use crate::cxr::Samples;

/// The samples of a frame, channels of a pixel side by side.
///
/// `bytes` has the [native length](Image::native_length); `big`: words begin with their highest byte.
pub(super) fn samples<'b>(bytes: &'b [u8], image: &Image, big: bool) -> Result<Samples<'b>, DicomError> {
    let pixels = (image.samples() / u64::from(image.channels)) as usize;
    if image.photometric == Photometric::YbrFull422 {
        return Ok(Samples::U8(Cow::Owned(expanded(bytes, image)?)));
    }
    Ok(match (image.allocated, image.planar) {
        (8, false) => Samples::U8(Cow::Borrowed(bytes)),
        (8, true) => Samples::U8(Cow::Owned(interleaved(bytes, pixels))),
        (_, false) => Samples::U16(words(bytes, big)),
        (_, true) => Samples::U16(Cow::Owned(interleaved(&words(bytes, big), pixels))),
    })
}

/// Words of 16 bits; without a copy where they lie as this processor reads them.
fn words(bytes: &[u8], big: bool) -> Cow<'_, [u16]> {
    if big == cfg!(target_endian = "big") {
        // SAFETY: any two bytes are a `u16`; those before the first aligned word and after the last are seen to be none.
        if let ([], words, []) = unsafe { bytes.align_to::<u16>() } {
            return Cow::Borrowed(words);
        }
    }
    let pairs = bytes.as_chunks().0.iter().copied();
    Cow::Owned(match big {
        true => pairs.map(u16::from_be_bytes).collect(),
        false => pairs.map(u16::from_le_bytes).collect(),
    })
}

/// Channels one after another, made to lie side by side; there are three.
fn interleaved<T: Copy>(planes: &[T], pixels: usize) -> Vec<T> {
    let (first, rest) = planes.split_at(pixels);
    let (second, third) = rest.split_at(pixels);
    let mut out = Vec::with_capacity(planes.len());
    for ((a, b), c) in first.iter().zip(second).zip(third) {
        out.extend([*a, *b, *c]);
    }
    out
}

/// YBR_FULL_422: two lumas, then the colours of both, which become two pixels (PS3.3 C.7.6.3.1.2).
fn expanded(bytes: &[u8], image: &Image) -> Result<Vec<u8>, DicomError> {
    if !image.columns.is_multiple_of(2) || image.planar {
        return unsupported("YBR_FULL_422 with an odd number of columns or channels one after another");
    }
    let mut out = Vec::with_capacity(image.samples() as usize);
    for [first, second, blue, red] in bytes.as_chunks().0 {
        out.extend([*first, *blue, *red, *second, *blue, *red]);
    }
    Ok(out)
}

/// Bytes that were written as words with the highest byte first (OW, PS3.5 A.3): each two change places.
pub(super) fn swapped(value: &[u8], place: std::ops::Range<usize>) -> Vec<u8> {
    place.map(|at| *value.get(at ^ 1).unwrap_or(&value[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(photometric: Photometric, allocated: u32, planar: bool) -> Image {
        Image {
            columns: 2,
            rows: 1,
            frames: 1,
            photometric,
            channels: if photometric.is_grey() { 1 } else { 3 },
            planar,
            allocated,
            stored: allocated,
            high_bit: allocated - 1,
            signed: false,
        }
    }

    #[test]
    fn aligned_words_are_borrowed_and_others_copied_with_the_same_values() {
        let words: Vec<u16> = vec![0, 0x0201, 0x0403, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let bytes = if (bytes.as_ptr() as usize).is_multiple_of(2) {
            &bytes[..]
        } else {
            &bytes[1..]
        };
        let grey = image(Photometric::Monochrome2, 16, false);
        let Ok(Samples::U16(Cow::Borrowed(borrowed))) = samples(&bytes[2..6], &grey, false) else {
            panic!("aligned words are not copied")
        };
        assert_eq!(borrowed, [0x0201, 0x0403]);
        let Ok(Samples::U16(Cow::Owned(copied))) = samples(&bytes[1..5], &grey, false) else {
            panic!("words at odd places are copied")
        };
        assert_eq!(copied, [0x0100, 0x0302]);
        let Ok(Samples::U16(swapped)) = samples(&bytes[2..6], &grey, true) else {
            panic!()
        };
        assert_eq!(*swapped, [0x0102, 0x0304]);
    }

    #[test]
    fn planes_become_pixels() {
        let rgb = image(Photometric::Rgb, 8, true);
        let samples_of = samples(&[1, 2, 11, 12, 21, 22], &rgb, false).unwrap();
        assert_eq!(samples_of, Samples::U8(Cow::Owned(vec![1, 11, 21, 2, 12, 22])));
        let rgb = image(Photometric::Rgb, 16, true);
        let bytes = [0, 1, 0, 2, 0, 11, 0, 12, 0, 21, 0, 22];
        let samples_of = samples(&bytes, &rgb, true).unwrap();
        assert_eq!(samples_of, Samples::U16(Cow::Owned(vec![1, 11, 21, 2, 12, 22])));
    }

    #[test]
    fn two_pixels_of_422_share_their_colours() {
        let mut ybr = image(Photometric::YbrFull422, 8, false);
        assert_eq!(ybr.native_length(), 4);
        let samples_of = samples(&[10, 20, 100, 200], &ybr, false).unwrap();
        assert_eq!(
            samples_of,
            Samples::U8(Cow::Owned(vec![10, 100, 200, 20, 100, 200]))
        );
        ybr.columns = 3;
        assert!(samples(&[0; 6], &ybr, false).is_err());
    }

    #[test]
    fn bytes_of_big_endian_words_change_places_wherever_a_frame_begins() {
        assert_eq!(swapped(&[2, 1, 4, 3, 6, 5], 1..5), [2, 3, 4, 5]);
        assert_eq!(swapped(&[2, 1, 3], 1..3), [2, 3]);
    }
}
