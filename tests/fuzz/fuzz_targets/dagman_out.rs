//! Any bytes as DAGMan's output: read as far as lines are whole, the same in one piece and in two.
#![no_main]

use fedwing::evidence::dagman_out::Reader;
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    within_limits(bytes.len(), || {
        let (whole, consumed) = Reader::default().push(bytes);
        assert!(consumed <= bytes.len());
        let mut reader = Reader::default();
        let (first, consumed) = reader.push(&bytes[..bytes.len() / 2]);
        let (second, _) = reader.push(&bytes[consumed..]);
        assert_eq!([first, second].concat(), whole);
    });
});
