//! Sweeps by the command line: their points, workflows of theirs, and an ensemble. Pegasus' tools are scripts that write down what
//! they were asked.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{binary, fedwing};

use crate::{code, example, folder_with, stderr, stdout};

#[test]
fn a_sweep_is_checked_and_its_points_are_listed_and_printed() {
    let spec = example("sweep.yml");
    let output = fedwing(["check", &spec, "--json"]);
    assert_eq!(code(&output), 0);
    let checked: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        (&checked["accepted"], &checked["points"]),
        (&true.into(), &12.into())
    );
    insta::assert_snapshot!(stdout(&fedwing(["points", &spec])));

    let name = "sweep-fedprox-a0_5-s2";
    let text = stdout(&fedwing(["points", &spec, "--point", name]));
    insta::assert_snapshot!(text);
    let (_folder, point) = folder_with(&text);
    assert_eq!(code(&fedwing(["check", &point])), 0, "a point is a specification");

    let missing = fedwing(["points", &spec, "--point", "sweep-p99"]);
    assert_eq!(code(&missing), 2);
    assert!(
        stderr(&missing).contains("has no point `sweep-p99`"),
        "{}",
        stderr(&missing)
    );
    let single = fedwing(["points", &example("quickstart.yml")]);
    assert_eq!(code(&single), 2);
    assert!(stderr(&single).contains("is no sweep"), "{}", stderr(&single));
}

/// A small sweep, generated for a pool, and a folder of tools.
struct Generated {
    folder: TempDir,
}

const SPEC: &str = "\
fedwing: 1
name: e1
seed: 1
datasets:
  drawn:
    source: {phantom: {patients: 60, sites: 2}}
    task: {binary: {negative: [No Finding]}}
    image: {size: 16}
    test: {fraction: 0.25}
    clients: {count: 2, by: natural}
model: {arch: small_cnn}
federation:
  algorithm: fedavg
  rounds: 1
  local: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.05}}}
sweep: {at_once: 2, grid: {seed: [1, 2, 3]}}
";

/// Writes down what it is asked.
const ENSEMBLE: &str = "#!/bin/sh\necho \"$*\" >>\"$SAID\"\n";

impl Generated {
    fn of(target: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = folder.path().join("spec.yml");
        fs::write(&spec, SPEC).expect("a specification");
        let output = fedwing([
            "generate".as_ref(),
            spec.as_os_str(),
            "-o".as_ref(),
            folder.path().join("sweep").as_os_str(),
            "--target".as_ref(),
            target.as_ref(),
        ]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(
            stderr(&output).starts_with("3 points, 24 jobs"),
            "{}",
            stderr(&output)
        );
        let generated = Self { folder };
        fs::create_dir(generated.folder.path().join("tools")).expect("a folder");
        generated
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("sweep")
    }

    fn point(&self, name: &str) -> PathBuf {
        self.dir().join("points").join(name)
    }

    fn tool(&self, name: &str, text: &str) {
        let path = self.folder.path().join("tools").join(name);
        fs::write(&path, text).expect("a tool");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn fedwing(&self, arguments: &[&str], path: &Path) -> Output {
        Command::new(binary("fedwing"))
            .args(arguments)
            .arg(path)
            .env("NO_COLOR", "1")
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.folder.path().join("tools").display()),
            )
            .env("SAID", self.said_path())
            .output()
            .expect("fedwing starts")
    }

    fn said_path(&self) -> PathBuf {
        self.folder.path().join("said")
    }

    /// What the tools were asked since the last time.
    fn said(&self) -> String {
        let said = fs::read_to_string(self.said_path()).unwrap_or_default();
        let _ = fs::remove_file(self.said_path());
        said
    }

    fn state(&self) -> String {
        let output = self.fedwing(&["status", "--json"], &self.dir());
        let status: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        status["state"].as_str().expect("a state").to_owned()
    }

    /// A point as Pegasus plans it and DAGMan begins it.
    fn planned(&self, name: &str) {
        let submit = self.point(name).join("submit/ada/pegasus/run0001");
        fs::create_dir_all(&submit).expect("a folder");
        let write = |file: &str, text: &str| fs::write(submit.join(file), text).expect("a file");
        write(
            "braindump.yml",
            &format!(
                "wf_uuid: \"1\"\nroot_wf_uuid: \"1\"\ntimestamp: \"20260105T085900+0000\"\ndax_label: \"{name}\"\ndag: \"{name}-0.dag\"\n"
            ),
        );
        write(&format!("{name}-0.dag"), "JOB fedwing_init_init-drawn init.sub\n");
        write(
            &format!("{name}-0.dag.dagman.out"),
            "01/05/26 09:00:00 ** condor_scheduniv_exec.10.0 (CONDOR_DAGMAN) STARTING UP\n",
        );
    }

