//! The inverse DCT of a block: accurate integers, after Loeffler, Ligtenberg and Moschytz 1989.
//!
//! In: coefficients times their quantization steps. Out: samples. Two passes of the one-dimensional transform, with the
//! constants, the order and the roundings of the decoder that is common (its `islow`), so that the samples are the same.

use crate::cxr::Samples;

/// Fraction bits of the constants.
const FRACTION: u32 = 13;

const fn fixed(value: f64) -> i32 {
    let scaled = value * (1 << FRACTION) as f64;
    if scaled < 0.0 {
        (scaled - 0.5) as i32
    } else {
        (scaled + 0.5) as i32
    }
}

/// A decoded sample.
pub(super) trait Sample: Copy + Default + 'static {
    /// Its bits.
    const BITS: u32;

    /// Fraction bits kept between the passes: no sum then leaves 32 bits.
    const BETWEEN: u32;

    /// From a number around 0: moved, and cut off at the ends of the range.
    fn of(value: i32) -> Self;

    /// As a frame keeps them.
    fn samples(values: Vec<Self>) -> Samples<'static>;
}

impl Sample for u8 {
    const BITS: u32 = 8;
    const BETWEEN: u32 = 2;

    #[inline(always)]
    fn of(value: i32) -> Self {
        value.wrapping_add(128).clamp(0, 255) as u8
    }

    fn samples(values: Vec<Self>) -> Samples<'static> {
        Samples::U8(values.into())
    }
}

impl Sample for u16 {
    const BITS: u32 = 12;
    const BETWEEN: u32 = 1;

    #[inline(always)]
    fn of(value: i32) -> Self {
        value.wrapping_add(2048).clamp(0, 4095) as u16
    }

    fn samples(values: Vec<Self>) -> Samples<'static> {
        Samples::U16(values.into())
    }
}

/// The mean of a block whose DC coefficient is `dc`, and every sample of one that has no other.
#[inline(always)]
pub(super) fn mean<S: Sample>(dc: i32) -> S {
    S::of(dc.wrapping_add(4) >> 3)
}

/// Fraction bits of what [`half`] gives.
const HALF_FRACTION: u32 = 20;

/// What a coefficient adds to the means of a block's quarters, and how: 0 nothing, 1 to those on the left, 2 to those on
/// top, 3 to that at the top left and that across; from the others it is taken away.
///
/// `m_0 = 1/√8`, `m_u = ±1 / (16 sin(uπ/16))` for odd `u`, by the sum of four cosines; for other even `u` they cancel out.
pub(super) fn half(natural: usize, step: u16) -> (u8, i64) {
    let mean = [
        0.353_553_390_593_273_8,
        1.0 / (16.0 * 0.195_090_322_016_128_27),
        0.0,
        -1.0 / (16.0 * 0.555_570_233_019_602_2),
        0.0,
        1.0 / (16.0 * 0.831_469_612_302_545_2),
        0.0,
        -1.0 / (16.0 * 0.980_785_280_403_230_4),
    ];
    let (v, u) = (natural / 8, natural % 8);
    let kind = match (v > 0, u > 0) {
        (false, false) => 0,
        (false, true) => 1,
        (true, false) => 2,
        (true, true) => 3,
    };
    let weight: f64 = mean[v] * mean[u] * f64::from(step) * f64::from(1 << HALF_FRACTION);
    (kind, weight.round() as i64)
}

/// The means of a block's quarters, from its DC coefficient and the sums of what [`half`] says.
#[inline(always)]
pub(super) fn quarters<S: Sample>(dc: i32, sums: [i64; 4]) -> [[S; 2]; 2] {
    // An eighth, and half of the last place.
    let all = (i64::from(dc) << (HALF_FRACTION - 3)) + (1 << (HALF_FRACTION - 1));
    let [_, left, top, both] = sums;
    let quarter = |sum: i64| S::of((sum >> HALF_FRACTION).clamp(-0x10000, 0x10000) as i32);
    [
        [quarter(all + left + top + both), quarter(all - left + top - both)],
        [quarter(all + left - top - both), quarter(all - left - top + both)],
    ]
}

/// The samples of a block, row by row.
#[inline(always)]
pub(super) fn block<S: Sample>(coefficients: &[i32; 64]) -> [[S; 8]; 8] {
    let mut columns = [0; 64];
    pass(coefficients, &mut columns, FRACTION - S::BETWEEN);
    let rows = transposed(&columns);
    let mut samples = [0; 64];
    // The two passes together are 8 times too large.
    pass(&rows, &mut samples, FRACTION + S::BETWEEN + 3);
    let samples = transposed(&samples);
    let mut out = [[S::default(); 8]; 8];
    for (row, samples) in out.iter_mut().zip(samples.as_chunks::<8>().0) {
        for (out, sample) in row.iter_mut().zip(samples) {
            *out = S::of(*sample);
        }
    }
    out
}

#[inline(always)]
fn transposed(values: &[i32; 64]) -> [i32; 64] {
    let mut out = [0; 64];
    for row in 0..8 {
        for column in 0..8 {
            out[8 * column + row] = values[8 * row + column];
        }
    }
    out
}

/// The one-dimensional transform down each of eight columns, then a division by `2^shift`, rounded.
#[inline(always)]
fn pass(values: &[i32; 64], out: &mut [i32; 64], shift: u32) {
    for lane in 0..8 {
        let at = |row: usize| values[8 * row + lane];
        let times = |value: i32, constant: f64| value.wrapping_mul(fixed(constant));
        // The even half: a rotation of 2 and 6, a butterfly of 0 and 4.
        let turned = times(at(2).wrapping_add(at(6)), 0.541196100);
        let two = turned.wrapping_add(times(at(2), 0.765366865));
        let six = turned.wrapping_sub(times(at(6), 1.847759065));
        let sum = at(0).wrapping_add(at(4)) << FRACTION;
        let difference = at(0).wrapping_sub(at(4)) << FRACTION;
        let even = [
            sum.wrapping_add(two),
            difference.wrapping_add(six),
            difference.wrapping_sub(six),
            sum.wrapping_sub(two),
        ];
        // The odd half.
        let (one, three, five, seven) = (at(1), at(3), at(5), at(7));
        let (a, b) = (seven.wrapping_add(three), five.wrapping_add(one));
        let both = times(a.wrapping_add(b), 1.175875602);
        let a = both.wrapping_sub(times(a, 1.961570560));
        let b = both.wrapping_sub(times(b, 0.390180644));
        let outer = times(seven.wrapping_add(one), -0.899976223);
        let inner = times(five.wrapping_add(three), -2.562915447);
        let odd = [
            times(one, 1.501321110).wrapping_add(outer).wrapping_add(b),
            times(three, 3.072711026).wrapping_add(inner).wrapping_add(a),
            times(five, 2.053119869).wrapping_add(inner).wrapping_add(b),
            times(seven, 0.298631336).wrapping_add(outer).wrapping_add(a),
        ];
        let half = 1 << (shift - 1);
        for row in 0..4 {
            let [low, high] = [even[row].wrapping_add(odd[row]), even[row].wrapping_sub(odd[row])];
            out[8 * row + lane] = low.wrapping_add(half) >> shift;
            out[8 * (7 - row) + lane] = high.wrapping_add(half) >> shift;
        }
    }
}
