//! What a job sees and what is kept of it.

use std::{fs, os::unix::fs::PermissionsExt};

use fedwing::{
    plan::External,
    record::{Event, LogStream, Outcome, RunOutcome},
};

use super::support::{Bench, Declare, dag, given, lfn, sh};

#[test]
fn a_job_sees_its_declared_inputs_and_nothing_else() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![
        sh("write", "echo 1 > a; echo 2 > b").writes(&["a", "b"]),
        sh("look", "ls > seen; cat a >> seen")
            .reads(&["a"])
            .writes(&["seen"])
            .after(&[0]),
    ]));
    assert_eq!(outcome, RunOutcome::Done);
    // The shell makes `seen` before `ls` looks.
    assert_eq!(bench.text("seen"), "a\nseen\n1\n");
}

#[test]
fn what_is_not_declared_is_not_kept() {
    let bench = Bench::new();
    assert_eq!(
        bench.run(&dag(vec![sh("j", "echo 1 > a; echo 2 > b").writes(&["a"])])),
        RunOutcome::Done
    );
    assert!(bench.file("a").exists() && !bench.file("b").exists());
    assert!(
        !bench.dir.job("j").exists(),
        "the directory of a done job is removed"
    );
}

#[test]
fn outputs_are_read_only_and_recorded_with_their_digest() {
    let bench = Bench::new();
    bench.run(&dag(vec![sh("j", "printf abc > sub/a").writes(&["sub/a"])]));
    assert_eq!(
        fs::metadata(bench.file("sub/a")).unwrap().permissions().mode() & 0o777,
        0o444
    );
    let done = bench.history().jobs["j"].attempts[0].clone();
    assert_eq!(
        (done.outputs[0].name.as_str(), done.outputs[0].size.0),
        ("sub/a", 3)
    );
    assert_eq!(
        done.outputs[0].sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn an_output_larger_than_is_read_at_once_is_kept_as_well() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![
        sh("write", "head -c 3000000 /dev/zero > a").writes(&["a"]),
        sh("read", "wc -c < a | tr -d ' ' > n")
            .reads(&["a"])
            .writes(&["n"]),
    ]));
    assert_eq!(
        (outcome, bench.text("n").as_str()),
        (RunOutcome::Done, "3000000\n")
    );
}

#[test]
fn the_environment_is_the_jobs_own() {
    let bench = Bench::new();
    let mut job = sh(
        "j",
        "echo $CARGO_PKG_NAME; echo $MINE; [ $HOME = $PWD ] && [ $TMPDIR = $PWD ] && echo own",
    );
    job.outputs.push(lfn("out"));
    job.stdout = Some(lfn("out"));
    job.env.insert("MINE".to_owned(), "yes".to_owned());
    assert!(
        std::env::var_os("CARGO_PKG_NAME").is_some(),
        "cargo sets it for tests"
    );
    bench.run(&dag(vec![job]));
    assert_eq!(bench.text("out"), "\nyes\nown\n");
}

#[test]
fn streams_go_to_declared_files_or_to_logs_and_stdin_comes_from_an_input() {
    let bench = Bench::new();
    let mut job = sh("j", "cat; echo err >&2").reads(&["in"]).writes(&["both"]);
    job.stdin = Some(lfn("in"));
    (job.stdout, job.stderr) = (Some(lfn("both")), Some(lfn("both")));
    let graph = dag(vec![job, sh("k", "read line; echo \"[$line]\"")]);
    let outcome = bench.run(&given(graph, "in", External::Content("hello\n".to_owned())));
    assert_eq!(
        (outcome, bench.text("both").as_str()),
        (RunOutcome::Done, "hello\nerr\n")
    );
    let log = |stream| bench.dir.log("k", 1, stream);
    assert_eq!(
        fs::read_to_string(log(LogStream::Out)).unwrap(),
        "[]\n",
        "stdin is empty when not declared"
    );
    assert!(!log(LogStream::Err).exists(), "nothing was written to it");
}

#[test]
fn a_file_from_outside_is_linked_not_copied() {
    let bench = Bench::new();
    fs::write(bench.shared("w"), "weights").unwrap();
    let graph = dag(vec![
        sh("j", "readlink -f w > where; cat w > copy")
            .reads(&["w"])
            .writes(&["where", "copy"]),
    ]);
    let path = fs::canonicalize(bench.shared("w")).unwrap();
    bench.run(&given(
        graph,
        "w",
        External::Path(path.to_str().unwrap().to_owned()),
    ));
    assert_eq!(bench.text("where").trim(), path.to_str().unwrap());
    assert_eq!(bench.text("copy"), "weights");
    assert!(
        bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::SourceSeen { digest, .. } if digest.starts_with("sha256:")))
    );
}

#[test]
fn a_link_is_no_output() {
    let bench = Bench::new();
    let outcome = bench.run(&dag(vec![sh("j", "echo 1 > real; ln -s real a").writes(&["a"])]));
    assert_eq!(outcome, RunOutcome::Failed(vec!["j".to_owned()]));
    assert_eq!(
        bench.outcomes("j"),
        [Outcome::OutputMissing(vec!["a".to_owned()])]
    );
}

#[test]
fn what_a_job_left_running_is_ended_with_it() {
    let bench = Bench::new();
    let gate = super::support::Gate::new(bench.shared("gate"));
    let script = format!(
        "({} sleep 1000) & read go < {}; echo done > a",
        gate.open(),
        bench.shared("go").display()
    );
    super::support::Gate::new(bench.shared("go"));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.run(&dag(vec![sh("j", &script).writes(&["a"])])));
        let open = gate.wait();
        fs::write(bench.shared("go"), "go\n").unwrap();
        open.wait_for_all_to_end();
        assert_eq!(run.join().unwrap(), RunOutcome::Done);
    });
}
