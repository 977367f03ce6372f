//! Reports of whole run folders, made by the test from typed events and metrics.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, its helpers included"
)]

#[path = "report/comparison.rs"]
mod comparison;
#[path = "report/fixture.rs"]
mod fixture;
#[path = "report/page.rs"]
mod page;
#[path = "report/refused.rs"]
mod refused;
#[path = "report/states.rs"]
mod states;
#[path = "report/support.rs"]
mod support;
#[path = "report/told.rs"]
mod told;
