//! Any bytes as the list of a sweep's points: refused or read, never a panic, never more memory than they explain. A list that is
//! read has values for all its points and is the same once written.
#![no_main]

use std::path::Path;

use fedwing::record::SweepList;
use fuzz::within_limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("sweep.json");
    let Ok(list) = within_limits(bytes.len(), || SweepList::parse(bytes, path)) else {
        return;
    };
    for point in &list.points {
        assert_eq!(point.values.len(), list.axes.len());
        for (value, axis) in point.values.iter().zip(&list.axes) {
            assert!(*value < axis.values.len(), "a point has a value that is none");
        }
    }
    let written = list.to_json();
    assert_eq!(
        SweepList::parse(written.as_bytes(), path).expect("what is written is read"),
        list
    );
});
