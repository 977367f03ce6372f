//! Makes a job's directory and its command.
//!
//! A job sees its declared inputs and nothing else of the run: an empty directory with links to them, and an environment
//! of few variables. Start at [`make_directory`] and [`command`].

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{EngineError, Machine, Options, graph::Graph, graph::JobIndex, schedule::Grant};
use crate::{
    plan::{DagJob, Lfn, Program},
    record::{LogStream, RunDir},
};

/// What a job keeps of the engine's environment: where programs and libraries are, whose account it is, and whether a
/// panic prints a backtrace.
const KEPT: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "USER", "LOGNAME", "RUST_BACKTRACE"];

/// Makes the job's directory, empty but for links to its inputs, and returns it.
///
/// What an earlier attempt left there is removed first, but for the job's checkpoints.
pub(super) fn make_directory(graph: &Graph<'_>, job: JobIndex, dir: &RunDir) -> Result<PathBuf, EngineError> {
    let place = dir.job(&graph.job(job).id);
    match fs::create_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            empty(&place, &graph.job(job).checkpoints, &dir.jobs().join(ASIDE))
                .map_err(EngineError::io("empty the directory", &place))?;
        }
        made => made.map_err(EngineError::io("make the directory", &place))?,
    }
    let files = dir.files();
    let files_here = graph.node(job).inputs.iter().map(|&file| graph.file(file).name);
    for name in files_here.filter(|name| !name.is_kept()) {
        let name = name.as_str();
        let link = place.join(name);
        make_parent(&link, name)?;
        symlink(files.join(name), &link).map_err(EngineError::io("link the input", &link))?;
    }
    let outputs = graph.node(job).outputs.iter();
    let outputs = outputs.map(|&file| graph.file(file).name);
    for name in outputs
        .chain(&graph.job(job).checkpoints)
        .filter(|name| !name.is_kept())
    {
        // A job may write `a/b` as declared without making `a` itself.
        make_parent(&place.join(name.as_str()), name.as_str())?;
    }
    Ok(place)
}

/// Where a directory stands while its checkpoints are moved out of it; no job's directory starts with a dot.
const ASIDE: &str = ".aside";

/// Empties a job's directory but for its checkpoints, as far as they are there.
///
/// Cut off anywhere in between, it leaves a directory without checkpoints: the job starts from its beginning.
fn empty(place: &Path, checkpoints: &[Lfn], aside: &Path) -> io::Result<()> {
    if checkpoints.is_empty() {
        fs::remove_dir_all(place)?;
        return fs::create_dir(place);
    }
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(place, aside)?;
    fs::create_dir(place)?;
    for name in checkpoints {
        let left = aside.join(name.as_str());
        // A link would lead to what somebody else can change.
        if fs::symlink_metadata(&left).is_ok_and(|metadata| metadata.is_file()) {
            let kept = place.join(name.as_str());
            if let Some(folder) = kept.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(left, kept)?;
        }
    }
    fs::remove_dir_all(aside)
}

/// Whether an attempt left a checkpoint in the job's directory `place`.
pub(super) fn has_checkpoint(job: &DagJob, place: &Path) -> bool {
    let there = |name: &Lfn| fs::symlink_metadata(place.join(name.as_str())).is_ok_and(|file| file.is_file());
    job.checkpoints.iter().any(there)
}

fn make_parent(path: &Path, name: &str) -> Result<(), EngineError> {
    match path.parent().filter(|_| name.contains('/')) {
        Some(folder) => fs::create_dir_all(folder).map_err(EngineError::io("make the folder", folder)),
        None => Ok(()),
    }
}

/// Removes a job's directory; most are empty but for links.
pub(super) fn remove_directory(place: &Path) -> Result<(), EngineError> {
    fs::remove_dir(place)
        .or_else(|_| fs::remove_dir_all(place))
        .map_err(EngineError::io("remove the directory", place))
}

/// Where a job's program is.
pub(super) fn program<'a>(job: &'a DagJob, options: &'a Options) -> Result<&'a Path, String> {
    match &job.program {
        Program::Path(path) => Ok(Path::new(path)),
        Program::Ours(binary) => match options.programs.get(binary) {
            Some(path) => Ok(path),
            None => Err(format!("`{}`: its path is not known", binary.as_str())),
        },
    }
}

/// What surrounds one attempt at a job.
pub(super) struct Surroundings<'a> {
    /// The job's directory.
    pub(super) place: &'a Path,
    /// The run's folder.
    pub(super) dir: &'a RunDir,
    /// What it may use.
    pub(super) grant: &'a Grant,
    pub(super) options: &'a Options,
}

/// The command of one attempt at a job.
pub(super) fn command(job: &DagJob, attempt: u32, around: &Surroundings<'_>) -> Result<Command, EngineError> {
    let Surroundings {
        place,
        dir,
        grant,
        options,
    } = *around;
    let program = program(job, options).map_err(|problem| EngineError::Programs(vec![problem]))?;
    let mut command = Command::new(program);
    command.args(&job.argv).current_dir(place).env_clear();
    command.envs(
        KEPT.iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
    command
        .env("HOME", place)
        .env("TMPDIR", place)
        .env("LANG", "C.UTF-8");
    let threads = grant.cpus.to_string();
    command
        .env("OMP_NUM_THREADS", &threads)
        .env("RAYON_NUM_THREADS", &threads);
    // Empty for a job that asked for none: it must not take one that another job was granted.
    command.env("CUDA_VISIBLE_DEVICES", visible_gpus(grant, &options.machine));
    command.envs(&job.env);
    let stdin = match &job.stdin {
        Some(name) => open(&dir.files().join(name.as_str()))?,
        None => Stdio::null(),
    };
    let (stdout, stderr) = outputs(job, attempt, place, dir)?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    Ok(command)
}

fn visible_gpus(grant: &Grant, machine: &Machine) -> String {
    let names = grant.gpus.iter().map(|&gpu| machine.gpus[gpu as usize].as_str());
    names.collect::<Vec<_>>().join(",")
}

/// The declared outputs that take stdout and stderr, else the logs.
fn outputs(job: &DagJob, attempt: u32, place: &Path, dir: &RunDir) -> Result<(Stdio, Stdio), EngineError> {
    let target = |declared: &Option<Lfn>, stream| match declared {
        Some(name) => create(&place.join(name.as_str())),
        None => create(&dir.log(&job.id, attempt, stream)),
    };
    let out = target(&job.stdout, LogStream::Out)?;
    let err = if job.stderr.is_some() && job.stderr == job.stdout {
        // One file for both: the same open file, so that neither overwrites the other.
        out.try_clone().map_err(EngineError::io("write", place))?
    } else {
        target(&job.stderr, LogStream::Err)?
    };
    Ok((out.into(), err.into()))
}

fn open(path: &Path) -> Result<Stdio, EngineError> {
    File::open(path)
        .map(Stdio::from)
        .map_err(EngineError::io("open", path))
}

fn create(path: &Path) -> Result<File, EngineError> {
    File::create(path).map_err(EngineError::io("create", path))
}

/// Removes the logs of an attempt that wrote nothing into them.
pub(super) fn remove_empty_logs(job: &DagJob, attempt: u32, dir: &RunDir) {
    for (declared, stream) in [(&job.stdout, LogStream::Out), (&job.stderr, LogStream::Err)] {
        let path = dir.log(&job.id, attempt, stream);
        if declared.is_none() && fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
            // An empty file that stays is harmless.
            let _ = fs::remove_file(&path);
        }
    }
}
