//! Sources: every layout of images and labels becomes the same list of rows.
//!
//! In: a checked [`Config`]. Out: [`Loaded`], the rows in the source's own order with what was left out and why. No
//! pixel is read here; a row says where its pixels come from. Start at [`load`].

mod csv_table;
mod cxr14;
pub(crate) mod dicom;
mod folder;
mod phantom;
mod table;
pub(crate) mod tree;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use contract::{
    dataset::{Attribute, Skipped, Source, TestSplit},
    job::JobError,
};
use kernels::phantom::Finding;

pub(crate) use csv_table::CsvTable;
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
    /// What the source says beside that.
    pub attributes: BTreeMap<Attribute, String>,
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
    /// A frame of a file that has several.
    Frame {
        /// The file.
        path: PathBuf,
        /// The frame, counted from 0.
        frame: u32,
    },
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
            Origin::Line { path, .. } | Origin::File(path) | Origin::Frame { path, .. } => Some(path),
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
    /// Images that cannot be used, seen before any is decoded.
    pub unusable: Vec<Skipped>,
}

/// Counts of rows left out, by reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<String, u64>);

impl LeftOut {
    /// Counts one more row.
    pub fn count(&mut self, reason: &str) {
        self.count_many(reason, 1);
    }

    /// Counts more rows.
    pub fn count_many(&mut self, reason: &str, rows: u64) {
        match self.0.get_mut(reason) {
            Some(count) => *count += rows,
            None if rows == 0 => {}
            None => {
                self.0.insert(reason.to_owned(), rows);
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

/// What an image is that a table of a published set names and its folder lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Not in this copy of the set; its line does not count.
    LeftOut,
    /// At another site. Its line counts, or each site would divide other samples among the clients.
    Elsewhere,
}

/// Reads what a source says about its images.
///
/// # Errors
/// `InputMissing` if a table or folder is not there; `Io` if it cannot be read; `InputInvalid` if it is not what the
/// configuration says; `DataUnfit` if it has no image at all. Each names the file, and the line where there is one.
pub fn load(config: &Config, absent: Absent) -> Result<Loaded, JobError> {
    let split_column = match &config.test {
        TestSplit::Column { name, .. } => Some(name.as_str()),
        TestSplit::Fraction(_) => None,
    };
    match &config.source {
        Source::Cxr14 { images, labels } => cxr14::load(Path::new(images), Path::new(labels), absent),
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
        Source::Dicom {
            root,
            institution,
            labels,
            slices,
            burned_in,
        } => dicom::load(
            Path::new(root),
            &dicom::Wishes {
                institution,
                labels,
                slices: *slices,
                burned_in: *burned_in,
            },
        ),
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

/// The decade of an age in years, such as `30-39`; none of an age nobody reaches, which tables of images do have.
pub(crate) fn age_band(years: f64) -> Option<String> {
    (0.0..130.0).contains(&years).then(|| {
        let first = (years / 10.0).floor() as u32 * 10;
        format!("{first}-{}", first + 9)
    })
}
