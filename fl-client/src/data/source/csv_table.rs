//! CSV files with named columns, as strict as labels deserve.
//!
//! In: a path and the names of the columns needed. Out: each line's cells by column, with the line's number. Quoting is
//! the `csv` crate's (RFC 4180); a byte-order mark is skipped; a line with more or fewer cells than there are columns is
//! refused, because its cells may stand in the wrong columns.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use contract::job::JobError;
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

/// The largest table accepted, in bytes: several million lines.
pub const MAX_TABLE: u64 = 1 << 30;

/// Blanks are dropped around column names only: cells are kept as they are written.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A CSV file whose column names have been read.
pub struct CsvTable {
    path: PathBuf,
    names: Vec<String>,
    reader: Reader<File>,
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
            return Err(JobError::invalid(path, "not a regular file; expected a CSV table"));
        }
        if about.len() > MAX_TABLE {
            let size = about.len();
            return Err(JobError::invalid(path, format!("{size} bytes; a table may have {MAX_TABLE}")));
        }
        let file = File::open(path).map_err(reading)?;
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let headers = reader.headers().map_err(|error| refuse(path, &error))?;
        let mut names: Vec<String> = headers
            .iter()
            .map(|name| name.trim_start_matches(BYTE_ORDER_MARK).trim().to_owned())
            .collect();
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

    /// Calls `each` with every line after the column names.
    ///
    /// # Errors
    /// What `each` returns; `InputInvalid` naming the line that is no line of this table.
    pub fn lines(mut self, mut each: impl FnMut(Line<'_>) -> Result<(), JobError>) -> Result<(), JobError> {
        let mut record = StringRecord::new();
        while self
            .reader
            .read_record(&mut record)
            .map_err(|error| refuse(&self.path, &error))?
        {
            let number = record.position().map_or(0, csv::Position::line);
            let (cells, columns) = (record.len(), self.names.len());
            if cells < columns || record.iter().skip(columns).any(|cell| !cell.is_empty()) {
                let reason = format!("line {number} has {cells} cells; expected one for each of {columns} columns");
                return Err(JobError::invalid(&self.path, reason)
                    .help("put cells that contain a comma between double quotes"));
            }
            each(Line {
                number,
                cells: &record,
            })?;
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

fn refuse(path: &Path, error: &csv::Error) -> JobError {
    let line = error.position().map_or(String::new(), |at| format!("line {}: ", at.line()));
    match error.kind() {
        ErrorKind::Io(error) => JobError::reading(path, error),
        ErrorKind::Utf8 { err, .. } => JobError::invalid(path, format!("{line}not UTF-8 text ({err})"))
            .help("save the table as UTF-8"),
        _ => JobError::invalid(path, format!("{line}not CSV: {error}")),
    }
}
