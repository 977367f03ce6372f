//! Any text as a record of kickstart: what is found in it is a number where it says it is one.
#![no_main]

use fedwing::evidence::kickstart::parse;
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    within_limits(text.len(), || {
        for found in parse(&text) {
            assert!(found.duration_s.is_none_or(|seconds| seconds >= 0.0 && seconds.is_finite()));
            assert!(found.cpu_s.is_none_or(|seconds| seconds >= 0.0));
            for file in found.files {
                assert!(!file.lfn.is_empty() && file.sha256.is_none_or(|digest| digest.len() == 64));
            }
        }
    });
});
