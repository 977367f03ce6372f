use proptest::prelude::*;

use super::{
    decode,
    encoder::{Picture, encode},
};
use crate::cxr::{Frame, Samples, decode::DecodeError};

fn values(frame: &Frame<'_>) -> Vec<u16> {
    match &frame.samples {
        Samples::U8(values) => values.iter().map(|value| u16::from(*value)).collect(),
        Samples::U16(values) => values.to_vec(),
    }
}

/// Pictures with flat parts, edges and noise, of every depth and interleaving, some with preset parameters.
fn pictures() -> impl Strategy<Value = Picture> {
    let shape = (
        1_usize..40,
        1_usize..12,
        prop_oneof![Just(1_usize), Just(3)],
        2_u32..=16,
    );
    let coding = (0_u8..3, 0_u8..4, any::<bool>(), 0_u16..40, 3_u16..100);
    (shape, coding).prop_flat_map(|((width, height, channels, bits), coding)| {
        let (interleave, near, presets, threshold, reset) = coding;
        let most = ((1_u32 << bits) - 1) as u16;
        // Not a power of two less one, for the slow modulus.
        let max = if presets { most - most / 5 } else { most };
        let near = i32::from(near).min(i32::from(max) / 2);
        let least = near as u16 + 1;
        let t1 = least.max(threshold).min(max);
        let preset = presets.then_some([
            max,
            t1,
            (t1 + 9).min(max),
            (t1 + 30).min(max),
            reset.min(max.max(255)),
        ]);
        let interleave = if channels == 1 && interleave == 2 {
            0
        } else {
            interleave
        };
        let noise = prop_oneof![Just(0_u16), Just(1), Just(most / 16 + 1), Just(most)];
        let pixels = prop::collection::vec((any::<u16>(), any::<u8>()), width * height * channels);
        (pixels, noise).prop_map(move |(random, noise)| {
            let mut level = 0;
            let pixels = random
                .iter()
                .map(|(value, jump)| {
                    if *jump < 8 {
                        level = value % (max / 2 + 1);
                    }
                    let wobble = if noise == 0 { 0 } else { value % noise };
                    level.saturating_add(wobble).min(max)
                })
                .collect();
            Picture {
                width,
                height,
                channels,
                bits,
                near,
                interleave,
                preset,
                pixels,
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn what_was_encoded_is_decoded(picture in pictures()) {
        let (stream, expected) = encode(&picture);
        let frame = decode(&stream).unwrap();
        frame.check().unwrap();
        prop_assert_eq!((frame.width as usize, frame.height as usize), (picture.width, picture.height));
        prop_assert_eq!((frame.channels as usize, frame.bits), (picture.channels, picture.bits));
        prop_assert_eq!(matches!(frame.samples, Samples::U8(_)), picture.bits <= 8);
        let got = values(&frame);
        for (got, was) in got.iter().zip(&picture.pixels) {
            prop_assert!(i32::from(got.abs_diff(*was)) <= picture.near);
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn a_stream_cut_anywhere_is_refused(picture in pictures(), at in any::<prop::sample::Index>()) {
        let (stream, _) = encode(&picture);
        // The last byte before EOI may be padding alone.
        let cut = at.index(stream.len() - 3);
        prop_assert!(decode(&stream[..cut]).is_err());
    }
}

fn small() -> Picture {
    Picture {
        width: 9,
        height: 7,
        channels: 3,
        bits: 12,
        near: 0,
        interleave: 2,
        preset: Some([4095, 18, 67, 276, 64]),
        pixels: (0..189_u32)
            .map(|i| ((i * i * 7) % 4096 / (1 + i % 3)) as u16)
            .collect(),
    }
}

#[test]
fn no_changed_byte_panics() {
    for interleave in 0..3 {
        let (stream, _) = encode(&Picture {
            interleave,
            ..small()
        });
        for at in 0..stream.len() {
            for value in 0..=255 {
                let mut changed = stream.clone();
                changed[at] = value;
                if let Ok(frame) = decode(&changed) {
                    frame.check().unwrap();
                }
            }
        }
    }
}

#[test]
fn long_runs_and_large_images_are_decoded() {
    let (width, height) = (3000, 40);
    let pixels = (0..width * height)
        .map(|i| if i % 50_021 == 50_000 { 900 } else { 37 })
        .collect();
    let picture = Picture {
        width,
        height,
        channels: 1,
        bits: 10,
        near: 0,
        interleave: 0,
        preset: None,
        pixels,
    };
    let (stream, expected) = encode(&picture);
    assert!(stream.len() < 500, "{}", stream.len());
    assert_eq!(values(&decode(&stream).unwrap()), expected);
}

/// The stream of [`small`] with a byte changed.
fn changed(offset: usize, value: u8) -> DecodeError {
    let (mut stream, _) = encode(&small());
    stream[offset] = value;
    decode(&stream).unwrap_err()
}

#[test]
fn features_that_are_not_decoded_are_named() {
    // SOI, then SOF55 with 17 bytes, LSE with 13, SOS with 12.
    let (frame, preset, scan) = (2, 2 + 2 + 17, 2 + 2 + 17 + 2 + 13);
    let cases = [
        (
            frame + 1,
            0xC3,
            "a frame of another JPEG process (marker FFC3) is not supported",
        ),
        (frame + 4, 17, "17 bits a sample; from 2 to 16"),
        (frame + 9, 4, "4 components is not supported"),
        (frame + 11, 0x22, "a subsampled component is not supported"),
        (frame + 5, 0xFF, "a side of 65287 pixels; at most 16384"),
        (preset + 4, 2, "a mapping table is not supported"),
        (preset + 4, 4, "a size set by an LSE segment is not supported"),
        (preset + 1, 0xDD, "a restart interval is not supported"),
        (scan + 6, 1, "a mapping table is not supported"),
        (scan + 12, 3, "interleave mode 3; from 0 to 2"),
        (scan + 12, 0, "3 components that are not interleaved"),
        (scan + 13, 1, "a point transform is not supported"),
        (scan + 5, 2, "a scan of components other than the frame's next"),
    ];
    for (offset, value, expected) in cases {
        assert_eq!(changed(offset, value).to_string(), format!("JPEG-LS: {expected}"));
    }
}

#[test]
fn bits_behind_the_last_line_are_refused() {
    let (mut stream, _) = encode(&small());
    let end = stream.len() - 2;
    stream.splice(end..end, [1, 2, 3]);
    let error = decode(&stream).unwrap_err().to_string();
    assert!(error.contains("bits behind its last line"), "{error}");
}
