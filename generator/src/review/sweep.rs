//! The review of a sweep: what its points would do and cost, side by side and together.

use contract::units::Bytes;
use serde::Serialize;

use super::model::{Makespan, Moved, Question, Review};
use crate::check::{Point, Sweep};

/// The review of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepReview {
    /// Format version, [`SweepReview::VERSION`].
    pub fedwing_sweep_review: u32,
    /// The experiment.
    pub experiment: String,
    /// What it is for, in its author's words.
    pub intent: Option<String>,
    /// SHA-256 of the specification: what a person approves.
    pub spec_digest: String,
    /// Whether any dataset of any point is drawn rather than taken.
    pub synthetic: bool,
    /// The most points a pool works on at once.
    pub at_once: u32,
    /// What is varied, in the order written.
    pub axes: Vec<AxisReview>,
    /// Its points, in order.
    pub points: Vec<PointReview>,
    /// Warnings of `check`, a line each.
    pub warnings: Vec<String>,
    /// What sizes are based on that is not known.
    pub assumptions: Vec<Noted<String>>,
    /// What is not settled.
    pub open_questions: Vec<Noted<Question>>,
}

/// A place and its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AxisReview {
    /// The place in the specification, keys with dots between them.
    pub place: String,
    /// Its values as YAML on one line.
    pub values: Vec<String>,
}

/// What a point would do and cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointReview {
    /// Its name as an experiment.
    pub name: String,
    /// Its value of each place, as YAML on one line.
    pub values: Vec<String>,
    /// Clients of all datasets.
    pub clients: u64,
    /// Number of rounds.
    pub rounds: u32,
    /// Its layout, as in a specification.
    pub layout: String,
    /// Sub-workflows in that layout.
    pub sub_workflows: u64,
    /// Jobs.
    pub jobs: u64,
    /// Of those, how many run on the submit host.
    pub on_submit_host: u64,
    /// Files, those that are given among them.
    pub files: u64,
    /// What files take together.
    pub bytes: Bytes,
    /// What moves between the submit host and other machines, by workflow system, when every job is tried once.
    pub traffic: Vec<TargetMoved>,
    /// Predicted makespans by workflow system; empty where no pool is given.
    pub makespans: Vec<Makespan>,
}

/// What moves under a workflow system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TargetMoved {
    /// `pegasus` or `dagman`.
    pub target: &'static str,
    /// How much.
    #[serde(flatten)]
    pub moved: Moved,
}

/// Something that is so for some points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted<T> {
    /// What.
    pub what: T,
    /// The points' names, in order.
    pub points: Vec<String>,
}

impl SweepReview {
    /// The format version this code writes.
    pub const VERSION: u32 = 1;

    /// The review of a sweep none of whose points is reviewed yet.
    pub fn new(sweep: &Sweep, warnings: Vec<String>) -> Self {
        Self {
            fedwing_sweep_review: Self::VERSION,
            experiment: sweep.name.to_string(),
            intent: sweep.intent.clone(),
            spec_digest: sweep.digest.to_string(),
            synthetic: false,
            at_once: sweep.at_once,
            axes: sweep
                .axes
                .iter()
                .map(|axis| AxisReview {
                    place: axis.place.clone(),
                    values: axis.values.clone(),
                })
                .collect(),
            points: Vec::with_capacity(sweep.points.len()),
            warnings,
            assumptions: Vec::new(),
            open_questions: Vec::new(),
        }
    }

    /// Takes in the next point, and `review`, which is of it alone.
    pub fn add(&mut self, point: &Point, review: &Review) {
        let name = point.name.as_str();
        self.synthetic |= review.synthetic;
        for assumption in &review.assumptions {
            note(&mut self.assumptions, assumption, name);
        }
        // Whether one seed is enough is settled where it is varied.
        let settled = |question: &Question| {
            question.about == "seed" && self.axes.iter().any(|axis| axis.place == "seed")
        };
        let open = review.open_questions.iter().filter(|question| !settled(question));
        for question in open {
            note(&mut self.open_questions, question, name);
        }
        let chosen = review.layouts.iter().find(|layout| layout.chosen);
        let values = self.axes.iter().zip(&point.values);
        self.points.push(PointReview {
            name: name.to_owned(),
            values: values.map(|(axis, value)| axis.values[*value].clone()).collect(),
            clients: review
                .datasets
                .iter()
                .map(|dataset| dataset.clients.len() as u64)
                .sum(),
            rounds: review.rounds,
            layout: chosen.map_or(String::new(), |layout| layout.layout.clone()),
            sub_workflows: chosen.map_or(0, |layout| layout.sub_workflows),
            jobs: review.jobs.iter().map(|kind| kind.jobs).sum(),
            on_submit_host: review.jobs.iter().map(|kind| kind.on_submit_host).sum(),
            files: review.files.iter().map(|kind| kind.files).sum(),
            bytes: Bytes(review.files.iter().map(|kind| kind.bytes.0).sum()),
            traffic: review
                .traffic
                .iter()
                .map(|traffic| TargetMoved {
                    target: traffic.target,
                    moved: traffic.whole,
                })
                .collect(),
            makespans: review.makespans.clone(),
        });
    }
}

fn note<T: Clone + PartialEq>(all: &mut Vec<Noted<T>>, what: &T, point: &str) {
    let point = point.to_owned();
    match all.iter_mut().find(|noted| noted.what == *what) {
        Some(noted) => noted.points.push(point),
        None => all.push(Noted {
            what: what.clone(),
            points: vec![point],
        }),
    }
}

/// The review as JSON text.
pub fn sweep_json(review: &SweepReview) -> String {
    serde_json::to_string_pretty(review).expect("a review holds texts and finite numbers") + "\n"
}
