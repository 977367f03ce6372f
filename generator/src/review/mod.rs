//! The review document of a specification: what would be done, to what, at what cost, and what is not settled; for a person
//! to approve before anything is generated.
//!
//! In: [`Subject`], a checked specification with its plan and what is known of the data. Out: a [`Review`], as [`markdown`]
//! or [`json`]; and the plan's [`Graph`], as [`dot`] or [`svg`]. Reviews of a sweep's points become a [`SweepReview`]. Pure: the
//! same subject gives the same bytes. Start at [`review`].

mod build;
mod data;
mod dot;
mod graph;
mod layers;
mod markdown;
mod model;
mod moved;
mod questions;
mod svg;
mod sweep;
mod sweep_markdown;

pub use build::{Subject, review};
pub use dot::dot;
pub use graph::{Edge, Fold, Graph, Node};
pub use markdown::markdown;
pub use model::{
    ClientReview, DatasetReview, FileCount, Found, JobCount, LayoutReview, Makespan, ModelReview, Moved,
    MovedFor, PlaceReview, Question, Review, SamplesReview, SentFile, Setting, TrafficReview, json,
};
pub use svg::svg;
pub use sweep::{AxisReview, Noted, PointReview, SweepReview, sweep_json};
pub use sweep_markdown::sweep_markdown;
