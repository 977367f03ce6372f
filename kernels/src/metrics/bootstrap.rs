//! Intervals from patients drawn anew.
//!
//! In: logits, truth and whose each sample is. Out: [`Intervals`]. Start at [`bootstrap()`].

use std::{collections::HashMap, hash::Hash};

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    Outputs, ScoreError, Truth,
    ranking::{Ranking, Tally},
    summary::{Summary, summary},
};
use crate::random::Random;

/// Times patients are drawn anew where nobody says otherwise.
pub const DRAWS: u32 = 1000;

/// How patients are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap<'a, P> {
    /// Whose each sample is.
    pub patients: &'a [P],
    /// Seed of the draws.
    pub seed: u64,
    /// Times they are drawn; at least 1.
    pub draws: u32,
    /// As in [`Settings`](super::Settings).
    pub thresholds: Option<&'a [f64]>,
}

/// 95 % intervals: low and high end of each score, `None` where it is defined in no draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// Of the accuracy.
    pub accuracy: [f64; 2],
    /// Of the balanced accuracy.
    pub balanced_accuracy: Option<[f64; 2]>,
    /// Of the macro F1.
    pub macro_f1: [f64; 2],
    /// Of the area under the ROC curve.
    pub auroc: Option<[f64; 2]>,
    /// Of the average precision.
    pub pr_auc: Option<[f64; 2]>,
}

/// 95 % intervals of scores by the percentile bootstrap over patients.
///
/// As many patients as there are, are drawn with replacement, each with all samples; scores are computed anew, sample
/// by sample as often as its patient was drawn. An interval reaches from the 2.5th to the 97.5th percentile of the draws
/// in which the score is defined, interpolated linearly.
///
/// # Shapes
/// - `logits`, `truth`: as [`score`](super::score)'s; `patients`: N
/// # Numerics
/// Every draw has a seed of its own, drawn from `seed`, so the result depends on the seed alone, not on threads. A class or label
/// is sorted once; a draw is one pass over it.
/// # Errors
/// As [`score`](super::score); `Patients` if they are not one a sample, or there are no draws
/// # Source
/// Efron and Tibshirani 1993, chapters 8 and 13; of clusters: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x
pub fn bootstrap<P: Eq + Hash>(
    logits: ArrayView2<'_, f32>,
    truth: Truth<'_>,
    how: &Bootstrap<'_, P>,
) -> Result<Intervals, ScoreError> {
    let outputs = Outputs::new(logits, truth)?;
    let told = outputs.told(how.thresholds)?;
    if how.patients.len() != outputs.samples || how.draws == 0 {
        return Err(ScoreError::Patients {
            given: how.patients.len(),
            samples: outputs.samples,
        });
    }
    // Numbered as they come, so that hashes have no part in it.
    let mut numbers = HashMap::new();
    let patients: Vec<u32> = how
        .patients
        .iter()
        .map(|patient| {
            let next = numbers.len() as u32;
            *numbers.entry(patient).or_insert(next)
        })
        .collect();
    let count = numbers.len();
    let rankings: Vec<Ranking> = (0..outputs.columns)
        .into_par_iter()
        .map(|column| Ranking::new(&outputs, &told, column, |sample| patients[sample]))
        .collect();
    let mut seeds = Random::new(how.seed);
    let seeds: Vec<u64> = (0..how.draws).map(|_| seeds.bits()).collect();
    let draws: Vec<Summary> = seeds
        .into_par_iter()
        .map(|seed| {
            let weights = weights(seed, count);
            let tallies: Vec<Tally> = rankings.iter().map(|ranking| ranking.tally(&weights)).collect();
            summary(outputs.target(), &tallies)
        })
        .collect();
    let of = |score: &dyn Fn(&Summary) -> Option<f64>| interval(draws.iter().filter_map(score).collect());
    // Defined in every draw.
    let always = |score: fn(&Summary) -> f64| of(&|draw| Some(score(draw))).unwrap_or([f64::NAN; 2]);
    Ok(Intervals {
        accuracy: always(|draw| draw.accuracy),
        balanced_accuracy: of(&|draw| draw.balanced_accuracy),
        macro_f1: always(|draw| draw.macro_f1),
        auroc: of(&|draw| draw.auroc),
        pr_auc: of(&|draw| draw.pr_auc),
    })
}

/// How often each patient is drawn.
fn weights(seed: u64, patients: usize) -> Vec<f64> {
    let mut random = Random::new(seed);
    let mut weights = vec![0.0; patients];
    for _ in 0..patients {
        weights[random.below(patients as u64) as usize] += 1.0;
    }
    weights
}

/// The 2.5th and the 97.5th percentile, interpolated linearly between the nearest values.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let percentile = |share: f64| {
        let place = share * last as f64;
        let below = (place as usize).min(last);
        let above = (below + 1).min(last);
        values[below] + (place - below as f64) * (values[above] - values[below])
    };
    Some([percentile(0.025), percentile(0.975)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_between_neighbours() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(interval(values), Some([2.5, 97.5]));
        assert_eq!(interval(vec![3.0]), Some([3.0, 3.0]));
        assert_eq!(interval(vec![]), None);
    }

    #[test]
    fn a_draw_has_as_many_patients_as_there_are_and_every_draw_others() {
        let drawn: Vec<Vec<f64>> = (0..50).map(|seed| weights(seed, 40)).collect();
        assert!(drawn.iter().all(|weights| weights.iter().sum::<f64>() == 40.0));
        assert!((1..50).all(|draw| drawn[draw] != drawn[draw - 1]));
        // A patient is left out with probability (1 - 1/40)^40 = .363.
        let out = drawn.iter().flatten().filter(|weight| **weight == 0.0).count();
        assert!((600..850).contains(&out), "{out} of 2000");
    }
}
