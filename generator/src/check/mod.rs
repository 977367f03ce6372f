//! Proves a specification: every rule, all mistakes at once.
//!
//! In: [`crate::spec`]. Out: [`Checked`], the only form that reaches [`crate::plan`].

mod checked;

pub use checked::{
    Checked, Dataset, Evaluation, Execution, Federation, Layout, Model, PegasusSettings, Request, Resources,
};
