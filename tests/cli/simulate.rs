//! Predictions, and pool files made from runs, as others script them.

use std::{fs, path::Path};

use contract::units::Bytes;
use fedwing::{
    check, plan,
    record::{Event, Outcome, RunOutcome, Stamp},
};
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;
use tests::{fedwing, root};

use super::{code, example, stderr, stdout};

fn pool_with(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pool = folder.path().join("pool.yml");
    fs::write(&pool, text).expect("a pool file");
    let pool = pool.display().to_string();
    (folder, pool)
}

#[test]
fn every_layout_is_predicted_side_by_side() {
    let examples = root().join("examples");
    let output = std::process::Command::new(tests::binary("fedwing"))
        .current_dir(examples)
        .args([
            "simulate",
            "nih1000.yml",
            "--pool",
            "pools/laptop.yml",
            "--layout",
            "all",
        ])
        .output()
        .expect("fedwing starts");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_snapshot!(stdout(&output));
}

#[test]
fn a_prediction_as_json_has_a_version_and_terms_that_add_up() {
    let pool = example("pools/laptop.yml");
    let output = fedwing(["simulate", &example("quickstart.yml"), "--pool", &pool, "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let result: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(result["fedwing_simulate"], 1);
    let predictions = result["predictions"].as_array().expect("a list");
    assert_eq!(predictions.len(), 2, "both workflow systems");
    for predicted in predictions {
        let prediction = &predicted["prediction"];
        let terms = prediction["terms"].as_object().expect("terms");
        let sum: f64 = terms.values().filter_map(Value::as_f64).sum();
        let makespan = prediction["makespan_s"].as_f64().expect("a number");
        assert!(
            makespan > 0.0 && (sum - makespan).abs() < 1e-3,
            "{sum} {makespan}"
        );
    }
}

#[test]
fn a_job_that_no_slot_can_take_is_named_and_exits_3() {
    let (_folder, pool) = pool_with(
        "fedwing_pool: 1\nsites: {here: {slots: 4, memory: 64 MiB}}\njobs: {prepare: {fixed: 1}, \
        stats: {fixed: 1}, init: {fixed: 1}, train: {fixed: 1}, aggregate: {fixed: 1}, evaluate: {fixed: 1}, baseline: {fixed: 1}}\n",
    );
    let output = fedwing(["simulate", &example("quickstart.yml"), "--pool", &pool]);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(
        said.contains("no slot of the pool can take `evaluate-chest-r0000`"),
        "{said}"
    );
    assert!(said.contains("64 MiB memory"), "{said}");
}

#[test]
fn a_pool_file_with_mistakes_exits_3_and_shows_where_and_a_missing_one_2() {
    let (_folder, pool) = pool_with("fedwing_pool: 1\nsites: {here: {slot: 4}}\njobs: {}\n");
    let output = fedwing(["simulate", &example("quickstart.yml"), "--pool", &pool]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("pool.yml:2:16"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    let output = fedwing([
        "simulate",
        &example("quickstart.yml"),
        "--pool",
        "no-such-pool.yml",
    ]);
    assert_eq!(code(&output), 2);
    let laptop = example("pools/laptop.yml");
    let output = fedwing([
        "simulate",
        &example("quickstart.yml"),
        "--pool",
        &laptop,
        "--layout",
        "chunks:0",
    ]);
    assert_eq!(code(&output), 2);
}

/// A local run of the quickstart in which every job took ten seconds, one after the other.
fn recorded_run() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = fs::read_to_string(example("quickstart.yml")).expect("the quickstart");
    fs::write(folder.path().join("spec.yml"), &text).expect("a specification");
    let checked = check::check(&text, "spec.yml", Path::new("/"))
        .checked
        .expect("accepted");
    let plan = plan::lower(&checked).expect("a plan");
    let mut events = vec![Event::RunStarted {
        fedwing_record: Event::VERSION,
        at: Stamp(0),
        fedwing: "0".to_owned(),
        name: plan.experiment.to_string(),
        source: "/spec.yml".to_owned(),
        digest: "d".to_owned(),
        synthetic: true,
        jobs: plan.jobs.len() as u64,
        slots: 1,
        host: "h".to_owned(),
    }];
    for (place, planned) in (0..).zip(&plan.jobs) {
        let job = planned.id.to_string();
        events.push(Event::JobStarted {
            at: Stamp(place * 10_000),
            job: job.clone(),
            attempt: 1,
            kind: planned.job.name().to_owned(),
            dataset: None,
            round: None,
            client: None,
            input_bytes: Bytes(0),
        });
        events.push(Event::JobEnded {
            at: Stamp((place + 1) * 10_000),
            job,
            attempt: 1,
            outcome: Outcome::Done,
            wall_s: 10.0,
            cpu_s: 10.0,
            peak_memory: Bytes(0),
            outputs: Vec::new(),
            failure: None,
        });
    }
    events.push(Event::RunEnded {
        at: Stamp(plan.jobs.len() as u64 * 10_000),
        outcome: RunOutcome::Done,
    });
    let lines: Vec<String> = events
        .iter()
        .map(|event| serde_json::to_string(event).expect("JSON") + "\n")
        .collect();
    fs::write(folder.path().join("record.jsonl"), lines.concat()).expect("a record");
    folder
}

#[test]
fn a_pool_file_is_made_from_a_run_and_read_again() {
    let run = recorded_run();
    let output = fedwing(["calibrate".as_ref(), run.path().as_os_str()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_snapshot!(stdout(&output));
    let (_folder, pool) = pool_with(&stdout(&output));
    let spec = example("quickstart.yml");
    let output = fedwing(["simulate", &spec, "--pool", &pool, "--layout", "flat", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    let empty = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(
        code(&fedwing(["calibrate".as_ref(), empty.path().as_os_str()])),
        2
    );
}
