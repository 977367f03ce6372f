//! What lies where in a sweep's folder, and the list of its points.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use contract::ids::ExperimentName;
use serde::{Deserialize, Serialize};

/// The largest list of points read: a thousand points with twenty axes stay far below.
const MAX_BYTES: u64 = 16 << 20;

/// A sweep's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepDir(PathBuf);

impl SweepDir {
    /// The sweep in `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The specification as written, sweep and all.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.yml")
    }

    /// The list of points; whoever works on the sweep on this machine holds a lock on it.
    pub fn list(&self) -> PathBuf {
        self.0.join("sweep.json")
    }

    /// The folder of a point: of a run, or one a workflow was generated into.
    pub fn point(&self, name: &ExperimentName) -> PathBuf {
        self.0.join("points").join(name.as_str())
    }

    /// The comparison: `report.html`, `report.md`, `report.json`.
    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }
}

/// The points of a sweep: what `sweep.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepList {
    /// Format version, [`SweepList::VERSION`].
    pub fedwing_sweep: u32,
    /// The experiment.
    pub experiment: ExperimentName,
    /// What the sweep is for, where the specification says it.
    pub intent: Option<String>,
    /// Absolute path of the specification.
    pub source: String,
    /// SHA-256 of the specification.
    pub digest: String,
    /// Who runs it.
    pub system: SweepSystem,
    /// The most points a pool works on at once.
    pub at_once: u32,
    /// What is varied, in the order written.
    pub axes: Vec<SweepAxis>,
    /// Its points, in order.
    pub points: Vec<SweepPoint>,
}

/// Who runs a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepSystem {
    /// This machine.
    Local,
    /// HTCondor's DAGMan.
    Dagman,
    /// An ensemble of Pegasus.
    Pegasus,
}

/// A place and its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepAxis {
    /// The place in the specification, keys with dots between them.
    pub place: String,
    /// Its values as YAML on one line.
    pub values: Vec<String>,
}

/// One combination of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepPoint {
    /// Its name as an experiment.
    pub name: ExperimentName,
    /// Which value it has of each axis, counted from 0.
    pub values: Vec<usize>,
}

/// Why a list of points cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SweepListError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a list of points.
    #[error("`{}` is not a list of points; restore it", path.display())]
    Malformed {
        /// The list.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It is of another format version, or says what cannot be.
    #[error("`{}` {why}", path.display())]
    Unusable {
        /// The list.
        path: PathBuf,
        /// Why, behind the file's name.
        why: String,
    },
}

impl SweepList {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// The list in a sweep's folder; `None` where there is none.
    ///
    /// # Errors
    /// [`SweepListError`].
    pub fn read(dir: &SweepDir) -> Result<Option<Self>, SweepListError> {
        let path = dir.list();
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(source) => return Err(SweepListError::Read { path, source }),
            Ok(_) => {}
        }
        Self::parse(&bytes, &path).map(Some)
    }

    /// The list that `bytes` are, which messages call `path`.
    ///
    /// # Errors
    /// [`SweepListError`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, SweepListError> {
        let unusable = |why: String| SweepListError::Unusable {
            path: path.to_owned(),
            why,
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unusable(format!("has more than {MAX_BYTES} bytes")));
        }
        let list: Self = serde_json::from_slice(bytes).map_err(|source| SweepListError::Malformed {
            path: path.to_owned(),
            source,
        })?;
        if list.fedwing_sweep != Self::VERSION {
            return Err(unusable(format!(
                "has format version {}; this fedwing reads version {}",
                list.fedwing_sweep,
                Self::VERSION
            )));
        }
        if let Some(point) = list.points.iter().find(|point| !list.fits(point)) {
            return Err(unusable(format!(
                "names values of `{}` that are none",
                point.name
            )));
        }
        // The name is that of the point's folder.
        let mut names = BTreeSet::new();
        match list.points.iter().find(|point| !names.insert(&point.name)) {
            Some(point) => Err(unusable(format!("has two points `{}`", point.name))),
            None => Ok(list),
        }
    }

    fn fits(&self, point: &SweepPoint) -> bool {
        point.values.len() == self.axes.len()
            && point
                .values
                .iter()
                .zip(&self.axes)
                .all(|(value, axis)| *value < axis.values.len())
    }

    /// The list as JSON with a closing newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every map key in a list is text");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn list() -> SweepList {
        SweepList {
            fedwing_sweep: SweepList::VERSION,
            experiment: ExperimentName::new("e1").unwrap(),
            intent: None,
            source: "/specs/e1.yml".to_owned(),
            digest: "00".to_owned(),
            system: SweepSystem::Local,
            at_once: 4,
            axes: vec![SweepAxis {
                place: "seed".to_owned(),
                values: vec!["1".to_owned()],
            }],
            points: vec![SweepPoint {
                name: ExperimentName::new("e1-s1").unwrap(),
                values: vec![0],
            }],
        }
    }

    #[test]
    fn a_list_is_read_as_written_and_a_wrong_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = SweepDir::new(folder.path());
        assert!(SweepList::read(&dir).unwrap().is_none());
        let text = list().to_json();
        let read = |text: &str| {
            fs::write(dir.list(), text).unwrap();
            SweepList::read(&dir)
        };
        assert_eq!(read(&text).unwrap(), Some(list()));
        for (right, wrong) in [
            ("\"fedwing_sweep\": 1", "\"fedwing_sweep\": 2"),
            ("\"name\": \"e1-s1\"", "\"name\": \"../e1\""),
            ("        0\n", "        1\n"),
            ("        0\n", ""),
        ] {
            assert!(text.contains(right), "{text}");
            assert!(read(&text.replace(right, wrong)).is_err(), "{wrong}");
        }
        let mut twice = list();
        twice.points.push(twice.points[0].clone());
        let refused = read(&twice.to_json()).unwrap_err().to_string();
        assert!(refused.ends_with("has two points `e1-s1`"), "{refused}");
    }
}
