//! Weighted sums that can be added up later: what the inner nodes of a tree of aggregations send upwards.

use super::{Addend, Block, CHUNK, Sums, Weights};
use crate::aggregate::{
    CombineError, Real,
    exact::{Expansion, two_sum},
};

/// The number of components the weighted sums of a block need, at least 1: usually 2, for `f64` values up to 42.
///
/// A tensor needs the most any of its blocks does.
///
/// # Errors
/// As [`mean`](super::mean)
/// # Panics
/// As [`mean`](super::mean).
pub fn components_needed<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
) -> Result<usize, CombineError> {
    let length = addends.iter().find_map(|addend| match addend {
        Addend::Update(values) => Some(values.len()),
        Addend::Partial(rows) => rows.first().map(|row| row.len()),
    });
    let length = length.unwrap_or(0);
    let mut needed = 1;
    each_sum(&Block::new(weights, addends, length), length, |_, components| {
        needed = needed.max(components.len());
    })?;
    Ok(needed)
}

/// Writes the exact weighted sums `S = Σ_k n_k·w_k` of a block as components that add up to them.
///
/// `out[0][p]` is `S` rounded to the nearest `f64`, `out[1][p]` the nearest of what is left, and so on, then zeros: they
/// depend on `S` alone. As an [`Addend::Partial`] that counts for [`Weights::total`] samples they stand for the addends
/// they were made of, exactly.
///
/// # Shapes
/// - `addends`: K blocks of P values; `out`: T rows of P, where T is at least [`components_needed`] of this block
/// # Errors
/// As [`mean`](super::mean)
/// # Panics
/// As [`mean`](super::mean), and where a sum needs more components than there are rows.
pub fn partial_components<R: Real>(
    weights: &Weights,
    addends: &[Addend<'_, R>],
    out: &mut [&mut [f64]],
) -> Result<(), CombineError> {
    let length = out.first().map_or(0, |row| row.len());
    assert!(out.iter().all(|row| row.len() == length), "rows of one length");
    for row in out.iter_mut() {
        row.fill(0.0);
    }
    each_sum(
        &Block::new(weights, addends, length),
        length,
        |index, components| {
            assert!(components.len() <= out.len(), "rows for every component");
            for (row, component) in out.iter_mut().zip(components) {
                row[index] = *component;
            }
        },
    )
}

/// Calls `take` with each index of a block and the components of its sum, those of 0 at the end left out.
fn each_sum<R: Real>(
    block: &Block<'_, R>,
    length: usize,
    mut take: impl FnMut(usize, &[f64]),
) -> Result<(), CombineError> {
    let mut sums = Sums::new();
    let mut exact = Expansion::default();
    let mut many = Vec::new();
    for start in (0..length).step_by(CHUNK) {
        let chunk = CHUNK.min(length - start);
        block.add_errors::<true>(start, chunk, &mut sums);
        for place in 0..chunk {
            // Two numbers are the whole sum where adding up the errors lost nothing; what rounds their sum and what
            // is left of it are the components.
            let (first, second) = two_sum(sums.sum[place], sums.error[place]);
            if sums.bound[place] == 0.0 && second.is_finite() {
                let count = if second == 0.0 { 1 } else { 2 };
                // Adding 0 makes -0 +0.
                take(start + place, &[first + 0.0, second + 0.0][..count]);
                continue;
            }
            block.exact_sum(start + place, &mut exact)?;
            many.clear();
            many.extend(exact.components());
            take(start + place, &many);
        }
    }
    Ok(())
}
