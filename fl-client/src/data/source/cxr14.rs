//! The NIH ChestX-ray14 layout: a folder of images and the original metadata table.
//!
//! In: the folder and the table. Out: one row for each line of the table whose image is in the folder or its sub-folders.
//! Most copies of this set are subsets of its 112,120 images, so lines without an image are counted and left out; a
//! folder with none of them is a mistake. Where data is at several sites, no folder has them all, and every line counts. Projection, sex and age are taken where the table has them, by the column names
//! of either of its editions. Source: Wang et al., CVPR 2017.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use contract::{dataset::Attribute, exit::JobExit, job::JobError};

use super::{
    Absent, Loaded, Origin, Row, Seen, age_band,
    csv_table::{Column, CsvTable, Line},
    split_labels,
};

const IMAGE: &str = "Image Index";
const LABELS: &str = "Finding Labels";
const PATIENT: &str = "Patient ID";

/// Columns that need not be there, by the names the editions of the table have for them.
const OPTIONAL: [(Attribute, &[&str]); 3] = [
    (Attribute::View, &["View Position"]),
    (Attribute::Sex, &["Patient Gender", "Patient Sex"]),
    (Attribute::AgeBand, &["Patient Age"]),
];

/// Why most rows are left out.
pub const NOT_IN_FOLDER: &str = "image not in the folder";

