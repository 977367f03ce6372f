//! Any CSV with image paths.
//!
//! In: the table and the names of its columns. Out: a row for each line, in order; image paths are relative to the
//! table's folder. Labels are one column of text with `|` between labels, or several columns of 0 and 1, whose names
//! are the labels.

use std::{collections::BTreeMap, path::Path};

use contract::{exit::JobExit, job::JobError};

use super::{
    Loaded, Origin, Row, Seen,
    csv_table::{Column, CsvTable, Line},
    split_labels,
};

/// The names of the columns to read.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    pub image: &'a str,
    pub patient: &'a str,
    pub site: Option<&'a str>,
    pub split: Option<&'a str>,
    pub labels: &'a [String],
}

pub fn load(csv: &Path, names: &Columns<'_>) -> Result<Loaded, JobError> {
    let table = CsvTable::open(csv)?;
    let wanted: Vec<&str> = [names.image, names.patient]
        .into_iter()
        .chain(names.site)
        .chain(names.split)
        .chain(names.labels.iter().map(String::as_str))
        .collect();
    let mut columns = table.columns(&wanted)?.into_iter();
    let mut next = || columns.next().expect("every column asked for was found");
    let (image, patient) = (next(), next());
    let (site, split) = (names.site.map(|_| next()), names.split.map(|_| next()));
    let labels: Vec<(&String, Column)> = names.labels.iter().map(|name| (name, next())).collect();
    let folder = csv.parent().unwrap_or(Path::new(""));

    let (mut loaded, mut seen) = (Loaded::default(), Seen::default());
    table.lines(|line| {
        let at = |reason: String| JobError::invalid(csv, format!("line {}: {reason}", line.number));
        let filled = |column: Column, name: &str| match line.cell(column).trim() {
            "" => Err(at(format!("`{name}` is empty"))),
            text if text.contains('\0') => Err(at(format!("`{name}` has a NUL character"))),
            text => Ok(text.to_owned()),
        };
        let name = filled(image, names.image)?;
        let path = folder.join(&name);
        seen.once(csv, &path, line.number)?;
        let site = match (site, names.site) {
            (Some(column), Some(name)) => Some(filled(column, name)?),
            _ => None,
        };
        loaded.rows.push(Row {
            image: name,
            patient: filled(patient, names.patient)?,
            labels: read_labels(&line, &labels).map_err(at)?,
            site,
            split: split.map(|column| line.cell(column).trim().to_owned()),
            attributes: BTreeMap::new(),
            origin: Origin::Line {
                path,
                line: line.number,
            },
        });
        Ok(())
    })?;
    if loaded.rows.is_empty() {
        return Err(JobError::new(
            JobExit::DataUnfit,
            format!("`{}` has column names and no lines below them", csv.display()),
        )
        .about(csv)
        .help("give a table with a line for each image"));
    }
    Ok(loaded)
}

