//! Sweeps: every point to its report, and all to one comparison; killed and resumed, nothing is run twice.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{binary, data_or_skip, fedwing, root};

use crate::scenario::assert_code;

/// A sweep's folder.
struct Sweep {
    folder: TempDir,
    spec: PathBuf,
}

impl Sweep {
    fn of(spec: PathBuf) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            spec,
        }
    }

    fn text(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = folder.path().join("spec.yml");
        fs::write(&spec, text).expect("a specification");
        Self { folder, spec }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("sweep")
    }

    fn arguments(&self) -> [PathBuf; 4] {
        ["run".into(), self.spec.clone(), "--dir".into(), self.dir()]
    }

    fn run(&self) -> Output {
        fedwing(self.arguments())
    }

    fn start(&self) -> Child {
        Command::new(binary("fedwing"))
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("fedwing starts")
    }

    fn resume(&self) -> Output {
        fedwing(["resume".into(), self.dir()])
    }

    fn record(&self, point: &str) -> PathBuf {
        self.dir().join("points").join(point).join("record.jsonl")
    }

    fn comparison(&self) -> Value {
        read(&self.dir().join("report/report.json"))
    }

    fn names(&self) -> Vec<String> {
        let list = read(&self.dir().join("sweep.json"));
        let points = list["points"].as_array().expect("points").iter();
        points.map(|point| text(&point["name"])).collect()
    }

    /// Waits until the record of a point has a line with all of `words`.
    fn wait_for(&self, point: &str, child: &mut Child, words: &[&str]) {
        loop {
            let said = fs::read_to_string(self.record(point)).unwrap_or_default();
            if said
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
            {
                return;
            }
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("the sweep ended with {status} before {point} had a line with {words:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// How often each job of a point started, ended well, and was cut off.
#[derive(Debug, Default, PartialEq, Eq)]
struct Executions {
    started: u64,
    done: u64,
    cut_off: u64,
}

/// The executions of every job of every point, by the records.
fn executions(sweep: &Sweep) -> BTreeMap<(String, String), Executions> {
    let mut all: BTreeMap<(String, String), Executions> = BTreeMap::new();
    for point in sweep.names() {
        let said = fs::read_to_string(sweep.record(&point)).expect("a record");
        let events: Vec<Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event"))
            .collect();
        for event in &events {
            let Some(job) = event["job"].as_str() else {
                continue;
            };
            let counted = all.entry((point.clone(), job.to_owned())).or_default();
            match event["event"].as_str() {
                Some("job_started") => {
                    counted.started += 1;
                    // Cut off until its end says otherwise.
                    counted.cut_off += 1;
                }
                Some("job_ended") if event["outcome"] == "done" => {
                    counted.done += 1;
                    counted.cut_off -= 1;
                }
                Some("job_ended") if event["outcome"] != "interrupted" => counted.cut_off -= 1,
                _ => {}
            }
        }
    }
    all
}

/// The same experiment on the thousand radiographs, in twelve points.
fn nih1000(data: &Path) -> Sweep {
    let folder = data.join("nih1000");
    Sweep::text(&format!(
        "fedwing: 1
name: e1
seed: 3
datasets:
  nih:
    source: {{cxr14: {{images: {0}, labels: {0}/Data_Entry_2017.csv}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 16, channels: 1}}
    test: {{fraction: 0.2}}
    clients: {{count: 2, by: {{dirichlet: {{alpha: 0.5}}}}}}
model: {{arch: small_cnn}}
federation:
  algorithm: fedavg
  rounds: 2
  local: {{epochs: 1, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.01, momentum: 0.9}}}}}}
sweep:
  grid:
    federation.algorithm: [fedavg, {{fedprox: {{mu: 0.01}}}}]
    datasets.nih.clients.by.dirichlet.alpha: [0.5, 5]
    seed: [0, 1, 2]
",
        folder.display()
    ))
}

#[test]
fn twelve_points_on_radiographs_killed_in_the_middle_and_resumed_run_nothing_twice() {
    let Some(data) =
        data_or_skip("twelve_points_on_radiographs_killed_in_the_middle_and_resumed_run_nothing_twice")
    else {
        return;
    };
    let sweep = nih1000(&data);
    let mut child = sweep.start();
    sweep.wait_for("e1-fedprox-a0_5-s0", &mut child, &["job_started", "\"train\""]);
    child.kill().expect("kill -9");
    child.wait().expect("a status");
    let before = executions_of_begun(&sweep);
    assert!(before > 6 * 10, "{before}: six points were done");

    let status = fedwing(["status".into(), sweep.dir(), "--json".into()]);
    assert_code(&status, 0);
    let status: Value = serde_json::from_slice(&status.stdout).expect("a status");
    assert_eq!(status["state"], "dead");
    assert_eq!(status["points"][5]["state"], "done");
    assert_eq!(status["points"][6]["state"], "dead");
    assert_eq!(status["points"][11]["state"], "not_submitted");

    assert_code(&sweep.resume(), 0);
    let jobs = executions(&sweep);
    let mut cut_off = 0;
    for (job, counted) in &jobs {
        assert_eq!(counted.done, 1, "{job:?} is done once: {counted:?}");
        assert_eq!(counted.started, 1 + counted.cut_off, "{job:?}: {counted:?}");
        cut_off += counted.cut_off;
    }
    assert!(cut_off > 0, "a job was running when the sweep was killed");
    let started: u64 = jobs.values().map(|counted| counted.started).sum();
    assert_eq!(started, jobs.len() as u64 + cut_off);

    let comparison = sweep.comparison();
    assert_eq!(comparison["state"], "done");
    assert_eq!(comparison["synthetic"], false);
    let points = comparison["points"].as_array().expect("points");
    assert_eq!(points.len(), 12);
    let counted: u64 = points
        .iter()
        .map(|point| point["jobs"]["done"].as_u64().expect("a number"))
        .sum();
    assert_eq!(
        counted,
        jobs.len() as u64,
        "every job of every point is in the comparison"
    );
    for point in points {
        assert_eq!(point["datasets"][0]["last_round"], 2, "{}", point["name"]);
        let report = sweep.dir().join("report").join(text(&point["report"]));
        assert!(report.is_file(), "{}", report.display());
    }
    assert_eq!(comparison["over_seeds"].as_array().expect("groups").len(), 4);
    let html = fs::read_to_string(sweep.dir().join("report/report.html")).expect("a page");
    assert!(html.contains("fedprox-a5-s2") && !html.contains("SYNTHETIC"));

    // Once more there is nothing to do.
    assert_code(&sweep.resume(), 0);
    assert_eq!(executions(&sweep), jobs);
}