pub fn load(images: &Path, labels: &Path, absent: Absent) -> Result<Loaded, JobError> {
    let table = CsvTable::open(labels)?;
    let columns = table.columns(&[IMAGE, LABELS, PATIENT])?;
    let [image, label, patient] = columns[..] else {
        unreachable!("three columns were asked for");
    };
    let optional: Vec<(Attribute, Column)> = OPTIONAL
        .iter()
        .filter_map(|(attribute, names)| {
            Some((*attribute, names.iter().find_map(|name| table.optional(name))?))
        })
        .collect();
    let files = find_files(images)?;
    let (mut loaded, mut seen, mut lines) = (Loaded::default(), Seen::default(), 0u64);
    table.lines(|line| {
        lines += 1;
        let at = |reason: String| {
            Err(JobError::invalid(
                labels,
                format!("line {}: {reason}", line.number),
            ))
        };
        let name = line.cell(image);
        let path = match (files.get(name).map(Vec::as_slice), absent) {
            (None | Some([]), Absent::LeftOut) => {
                loaded.left_out.count(NOT_IN_FOLDER);
                return Ok(());
            }
            // Where it would be: whoever needs it here is told that it is missing.
            (None | Some([]), Absent::Elsewhere) => images.join(name),
            (Some([path]), _) => path.clone(),
            (Some(many), _) => {
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
            attributes: attributes(&line, &optional),
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

/// What the optional columns say in a form all sources share; a cell that says nothing is no attribute.
fn attributes(line: &Line<'_>, columns: &[(Attribute, Column)]) -> BTreeMap<Attribute, String> {
    let found = columns.iter().filter_map(|(attribute, column)| {
        let text = line.cell(*column).trim();
        let value = match attribute {
            Attribute::AgeBand => age_in_years(text).and_then(age_band)?,
            _ if text.is_empty() => return None,
            _ => text.to_uppercase(),
        };
        Some((*attribute, value))
    });
    found.collect()
}

/// An age as a number of years, or with its unit as the first edition has it: `058Y`, `011M`, `003W`, `020D`.
fn age_in_years(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let a_year = match &text[digits.len()..] {
        "" | "Y" | "y" => 1.0,
        "M" | "m" => 12.0,
        "W" | "w" => 365.25 / 7.0,
        "D" | "d" => 365.25,
        _ => return None,
    };
    let number: u32 = digits.trim().parse().ok()?;
    Some(f64::from(number) / a_year)
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    const TABLE: &str = "Image Index,Finding Labels,Follow-up #,Patient ID\n\
        b.png,Mass|No Finding,0,2\n\
        gone.png,Mass,0,2\n\
        a.png,No Finding,0,1\n";

    fn folder(files: &[&str]) -> TempDir {
        let dir = TempDir::new().unwrap();
        for name in files {
            text(dir.path(), &format!("images/{name}"), "");
        }
        dir
    }

    fn load_table(dir: &TempDir, table: &str) -> Result<Loaded, JobError> {
        load_where(dir, table, Absent::LeftOut)
    }

    fn load_where(dir: &TempDir, table: &str, absent: Absent) -> Result<Loaded, JobError> {
        load(
            &dir.path().join("images"),
            &text(dir.path(), "table.csv", table),
            absent,
        )
    }

    #[test]
    fn rows_come_in_the_order_of_the_table_from_any_sub_folder() {
        let dir = folder(&["a.png", "sub/deeper/b.png", "unlisted.png"]);
        let Loaded { rows, left_out, .. } = load_table(&dir, TABLE).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].image.as_str(), rows[0].patient.as_str()), ("b.png", "2"));
        assert_eq!(rows[0].labels, ["Mass", "No Finding"]);
        let path = dir.path().join("images/sub/deeper/b.png");
        assert_eq!(rows[0].origin, Origin::Line { path, line: 2 });
        assert_eq!((rows[1].image.as_str(), rows[1].patient.as_str()), ("a.png", "1"));
        assert_eq!(left_out.into_inner(), [(NOT_IN_FOLDER.to_owned(), 1)].into());
    }

    #[test]
    fn every_site_sees_the_same_rows_whichever_images_it_has() {
        let rows_with = |files: &[&str]| {
            let Loaded { rows, left_out, .. } = load_where(&folder(files), TABLE, Absent::Elsewhere).unwrap();
            assert_eq!(left_out.into_inner(), [].into());
            rows.into_iter()
                .map(|row| (row.image, row.patient, row.labels))
                .collect::<Vec<_>>()
        };
        let everything = rows_with(&["a.png", "b.png", "gone.png"]);
        assert_eq!(everything.len(), 3);
        for site in [&["a.png"][..], &["sub/b.png", "gone.png"], &[]] {
            assert_eq!(
                rows_with(&[&["unlisted.png"], site].concat()),
                everything,
                "{site:?}"
            );
        }
    }

    #[test]
    fn projection_sex_and_age_are_taken_from_either_edition() {
        let dir = folder(&["a.png", "b.png", "c.png", "d.png"]);
        let said = |header: &str, cells: [&str; 4]| {
            let mut table = format!("Image Index,Finding Labels,Patient ID,{header}\n");
            for (name, cells) in ["a", "b", "c", "d"].iter().zip(cells) {
                table += &format!("{name}.png,Mass,{name},{cells}\n");
            }
            let rows = load_table(&dir, &table).unwrap().rows;
            let words = |row: Row| row.attributes.into_values().collect::<Vec<_>>().join(" ");
            rows.into_iter().map(words).collect::<Vec<_>>()
        };
        let first = said(
            "Patient Age,Patient Gender,View Position",
            ["058Y,M,PA", "011M,F,AP", "414Y,F,PA", ",,"],
        );
        assert_eq!(first, ["PA M 50-59", "AP F 0-9", "PA F", ""]);
        let second = said(
            "Patient Age,Patient Sex,View Position",
            ["58,M,PA", "9,f,ap", "130,F,PA", "x, ,AP"],
        );
        assert_eq!(second, ["PA M 50-59", "AP F 0-9", "PA F", "AP"]);
    }

    #[test]
    fn a_folder_with_none_of_the_images_is_refused() {
        let error = load_table(&folder(&["other.png"]), TABLE).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(
            error
                .message
                .contains("has 1 files, none of them named by the 3 lines"),
            "{error}"
        );
        assert!(error.help.is_some());
    }

    #[test]
    fn a_folder_or_table_that_is_not_there_is_a_missing_input() {
        let dir = folder(&["a.png"]);
        let table = text(dir.path(), "table.csv", TABLE);
        let gone = dir.path().join("gone");
        let error = load(&gone, &table, Absent::LeftOut).unwrap_err();
        assert_eq!(
            (error.exit, error.file),
            (JobExit::InputMissing, Some(gone.clone()))
        );
        let error = load(&dir.path().join("images"), &gone, Absent::LeftOut).unwrap_err();
        assert_eq!((error.exit, error.file), (JobExit::InputMissing, Some(gone)));
    }

    #[test]
    fn ambiguous_or_empty_cells_are_refused_by_their_line() {
        let dir = folder(&["a.png", "b.png", "sub/b.png"]);
        let line = |line: &str| {
            let error =
                load_table(&dir, &format!("Image Index,Finding Labels,Patient ID\n{line}\n")).unwrap_err();
            assert_eq!(error.exit, JobExit::InputInvalid);
            error.message
        };
        assert!(line("b.png,Mass,2").contains("line 2: the image `b.png` is there twice"));
        assert!(line("a.png,,2").contains("line 2: `Finding Labels` is empty"));
        assert!(line("a.png,Mass, ").contains("line 2: `Patient ID` is empty"));
        assert!(line("a.png,Mass,1\na.png,Mass,2").contains("lines 2 and 3 name the same image"));
    }

    #[cfg(unix)]
    #[test]
    fn links_between_folders_are_followed_once() {
        let dir = folder(&["a.png"]);
        let images = dir.path().join("images");
        std::os::unix::fs::symlink(&images, images.join("again")).unwrap();
        let other = text(dir.path(), "elsewhere/b.png", "");
        std::os::unix::fs::symlink(other.parent().unwrap(), images.join("more")).unwrap();
        assert_eq!(load_table(&dir, TABLE).unwrap().rows.len(), 2);
    }
}
