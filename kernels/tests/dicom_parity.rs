//! Agreement with pydicom on every file of the test data's folder `dicom`; goldens and their script in `tests/parity/dicom/`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::{collections::BTreeSet, env, error::Error, fs, path::Path, path::PathBuf};

use kernels::cxr::{
    Depth, Fit, Frame, Lut, Meaning, Modality, Pixels, Samples, Square, Stored, Target, Voi, VoiFunction,
    Wanted, dicom, render,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Files that are refused, with words of the message.
const REFUSED: [(&str, &str); 7] = [
    (
        "MR_truncated.dcm",
        "the pixel data is cut short: 8192 bytes are needed for all frames (1), 8130 are there",
    ),
    ("badVR.dcm", "an image with 32 bits allocated"),
    ("meta_missing_tsyntax.dcm", "`BitsAllocated` is missing"),
    ("no_meta.dcm", "not a DICOM file: it begins with 20 08 00 05"),
    ("reportsi.dcm", "holds no image: SOP class Basic Text SR"),
    ("rtplan.dcm", "holds no image: SOP class RT Plan"),
    ("rtplan_truncated.dcm", "cut short in (300A,00B0): it needs"),
];

/// Files that pydicom refuses and a decoder of ours takes; libjpeg-turbo says what is in them.
const TAKEN: [&str; 1] = ["JPEG-lossy.dcm"];

/// Largest difference of means over parts of a lossy image, in stored values.
const TOLERANCE: f64 = 1.0;

fn folder(test: &str) -> Option<PathBuf> {
    let root = match env::var_os("FEDWING_DATA") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let folder = root.join("dicom");
    if !folder.is_dir() {
        println!("SKIPPED {test}: no folder `dicom` of real data; set FEDWING_DATA to run it");
        return None;
    }
    Some(folder)
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/dicom/golden.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every cause of an error, from the outermost.
fn words(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}

/// Stored values, signed where the file says so.
fn values(frame: &Frame<'_>, meaning: &Meaning) -> Vec<i32> {
    let stored = meaning.stored;
    let value = |word: u16| {
        let low = stored.high_bit + 1 - stored.bits;
        let value = i32::from(word) >> low & ((1 << stored.bits) - 1);
        if stored.signed && value >> (stored.bits - 1) == 1 {
            value - (1 << stored.bits)
        } else {
            value
        }
    };
    match &frame.samples {
        Samples::U8(words) => words.iter().map(|word| value(u16::from(*word))).collect(),
        Samples::U16(words) => words.iter().map(|word| value(*word)).collect(),
    }
}

fn digest(values: &[i32], allocated: u32) -> String {
    let bytes: Vec<u8> = match allocated {
        8 => values.iter().map(|value| *value as u8).collect(),
        _ => values
            .iter()
            .flat_map(|value| (*value as u16).to_le_bytes())
            .collect(),
    };
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// 16 rows of 16 means, pixels counted by the area they share with a part.
fn thumbnail(plane: &[i32], width: usize, height: usize) -> Vec<f64> {
    let shares = |length: usize, part: usize| -> Vec<(usize, f64)> {
        let (from, to) = ((part * length) as f64 / 16.0, ((part + 1) * length) as f64 / 16.0);
        (0..length)
            .map(|at| {
                (
                    at,
                    (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0) * 16.0 / length as f64,
                )
            })
            .filter(|(_, share)| *share > 0.0)
            .collect()
    };
    let mut means = Vec::new();
    for row in 0..16 {
        for column in 0..16 {
            let mut mean = 0.0;
            for (y, high) in shares(height, row) {
                for (x, wide) in shares(width, column) {
                    mean += high * wide * f64::from(plane[y * width + x]);
                }
            }
            means.push(mean);
        }
    }
    means
}

/// Holds a file's frames against the golden; says how far lossy ones are off.
fn compare(name: &str, bytes: &[u8], golden: &Value) -> Result<f64, dicom::DicomError> {
    let object = dicom::open(bytes)?;
    let attributes = object.attributes();
    assert_eq!(attributes, &dicom::attributes(bytes, &[])?, "{name}");
    if let Some(turbo) = golden.get("turbo") {
        let (frame, meaning) = (object.frame(0, Wanted::Full)?, object.meaning(0)?);
        let values = values(&frame, &meaning);
        if golden.get("error").is_some() {
            assert_eq!(digest(&values, 16), turbo["sha256"], "{name}: libjpeg-turbo");
            return Ok(0.0);
        }
    }
    if golden.get("error").is_some() {
        object.frame(0, Wanted::Full)?;
        return Ok(0.0);
    }
    let text = |key: &str| golden[key].as_str().unwrap().to_owned();
    let number = |key: &str| golden[key].as_u64().map(|number| number as u32);
    assert_eq!(attributes.transfer_syntax.uid, text("transfer_syntax"), "{name}");
    assert_eq!(
        attributes.sop_instance.clone().unwrap_or_default(),
        text("sop_instance"),
        "{name}"
    );
    assert_eq!(
        attributes.patient_id.clone().unwrap_or_default(),
        text("patient"),
        "{name}"
    );
    assert_eq!(
        attributes.modality.clone().unwrap_or_default(),
        text("modality"),
        "{name}"
    );
    assert_eq!(attributes.photometric, Some(text("photometric")), "{name}");
    assert_eq!(attributes.rows, number("rows"), "{name}");
    assert_eq!(attributes.columns, number("columns"), "{name}");
    assert_eq!(attributes.bits, number("bits_stored"), "{name}");
    assert_eq!(Some(object.frames()), number("frames"), "{name}");
    let mut worst: f64 = 0.0;
    for number in 0..object.frames() {
        let (frame, meaning) = (object.frame(number, Wanted::Full)?, object.meaning(number)?);
        frame.check().unwrap();
        let stored = values(&frame, &meaning);
        assert_eq!(u64::from(frame.channels), golden["samples_per_pixel"], "{name}");
        if digest(&stored, meaning.stored.allocated) == golden["sha256"][number as usize] {
            continue;
        }
        assert_eq!(golden["lossy"], true, "{name}: frame {number} differs");
        for channel in 0..frame.channels as usize {
            let plane: Vec<i32> = stored
                .iter()
                .skip(channel)
                .step_by(frame.channels as usize)
                .copied()
                .collect();
            let expected = golden["thumbnail"][channel].as_array().unwrap();
            let ours = thumbnail(&plane, frame.width as usize, frame.height as usize);
            for (ours, expected) in ours.iter().zip(expected) {
                worst = worst.max((ours - expected.as_f64().unwrap()).abs());
            }
        }
    }
    if let Some(display) = golden.get("display") {
        compare_display(name, &object.meaning(0)?, display);
    }
    Ok(worst)
}

fn compare_display(name: &str, meaning: &Meaning, display: &Value) {
    let (slope, intercept) = match meaning.modality {
        Modality::Identity => (1.0, 0.0),
        Modality::Linear { slope, intercept } => (slope, intercept),
        Modality::Lut(_) => panic!("{name} has no modality table"),
    };
    assert_eq!(
        display["rescale"],
        serde_json::json!([slope, intercept]),
        "{name}"
    );
    let window = &display["window"];
    match &meaning.voi {
        Voi::Window { centre, width, .. } => {
            assert_eq!(window[0][0], *centre, "{name}");
            assert_eq!(window[1][0], *width, "{name}");
        }
        Voi::Percentiles { .. } => assert_eq!(window, &serde_json::json!([[], []]), "{name}"),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_file_has_the_pixels_that_pydicom_finds_or_is_refused_by_name() {
    let Some(folder) = folder("every_file_has_the_pixels_that_pydicom_finds_or_is_refused_by_name") else {
        return;
    };
    let golden = golden();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "dcm") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let golden = golden["files"]
            .get(&name)
            .unwrap_or_else(|| panic!("{name} has no golden"));
        let refusal = REFUSED.iter().find(|(file, _)| *file == name);
        match (compare(&name, &fs::read(&path).unwrap(), golden), refusal) {
            (Ok(worst), None) => {
                assert!(worst <= TOLERANCE, "{name}: off by {worst}");
                assert!(
                    golden.get("error").is_none() || TAKEN.contains(&name.as_str()),
                    "{name} is read"
                );
                println!("{name}: off by {worst:.3}");
            }
            (Err(error), Some((_, expected))) => {
                let words = words(&error);
                assert!(words.contains(expected), "{name}: {words}");
                assert!(golden.get("error").is_some(), "{name}: pydicom reads it");
                println!("{name}: refused: {words}");
            }
            (Ok(_), Some(_)) => panic!("{name} is no longer refused"),
            (Err(error), None) => panic!("{name}: {}", words(&error)),
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), golden["files"].as_object().unwrap().len(), "{seen:?}");
}

#[test]
fn the_same_image_in_six_transfer_syntaxes_has_the_same_values_and_meaning() {
    let Some(folder) = folder("the_same_image_in_six_transfer_syntaxes_has_the_same_values_and_meaning")
    else {
        return;
    };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let plain = read("MR_small.dcm");
    let plain = dicom::open(&plain).unwrap();
    for name in [
        "implicit",
        "bigendian",
        "RLE",
        "jp2klossless",
        "jpeg_ls_lossless",
        "padded",
    ] {
        let bytes = read(&format!("MR_small_{name}.dcm"));
        let object = dicom::open(&bytes).unwrap();
        assert_eq!(
            object.frame(0, Wanted::Full),
            plain.frame(0, Wanted::Full),
            "{name}"
        );
        assert_eq!(object.meaning(0), plain.meaning(0), "{name}");
    }
}

/// What a case of `display.json` says of its words.
fn meaning_of(case: &Value) -> Meaning {
    let number = |key: &str| case[key].as_u64().unwrap() as u32;
    let table = |lut: &Value| {
        let of = |key: &str| lut[key].as_i64().unwrap();
        let largest = (1 << of("bits")) - 1;
        let entry = |entry: i64| (entry * of("times") / of("over")).min(largest) as u16;
        Lut {
            first: of("first") as i32,
            values: (0..of("entries")).map(entry).collect(),
            bits: of("bits") as u32,
        }
    };
    let modality = if case["modality_lut"].is_object() {
        Modality::Lut(table(&case["modality_lut"]))
    } else if case["slope"].is_number() || case["intercept"].is_number() {
        Modality::Linear {
            slope: case["slope"].as_f64().unwrap_or(1.0),
            intercept: case["intercept"].as_f64().unwrap_or(0.0),
        }
    } else {
        Modality::Identity
    };
    let voi = if case["voi_lut"].is_object() {
        Voi::Lut(table(&case["voi_lut"]))
    } else {
        Voi::Window {
            centre: case["window"][0].as_f64().unwrap(),
            width: case["window"][1].as_f64().unwrap(),
            function: match case["function"].as_str() {
                Some("SIGMOID") => VoiFunction::Sigmoid,
                Some("LINEAR_EXACT") => VoiFunction::LinearExact,
                _ => VoiFunction::Linear,
            },
        }
    };
    let padding = case["padding"].as_array().map(|ends| {
        let [a, b] = [0, 1].map(|end: usize| ends[end].as_i64().unwrap() as i32);
        (a.min(b), a.max(b))
    });
    Meaning {
        stored: Stored {
            allocated: number("allocated"),
            bits: number("bits"),
            high_bit: number("high_bit"),
            signed: case["signed"].as_bool().unwrap(),
        },
        modality,
        voi,
        inverted: case["photometric"] == "MONOCHROME1",
        padding,
        ..Meaning::picture(number("bits"))
    }
}

#[test]
fn words_are_shown_as_the_formulas_of_the_standard_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/dicom/display.json");
    let golden: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let target = Target {
        size: 1,
        depth: Depth::U16,
        fit: Fit::Stretch,
    };
    let (mut shown, mut refused) = (0, 0);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if case["window"].is_null() && case["voi_lut"].is_null() {
            // The standard leaves open what is shown.
            continue;
        }
        let meaning = meaning_of(case);
        let words = case["stored"].as_array().unwrap();
        let padded: Vec<u64> = case["padded"]
            .as_array()
            .map(|at| at.iter().map(|at| at.as_u64().unwrap()).collect())
            .unwrap_or_default();
        for (at, word) in words.iter().enumerate() {
            // A frame of one pixel: the word alone.
            let word = word.as_u64().unwrap() as u16;
            let (bits, samples) = match meaning.stored.allocated {
                8 => (8, Samples::U8(vec![word as u8].into())),
                _ => (16, Samples::U16(vec![word].into())),
            };
            let frame = Frame::new((1, 1), 1, bits, samples).unwrap();
            let mut square = Square::new();
            let rendered = render(&frame, &meaning, target, &mut square);
            if case["display"].is_null() {
                assert!(rendered.is_err(), "{name}");
                refused += 1;
                continue;
            }
            rendered.unwrap_or_else(|error| panic!("{name}: {error}"));
            let Pixels::U16(pixels) = square.pixels() else {
                panic!("{name}: not 16 bits")
            };
            let expected = if padded.contains(&(at as u64)) {
                0.0
            } else {
                case["display"][at].as_f64().unwrap() * 65_535.0
            };
            let ours = f64::from(pixels[0]);
            assert!(
                (ours - expected).abs() <= 0.51,
                "{name}: word {word} is {ours} of {expected}"
            );
            shown += 1;
        }
    }
    assert!(shown > 700 && refused > 0, "{shown} shown, {refused} refused");
}
