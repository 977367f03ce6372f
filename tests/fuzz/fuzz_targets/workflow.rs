//! Any texts as a Pegasus workflow with its catalogs and sub-workflows, told apart by lines `===`: read or refused, never a panic.
#![no_main]

use std::hint::black_box;

use fedwing::emit::{MemoryFiles, pegasus};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 4] = [
    "/w/workflow.yml",
    "/w/transformations.yml",
    "/w/replicas.yml",
    "/w/inner.yml",
];

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let parts = FILES.iter().zip(text.split("===\n"));
    let files = parts.map(|(name, part)| ((*name).to_owned(), part.as_bytes().to_vec()));
    drop(black_box(pegasus::read(&MemoryFiles(files.collect()), FILES[0])));
});
