//! Compressed pictures against what CharLS, OpenJPEG and Pillow decode. Goldens: `tests/parity/pictures/`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{env, fmt::Write, fs, path::PathBuf};

use kernels::cxr::{
    Colour, Frame, Samples, Wanted,
    decode::{DecodeError, jpeg_ls, jpeg2000, picture},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/pictures")
}

fn stream(name: &str) -> Vec<u8> {
    fs::read(folder().join("streams").join(name)).unwrap()
}

fn cases(extensions: &[&str]) -> Vec<Value> {
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap().iter();
    let wanted = |case: &&Value| {
        let file = case["file"].as_str().unwrap();
        extensions.iter().any(|extension| file.ends_with(extension)) && case["sha256"] != ""
    };
    cases.filter(wanted).cloned().collect()
}

fn values(frame: &Frame<'_>) -> Vec<u16> {
    match &frame.samples {
        Samples::U8(values) => values.iter().map(|value| u16::from(*value)).collect(),
        Samples::U16(values) => values.to_vec(),
    }
}

fn digest(frame: &Frame<'_>) -> String {
    let bytes: Vec<u8> = match &frame.samples {
        Samples::U8(values) => values.to_vec(),
        Samples::U16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

/// Compares all there is: the values themselves where rounding is the decoder's own, else their digest.
fn compare(case: &Value, frame: &Frame<'_>) {
    let name = case["file"].as_str().unwrap();
    frame.check().unwrap();
    assert_eq!(frame.grid.step, 1, "{name}");
    for (ours, theirs) in [
        (frame.width, "width"),
        (frame.height, "height"),
        (frame.channels, "channels"),
        (frame.bits, "bits"),
    ] {
        assert_eq!(
            u64::from(ours),
            case[theirs].as_u64().unwrap(),
            "{name}: {theirs}"
        );
    }
    let Some(expected) = case["values"].as_array() else {
        assert_eq!(digest(frame), case["sha256"].as_str().unwrap(), "{name}");
        return;
    };
    let ours = values(frame);
    assert_eq!(ours.len(), expected.len(), "{name}");
    for (i, (ours, theirs)) in ours.iter().zip(expected).enumerate() {
        let theirs = theirs.as_i64().unwrap();
        let ours = if theirs < 0 || *ours >= 1 << 15 {
            i64::from(*ours as i16)
        } else {
            i64::from(*ours)
        };
        assert!(
            (ours - theirs).abs() <= 1,
            "{name}: sample {i} is {ours}, expected {theirs}"
        );
    }
}

#[test]
fn jpeg_ls_is_that_of_charls() {
    let cases = cases(&[".jls"]);
    assert!(cases.len() >= 17);
    for case in cases {
        let bytes = stream(case["file"].as_str().unwrap());
        compare(&case, &jpeg_ls::decode(&bytes).unwrap());
    }
}

#[test]
fn jpeg_2000_is_that_of_openjpeg() {
    let cases = cases(&[".j2k", ".jp2"]);
    assert!(cases.len() >= 22);
    for case in cases {
        let name = case["file"].as_str().unwrap();
        let frame =
            jpeg2000::decode(&stream(name), Wanted::Full).unwrap_or_else(|error| panic!("{name}: {error}"));
        compare(&case, &frame);
    }
}

#[test]
fn png_is_that_of_pillow() {
    let cases = cases(&[".png"]);
    assert!(cases.len() >= 9);
    for case in cases {
        let (frame, meaning) =
            picture::decode(&stream(case["file"].as_str().unwrap()), Wanted::Full).unwrap();
        compare(&case, &frame);
        assert_eq!((meaning.colour, meaning.stored.bits), (Colour::AsIs, frame.bits));
    }
}

/// The first frame's bytes, and nothing else, of a file with compressed pixels (PS3.5 A.4).
fn fragments(file: &[u8]) -> Vec<u8> {
    // Pixel data; then its kind, OB or OW, and a length that is not defined.
    let head = b"\xE0\x7F\x10\x00O";
    let start = file
        .windows(head.len())
        .rposition(|window| window == head)
        .unwrap()
        + 12;
    let mut items = Vec::new();
    let mut rest = &file[start..];
    while let Some(item) = rest.strip_prefix(b"\xFE\xFF\x00\xE0") {
        let length = u32::from_le_bytes(item[..4].try_into().unwrap()) as usize;
        items.push(&item[4..4 + length]);
        rest = &item[4 + length..];
    }
    // The first item is the table of offsets.
    items[1..].concat()
}

#[test]
fn real_files_are_those_of_pydicom() {
    let data = env::var_os("FEDWING_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let data = data.join("dicom");
    if !data.is_dir() {
        println!("SKIPPED real_files_are_those_of_pydicom: no data folder; set FEDWING_DATA to run it");
        return;
    }
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap();
    let real = golden["real"].as_array().unwrap();
    assert_eq!(real.len(), 6);
    for case in real {
        let name = case["file"].as_str().unwrap();
        let bytes = fragments(&fs::read(data.join(name)).unwrap());
        let frame = if bytes.starts_with(&[0xFF, 0xD8]) {
            jpeg_ls::decode(&bytes)
        } else {
            jpeg2000::decode(&bytes, Wanted::Full)
        };
        let mut frame = frame.unwrap_or_else(|error| panic!("{name}: {error}"));
        let spaced = case["every"].as_u64().unwrap() as usize;
        if spaced > 1 {
            // Shrunk to what the golden holds: a line of every so-manieth value.
            let kept: Vec<u16> = values(&frame).into_iter().step_by(spaced).collect();
            frame = Frame::new((kept.len() as u32, 1), 1, frame.bits, Samples::U16(kept.into())).unwrap();
        }
        compare(case, &frame);
    }
}

#[test]
fn high_throughput_coding_is_refused_by_name() {
    let error = jpeg2000::decode(&stream("ht.j2k"), Wanted::Full).unwrap_err();
    assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("HTJ2K"), "{error}");
}

/// What a reduced resolution may differ from the mean over its cells, in grey levels of 4096: on average, at most.
///
/// The most is at a shutter's edge, a step of 1000 grey levels; cells that reach over the image's edge are left out.
const REDUCED: [(u32, f64, f64); 3] = [(1, 2.8, 100.0), (2, 2.2, 80.0), (3, 2.6, 40.0)];

#[test]
fn a_reduced_resolution_is_nearly_the_mean_of_its_cells() {
    let bytes = stream("radiograph.j2k");
    let full = jpeg2000::decode(&bytes, Wanted::Full).unwrap();
    let pixels = values(&full);
    for (levels, mean_bound, most_bound) in REDUCED {
        let step = 1 << levels;
        let reduced = jpeg2000::decode(&bytes, Wanted::AtLeast(512 >> levels)).unwrap();
        assert_eq!((reduced.width, reduced.height), (640 >> levels, 512 >> levels));
        assert_eq!((reduced.grid.full_width, reduced.grid.full_height), (640, 512));
        assert_eq!(
            (reduced.grid.step, reduced.grid.origin),
            (step, -((step - 1) as f32) / 2.0)
        );
        // Weights of the pixels a cell reaches, along one axis: the first and last may be halves.
        let weights = |i: u32| -> Vec<(usize, f64)> {
            let from = f64::from(reduced.grid.origin) + f64::from(i * step);
            let to = from + f64::from(step);
            (from.floor() as usize..to.ceil() as usize)
                .map(|p| (p, (to.min(p as f64 + 1.0) - from.max(p as f64)) / f64::from(step)))
                .collect()
        };
        let ours = values(&reduced);
        let (mut sum, mut most, mut count) = (0.0, 0.0_f64, 0);
        for y in 1..reduced.height - 1 {
            for x in 1..reduced.width - 1 {
                let columns = weights(x);
                let mean: f64 = weights(y)
                    .iter()
                    .flat_map(|(py, wy)| columns.iter().map(move |(px, wx)| (py * 640 + px, wy * wx)))
                    .map(|(i, weight)| weight * f64::from(pixels[i]))
                    .sum();
                let off = (mean - f64::from(ours[(y * reduced.width + x) as usize])).abs();
                (sum, most, count) = (sum + off, most.max(off), count + 1);
            }
        }
        let mean = sum / f64::from(count);
        println!("{levels} levels less: {mean:.2} on average, {most:.1} at most");
        assert!(
            mean <= mean_bound && most <= most_bound,
            "{levels} levels: {mean:.2}, {most:.1}"
        );
    }
}

#[test]
fn as_many_levels_are_left_out_as_leave_what_is_wanted() {
    let bytes = stream("radiograph.j2k");
    let sides = |least| {
        let frame = jpeg2000::decode(&bytes, Wanted::AtLeast(least)).unwrap();
        frame.check().unwrap();
        (frame.width, frame.height)
    };
    assert_eq!(sides(513), (640, 512));
    assert_eq!(sides(512), (640, 512));
    assert_eq!(sides(257), (640, 512));
    assert_eq!(sides(256), (320, 256));
    assert_eq!(sides(64), (80, 64));
    // Five levels is all there are.
    assert_eq!(sides(0), (20, 16));
    // An image that does not begin at the grid's origin stays whole.
    let frame = jpeg2000::decode(&stream("offset.j2k"), Wanted::AtLeast(4)).unwrap();
    assert_eq!((frame.width, frame.grid.step, frame.grid.origin), (83, 1, 0.0));
    // Odd sides are rounded up.
    let frame = jpeg2000::decode(&stream("tiles.j2k"), Wanted::AtLeast(16)).unwrap();
    assert_eq!((frame.width, frame.height, frame.grid.step), (21, 16, 4));
}
