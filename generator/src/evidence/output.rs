//! What a try at a job on a pool wrote: kickstart's record and the job's own words.
//!
//! Read only when asked for: a run of thousands of jobs has as many files. Start at [`Output::of`].

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    event_log::QueueId,
    kickstart::{self, Invocation},
    observed::{Job, Submit, System, Try},
    tail::read_text,
};

/// The most of a job's stderr that is read, from its end.
const MOST_WORDS: u64 = 64 << 10;

/// Records of a job that are looked through for the one of a try.
const MOST_RECORDS: u32 = 1000;

/// The largest submit file read.
const MAX_SUBMIT_BYTES: u64 = 1 << 20;

/// What a try wrote, as far as it is there.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Kickstart's account of the job's process.
    pub invocation: Option<Invocation>,
    /// The end of what the job wrote to stderr.
    pub stderr: Option<String>,
    /// The file that is in.
    pub log: Option<PathBuf>,
}

impl Output {
    /// What `attempt` at `job` wrote.
    ///
    /// Files that are not there or cannot be read are as good as empty: they explain, nothing is decided by them.
    pub fn of(system: System, job: &Job, attempt: &Try) -> Self {
        let Some(submit) = attempt.submit.as_deref() else {
            return Self::default();
        };
        match system {
            System::Local => Self::default(),
            System::Pegasus => of_pegasus(&submit.file, attempt.queue),
            System::Dagman => of_dagman(submit, node_name(job), attempt.queue),
        }
    }

    /// The last line that says why the job failed: ours begin so; else the last line there is.
    pub fn message(&self) -> Option<&str> {
        let lines = || {
            self.stderr
                .as_deref()
                .unwrap_or("")
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        let ours = lines().rev().find_map(|line| line.strip_prefix("error: "));
        ours.or_else(|| lines().next_back())
    }
}

/// The node's name within its own DAG.
fn node_name(job: &Job) -> &str {
    job.name.rsplit('/').next().unwrap_or(&job.name)
}

fn of_pegasus(submit: &Path, queue: Option<QueueId>) -> Output {
    let stem = submit.with_extension("");
    let numbered = |ending: &str, number: u32| {
        let mut name = stem.clone().into_os_string();
        name.push(format!(".{ending}.{number:03}"));
        PathBuf::from(name)
    };
    let last = (0..MOST_RECORDS)
        .take_while(|number| numbered("out", *number).exists())
        .last();
    for number in (0..=last.unwrap_or(0)).rev() {
        let path = numbered("out", number);
        let Ok(Some(text)) = read_text(&path, kickstart::MAX_BYTES) else {
            continue;
        };
        // A job of several processes leaves several; the last one is where it ended.
        let found = kickstart::parse(&text).into_iter().next_back();
        let Some(invocation) =
            found.filter(|found| queue.is_none() || found.queue.is_none() || found.queue == queue)
        else {
            continue;
        };
        let lite = numbered("err", number);
        let stderr = invocation.stderr.clone();
        return Output {
            log: Some(if stderr.is_some() || !lite.exists() {
                path
            } else {
                lite
            }),
            stderr,
            invocation: Some(invocation),
        };
    }
    // Without a record there is what PegasusLite said on its way to starting the job.
    let lite = numbered("err", last.unwrap_or(0));
    Output {
        invocation: None,
        stderr: end_of(&lite),
        log: lite.exists().then_some(lite),
    }
}

fn of_dagman(submit: &Submit, node: &str, queue: Option<QueueId>) -> Output {
    let path = named_in(submit, node, queue);
    Output {
        invocation: None,
        stderr: path.as_deref().and_then(end_of),
        log: path,
    }
}

/// The file a submit file names for stderr, where only well-known macros are in its name.
fn named_in(submit: &Submit, node: &str, queue: Option<QueueId>) -> Option<PathBuf> {
    let text = read_text(&submit.file, MAX_SUBMIT_BYTES).ok().flatten()?;
    let value = |wanted: &str| {
        text.lines().rev().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| value.trim().to_owned())
        })
    };
    let mut name = value("error")?
        .replace("$(JOB)", node)
        .replace("$(Node)", node)
        .replace("$(node)", node);
    if let Some(queue) = queue {
        let (cluster, process) = (queue.cluster.to_string(), queue.process.to_string());
        for macro_name in ["$(Cluster)", "$(ClusterId)", "$(cluster)"] {
            name = name.replace(macro_name, &cluster);
        }
        for macro_name in ["$(Process)", "$(ProcId)", "$(process)"] {
            name = name.replace(macro_name, &process);
        }
    }
    if name.contains("$(") {
        return None;
    }
    let from = value("initialdir").map_or(submit.from.clone(), |dir| submit.from.join(dir));
    Some(from.join(name)).filter(|path| path.is_file())
}

/// The end of a text, from a whole line on.
fn end_of(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_WORDS)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_WORDS).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(text).filter(|text| !text.trim().is_empty())
}
