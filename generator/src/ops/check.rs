//! `fedwing check`: every rule, every mistake.

use std::path::Path;

use serde::Serialize;

use super::{error::OpError, source::Source};
use crate::{
    check::{self, Checked, Sweep},
    diag::{Diagnostics, DiagnosticsJson},
};

/// What checking a specification found.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// The specification as named on the command line.
    pub file: String,
    /// Whether it may be used.
    pub accepted: bool,
    /// SHA-256 of its text, when it is accepted.
    pub digest: Option<String>,
    /// Number of points, when it is an accepted sweep.
    pub points: Option<usize>,
    /// Errors and warnings, in the order of the file.
    pub diagnostics: Diagnostics,
}

impl CheckResult {
    /// The same for programs.
    pub fn to_json(&self) -> CheckJson {
        CheckJson {
            fedwing_check: 1,
            accepted: self.accepted,
            digest: self.digest.clone(),
            points: self.points,
            found: self.diagnostics.to_json(),
        }
    }
}

/// What checking a specification found, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct CheckJson {
    /// Format version.
    pub fedwing_check: u32,
    /// Whether it may be used.
    pub accepted: bool,
    /// SHA-256 of its text, when it is accepted.
    pub digest: Option<String>,
    /// Number of points, when it is an accepted sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
    /// Errors and warnings.
    pub found: DiagnosticsJson,
}

/// Checks the specification at `path`.
///
/// # Errors
/// [`OpError::Read`]; a rejected specification is a result, not an error.
pub fn check(path: &Path) -> Result<CheckResult, OpError> {
    let source = Source::read(path)?;
    Ok(examine(&source).1)
}

/// A proven specification.
pub(super) enum Proven {
    /// Of one experiment.
    One(Box<Checked>),
    /// Of many.
    Sweep(Sweep),
}

/// Checks `source` and keeps the proven form.
///
/// # Errors
/// [`OpError::Rejected`] with every diagnostic.
pub(super) fn proven(source: &Source) -> Result<(Proven, CheckResult), OpError> {
    match examine(source) {
        (Some(proven), result) => Ok((proven, result)),
        (None, result) => Err(OpError::Rejected(Box::new(result))),
    }
}

/// The same for a specification that must be of one experiment.
///
/// # Errors
/// [`OpError::Rejected`] with every diagnostic, [`OpError::Sweep`].
pub(super) fn accepted(source: &Source) -> Result<(Checked, CheckResult), OpError> {
    match proven(source)? {
        (Proven::One(checked), result) => Ok((*checked, result)),
        (Proven::Sweep(sweep), _) => Err(is_sweep(source, &sweep)),
    }
}

/// Says that `source` is a sweep where one experiment is wanted.
pub(super) fn is_sweep(source: &Source, sweep: &Sweep) -> OpError {
    let first = sweep.points.first();
    OpError::Sweep {
        file: source.shown.clone(),
        points: sweep.points.len(),
        first: first.map_or(String::new(), |point| point.name.to_string()),
    }
}

fn examine(source: &Source) -> (Option<Proven>, CheckResult) {
    let report = check::check(&source.text, &source.shown, source.folder());
    let one = report.checked.as_ref().map(|checked| &checked.digest);
    let digest = one.or(report.sweep.as_ref().map(|sweep| &sweep.digest));
    let result = CheckResult {
        file: source.shown.clone(),
        accepted: report.accepted(),
        digest: digest.map(ToString::to_string),
        points: report.sweep.as_ref().map(|sweep| sweep.points.len()),
        diagnostics: report.diagnostics,
    };
    let one = report.checked.map(|checked| Proven::One(Box::new(checked)));
    (one.or(report.sweep.map(Proven::Sweep)), result)
}
