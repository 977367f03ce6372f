//! What every job binary does the same: whole files or none, a failure file, an exit code, a line of usage.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::{JobExit, Retry},
    names::{FAILURE_FILE, FAILURE_VARIABLE},
};

/// Why a job stopped: what is wrong, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JobError {
    /// How the job ends.
    pub exit: JobExit,
    /// What is wrong, in the reader's words.
    pub message: String,
    /// The file it is about.
    pub file: Option<PathBuf>,
    /// What to do.
    pub help: Option<String>,
}

impl JobError {
    /// A failure of kind `exit`.
    pub fn new(exit: JobExit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            file: None,
            help: None,
        }
    }

    /// Names the file it is about.
    #[must_use]
    pub fn about(mut self, file: impl AsRef<Path>) -> Self {
        self.file = Some(file.as_ref().to_owned());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A file that could not be read: missing, or unreadable.
    pub fn reading(file: impl AsRef<Path>, error: &io::Error) -> Self {
        let file = file.as_ref();
        let exit = if error.kind() == io::ErrorKind::NotFound {
            JobExit::InputMissing
        } else {
            JobExit::Io
        };
        Self::new(exit, format!("cannot read `{}`: {error}", file.display())).about(file)
    }

    /// A file that could not be written.
    pub fn writing(file: impl AsRef<Path>, error: &io::Error) -> Self {
        let file = file.as_ref();
        Self::new(JobExit::Io, format!("cannot write `{}`: {error}", file.display())).about(file)
    }

    /// A file that is there and is not what it should be.
    pub fn invalid(file: impl AsRef<Path>, reason: impl std::fmt::Display) -> Self {
        let file = file.as_ref();
        Self::new(JobExit::InputInvalid, format!("`{}`: {reason}", file.display())).about(file)
    }
}

/// The failure file: JSON beside the job's outputs, read first by engine and diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Format version, [`Failure::VERSION`].
    pub fedwing_failure: u32,
    /// Binary and subcommand.
    pub job: String,
    /// How the job ended.
    pub kind: JobExit,
    /// The exit code.
    pub exit: u8,
    /// Whether another attempt can end differently.
    pub retry: Retry,
    /// What is wrong.
    pub message: String,
    /// The file it is about.
    pub file: Option<PathBuf>,
    /// What to do.
    pub help: Option<String>,
}

impl Failure {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// What a job used, as one JSON line on stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Format version, [`Usage::VERSION`].
    pub fedwing_usage: u32,
    /// Binary and subcommand.
    pub job: String,
    /// Elapsed time in seconds.
    pub wall_s: f64,
    /// User and system CPU time in seconds.
    pub cpu_s: f64,
    /// Largest resident memory in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes read through system calls; mapped files are not in it.
    pub read_bytes: u64,
    /// Bytes written through system calls.
    pub written_bytes: u64,
}

impl Usage {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// What this process used so far; zeros where `/proc` does not tell.
    pub fn now(job: &str, started: Instant) -> Self {
        let number = |file: &str, key: &str| -> u64 {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        // Fields 14 and 15 of proc(5) stat, counted after the command's closing parenthesis; in ticks of 10 ms.
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks: u64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|n| n.parse::<u64>().ok())
            .sum();
        Self {
            fedwing_usage: Self::VERSION,
            job: job.to_owned(),
            wall_s: started.elapsed().as_secs_f64(),
            cpu_s: ticks as f64 / 100.0,
            peak_memory_bytes: number("/proc/self/status", "VmHWM:") * 1024,
            read_bytes: number("/proc/self/io", "rchar:"),
            written_bytes: number("/proc/self/io", "wchar:"),
        }
    }
}

/// Runs a job's body and ends the process as the contract says.
///
/// On success prints one line of [`Usage`] to stdout. On failure prints the error to stderr and leaves [`FAILURE_FILE`]
/// in the current directory, or the file that the variable [`FAILURE_VARIABLE`] names. A failure file of an earlier attempt is removed first.
pub fn run(job: &str, body: impl FnOnce() -> Result<(), JobError>) -> ExitCode {
    let started = Instant::now();
    let old = failure_file();
    if let Err(error) = fs::remove_file(&old)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("warning: cannot remove an old `{}`: {error}", old.display());
    }
    match body() {
        Ok(()) => {
            match serde_json::to_string(&Usage::now(job, started)) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("warning: cannot state what the job used: {error}"),
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(job, &error),
    }
}

