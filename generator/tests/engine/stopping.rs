//! Interrupts, kill -9, and two engines on one run.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::Duration,
};

use fedwing::{
    engine::{EngineError, Interrupt, resume, run},
    plan::Dag,
    record::{Event, Outcome, RecordError, RunDir, RunOutcome},
};

use super::support::{Bench, Declare, Gate, contents, dag, options, sh};

/// The folder of the helper process's run, and where its jobs meet the test.
const FOLDER: &str = "FEDWING_TEST_ENGINE_FOLDER";

/// A chain whose middle job waits until it is killed, unless the file `go` is in `shared`.
fn stuck(shared: &Path) -> Dag {
    let wait = format!(
        "if ! [ -e {0}/go ]; then exec 3>{0}/gate; echo up >&3; sleep 1000 & wait; fi; cat a > b; echo b >> b",
        shared.display()
    );
    dag(vec![
        sh("first", "echo a > a").writes(&["a"]),
        sh("middle", &wait).reads(&["a"]).writes(&["b"]),
        sh("last", "cat b > c; echo c >> c").reads(&["b"]).writes(&["c"]),
        sh("aside", "cat a > d").reads(&["a"]).writes(&["d"]),
    ])
}

/// Not a test of its own: the process that the tests below kill.
#[test]
#[ignore = "run by other tests in a process of its own"]
fn helper_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let shared = Path::new(&folder).join("shared");
    let mut options = options(2);
    options.interrupt = Interrupt::on_signals().unwrap();
    run(
        &stuck(&shared),
        &RunDir::new(Path::new(&folder).join("run")),
        &options,
        &mut (),
    )
    .unwrap();
}

fn helper(bench: &Bench) -> Child {
    let folder = bench.dir.root().parent().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stopping::helper_process", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .spawn()
        .unwrap()
}

/// Lets the middle job pass.
fn go(bench: &Bench) {
    fs::write(bench.shared("go"), "").unwrap();
}

fn shared(bench: &Bench) -> std::path::PathBuf {
    bench.shared("x").parent().unwrap().to_owned()
}

/// The files of a run that nothing disturbed.
fn undisturbed() -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let bench = Bench::new();
    go(&bench);
    assert_eq!(bench.run(&stuck(&shared(&bench))), RunOutcome::Done);
    contents(&bench.dir.files())
}

#[test]
fn after_kill_9_no_job_is_left_and_resume_ends_with_the_same_files() {
    let bench = Bench::new();
    let gate = Gate::new(bench.shared("gate"));
    let mut helper = helper(&bench);
    let open = gate.wait();
    helper.kill().unwrap();
    helper.wait().unwrap();
    open.wait_for_all_to_end();
    assert!(
        !bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::RunEnded { .. }))
    );

    go(&bench);
    let before = bench.events().len();
    assert_eq!(bench.resume(&stuck(&shared(&bench))), RunOutcome::Done);
    assert_eq!(contents(&bench.dir.files()), undisturbed());
    assert!(
        !bench.started_since(before).contains(&"first".to_owned()),
        "it was done"
    );
    assert_eq!(bench.history().jobs["middle"].attempts.len(), 2);
}

#[test]
fn a_record_cut_off_anywhere_still_leads_to_the_same_files() {
    let (bench, wanted) = (Bench::new(), undisturbed());
    go(&bench);
    bench.run(&stuck(&shared(&bench)));
    let record = fs::read(bench.dir.record()).unwrap();
    let first = record.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in (first..record.len()).step_by(97) {
        fs::write(bench.dir.record(), &record[..cut]).unwrap();
        assert_eq!(
            bench.resume(&stuck(&shared(&bench))),
            RunOutcome::Done,
            "cut at {cut}"
        );
        assert_eq!(contents(&bench.dir.files()), wanted, "cut at {cut}");
    }
}

#[test]
fn sigterm_stops_a_run_cleanly() {
    let bench = Bench::new();
    let gate = Gate::new(bench.shared("gate"));
    let mut helper = helper(&bench);
    let open = gate.wait();
    // SAFETY: a system call on numbers; the child is not waited for yet, so its number is its own.
    unsafe { libc::kill(helper.id() as libc::pid_t, libc::SIGTERM) };
    assert!(helper.wait().unwrap().success());
    open.wait_for_all_to_end();
    assert_eq!(bench.history().outcome, Some(RunOutcome::Interrupted));
    assert_eq!(bench.outcomes("middle"), [Outcome::Interrupted]);
    go(&bench);
    assert_eq!(bench.resume(&stuck(&shared(&bench))), RunOutcome::Done);
    assert_eq!(contents(&bench.dir.files()), undisturbed());
}

/// Runs a job that ignores SIGTERM and triggers the interrupt `times` while it runs.
fn stubborn(times: u32, grace: Duration) -> Bench {
    let bench = Bench::new();
    let gate = Gate::new(bench.shared("gate"));
    let mut options = options(1);
    options.patience.grace = grace;
    let graph = dag(vec![
        sh("stubborn", &format!("trap '' TERM; {} sleep 1000", gate.open())).retried(3),
        sh("next", "true").after(&[0]),
    ]);
    thread::scope(|scope| {
        let run = scope.spawn(|| run(&graph, &bench.dir, &options, &mut ()).unwrap());
        let open = gate.wait();
        (0..times).for_each(|_| options.interrupt.trigger());
        open.wait_for_all_to_end();
        assert_eq!(run.join().unwrap(), RunOutcome::Interrupted);
    });
    bench
}

#[test]
fn a_job_that_does_not_heed_is_killed_after_the_grace_or_at_the_second_request() {
    for bench in [
        stubborn(1, Duration::from_millis(10)),
        stubborn(2, Duration::from_secs(100_000)),
    ] {
        assert_eq!(bench.outcomes("stubborn"), [Outcome::Interrupted]);
        assert!(bench.outcomes("next").is_empty());
    }
}

#[test]
fn a_run_in_use_is_refused_to_others() {
    let bench = Bench::new();
    let gate = Gate::new(bench.shared("gate"));
    let (graph, options) = (stuck(&shared(&bench)), options(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| run(&graph, &bench.dir, &options, &mut ()).unwrap());
        let open = gate.wait();
        for error in [
            resume(&graph, &bench.dir, &options, &mut ()).unwrap_err(),
            run(&graph, &bench.dir, &options, &mut ()).unwrap_err(),
        ] {
            assert!(
                matches!(error, EngineError::Record(RecordError::InUse { .. })),
                "{error}"
            );
        }
        options.interrupt.trigger();
        open.wait_for_all_to_end();
        assert_eq!(first.join().unwrap(), RunOutcome::Interrupted);
    });
}
