use proptest::prelude::*;

use super::*;
use crate::cxr::{
    Samples,
    decode::encoder::{Lossless, Sequential, radiograph, zigzag},
};

fn values(frame: &Frame<'_>) -> Vec<u16> {
    match &frame.samples {
        Samples::U8(values) => values.iter().map(|value| u16::from(*value)).collect(),
        Samples::U16(values) => values.to_vec(),
    }
}

fn full(bytes: &[u8]) -> Frame<'static> {
    decode(bytes, Wanted::Full).unwrap().frame
}

/// Images of any kind of the lossless process, with values near one another or anywhere.
fn lossless() -> impl Strategy<Value = (Lossless, Vec<u16>)> {
    let image = (1_usize..50, 1_usize..30, any::<bool>(), 2_u32..=16, 1_u8..=7);
    let coding = (0_u32..3, 0_usize..4, any::<bool>(), 0_u32..=16);
    (image, coding).prop_flat_map(
        |((width, height, colour, bits, predictor), (shift, restart_rows, interleaved, spread))| {
            let channels = if colour { 3 } else { 1 };
            let image = Lossless {
                width,
                height,
                channels,
                bits,
                predictor,
                shift: shift.min(bits - 1),
                restart_rows,
                interleaved,
            };
            let most = 1_u32 << spread.min(bits);
            let mask = (1_u32 << bits) - 1;
            let values = prop::collection::vec(0..most, width * height * channels);
            let values = values.prop_map(move |values| {
                let offset = (1_u32 << (bits - 1)) - most / 2;
                values
                    .into_iter()
                    .map(|value| ((value + offset) & mask) as u16)
                    .collect()
            });
            (Just(image), values)
        },
    )
}

fn sequential() -> impl Strategy<Value = Sequential> {
    let layouts = vec![
        vec![(1, 1)],
        vec![(2, 2)],
        vec![(1, 1), (1, 1), (1, 1)],
        vec![(2, 1), (1, 1), (1, 1)],
        vec![(1, 2), (1, 1), (1, 2)],
        vec![(2, 2), (1, 1), (2, 1)],
        vec![(4, 1), (1, 1), (2, 1)],
    ];
    let size = (1_usize..70, 1_usize..50);
    let coding = (prop::sample::select(layouts), 5_u32..=100, 0_usize..5);
    (size, coding, any::<bool>(), any::<bool>()).prop_map(
        |((width, height), (sampling, quality, restart), interleaved, deep)| Sequential {
            width,
            height,
            bits: if deep { 12 } else { 8 },
            sampling,
            quality,
            restart,
            interleaved,
        },
    )
}

/// Components of a drawn radiograph, each shifted by its number.
fn drawn(image: &Sequential) -> Vec<Vec<u16>> {
    (0..image.sampling.len())
        .map(|number| {
            let (width, height) = image.size(number);
            let values = radiograph(width, height).into_iter();
            values
                .map(|value| (value.rotate_left(4 * number as u32) % 4096) >> (12 - image.bits))
                .collect()
        })
        .collect()
}

