//! A shard on its way: what is decoded stays when the job is killed, and the next attempt goes on from there.
//!
//! In: chunks of prepared images. Out: the shard. Beside a shard `c0` there are meanwhile `.c0.part`, the shard itself
//! with its header still to be written, and `.c0.journal`, one line a chunk: what became of each image, with a digest of
//! its pixels. A line carries its own digest and a key of all that its pixels depend on, so the next attempt keeps what
//! is whole and unchanged and cuts off the rest: a torn line, pixels the disk never got, images that are others now.
//! Neither file is forced to the disk. Both are gone when the dataset is prepared. Start at [`Progress::open`].

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use contract::{exit::JobExit, job::JobError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::shard::Contents;

/// The longest line of a journal: a chunk whose every image has a long reason.
const MAX_LINE: u64 = 64 << 20;

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It is prepared.
    Done {
        /// SHA-256 of its prepared pixels, hexadecimal.
        pixels: String,
        /// Hash of what is seen, if anything is, hexadecimal.
        seen: Option<String>,
        /// Whether its grey values were stretched between percentiles.
        percentiles: bool,
    },
    /// It cannot be used.
    Unusable {
        /// Whether it is an input that is missing, not one that is invalid.
        missing: bool,
        /// Why.
        reason: String,
    },
}

/// A line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunk {
    /// Digest of all that the chunk's pixels depend on.
    key: String,
    images: Vec<Outcome>,
}

/// The places of a shard's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes kept free for the header.
    pub head: usize,
    /// Bytes of the pixels of a sample.
    pub row: usize,
}

/// A shard on its way.
pub struct Progress {
    target: PathBuf,
    part: PathBuf,
    journal_path: PathBuf,
    journal: File,
    /// The file that holds the pixels: `part`, or the target an attempt before this one finished.
    data: File,
    finished: bool,
    layout: Layout,
    /// Samples whose pixels are in `data`.
    samples: u64,
    outcomes: Vec<Outcome>,
    chunks: usize,
}

