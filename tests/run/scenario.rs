//! A specification in a folder of its own, and its runs.

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
use tests::{binary, fedwing};

/// A specification and room for its runs.
pub struct Scenario {
    folder: TempDir,
}

impl Scenario {
    /// The specification in `text`.
    pub fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("spec.yml"), text).expect("a specification");
        Self { folder }
    }

    /// Two clients of drawn radiographs, small enough to train in a moment.
    pub fn phantom(rounds: u32) -> Self {
        Self::of(&format!(
            "fedwing: 1
name: small
seed: 7
datasets:
  drawn:
    source: {{phantom: {{patients: 60, sites: 2}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 16, channels: 1}}
    test: {{fraction: 0.25}}
    clients: {{count: 2, by: natural}}
model: {{arch: small_cnn}}
federation:
  algorithm: fedavg
  rounds: {rounds}
  local: {{epochs: 1, batch_size: 16, optimizer: {{sgd: {{learning_rate: 0.05, momentum: 0.9}}}}}}
evaluation: {{baselines: [centralized, local_only]}}
"
        ))
    }

    /// The specification's path.
    pub fn spec(&self) -> PathBuf {
        self.folder.path().join("spec.yml")
    }

    /// A run's folder.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs to the end with `jobs` at once.
    pub fn run(&self, name: &str, jobs: u32) -> Output {
        fedwing(self.arguments(name, jobs))
    }

    /// Starts a run and leaves it running.
    pub fn start(&self, name: &str) -> Child {
        Command::new(binary("fedwing"))
            .args(self.arguments(name, 2))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("fedwing starts")
    }

    /// Continues a run.
    pub fn resume(&self, name: &str) -> Output {
        fedwing(["resume".into(), self.dir(name)])
    }

    /// Waits until the record of a running run has a line with all of `words`.
    pub fn wait_for(&self, name: &str, child: &mut Child, words: &[&str]) {
        let record = self.dir(name).join("record.jsonl");
        loop {
            let text = fs::read_to_string(&record).unwrap_or_default();
            if text
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
            {
                return;
            }
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("the run ended with {status} before its record had a line with {words:?}:\n{text}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn arguments(&self, name: &str, jobs: u32) -> Vec<std::ffi::OsString> {
        let jobs = jobs.to_string();
        vec![
            "run".into(),
            self.spec().into(),
            "--dir".into(),
            self.dir(name).into(),
            "--jobs".into(),
            jobs.into(),
        ]
    }
}

/// Name and content of every file of a run.
pub fn files(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = run.join("files");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| {
            let entry = entry.expect("entry");
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).expect("file"),
            )
        })
        .collect()
}

/// Fails naming the first file that differs.
pub fn assert_same_files(left: &Path, right: &Path) {
    let (left, right) = (files(left), files(right));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, content) in &left {
        assert!(content == &right[name], "`{name}` differs between the runs");
    }
}

/// The bytes of each tensor with its type, by name: what a safetensors file holds besides its metadata.
pub fn tensors(path: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).expect("a header");
    let entries = header.into_iter().filter(|(name, _)| name != "__metadata__");
    entries
        .map(|(name, entry)| {
            let offset = |i: usize| entry["data_offsets"][i].as_u64().expect("an offset") as usize;
            let dtype = entry["dtype"].as_str().expect("a type").to_owned();
            (name, (dtype, data[offset(0)..offset(1)].to_vec()))
        })
        .collect()
}

/// The report of a run as JSON.
pub fn report(run: &Path) -> Value {
    let output = fedwing(["report".as_ref(), run.as_os_str(), "--json".as_ref()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

/// Fails with what the command said unless it ended with `code`.
pub fn assert_code(output: &Output, code: i32) {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout:\n{stdout}\nstderr:\n{stderr}"
    );
}
