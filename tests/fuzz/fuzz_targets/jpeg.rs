//! Any bytes as an RLE or JPEG image: refused or decoded, never a panic, never more memory than the bytes explain.
#![no_main]

use fuzz::within;
use kernels::cxr::{
    Wanted,
    decode::{jpeg, rle},
};
use libfuzzer_sys::fuzz_target;

/// Most bytes allocated at once for each byte of an image.
///
/// A block of 64 samples takes at least two bits (one, if progressive), and a sample takes one byte or two; it may be
/// there twice, by planes and by pixels, and a third time as a coefficient.
const BYTES_PER_BYTE: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    within(BYTES_PER_BYTE, bytes.len(), || match bytes {
        [0, width, height, colour, deep, frame @ ..] => {
            let channels = if *colour == 0 { 1 } else { 3 };
            let bits = if *deep == 0 { 8 } else { 16 };
            let (width, height) = (u32::from(*width) + 1, u32::from(*height) + 1);
            if let Ok(frame) = rle::decode(frame, width, height, channels, bits) {
                frame.check().expect("a frame is sound");
            }
        }
        [wanted, image @ ..] => {
            // Few samples are an eighth of the image, more a quarter.
            let wanted = match *wanted {
                0 | 1 => Wanted::Full,
                wanted => Wanted::AtLeast(u32::from(wanted) - 1),
            };
            if let Ok(decoded) = jpeg::decode(image, wanted) {
                decoded.frame.check().expect("a frame is sound");
            }
        }
        [] => {}
    });
});
