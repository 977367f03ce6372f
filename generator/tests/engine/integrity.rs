//! Files that change behind the engine's back: nothing is substituted, `resume` mends it.

use std::fs;

use fedwing::{
    engine::{EngineError, run},
    plan::{Dag, External},
    record::{Event, Outcome, RecordError, RunOutcome},
};

use super::support::{Bench, Declare, contents, dag, given, options, sh};

/// A writer, a job that harms what it wrote, a reader, and a job that has nothing to do with it.
fn harmed(bench: &Bench, harm: &str) -> Dag {
    let files = bench.dir.files();
    dag(vec![
        sh("write", "echo right > shard0; echo wrong > shard1").writes(&["shard0", "shard1"]),
        sh("harm", &format!("cd {} && {harm}", files.display())).after(&[0]),
        sh("train", "cat shard0 > model")
            .reads(&["shard0"])
            .writes(&["model"])
            .after(&[1]),
        sh("other", "cat shard1 > rest")
            .reads(&["shard1"])
            .writes(&["rest"]),
    ])
}

#[test]
fn an_input_deleted_truncated_or_swapped_stops_the_run_and_resume_makes_it_anew() {
    for (harm, words) in [
        ("rm shard0", "is missing (job `write` wrote it)"),
        (
            "chmod u+w shard0 && : > shard0",
            "has 0 bytes, not the 6 that job `write` wrote",
        ),
        (
            "cp shard1 new && mv -f new shard0",
            "is not what job `write` wrote",
        ),
        ("rm shard0 && mkdir shard0", "cannot be read"),
    ] {
        let bench = Bench::new();
        let graph = harmed(&bench, harm);
        assert_eq!(
            bench.run(&graph),
            RunOutcome::Failed(vec!["train".to_owned()]),
            "{harm}"
        );
        let [Outcome::NotStarted(reason)] = &bench.outcomes("train")[..] else {
            panic!("{harm}: {:?}", bench.outcomes("train"));
        };
        let way_out = format!(
            "`fedwing resume {}`",
            fs::canonicalize(bench.dir.root()).unwrap().display()
        );
        for part in [
            "job `train` needs the file `shard0`",
            words,
            &way_out,
            "running `write` again",
        ] {
            assert!(reason.contains(part), "{part:?} is not in {reason:?}");
        }
        assert!(!bench.file("model").exists());

        if harm.contains("mkdir") {
            fs::remove_dir(bench.file("shard0")).unwrap();
        }
        let before = bench.events().len();
        assert_eq!(bench.resume(&graph), RunOutcome::Done, "{harm}");
        let started = bench.started_since(before);
        assert_eq!(started.first().map(String::as_str), Some("write"));
        assert!(!started.contains(&"harm".to_owned()));
        assert_eq!(
            (bench.text("model").as_str(), bench.text("rest").as_str()),
            ("right\n", "wrong\n")
        );
    }
}

#[test]
fn a_file_that_was_only_touched_is_still_what_its_writer_left() {
    let bench = Bench::new();
    assert_eq!(
        bench.run(&harmed(
            &bench,
            "touch shard0 && cp -p shard0 x && mv -f x shard0"
        )),
        RunOutcome::Done
    );
}

/// Three jobs in a row, each adding a line.
fn chain() -> Dag {
    let graph = dag(vec![
        sh("a", "cat s > x; echo a >> x").reads(&["s"]).writes(&["x"]),
        sh("b", "cat x > y; echo b >> y").reads(&["x"]).writes(&["y"]),
        sh("c", "cat y > z; echo c >> z").reads(&["y"]).writes(&["z"]),
    ]);
    given(graph, "s", External::Content("s\n".to_owned()))
}

#[test]
fn resume_does_only_what_is_missing() {
    for (removed, redone) in [
        (&[][..], &[][..]),
        (&["x"], &["a"]),
        (&["z"], &["c"]),
        (&["x", "z"], &["a", "c"]),
        (&["y", "z"], &["b", "c"]),
        (&["x", "y", "z"], &["a", "b", "c"]),
        (&["s"], &[]),
    ] {
        let bench = Bench::new();
        bench.run(&chain());
        for name in removed {
            fs::remove_file(bench.file(name)).unwrap();
        }
        let before = bench.events().len();
        assert_eq!(bench.resume(&chain()), RunOutcome::Done);
        assert_eq!(bench.started_since(before), redone, "{removed:?} removed");
        assert_eq!(bench.text("z"), "s\na\nb\nc\n");
        let Event::RunResumed {
            kept, redone: said, ..
        } = &bench.events()[before]
        else {
            panic!("{:?}", bench.events()[before]);
        };
        assert_eq!(
            (*kept as usize, &said[..]),
            (
                3 - redone.len(),
                &redone.iter().map(|&job| job.to_owned()).collect::<Vec<_>>()[..]
            )
        );
    }
}

