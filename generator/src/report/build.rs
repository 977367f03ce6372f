//! Collects a [`Report`] from a run's folder.

use std::io;

use serde::Deserialize;

use super::{
    datasets::datasets,
    documents::{Documents, read_limited, sha256},
    history::History,
    model::{DatasetReport, Report},
};
use crate::record::{self, Event, RecordError, RunDir};

/// The largest specification shown.
const MAX_SPEC_BYTES: u64 = 4 << 20;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record does not begin with the start of a run.
    #[error("the record does not begin with the start of a run")]
    NoStart,
    /// A file cannot be read.
    #[error("cannot read `{file}` of the run")]
    Read {
        /// The file, by logical name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than such a file may be.
    #[error("`{file}` has more than the {limit} bytes such a file may have")]
    TooLarge {
        /// The file, by logical name.
        file: String,
        /// The largest size read.
        limit: u64,
    },
    /// A file is not what the job left.
    #[error(
        "`{file}` was changed after the run: the record has SHA-256 {recorded}, the file {found}; \
         restore it, or let `fedwing resume` make it again"
    )]
    Changed {
        /// The file, by logical name.
        file: String,
        /// Digest in the record.
        recorded: String,
        /// Digest of the file as it is.
        found: String,
    },
    /// The record names a file outside the run's folder.
    #[error("the record names a file `{file}`, which is no path inside the run's folder")]
    BadName {
        /// The name as recorded.
        file: String,
    },
    /// A file is not such a document.
    #[error("`{file}` is not a metrics or statistics file")]
    Malformed {
        /// The file, by logical name.
        file: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A file of ours without a version.
    #[error("`{file}` has neither `fedwing_metrics` nor `fedwing_stats`")]
    NoVersion {
        /// The file, by logical name.
        file: String,
    },
    /// A file of another format version.
    #[error("`{file}` has format version {version}; this fedwing reads version {readable}")]
    Version {
        /// The file, by logical name.
        file: String,
        /// Its version.
        version: u32,
        /// The version read here.
        readable: u32,
    },
    /// Metrics of no dataset.
    #[error("neither `{file}` nor the job that wrote it names a dataset")]
    NoDataset {
        /// The file, by logical name.
        file: String,
    },
    /// The specification is not UTF-8.
    #[error("`{file}` is not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
    },
}

/// The report of the run in `dir`; reads its record and files, writes nothing.
///
/// Unfinished and failed runs have reports too: of the jobs that are done, with the failures stated.
///
/// # Errors
/// [`ReportError`]: the record cannot be read, or a file (it is named) is missing, too large, malformed or no longer
/// what the record says.
pub fn build(dir: &RunDir) -> Result<Report, ReportError> {
    from_events(dir, record::read(&dir.record())?)
}

/// [`build`] with the record's events at hand.
///
/// # Errors
/// As [`build`]; [`ReportError::NoStart`] when the first event is not [`Event::RunStarted`].
pub fn from_events(dir: &RunDir, events: Vec<Event>) -> Result<Report, ReportError> {
    let history = History::replay(events)?;
    let documents = Documents::read(dir, &history)?;
    let datasets = datasets(documents);
    let run = history.run();
    let spec = spec_text(dir, &run.digest)?;
    let (stages, totals) = history.stages();
    Ok(Report {
        fedwing_report: Report::VERSION,
        experiment: run.name.clone(),
        intent: spec.as_deref().and_then(intent),
        synthetic: run.synthetic || datasets.iter().any(DatasetReport::rests_on_synthetic),
        state: history.state(),
        fedwing: run.fedwing.clone(),
        host: run.host.clone(),
        started_unix_ms: run.at,
        elapsed_s: history.elapsed_s(),
        slots: history.slots(),
        resumed: history.resumed(),
        datasets,
        jobs: history.counts(),
        failed_jobs: history.failed_jobs(dir),
        stages,
        totals,
        timeline: history.timeline(),
        spec_digest: run.digest.clone(),
        spec,
    })
}

/// The run's copy of the specification, if there is one; it must be what was run.
fn spec_text(dir: &RunDir, digest: &str) -> Result<Option<String>, ReportError> {
    const NAME: &str = "spec.yml";
    let bytes = match read_limited(&dir.spec(), NAME, MAX_SPEC_BYTES) {
        Ok(bytes) => bytes,
        Err(ReportError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = sha256(&bytes);
    if found != digest {
        return Err(ReportError::Changed {
            file: NAME.to_owned(),
            recorded: digest.to_owned(),
            found,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| ReportError::NotText {
        file: NAME.to_owned(),
    })?;
    Ok(Some(text))
}

/// The author's words, where the text is a specification that has them.
///
/// A run can also come from a workflow without any, so a text of another form is not an error here.
fn intent(spec: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Intent {
        intent: Option<String>,
    }
    serde_saphyr::from_str::<Intent>(spec).ok()?.intent
}
