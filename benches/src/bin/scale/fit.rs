//! How a measure grows: the slope of a line through logarithms, of least squares.

use super::{Measured, Step};

/// Shorter times say more about starting than about growing.
const SHORTEST: f64 = 0.02;

/// The power of the number of clients, or rounds, that seconds grow with; none of fewer than two measurements that are long
/// enough.
pub fn with_clients(measured: &[Measured], step: Step, rounds: u32) -> Option<f64> {
    let of = |found: &&Measured| found.step == step && found.rounds == rounds;
    slope(
        measured
            .iter()
            .filter(of)
            .map(|found| (f64::from(found.clients), found.seconds)),
    )
}

/// The same with rounds.
pub fn with_rounds(measured: &[Measured], step: Step, clients: u32) -> Option<f64> {
    let of = |found: &&Measured| found.step == step && found.clients == clients;
    slope(
        measured
            .iter()
            .filter(of)
            .map(|found| (f64::from(found.rounds), found.seconds)),
    )
}

fn slope(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let points: Vec<(f64, f64)> = points
        .filter(|(_, seconds)| *seconds >= SHORTEST)
        .map(|(size, seconds)| (size.ln(), seconds.ln()))
        .collect();
    let count = points.len() as f64;
    if points.len() < 2 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    Some(covariance / variance)
}
