//! How jobs fail, when they are tried again, and what that means for others.

use std::{fs, num::NonZeroU32, thread};

use contract::units::{Bytes, Seconds};
use fedwing::{
    engine::{EngineError, run},
    plan::{External, Program},
    record::{Outcome, RunOutcome},
};

use super::support::{Bench, Declare, Gate, Messages, dag, given, options, sh};

fn failed(jobs: &[&str]) -> RunOutcome {
    RunOutcome::Failed(jobs.iter().map(|&job| job.to_owned()).collect())
}

#[test]
fn a_missing_output_fails_the_job_and_its_descendants_do_not_run() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![
        sh("a", "echo 1 > x").writes(&["x", "y"]),
        sh("b", "cat y > z").reads(&["y"]).writes(&["z"]),
        sh("c", "echo 3 > w").writes(&["w"]),
    ]));
    assert_eq!(outcome, failed(&["a"]));
    assert_eq!(
        bench.outcomes("a"),
        [Outcome::OutputMissing(vec!["y".to_owned()])]
    );
    assert!(bench.outcomes("b").is_empty());
    assert_eq!(bench.text("w"), "3\n");
    assert!(!bench.file("x").exists(), "an output of a failed job is not kept");
    assert!(
        bench.dir.job("a").join("x").exists(),
        "its directory is, to look into"
    );
}

#[test]
fn an_exit_code_says_whether_the_job_is_tried_again() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![
        sh("io", "exit 21").retried(2),
        sh("invalid", "exit 11").retried(2),
        sh("foreign", "exit 77").retried(1),
        sh("signal", "kill -9 $$").retried(1),
    ]));
    assert_eq!(outcome, failed(&["io", "invalid", "foreign", "signal"]));
    assert_eq!(bench.outcomes("io"), vec![Outcome::Exit(21); 3]);
    assert_eq!(bench.outcomes("invalid"), [Outcome::Exit(11)]);
    assert_eq!(bench.outcomes("foreign"), vec![Outcome::Exit(77); 2]);
    assert_eq!(bench.outcomes("signal"), vec![Outcome::Signal(9); 2]);
}

#[test]
fn an_attempt_that_succeeds_in_the_end_does_the_job_in_a_clean_directory() {
    let bench = Bench::new();
    let tries = bench.shared("tries");
    let script = format!(
        "[ -e left ] && exit 12; echo 1 > left; echo x >> {0}; [ $(wc -l < {0}) -ge 3 ] || exit 20; echo ok > a",
        tries.display()
    );
    assert_eq!(
        bench.run(&dag(vec![sh("j", &script).writes(&["a"]).retried(5)])),
        RunOutcome::Done
    );
    assert_eq!(
        bench.outcomes("j"),
        [Outcome::Exit(20), Outcome::Exit(20), Outcome::Done]
    );
}

#[test]
fn the_jobs_own_account_of_its_failure_is_recorded() {
    let bench = Bench::new();
    let failure = r#"{"fedwing_failure":1,"job":"fl-client train","kind":"input_invalid","exit":11,
        "retry":"useless","message":"no such tensor","file":null,"help":null}"#;
    let graph = dag(vec![
        sh("j", "cp given fedwing-failure.json; exit 11").reads(&["given"]),
    ]);
    bench.run(&given(graph, "given", External::Content(failure.to_owned())));
    let attempt = bench.history().jobs["j"].attempts[0].clone();
    assert_eq!(attempt.failure.unwrap().message, "no such tensor");
}

#[test]
fn a_job_beyond_its_walltime_is_ended_with_its_children() {
    let bench = Bench::new();
    let gate = Gate::new(bench.shared("gate"));
    // Neither heeds SIGTERM.
    let mut job = sh("j", &format!("trap '' TERM; ({} sleep 1000) & wait", gate.open())).retried(3);
    job.request.walltime = Seconds(1);
    thread::scope(|scope| {
        let run = scope.spawn(|| bench.run(&dag(vec![job])));
        gate.wait().wait_for_all_to_end();
        assert_eq!(run.join().unwrap(), failed(&["j"]));
    });
    assert_eq!(bench.outcomes("j"), [Outcome::Walltime]);
}

#[test]
fn a_script_without_an_interpreter_is_not_started_and_says_so() {
    let bench = Bench::new();
    let path = bench.shared("script");
    fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut job = sh("j", "");
    job.program = Program::Path(path.to_str().unwrap().to_owned());
    let mut messages = Messages::default();
    let outcome = run(&dag(vec![job]), &bench.dir, &options(1), &mut messages).unwrap();
    assert_eq!(outcome, failed(&["j"]));
    assert!(
        messages.0[0].contains("cannot be executed"),
        "{messages:?}",
        messages = messages.0
    );
}

#[test]
fn what_can_be_known_before_is_refused_before_anything_runs() {
    let refuse = |change: fn(&mut fedwing::plan::Dag)| {
        let bench = Bench::new();
        let mut graph = dag(vec![sh("a", "echo 1 > x").writes(&["x"]), sh("b", "true")]);
        change(&mut graph);
        let error = run(&graph, &bench.dir, &options(1), &mut ()).unwrap_err();
        assert!(!bench.dir.root().exists(), "nothing is made");
        error
    };
    assert!(matches!(
        refuse(|dag| dag.jobs[1].program = Program::Path("/no/such/program".to_owned())),
        EngineError::Programs(programs) if programs.len() == 1
    ));
    assert!(matches!(
        refuse(|dag| dag.jobs[1].in_place.push("/no/such/folder".to_owned())),
        EngineError::SourcesMissing(sources) if sources[0].contains("`b`")
    ));
    assert!(matches!(
        refuse(|dag| dag.jobs[1].request.memory = Bytes(u64::MAX)),
        EngineError::Memory { .. }
    ));
    assert!(matches!(
        refuse(|dag| dag.jobs[1].request.gpus = 1),
        EngineError::Gpus { has: 0, .. }
    ));
}

#[test]
fn contradictions_of_a_graph_are_listed_together() {
    let bench = Bench::new();
    let graph = dag(vec![
        sh("a", "").writes(&["x"]).after(&[1]),
        sh("b", "").writes(&["x", "x/y"]).after(&[0]),
        sh("b", "").reads(&["nowhere"]).after(&[9]),
    ]);
    let Err(EngineError::Graph(problems)) = run(&graph, &bench.dir, &options(1), &mut ()) else {
        panic!("a graph that cannot run is run");
    };
    let text = problems.join("\n");
    for part in [
        "written by both `a` and `b`",
        "two jobs are called `b`",
        "nothing provides",
        "job number 9 of 3",
        "wait for each other: `a`, `b`",
        "the folder of `x/y`",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn more_cpus_than_there_are_is_a_note() {
    let bench = Bench::new();
    let mut job = sh("j", "echo $RAYON_NUM_THREADS > n").writes(&["n"]);
    job.request.cpus = 500;
    let mut options = options(1);
    options.machine.cpus = NonZeroU32::new(3).unwrap();
    let mut messages = Messages::default();
    assert_eq!(
        run(&dag(vec![job]), &bench.dir, &options, &mut messages).unwrap(),
        RunOutcome::Done
    );
    assert_eq!(bench.text("n"), "3\n");
    assert!(messages.0[0].contains("1 of kind `sh`"));
}
