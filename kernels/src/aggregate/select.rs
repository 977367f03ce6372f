//! Chooses the updates that lie close to others: Krum, Multi-Krum, Bulyan's first phase.
//!
//! In: the [`Distances`] between all updates, and how many of them may come from clients that send anything. Out: the
//! numbers of the chosen updates. Permuting the updates permutes the choice, unless scores are equal: then the lower
//! number wins. Start at [`krum`].

use super::Distances;

/// Why no updates can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The rule promises nothing for so few.
    #[error(
        "{rule} against {byzantine} Byzantine clients needs at least {needed} updates, but there are {updates}"
    )]
    TooFewUpdates {
        /// The rule's name.
        rule: &'static str,
        /// Clients that may send anything.
        byzantine: usize,
        /// Updates there are.
        updates: usize,
        /// Updates there must be.
        needed: usize,
    },
    /// More or fewer than there are.
    #[error("Multi-Krum cannot keep {keep} of {updates} updates")]
    KeepOutOfRange {
        /// Updates asked for.
        keep: usize,
        /// Updates there are.
        updates: usize,
    },
}

/// The Krum score of each update in `among`, in that order: the sum of squared distances to the n - f - 2 others nearest
/// to it, of the n in `among`; to one other at least, and to all others at most.
///
/// # Numerics
/// Sums the nearest first: the order of `among` changes no bits.
/// # Panics
/// If there is no such update.
/// # Source
/// Blanchard et al. 2017, arXiv:1703.02757, section 4
pub fn krum_scores(distances: &Distances, among: &[usize], byzantine: usize) -> Vec<f64> {
    let others = among.len().saturating_sub(1);
    let neighbours = others
        .saturating_sub(byzantine.saturating_add(1))
        .max(1)
        .min(others);
    let mut near = Vec::with_capacity(others);
    let score = |update: &usize| {
        near.clear();
        near.extend(
            among
                .iter()
                .filter(|other| *other != update)
                .map(|other| distances.squared(*update, *other)),
        );
        near.sort_unstable_by(f64::total_cmp);
        near[..neighbours].iter().sum()
    };
    among.iter().map(score).collect()
}

/// The update whose Krum score is lowest.
///
/// Differs from Flower in three ways: fewer than 2f + 3 updates are refused, where Flower takes one neighbour and goes
/// on; the distance of an update to itself is left out by its number, where Flower leaves out the smallest of its row,
/// which may be that of an equal update; distances come from differences, not from norms and products, which cancel. All
/// three choose the same unless scores are within rounding of each other.
///
/// # Errors
/// `TooFewUpdates` below 2f + 3
/// # Source
/// Blanchard et al. 2017, arXiv:1703.02757, section 4 and proposition 1
pub fn krum(distances: &Distances, byzantine: usize) -> Result<usize, SelectError> {
    check("Krum", distances, byzantine, 2)?;
    let among: Vec<usize> = (0..distances.rows()).collect();
    let scores = krum_scores(distances, &among, byzantine);
    Ok(among[lowest(&scores)])
}

/// The `keep` updates with the lowest Krum scores, in ascending order of their numbers.
///
/// Scores are computed once, as in Flower. With all updates kept it chooses them all.
///
/// # Errors
/// `TooFewUpdates` below 2f + 3; `KeepOutOfRange` if `keep` is 0 or more than there are
/// # Source
/// Blanchard et al. 2017, arXiv:1703.02757, section 6
pub fn multi_krum(distances: &Distances, byzantine: usize, keep: usize) -> Result<Vec<usize>, SelectError> {
    check("Multi-Krum", distances, byzantine, 2)?;
    let updates = distances.rows();
    if keep == 0 || keep > updates {
        return Err(SelectError::KeepOutOfRange { keep, updates });
    }
    let mut chosen: Vec<usize> = (0..updates).collect();
    let scores = krum_scores(distances, &chosen, byzantine);
    // Stable: of equal scores the lower number stays first.
    chosen.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    chosen.truncate(keep);
    chosen.sort_unstable();
    Ok(chosen)
}

