//! CSV files with named columns, as strict as labels deserve.
//!
//! In: a path and the names of the columns needed. Out: each line's cells by column, with the line's number. Quoting is
//! the `csv` crate's (RFC 4180); a byte-order mark is skipped. A line with more or fewer cells than there are columns is
//! refused, because its cells may stand in the wrong columns; so is a quote nobody closed, because it swallows lines.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use contract::job::JobError;
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

/// The largest table accepted, in bytes: several million lines.
pub const MAX_TABLE: u64 = 1 << 30;

/// A CSV file whose column names have been read.
pub struct CsvTable {
    path: PathBuf,
    names: Vec<String>,
    reader: Reader<Watch<File>>,
}

/// Watches the bytes that pass for what the `csv` crate does not tell: on which line a record starts (its own count is
/// behind by one after `\\r\\n` and blank lines), and whether every double quote has its pair.
struct Watch<R> {
    inner: R,
    quotes: u64,
    offset: u64,
    line: u64,
    line_is_blank: bool,
    /// Offset of the first character of each line that has one, and the line's number; those not asked for yet.
    starts: VecDeque<(u64, u64)>,
}

impl<R> Watch<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            quotes: 0,
            offset: 0,
            line: 1,
            line_is_blank: true,
            starts: VecDeque::new(),
        }
    }

    /// The line of the first character at or after `offset`; offsets never go back.
    fn line_at(&mut self, offset: u64) -> u64 {
        while self.starts.len() > 1 && self.starts[0].0 < offset {
            self.starts.pop_front();
        }
        self.starts.front().map_or(1, |(_, line)| *line)
    }
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        for byte in &buffer[..length] {
            match byte {
                b'\n' => (self.line, self.line_is_blank) = (self.line + 1, true),
                b'\r' => {}
                other => {
                    if std::mem::take(&mut self.line_is_blank) {
                        self.starts.push_back((self.offset, self.line));
                    }
                    self.quotes += u64::from(*other == b'"');
                }
            }
            self.offset += 1;
        }
        Ok(length)
    }
}

/// A column of one table.
#[derive(Debug, Clone, Copy)]
pub struct Column(usize);

/// One line of a table.
pub struct Line<'a> {
    /// The line's number in the file, counted from 1.
    pub number: u64,
    cells: &'a StringRecord,
}

impl<'a> Line<'a> {
    /// The cell in a column, as written.
    pub fn cell(&self, column: Column) -> &'a str {
        // Every line has a cell for every named column: checked when it is read.
        self.cells.get(column.0).unwrap_or_default()
    }
}