#[test]
fn a_changed_source_is_noticed_and_only_what_comes_of_it_is_done_again() {
    let bench = Bench::new();
    let (folder, weights) = (bench.shared("images"), bench.shared("weights"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("1.png"), "one").unwrap();
    fs::write(&weights, "w").unwrap();
    let mut graph = dag(vec![
        sh("prepare", &format!("ls {} > list", folder.display())).writes(&["list"]),
        sh("train", "cat list > model")
            .reads(&["list"])
            .writes(&["model"]),
        sh("init", "cat w > first").reads(&["w"]).writes(&["first"]),
    ]);
    graph.jobs[0].in_place.push(folder.to_str().unwrap().to_owned());
    let graph = given(graph, "w", External::Path(weights.to_str().unwrap().to_owned()));
    bench.run(&graph);

    // The same names again: `prepare` is done again, what it writes is the same, `train` stays.
    fs::write(folder.join("1.png"), "other").unwrap();
    let before = bench.events().len();
    assert_eq!(bench.resume(&graph), RunOutcome::Done);
    assert_eq!(bench.started_since(before), ["prepare"]);

    fs::write(folder.join("2.png"), "two").unwrap();
    let before = bench.events().len();
    assert_eq!(bench.resume(&graph), RunOutcome::Done);
    assert_eq!(bench.started_since(before), ["prepare", "train"]);
    assert_eq!(bench.text("model"), "1.png\n2.png\n");

    // Gone, and everything that reads it is done: kept.
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&weights, "v").unwrap();
    let before = bench.events().len();
    assert_eq!(bench.resume(&graph), RunOutcome::Done);
    assert_eq!(bench.started_since(before), ["init"]);

    // Gone, and somebody must read it: refused.
    fs::remove_file(bench.file("list")).unwrap();
    fs::remove_file(bench.file("model")).unwrap();
    assert!(matches!(
        bench.resume_error(&graph),
        EngineError::SourcesMissing(_)
    ));
}

#[test]
fn a_failed_job_is_tried_again_by_resume_and_attempts_count_on() {
    let bench = Bench::new();
    let graph = dag(vec![
        sh(
            "flaky",
            &format!("[ -e {} ] || exit 11; echo 1 > a", bench.shared("go").display()),
        )
        .writes(&["a"]),
        sh("after", "cat a > b").reads(&["a"]).writes(&["b"]),
        sh("steady", "echo 2 > c").writes(&["c"]),
    ]);
    assert_eq!(bench.run(&graph), RunOutcome::Failed(vec!["flaky".to_owned()]));
    fs::write(bench.shared("go"), "").unwrap();
    let before = bench.events().len();
    assert_eq!(bench.resume(&graph), RunOutcome::Done);
    assert_eq!(bench.started_since(before), ["flaky", "after"]);
    assert_eq!(bench.history().jobs["flaky"].attempts[1].number, 2);
    assert_eq!(contents(&bench.dir.jobs()).len(), 0);
}

#[test]
fn a_folder_with_a_run_is_continued_not_begun_and_only_by_the_same_graph() {
    let bench = Bench::new();
    bench.run(&chain());
    let error = run(&chain(), &bench.dir, &options(1), &mut ()).unwrap_err();
    assert!(matches!(error, EngineError::Record(RecordError::Exists { .. })));
    assert!(error.to_string().contains("fedwing resume"));
    let mut other = chain();
    other.jobs.pop();
    assert!(matches!(
        bench.resume_error(&other),
        EngineError::OtherRun {
            what: "number of jobs",
            ..
        }
    ));
    let mut other = chain();
    other.name = "other".to_owned();
    assert!(matches!(
        bench.resume_error(&other),
        EngineError::OtherRun { what: "name", .. }
    ));
}
