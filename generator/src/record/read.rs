//! Reads a record back.
//!
//! In: the file [`super::Journal`] appends to. Out: [`Event`]s, one at a time. Start at [`read`] or [`Reader`].
//!
//! A process that is killed, or a machine that loses power, can leave half a line at the very end; it is left out and
//! [`Reader::torn`] says so. Any other line that is not an event is an error with its number.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::Event;

/// The longest line accepted: a list of all names in a run of a million jobs fits.
const LONGEST_LINE: u64 = 64 << 20;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be opened, read, locked or written.
    #[error("cannot {action} the record `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The record.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the run open.
    #[error("the run in `{}` is in use: another `fedwing run` or `fedwing resume` works on it; \
             wait for it or stop it first", folder.display())]
    InUse {
        /// The run's folder.
        folder: PathBuf,
    },
    /// A new run was to start where one is recorded already.
    #[error("`{}` holds a run already: continue it with `fedwing resume {}`, or choose another folder",
            folder.display(), folder.display())]
    Exists {
        /// The run's folder.
        folder: PathBuf,
    },
    /// There is no whole first line.
    #[error("the record `{}` is empty: the run was stopped before it began; start it in another folder", path.display())]
    Empty {
        /// The record.
        path: PathBuf,
    },
    /// The first line is not the start of a run.
    #[error("`{}` is not the record of a run: its first line is not a `run_started` event", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
    },
    /// The record is of a later format.
    #[error("the record `{}` has format {found}, this fedwing reads up to {}: use a fedwing that writes format {found}",
            path.display(), Event::VERSION)]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A line is not an event.
    #[error("{}:{number}: not an event of a run", path.display())]
    Line {
        /// The record.
        path: PathBuf,
        /// The line, counted from 1.
        number: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than any event.
    #[error("{}:{number}: longer than {LONGEST_LINE} bytes, which no event is", path.display())]
    LongLine {
        /// The record.
        path: PathBuf,
        /// The line, counted from 1.
        number: u64,
    },
}

/// Reads every event of the record at `path`, leaving out half a line at its end.
///
/// # Errors
/// [`RecordError`]: unreadable, of a later format, empty, or with a line that is not an event.
pub fn read(path: &Path) -> Result<Vec<Event>, RecordError> {
    Reader::open(path)?.collect()
}

/// The events of a record, one at a time; the first is always [`Event::RunStarted`].
#[derive(Debug)]
pub struct Reader<R> {
    source: BufReader<R>,
    path: PathBuf,
    line: Vec<u8>,
    number: u64,
    whole: u64,
    torn: Option<u64>,
    ended: bool,
}

impl Reader<File> {
    /// Opens the record at `path`.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        match File::open(path) {
            Ok(file) => Ok(Self::new(file, path)),
            Err(source) => Err(RecordError::Io {
                action: "open",
                path: path.to_owned(),
                source,
            }),
        }
    }
}

/// What every first line has, in every format.
#[derive(Deserialize)]
struct FirstLine {
    event: String,
    fedwing_record: u32,
}

impl<R: Read> Reader<R> {
    /// Reads from `source`; `path` is what errors call it.
    pub fn new(source: R, path: &Path) -> Self {
        Self {
            source: BufReader::with_capacity(1 << 16, source),
            path: path.to_owned(),
            line: Vec::new(),
            number: 0,
            whole: 0,
            torn: None,
            ended: false,
        }
    }

    /// The length in bytes of the half line that was left out at the end, if there was one; known once iteration ended.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// What is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes of all whole lines read so far.
    pub fn whole_bytes(&self) -> u64 {
        self.whole
    }

    fn next_event(&mut self) -> Result<Option<Event>, RecordError> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.source)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line)
            .map_err(|source| RecordError::Io {
                action: "read",
                path: self.path.clone(),
                source,
            })? as u64;
        if self.line.last() != Some(&b'\n') {
            if read == LONGEST_LINE {
                return Err(RecordError::LongLine {
                    path: self.path.clone(),
                    number: self.number,
                });
            }
            self.torn = (read > 0).then_some(read);
            return if self.number == 1 {
                Err(RecordError::Empty {
                    path: self.path.clone(),
                })
            } else {
                Ok(None)
            };
        }
        if self.number == 1 {
            self.check_first_line()?;
        }
        self.whole += read;
        let event = serde_json::from_slice(&self.line).map_err(|source| RecordError::Line {
            path: self.path.clone(),
            number: self.number,
            source,
        })?;
        Ok(Some(event))
    }

    /// Refuses other files and later formats before the whole line is looked at: a later format may have other fields.
    fn check_first_line(&self) -> Result<(), RecordError> {
        match serde_json::from_slice::<FirstLine>(&self.line) {
            Ok(first) if first.event != "run_started" => Err(RecordError::NotARecord {
                path: self.path.clone(),
            }),
            Ok(first) if first.fedwing_record > Event::VERSION => Err(RecordError::Newer {
                path: self.path.clone(),
                found: first.fedwing_record,
            }),
            Ok(_) => Ok(()),
            Err(_) => Err(RecordError::NotARecord {
                path: self.path.clone(),
            }),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Event, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_event().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RunOutcome, Stamp};

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

    fn ended() -> Event {
        Event::RunEnded {
            at: Stamp(2),
            outcome: RunOutcome::Done,
        }
    }

    fn text(events: &[Event]) -> Vec<u8> {
        let lines = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n");
        lines.collect::<String>().into_bytes()
    }

    fn parse(bytes: &[u8]) -> (Result<Vec<Event>, RecordError>, Option<u64>) {
        let mut reader = Reader::new(bytes, Path::new("r"));
        let events = (&mut reader).collect();
        (events, reader.torn())
    }

    #[test]
    fn half_a_line_at_the_end_is_left_out_wherever_it_breaks() {
        let whole = text(&[started(), ended()]);
        let first = text(&[started()]).len();
        for cut in first + 1..whole.len() {
            let (events, torn) = parse(&whole[..cut]);
            assert_eq!(events.unwrap(), [started()], "cut at {cut}");
            assert_eq!(torn, Some((cut - first) as u64));
        }
        let (events, torn) = parse(&whole);
        assert_eq!((events.unwrap(), torn), (vec![started(), ended()], None));
    }

    #[test]
    fn a_bad_line_in_the_middle_is_an_error_with_its_number() {
        let mut bytes = text(&[started()]);
        bytes.extend_from_slice(b"{\"event\":\"job_sta\n");
        bytes.extend(text(&[ended()]));
        assert!(matches!(
            parse(&bytes).0,
            Err(RecordError::Line { number: 2, .. })
        ));
    }

    #[test]
    fn a_later_format_is_refused_by_its_number_even_with_other_fields() {
        let later = b"{\"event\":\"run_started\",\"fedwing_record\":7,\"new\":{}}\n";
        assert!(matches!(parse(later).0, Err(RecordError::Newer { found: 7, .. })));
    }

    #[test]
    fn a_record_begins_with_the_start_of_a_run() {
        assert!(matches!(
            parse(&text(&[ended(), started()])).0,
            Err(RecordError::NotARecord { .. })
        ));
        assert!(matches!(parse(b"").0, Err(RecordError::Empty { .. })));
        assert!(matches!(parse(b"{\"ev").0, Err(RecordError::Empty { .. })));
    }
}
