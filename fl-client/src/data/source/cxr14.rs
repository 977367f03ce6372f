//! The NIH ChestX-ray14 layout: a folder of images and the original metadata table.
//!
//! In: the folder and the table. Out: one row for each line of the table whose image is in the folder or its sub-folders.
//! Most copies of this set are subsets of its 112,120 images, so lines without an image are counted and left out; a
//! folder with none of them is a mistake. Source: Wang et al., CVPR 2017.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use contract::{exit::JobExit, job::JobError};

use super::{Loaded, Origin, Row, Seen, csv_table::CsvTable, split_labels};

const IMAGE: &str = "Image Index";
const LABELS: &str = "Finding Labels";
const PATIENT: &str = "Patient ID";

/// Why most rows are left out.
pub const NOT_IN_FOLDER: &str = "image not in the folder";

pub fn load(images: &Path, labels: &Path) -> Result<Loaded, JobError> {
    let table = CsvTable::open(labels)?;
    let columns = table.columns(&[IMAGE, LABELS, PATIENT])?;
    let [image, label, patient] = columns[..] else {
        unreachable!("three columns were asked for");
    };
    let files = find_files(images)?;
    let (mut loaded, mut seen, mut lines) = (Loaded::default(), Seen::default(), 0u64);
    table.lines(|line| {
        lines += 1;
        let at = |reason: String| Err(JobError::invalid(labels, format!("line {}: {reason}", line.number)));
        let name = line.cell(image);
        let Some(places) = files.get(name) else {
            loaded.left_out.count(NOT_IN_FOLDER);
            return Ok(());
        };
        let path = match places.as_slice() {
            [path] => path.clone(),
            many => {
                let (one, two) = (many[0].display(), many[1].display());
                return at(format!("the image `{name}` is there twice: `{one}` and `{two}`"));
            }
        };
        let found = split_labels(line.cell(label));
        if found.is_empty() {
            return at(format!("`{LABELS}` is empty"));
        }
        if line.cell(patient).trim().is_empty() {
            return at(format!("`{PATIENT}` is empty"));
        }
        seen.once(labels, &path, line.number)?;
        loaded.rows.push(Row {
            image: name.to_owned(),
            patient: line.cell(patient).trim().to_owned(),
            labels: found,
            site: None,
            split: None,
            origin: Origin::Line {
                path,
                line: line.number,
            },
        });
        Ok(())
    })?;
    if loaded.rows.is_empty() {
        let (table, files) = (labels.display(), files.len());
        let reason = format!(
            "`{}` has {files} files, none of them named by the {lines} lines of `{table}`",
            images.display()
        );
        return Err(JobError::new(JobExit::DataUnfit, reason)
            .about(images)
            .help("give the folder that holds the images of the table, such as `00000001_000.png`"));
    }
    Ok(loaded)
}

/// Every file below a folder by its name; sub-folders and links to folders are followed, each once.
fn find_files(root: &Path) -> Result<HashMap<String, Vec<PathBuf>>, JobError> {
    let mut files = HashMap::<String, Vec<PathBuf>>::new();
    let (mut folders, mut visited) = (vec![root.to_owned()], HashSet::new());
    while let Some(folder) = folders.pop() {
        let reading = |error: io::Error| JobError::reading(&folder, &error);
        if !visited.insert(folder.canonicalize().map_err(reading)?) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(reading)? {
            let path = entry.map_err(reading)?.path();
            // Follows links; a broken one is neither file nor folder.
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                files.entry(name.to_owned()).or_default().push(path);
            }
        }
    }
    for places in files.values_mut() {
        places.sort();
    }
    Ok(files)
}
