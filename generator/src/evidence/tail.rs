//! Reads files that others append to, from where the last reading ended.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// How many bytes of a file's beginning tell it from another one of the same name.
const HEAD: usize = 128;

/// A file that grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    pending: Vec<u8>,
    head: Vec<u8>,
}

impl Tail {
    /// The file at `path`, which need not exist yet, from its beginning.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            offset: 0,
            pending: Vec::new(),
            head: Vec::new(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives `take` what was appended, in pieces; it returns how many bytes it has used, the rest comes again with more
    /// behind it. A file that was emptied or replaced is read from its beginning. A file that is not there is empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        self.notice_another(&mut file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        loop {
            let before = self.pending.len();
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut self.pending)?;
            if read == 0 {
                return Ok(());
            }
            self.offset += (self.pending.len() - before) as u64;
            if self.head.len() < HEAD && self.offset == self.pending.len() as u64 {
                self.head = self.pending[..self.pending.len().min(HEAD)].to_vec();
            }
            let used = take(&self.pending).min(self.pending.len());
            self.pending.drain(..used);
        }
    }

    /// Begins again where the file is shorter than what was read, or begins otherwise.
    fn notice_another(&mut self, file: &mut File) -> io::Result<()> {
        let mut head = Vec::new();
        file.take(self.head.len() as u64).read_to_end(&mut head)?;
        if file.metadata()?.len() < self.offset || head != self.head {
            (self.offset, self.pending, self.head) = (0, Vec::new(), Vec::new());
        }
        Ok(())
    }
}

/// Reads a text file of at most `limit` bytes, whatever bytes are in it; none if it is not there.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read_text(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a larger file without reading it whole.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }))
}

/// The first `most` bytes of a file; none if it cannot be read.
pub fn read_beginning(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn lines(tail: &mut Tail) -> String {
        let mut found = String::new();
        tail.read(|bytes| {
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            found.push_str(&String::from_utf8_lossy(&bytes[..whole]));
            whole
        })
        .unwrap();
        found
    }

    #[test]
    fn only_what_is_new_is_read_and_half_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(lines(&mut tail), "");
        let mut file = File::create(&path).unwrap();
        write!(file, "one\ntw").unwrap();
        assert_eq!(lines(&mut tail), "one\n");
        writeln!(file, "o").unwrap();
        assert_eq!(lines(&mut tail), "two\n");
        assert_eq!(lines(&mut tail), "");
    }

    #[test]
    fn a_file_that_was_emptied_or_replaced_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(lines(&mut tail), "one\ntwo\n");
        fs::write(&path, "x\n").unwrap();
        assert_eq!(lines(&mut tail), "x\n");
        fs::write(&path, "another and longer\n").unwrap();
        assert_eq!(lines(&mut tail), "another and longer\n");
    }

    #[test]
    fn a_file_larger_than_allowed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "four").unwrap();
        assert_eq!(read_text(&path, 4).unwrap().as_deref(), Some("four"));
        assert!(read_text(&path, 3).is_err());
        assert_eq!(read_text(&folder.path().join("none"), 3).unwrap(), None);
    }
}
