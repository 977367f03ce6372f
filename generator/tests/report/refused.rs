//! Run folders that are not what their record says.

use std::fs;

use fedwing::{
    record::Outcome,
    report::{ReportError, from_events, html},
};

use super::{fixture, support::report_of};

#[test]
fn files_that_are_not_what_the_record_says_are_refused_by_name() {
    let file = "pilot.nih.r0003.evaluate.json";
    let run = fixture::real_dataset();
    let path = run.dir.files().join(file);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("0.", "0.9")).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Changed { file: name, .. } if name == file),
        "{error}"
    );
    assert!(error.to_string().contains(file));

    fs::remove_file(&path).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Read { file: name, .. } if name == file),
        "{error}"
    );

    fs::File::create(&path).unwrap().set_len((16 << 20) + 1).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::TooLarge { file: name, .. } if name == file),
        "{error}"
    );
}

#[test]
fn a_file_of_a_newer_format_or_of_no_format_is_refused_by_name() {
    let mut run = fixture::real_dataset();
    run.write(
        "evaluate-nih-r4",
        "evaluate",
        Some("nih"),
        "new.json",
        b"{\"fedwing_metrics\": 3, \"more\": []}",
    );
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`new.json` has format version 3; this fedwing reads version 2"
    );

    let mut run = fixture::real_dataset();
    run.write("evaluate-nih-r4", "evaluate", Some("nih"), "none.json", b"{}");
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`none.json` has neither `fedwing_metrics` nor `fedwing_stats`"
    );
}

#[test]
fn json_of_a_foreign_workflow_is_left_alone() {
    let mut run = fixture::real_dataset();
    let before = report_of(&run).datasets;
    run.write("t1", "train", None, "theirs.json", b"{\"loss\": 1}");
    assert_eq!(report_of(&run).datasets, before);
}

#[test]
fn a_record_that_points_outside_the_run_is_refused() {
    let mut run = fixture::real_dataset();
    let fact = run.fact("x.json", b"{}");
    let outside = fedwing::record::FileFact {
        name: "../x.json".into(),
        ..fact
    };
    run.start("evaluate-nih-r4", "evaluate", Some("nih"));
    run.end("evaluate-nih-r4", Outcome::Done, vec![outside]);
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(matches!(error, ReportError::BadName { .. }), "{error}");
}

#[test]
fn a_changed_specification_is_refused_and_a_missing_one_is_said() {
    let run = fixture::real_dataset();
    fs::write(run.dir.spec(), "name: other\n").unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Changed { file, .. } if file == "spec.yml"),
        "{error}"
    );
    fs::remove_file(run.dir.spec()).unwrap();
    let report = report_of(&run);
    assert_eq!((&report.spec, &report.intent), (&None, &None));
    assert!(html(&report).contains("holds no copy"));
}

#[test]
fn a_record_without_a_start_is_refused() {
    let run = fixture::real_dataset();
    assert!(matches!(
        from_events(&run.dir, run.events[1..].to_vec()),
        Err(ReportError::NoStart)
    ));
    assert!(matches!(from_events(&run.dir, vec![]), Err(ReportError::NoStart)));
}