/// The samples of a block by the definition of the inverse DCT (T.81 A.3.3).
fn inverse(coefficients: &[i32; 64], steps: &[i32; 64]) -> [f64; 64] {
    let norm = |frequency: usize| if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let wave = |frequency: usize, at: usize| {
        norm(frequency) / 2.0 * (std::f64::consts::PI / 16.0 * (frequency * (2 * at + 1)) as f64).cos()
    };
    std::array::from_fn(|at| {
        let term = |place: usize| {
            f64::from(coefficients[place] * steps[place]) * wave(place / 8, at / 8) * wave(place % 8, at % 8)
        };
        (0..64).map(term).sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn lossless_images_come_back((image, values_in) in lossless()) {
        let bytes = image.encode(&values_in);
        let frame = full(&bytes);
        prop_assert_eq!((frame.width as usize, frame.height as usize), (image.width, image.height));
        prop_assert_eq!((frame.channels as usize, frame.bits), (image.channels, image.bits));
        let expected: Vec<u16> = values_in.iter().map(|value| value >> image.shift << image.shift).collect();
        prop_assert_eq!(values(&frame), expected);
    }

    #[test]
    fn a_cut_lossless_image_is_cut_short((image, values_in) in lossless(), part in 0.0..1.0) {
        let bytes = image.encode(&values_in);
        // The last byte of data may be filled up by bits that are not needed, or lie before a byte stuffed in.
        let cut = ((bytes.len() - 6) as f64 * part) as usize;
        let error = decode(&bytes[..cut + 2], Wanted::Full).unwrap_err();
        prop_assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
    }

    #[test]
    fn sequential_images_are_their_coefficients_transformed(image in sequential()) {
        let (bytes, components) = image.encode(&drawn(&image));
        let decoded = full(&bytes);
        let eighth = decode(&bytes, Wanted::AtLeast(1)).unwrap().frame;
        let shorter = image.width.min(image.height) as u32;
        let quarter = decode(&bytes, Wanted::AtLeast(shorter.div_ceil(4))).unwrap().frame;
        let most = (1 << image.bits) - 1;
        let centre = f64::from(1 << (image.bits - 1));
        let channels = components.len();
        let most_sampling = image.sampling.iter().fold((1, 1), |(x, y), other| (x.max(other.0), y.max(other.1)));
        let (full_values, means) = (values(&decoded), values(&eighth));
        prop_assert_eq!(eighth.grid.step, 8);
        prop_assert_eq!((eighth.width as usize, eighth.height as usize), (image.width.div_ceil(8), image.height.div_ceil(8)));
        for (number, component) in components.iter().enumerate() {
            let factors = image.sampling[number];
            let blocks: Vec<[f64; 64]> = component.blocks.iter().map(|block| inverse(block, &image.steps())).collect();
            for y in 0..image.height {
                for x in 0..image.width {
                    let (cx, cy) = (x * factors.0 / most_sampling.0, y * factors.1 / most_sampling.1);
                    let block = blocks[cy / 8 * component.across + cx / 8];
                    let expected = (block[cy % 8 * 8 + cx % 8] + centre).clamp(0.0, f64::from(most));
                    let value = f64::from(full_values[(y * image.width + x) * channels + number]);
                    prop_assert!((value - expected).abs() < 1.0, "{value} for {expected} at {x}, {y}, {number}");
                }
            }
            for y in 0..image.height.div_ceil(8) {
                for x in 0..image.width.div_ceil(8) {
                    let (cx, cy) = (x * factors.0 / most_sampling.0, y * factors.1 / most_sampling.1);
                    let block = &component.blocks[cy * component.across + cx];
                    let mean = f64::from(block[0] * image.steps()[0]) / 8.0 + centre;
                    // Halves go up.
                    let expected = (mean + 0.5).floor().clamp(0.0, f64::from(most)) as u16;
                    prop_assert_eq!(means[(y * image.width.div_ceil(8) + x) * channels + number], expected);
                }
            }
            if quarter.grid.step == 8 {
                // A side so short that an eighth of it is as long.
                continue;
            }
            prop_assert_eq!((quarter.grid.step, quarter.width, quarter.height), (4, (image.width as u32).div_ceil(4), (image.height as u32).div_ceil(4)));
            let quarters = values(&quarter);
            for y in 0..image.height.div_ceil(4) {
                for x in 0..image.width.div_ceil(4) {
                    let (cx, cy) = (x * factors.0 / most_sampling.0, y * factors.1 / most_sampling.1);
                    let block = blocks[cy / 2 * component.across + cx / 2];
                    let samples = (0..16).map(|at| block[(cy % 2 * 4 + at / 4) * 8 + cx % 2 * 4 + at % 4]);
                    let expected = (samples.sum::<f64>() / 16.0 + centre).clamp(0.0, f64::from(most));
                    let value = f64::from(quarters[(y * image.width.div_ceil(4) + x) * channels + number]);
                    prop_assert!((value - expected).abs() < 0.501, "{value} for {expected} at {x}, {y}, {number}");
                }
            }
        }
    }

    #[test]
    fn a_cut_sequential_image_is_cut_short(image in sequential(), part in 0.0..1.0) {
        let (bytes, _) = image.encode(&drawn(&image));
        let cut = ((bytes.len() - 6) as f64 * part) as usize;
        for wanted in [Wanted::Full, Wanted::AtLeast(1)] {
            let error = decode(&bytes[..cut + 2], wanted).unwrap_err();
            prop_assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
        }
    }

    #[test]
    fn damaged_images_are_refused_or_decoded(
        image in sequential(),
        (coded, values_in) in lossless(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for mut bytes in [image.encode(&drawn(&image)).0, coded.encode(&values_in)] {
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            for wanted in [Wanted::Full, Wanted::AtLeast(1)] {
                if let Ok(decoded) = decode(&bytes, wanted) {
                    prop_assert!(decoded.frame.check().is_ok());
                }
            }
        }
    }
}

#[test]
fn coefficients_are_coded_along_diagonals() {
    // The first of T.81 figure A.6.
    assert_eq!(zigzag()[..10], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);
}

#[test]
fn an_eighth_is_close_to_the_mean_of_what_it_leaves_out() {
    let image = Sequential {
        width: 523,
        height: 411,
        bits: 8,
        sampling: vec![(1, 1)],
        quality: 90,
        restart: 0,
        interleaved: true,
    };
    let (bytes, _) = image.encode(&drawn(&image));
    let (all, eighth) = (
        values(&full(&bytes)),
        decode(&bytes, Wanted::AtLeast(52)).unwrap().frame,
    );
    assert_eq!((eighth.width, eighth.height), (66, 52));
    let grid = eighth.grid;
    assert_eq!(
        (grid.full_width, grid.full_height, grid.step, grid.origin),
        (523, 411, 8, 0.0)
    );
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    let means = values(&eighth);
    for y in 0..51 {
        for x in 0..65 {
            let block = (0..64).map(|at| f64::from(all[(8 * y + at / 8) * 523 + 8 * x + at % 8]));
            let error = (block.sum::<f64>() / 64.0 - f64::from(means[y * 66 + x])).abs();
            sum += error;
            worst = worst.max(error);
        }
    }
    let mean = sum / (51.0 * 65.0);
    assert!(mean < 0.3 && worst < 1.0, "{mean} in the mean, {worst} at worst");
}

#[test]
fn an_eighth_or_a_quarter_is_taken_only_where_it_is_enough() {
    let image = Sequential {
        width: 80,
        height: 65,
        bits: 8,
        sampling: vec![(1, 1)],
        quality: 80,
        restart: 0,
        interleaved: true,
    };
    let (bytes, _) = image.encode(&drawn(&image));
    for (wanted, step) in [(9, 8), (10, 4), (17, 4), (18, 1)] {
        let frame = decode(&bytes, Wanted::AtLeast(wanted)).unwrap().frame;
        assert_eq!(frame.grid.step, step, "{wanted} wanted");
    }
}

mod parity {
    use std::{fs, path::Path};

    use serde_json::Value;

    use super::*;

    fn golden(name: &str) -> (Vec<u8>, Vec<usize>, Vec<u16>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/jpeg");
        let read = |file: &str| fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let all: Value = serde_json::from_slice(&read("golden.json")).unwrap();
        let numbers = |value: &Value| -> Vec<u64> {
            let list = value.as_array().unwrap().iter();
            list.map(|number| number.as_u64().unwrap()).collect()
        };
        let shape = numbers(&all[name]["shape"])
            .iter()
            .map(|side| *side as usize)
            .collect();
        let values = numbers(&all[name]["values"])
            .iter()
            .map(|value| *value as u16)
            .collect();
        (read(&format!("{name}.jpg")), shape, values)
    }

    #[test]
    fn samples_are_those_of_libjpeg_turbo() {
        let grey = [
            ("grey", 8),
            ("grey-low", 8),
            ("grey-restarts", 8),
            ("grey-12", 12),
            ("lossless-8", 8),
            ("lossless-12", 12),
            ("lossless-16", 16),
        ];
        for (name, bits) in grey {
            let (bytes, shape, expected) = golden(name);
            let decoded = decode(&bytes, Wanted::Full).unwrap();
            let frame = &decoded.frame;
            assert_eq!([frame.height as usize, frame.width as usize], shape[..], "{name}");
            assert_eq!(
                (frame.channels, frame.bits, decoded.transform),
                (1, bits, Transform::None),
                "{name}"
            );
            assert_eq!(values(frame), expected, "{name}");
        }
    }

    #[test]
    fn progressive_samples_are_nearly_those_of_libjpeg_turbo() {
        let (bytes, shape, expected) = golden("grey-progressive");
        let frame = full(&bytes);
        assert_eq!([frame.height as usize, frame.width as usize], shape[..]);
        // Another inverse DCT.
        let pairs = values(&frame).into_iter().zip(expected);
        assert!(pairs.into_iter().all(|(ours, theirs)| ours.abs_diff(theirs) <= 1));
        assert!(matches!(
            decode(&bytes[..bytes.len() - 2], Wanted::Full),
            Err(DecodeError::Truncated { .. })
        ));
    }

    #[test]
    fn colours_are_those_of_libjpeg_turbo_and_smaller_chroma_leaves_the_luma() {
        for (name, transform) in [
            ("colour-444", Transform::Ybr),
            ("colour-rgb", Transform::None),
            ("colour-420", Transform::Ybr),
        ] {
            let (bytes, shape, expected) = golden(name);
            let decoded = decode(&bytes, Wanted::Full).unwrap();
            assert_eq!(
                (decoded.frame.channels, decoded.transform),
                (3, transform),
                "{name}"
            );
            let mut ours = values(&decoded.frame);
            if shape.len() == 2 {
                ours = ours.into_iter().step_by(3).collect();
            }
            assert_eq!(ours, expected, "{name}");
        }
    }
}

/// A file of which only `change` of the marker segments matters.
fn small() -> Vec<u8> {
    let image = Lossless {
        width: 6,
        height: 4,
        channels: 1,
        bits: 8,
        predictor: 1,
        shift: 0,
        restart_rows: 2,
        interleaved: true,
    };
    image.encode(&(0..24).collect::<Vec<u16>>())
}

/// Where marker `FF marker` begins.
fn find(bytes: &[u8], marker: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    decode(bytes, Wanted::Full).unwrap_err().to_string()
}

#[test]
fn fill_bytes_before_markers_and_bytes_after_the_image_are_passed_over() {
    let bytes = small();
    let expected = full(&bytes);
    let mut filled = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let marker = bytes[at..].first_chunk() == Some(&[0xFF, 0xC4]) || at == find(&bytes, 0xD0);
        filled.extend_from_slice(if marker { &[0xFF; 3] } else { &[] });
        filled.push(*byte);
    }
    filled.extend([1, 2, 3, 0xFF, 0xC0, 0, 2]);
    assert_eq!(full(&filled), expected);
    // The end marker is not needed: all rows are there.
    assert_eq!(full(&bytes[..bytes.len() - 2]), expected);
}

#[test]
fn what_is_not_decoded_is_named() {
    let bytes = small();
    let frame = find(&bytes, 0xC3);
    let as_marker = |marker: u8| {
        let mut bytes = bytes.clone();
        bytes[frame + 1] = marker;
        refusal(&bytes)
    };
    assert_eq!(as_marker(0xC9), "JPEG: arithmetic coding is not supported");
    assert_eq!(as_marker(0xC5), "JPEG: the hierarchical mode is not supported");
    assert_eq!(
        as_marker(0xF7),
        "JPEG: JPEG-LS in the decoder of JPEG is not supported"
    );
    assert_eq!(as_marker(0xD0), "JPEG: marker FFD0 where tables or a scan belong");
    let changed = |offset: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[frame + offset] = byte;
        refusal(&bytes)
    };
    assert_eq!(changed(4, 17), "JPEG: samples of 17 bits");
    assert_eq!(
        changed(6, 0),
        "JPEG: a height given after the first scan is not supported"
    );
    assert_eq!(changed(9, 4), "JPEG: an image of 4 components is not supported");
}

#[test]
fn a_restart_that_is_missing_or_out_of_turn_is_refused() {
    let bytes = small();
    let mut other = bytes.clone();
    other[find(&bytes, 0xD0) + 1] = 0xD1;
    assert_eq!(
        refusal(&other),
        "JPEG: marker FFD1 where restart marker FFD0 belongs"
    );
    let mut uneven = bytes.clone();
    uneven[find(&bytes, 0xDD) + 5] = 13;
    assert_eq!(refusal(&uneven), "JPEG: a restart every 13 samples in rows of 6");
}

#[test]
fn a_few_bytes_are_not_given_memory_for_a_large_image() {
    let mut bytes = small();
    let frame = find(&bytes, 0xC3);
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x40, 0]);
    let text = refusal(&bytes);
    assert!(text.ends_with("bytes left for 16384 x 8192 pixels"), "{text}");
    bytes[frame + 5] = 0x40;
    let text = refusal(&bytes);
    assert_eq!(text, "JPEG: an image of 268435456 samples; at most 134217728");
}

