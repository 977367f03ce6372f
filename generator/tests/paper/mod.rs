//! The published experiments of ten and five clients, simulated: the reference's own workflow beside ours, as tables.
//!
//! `cargo run -p benches --no-default-features --bin paper` prints them; a test holds those in `docs/simulate.md` to them.

#![allow(dead_code)] // every test or bench that includes this file uses a part of it
#![allow(clippy::unwrap_used)] // made for tests
#![allow(missing_docs)]

mod reference;
mod tables;

pub use reference::reference;
pub use tables::tables;

use contract::ids::Seed;
use fedwing::simulate::{Pool, Prediction, Varying};

/// An experiment as published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experiment {
    pub name: &'static str,
    pub clients: u32,
    pub rounds: u32,
    pub epochs: u32,
    /// Measured, in hours.
    pub hours: f64,
    /// Share of rounds' wall time in which jobs run, as published.
    pub busy: f64,
}

pub const E1: Experiment = Experiment {
    name: "E1",
    clients: 10,
    rounds: 50,
    epochs: 2,
    hours: 24.3,
    busy: 0.128,
};
pub const E3: Experiment = Experiment {
    name: "E3",
    clients: 5,
    hours: 30.1,
    busy: 0.080,
    ..E1
};
pub const E4: Experiment = Experiment {
    name: "E4",
    rounds: 10,
    epochs: 5,
    hours: 4.6,
    busy: 0.279,
    ..E1
};

/// Training and test images of a dataset: 78.2 MB a client of ten and 203.2 MB, at 224 x 224 x 3 bytes an image.
pub const IMAGES: u64 = 6550;

/// How often everything is drawn anew; numbers are means.
pub const SEEDS: u64 = 9;

/// The pool of the published experiments.
pub fn pool() -> Pool {
    let report = Pool::read(include_str!("../../../examples/pools/paper.yml"), "paper.yml");
    report.pool.unwrap()
}

/// What is predicted, for every seed.
pub fn predictions(pool: &Pool, predict: impl Fn(&Pool) -> Prediction) -> Vec<Prediction> {
    let with = |seed| Pool {
        seed: Seed(seed),
        ..pool.clone()
    };
    (1..=SEEDS).map(|seed| predict(&with(seed))).collect()
}

/// The reference's workflow of an experiment, for every seed.
pub fn of_reference(pool: &Pool, experiment: Experiment) -> Vec<Prediction> {
    predictions(pool, |pool| Prediction::of(&reference(pool, experiment).unwrap()))
}

pub fn mean(predictions: &[Prediction], of: impl Fn(&Prediction) -> f64) -> f64 {
    predictions.iter().map(of).sum::<f64>() / predictions.len() as f64
}

pub fn hours(predictions: &[Prediction]) -> f64 {
    mean(predictions, |prediction| prediction.makespan_s / 3600.0)
}

pub fn busy(predictions: &[Prediction]) -> f64 {
    mean(predictions, |prediction| {
        prediction.rounds.map_or(0.0, |rounds| rounds.busy)
    })
}

/// How many times as long jobs must wait in the queue for the rounds of `experiment` to be as busy as published.
pub fn wait_for_busy(pool: &Pool, experiment: Experiment) -> (f64, Vec<Prediction>) {
    let waiting = |times: f64| {
        let mut pool = pool.clone();
        pool.queue.wait = Varying {
            median: pool.queue.wait.median * times,
            ..pool.queue.wait
        };
        of_reference(&pool, experiment)
    };
    let (mut low, mut high) = (1.0, 20.0);
    while high - low > 0.01 {
        let middle: f64 = (low + high) / 2.0;
        match busy(&waiting(middle)) > experiment.busy {
            true => low = middle,
            false => high = middle,
        }
    }
    (high, waiting(high))
}
