//! Real runs that failed on purpose: each file of theirs is read, and what is made of it is what DAGMan counted itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fedwing::evidence::{
    Follow, Life, NodeState, PoolRun, Role, System, braindump,
    dag_file::{self, NodeKind},
    dagman_out::{Counts, Reader, Says},
    event_log, jobstate, kickstart, metrics, newest, read_text,
};
use tests::data_or_skip;

/// The folder of failures beside the data, if it is there.
fn failures(test: &str) -> Option<PathBuf> {
    let folder = data_or_skip(test)?.parent()?.join("failures");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED {test}: no folder `{}`", folder.display());
    None
}

/// Every file below `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn ending_in<'a>(files: &'a [PathBuf], ending: &'a str) -> impl Iterator<Item = &'a PathBuf> {
    files
        .iter()
        .filter(move |path| path.to_string_lossy().ends_with(ending))
}

fn text(path: &Path) -> String {
    read_text(path, 1 << 30).expect("readable").expect("there")
}

/// How many of `states` are any of `wanted`.
fn number(states: &[NodeState], wanted: &[NodeState]) -> u64 {
    states.iter().filter(|state| wanted.contains(state)).count() as u64
}

#[test]
fn every_file_of_the_failures_is_read_without_a_rest() {
    let Some(folder) = failures("every_file_of_the_failures_is_read_without_a_rest") else {
        return;
    };
    let files = files(&folder);
    for path in ending_in(&files, ".nodes.log").chain(ending_in(&files, ".dagman.log")) {
        let bytes = fs::read(path).expect("readable");
        let parsed = event_log::parse(&bytes);
        assert_eq!(
            (parsed.unreadable, parsed.consumed),
            (0, bytes.len()),
            "{}",
            path.display()
        );
        assert!(
            !parsed.events.is_empty() || bytes.is_empty(),
            "{}",
            path.display()
        );
    }
    for path in ending_in(&files, ".dag").filter(|path| !path.starts_with(folder.join("x5_syntax_error"))) {
        let dag = dag_file::parse(&text(path));
        assert_eq!(dag.unreadable, 0, "{}", path.display());
        assert!(!dag.nodes.is_empty(), "{}", path.display());
    }
    for path in ending_in(&files, "/jobstate.log") {
        let (entries, _) = jobstate::parse(&fs::read(path).expect("readable"));
        assert!(entries.len() > 2, "{}", path.display());
    }
    for path in ending_in(&files, "/braindump.yml") {
        let braindump =
            braindump::parse(&text(path)).unwrap_or_else(|reason| panic!("{}: {reason}", path.display()));
        assert!(path.with_file_name(&braindump.dag).exists(), "{}", path.display());
    }
    let mut records = 0;
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((_, number)) = name.split_once(".out.") else {
            continue;
        };
        if number.len() == 3 && text(path).starts_with("- invocation:") {
            let found = kickstart::parse(&text(path));
            assert!(
                found
                    .iter()
                    .all(|job| job.duration_s.is_some() && job.host.is_some()),
                "{}",
                path.display()
            );
            records += 1;
        }
    }
    assert!(records > 50, "only {records} kickstart records");
}

#[test]
fn states_of_nodes_are_those_dagman_counted() {
    let Some(folder) = failures("states_of_nodes_are_those_dagman_counted") else {
        return;
    };
    let files = files(&folder);
    let mut compared = 0;
    for path in ending_in(&files, ".dag.dagman.out") {
        let dag = PathBuf::from(path.to_string_lossy().trim_end_matches(".dagman.out"));
        let (lines, _) = Reader::default().push(&fs::read(path).expect("readable"));
        let last = lines.iter().rev().find_map(|line| match line.says {
            Says::Counts(counts) => Some(counts),
            _ => None,
        });
        let follow = Follow::open(&dag).expect("a DAG");
        let states = follow.nodes().states();
        assert!(
            matches!(follow.nodes().life(), Life::Ended(_)),
            "{}",
            dag.display()
        );
        let Some(Counts {
            done, failed, futile, ..
        }) = last
        else {
            continue;
        };
        let ours = |wanted| number(&states, &[wanted]);
        assert_eq!(
            (
                ours(NodeState::Done),
                ours(NodeState::Failed),
                ours(NodeState::Futile)
            ),
            (done, failed, futile),
            "{}: {states:?}",
            dag.display()
        );
        compared += 1;
    }
    assert!(compared >= 25, "only {compared} DAGs have counts");
}

