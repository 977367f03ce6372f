//! Sweeps: the same verbs as for one experiment, for every point of a sweep.
//!
//! A sweep's folder holds its specification, the list of its points ([`SweepList`]) and a folder for each point, which is
//! what the folder of that experiment by itself would be. Start at [`SweepRun::at`], which tells whether a folder is one.

mod compare;
mod generate;
mod operate;
mod points;
mod run;
mod status;

use std::path::{Path, PathBuf};

pub use compare::{ComparisonResult, compare};
pub use generate::{SweepGenerateResult, generate};
pub use operate::{SweepCancelResult, SweepSubmitResult, cancel, resume as resume_on_pool, submit};
pub use points::{PointInfo, PointsResult, PointsWanted, points};
pub use run::{PointResult, PointState, SweepResult, resume as resume_here, run};
pub use status::{PointStatus, SweepStatus, SweepWatch};

use super::{error::OpError, source::Source};
use crate::{
    check::{Point, Sweep},
    record::{SweepAxis, SweepDir, SweepList, SweepPoint, SweepSystem},
};

/// A sweep in its folder.
#[derive(Debug, Clone)]
pub struct SweepRun {
    /// The folder, absolute.
    pub dir: SweepDir,
    /// Its points.
    pub list: SweepList,
}

impl SweepRun {
    /// The sweep in the folder `path`; `None` where it holds none.
    ///
    /// # Errors
    /// [`OpError::SweepList`].
    pub fn at(path: &Path) -> Result<Option<Self>, OpError> {
        let dir = SweepDir::new(super::run::absolute(path)?);
        let list = SweepList::read(&dir)?;
        Ok(list.map(|list| Self { dir, list }))
    }

    /// The DAG of all points, where DAGMan runs them.
    pub fn dag(&self) -> Option<PathBuf> {
        let name = format!("{}.dag", self.list.experiment);
        (self.list.system == SweepSystem::Dagman).then(|| self.dir.root().join(name))
    }

    /// The folder of each point, in order.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.list.points.iter().map(|point| self.dir.point(&point.name))
    }
}

/// What `sweep.json` says of a proven sweep.
fn list(source: &Source, sweep: &Sweep, system: SweepSystem) -> SweepList {
    let Sweep {
        name,
        intent,
        digest,
        axes,
        at_once,
        points,
    } = sweep;
    SweepList {
        fedwing_sweep: SweepList::VERSION,
        experiment: name.clone(),
        intent: intent.clone(),
        source: source.path.display().to_string(),
        digest: digest.to_string(),
        system,
        at_once: *at_once,
        axes: axes
            .iter()
            .map(|axis| SweepAxis {
                place: axis.place.clone(),
                values: axis.values.clone(),
            })
            .collect(),
        points: points
            .iter()
            .map(|point| SweepPoint {
                name: point.name.clone(),
                values: point.values.clone(),
            })
            .collect(),
    }
}

/// The specification of a point, as if it lay where the sweep's does.
pub(super) fn source_of(sweep: &Source, point: &Point) -> Source {
    Source {
        path: sweep.path.clone(),
        shown: format!("{}, point {}", sweep.shown, point.name),
        text: point.text.clone(),
    }
}
