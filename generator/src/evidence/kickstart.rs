//! Reads the records that Pegasus' kickstart leaves of each job, `JOB.out.NNN`.
//!
//! In: the file's text. Out: the [`Invocation`]s in it. Start at [`parse`]. Pure.
//!
//! The records are YAML, written piece by piece on the machine of the job, with the job's own output in them. So they are
//! read line by line: what is damaged costs its line, not the record. Under HTCondor's file transfer they are where the
//! truth about a failed job is; the event log tells only of outputs that did not come back.

use contract::units::Bytes;

use super::{
    event_log::{Ending, QueueId, queue_id},
    time,
};
use crate::record::Stamp;

/// The largest record read.
pub const MAX_BYTES: u64 = 16 << 20;

/// The most of a job's output that is kept, in bytes.
const MAX_OUTPUT: usize = 64 << 10;

/// What kickstart saw of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The job's id in the queue.
    pub queue: Option<QueueId>,
    /// When the job's own process started.
    pub start: Option<Stamp>,
    /// Seconds it ran.
    pub duration_s: Option<f64>,
    /// How it ended; none where it could not be started.
    pub ending: Option<Ending>,
    /// User and system CPU time in seconds.
    pub cpu_s: Option<f64>,
    /// Largest resident memory.
    pub peak_memory: Option<Bytes>,
    /// The machine.
    pub host: Option<String>,
    /// What it wrote to stderr, its end where that is long.
    pub stderr: Option<String>,
    /// The files it read or wrote, as far as they were looked at.
    pub files: Vec<SeenFile>,
}

/// A file of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenFile {
    /// Its logical name.
    pub lfn: String,
    /// Whether it is an output.
    pub output: bool,
    /// Its size; none where it is not there.
    pub size: Option<Bytes>,
    /// SHA-256 of its content.
    pub sha256: Option<String>,
}

/// Reads every invocation of a record.
pub fn parse(text: &str) -> Vec<Invocation> {
    let mut reader = Reader::default();
    for line in text.lines() {
        // What follows is about the job's files, written by Pegasus itself.
        if line.starts_with("---------------pegasus-multipart") {
            break;
        }
        reader.line(line);
    }
    reader.finish_invocation();
    reader.done
}

#[derive(Default)]
struct Reader {
    done: Vec<Invocation>,
    now: Option<Building>,
    /// Keys from the invocation down to the last line, with their columns.
    path: Vec<(usize, String)>,
    /// Inside a text block: the column of its key.
    block: Option<usize>,
}

#[derive(Default)]
struct Building {
    queue: Option<QueueId>,
    start: Option<Stamp>,
    duration_s: Option<f64>,
    ending: Option<Ending>,
    user_s: Option<f64>,
    system_s: Option<f64>,
    peak_memory: Option<Bytes>,
    host: Option<String>,
    stderr: String,
    files: Vec<SeenFile>,
    file: Option<(String, SeenFile)>,
}

/// The names under `files:` that are no files of the workflow.
const OWN_FILES: [&str; 6] = ["stdin", "stdout", "stderr", "metadata", "kickstart", "logfile"];

impl Reader {
    fn line(&mut self, line: &str) {
        let column = line.len() - line.trim_start_matches(' ').len();
        if let Some(key) = self.block {
            if column > key || line.trim().is_empty() {
                self.text(line.trim_start());
                return;
            }
            self.block = None;
        }
        if line.starts_with("- invocation:") {
            self.finish_invocation();
            self.now = Some(Building::default());
            self.path.clear();
            return;
        }
        let Some((key, value)) = line.trim().split_once(':') else {
            return;
        };
        while self.path.last().is_some_and(|(at, _)| *at >= column) {
            self.path.pop();
        }
        let (key, value) = (key.trim_matches('"'), value.trim());
        self.path.push((column, key.to_owned()));
        if value == "|" {
            self.block = Some(column);
        } else {
            self.value(value.trim_matches('"'));
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.path.iter().map(|(_, key)| key.as_str()).collect()
    }

    fn text(&mut self, line: &str) {
        if self.keys() != ["files", "stderr", "data"] {
            return;
        }
        let Some(now) = &mut self.now else { return };
        now.stderr.push_str(line);
        now.stderr.push('\n');
        if now.stderr.len() > 2 * MAX_OUTPUT {
            keep_end(&mut now.stderr);
        }
    }

    fn value(&mut self, value: &str) {
        let path: Vec<&str> = self.path.iter().map(|(_, key)| key.as_str()).collect();
        let Some(now) = &mut self.now else { return };
        match path.as_slice() {
            ["mainjob", "start"] => now.start = time::zoned(value),
            ["mainjob", "duration"] => now.duration_s = seconds(value),
            ["mainjob", "usage", "utime"] => now.user_s = seconds(value),
            ["mainjob", "usage", "stime"] => now.system_s = seconds(value),
            ["mainjob", "usage", "maxrss"] => {
                now.peak_memory = value
                    .parse()
                    .ok()
                    .and_then(|kib: u64| kib.checked_mul(1024))
                    .map(Bytes);
            }
            ["mainjob", "status", "raw"] => now.ending = value.parse().ok().and_then(ending),
            ["jobids", "condor"] => now.queue = queue_id(value),
            ["machine", "uname_nodename"] => now.host = Some(value.to_owned()),
            ["files", name] => {
                now.finish_file();
                now.file = Some(((*name).to_owned(), SeenFile::default()));
            }
            ["files", _, key] => {
                if let Some((_, file)) = &mut now.file {
                    file.take(key, value);
                }
            }
            _ => {}
        }
    }

    fn finish_invocation(&mut self) {
        self.block = None;
        let Some(mut now) = self.now.take() else { return };
        now.finish_file();
        keep_end(&mut now.stderr);
        self.done.push(Invocation {
            queue: now.queue,
            start: now.start,
            duration_s: now.duration_s,
            ending: now.ending,
            cpu_s: now.user_s.zip(now.system_s).map(|(user, system)| user + system),
            peak_memory: now.peak_memory,
            host: now.host,
            stderr: Some(now.stderr).filter(|text| !text.trim().is_empty()),
            files: now.files,
        });
    }
}

impl Building {
    fn finish_file(&mut self) {
        if let Some((name, file)) = self.file.take()
            && !OWN_FILES.contains(&name.as_str())
            && !file.lfn.is_empty()
        {
            self.files.push(file);
        }
    }
}

impl SeenFile {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            "lfn" => self.lfn = value.to_owned(),
            "output" => self.output = value.eq_ignore_ascii_case("true"),
            "size" => self.size = value.parse().ok().map(Bytes),
            "sha256" => {
                let digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
                self.sha256 = digest.then(|| value.to_ascii_lowercase());
            }
            _ => {}
        }
    }
}

