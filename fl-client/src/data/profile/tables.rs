//! Columns of tables.
//!
//! In: a CSV file, and the names of the folder's images. Out: each column's number of distinct values, the values where
//! they are few and name nobody, and how many are names of images. Start at [`read`].

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use contract::{
    job::JobError,
    profile::{ColumnProfile, TableProfile},
};

use crate::data::source::{CsvTable, tree::Found};

/// The largest table looked at, in bytes: what is remembered of its cells is no larger than twice that.
const MAX_TABLE: u64 = 64 << 20;

/// The most distinct values that are listed.
const MAX_VALUES: usize = 40;

/// Parts of column names that tell of identifiers and dates, whose values are not listed.
const IDENTIFIERS: [&str; 13] = [
    "id",
    "ids",
    "uid",
    "name",
    "names",
    "mrn",
    "subject",
    "accession",
    "birth",
    "date",
    "time",
    "path",
    "file",
];

/// Names by which a table can mean an image.
pub struct Names<'a> {
    paths: &'a HashSet<String>,
    files: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Of images' paths relative to the root.
    pub fn new(paths: &'a HashSet<String>) -> Self {
        let file = |path: &'a String| path.rsplit_once('/').map_or(path.as_str(), |(_, file)| file);
        Self {
            paths,
            files: paths.iter().map(file).collect(),
        }
    }

    /// Whether a cell of a table in `folder` is the name of an image: its path from the root or from the table, or its
    /// file name alone.
    fn contains(&self, folder: &str, cell: &str) -> bool {
        let cell = cell.trim().trim_start_matches("./");
        self.files.contains(cell)
            || self.paths.contains(cell)
            || self.paths.contains(&format!("{folder}{cell}"))
    }
}

/// A column's values so far.
#[derive(Default)]
struct Values {
    /// Hashes of all.
    distinct: HashSet<u64>,
    /// Rows by label; none once there are too many.
    counts: Option<BTreeMap<String, u64>>,
    images: u64,
}

/// Looks at a table.
///
/// # Errors
/// `InputInvalid` if it is too large or no table; `InputMissing` or `Io` if it cannot be read.
pub fn read(file: &Found, names: &Names<'_>) -> Result<TableProfile, JobError> {
    let about = std::fs::metadata(&file.path).map_err(|error| JobError::reading(&file.path, &error))?;
    if about.len() > MAX_TABLE {
        let reason = format!("{} bytes; tables up to {MAX_TABLE} are looked at", about.len());
        return Err(JobError::invalid(&file.path, reason));
    }
    let folder = file
        .name
        .rsplit_once('/')
        .map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let table = CsvTable::open(&file.path)?;
    let (titles, columns) = (table.names().to_vec(), table.all());
    let mut values: Vec<Values> = titles
        .iter()
        .map(|title| Values {
            counts: (!is_identifier(title)).then(BTreeMap::new),
            ..Values::default()
        })
        .collect();
    // The same hash of the same text in every run: the numbers of distinct values must not differ by chance.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut rows = 0;
    table.lines(|line| {
        rows += 1;
        for (column, values) in columns.iter().zip(&mut values) {
            let cell = line.cell(*column);
            values.distinct.insert(hasher.hash_one(cell));
            values.images += u64::from(names.contains(&folder, cell));
            if let Some(counts) = &mut values.counts {
                for label in cell.split('|').map(str::trim) {
                    *counts.entry(label.to_owned()).or_default() += 1;
                }
                if counts.len() > MAX_VALUES {
                    values.counts = None;
                }
            }
        }
        Ok(())
    })?;
    let columns = titles.into_iter().zip(values).map(|(name, values)| {
        let Values {
            distinct,
            counts,
            images,
        } = values;
        ColumnProfile {
            name,
            distinct: distinct.len() as u64,
            // Values that hardly repeat identify their rows.
            values: counts
                .filter(|counts| images == 0 && counts.len() as u64 * 2 <= rows)
                .unwrap_or_default(),
            images,
        }
    });
    Ok(TableProfile {
        file: file.name.clone(),
        rows,
        columns: columns.collect(),
    })
}

/// Whether a column is of identifiers by its name: one of its words, or the patient and nothing more.
fn is_identifier(title: &str) -> bool {
    // `PatientID` and `patient_id` are two words each.
    let mut words = vec![String::new()];
    let mut lower = false;
    for letter in title.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = letter.is_lowercase();
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words.iter().any(|word| IDENTIFIERS.contains(&word.as_str())) || words == ["patient"]
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::text;

    fn profile(content: &str) -> TableProfile {
        let dir = TempDir::new().unwrap();
        let found = Found {
            path: text(dir.path(), "t/labels.csv", content),
            name: "t/labels.csv".to_owned(),
        };
        let images = HashSet::from(["t/i/a.png".to_owned(), "b.png".to_owned()]);
        read(&found, &Names::new(&images)).unwrap()
    }

    #[test]
    fn columns_are_told_by_what_is_in_them() {
        let table = profile(
            "image,Patient ID,sex,finding,remark\n\
             i/a.png,1,F,Mass|Edema,x1\nb.png,1,M,Mass,x2\ngone.png,2,F,,x3\na.png,2,F,Mass,x4\n./b.png,3,F,Edema,x5\n\
             t/i/a.png,3,M,Mass,x6\n",
        );
        let column = |name: &str| table.columns.iter().find(|column| column.name == name).unwrap();
        assert_eq!((table.rows, table.columns.len()), (6, 5));
        assert_eq!((column("image").images, column("image").distinct), (5, 6));
        assert!(column("image").values.is_empty());
        // Few values that repeat, but identifiers by their name.
        assert_eq!(column("Patient ID").distinct, 3);
        assert!(column("Patient ID").values.is_empty());
        let said = |name: &str| column(name).values.clone().into_iter().collect::<Vec<_>>();
        assert_eq!(said("sex"), [("F".to_owned(), 4), ("M".to_owned(), 2)]);
        let labels = [
            ("".to_owned(), 1),
            ("Edema".to_owned(), 2),
            ("Mass".to_owned(), 4),
        ];
        assert_eq!(said("finding"), labels);
        assert!(column("remark").values.is_empty(), "values that never repeat");
    }

    #[test]
    fn many_values_are_counted_and_not_listed() {
        let mut content = "label\n".to_owned();
        for number in 0..200 {
            content += &format!("{}\n", number % 50);
        }
        let table = profile(&content);
        assert_eq!(table.columns[0].distinct, 50);
        assert!(table.columns[0].values.is_empty());
    }

    #[test]
    fn identifiers_are_told_by_words_of_column_names() {
        for name in [
            "Patient ID",
            "PatientID",
            "patient_id",
            "Patient",
            "StudyInstanceUID",
            "birthDate",
            "file",
        ] {
            assert!(is_identifier(name), "{name}");
        }
        for name in [
            "Patient Age",
            "Patient Gender",
            "View Position",
            "Finding Labels",
            "side",
            "valid",
            "",
        ] {
            assert!(!is_identifier(name), "{name}");
        }
    }
}