impl CsvTable {
    /// Opens a table and reads its column names.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, or `InputInvalid` if it is too large, no text or empty.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let reading = |error: io::Error| JobError::reading(path, &error);
        let about = std::fs::metadata(path).map_err(reading)?;
        if !about.is_file() {
            return Err(JobError::invalid(
                path,
                "not a regular file; expected a CSV table",
            ));
        }
        if about.len() > MAX_TABLE {
            let size = about.len();
            return Err(JobError::invalid(
                path,
                format!("{size} bytes; a table may have {MAX_TABLE}"),
            ));
        }
        let file = File::open(path).map_err(reading)?;
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(Watch::new(file));
        let headers = reader.headers().map_err(|error| refuse(path, 1, &error))?;
        let mut names: Vec<String> = headers.iter().map(|name| name.trim().to_owned()).collect();
        // The first edition of the NIH table ends every line, the first included, with a comma.
        while names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        if names.is_empty() {
            return Err(JobError::invalid(path, "empty; expected a line of column names"));
        }
        Ok(Self {
            path: path.to_owned(),
            names,
            reader,
        })
    }

    /// The columns of these names, in the order asked for.
    ///
    /// # Errors
    /// `InputInvalid` naming every column that is not there or there twice, those that are, and guesses.
    pub fn columns(&self, wanted: &[&str]) -> Result<Vec<Column>, JobError> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in wanted {
            let mut places = self.names.iter().enumerate().filter(|(_, other)| other == name);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => found.push(Column(place)),
                (Some(_), Some(_)) => missing.push(format!("two columns are called `{name}`")),
                (None, _) => {
                    let guess = guess(name, &self.names);
                    let guess = guess.map(|other| format!(" (`{other}`?)")).unwrap_or_default();
                    missing.push(format!("there is no column `{name}`{guess}"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let present = self.names.iter().map(|name| format!("`{name}`"));
        let present = present.collect::<Vec<_>>().join(", ");
        let reason = format!("{}; its columns are {present}", missing.join(", "));
        Err(JobError::invalid(&self.path, reason)
            .help("name the table's own columns in the specification, or rename them in the table"))
    }

    /// The column names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Every column, in order.
    pub fn all(&self) -> Vec<Column> {
        (0..self.names.len()).map(Column).collect()
    }

    /// The column of this name, where there is exactly one.
    pub fn optional(&self, name: &str) -> Option<Column> {
        let mut places = self.names.iter().enumerate().filter(|(_, other)| *other == name);
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Some(Column(place)),
            _ => None,
        }
    }

    /// Calls `each` with every line after the column names.
    ///
    /// # Errors
    /// What `each` returns; `InputInvalid` naming the line that is no line of this table.
    pub fn lines(mut self, mut each: impl FnMut(Line<'_>) -> Result<(), JobError>) -> Result<(), JobError> {
        let mut record = StringRecord::new();
        loop {
            let read = self.reader.read_record(&mut record);
            let start = record.position().map_or(0, csv::Position::byte);
            let number = self.reader.get_mut().line_at(start);
            if !read.map_err(|error| refuse(&self.path, number, &error))? {
                break;
            }
            let (cells, columns) = (record.len(), self.names.len());
            if cells < columns || record.iter().skip(columns).any(|cell| !cell.is_empty()) {
                let reason =
                    format!("line {number} has {cells} cells; expected one for each of {columns} columns");
                return Err(JobError::invalid(&self.path, reason)
                    .help("put cells that contain a comma between double quotes"));
            }
            each(Line {
                number,
                cells: &record,
            })?;
        }
        if !self.reader.get_ref().quotes.is_multiple_of(2) {
            return Err(JobError::invalid(
                &self.path,
                "a double quote is not closed, lines after it are one cell",
            )
            .help("close the quote; inside a quoted cell a double quote is written twice"));
        }
        Ok(())
    }
}

/// The name among `names` that `wanted` may have meant.
pub fn guess<'a>(wanted: &str, names: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_alphanumeric());
        kept.flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(wanted);
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &plain(name)), name.as_str()))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn refuse(path: &Path, line: u64, error: &csv::Error) -> JobError {
    match error.kind() {
        ErrorKind::Io(error) => JobError::reading(path, error),
        ErrorKind::Utf8 { err, .. } => {
            JobError::invalid(path, format!("line {line}: not UTF-8 text ({err})"))
                .help("save the table as UTF-8")
        }
        _ => JobError::invalid(path, format!("line {line}: not CSV: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use contract::exit::JobExit;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    /// Line numbers and the cells of columns `a` and `b`.
    fn read(dir: &TempDir, content: &str) -> Result<Vec<(u64, String, String)>, JobError> {
        let table = CsvTable::open(&text(dir.path(), "table.csv", content))?;
        let columns = table.columns(&["a", "b"])?;
        let mut found = Vec::new();
        table.lines(|line| {
            let cell = |at: usize| line.cell(columns[at]).to_owned();
            found.push((line.number, cell(0), cell(1)));
            Ok(())
        })?;
        Ok(found)
    }

    #[track_caller]
    fn assert_refused(content: &str, parts: &[&str]) {
        let dir = TempDir::new().unwrap();
        let error = read(&dir, content).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid, "{error}");
        assert_eq!(error.file, Some(dir.path().join("table.csv")));
        for part in parts.iter().chain(&["table.csv"]) {
            assert!(error.message.contains(part), "`{error}` lacks `{part}`");
        }
    }

    #[test]
    fn cells_are_found_by_name_with_the_line_they_stand_in() {
        let dir = TempDir::new().unwrap();
        let lines = read(
            &dir,
            "\u{feff}\"b\", a ,c\r\n1,2,3\r\n\r\n\"x\ny\",\"p,q\",\"\"\"\"\r\n7,8,9",
        )
        .unwrap();
        let expected = [(2, "2", "1"), (4, "p,q", "x\ny"), (6, "8", "7")];
        assert_eq!(
            lines,
            expected.map(|(line, a, b)| (line, a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_comma_at_the_end_of_every_line_is_no_column() {
        let dir = TempDir::new().unwrap();
        assert_eq!(read(&dir, "a,b,\n1,2,\n3,4\n").unwrap().len(), 2);
    }

    #[test]
    fn a_line_with_other_cells_than_columns_is_refused_by_its_number() {
        assert_refused("a,b\n1,2\n3\n", &["line 3 has 1 cells", "2 columns"]);
        assert_refused("a,b\n1,2,3\n", &["line 2 has 3 cells"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_refused_rather_than_swallowing_lines() {
        assert_refused("a,b\n1,\"2\n3,4\n5,6\n", &["quote is not closed"]);
    }

    #[test]
    fn missing_columns_are_named_with_those_there_are_and_a_guess() {
        assert_refused(
            "A,c,Bee\n1,2,3\n",
            &["no column `a` (`A`?)", "no column `b`", "`A`, `c`, `Bee`"],
        );
        assert_refused("a,a,b\n1,2,3\n", &["two columns are called `a`"]);
        assert_refused("", &["empty"]);
        assert_refused(",,\n", &["empty"]);
    }

    #[test]
    fn what_is_not_text_is_refused_by_its_line() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("table.csv");
        std::fs::write(&path, b"a,b\n1,2\n\xff,2\n").unwrap();
        let error = CsvTable::open(&path).unwrap().lines(|_| Ok(())).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("line 3: not UTF-8"), "{error}");
        let open = |path: &Path| CsvTable::open(path).map(|_| ()).unwrap_err().exit;
        assert_eq!(open(dir.path()), JobExit::InputInvalid);
        assert_eq!(open(&dir.path().join("gone.csv")), JobExit::InputMissing);
    }

    #[test]
    fn a_guess_is_made_only_where_it_is_likely() {
        let names = ["Image Index", "Patient ID"].map(str::to_owned);
        assert_eq!(guess("image_index", &names), Some("Image Index"));
        assert_eq!(guess("PatientId", &names), Some("Patient ID"));
        assert_eq!(guess("hospital", &names), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![
            Just(b','), Just(b'"'), Just(b'\n'), Just(b'a'), Just(b'b'), any::<u8>()
        ], 0..80), named in any::<bool>()) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("table.csv");
            let start: &[u8] = if named { b"a,b\n" } else { b"" };
            std::fs::write(&path, [start, &bytes].concat()).unwrap();
            if let Ok(table) = CsvTable::open(&path)
                && let Ok(columns) = table.columns(&["a", "b"])
            {
                let mut lines = 0usize;
                let read = table.lines(|line| {
                    lines += 1;
                    let _ = (line.cell(columns[0]), line.cell(columns[1]));
                    Ok(())
                });
                prop_assert!(lines <= bytes.len());
                prop_assert!(read.is_ok() || read.unwrap_err().exit == JobExit::InputInvalid);
            }
        }
    }
}