/// Where the failure file belongs: jobs that share a directory each have one of their own.
fn failure_file() -> PathBuf {
    env::var_os(FAILURE_VARIABLE).map_or_else(|| FAILURE_FILE.into(), PathBuf::from)
}

/// Prints `error`, leaves the failure file and returns the exit code.
pub fn fail(job: &str, error: &JobError) -> ExitCode {
    eprintln!("error: {job}: {error}");
    if let Some(help) = &error.help {
        eprintln!("help: {help}");
    }
    let failure = Failure {
        fedwing_failure: Failure::VERSION,
        job: job.to_owned(),
        kind: error.exit,
        exit: error.exit.code(),
        retry: error.exit.retry(),
        message: error.message.clone(),
        file: error.file.clone(),
        help: error.help.clone(),
    };
    if let Err(error) = write_json(&failure_file(), &failure) {
        eprintln!("warning: no failure file: {error}");
    }
    ExitCode::from(error.exit.code())
}

/// A file on its way: it lies beside its target until it is whole, and goes when it is dropped before.
///
/// It is not forced to the disk: a job that dies leaves no half file, and what a power cut takes is missed by the digests
/// of a run's record.
#[derive(Debug)]
pub struct PartFile {
    file: fs::File,
    beside: PathBuf,
    target: PathBuf,
}

impl PartFile {
    /// Begins a file that will be `target`.
    ///
    /// # Errors
    /// [`JobError`] of kind `io` naming the file.
    pub fn create(target: &Path) -> Result<Self, JobError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = fs::File::create(&beside).map_err(|error| JobError::writing(target, &error))?;
        Ok(Self {
            file,
            beside,
            target: target.to_owned(),
        })
    }

    /// The file to write to.
    pub fn file(&self) -> &fs::File {
        &self.file
    }

    /// The file it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the whole file in its place.
    ///
    /// # Errors
    /// [`JobError`] of kind `io` naming the file.
    pub fn finish(self) -> Result<(), JobError> {
        fs::rename(&self.beside, &self.target).map_err(|error| JobError::writing(&self.target, &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After `finish` there is nothing to remove; before, the error that matters is the one that got us here.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes a whole file or none: beside the target first, then renamed over it.
///
/// # Errors
/// [`JobError`] of kind `io` naming the file.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<&fs::File>) -> io::Result<()>,
) -> Result<(), JobError> {
    let part = PartFile::create(path)?;
    let mut out = io::BufWriter::with_capacity(1 << 20, part.file());
    let written = write(&mut out).and_then(|()| out.flush());
    drop(out);
    written.map_err(|error| JobError::writing(path, &error))?;
    part.finish()
}

/// Writes pretty JSON with a closing newline, whole or not at all.
///
/// # Errors
/// [`JobError`] of kind `io` naming the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), JobError> {
    write_whole(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Reads JSON of at most `limit` bytes.
///
/// # Errors
/// [`JobError`]: the file is missing, too large, or not such a document.
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path, limit: u64) -> Result<T, JobError> {
    let size = fs::metadata(path)
        .map_err(|error| JobError::reading(path, &error))?
        .len();
    if size > limit {
        return Err(JobError::invalid(
            path,
            format!("{size} bytes, more than the {limit} such a file may have"),
        ));
    }
    let text = fs::read(path).map_err(|error| JobError::reading(path, &error))?;
    serde_json::from_slice(&text).map_err(|error| JobError::invalid(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_neither_target_nor_part() {
        let dir = std::env::temp_dir().join(format!("fedwing-write-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let target = dir.join("out.bin");
        let error = write_whole(&target, |_| Err(io::Error::other("disk full"))).unwrap_err();
        assert_eq!(error.exit, JobExit::Io);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        write_whole(&target, |out| out.write_all(b"x")).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"x");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn usage_of_this_process_is_more_than_nothing() {
        let usage = Usage::now("test", Instant::now());
        assert!(!cfg!(target_os = "linux") || usage.peak_memory_bytes > 0);
    }
}
