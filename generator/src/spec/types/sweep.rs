//! Many experiments from one specification.

use crate::spec::{leaf::Whole, sweep::Grid, written::mapping};

mapping! {
    /// Many experiments, its points, from one specification: each is the specification with other values in some places.
    pub struct Sweep {
        /// The values of each place; every combination is a point.
        grid: required Grid,
        /// The most points that a pool works on at once. One machine works on one after the other.
        at_once: default Whole<1, 1_000> = 4u64,
    }
}
