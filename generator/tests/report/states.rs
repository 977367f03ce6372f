//! Runs that are unfinished, failed, tried again or resumed.

use std::fs;

use fedwing::{
    record::{Event, RunOutcome, Stamp},
    report::{ReportError, RunState, build, html, markdown},
};
use insta::assert_snapshot;

use super::{
    fixture::{self, two_datasets},
    support::{report_of, with_snapshots},
};

#[test]
fn a_report_is_built_from_the_record_in_the_folder() {
    let run = two_datasets();
    let lines = run
        .events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n");
    fs::write(run.dir.record(), lines.collect::<String>()).unwrap();
    assert_eq!(build(&run.dir).unwrap(), report_of(&run));
    fs::remove_file(run.dir.record()).unwrap();
    assert!(matches!(build(&run.dir), Err(ReportError::Record(_))));
}

#[test]
fn a_run_without_an_end_is_unfinished_and_says_so() {
    let mut run = two_datasets();
    assert!(matches!(run.events.pop(), Some(Event::RunEnded { .. })));
    run.start("train-nih-r4-c0", "train", Some("nih"));
    let report = report_of(&run);
    assert_eq!(report.state, RunState::Unfinished);
    assert_eq!(
        (report.jobs.unfinished, report.timeline.last().unwrap().end_s),
        (1, None)
    );
    assert!(html(&report).contains("<strong>UNFINISHED</strong>"));
    assert!(markdown(&report).starts_with("# pilot (SYNTHETIC data): unfinished\n"));
}

#[test]
fn a_run_that_has_only_started_has_a_report() {
    let mut run = fixture::real_dataset();
    run.events.truncate(1);
    let report = report_of(&run);
    assert_eq!((report.jobs.waiting, report.jobs.done), (report.jobs.total, 0));
    assert!(html(&report).contains("No job has started."));
    assert!(markdown(&report).contains("**UNFINISHED**"));
}

#[test]
fn a_failed_run_lists_what_failed_with_the_way_out() {
    let mut run = two_datasets();
    run.events.pop();
    run.fail("train-nih-r4-c1", "train", Some("nih"));
    run.events.push(Event::RunEnded {
        at: Stamp(run.now),
        outcome: RunOutcome::Failed(vec!["train-nih-r4-c1".into(), "evaluate-nih-r4".into()]),
    });
    let report = report_of(&run);
    with_snapshots(|| {
        assert_snapshot!(
            "failed_jobs.json",
            serde_json::to_string_pretty(&report.failed_jobs).unwrap()
        );
    });
    for text in [html(&report), markdown(&report)] {
        assert!(
            text.contains("FAILED") && text.contains("train-nih-r4-c1"),
            "{text}"
        );
        assert!(
            text.contains("holds samples of client 0, not of client 1"),
            "{text}"
        );
        assert!(text.contains("run prepare again"), "{text}");
    }
}

#[test]
fn a_job_that_failed_once_and_then_passed_is_a_retry_and_no_failure() {
    let report = report_of(&two_datasets());
    assert_eq!((report.jobs.failed, report.jobs.retries), (0, 1));
    assert!(report.failed_jobs.is_empty());
    let attempts: Vec<_> = report
        .timeline
        .iter()
        .filter(|a| a.job == "train-nih-r2-c1")
        .collect();
    assert_eq!(
        attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        attempts[0].detail.as_deref(),
        Some("exit code 20 (out_of_memory)")
    );
}

#[test]
fn a_job_redone_after_a_resumption_counts_once_and_its_new_file_is_read() {
    let mut run = fixture::real_dataset();
    run.events.pop();
    let before = report_of(&run);
    run.start("train-nih-r4-c0", "train", Some("nih"));
    run.now += 5_000;
    run.events.push(Event::RunResumed {
        at: Stamp(run.now),
        kept: 3,
        redone: vec!["evaluate-nih-r3".into()],
        slots: 7,
    });
    let between = report_of(&run);
    assert_eq!((between.resumed, between.slots), (1, 7));
    assert_eq!(between.jobs.done, before.jobs.done - 1);
    assert_eq!(between.datasets[0].last.as_ref().unwrap().round, 2);
    run.evaluate("nih", 3, Some(0.9));
    let after = report_of(&run);
    assert_eq!(after.jobs.done, before.jobs.done);
    assert_eq!(after.datasets[0].last.as_ref().unwrap().metrics.auroc, Some(0.9));
    let cut = after
        .timeline
        .iter()
        .find(|attempt| attempt.job == "train-nih-r4-c0")
        .unwrap();
    assert!(
        cut.end_s.unwrap() < between.elapsed_s,
        "it ended with the first run, not with the pause"
    );
}
