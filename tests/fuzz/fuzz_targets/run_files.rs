//! Any text as one of the smaller files of a run, by its first byte: refused or read, never a panic, never more memory than
//! the text explains.
#![no_main]

use std::hint::black_box;

use fedwing::evidence::{braindump, deleted, jobstate, manifest, metrics};
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    within_limits(text.len(), || match choice % 5 {
        0 => drop(black_box(braindump::parse(&text))),
        1 => drop(black_box(manifest::parse(&text))),
        2 => drop(black_box(metrics::parse(&text))),
        3 => drop(black_box(deleted::parse(&text))),
        _ => assert!(jobstate::parse(bytes).1 <= bytes.len()),
    });
});
