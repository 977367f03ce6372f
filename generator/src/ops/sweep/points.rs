//! `fedwing points`: what a sweep's points are.

use std::path::Path;

use serde::Serialize;

use crate::ops::{
    check::{self, Proven},
    error::OpError,
    source::Source,
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointsWanted {
    /// All of them, with their values.
    List,
    /// The specification of one, by its name.
    One(String),
}

/// The points of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct PointsResult {
    /// Format version.
    pub fedwing_points: u32,
    /// The experiment.
    pub experiment: String,
    /// What is varied, in the order written.
    pub places: Vec<String>,
    /// Its points, in order; the one that was asked for.
    pub points: Vec<PointInfo>,
}

/// One point.
#[derive(Debug, Clone, Serialize)]
pub struct PointInfo {
    /// Its name as an experiment.
    pub name: String,
    /// Its value of each place, as YAML on one line.
    pub values: Vec<String>,
    /// The text of its specification; `null` in a list.
    pub spec: Option<String>,
}

/// The points of the sweep at `path`.
///
/// # Errors
/// [`OpError::Rejected`] with every mistake of the specification; [`OpError::NoSweep`]; [`OpError::NoPoint`].
pub fn points(path: &Path, wanted: &PointsWanted) -> Result<PointsResult, OpError> {
    let source = Source::read(path)?;
    let (Proven::Sweep(sweep), _) = check::proven(&source)? else {
        return Err(OpError::NoSweep { file: source.shown });
    };
    let asked = |name: &str| match wanted {
        PointsWanted::List => true,
        PointsWanted::One(wanted) => wanted == name,
    };
    let points = sweep.points.iter().filter(|point| asked(point.name.as_str()));
    let points: Vec<PointInfo> = points
        .map(|point| PointInfo {
            name: point.name.to_string(),
            values: sweep
                .axes
                .iter()
                .zip(&point.values)
                .map(|(axis, value)| axis.values[*value].clone())
                .collect(),
            spec: (*wanted != PointsWanted::List).then(|| point.text.clone()),
        })
        .collect();
    match (wanted, points.is_empty()) {
        (PointsWanted::One(point), true) => Err(OpError::NoPoint {
            file: source.shown,
            point: point.clone(),
        }),
        _ => Ok(PointsResult {
            fedwing_points: 1,
            experiment: sweep.name.to_string(),
            places: sweep.axes.into_iter().map(|axis| axis.place).collect(),
            points,
        }),
    }
}
