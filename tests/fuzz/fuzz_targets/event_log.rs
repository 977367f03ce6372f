//! Any bytes as a job event log: read as far as events are whole, the same in one piece and in two.
#![no_main]

use fedwing::evidence::event_log::parse;
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    within_limits(bytes.len(), || {
        let whole = parse(bytes);
        assert!(whole.consumed <= bytes.len());
        let first = parse(&bytes[..bytes.len() / 2]);
        let second = parse(&bytes[first.consumed..]);
        assert_eq!(first.unreadable + second.unreadable, whole.unreadable);
        assert_eq!([first.events, second.events].concat(), whole.events);
    });
});
