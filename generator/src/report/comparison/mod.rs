//! The points of a sweep side by side: HTML, Markdown and JSON from one [`Comparison`].
//!
//! In: the list of points ([`SweepList`]) and what is known of each ([`Known`]). Start at [`compare`]. Pure.

mod build;
mod html;
mod markdown;
mod rows;

use serde::{Deserialize, Serialize};

pub use build::{Known, compare};
pub use html::comparison_html;
pub use markdown::comparison_markdown;

use super::model::{JobCounts, RunState, Use};
use crate::record::SweepAxis;

/// The points of a sweep side by side. Undefined quantities are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Format version, [`Comparison::VERSION`].
    pub fedwing_comparison: u32,
    /// The experiment.
    pub experiment: String,
    /// What the sweep is for, where the specification says it.
    pub intent: Option<String>,
    /// Whether any sample behind any number is drawn rather than taken.
    pub synthetic: bool,
    /// How far the sweep came.
    pub state: RunState,
    /// What is varied.
    pub axes: Vec<SweepAxis>,
    /// Its points, in order.
    pub points: Vec<ComparedPoint>,
    /// Points that differ in the seed alone, together; empty where the seed is not varied.
    pub over_seeds: Vec<SeedGroup>,
    /// SHA-256 of the specification.
    pub spec_digest: String,
}

impl Comparison {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedPoint {
    /// Its name as an experiment.
    pub name: String,
    /// Which value it has of each axis, counted from 0.
    pub values: Vec<usize>,
    /// How far it came.
    pub state: PointState,
    /// Why nothing is known of it, where something went wrong.
    pub problem: Option<String>,
    /// Its own report, seen from the folder of the comparison; `null` where there is none.
    pub report: Option<String>,
    /// Whether any sample behind its numbers is drawn.
    pub synthetic: bool,
    /// Seconds from its first to its last recorded event.
    pub elapsed_s: f64,
    /// How many of its jobs are in which state.
    pub jobs: JobCounts,
    /// Its jobs that failed, by name.
    pub failed_jobs: Vec<String>,
    /// What its jobs used together.
    pub used: Use,
    /// Its datasets, by name.
    pub datasets: Vec<ComparedDataset>,
}

/// How far a point came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// Every job is done.
    Done,
    /// Some job failed for good.
    Failed,
    /// Stopped by the user.
    Interrupted,
    /// Still going, or killed.
    Unfinished,
    /// Nothing of it is there yet.
    NotBegun,
    /// What it left cannot be read, or it could not be run.
    Unknown,
}

impl PointState {
    /// The words it is written as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Unfinished => "unfinished",
            Self::NotBegun => "not begun",
            Self::Unknown => "unknown",
        }
    }
}

/// What a point came to on one dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedDataset {
    /// The dataset.
    pub name: String,
    /// Whether its samples are drawn.
    pub synthetic: bool,
    /// The last round whose model was evaluated; `null` where none was.
    pub last_round: Option<u32>,
    /// Each measure of the global model.
    pub measures: Vec<ComparedMeasure>,
    /// The measures after each evaluated round, in order; round 0 is the initial model.
    pub curve: Vec<CurvePoint>,
}

/// A measure of the global model on the test samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedMeasure {
    /// The measure.
    pub measure: String,
    /// After the last evaluated round.
    pub last: Option<f64>,
    /// The best of all rounds but the initial model's; of the loss the smallest.
    pub best: Option<f64>,
    /// The first round with the best.
    pub best_round: Option<u32>,
    /// [`Self::last`] less that of the first point; `null` for the first point itself.
    pub against_first: Option<f64>,
}

/// The measures after a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// The round.
    pub round: u32,
    /// Each measure, in the order of [`ComparedDataset::measures`].
    pub values: Vec<Option<f64>>,
}

/// Points that differ in the seed alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedGroup {
    /// Which value they have of each axis, counted from 0; `null` for the seed.
    pub values: Vec<Option<usize>>,
    /// The points, by their place in [`Comparison::points`].
    pub points: Vec<usize>,
    /// Their datasets, by name.
    pub datasets: Vec<SeedDataset>,
}

/// A dataset over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedDataset {
    /// The dataset.
    pub name: String,
    /// Each measure after the last evaluated round.
    pub measures: Vec<SeedMeasure>,
}

/// A measure over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMeasure {
    /// The measure.
    pub measure: String,
    /// How many seeds define it.
    pub seeds: usize,
    /// Its arithmetic mean; `null` where no seed defines it.
    pub mean: Option<f64>,
    /// Its sample standard deviation (divided by n - 1); `null` below two seeds.
    pub sd: Option<f64>,
}

/// The comparison as pretty JSON with a closing newline.
pub fn comparison_json(comparison: &Comparison) -> String {
    let mut text = serde_json::to_string_pretty(comparison).expect("every map key in a comparison is text");
    text.push('\n');
    text
}