impl Progress {
    /// Goes on with a shard, or begins one. `keys` are those of its chunks, in order, and how many images each has.
    ///
    /// # Errors
    /// `Io` naming the file, also when another process is at it.
    pub fn open(target: &Path, layout: Layout, keys: &[(String, usize)]) -> Result<Self, JobError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let part = target.with_file_name(format!(".{name}.part"));
        let journal_path = target.with_file_name(format!(".{name}.journal"));
        let writing = |error: io::Error| JobError::writing(target, &error);
        let journal = open(&journal_path).map_err(writing)?;
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process is writing `{}`", target.display());
                return Err(JobError::new(JobExit::Io, text)
                    .about(target)
                    .help("wait until it has ended"));
            }
            // A file system without locks: two jobs there are the caller's care.
            Err(TryLockError::Error(_)) => {}
        }
        let finished = !part.exists() && target.is_file();
        let data = if finished {
            File::open(target).map_err(writing)?
        } else {
            open(&part).map_err(writing)?
        };
        let mut progress = Self {
            target: target.to_owned(),
            part,
            journal_path,
            journal,
            data,
            finished,
            layout,
            samples: 0,
            outcomes: Vec::new(),
            chunks: 0,
        };
        let whole = progress.read(keys).map_err(writing)?;
        progress.journal.set_len(whole).map_err(writing)?;
        progress.journal.seek(SeekFrom::End(0)).map_err(writing)?;
        if progress.finished && progress.chunks < keys.len() {
            progress.take_over()?;
        }
        if !progress.finished {
            let end = progress.end();
            progress.data.set_len(end).map_err(writing)?;
            progress.data.seek(SeekFrom::Start(end)).map_err(writing)?;
        }
        Ok(progress)
    }

    /// Reads chunks as long as they are whole and those of `keys`; returns the bytes of the journal they take.
    fn read(&mut self, keys: &[(String, usize)]) -> io::Result<u64> {
        self.journal.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::new(self.journal.try_clone()?);
        let (mut whole, mut line) = (0, Vec::new());
        for (key, images) in keys {
            line.clear();
            lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            let Some(chunk) = parse(&line) else { break };
            if chunk.key != *key || chunk.images.len() != *images || !self.holds(&chunk)? {
                break;
            }
            whole += line.len() as u64;
            self.keep(chunk.images);
        }
        Ok(whole)
    }

    /// Whether the pixels of a chunk are in the data file, after those of the chunks before it.
    fn holds(&mut self, chunk: &Chunk) -> io::Result<bool> {
        let expected: Vec<&str> = chunk.images.iter().filter_map(Outcome::pixels).collect();
        let mut bytes = Vec::new();
        self.data.seek(SeekFrom::Start(self.end()))?;
        let length = (expected.len() * self.layout.row) as u64;
        (&self.data).take(length).read_to_end(&mut bytes)?;
        Ok(bytes.len() as u64 == length
            && bytes
                .par_chunks_exact(self.layout.row)
                .zip(expected)
                .all(|(pixels, digest)| hex(&Sha256::digest(pixels)) == digest))
    }

    fn keep(&mut self, images: Vec<Outcome>) {
        self.samples += images.iter().filter_map(Outcome::pixels).count() as u64;
        self.outcomes.extend(images);
        self.chunks += 1;
    }

    /// Where the pixels end.
    fn end(&self) -> u64 {
        self.layout.head as u64 + self.samples * self.layout.row as u64
    }

    /// Chunks that are done.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// What became of the images of the chunks that are done.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Adds a chunk: what became of its images, and the pixels of those that are done.
    ///
    /// # Errors
    /// `Io` naming the shard.
    pub fn push(&mut self, key: &str, images: Vec<Outcome>, pixels: &[Vec<u8>]) -> Result<(), JobError> {
        let chunk = Chunk {
            key: key.to_owned(),
            images,
        };
        let written = pixels
            .iter()
            .try_for_each(|pixels| self.data.write_all(pixels))
            .and_then(|()| self.journal.write_all(&print(&chunk)?));
        written.map_err(|error| JobError::writing(&self.target, &error))?;
        self.keep(chunk.images);
        Ok(())
    }

    /// Copies the pixels of a finished shard: a file under its own name is never written in place.
    fn take_over(&mut self) -> Result<(), JobError> {
        let writing = |error: io::Error| JobError::writing(&self.target, &error);
        let mut part = open(&self.part).map_err(writing)?;
        part.set_len(0).map_err(writing)?;
        self.data.seek(SeekFrom::Start(0)).map_err(writing)?;
        io::copy(&mut (&self.data).take(self.end()), &mut part).map_err(writing)?;
        (self.data, self.finished) = (part, false);
        Ok(())
    }

    /// Writes what is around the pixels and gives the shard its name.
    ///
    /// # Errors
    /// `Io` naming the shard; `Unexpected` if `contents` are not those of the pixels, a defect of the caller.
    pub fn finish(&mut self, contents: &Contents<'_>) -> Result<(), JobError> {
        let head = contents.head_of(&self.target, self.layout.head)?;
        let tail = contents.tail();
        if contents.patients.len() as u64 != self.samples || contents.row() != self.layout.row {
            let text = format!(
                "{} patients for {} samples with pixels",
                contents.patients.len(),
                self.samples
            );
            return Err(JobError::new(JobExit::Unexpected, text).about(&self.target));
        }
        if self.finished {
            if self.is_around(&head, &tail).unwrap_or(false) {
                return Ok(());
            }
            self.take_over()?;
        }
        let end = self.end();
        let write = |data: &mut File| -> io::Result<()> {
            data.set_len(end)?;
            data.seek(SeekFrom::Start(0))?;
            data.write_all(&head)?;
            data.seek(SeekFrom::Start(end))?;
            data.write_all(&tail)
        };
        write(&mut self.data)
            .and_then(|()| fs::rename(&self.part, &self.target))
            .map_err(|error| JobError::writing(&self.target, &error))?;
        self.finished = true;
        Ok(())
    }

    /// Whether the finished shard has these very bytes around its pixels.
    fn is_around(&mut self, head: &[u8], tail: &[u8]) -> io::Result<bool> {
        let (mut start, mut rest) = (vec![0; head.len()], Vec::new());
        self.data.seek(SeekFrom::Start(0))?;
        self.data.read_exact(&mut start)?;
        self.data.seek(SeekFrom::Start(self.end()))?;
        (&self.data).take(tail.len() as u64 + 1).read_to_end(&mut rest)?;
        Ok(start == head && rest == tail)
    }

    /// Removes what is left beside the shard.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn clean(self) -> Result<(), JobError> {
        fs::remove_file(&self.journal_path).map_err(|error| JobError::writing(&self.journal_path, &error))
    }
}

impl Outcome {
    /// The digest of its prepared pixels, if it has any.
    pub fn pixels(&self) -> Option<&str> {
        match self {
            Outcome::Done { pixels, .. } => Some(pixels),
            Outcome::Unusable { .. } => None,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// A line: the digest of the rest, a blank, JSON without line breaks.
fn print(chunk: &Chunk) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(chunk)?;
    Ok([hex(&Sha256::digest(&json)).as_bytes(), b" ", &json, b"\n"].concat())
}

fn parse(line: &[u8]) -> Option<Chunk> {
    let (digest, json) = line.strip_suffix(b"\n")?.split_at_checked(65)?;
    let whole = digest.strip_suffix(b" ")? == hex(&Sha256::digest(json)).as_bytes();
    whole.then(|| serde_json::from_slice(json).ok())?
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A job that fails before its first chunk leaves nothing; the error that matters is the one that got us here.
        if self.chunks == 0 && !self.finished {
            let _ = fs::remove_file(&self.part);
            let _ = fs::remove_file(&self.journal_path);
        }
    }
}
