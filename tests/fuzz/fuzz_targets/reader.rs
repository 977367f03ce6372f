//! Any bytes as a tensor file: refused or read, never a panic, never more memory than the file explains.
//!
//! `FEDWING_FUZZ_HEAVIEST=1` opens the heaviest headers of the largest size instead and prints what they take.
#![no_main]

use std::{env, hint::black_box, sync::Once};

use contract::tensors::MAX_HEADER;
use fl_aggregator::tensor_file::TensorFile;
use fuzz::{MemoryFile, peak_of, tensor_file, within_limits};
use libfuzzer_sys::fuzz_target;

static HEAVIEST: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    HEAVIEST.call_once(|| {
        if env::var_os("FEDWING_FUZZ_HEAVIEST").is_some() {
            heaviest_headers();
        }
    });
    let file = MemoryFile::new(bytes);
    within_limits(bytes.len(), || {
        let Ok(file) = TensorFile::open(&file.path()) else {
            return;
        };
        for tensor in &file.tensors {
            let bytes = file.bytes(tensor);
            assert_eq!(bytes.len(), tensor.byte_length());
            black_box(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
            black_box(tensor.element());
            // A tensor without values has no coordinates to ask for.
            if !bytes.is_empty() {
                black_box(tensor.coordinates(0).len());
            }
        }
    });
});

/// Prints the memory that headers of the largest accepted size take: many tensors, one long shape, much metadata.
fn heaviest_headers() {
    let limit = usize::try_from(MAX_HEADER).expect("a small number");
    let fill = |before: &str, item: &dyn Fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        for number in 0.. {
            let item = item(number);
            if text.len() + item.len() + after.len() + 1 > limit {
                break;
            }
            if number > 0 {
                text.push(',');
            }
            text.push_str(&item);
        }
        text + after
    };
    let tensor = |n: usize| format!(r#""{n:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    let headers = [
        ("tensors", fill("{", &tensor, "}")),
        (
            "scalars",
            fill(
                "{",
                &|n| {
                    tensor(n)
                        .replace("[0],", "[],")
                        .replace("[0,0]", &format!("[{n},{}]", n + 1))
                },
                "}",
            ),
        ),
        (
            "a shape",
            fill(
                r#"{"a":{"dtype":"U8","shape":["#,
                &|_| "0".to_owned(),
                r#"],"data_offsets":[0,0]}}"#,
            ),
        ),
        (
            "metadata",
            fill(r#"{"__metadata__":{"#, &|n| format!(r#""{n:x}":"""#), "}}"),
        ),
        ("no tensors", fill(r#"{"a":["#, &|_| "0".to_owned(), "]}")),
        ("nested", fill(r#"{"a":["#, &|_| "[]".to_owned(), "]}")),
        (
            "a string",
            format!(r#"{{"__metadata__":{{"a":"{}"}}}}"#, "x".repeat(limit - 32)),
        ),
        (
            "escapes",
            format!(r#"{{"__metadata__":{{"a":"{}"}}}}"#, r"\n".repeat(limit / 2 - 32)),
        ),
    ];
    for (name, header) in headers {
        let data = if name == "scalars" {
            vec![0; header.matches("U8").count()]
        } else {
            Vec::new()
        };
        let bytes = tensor_file(header.as_bytes(), &data);
        let file = MemoryFile::new(&bytes);
        let (opened, peak) = peak_of(|| TensorFile::open(&file.path()).map(|file| file.tensors.len()));
        let verdict = opened.map_or("refused".to_owned(), |tensors| format!("{tensors} tensors"));
        eprintln!(
            "{name}: {} bytes, {verdict}, {:.1} bytes allocated a byte",
            bytes.len(),
            peak as f64 / bytes.len() as f64
        );
    }
}
