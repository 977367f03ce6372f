//! Any text as a pool file: a pool or a mistake that can be shown, never a panic. A pool has slots and times that a simulation
//! can work with, and can be written.
#![no_main]

use std::{collections::BTreeSet, hint::black_box};

use fedwing::{diag::Colour, simulate::Pool};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let report = Pool::read(&text, "pool.yml");
    let shown = report.diagnostics.render(Colour::Never);
    let Some(pool) = report.pool else {
        assert!(
            report.diagnostics.has_errors(),
            "refused without a reason: {shown}"
        );
        return;
    };
    assert!(!pool.sites.is_empty(), "a pool has slots");
    for site in &pool.sites {
        assert!(
            site.slots >= 1 && site.speed > 0.0 && site.speed.is_finite(),
            "{site:?}"
        );
    }
    let names: BTreeSet<&str> = pool.sites.iter().map(|site| site.site.as_str()).collect();
    assert_eq!(names.len(), pool.sites.len(), "a place is there once");
    for time in pool.jobs.values() {
        for seconds in [time.fixed, time.per_sample, time.per_megabyte] {
            assert!(seconds >= 0.0 && seconds.is_finite(), "{time:?}");
        }
        assert!(time.spread >= 1.0 && time.spread.is_finite(), "{time:?}");
    }
    black_box(pool.to_yaml(&[]));
});
