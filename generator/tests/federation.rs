//! From the words of a specification to the arguments of jobs: rules, privacy, encodings, absent clients, trees.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, its helpers included"
)]

#[path = "federation/jobs.rs"]
mod jobs;
#[path = "federation/kept.rs"]
mod kept;
#[path = "federation/privacy.rs"]
mod privacy;
#[path = "federation/recipe.rs"]
mod recipe;
#[path = "federation/rules.rs"]
mod rules;
#[path = "federation/words.rs"]
mod words;