    /// How DAGMan of a point ended.
    fn ended(&self, name: &str, status: i32) {
        let out = self
            .point(name)
            .join(format!("submit/ada/pegasus/run0001/{name}-0.dag.dagman.out"));
        let text = fs::read_to_string(&out).expect("a log");
        let end = format!(
            "01/05/26 10:00:00 **** condor_scheduniv_exec.10.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS {status}\n"
        );
        fs::write(&out, text + &end).expect("written");
    }
}

#[test]
fn a_sweep_for_dagman_holds_a_whole_folder_for_each_point() {
    let generated = Generated::of("dagman");
    for name in ["e1-s1", "e1-s2", "e1-s3"] {
        let point = generated.point(name);
        for file in [
            &format!("{name}.dag"),
            "submit.sh",
            "spec.yml",
            "jobs.jsonl",
            "bin/fl-client",
        ] {
            assert!(point.join(file).is_file(), "{name}: {file}");
        }
    }
    assert!(generated.dir().join("e1.dag").is_file());
    assert_eq!(generated.state(), "not_submitted");
    let shown = stdout(&generated.fedwing(&["status"], &generated.dir()));
    insta::assert_snapshot!(shown.replace(&generated.dir().display().to_string(), "SWEEP"));
    // A point is a workflow of its own.
    let status = generated.fedwing(&["status"], &generated.point("e1-s2"));
    assert!(
        stdout(&status).starts_with("e1-s2 (DAGMan), not submitted"),
        "{}",
        stdout(&status)
    );

    let output = generated.fedwing(&["submit"], &generated.dir());
    assert_eq!(code(&output), 5);
    assert!(
        stderr(&output).contains("`condor_submit_dag` is not on the PATH"),
        "{}",
        stderr(&output)
    );
    generated.tool("condor_submit_dag", ENSEMBLE);
    let output = generated.fedwing(&["submit"], &generated.dir());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(generated.said(), "e1.dag\n");
}

#[test]
fn an_ensemble_is_made_paused_and_activated() {
    let generated = Generated::of("pegasus");
    let dir = generated.dir();
    assert_eq!(generated.state(), "not_submitted");
    let output = generated.fedwing(&["submit"], &dir);
    assert_eq!(code(&output), 5);
    assert!(
        stderr(&output).contains("`pegasus-em` is not on the PATH"),
        "{}",
        stderr(&output)
    );

    generated.tool("pegasus-em", ENSEMBLE);
    let output = generated.fedwing(&["submit"], &dir);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        generated.said(),
        "create e1 -R 2 -P 2\nsubmit e1.e1-s1 ./points/e1-s1/plan.sh\nsubmit e1.e1-s2 ./points/e1-s2/plan.sh\n\
         submit e1.e1-s3 ./points/e1-s3/plan.sh\n"
    );
    let replicas = fs::read_to_string(generated.point("e1-s2").join("replicas.yml")).expect("a catalog");
    let place = fs::canonicalize(generated.point("e1-s2")).expect("a path");
    assert!(
        replicas.contains(&format!("{}/inputs/", place.display())),
        "{replicas}"
    );
    assert!(!replicas.contains("PEGASUS_FEDWING_DIR"), "{replicas}");
    assert_eq!(generated.state(), "waiting");
    assert_eq!(code(&generated.fedwing(&["submit"], &dir)), 2, "once is enough");

    generated.planned("e1-s1");
    assert_eq!(generated.state(), "running");
    generated.ended("e1-s1", 0);
    generated.planned("e1-s2");
    generated.ended("e1-s2", 1);
    assert_eq!(generated.state(), "waiting", "the last point is to come");
    let output = generated.fedwing(&["cancel"], &dir);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(generated.said(), "pause e1\n");
    assert_eq!(generated.state(), "stopped");

    let output = generated.fedwing(&["resume"], &dir);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(generated.said(), "activate e1\nrerun e1.e1-s2\n");
    let output = generated.fedwing(&["report"], &dir);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let page = fs::read_to_string(dir.join("report/report.md")).expect("a page");
    assert!(page.contains("| e1-s3 | not begun |"), "{page}");
}

#[test]
fn a_rejected_point_is_named_with_its_values() {
    let (_folder, spec) = folder_with(&SPEC.replace("seed: [1, 2, 3]", "federation.rounds: [1, 0]"));
    let output = fedwing(["check", &spec]);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(said.contains("point `e1-r0`: `rounds` cannot be 0"), "{said}");
    assert!(said.contains("`federation.rounds: 0` (16:51)"), "{said}");
}
