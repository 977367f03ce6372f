//! The logistic function and what networks make of it: SiLU, and gates that scale each plane.
//!
//! Elfwing et al. 2017, arXiv:1702.03118 (SiLU); Hu et al. 2017, arXiv:1709.01507 (squeeze and excitation). The exponential
//! is our own, without branches or calls, so that loops over it vectorise and give the same bits on every machine.

use rayon::prelude::*;

use super::norm::sum;

/// Values one task works on, at least.
const CHUNK: usize = 1 << 14;

/// `e^x` within 2e-7 of itself, `x` limited to -87..88 so that neither end overflows.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with trailing zeros so that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let whole = shifted - ROUND;
    let rest = (x - whole * LN_2[0]) - whole * LN_2[1];
    let tail = 1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0));
    let series = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * tail)));
    series * f32::from_bits(power.wrapping_add(127) << 23)
}

/// `1/(1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x·sigmoid(x)`.
pub(super) fn silu(x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(out, x)| {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * sigmoid(*x);
            }
        });
    out
}

/// The gradient through SiLU: `grad·s·(1 + x·(1 - s))` with `s = sigmoid(x)`.
pub(super) fn silu_gradient(grad: &[f32], x: &[f32]) -> Vec<f32> {
    assert_eq!(grad.len(), x.len());
    let mut out = vec![0.0; grad.len()];
    out.par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK).zip(x.par_chunks(CHUNK)))
        .for_each(|(out, (grad, x))| {
            for ((out, grad), x) in out.iter_mut().zip(grad).zip(x) {
                let s = sigmoid(*x);
                *out = grad * (s * (1.0 + x * (1.0 - s)));
            }
        });
    out
}

/// Every plane of `x` times its gate.
pub(super) fn scale_planes(x: &[f32], gates: &[f32], plane: usize) -> Vec<f32> {
    assert_eq!(x.len(), gates.len() * plane);
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(plane)
        .zip(x.par_chunks(plane).zip(gates))
        .for_each(|(out, (x, gate))| {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * gate;
            }
        });
    out
}

/// The gradient of each gate: `Σ grad·x` over its plane.
pub(super) fn gate_gradient(grad: &[f32], x: &[f32], plane: usize) -> Vec<f32> {
    assert_eq!(grad.len(), x.len());
    let planes = grad.par_chunks(plane).zip(x.par_chunks(plane));
    let products = |(grad, x): (&[f32], &[f32])| {
        let products: Vec<f32> = grad.iter().zip(x).map(|(grad, x)| grad * x).collect();
        sum(&products) as f32
    };
    planes.map(products).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library_within_two_units() {
        for step in -870_000..880_000 {
            let x = step as f32 * 1e-4;
            let (ours, theirs) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / theirs - 1.0).abs() < 3e-7, "{x}: {ours}, {theirs}");
        }
    }

    #[test]
    fn the_ends_saturate_and_nan_stays() {
        assert_eq!(sigmoid(200.0), 1.0);
        assert!(sigmoid(-200.0) >= 0.0 && sigmoid(-200.0) < 1e-37);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
