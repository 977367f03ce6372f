//! `fedwing check`: every rule, every mistake.

use std::path::Path;

use serde::Serialize;

use super::{error::OpError, source::Source};
use crate::{
    check::{self, Checked},
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

/// Checks `source` and keeps the proven form.
///
/// # Errors
/// [`OpError::Rejected`] with every diagnostic.
pub(super) fn accepted(source: &Source) -> Result<(Checked, CheckResult), OpError> {
    match examine(source) {
        (Some(checked), result) => Ok((checked, result)),
        (None, result) => Err(OpError::Rejected(Box::new(result))),
    }
}

fn examine(source: &Source) -> (Option<Checked>, CheckResult) {
    let report = check::check(&source.text, &source.shown, source.folder());
    let result = CheckResult {
        file: source.shown.clone(),
        accepted: report.checked.is_some(),
        digest: report.checked.as_ref().map(|checked| checked.digest.to_string()),
        diagnostics: report.diagnostics,
    };
    (report.checked, result)
}
