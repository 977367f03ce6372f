//! From a checked specification to workflows, runs and reports.
//!
//! The modules are the stages of the data flow, bottom up; each uses stages above it in this list, never below:
//! [`diag`] → [`spec`] → [`check`] → [`plan`] → [`estimate`] → [`emit`] and [`record`] → [`engine`] → [`evidence`] → [`report`] → [`review`] → [`simulate`] → [`ops`] → [`cli`].
//! Everything up to [`emit`] is pure.

pub mod check;
pub mod cli;
pub mod diag;
pub mod emit;
pub mod engine;
pub mod estimate;
pub mod evidence;
pub mod ops;
pub mod plan;
pub mod record;
pub mod report;
pub mod review;
pub mod simulate;
pub mod spec;
