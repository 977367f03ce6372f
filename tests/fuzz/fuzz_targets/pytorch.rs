//! Any bytes as a file of `torch.save`, in both layouts: refused or read, never a panic, never more memory than the bytes
//! explain.
#![no_main]

use std::hint::black_box;

use fl_client::pytorch::{is_pytorch, tensors};
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

/// Files begin with one of these; behind the second come the protocol's number and a description of the machine.
const BEGINNINGS: [&[u8]; 2] = [
    b"PK\x03\x04",
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.",
];

fuzz_target!(|bytes: &[u8]| {
    if is_pytorch(bytes) {
        return read(bytes);
    }
    // Else the choice of a beginning is left to the first byte, so that most inputs get past it.
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    read(&[BEGINNINGS[usize::from(choice % 2)], rest].concat());
});

fn read(bytes: &[u8]) {
    within_limits(bytes.len(), || {
        for (name, tensor) in tensors(bytes).unwrap_or_default() {
            black_box((name, &tensor.kind));
            black_box(tensor.data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
        }
    });
}
