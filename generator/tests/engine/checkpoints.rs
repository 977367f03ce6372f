//! What an interrupted attempt leaves for the next one, within a run and after it is continued.

use std::fs;

use contract::units::Seconds;
use fedwing::{
    engine::EngineError,
    plan::Dag,
    record::{Outcome, RunOutcome},
};

use super::support::{Bench, Declare, dag, lfn, options, sh};

/// A script that adds a line to its checkpoint, ends badly before the third, and leaves what it then has as `y`.
const COUNTS: &str = "echo rest > rest; ls >> state.ls; echo step >> state; [ $(wc -l < state) -ge 3 ] || exit 21; cat state > y";

fn done(bench: &Bench, job: &str) -> usize {
    let done = |outcome: &&Outcome| **outcome == Outcome::Done;
    bench.outcomes(job).iter().filter(done).count()
}

#[test]
fn an_attempt_goes_on_from_the_checkpoint_of_the_one_before_and_from_nothing_else() {
    let bench = Bench::new();
    let script = "[ ! -e rest ] || exit 1; echo rest > rest; echo step >> state; [ $(wc -l < state) -ge 3 ] || exit 21; cat state > y";
    let outcome = bench.run(&dag(vec![
        sh("a", script).leaves("state").writes(&["y"]).retried(2),
    ]));
    assert_eq!(outcome, RunOutcome::Done);
    assert_eq!(
        bench.outcomes("a"),
        [Outcome::Exit(21), Outcome::Exit(21), Outcome::Done]
    );
    assert_eq!(bench.text("y"), "step\nstep\nstep\n");
    assert!(
        !bench.file("state").exists(),
        "a checkpoint is no file of the run"
    );
    assert!(!bench.dir.job("a").exists(), "it is gone when the job is done");
}

#[test]
fn an_undeclared_file_is_no_checkpoint() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![sh("a", COUNTS).writes(&["y"]).retried(3)]));
    assert_eq!(outcome, RunOutcome::Failed(vec!["a".to_owned()]));
    assert_eq!(bench.outcomes("a").len(), 4);
}

#[test]
fn a_link_in_the_place_of_a_checkpoint_is_not_kept() {
    let bench = Bench::new();
    let script = "[ ! -e state ] || exit 1; ln -s /etc/hostname state; exit 21";
    bench.run(&dag(vec![sh("a", script).leaves("state").retried(1)]));
    assert_eq!(bench.outcomes("a"), vec![Outcome::Exit(21); 2]);
}

/// `a` writes `x`; `b` reads it and goes on from its checkpoint.
fn two() -> Dag {
    dag(vec![
        sh("a", "echo x > x").writes(&["x"]),
        sh("b", COUNTS).reads(&["x"]).leaves("state").writes(&["y"]),
    ])
}

#[test]
fn a_continued_run_goes_on_from_a_checkpoint() {
    let bench = Bench::new();
    bench.run(&two());
    bench.resume(&two());
    assert_eq!(bench.resume(&two()), RunOutcome::Done);
    assert_eq!(bench.text("y"), "step\nstep\nstep\n");
    assert_eq!((done(&bench, "a"), done(&bench, "b")), (1, 1));
}

#[test]
fn a_checkpoint_made_of_a_file_that_is_made_again_is_dropped() {
    let bench = Bench::new();
    bench.run(&two());
    bench.resume(&two());
    fs::remove_file(bench.file("x")).unwrap();
    assert_eq!(bench.resume(&two()), RunOutcome::Failed(vec!["b".to_owned()]));
    let state = fs::read_to_string(bench.dir.job("b").join("state")).unwrap();
    assert_eq!(state, "step\n", "it started from its beginning");
}

#[test]
fn a_job_out_of_time_is_tried_again_only_where_it_left_a_checkpoint() {
    let bench = Bench::new();
    let script = "if [ -e state ]; then cat state > y; else echo half > state; sleep 1000; fi";
    let job = |id: &str| {
        let mut job = sh(id, script).retried(1);
        job.request.walltime = Seconds(1);
        job
    };
    let outcome = bench.run(&dag(vec![
        job("with").leaves("state").writes(&["y"]),
        job("without"),
    ]));
    assert_eq!(outcome, RunOutcome::Failed(vec!["without".to_owned()]));
    assert_eq!(bench.outcomes("with"), [Outcome::Walltime, Outcome::Done]);
    assert_eq!(bench.outcomes("without"), [Outcome::Walltime]);
    assert_eq!(bench.text("y"), "half\n");
}

#[test]
fn a_checkpoint_that_is_a_file_of_the_run_too_is_refused() {
    let bench = Bench::new();
    let mut graph = two();
    graph.jobs[1].checkpoints = vec![lfn("x")];
    let error = fedwing::engine::run(&graph, &bench.dir, &options(1), &mut ()).unwrap_err();
    assert!(
        matches!(&error, EngineError::Graph(problems)
            if *problems == ["`x` is a checkpoint of `b` and a file of the run as well"]),
        "{error:?}"
    );
}
