//! Small graphs of shell scripts, and a run's folder to look into.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File},
    io::Read,
    num::NonZeroU32,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use contract::units::{Bytes, Seconds};
use fedwing::{
    check::Request,
    engine::{EngineError, Interrupt, Machine, Message, Observer, Options, Origin, Patience, resume, run},
    plan::{Dag, DagJob, External, Label, Lfn, Program},
    record::{Event, History, Outcome, RunDir, RunOutcome, read},
};
use tempfile::TempDir;

/// A folder with a run in it, and one beside it for whatever scripts share.
pub struct Bench {
    pub dir: RunDir,
    root: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::new(root.path().join("run"));
        fs::create_dir(root.path().join("shared")).unwrap();
        Self { dir, root }
    }

    /// A path outside the run.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.root.path().join("shared").join(name)
    }

    pub fn run(&self, dag: &Dag) -> RunOutcome {
        run(dag, &self.dir, &options(1), &mut ()).unwrap()
    }

    pub fn resume(&self, dag: &Dag) -> RunOutcome {
        resume(dag, &self.dir, &options(2), &mut ()).unwrap()
    }

    pub fn resume_error(&self, dag: &Dag) -> EngineError {
        resume(dag, &self.dir, &options(2), &mut ()).unwrap_err()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.files().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    pub fn events(&self) -> Vec<Event> {
        read(&self.dir.record()).unwrap()
    }

    pub fn history(&self) -> History {
        History::from_events(self.events()).unwrap()
    }

    /// How each attempt at a job ended.
    pub fn outcomes(&self, job: &str) -> Vec<Outcome> {
        let history = self.history();
        let attempts = history.jobs.get(job).map(|job| job.attempts.clone());
        let attempts = attempts.unwrap_or_default().into_iter();
        attempts.filter_map(|attempt| attempt.outcome).collect()
    }

    /// The names of jobs in the order they started, from the `from`-th event on.
    pub fn started_since(&self, from: usize) -> Vec<String> {
        let events = self.events().into_iter().skip(from);
        let started = events.filter_map(|event| match event {
            Event::JobStarted { job, .. } => Some(job),
            _ => None,
        });
        started.collect()
    }
}

/// Everything below a folder, by relative path, with content.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = contents(&path).into_iter();
            all.extend(below.map(|(name, bytes)| (Path::new(path.file_name().unwrap()).join(name), bytes)));
        } else {
            all.insert(PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap());
        }
    }
    all
}

/// Enough of everything, `slots` jobs at once, no waits before retries.
pub fn options(slots: u32) -> Options {
    Options {
        origin: Origin {
            source: "/test.yml".to_owned(),
            digest: "d1".to_owned(),
            synthetic: false,
        },
        machine: Machine {
            slots: NonZeroU32::new(slots).unwrap(),
            cpus: NonZeroU32::new(64).unwrap(),
            memory: Bytes(1 << 40),
            gpus: Vec::new(),
        },
        programs: BTreeMap::new(),
        patience: Patience {
            retry_first: Duration::ZERO,
            retry_most: Duration::ZERO,
            grace: Duration::from_millis(20),
        },
        interrupt: Interrupt::new().unwrap(),
    }
}

pub fn lfn(name: &str) -> Lfn {
    Lfn::new(name).unwrap()
}

/// A job that runs a shell script.
pub fn sh(id: &str, script: &str) -> DagJob {
    DagJob {
        id: id.into(),
        label: Label {
            kind: "sh".into(),
            dataset: None,
            round: None,
            client: None,
        },
        program: Program::Path("/bin/sh".to_owned()),
        argv: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        stdout: None,
        stderr: None,
        stdin: None,
        request: Request {
            cpus: 1,
            memory: Bytes(1),
            gpus: 0,
            walltime: Seconds(600),
        },
        retries: 0,
        after: Vec::new(),
        in_place: Vec::new(),
        checkpoints: Vec::new(),
    }
}

/// Declares files of a job.
pub trait Declare {
    fn reads(self, names: &[&str]) -> Self;
    fn writes(self, names: &[&str]) -> Self;
    fn retried(self, retries: u32) -> Self;
    fn after(self, jobs: &[u32]) -> Self;
    fn leaves(self, checkpoint: &str) -> Self;
}

impl Declare for DagJob {
    fn reads(mut self, names: &[&str]) -> Self {
        self.inputs.extend(names.iter().map(|name| lfn(name)));
        self
    }

    fn writes(mut self, names: &[&str]) -> Self {
        self.outputs.extend(names.iter().map(|name| lfn(name)));
        self
    }

    fn retried(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    fn leaves(mut self, checkpoint: &str) -> Self {
        self.checkpoints.push(lfn(checkpoint));
        self
    }

    fn after(mut self, jobs: &[u32]) -> Self {
        self.after.extend(jobs);
        self
    }
}

pub fn dag(jobs: Vec<DagJob>) -> Dag {
    Dag {
        name: "test".to_owned(),
        jobs,
        external: BTreeMap::new(),
    }
}

/// Gives a graph a file from outside.
pub fn given(mut dag: Dag, name: &str, external: External) -> Dag {
    dag.external.insert(lfn(name), external);
    dag
}

/// A pipe in the file system that jobs open for writing: reading waits for them, and ends when all of them are gone.
pub struct Gate(PathBuf);

impl Gate {
    pub fn new(path: PathBuf) -> Self {
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the pointer is to a string that lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Self(path)
    }

    /// The start of a script that opens the gate and says so.
    pub fn open(&self) -> String {
        format!("exec 3>{}; echo up >&3;", self.0.display())
    }

    /// Waits until a job has opened the gate.
    pub fn wait(&self) -> OpenGate {
        let mut file = File::open(&self.0).unwrap();
        let mut up = [0; 3];
        file.read_exact(&mut up).unwrap();
        OpenGate(file)
    }
}

/// A gate that some processes hold open.
pub struct OpenGate(File);

impl OpenGate {
    /// Waits until none of them is left.
    pub fn wait_for_all_to_end(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }
}

/// Collects what people would be told.
#[derive(Default)]
pub struct Messages(pub Vec<String>);

impl Observer for Messages {
    fn message(&mut self, message: &Message) {
        self.0.push(message.text.clone());
    }
}