/// Jobs started in points that have begun.
fn executions_of_begun(sweep: &Sweep) -> usize {
    let begun = sweep.names().into_iter();
    begun
        .filter_map(|point| fs::read_to_string(sweep.record(&point)).ok())
        .map(|said| said.matches("job_started").count())
        .sum()
}

#[test]
fn the_example_runs_to_one_comparison() {
    let sweep = Sweep::of(root().join("examples/sweep.yml"));
    let output = sweep.run();
    assert_code(&output, 0);
    assert!(String::from_utf8_lossy(&output.stdout).contains("sweep-fedprox-a5-s2: chest: round 2"));
    let comparison = sweep.comparison();
    assert_eq!(
        (&comparison["state"], &comparison["synthetic"]),
        (&"done".into(), &true.into())
    );
    let html = fs::read_to_string(sweep.dir().join("report/report.html")).expect("a page");
    assert!(html.contains("SYNTHETIC"));

    // A point by itself is what it is in the sweep.
    let point = "sweep-fedavg-a5-s1";
    let spec = fedwing([
        "points".into(),
        sweep.spec.clone(),
        "--point".into(),
        point.into(),
    ]);
    assert_code(&spec, 0);
    let folder = sweep.dir().join("points").join(point);
    assert_eq!(spec.stdout, fs::read(folder.join("spec.yml")).expect("its text"));
    assert_code(&fedwing(["report".as_ref(), folder.as_os_str()]), 0);
    assert_code(&fedwing(["status".as_ref(), folder.as_os_str()]), 0);
}

/// Points on two clients of drawn radiographs, small enough to train in a moment.
fn small(grid: &str) -> Sweep {
    Sweep::text(&format!(
        "fedwing: 1
name: some
seed: 1
datasets:
  drawn:
    source: {{phantom: {{patients: 60, sites: 2}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 16}}
    test: {{fraction: 0.25}}
    clients: {{count: 2, by: natural}}
model: {{arch: small_cnn}}
federation:
  algorithm: fedavg
  rounds: 1
  local: {{epochs: 1, batch_size: 16, optimizer: {{sgd: {{learning_rate: 0.05}}}}}}
sweep: {{grid: {grid}}}
"
    ))
}

#[test]
fn points_that_fail_or_cannot_be_run_cost_no_other() {
    let sweep = small(
        "{federation.local.optimizer.sgd.learning_rate: [0.05, 1e+30], execution.resources.train.memory: [64 MiB, 900 TiB]}",
    );
    let output = sweep.run();
    assert_code(&output, 4);
    assert!(String::from_utf8_lossy(&output.stderr).contains("fedwing resume"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.contains("some-l0_05-900_tib: could not be run: "),
        "{stdout}"
    );
    let comparison = sweep.comparison();
    let points = comparison["points"].as_array().expect("points");
    let states: Vec<String> = points.iter().map(|point| text(&point["state"])).collect();
    assert_eq!(states, ["done", "unknown", "failed", "unknown"]);
    assert!(text(&points[1]["problem"]).contains("900 TiB"));
    let page = fs::read_to_string(sweep.dir().join("report/report.md")).expect("a page");
    assert!(page.contains("## Points that are not done"), "{page}");
    assert!(page.contains("failed: train-drawn-"), "{page}");
    let status = fedwing(["status".into(), sweep.dir()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("failed after"), "{status}");
    assert_code(&sweep.run(), 2);
}

#[test]
fn a_sweep_told_to_stop_stops_and_is_resumed() {
    let sweep = small("{federation.rounds: [2, 30, 3], seed: [1, 2]}");
    let mut child = sweep.start();
    sweep.wait_for("some-r30-s1", &mut child, &["job_started", "\"train\""]);
    let taken = fedwing(["resume".into(), sweep.dir()]);
    assert_code(&taken, 2);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("in progress"));

    let cancelled = fedwing(["cancel".into(), sweep.dir()]);
    assert_code(&cancelled, 0);
    assert!(String::from_utf8_lossy(&cancelled.stdout).starts_with("stopped: "));
    let output = child.wait_with_output().expect("an end");
    assert_code(&output, 130);
    assert!(String::from_utf8_lossy(&output.stdout).contains("some-r3-s2: not begun"));
    assert_eq!(sweep.comparison()["state"], "interrupted");

    assert_code(&sweep.resume(), 0);
    assert_eq!(sweep.comparison()["state"], "done");
    assert!(executions(&sweep).values().all(|counted| counted.done == 1));
}
