//! Channels of one image after those of another, and back.

use rayon::prelude::*;

/// For every image, its values in `a` and then those in `b`.
pub(super) fn join(a: &[f32], b: &[f32], batch: usize) -> Vec<f32> {
    let (first, second) = (a.len() / batch, b.len() / batch);
    let mut out = vec![0.0; a.len() + b.len()];
    out.par_chunks_mut(first + second)
        .zip(a.par_chunks(first).zip(b.par_chunks(second)))
        .for_each(|(out, (a, b))| {
            out[..first].copy_from_slice(a);
            out[first..].copy_from_slice(b);
        });
    out
}

/// The values of every image from `skip` on, `take` of them.
pub(super) fn part(values: &[f32], batch: usize, skip: usize, take: usize) -> Vec<f32> {
    let mut out = vec![0.0; batch * take];
    out.par_chunks_mut(take)
        .zip(values.par_chunks(values.len() / batch))
        .for_each(|(out, values)| out.copy_from_slice(&values[skip..skip + take]));
    out
}
