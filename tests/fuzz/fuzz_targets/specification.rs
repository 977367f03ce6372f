//! Any text as a specification, of one experiment or a sweep, or, by the first byte, as a pool file: told what is wrong with it
//! or read, never a panic. What is accepted can be planned.
#![no_main]

use std::path::Path;

use fedwing::{
    check,
    diag::{Colour, Diagnostics, Text},
    plan,
    spec::pool,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    if choice % 2 == 1 {
        let mut found = Vec::new();
        let pool = pool::read(&text, &mut found);
        let found = Diagnostics::new(Text::new("pool.yml", &text), found);
        assert!(
            pool.is_some() || found.has_errors(),
            "nothing is refused without a word"
        );
        shown(&found);
        return;
    }
    let report = check::check(&text, "e1.yml", Path::new("/specs"));
    assert_eq!(report.accepted(), !report.diagnostics.has_errors());
    shown(&report.diagnostics);
    if let Some(checked) = report.checked {
        let jobs = u64::from(checked.federation.rounds) * checked.datasets.len() as u64;
        // A plan has as many jobs as a specification asks for, whatever its length.
        if jobs < 100
            && checked
                .datasets
                .iter()
                .all(|dataset| dataset.config.clients < 100)
        {
            plan::lower(&checked).expect("what is accepted has a plan");
        }
    }
});

fn shown(found: &Diagnostics) {
    found.render(Colour::Never);
    found.to_json();
}
