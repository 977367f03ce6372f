//! What the measurements share: where binaries and data are, what the machine is, jobs that do nothing.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
};

use contract::units::{Bytes, Seconds};
use fedwing::{
    check::Request,
    emit::{FileKind, Sink},
    engine::{Interrupt, Machine, Options, Origin, Patience, run},
    plan::{Dag, DagJob, Label, Program},
    record::{Event, RunDir, RunOutcome, read},
};

/// A binary of the workspace, beside the measuring one.
///
/// # Panics
/// When it is not built.
pub fn binary(name: &str) -> PathBuf {
    let here = env::current_exe().expect("a program has a path");
    let path = here.with_file_name(name);
    assert!(
        path.is_file(),
        "`{}` is not built: build the workspace in the same profile",
        path.display()
    );
    path
}

/// The folder of real data: `FEDWING_DATA`, else `../shared/data` beside the workspace.
///
/// # Panics
/// When it is not there.
pub fn data() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches lie in the workspace");
    let path = env::var_os("FEDWING_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    assert!(
        path.is_dir(),
        "`{}` is not there: set FEDWING_DATA",
        path.display()
    );
    fs::canonicalize(path).expect("a readable folder")
}

/// One line that says where numbers were made: processor, cores, commit.
pub fn provenance() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let git = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = git
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    format!(
        "{}, {cores} cores, commit {commit}",
        model.unwrap_or("unknown processor")
    )
}

/// A sink of files that counts bytes and keeps none.
#[derive(Debug, Default)]
pub struct Counted {
    /// Bytes of all files.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
}

/// A file of [`Counted`].
#[derive(Debug)]
pub struct Counter<'a>(&'a mut u64);

impl io::Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Counted {
    type File<'a> = Counter<'a>;

    fn file(&mut self, _path: &str, _kind: FileKind) -> io::Result<Counter<'_>> {
        self.files += 1;
        Ok(Counter(&mut self.bytes))
    }
}

/// A job that waits for nothing and has no files.
pub fn no_job(id: &str, program: &str, argv: Vec<String>) -> DagJob {
    DagJob {
        id: id.into(),
        label: Label {
            kind: "nothing".into(),
            dataset: None,
            round: None,
            client: None,
        },
        program: Program::Path(program.to_owned()),
        argv,
        env: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        stdout: None,
        stderr: None,
        stdin: None,
        request: Request {
            cpus: 1,
            memory: Bytes(0),
            gpus: 0,
            walltime: Seconds(60),
        },
        retries: 0,
        after: Vec::new(),
        in_place: Vec::new(),
        checkpoints: Vec::new(),
    }
}

/// Runs `dag` by the engine in `folder` and checks that every job is recorded as done; gives the length of the record.
///
/// # Errors
/// The engine cannot run, or a job is not done.
pub fn run_engine(dag: &Dag, folder: &Path, slots: NonZeroU32) -> Result<Bytes, Box<dyn Error>> {
    let dir = RunDir::new(folder);
    let options = Options {
        origin: Origin {
            source: "/bench".to_owned(),
            digest: "none".to_owned(),
            synthetic: false,
        },
        machine: Machine::here(slots),
        programs: BTreeMap::new(),
        patience: Patience::default(),
        interrupt: Interrupt::new()?,
    };
    let outcome = run(dag, &dir, &options, &mut ())?;
    let ended = |event: &&Event| matches!(event, Event::JobEnded { .. });
    let recorded = read(&dir.record())?.iter().filter(ended).count();
    if outcome != RunOutcome::Done || recorded != dag.jobs.len() {
        return Err(format!("{outcome:?} with {recorded} of {} jobs recorded", dag.jobs.len()).into());
    }
    Ok(Bytes(fs::metadata(dir.record())?.len()))
}