#[test]
fn values_of_more_bits_than_the_header_says_keep_the_lower_ones() {
    // Differences are taken modulo 2^16 (T.81 H.1.2.1): a negative value of a signed image.
    let image = Lossless {
        width: 2,
        height: 1,
        channels: 1,
        bits: 16,
        predictor: 1,
        shift: 0,
        restart_rows: 0,
        interleaved: true,
    };
    let mut bytes = image.encode(&[0x8000 + 3, 0x8000 - 5]);
    let frame = find(&bytes, 0xC3);
    bytes[frame + 4] = 4;
    assert_eq!(full(&bytes).samples, Samples::U8(vec![11, 3].into()));
}

#[test]
fn a_transform_is_said_by_markers_and_component_names() {
    let image = Lossless {
        width: 2,
        height: 1,
        channels: 3,
        bits: 8,
        predictor: 1,
        shift: 0,
        restart_rows: 0,
        interleaved: true,
    };
    let bytes = image.encode(&[1, 2, 3, 4, 5, 6]);
    let with = |segment: &[u8]| {
        let bytes = [&bytes[..2], segment, &bytes[2..]].concat();
        decode(&bytes, Wanted::Full).unwrap().transform
    };
    let adobe = |transform: u8| with(&[b"\xFF\xEE\x00\x0EAdobe\x00\x64\0\0\0\0", &[transform][..]].concat());
    assert_eq!(with(&[]), Transform::Unsaid);
    assert_eq!(adobe(0), Transform::None);
    assert_eq!(adobe(1), Transform::Ybr);
    assert_eq!(with(b"\xFF\xE0\x00\x07JFIF\0"), Transform::Ybr);
    let mut named = bytes.clone();
    let (frame, scan) = (find(&bytes, 0xC3), find(&bytes, 0xDA));
    for (number, name) in b"RGB".iter().enumerate() {
        named[frame + 10 + 3 * number] = *name;
        named[scan + 5 + 2 * number] = *name;
    }
    assert_eq!(decode(&named, Wanted::Full).unwrap().transform, Transform::None);
}