/// The n - 2f updates of Bulyan's first phase, in ascending order of their numbers: Krum's choice is taken out, and Krum
/// chooses again among those that remain.
///
/// Of r that remain, an update is compared with the r - f - 2 nearest, one at least: the last rounds have fewer updates
/// than Krum asks for, which the paper does not settle. Flower's `serverapp` strategy differs: it computes scores once and takes
/// the n - 2f lowest, which is not the paper's rule; its older `server.strategy` repeats Krum as here. The second phase,
/// [`super::NearMedian`] with n - 4f values, is the same in all.
///
/// # Errors
/// `TooFewUpdates` below 4f + 3
/// # Source
/// El Mhamdi et al. 2018, arXiv:1802.07927, section 4
pub fn bulyan(distances: &Distances, byzantine: usize) -> Result<Vec<usize>, SelectError> {
    check("Bulyan", distances, byzantine, 4)?;
    let updates = distances.rows();
    let mut remaining: Vec<usize> = (0..updates).collect();
    let mut chosen = Vec::with_capacity(updates - 2 * byzantine);
    while chosen.len() < updates - 2 * byzantine {
        let scores = krum_scores(distances, &remaining, byzantine);
        chosen.push(remaining.remove(lowest(&scores)));
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// At least `share` f + 3 updates.
fn check(
    rule: &'static str,
    distances: &Distances,
    byzantine: usize,
    share: usize,
) -> Result<(), SelectError> {
    let (updates, needed) = (
        distances.rows(),
        byzantine.saturating_mul(share).saturating_add(3),
    );
    if updates < needed {
        return Err(SelectError::TooFewUpdates {
            rule,
            byzantine,
            updates,
            needed,
        });
    }
    Ok(())
}

/// The place of the lowest score, the first of equals.
fn lowest(scores: &[f64]) -> usize {
    let by_score = scores.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    by_score.map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::add_squared_distances;
    use proptest::prelude::*;

    fn distances(points: &[Vec<f32>]) -> Distances {
        let rows: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
        let mut distances = Distances::zero(rows.len());
        add_squared_distances(&rows, &mut Vec::new(), distances.sums_mut());
        distances
    }

    fn on_a_line(points: &[f32]) -> Distances {
        distances(&points.iter().map(|point| vec![*point]).collect::<Vec<_>>())
    }

    fn squared(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }

    /// The least sum over all ways of choosing neighbours.
    fn score_by_trying_all(points: &[Vec<f32>], update: usize, neighbours: usize) -> f64 {
        let others: Vec<f64> = (0..points.len())
            .filter(|other| *other != update)
            .map(|other| squared(&points[other], &points[update]))
            .collect();
        (0..1_u32 << others.len())
            .filter(|choice| choice.count_ones() as usize == neighbours)
            .map(|choice| {
                let chosen = others
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| choice >> place & 1 == 1);
                chosen.map(|(_, distance)| distance).sum::<f64>()
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Krum again and again over copies of the points.
    fn bulyan_by_copying(points: &[Vec<f32>], byzantine: usize) -> Vec<usize> {
        let mut left: Vec<(usize, Vec<f32>)> = points.iter().cloned().enumerate().collect();
        let mut chosen = Vec::new();
        for _ in 0..points.len() - 2 * byzantine {
            let points: Vec<Vec<f32>> = left.iter().map(|(_, point)| point.clone()).collect();
            let neighbours = left
                .len()
                .saturating_sub(byzantine + 2)
                .max(1)
                .min(left.len() - 1);
            let mut best = 0;
            for update in 1..left.len() {
                let score = |update| score_by_trying_all(&points, update, neighbours);
                if score(update) < score(best) {
                    best = update;
                }
            }
            chosen.push(left.remove(best).0);
        }
        chosen.sort_unstable();
        chosen
    }

    /// Whole numbers, so that sums are exact and ties are ties.
    fn points(updates: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<f32>>> {
        let point = prop::collection::vec((-20_i8..20).prop_map(f32::from), 2);
        prop::collection::vec(point, updates)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn krum_scores_are_least_sums(points in points(3..9), byzantine in 0_usize..3) {
            prop_assume!(points.len() >= 2 * byzantine + 3);
            let distances = distances(&points);
            let among: Vec<usize> = (0..points.len()).collect();
            let scores = krum_scores(&distances, &among, byzantine);
            let expected: Vec<f64> =
                among.iter().map(|update| score_by_trying_all(&points, *update, points.len() - byzantine - 2)).collect();
            prop_assert_eq!(&scores, &expected);
            let first = scores.iter().position(|score| scores.iter().all(|other| score <= other));
            prop_assert_eq!(krum(&distances, byzantine).ok(), first);
            prop_assert_eq!(multi_krum(&distances, byzantine, 1).unwrap(), [first.unwrap()]);
            prop_assert_eq!(multi_krum(&distances, byzantine, points.len()).unwrap(), among);
        }

        #[test]
        fn bulyan_repeats_krum(points in points(7..10), byzantine in 0_usize..2) {
            prop_assert_eq!(bulyan(&distances(&points), byzantine).unwrap(), bulyan_by_copying(&points, byzantine));
        }

        #[test]
        fn permuting_updates_permutes_scores(points in points(3..12), turn in 0_usize..12) {
            let among: Vec<usize> = (0..points.len()).collect();
            let mut scores = krum_scores(&distances(&points), &among, 0);
            let (turn, mut turned) = (turn % points.len(), points);
            turned.rotate_left(turn);
            scores.rotate_left(turn);
            prop_assert_eq!(krum_scores(&distances(&turned), &among, 0), scores);
        }
    }

    #[test]
    fn updates_far_from_the_others_are_not_chosen() {
        let distances = on_a_line(&[1.0, 900.0, 1.1, 0.9, 1.05, -700.0, 1.2, 0.95, 1.15, 1.02, 0.98]);
        assert!(![1, 5].contains(&krum(&distances, 2).unwrap()));
        assert_eq!(
            multi_krum(&distances, 2, 9).unwrap(),
            [0, 2, 3, 4, 6, 7, 8, 9, 10]
        );
        let chosen = bulyan(&distances, 2).unwrap();
        assert_eq!(chosen.len(), 7);
        assert!(!chosen.contains(&1) && !chosen.contains(&5));
    }

    #[test]
    fn equal_scores_choose_the_lower_number() {
        let distances = on_a_line(&[5.0, 5.0, 5.0, 5.0]);
        assert_eq!(krum(&distances, 0).unwrap(), 0);
        assert_eq!(multi_krum(&distances, 0, 2).unwrap(), [0, 1]);
        assert_eq!(bulyan(&distances, 0).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn too_few_updates_are_refused_by_name() {
        let few = |count: usize| Distances::zero(count);
        let error = krum(&few(6), 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Krum against 2 Byzantine clients needs at least 7 updates, but there are 6"
        );
        assert!(krum(&few(7), 2).is_ok());
        assert!(matches!(
            krum(&few(2), 0),
            Err(SelectError::TooFewUpdates { needed: 3, .. })
        ));
        assert!(matches!(
            multi_krum(&few(6), 2, 1),
            Err(SelectError::TooFewUpdates { needed: 7, .. })
        ));
        assert!(matches!(
            bulyan(&few(10), 2),
            Err(SelectError::TooFewUpdates { needed: 11, .. })
        ));
        assert!(bulyan(&few(11), 2).is_ok());
        assert!(matches!(
            krum(&few(9), usize::MAX),
            Err(SelectError::TooFewUpdates { .. })
        ));
        for keep in [0, 8] {
            let error = multi_krum(&few(7), 2, keep).unwrap_err();
            assert_eq!(error, SelectError::KeepOutOfRange { keep, updates: 7 });
        }
    }
}
