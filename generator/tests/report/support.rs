//! A report of a fixture, and where snapshots lie.

use fedwing::report::{Report, from_events};

use super::fixture::Run;

/// Keeps the snapshots under their own names.
pub fn with_snapshots(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(check);
}

pub fn report_of(run: &Run) -> Report {
    from_events(&run.dir, run.events.clone()).expect("the fixture is a whole run")
}
