//! Any bytes as a DICOM file: refused or read, never a panic, never more memory than the bytes and the announced sizes of
//! compressed frames explain.
//!
//! Sides that streams announce are cut to a byte each: larger images only take longer.
#![no_main]

use fuzz::{BASE, cut_sides, peak_of};
use kernels::cxr::{Colour, Lut, Meaning, Modality, Voi, Wanted, dicom};
use libfuzzer_sys::fuzz_target;

/// Most bytes allocated at once for each sample of the largest compressed frame left, of 255 x 255 x 4, as in `pictures`.
const BYTES_PER_SAMPLE: usize = 96;

/// Most bytes allocated at once for each byte: 1032 for deflate, twice while it goes on; blocks of JPEG.
const BYTES_PER_BYTE: usize = 4096;

/// Keywords asked for: text in a character set, a number, a tag, one that is a sequence.
const ASKED: [&str; 5] = [
    "PatientName",
    "SmallestImagePixelValue",
    "FrameIncrementPointer",
    "RecommendedDisplayFrameRateInFloat",
    "ReferencedImageSequence",
];

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    cut_sides(&mut bytes);
    let limit = BASE + BYTES_PER_SAMPLE * 4 * 255 * 255 + BYTES_PER_BYTE * bytes.len();
    let ((), peak) = peak_of(|| read(&bytes));
    assert!(
        peak <= limit,
        "{} bytes made {peak} bytes be allocated, more than {limit}",
        bytes.len()
    );
});

fn read(bytes: &[u8]) {
    let attributes = dicom::attributes(bytes, &[]);
    let _ = dicom::attributes(bytes, &ASKED[..4]);
    let _ = dicom::attributes(bytes, &ASKED);
    let Ok(object) = dicom::open(bytes) else { return };
    assert_eq!(attributes.as_ref(), Ok(object.attributes()), "both read the same");
    let last = object.frames() - 1;
    for number in [0, last] {
        for wanted in [Wanted::Full, Wanted::AtLeast(8)] {
            if let Ok(frame) = object.frame(number, wanted) {
                frame.check().expect("a frame is sound");
            }
        }
        for window in [0, 1] {
            if let Ok(meaning) = object.meaning_with(number, window) {
                check(&meaning);
            }
        }
    }
    assert!(object.frame(object.frames(), Wanted::Full).is_err());
}

/// What readers of a meaning rely on.
fn check(meaning: &Meaning) {
    let stored = meaning.stored;
    assert!((1..=stored.allocated).contains(&stored.bits) && stored.allocated <= 16);
    assert!((stored.bits - 1..stored.allocated).contains(&stored.high_bit));
    assert!((0.01..=100.0).contains(&meaning.aspect));
    let sound = |lut: &Lut| (8..=16).contains(&lut.bits) && (1..=65_536).contains(&lut.values.len());
    match &meaning.modality {
        Modality::Identity => {}
        Modality::Linear { slope, intercept } => {
            assert!(*slope != 0.0 && slope.is_finite() && intercept.is_finite());
        }
        Modality::Lut(lut) => assert!(sound(lut)),
    }
    match &meaning.voi {
        Voi::Window { centre, width, .. } => assert!(centre.is_finite() && *width > 0.0 && width.is_finite()),
        Voi::Lut(lut) => assert!(sound(lut)),
        Voi::Full | Voi::Percentiles { .. } => {}
    }
    if let Colour::Palette { luma, .. } = &meaning.colour {
        assert!((1..=65_536).contains(&luma.len()));
    }
    if let Some((first, last)) = meaning.padding {
        assert!(first <= last);
    }
}
