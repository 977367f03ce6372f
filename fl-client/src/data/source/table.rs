//! Any CSV with image paths.
//!
//! In: the table and the names of its columns. Out: a row for each line, in order; image paths are relative to the
//! table's folder. Labels are one column of text with `|` between labels, or several columns of 0 and 1, whose names
//! are the labels.

use std::path::Path;

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
        return if labels.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(labels) };
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
