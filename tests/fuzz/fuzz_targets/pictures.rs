//! Any bytes as a JPEG-LS or JPEG 2000 stream or a picture file: refused or decoded, never a panic, never more memory than
//! the bytes and the announced size explain.
//!
//! Announced sides are cut to a byte each: larger images only take longer.
#![no_main]

use fuzz::{BASE, cut_sides, peak_of};
use kernels::cxr::{
    Wanted,
    decode::{jpeg_ls, jpeg2000, picture},
};
use libfuzzer_sys::fuzz_target;

/// Most bytes allocated at once for each sample of the largest image left, of 255 x 255 x 4: planes of `f32`, their
/// wavelet's levels, code-blocks and what is returned, some of them twice while lists grow.
const BYTES_PER_SAMPLE: usize = 96;

/// Most bytes allocated at once for each byte: tiles and packets of JPEG 2000; 1032 for deflate; blocks of JPEG.
const BYTES_PER_BYTE: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    cut_sides(&mut bytes);
    let limit = BASE + BYTES_PER_SAMPLE * 4 * 255 * 255 + BYTES_PER_BYTE * bytes.len();
    let (decoded, peak) = peak_of(|| match choice % 4 {
        0 => jpeg_ls::decode(&bytes),
        1 => jpeg2000::decode(&bytes, Wanted::Full),
        2 => jpeg2000::decode(&bytes, Wanted::AtLeast(8)),
        _ => picture::decode(&bytes, Wanted::Full).map(|(frame, _)| frame),
    });
    assert!(
        peak <= limit,
        "{} bytes made {peak} bytes be allocated, more than {limit}",
        bytes.len()
    );
    if let Ok(frame) = decoded {
        frame.check().expect("a frame is sound");
    }
});
