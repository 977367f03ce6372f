//! Any text as a specification, of one experiment or a sweep: told what is wrong with it or accepted, never a panic. What is
//! accepted has a plan.
#![no_main]

use std::path::Path;

use fedwing::{check, diag::Colour, plan};
use libfuzzer_sys::fuzz_target;

/// A plan has as many jobs as a specification asks for, however short it is; larger ones are not planned.
const LARGEST: u32 = 100;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let report = check::check(&text, "e1.yml", Path::new("/specs"));
    assert_eq!(report.accepted(), !report.diagnostics.has_errors());
    report.diagnostics.render(Colour::Never);
    report.diagnostics.to_json();
    if let Some(checked) = report.checked
        && checked.federation.rounds <= LARGEST
        && checked.datasets.iter().all(|dataset| dataset.config.clients <= LARGEST)
    {
        plan::lower(&checked).expect("what is accepted has a plan");
    }
});
