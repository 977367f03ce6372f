//! The list of a workflow's jobs.

#![allow(clippy::unwrap_used)] // a test throughout

mod sample;

use fedwing::{
    check::Layout,
    emit::{JOBS_FILE, MemoryFiles, write_jobs},
    plan,
};
use sample::Sample;

#[test]
fn every_job_has_a_line_with_its_outputs() {
    let sample = Sample {
        datasets: vec!["nih"],
        rounds: 1,
        baselines: vec![],
        ..Sample::small(Layout::Flat)
    };
    let plan = plan::lower(&sample.checked()).unwrap();
    let mut files = MemoryFiles::default();
    write_jobs(&plan, &mut files).unwrap();
    insta::assert_snapshot!(String::from_utf8(files.0.remove(JOBS_FILE).unwrap()).unwrap());
}
