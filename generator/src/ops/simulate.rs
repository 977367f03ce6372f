//! `fedwing simulate`: how long an experiment takes on a pool, before anything runs.

use std::{num::NonZeroU32, path::Path, str::FromStr};

use serde::Serialize;

use super::{
    calibrate::known,
    check,
    error::OpError,
    operate::{Found, Observer},
    source::Source,
};
use crate::{
    check::{Checked, Layout},
    diag::Diagnostics,
    estimate::{Known, Sizes, Target},
    plan::{self, Plan},
    simulate::{Pool, Prediction, predict},
};

/// Rounds of a sub-workflow where every layout is asked for and the specification names no number.
const CHUNK: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// Which layouts to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layouts {
    /// The specification's own.
    AsSpecified,
    /// This one.
    One(Layout),
    /// All of them.
    All,
}

impl FromStr for Layouts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rounds = text
            .strip_prefix("chunks:")
            .and_then(|rounds| rounds.parse().ok());
        match (text, rounds) {
            ("all", _) => Ok(Self::All),
            ("flat", _) => Ok(Self::One(Layout::Flat)),
            ("rounds", _) => Ok(Self::One(Layout::Rounds)),
            (_, Some(rounds)) => Ok(Self::One(Layout::Chunks { rounds })),
            _ => Err("it can be `flat`, `rounds`, `chunks:N` with N from 1, or `all`"),
        }
    }
}

/// What simulating a specification on a pool gave.
#[derive(Debug, Clone, Serialize)]
pub struct SimulateResult {
    /// Format version.
    pub fedwing_simulate: u32,
    /// The experiment.
    pub experiment: String,
    /// SHA-256 of the specification.
    pub spec_digest: String,
    /// The pool file, as named on the command line.
    pub pool: String,
    /// Slots of the pool.
    pub slots: u64,
    /// What is not known but assumed of the data, a clause each.
    pub assumptions: Vec<String>,
    /// What is predicted, by layout and workflow system.
    pub predictions: Vec<Predicted>,
    /// Warnings about the specification.
    #[serde(skip)]
    pub warnings: Diagnostics,
}

/// What is predicted for a layout and a workflow system.
#[derive(Debug, Clone, Serialize)]
pub struct Predicted {
    /// The layout, as in a specification: `flat`, `rounds` or `{chunks: 10}`.
    pub layout: String,
    /// `pegasus` or `dagman`.
    pub target: &'static str,
    /// What is predicted.
    pub prediction: Prediction,
}

/// Simulates the specification at `path` on the pool that the file `pool` describes; the run in the folder `data` says how
/// many samples there are, where one is given.
///
/// # Errors
/// [`OpError::Rejected`] and [`OpError::PoolRejected`] with every mistake of either file; [`OpError::Simulate`] when no slot can
/// take a job or the pool file lacks the time of a kind of job.
pub fn simulate(
    path: &Path,
    pool: &Path,
    layouts: Layouts,
    data: Option<&Path>,
) -> Result<SimulateResult, OpError> {
    let source = Source::read(path)?;
    let (checked, result) = check::accepted(&source)?;
    let plan = plan::lower(&checked)?;
    let known = match data {
        Some(data) => known(&Observer::new(Found::at(data)?)?.run_dir(), &checked),
        None => Known::default(),
    };
    let sizes = Sizes::new(&checked, &known);
    let used = read_pool(pool)?;
    let predictions = predictions(&used, layouts, &checked, &plan, &sizes)?;
    Ok(SimulateResult {
        fedwing_simulate: 1,
        experiment: checked.name.to_string(),
        spec_digest: checked.digest.to_string(),
        pool: pool.display().to_string(),
        slots: used.slots(),
        assumptions: sizes.assumptions().to_vec(),
        predictions,
        warnings: result.diagnostics,
    })
}

/// What is predicted on a pool in each layout and for each workflow system.
pub(super) fn predictions(
    pool: &Pool,
    layouts: Layouts,
    checked: &Checked,
    plan: &Plan,
    sizes: &Sizes,
) -> Result<Vec<Predicted>, OpError> {
    let mut predictions = Vec::new();
    for layout in layouts.of(checked) {
        for target in Target::ALL {
            predictions.push(Predicted {
                layout: shown(layout),
                target: target.as_str(),
                prediction: predict(plan, layout, target, sizes, pool)?,
            });
        }
    }
    Ok(predictions)
}

/// The pool that a file describes.
pub(super) fn read_pool(path: &Path) -> Result<Pool, OpError> {
    let source = Source::read(path)?;
    let report = Pool::read(&source.text, &source.shown);
    report
        .pool
        .ok_or_else(|| OpError::PoolRejected(Box::new(report.diagnostics)))
}

impl Layouts {
    fn of(self, checked: &Checked) -> Vec<Layout> {
        let specified = checked.execution.layout;
        match self {
            Self::AsSpecified => vec![specified],
            Self::One(layout) => vec![layout],
            Self::All => {
                let rounds = match specified {
                    Layout::Chunks { rounds } => rounds,
                    Layout::Flat | Layout::Rounds => CHUNK,
                };
                vec![Layout::Flat, Layout::Rounds, Layout::Chunks { rounds }]
            }
        }
    }
}

/// A layout as a specification has it.
fn shown(layout: Layout) -> String {
    match layout {
        Layout::Flat => "flat".to_owned(),
        Layout::Rounds => "rounds".to_owned(),
        Layout::Chunks { rounds } => format!("{{chunks: {rounds}}}"),
    }
}
