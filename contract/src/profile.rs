//! What `fl-client profile` says about a folder of images, for people and for drafting a specification.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A folder's summary. It names no patient and carries no pixel; file names stand in `unusable` only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Format version, [`Profile::VERSION`].
    pub fedwing_profile: u32,
    /// The folder.
    pub root: String,
    /// Files looked at, tables and others included.
    pub files: u64,
    /// Images that can be read.
    pub images: u64,
    /// Frames of all images together.
    pub frames: u64,
    /// Distinct patients, where images name them.
    pub patients: Option<u64>,
    /// Series, where images name them.
    pub series: Option<u64>,
    /// Images by format: `PNG`, `JPEG`, or a transfer syntax's name.
    pub formats: BTreeMap<String, u64>,
    /// Images by modality, as DICOM files say (`DX`, `CR`, `CT`, …).
    pub modalities: BTreeMap<String, u64>,
    /// Images by width x height, such as `2500x2048`.
    pub sizes: BTreeMap<String, u64>,
    /// Images by bits stored a sample.
    pub bits: BTreeMap<u32, u64>,
    /// Images by photometric interpretation or colour type.
    pub colours: BTreeMap<String, u64>,
    /// Images by the folder directly below the root, which is a label of the `folder` source, a collection of `dicom`.
    pub folders: BTreeMap<String, u64>,
    /// Images by institution, where images name it.
    pub institutions: BTreeMap<String, u64>,
    /// Images by an attribute (view, sex, age band, manufacturer) and its value.
    pub attributes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Tables found, with what they hold.
    pub tables: Vec<TableProfile>,
    /// Files that are images by name or content and cannot be used, with the reason.
    pub unusable: Vec<Unusable>,
    /// Files that are no images and no tables, by extension or by what they hold.
    pub others: BTreeMap<String, u64>,
    /// Images that say they show burned-in annotation.
    pub burned_in: u64,
    /// Groups of files with the same bytes.
    pub same_bytes: u64,
}

impl Profile {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// A table of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableProfile {
    /// The file, relative to the root.
    pub file: String,
    /// Lines, the column names not counted.
    pub rows: u64,
    /// The columns, in order.
    pub columns: Vec<ColumnProfile>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Distinct values.
    pub distinct: u64,
    /// Rows by value where there are few distinct values that are no identifiers; values with `|` are taken apart.
    pub values: BTreeMap<String, u64>,
    /// Rows whose value is the name of an image of the folder.
    pub images: u64,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unusable {
    /// The file, relative to the root.
    pub file: String,
    /// Why, with the value found.
    pub reason: String,
}
