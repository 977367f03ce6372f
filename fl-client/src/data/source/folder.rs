//! `<label>/<image>`: the folder's name is the label, each image a patient of its own.
//!
//! In: the folder of label folders. Out: a row for each image, sorted by label, then by name. Hidden files are passed
//! over and not counted; files of other kinds than PNG, JPEG and DICOM are counted and left out.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use contract::{exit::JobExit, job::JobError};

use super::{Loaded, Origin, Row};

const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "dcm", "dicom"];

/// Why a file is left out.
pub const NOT_AN_IMAGE: &str = "not a PNG, JPEG or DICOM file by its name";

pub fn load(root: &Path) -> Result<Loaded, JobError> {
    let mut loaded = Loaded::default();
    let folders: Vec<_> = entries(root)?
        .into_iter()
        .filter(|(_, path)| path.is_dir())
        .collect();
    for (label, folder) in &folders {
        for (name, path) in entries(folder)? {
            let extension = path
                .extension()
                .and_then(|text| text.to_str())
                .map(str::to_lowercase);
            if path.is_dir() || !extension.is_some_and(|text| EXTENSIONS.contains(&text.as_str())) {
                loaded.left_out.count(NOT_AN_IMAGE);
                continue;
            }
            let image = format!("{label}/{name}");
            loaded.rows.push(Row {
                patient: image.clone(),
                image,
                labels: vec![label.clone()],
                site: None,
                split: None,
                attributes: BTreeMap::new(),
                origin: Origin::File(path),
            });
        }
    }
    if loaded.rows.is_empty() {
        let (root_name, labels) = (root.display(), folders.len());
        let reason =
            format!("`{root_name}` has {labels} label folders and no PNG, JPEG or DICOM file in them");
        return Err(JobError::new(JobExit::DataUnfit, reason).about(root).help(
            "give a folder whose sub-folders are named after labels and hold images: `<label>/<image>.png`",
        ));
    }
    Ok(loaded)
}

/// Names and paths in a folder, sorted by name, hidden ones left out.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, JobError> {
    let reading = |error: io::Error| JobError::reading(folder, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.map(str::to_owned) else {
            return Err(JobError::invalid(&path, "its name is not UTF-8 text").help("rename it"));
        };
        if !name.starts_with('.') {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    #[test]
    fn images_come_sorted_by_label_then_name_and_other_files_are_counted() {
        let dir = TempDir::new().unwrap();
        for name in [
            "b/2.png",
            "b/10.JPG",
            "b/3.DCM",
            "a/z.jpeg",
            "a/notes.txt",
            "a/.hidden.png",
            "a/deeper/x.png",
            "readme.md",
        ] {
            text(dir.path(), name, "");
        }
        let Loaded { rows, left_out, .. } = load(dir.path()).unwrap();
        let images: Vec<_> = rows.iter().map(|row| row.image.as_str()).collect();
        assert_eq!(images, ["a/z.jpeg", "b/10.JPG", "b/2.png", "b/3.DCM"]);
        assert!(
            rows.iter()
                .all(|row| row.patient == row.image && row.image.starts_with(&row.labels[0]))
        );
        assert_eq!(rows[0].origin, Origin::File(dir.path().join("a/z.jpeg")));
        assert_eq!(left_out.into_inner(), [(NOT_AN_IMAGE.to_owned(), 2)].into());
    }

    #[test]
    fn a_folder_without_images_is_refused_and_one_that_is_not_there_is_missing() {
        let dir = TempDir::new().unwrap();
        text(dir.path(), "a/notes.txt", "");
        let error = load(dir.path()).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(
            error.message.contains("has 1 label folders and no PNG"),
            "{error}"
        );
        let error = load(&dir.path().join("gone")).unwrap_err();
        assert_eq!(error.exit, JobExit::InputMissing);
    }
}
