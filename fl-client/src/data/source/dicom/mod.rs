//! A folder of DICOM files: each folder in it is a collection.
//!
//! In: the folder and what is wanted of it. Out: a row for each image, sorted by name; of several slices those asked
//! for. Files are told by their content, not by their names. Only headers are read here. Start at [`load`].
//!
//! | module | does |
//! |---|---|
//! | [`header`] | what a file says, taken from its header |
//! | [`slices`] | which images of a series are taken |

pub(crate) mod header;
mod slices;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use contract::{
    dataset::{Attribute, DicomLabels, Institution, Skipped, Slices},
    exit::JobExit,
    job::JobError,
};
use rayon::prelude::*;

use super::{Loaded, Origin, Row, age_band, tree};
use header::{Instance, Read};

/// Files of which headers are read at once: what they say is kept, so this bounds only what is read ahead.
const CHUNK: usize = 4096;

/// Why a file is left out.
pub const OTHER_COLLECTION: &str = "of a collection without a class";
/// Why a file is left out.
pub const NOT_DICOM: &str = "not a DICOM file";
/// Why a file is left out.
pub const SAME_INSTANCE: &str = "the same SOP instance as a file before it";
/// Why an image is left out.
pub const OTHER_SLICE: &str = "a slice or frame that is not asked for";

/// What is wanted of the files.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Which institution an image comes from.
    pub institution: &'a Institution,
    /// What an image shows.
    pub labels: &'a DicomLabels,
    /// Which slices of a series are taken.
    pub slices: Slices,
    /// Whether images that say they show burned-in annotation are taken.
    pub burned_in: bool,
}

pub fn load(root: &Path, wishes: &Wishes<'_>) -> Result<Loaded, JobError> {
    let mut loaded = Loaded::default();
    let mut files = tree::walk(root)?;
    if let DicomLabels::Collections(classes) = wishes.labels {
        let all = files.len();
        files.retain(|file| file.top().is_some_and(|top| classes.contains_key(top)));
        let others = (all - files.len()) as u64;
        loaded.left_out.count_many(OTHER_COLLECTION, others);
        check_collections(root, classes, &files)?;
    }
    let instances = read_all(&files, wishes, &mut loaded)?;
    let taken = slices::select(instances, wishes.slices, &mut loaded.left_out);
    for (instance, frame) in taken {
        match row(instance, frame, wishes) {
            Ok(row) => loaded.rows.push(row),
            Err(skipped) => loaded.unusable.push(skipped),
        }
    }
    loaded.unusable.sort_by(|a, b| a.image.cmp(&b.image));
    if loaded.rows.is_empty() {
        return Err(nothing(root, files.len(), &loaded));
    }
    Ok(loaded)
}

/// A collection that has a class and no folder is a slip of the pen.
fn check_collections(
    root: &Path,
    classes: &BTreeMap<String, u32>,
    files: &[tree::Found],
) -> Result<(), JobError> {
    let there: HashSet<&str> = files.iter().filter_map(tree::Found::top).collect();
    match classes.keys().find(|name| !there.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(JobError::new(
            JobExit::DataUnfit,
            format!(
                "`{}` has no folder `{name}` with files in it, which is given a class",
                root.display()
            ),
        )
        .about(root)
        .help("write collections as their folders are called, and leave out those that are not there")),
    }
}

/// The images' headers in the order of `files`; what is no image is counted, what cannot be read is unusable.
fn read_all<'a>(
    files: &'a [tree::Found],
    wishes: &Wishes<'_>,
    loaded: &mut Loaded,
) -> Result<Vec<Instance<'a>>, JobError> {
    let mut also = Vec::new();
    if let Institution::Attribute(keyword) = wishes.institution {
        also.push(keyword.as_str());
    }
    if let DicomLabels::Attribute(keyword) = wishes.labels {
        also.push(keyword.as_str());
    }
    let (mut instances, mut seen) = (Vec::new(), HashSet::new());
    for chunk in files.chunks(CHUNK) {
        let read: Vec<_> = chunk.par_iter().map(|file| header::read(file, &also)).collect();
        for (file, read) in chunk.iter().zip(read) {
            match read? {
                Read::Image(instance) => {
                    let first = instance.uid.is_empty() || seen.insert(instance.uid.clone());
                    if first {
                        instances.push(*instance);
                    } else {
                        loaded.left_out.count(SAME_INSTANCE);
                    }
                }
                Read::Other => loaded.left_out.count(NOT_DICOM),
                Read::NoImage(kind) => loaded
                    .left_out
                    .count(&format!("a DICOM object without an image ({kind})")),
                Read::Unusable(reason) => loaded.unusable.push(Skipped {
                    image: file.name.clone(),
                    reason,
                }),
            }
        }
    }
    Ok(instances)
}

