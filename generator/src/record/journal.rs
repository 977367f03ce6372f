//! Writes the record.
//!
//! In: [`Event`]s. Out: a line each in the run's record, which [`super::Reader`] reads back. Start at [`Journal`].
//!
//! What is guaranteed: every event is handed to the kernel in one write before the engine acts on it, so the death of
//! the process (`kill -9`, out of memory) loses no event. Only the first and the last line of a run are forced to the
//! disk: forcing each would cost more than the jobs of a large workflow. A loss of power can therefore take the last
//! seconds of the record, and content of files written in them. `resume` copes with both: what is not recorded as done
//! is done again, and recorded outputs are compared with their digests before anything reads them.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Event, History, Reader, RecordError};

/// The open record of a run; while it is open, no other process can open it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
    line: Vec<u8>,
}

impl Journal {
    /// Begins a record with its first event.
    ///
    /// # Errors
    /// [`RecordError::Exists`] where there is one already, [`RecordError::InUse`] where it is being written,
    /// [`RecordError::Io`].
    pub fn create(path: &Path, first: &Event) -> Result<Self, RecordError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|source| io_error("create", path, source))?;
        hold(&file, path)?;
        let length = file
            .metadata()
            .map_err(|source| io_error("look at", path, source))?
            .len();
        if length > 0 {
            return Err(RecordError::Exists { folder: folder(path) });
        }
        let mut journal = Self {
            file,
            path: path.to_owned(),
            length: 0,
            line: Vec::new(),
        };
        journal.append(first)?;
        journal.sync()?;
        Ok(journal)
    }

    /// Opens a record to continue it; half a line at its end is cut off first.
    ///
    /// # Errors
    /// [`RecordError`]: there is none, it is being written by another process, or it cannot be read.
    pub fn reopen(path: &Path) -> Result<(Self, History), RecordError> {
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(|source| io_error("open", path, source))?;
        hold(&file, path)?;
        let mut reader = Reader::new(&file, path);
        let history = History::read(&mut reader)?;
        let (whole, torn) = (reader.whole_bytes(), reader.torn());
        if torn.is_some() {
            file.set_len(whole)
                .map_err(|source| io_error("mend the end of", path, source))?;
        }
        let journal = Self {
            file,
            path: path.to_owned(),
            length: whole,
            line: Vec::new(),
        };
        Ok((journal, history))
    }

    /// Appends an event in one write.
    ///
    /// # Errors
    /// [`RecordError::Io`]; a line written in part is taken back, so that the record stays readable.
    pub fn append(&mut self, event: &Event) -> Result<(), RecordError> {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, event)
            .map_err(io::Error::from)
            .and_then(|()| {
                self.line.push(b'\n');
                self.file.write_all(&self.line)
            });
        match written {
            Ok(()) => {
                self.length += self.line.len() as u64;
                Ok(())
            }
            Err(source) => {
                // If this fails as well, half a line stays at the end, which readers tolerate.
                let _ = self.file.set_len(self.length);
                Err(io_error("write", &self.path, source))
            }
        }
    }

    /// Forces what was appended to the disk.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn sync(&mut self) -> Result<(), RecordError> {
        self.file
            .sync_data()
            .map_err(|source| io_error("write", &self.path, source))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The lock belongs to the open file, which a process just being forked may hold for a moment longer: give it back
        // rather than leave it to the closing. If that fails, the closing does it.
        let _ = self.file.unlock();
    }
}

/// How long a lock that another holds is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes the lock on an open file; it goes with the process, or with the file.
///
/// The lock belongs to the open file, and a process that a killed engine was just forking has that file open until its
/// program starts: whoever resumes at once would find the run in use. So a lock that is held is waited for, 3 s at most.
///
/// # Errors
/// [`TryLockError::WouldBlock`] where another still holds it after that time.
pub(crate) fn lock(file: &File) -> Result<(), TryLockError> {
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10))
            }
            end => return end,
        }
    }
}

/// Keeps other processes from working on the run.
fn hold(file: &File, path: &Path) -> Result<(), RecordError> {
    match lock(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RecordError::InUse { folder: folder(path) }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path, source)),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> RecordError {
    RecordError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn folder(record: &Path) -> PathBuf {
    record.parent().unwrap_or(record).to_owned()
}

impl History {
    /// Reads a record into what it says about each job.
    ///
    /// # Errors
    /// [`RecordError`] as [`super::read`].
    pub fn read<R: Read>(reader: &mut Reader<R>) -> Result<Self, RecordError> {
        let mut history = None;
        for event in reader.by_ref() {
            let event = event?;
            match &mut history {
                None => history = History::begin(event),
                Some(history) => history.add(event),
            }
        }
        // The reader ends with an error unless the first line is `run_started`.
        history.ok_or_else(|| RecordError::NotARecord {
            path: reader.path().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RunOutcome, Stamp, read};

    fn started() -> Event {
        Event::RunStarted {
            fedwing_record: Event::VERSION,
            at: Stamp(1),
            fedwing: "0".into(),
            name: "e".into(),
            source: "/s".into(),
            digest: "d".into(),
            synthetic: false,
            jobs: 1,
            slots: 1,
            host: "h".into(),
        }
    }

    #[test]
    fn a_record_is_open_once_and_begun_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.jsonl");
        let journal = Journal::create(&path, &started()).unwrap();
        assert!(matches!(
            Journal::create(&path, &started()),
            Err(RecordError::InUse { .. })
        ));
        assert!(matches!(Journal::reopen(&path), Err(RecordError::InUse { .. })));
        drop(journal);
        assert!(matches!(
            Journal::create(&path, &started()),
            Err(RecordError::Exists { .. })
        ));
        assert!(Journal::reopen(&path).is_ok());
    }

    #[test]
    fn a_record_that_a_forked_process_still_has_open_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.jsonl");
        drop(Journal::create(&path, &started()).unwrap());
        // What a fork leaves behind: the same open file, and with it the lock, once more.
        let file = File::open(&path).unwrap();
        file.try_lock().unwrap();
        let forked = file.try_clone().unwrap();
        drop(file);
        let program_starts = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(forked);
        });
        assert!(Journal::reopen(&path).is_ok());
        program_starts.join().unwrap();
    }

    #[test]
    fn half_a_line_is_cut_off_before_more_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.jsonl");
        drop(Journal::create(&path, &started()).unwrap());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"event\":\"job_st").unwrap();
        let (mut journal, _) = Journal::reopen(&path).unwrap();
        let ended = Event::RunEnded {
            at: Stamp(2),
            outcome: RunOutcome::Done,
        };
        journal.append(&ended).unwrap();
        assert_eq!(read(&path).unwrap(), [started(), ended]);
    }
}
