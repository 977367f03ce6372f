use proptest::prelude::*;

use super::*;
use crate::cxr::decode::encoder::{byte_planes, rle};

fn size_and_values() -> impl Strategy<Value = (u32, u32, Vec<u16>)> {
    // Some values only, so that there are runs, and images of more than a stripe.
    (1_u32..200, 1_u32..200).prop_flat_map(|(width, height)| {
        let values = prop::collection::vec(
            prop::sample::select(vec![0, 1, 255, 256, 65535]),
            (3 * width * height) as usize,
        );
        (Just(width), Just(height), values)
    })
}

fn u16s(frame: &Frame<'_>) -> Vec<u16> {
    match &frame.samples {
        Samples::U8(values) => values.iter().map(|value| u16::from(*value)).collect(),
        Samples::U16(values) => values.to_vec(),
    }
}

/// The values of a channel, where those of a pixel lie side by side.
fn channel(values: &[u16], channel: usize) -> Vec<u16> {
    values.iter().skip(channel).step_by(3).copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_encoded_is_decoded((width, height, values) in size_and_values()) {
        let low: Vec<u16> = values.iter().map(|value| value & 255).collect();
        for (channels, bits, values) in [(1, 16, channel(&values, 0)), (3, 16, values), (1, 8, channel(&low, 0)), (3, 8, low)] {
            let planes: Vec<Vec<u8>> = (0..channels as usize)
                .flat_map(|number| {
                    let planes = byte_planes(&if channels == 1 { values.clone() } else { channel(&values, number) });
                    planes.into_iter().skip(if bits == 8 { 1 } else { 0 })
                })
                .collect();
            let mut bytes = rle(&planes);
            bytes.push(0);
            let frame = decode(&bytes, width, height, channels, bits).unwrap();
            prop_assert_eq!((frame.width, frame.height, frame.channels, frame.bits), (width, height, channels, bits));
            prop_assert_eq!(u16s(&frame), values);
        }
    }

    #[test]
    fn any_cut_is_noticed(values in prop::collection::vec(any::<u16>(), 600), cut in 3_usize..1200) {
        let bytes = rle(&byte_planes(&values));
        let bytes = &bytes[..bytes.len().saturating_sub(cut)];
        let error = decode(bytes, 30, 20, 1, 16).unwrap_err();
        prop_assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
    }

    #[test]
    fn any_bytes_are_refused_or_decoded(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = bytes;
        if let Some(header) = bytes.first_chunk_mut::<12>() {
            *header = [2, 0, 0, 0, 64, 0, 0, 0, header[8], 0, 0, 0];
        }
        let _ = decode(&bytes, 60, 5, 1, 16);
    }
}

#[test]
fn runs_of_any_length_and_control_bytes_without_meaning_are_read() {
    // 128 stands for nothing (G.3.1); a literal of one, a run of two, a run of 128.
    let mut bytes = rle(&[Vec::new()]);
    bytes.extend([128, 0, 7, 255, 9, 128, 129, 3]);
    let frame = decode(&bytes, 131, 1, 1, 8).unwrap();
    let expected: Vec<u8> = [vec![7, 9, 9], vec![3; 128]].concat();
    assert_eq!(frame.samples, Samples::U8(expected.into()));
}

#[test]
fn a_header_that_does_not_fit_the_frame_is_refused() {
    let bytes = rle(&byte_planes(&[1, 2, 3, 4]));
    let error = decode(&bytes, 2, 2, 1, 8).unwrap_err();
    assert_eq!(error.to_string(), "RLE: 2 segments where the frame needs 1");
    let error = decode(&bytes, 2, 2, 2, 16).unwrap_err();
    assert_eq!(
        error.to_string(),
        "RLE: a pixel of 2 channels of 16 bits is not supported"
    );
    let mut backwards = bytes.clone();
    backwards[8] = 63;
    let error = decode(&backwards, 2, 2, 1, 16).unwrap_err();
    assert_eq!(error.to_string(), "RLE: segment 1 from byte 64 to 63");
}

#[test]
fn a_few_bytes_are_not_given_memory_for_a_large_image() {
    let bytes = rle(&byte_planes(&[0; 200]));
    let error = decode(&bytes, 16_000, 8_000, 1, 16).unwrap_err();
    assert_eq!(error.to_string(), "RLE: cut short in segment 1 of 2");
    let error = decode(&bytes, 16_385, 1, 1, 16).unwrap_err();
    assert_eq!(error.to_string(), "RLE: a side of 16385 pixels; at most 16384");
}
