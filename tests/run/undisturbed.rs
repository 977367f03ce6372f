//! Runs nobody interferes with.

use std::fs;

use crate::scenario::{Scenario, assert_code, assert_same_files, files, report};

#[test]
fn a_specification_becomes_a_report_that_says_synthetic() {
    let scenario = Scenario::phantom(2);
    let output = scenario.run("run", 2);
    assert_code(&output, 0);

    let report = report(&scenario.dir("run"));
    assert_eq!(report["synthetic"], true);
    let rounds = report["datasets"][0]["rounds"].as_array().expect("rounds");
    assert_eq!(rounds.len(), 3, "the initial model and two rounds");
    assert!(rounds.iter().all(|round| round["metrics"]["auroc"].is_f64()));

    let html = fs::read_to_string(scenario.dir("run").join("report/report.html")).expect("the report");
    assert!(html.contains("SYNTHETIC"));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("report.html"),
        "the report's path is printed"
    );
}

#[test]
fn every_global_model_is_named_so() {
    let scenario = Scenario::phantom(2);
    assert_code(&scenario.run("run", 2), 0);
    let globals: Vec<_> = files(&scenario.dir("run"))
        .into_keys()
        .filter(|name| name.contains("global"))
        .collect();
    assert_eq!(globals.len(), 3);
    assert!(
        globals.iter().all(|name| name.ends_with(".safetensors")),
        "{globals:?}"
    );
}

#[test]
fn one_and_two_jobs_at_once_give_the_same_bytes() {
    let scenario = Scenario::phantom(3);
    assert_code(&scenario.run("one", 1), 0);
    assert_code(&scenario.run("two", 2), 0);
    assert_same_files(&scenario.dir("one"), &scenario.dir("two"));
}

#[test]
fn a_folder_that_holds_a_run_is_not_run_into() {
    let scenario = Scenario::phantom(1);
    assert_code(&scenario.run("run", 2), 0);
    let before = files(&scenario.dir("run"));
    let again = scenario.run("run", 2);
    assert!(!again.status.success());
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("resume"),
        "the way out is named"
    );
    assert!(before == files(&scenario.dir("run")));
}
