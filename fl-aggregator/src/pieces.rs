//! Cuts tensors into pieces that threads work on one at a time.
//!
//! The pieces depend on the tensors and the number of updates alone, never on threads, and what is summed over pieces is
//! summed in their order: the same files give the same bytes.

use std::ops::Range;

use rayon::prelude::*;

/// Most values of a piece.
const MOST: usize = 1 << 18;

/// Fewest values of a piece that is not a tensor's last.
const FEWEST: usize = 1 << 10;

/// Values of all updates together that a thread may have to hold at a time.
const HELD: usize = 1 << 21;

/// Groups of pieces whose sums are kept apart until the end.
const GROUPS: usize = 16;

/// A range of one tensor's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The tensor's number.
    pub tensor: usize,
    /// The values, counted from the tensor's first.
    pub range: Range<usize>,
}

/// Cuts tensors, each given by its number and its number of values.
///
/// With many updates pieces are shorter, so that the memory of a thread stays the same.
pub fn cut(tensors: impl IntoIterator<Item = (usize, usize)>, updates: usize) -> Vec<Piece> {
    let length = (HELD / updates.max(1)).clamp(FEWEST, MOST);
    let mut pieces = Vec::new();
    for (tensor, values) in tensors {
        for start in (0..values).step_by(length) {
            let range = start..values.min(start + length);
            pieces.push(Piece { tensor, range });
        }
    }
    pieces
}

/// Does `work` on every piece in any order; the failure of the first piece that has one.
///
/// # Errors
/// What `work` says of the first piece in order that fails
pub fn each<S, E: Send>(
    pieces: &[Piece],
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, &Piece) -> Result<(), E> + Sync + Send,
) -> Result<(), E> {
    let failure = pieces
        .par_iter()
        .enumerate()
        .map_init(scratch, |scratch, (number, piece)| {
            work(scratch, piece).err().map(|error| (number, error))
        })
        .flatten()
        .min_by_key(|(number, _)| *number);
    failure.map_or(Ok(()), |(_, error)| Err(error))
}

/// Adds up what `work` adds for every piece to `count` sums, in an order that does not depend on threads.
///
/// # Errors
/// What `work` says of the first piece in order that fails
pub fn sums<S, E: Send>(
    pieces: &[Piece],
    count: usize,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, &Piece, &mut [f64]) -> Result<(), E> + Sync + Send,
) -> Result<Vec<f64>, E> {
    let group = pieces.len().div_ceil(GROUPS).max(1);
    let groups: Vec<Result<Vec<f64>, E>> = pieces
        .par_chunks(group)
        .map_init(scratch, |scratch, pieces| {
            let mut sums = vec![0.0; count];
            pieces
                .iter()
                .try_for_each(|piece| work(scratch, piece, &mut sums))?;
            Ok(sums)
        })
        .collect();
    let mut total = vec![0.0; count];
    for sums in groups {
        for (total, sum) in total.iter_mut().zip(sums?) {
            *total += sum;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_value_once_and_shrink_with_many_updates() {
        let pieces = cut([(0, 1), (1, 0), (2, 3 * MOST + 5)], HELD / MOST);
        let lengths: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.tensor, piece.range.len()))
            .collect();
        assert_eq!(lengths, [(0, 1), (2, MOST), (2, MOST), (2, MOST), (2, 5)]);
        assert_eq!(cut([(0, 5000)], 1 << 20).len(), 5);
    }

    #[test]
    fn the_first_failure_is_the_one_reported() {
        let pieces = cut([(0, 100 * FEWEST)], usize::MAX);
        let fail = |_: &mut (), piece: &Piece| match piece.range.start / FEWEST {
            number if number % 7 == 3 => Err(number),
            _ => Ok(()),
        };
        assert_eq!(each(&pieces, || (), fail), Err(3));
    }
}
