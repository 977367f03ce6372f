//! Any words as a command line: refused, or arguments that print to a command line that means the same.
#![no_main]

use contract::args::Job;
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let words: Vec<&str> = text.split(['\n', '\0']).collect();
    within_limits(bytes.len(), || {
        if let Ok(job) = Job::from_argv(&words) {
            assert_eq!(Job::from_argv(&job.to_argv()), Ok(job));
        }
    });
});
