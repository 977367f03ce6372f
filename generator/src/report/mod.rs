//! What a run found, for people and for scripts: HTML, Markdown and JSON from one [`Report`].
//!
//! In: a run's folder ([`crate::record::RunDir`]): its record, its copy of the specification and the metrics and
//! statistics its jobs wrote. Out: a [`Report`], and text made of it by pure functions. Start at [`build`].
//!
//! [`build`] reads files and believes none: each is limited in size and must still be what the record says the job
//! left. [`html`], [`markdown`] and [`json`] are pure: the same report gives the same bytes.

mod bars;
mod build;
mod chart;
mod comparison;
mod datasets;
mod documents;
mod findings;
mod history;
mod html;
mod html_dataset;
mod html_run;
mod markdown;
mod markup;
mod model;
pub(crate) mod numbers;
mod scores;
mod table;
mod timeline;

pub use build::{ReportError, build, from_events};
pub use comparison::{
    ComparedDataset, ComparedMeasure, ComparedPoint, Comparison, CurvePoint, Known, PointState, SeedDataset,
    SeedGroup, SeedMeasure, compare, comparison_html, comparison_json, comparison_markdown,
};
pub use html::html;
pub use markdown::markdown;
pub(crate) use markdown::{Page, plain};
pub(crate) use markup::Markup;
pub use model::{
    AbsentClient, Attempt, AttemptOutcome, BaselineReport, ClientShare, CrossReport, DatasetReport,
    DatasetSummary, FailedJob, FinalReport, Group, JobCounts, KindCounts, PersonalReport, PrivacyReport,
    Report, RoundReport, RunState, SamplePrivacyReport, Spread, StageUse, TransferReport, Use, json,
};