/// A status as wait(2) gives it; negative where the process never was.
fn ending(raw: i32) -> Option<Ending> {
    let signal = raw & 0x7f;
    (raw >= 0).then_some(if signal == 0 {
        Ending::Exit((raw >> 8) & 0xff)
    } else {
        Ending::Signal(signal)
    })
}

fn seconds(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

fn keep_end(text: &mut String) {
    if text.len() > MAX_OUTPUT {
        let least = text.len() - MAX_OUTPUT;
        let cut = (least..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len());
        text.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: &str = "\
- invocation: True
  version: 3.0
  start: 2026-01-05T09:00:00.000+00:00
  duration: 9.000
  mainjob:
    start: 2026-01-05T09:00:01.500+00:00
    duration: 7.250
    usage:
      utime: 6.000
      stime: 0.500
      maxrss: 1760
    status:
      raw: 5120
      regular_exitcode: 20
    executable:
      size: 54
  jobids:
    condor: 12.0
  usage:
    utime: 99.0
  machine:
    uname_nodename: worker7
  files:
    model.safetensors:
      lfn: \"model.safetensors\"
      size: 77
      output: True
      sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
    lost.json:
      error: 2
      lfn: \"lost.json\"
    stderr:
      size: 26
      data: |
        error: memory ran out
          mainjob: not a key
        
    stdout:
      data: |
        {}
---------------pegasus-multipart
- integrity_summary:
    succeeded: 2
";

    #[test]
    fn a_record_tells_how_the_job_ended_and_what_it_left() {
        let found = parse(RECORD);
        assert_eq!(found.len(), 1);
        let job = &found[0];
        assert_eq!(job.ending, Some(Ending::Exit(20)));
        assert_eq!((job.duration_s, job.cpu_s), (Some(7.25), Some(6.5)));
        assert_eq!(job.peak_memory, Some(Bytes(1760 * 1024)));
        assert_eq!(job.host.as_deref(), Some("worker7"));
        assert_eq!(
            job.queue,
            Some(QueueId {
                cluster: 12,
                process: 0
            })
        );
        assert_eq!(job.start, Some(Stamp(1_767_603_601_500)));
        let stderr = job.stderr.as_deref().unwrap();
        assert!(
            stderr.starts_with("error: memory ran out\nmainjob: not a key\n"),
            "{stderr}"
        );
        let files: Vec<_> = job
            .files
            .iter()
            .map(|file| (file.lfn.as_str(), file.output, file.size))
            .collect();
        assert_eq!(
            files,
            [
                ("model.safetensors", true, Some(Bytes(77))),
                ("lost.json", false, None)
            ]
        );
    }

    #[test]
    fn a_record_cut_anywhere_is_still_read() {
        for cut in (0..RECORD.len()).filter(|cut| RECORD.is_char_boundary(*cut)) {
            assert!(parse(&RECORD[..cut]).len() <= 1);
        }
        let signal = RECORD.replace("raw: 5120", "raw: 9");
        assert_eq!(parse(&signal)[0].ending, Some(Ending::Signal(9)));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            parse(&text);
            parse(&format!("- invocation: True\n{text}"));
        }
    }
}
