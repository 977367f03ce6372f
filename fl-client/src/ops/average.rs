//! Average pooling: of 2×2 windows, and of whole planes.

use rayon::prelude::*;

use super::norm::sum;

/// The shape after averaging windows of 2×2; a last odd row or column is left out.
pub(super) fn halved([batch, channels, height, width]: [usize; 4]) -> [usize; 4] {
    [batch, channels, height / 2, width / 2]
}

/// Means of 2×2 windows, two apart.
pub(super) fn halve(x: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [_, _, height, width] = shape;
    let [batch, channels, rows, columns] = halved(shape);
    assert!(
        rows > 0 && columns > 0,
        "a plane of {height}x{width} has no 2x2 window"
    );
    let mut out = vec![0.0; batch * channels * rows * columns];
    out.par_chunks_mut(rows * columns)
        .zip(x.par_chunks(height * width))
        .for_each(|(out, x)| {
            for (out, lines) in out.chunks_exact_mut(columns).zip(x.chunks_exact(2 * width)) {
                let (top, bottom) = lines.split_at(width);
                let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                for (out, ([a, b], [c, d])) in out.iter_mut().zip(pairs) {
                    *out = (a + b + c + d) * 0.25;
                }
            }
        });
    out
}

/// A quarter of each window's gradient to each of its pixels.
pub(super) fn halve_gradient(grad: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [batch, channels, height, width] = shape;
    let [_, _, rows, columns] = halved(shape);
    let mut out = vec![0.0; batch * channels * height * width];
    out.par_chunks_mut(height * width)
        .zip(grad.par_chunks(rows * columns))
        .for_each(|(out, grad)| {
            for (line, grad) in out.chunks_exact_mut(2 * width).zip(grad.chunks_exact(columns)) {
                for line in line.chunks_exact_mut(width) {
                    for (pair, grad) in line.as_chunks_mut::<2>().0.iter_mut().zip(grad) {
                        *pair = [grad * 0.25; 2];
                    }
                }
            }
        });
    out
}

/// The mean of each plane, summed in `f64`.
pub(super) fn means(x: &[f32], plane: usize) -> Vec<f32> {
    x.par_chunks(plane)
        .map(|plane| (sum(plane) / plane.len() as f64) as f32)
        .collect()
}

/// An equal share of each plane's gradient to each of its pixels.
pub(super) fn means_gradient(grad: &[f32], plane: usize) -> Vec<f32> {
    let mut out = vec![0.0; grad.len() * plane];
    out.par_chunks_mut(plane)
        .zip(grad)
        .for_each(|(out, grad)| out.fill(grad / plane as f32));
    out
}