#[test]
fn numbers_of_done_and_failed_nodes_are_those_of_the_metrics_files() {
    let Some(folder) = failures("numbers_of_done_and_failed_nodes_are_those_of_the_metrics_files") else {
        return;
    };
    let files = files(&folder);
    let mut compared = 0;
    for path in ending_in(&files, ".dag.metrics") {
        let counted = metrics::parse(&text(path)).expect("metrics");
        let dag = PathBuf::from(path.to_string_lossy().trim_end_matches(".metrics"));
        let follow = Follow::open(&dag).expect("a DAG");
        let nodes = follow.nodes();
        let of = |kind: NodeKind, wanted: NodeState| {
            let pairs = nodes.all().iter().zip(nodes.states());
            pairs
                .filter(|(node, state)| node.kind == kind && *state == wanted)
                .count() as u64
        };
        let theirs = [
            counted.jobs_succeeded,
            counted.jobs_failed,
            counted.dag_jobs_succeeded,
        ];
        let ours = [
            of(NodeKind::Job, NodeState::Done),
            of(NodeKind::Job, NodeState::Failed),
            of(NodeKind::SubDag, NodeState::Done),
        ];
        assert_eq!(ours, theirs, "{}", dag.display());
        assert_eq!(
            follow.nodes().life(),
            Life::Ended(counted.exitcode),
            "{}",
            dag.display()
        );
        let mut run = PoolRun::open(System::Dagman, "run", &dag, Path::new("none")).expect("a run");
        let started = run.observed().started().expect("a start").0 as f64 / 1000.0;
        // Whatever zone this machine is in: the run says its own.
        assert!(
            (started - counted.start_time).abs() < 2.0,
            "{}: {started}",
            dag.display()
        );
        compared += 1;
    }
    assert!(compared >= 25, "only {compared} DAGs have metrics");
}

#[test]
fn a_sub_workflow_s_jobs_are_jobs_of_the_run() {
    let Some(folder) = failures("a_sub_workflow_s_jobs_are_jobs_of_the_run") else {
        return;
    };
    let submit = newest(&folder.join("j0_subwf_ok"))
        .expect("readable")
        .expect("a submit directory");
    let mut run = PoolRun::open(System::Pegasus, "tiny", &submit.dag(), Path::new("none")).expect("a run");
    let observed = run.observed();
    let names = |role: Role| -> Vec<&str> {
        let jobs = observed.jobs.iter().filter(|job| job.role == role);
        jobs.map(|job| job.name.as_str()).collect()
    };
    assert_eq!(names(Role::Work), ["pegasus-plan_j2/step_s1", "step_j1"]);
    assert_eq!(names(Role::SubWorkflow), ["pegasus-plan_j2"]);
    assert!(names(Role::Auxiliary).contains(&"pegasus-plan_j2/stage_in_remote_local_0_0"));
    assert!(observed.jobs.iter().all(|job| job.state == NodeState::Done));
}

#[test]
fn holds_are_told_with_their_codes() {
    let Some(folder) = failures("holds_are_told_with_their_codes") else {
        return;
    };
    let cases = [
        ("h_memory_exceeded", 21, 102),
        ("i2_walltime_held", 46, 0),
        ("c_exit_nonzero", 12, 2),
    ];
    for (case, code, subcode) in cases {
        let submit = newest(&folder.join(case))
            .expect("readable")
            .expect("a submit directory");
        let mut run =
            PoolRun::open(System::Pegasus, "tiny", &submit.dag(), Path::new("none")).expect("a run");
        let observed = run.observed();
        let holds = observed
            .work()
            .flat_map(|job| &job.attempts)
            .filter_map(|attempt| attempt.hold.as_ref());
        let codes: Vec<_> = holds.map(|hold| (hold.code, hold.subcode)).collect();
        assert_eq!(codes, [(Some(code), Some(subcode))], "{case}");
    }
}