/// The row of an image, or why it cannot be used.
fn row(instance: Instance<'_>, frame: Option<u32>, wishes: &Wishes<'_>) -> Result<Row, Skipped> {
    let image = match frame {
        // Frames are counted from 1, as DICOM does.
        Some(frame) => format!("{}#{}", instance.file.name, frame + 1),
        None => instance.file.name.clone(),
    };
    let refuse = |reason: String| Skipped {
        image: image.clone(),
        reason,
    };
    if instance.patient.is_empty() {
        return Err(refuse(
            "it has no `PatientID`, so it cannot be kept from other images of the same patient".to_owned(),
        ));
    }
    if instance.burned_in && !wishes.burned_in {
        return Err(refuse(
            "`BurnedInAnnotation` is YES: its pixels may show who the patient is".to_owned(),
        ));
    }
    let collection = instance.file.top();
    let labels = match wishes.labels {
        DicomLabels::Collections(classes) => {
            let class = collection.and_then(|top| classes.get(top));
            class.map(u32::to_string).into_iter().collect()
        }
        DicomLabels::Attribute(keyword) => split(instance.asked(keyword)),
    };
    if let (DicomLabels::Attribute(keyword), []) = (wishes.labels, labels.as_slice()) {
        return Err(refuse(format!("`{keyword}` is not there or empty")));
    }
    let site = match wishes.institution {
        Institution::Collection => collection.unwrap_or_default().to_owned(),
        Institution::Attribute(keyword) => instance.asked(keyword).trim().to_owned(),
    };
    let path = instance.file.path.clone();
    Ok(Row {
        patient: instance.patient.clone(),
        labels,
        site: Some(site).filter(|site| !site.is_empty()),
        split: None,
        attributes: attributes(&instance),
        origin: match frame {
            Some(frame) => Origin::Frame { path, frame },
            None => Origin::File(path),
        },
        image,
    })
}

/// Labels of an attribute: several values are parted by `\`, and people part words by `|`.
fn split(text: &str) -> Vec<String> {
    super::split_labels(&text.replace('\\', "|"))
}

/// What a header says of [`Attribute`]s, in the form all sources share.
pub(crate) fn attributes(instance: &Instance<'_>) -> BTreeMap<Attribute, String> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let found = Attribute::ALL.into_iter().filter_map(|attribute| {
        let value = match attribute {
            Attribute::View => text(&instance.view),
            Attribute::Sex => text(&instance.sex),
            Attribute::AgeBand => instance.age_years.and_then(age_band),
            Attribute::Manufacturer => text(&instance.manufacturer),
        };
        Some((attribute, value?))
    });
    found.collect()
}

fn nothing(root: &Path, files: usize, loaded: &Loaded) -> JobError {
    let mut why = loaded.left_out.to_string();
    if let Some(first) = loaded.unusable.first() {
        let comma = if why.is_empty() { "" } else { ", " };
        why += &format!(
            "{comma}{} cannot be used, the first of them `{}`: {}",
            loaded.unusable.len(),
            first.image,
            first.reason
        );
    }
    let why = if why.is_empty() {
        "it is empty".to_owned()
    } else {
        why
    };
    JobError::new(
        JobExit::DataUnfit,
        format!(
            "`{}` has {files} files to look at and no image to use: {why}",
            root.display()
        ),
    )
    .about(root)
    .help("give a folder of DICOM images; `fl-client profile` says what is in a folder")
}