fn read_labels(line: &Line<'_>, columns: &[(&String, Column)]) -> Result<Vec<String>, String> {
    if let [(name, column)] = columns {
        let labels = split_labels(line.cell(*column));
        // An image nobody labelled is not an image without findings.
        return if labels.is_empty() {
            Err(format!("`{name}` is empty"))
        } else {
            Ok(labels)
        };
    }
    let mut labels = Vec::new();
    for (name, column) in columns {
        // Tables written through floating-point columns say 1.0.
        match line.cell(*column).trim() {
            "0" | "0.0" => {}
            "1" | "1.0" => labels.push((*name).clone()),
            other => return Err(format!("`{name}` is `{other}`; expected 0 or 1")),
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    fn read(
        content: &str,
        site: Option<&str>,
        split: Option<&str>,
        labels: &[&str],
    ) -> Result<Loaded, JobError> {
        let dir = TempDir::new().unwrap();
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let names = Columns {
            image: "image",
            patient: "who",
            site,
            split,
            labels: &labels,
        };
        load(&text(dir.path(), "table.csv", content), &names)
    }

    #[track_caller]
    fn assert_refused(content: &str, labels: &[&str], part: &str) {
        let error = read(content, None, None, labels).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid, "{error}");
        assert!(error.message.contains(part), "`{error}` lacks `{part}`");
    }

    #[test]
    fn a_line_becomes_a_row_with_its_path_relative_to_the_table() {
        let dir = TempDir::new().unwrap();
        let csv = text(
            dir.path(),
            "t/table.csv",
            "split,image,who,hospital,text\ntrain,i/a.png,p 1,north,Mass | Edema\n",
        );
        let labels = ["text".to_owned()];
        let names = Columns {
            image: "image",
            patient: "who",
            site: Some("hospital"),
            split: Some("split"),
            labels: &labels,
        };
        let rows = load(&csv, &names).unwrap().rows;
        let expected = Row {
            image: "i/a.png".to_owned(),
            patient: "p 1".to_owned(),
            labels: vec!["Mass".to_owned(), "Edema".to_owned()],
            site: Some("north".to_owned()),
            split: Some("train".to_owned()),
            attributes: BTreeMap::new(),
            origin: Origin::Line {
                path: dir.path().join("t/i/a.png"),
                line: 2,
            },
        };
        assert_eq!(rows, [expected]);
    }

    #[test]
    fn columns_of_zero_and_one_are_labels_by_their_names() {
        let rows = read(
            "image,who,Mass,Edema\na,1,0,0\nb,2,1,1.0\nc,3,0.0,1\n",
            None,
            None,
            &["Mass", "Edema"],
        );
        let labels: Vec<_> = rows.unwrap().rows.into_iter().map(|row| row.labels).collect();
        assert_eq!(labels, [vec![], vec!["Mass", "Edema"], vec!["Edema"]]);
    }

    #[test]
    fn an_image_may_be_a_patient_of_its_own() {
        let dir = TempDir::new().unwrap();
        let labels = ["text".to_owned()];
        let names = Columns {
            image: "image",
            patient: "image",
            site: None,
            split: None,
            labels: &labels,
        };
        let rows = load(&text(dir.path(), "t.csv", "image,text\na,x\nb,x\n"), &names)
            .unwrap()
            .rows;
        assert_eq!((rows[0].patient.as_str(), rows[1].patient.as_str()), ("a", "b"));
    }

    #[test]
    fn cells_that_say_nothing_usable_are_refused_by_line_and_column() {
        assert_refused("image,who,t\n,1,x\n", &["t"], "line 2: `image` is empty");
        assert_refused("image,who,t\na,1,x\nb, ,x\n", &["t"], "line 3: `who` is empty");
        assert_refused("image,who,t\na,1,|\n", &["t"], "line 2: `t` is empty");
        assert_refused("image,who,t\na\0b,1,x\n", &["t"], "line 2: `image` has a NUL");
        assert_refused(
            "image,who,t,u\na,1,1,-1\n",
            &["t", "u"],
            "line 2: `u` is `-1`; expected 0 or 1",
        );
        assert_refused(
            "image,who,t,u\na,1,,0\n",
            &["t", "u"],
            "line 2: `t` is ``; expected 0 or 1",
        );
        let error = read("image,who,t,site\na,1,x,\n", Some("site"), None, &["t"]).unwrap_err();
        assert!(error.message.contains("line 2: `site` is empty"), "{error}");
    }

    #[test]
    fn an_image_named_twice_is_refused_however_it_is_written() {
        assert_refused(
            "image,who,t\ni/a.png,1,x\n./i//a.png,2,x\n",
            &["t"],
            "lines 2 and 3 name the same image",
        );
    }

    #[test]
    fn a_missing_split_column_is_named() {
        let error = read("image,who,t,Split\na,1,x,train\n", None, Some("split"), &["t"]).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("no column `split` (`Split`?)"), "{error}");
    }

    #[test]
    fn a_table_without_lines_is_refused() {
        let error = read("image,who,t\n", None, None, &["t"]).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(error.message.contains("no lines"), "{error}");
    }
}
