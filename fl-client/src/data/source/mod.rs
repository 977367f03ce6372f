//! Sources: every layout of images and labels becomes the same list of rows.
//!
//! In: a checked [`Config`]. Out: [`Loaded`], the rows in the source's own order with what was left out and why. No
//! pixel is read here; a row says where its pixels come from. Start at [`load`].

mod csv_table;
mod cxr14;
mod folder;
mod phantom;
mod table;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use contract::{
    dataset::{Source, TestSplit},
    job::JobError,
};
use kernels::phantom::Finding;

pub use csv_table::guess;
pub use phantom::draw;

use super::config::Config;

/// One image as its source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The image as the source names it.
    pub image: String,
    /// The patient as the source names them; never empty.
    pub patient: String,
    /// What the image shows; empty only where columns of 0 and 1 are all 0.
    pub labels: Vec<String>,
    /// The institution, where the source has one.
    pub site: Option<String>,
    /// The text of the split column, where one is asked for.
    pub split: Option<String>,
    /// Where its pixels come from.
    pub origin: Origin,
}

/// Where pixels come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An image file that a line of a table names.
    Line {
        /// The image.
        path: PathBuf,
        /// The line of the table, counted from 1, the column names included.
        line: u64,
    },
    /// An image file found in a folder.
    File(PathBuf),
    /// A drawn image.
    Drawn {
        /// The patient's number.
        number: u32,
        /// What it shows.
        finding: Finding,
    },
}

impl Origin {
    /// The image file, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Origin::Line { path, .. } | Origin::File(path) => Some(path),
            Origin::Drawn { .. } => None,
        }
    }
}

/// A source's rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The rows, in the source's order.
    pub rows: Vec<Row>,
    /// Rows left out, counted by reason.
    pub left_out: LeftOut,
}

/// Counts of rows left out, by reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<String, u64>);

impl LeftOut {
    /// Counts one more row.
    pub fn count(&mut self, reason: &str) {
        match self.0.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(reason.to_owned(), 1);
            }
        }
    }

    /// The counts by reason.
    pub fn into_inner(self) -> BTreeMap<String, u64> {
        self.0
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self
            .0
            .iter()
            .map(|(reason, count)| format!("{count} ({reason})"))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// Reads what a source says about its images.
///
/// # Errors
/// `InputMissing` if a table or folder is not there; `Io` if it cannot be read; `InputInvalid` if it is not what the
/// configuration says; `DataUnfit` if it has no image at all. Each names the file, and the line where there is one.
pub fn load(config: &Config) -> Result<Loaded, JobError> {
    let split_column = match &config.test {
        TestSplit::Column { name, .. } => Some(name.as_str()),
        TestSplit::Fraction(_) => None,
    };
    match &config.source {
        Source::Cxr14 { images, labels } => cxr14::load(Path::new(images), Path::new(labels)),
        Source::Table {
            csv,
            image,
            patient,
            site,
            labels,
        } => table::load(
            Path::new(csv),
            &table::Columns {
                image,
                patient,
                site: site.as_deref(),
                split: split_column,
                labels,
            },
        ),
        Source::Folder { root } => folder::load(Path::new(root)),
        Source::Phantom { patients, sites } => Ok(phantom::load(*patients, *sites)),
    }
}

/// Splits label text at `|`; blanks around a label and empty labels do not count.
fn split_labels(text: &str) -> Vec<String> {
    text.split('|')
        .map(str::trim)
        .filter(|label| !label.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Finds images named by two lines of a table: they would count twice, or stand on two sides under two patients.
#[derive(Debug, Default)]
struct Seen(HashMap<PathBuf, u64>);

impl Seen {
    fn once(&mut self, table: &Path, path: &Path, line: u64) -> Result<(), JobError> {
        match self.0.insert(path.to_owned(), line) {
            None => Ok(()),
            Some(first) => {
                let image = path.display();
                Err(JobError::invalid(
                    table,
                    format!("lines {first} and {line} name the same image `{image}`"),
                )
                .help("keep one line an image; several labels of one image are separated by `|`"))
            }
        }
    }
}
