//! Runs that are killed, and runs whose files are tampered with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::scenario::{Scenario, assert_code, assert_same_files};

#[test]
fn a_run_killed_in_a_round_and_resumed_ends_as_if_undisturbed() {
    let scenario = Scenario::phantom(4);
    assert_code(&scenario.run("whole", 2), 0);

    let mut child = scenario.start("killed");
    scenario.wait_for("killed", &mut child, &["job_started", "\"train\"", "\"round\":2"]);
    child.kill().expect("kill -9");
    child.wait().expect("a status");

    assert_code(&scenario.resume("killed"), 0);
    assert_same_files(&scenario.dir("whole"), &scenario.dir("killed"));
}

#[test]
fn resuming_a_finished_run_runs_nothing_and_a_missing_file_is_made_again() {
    let scenario = Scenario::phantom(2);
    assert_code(&scenario.run("run", 2), 0);
    assert_code(&scenario.run("whole", 2), 0);
    let started = |text: &str| text.matches("job_started").count();
    let record = scenario.dir("run").join("record.jsonl");
    let before = started(&fs::read_to_string(&record).expect("record"));

    assert_code(&scenario.resume("run"), 0);
    assert_eq!(
        started(&fs::read_to_string(&record).expect("record")),
        before,
        "nothing was missing"
    );

    fs::remove_file(
        scenario
            .dir("run")
            .join("files/small.drawn.r0002.global.safetensors"),
    )
    .expect("removed");
    let resumed = scenario.resume("run");
    assert_code(&resumed, 0);
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(
        said.contains("r0002.global.safetensors` is missing"),
        "what is made again is named: {said}"
    );
    assert!(started(&fs::read_to_string(&record).expect("record")) > before);
    assert_same_files(&scenario.dir("whole"), &scenario.dir("run"));
}

/// Runs many rounds, lets `tamper` at the first client's shard once it is made, and returns how the run ended.
fn tampered(tamper: impl FnOnce(&Path, &Path)) -> Output {
    let scenario = Scenario::phantom(500);
    let mut child = scenario.start("run");
    scenario.wait_for("run", &mut child, &["job_ended", "prepare"]);
    let shard = |client: u32| -> PathBuf {
        scenario
            .dir("run")
            .join(format!("files/small.drawn.c{client:04}.shard.safetensors"))
    };
    tamper(&shard(0), &shard(1));
    child.wait_with_output().expect("an end")
}

fn assert_stopped_and_named(output: &Output) {
    assert_code(output, 4);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("small.drawn.c0000.shard.safetensors"),
        "the file is named: {stderr}"
    );
    assert!(
        stderr.contains("train-drawn-") || stderr.contains("baseline"),
        "the job is named: {stderr}"
    );
    assert!(
        stderr.contains("fedwing resume"),
        "the way out is named: {stderr}"
    );
}

#[test]
fn a_deleted_shard_stops_the_run() {
    assert_stopped_and_named(&tampered(|mine, _| fs::remove_file(mine).expect("removed")));
}

#[test]
fn a_truncated_shard_stops_the_run() {
    assert_stopped_and_named(&tampered(|mine, _| {
        let bytes = fs::read(mine).expect("shard");
        replace(mine, &bytes[..bytes.len() / 2]);
    }));
}

#[test]
fn another_clients_shard_stops_the_run() {
    assert_stopped_and_named(&tampered(|mine, other| {
        replace(mine, &fs::read(other).expect("shard"))
    }));
}

/// Puts other content in the place of a read-only file.
fn replace(path: &Path, content: &[u8]) {
    let beside = path.with_extension("tampered");
    fs::write(&beside, content).expect("written");
    fs::rename(beside, path).expect("renamed");
}

#[test]
fn a_run_told_to_stop_ends_in_order_and_can_be_resumed() {
    // Long enough that the signal comes before the end.
    let scenario = Scenario::phantom(30);
    assert_code(&scenario.run("whole", 2), 0);

    let mut child = scenario.start("stopped");
    scenario.wait_for("stopped", &mut child, &["job_started", "\"train\""]);
    // Not SIGINT: where the tests run in the background it is ignored, and stays so.
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(killed.success());
    assert_code(&child.wait_with_output().expect("an end"), 130);
    let record = fs::read_to_string(scenario.dir("stopped").join("record.jsonl")).expect("record");
    assert!(record.contains("interrupted"), "the record says so");

    assert_code(&scenario.resume("stopped"), 0);
    assert_same_files(&scenario.dir("whole"), &scenario.dir("stopped"));
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing_behind() {
    let scenario = Scenario::phantom(1);
    let text = fs::read_to_string(scenario.spec()).expect("specification");
    let greedy = format!("{text}execution: {{resources: {{train: {{memory: 900 TiB}}}}}}\n");
    fs::write(scenario.spec(), greedy).expect("specification");
    let output = scenario.run("run", 1);
    assert_code(&output, 5);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("900 TiB"),
        "what is asked for is named"
    );
    assert!(!scenario.dir("run").exists());
}
