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
