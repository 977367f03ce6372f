use std::ops::Range;

use proptest::prelude::*;

use super::*;

const ALL: [Encoding; 6] = [
    Encoding::Delta,
    Encoding::Fp16,
    Encoding::Bf16,
    Encoding::Int8,
    Encoding::TopK { share: 0.01 },
    Encoding::TopK { share: 0.5 },
];

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn places(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The client's tensor, by way of `encoding` and in one piece.
fn decoded(encoded: &Encoded, global: &[f32]) -> Vec<f32> {
    let tensor = EncodedTensor::check(encoded.form(), global.len()).unwrap();
    let mut out = vec![f32::NAN; global.len()];
    decode_block(&tensor, 0..global.len(), global, &mut out);
    out
}

/// Values of every size, repeatable: some zero, many equal in magnitude.
fn varied(len: usize, salt: u32) -> Vec<f32> {
    let value = |index: usize| {
        let mixed = (index as u32 ^ salt).wrapping_mul(0x9e37_79b9).rotate_left(13) >> 8;
        let sign = if mixed & 1 == 0 { 1.0 } else { -1.0 };
        sign * (mixed % 1009) as f32 * 2.0_f32.powi((mixed % 17) as i32 - 20)
    };
    (0..len).map(value).collect()
}

#[test]
fn small_cases_worked_out_by_hand() {
    let d = [1.0, -0.333_333_34, 254.0, 0.0];
    let bytes = |encoding| encode(encoding, &d).unwrap();
    assert_eq!(bytes(Encoding::Delta), Encoded::Delta(floats(&d)));
    // 1/3 = 1.0101010101|01 x 2^-2, cut to ten bits: 0x3555. 254 = 1.1111110000 x 2^7: 0x5bf0.
    let halves = [0x00, 0x3c, 0x55, 0xb5, 0xf0, 0x5b, 0x00, 0x00];
    assert_eq!(bytes(Encoding::Fp16), Encoded::Fp16(halves.to_vec()));
    // 1/3 = 1.0101010|101 x 2^-2 goes up to 1.0101011: 0x3eab. 254 = 1.1111110 x 2^7: 0x437e.
    let brains = [0x80, 0x3f, 0xab, 0xbe, 0x7e, 0x43, 0x00, 0x00];
    assert_eq!(bytes(Encoding::Bf16), Encoded::Bf16(brains.to_vec()));
    // scale = 254/127 = 2; 1/2 is a tie and goes to the even 0.
    let int8 = Encoded::Int8 {
        values: vec![0, 0, 127, 0],
        scale: 2.0,
    };
    assert_eq!(bytes(Encoding::Int8), int8);
    let top = Encoded::TopK {
        indices: places(&[0, 2]),
        values: floats(&[1.0, 254.0]),
    };
    assert_eq!(bytes(Encoding::TopK { share: 0.5 }), top);

    let global = [10.0, 20.0, 30.0, 40.0];
    let of = |encoding| decoded(&bytes(encoding), &global);
    assert_eq!(of(Encoding::Delta), [11.0, 19.666_666, 284.0, 40.0]);
    assert_eq!(of(Encoding::Fp16), [11.0, 19.666_748, 284.0, 40.0]);
    assert_eq!(of(Encoding::Bf16), [11.0, 19.666_016, 284.0, 40.0]);
    assert_eq!(of(Encoding::Int8), [10.0, 20.0, 284.0, 40.0]);
    assert_eq!(of(Encoding::TopK { share: 0.5 }), [11.0, 20.0, 284.0, 40.0]);
    assert_eq!(int8.left_out(&d), [1.0, -0.333_333_34, 0.0, 0.0]);
    assert_eq!(top.left_out(&d), [0.0, -0.333_333_34, 0.0, 0.0]);
}

#[test]
fn a_tensor_of_zeros_has_scale_0_and_comes_back() {
    let encoded = encode(Encoding::Int8, &[0.0, -0.0]).unwrap();
    assert_eq!(
        encoded,
        Encoded::Int8 {
            values: vec![0, 0],
            scale: 0.0
        }
    );
    assert_eq!(decoded(&encoded, &[3.0, -4.0]), [3.0, -4.0]);
    for encoding in ALL {
        assert!(
            decoded(&encode(encoding, &[]).unwrap(), &[]).is_empty(),
            "{encoding:?}"
        );
    }
}

#[test]
fn of_equal_magnitudes_the_lower_index_is_sent() {
    let d = [-2.0, 1.0, 2.0, -1.0, 1.0, 0.0];
    let sent = |share| match encode(Encoding::TopK { share }, &d).unwrap() {
        Encoded::TopK { indices, values } => (indices, values),
        other => panic!("{other:?}"),
    };
    assert_eq!(sent(1e-9), (places(&[0]), floats(&[-2.0])));
    assert_eq!(sent(0.5), (places(&[0, 1, 2]), floats(&[-2.0, 1.0, 2.0])));
    assert_eq!(
        sent(0.6),
        (places(&[0, 1, 2, 3]), floats(&[-2.0, 1.0, 2.0, -1.0]))
    );
    assert_eq!(sent(1.0), (places(&[0, 1, 2, 3, 4, 5]), floats(&d)));
}

#[test]
fn the_number_of_values_sent_is_the_share_rounded_up() {
    let cases = [
        (0.01, 100, 1),
        (0.01, 101, 2),
        (0.07, 100, 7),
        (0.07, 101, 8),
        (0.1, 30, 3),
        (1e-12, 5, 1),
        (1.0, 5, 5),
        (0.5, 0, 0),
    ];
    for (share, len, count) in cases {
        assert_eq!(kept(share, len), count, "{share} of {len}");
    }
}

#[test]
fn blocks_cut_anywhere_give_the_same_bits_at_any_alignment() {
    let len = 5000;
    let (global, d) = (varied(len, 77), varied(len, 3));
    for encoding in ALL {
        let encoded = encode(encoding, &d).unwrap();
        let whole = decoded(&encoded, &global);
        // The same bytes one byte further on.
        let shift = |bytes: &[u8]| [&[0xee], bytes].concat();
        let (first, second);
        let moved = match encoded.form() {
            Form::TopK { indices, values } => {
                (first, second) = (shift(indices), shift(values));
                Form::TopK {
                    indices: &first[1..],
                    values: &second[1..],
                }
            }
            Form::Int8 { values, scale } => {
                first = shift(values);
                Form::Int8 {
                    values: &first[1..],
                    scale,
                }
            }
            Form::Delta(values) => {
                first = shift(values);
                Form::Delta(&first[1..])
            }
            Form::Fp16(values) => {
                first = shift(values);
                Form::Fp16(&first[1..])
            }
            Form::Bf16(values) => {
                first = shift(values);
                Form::Bf16(&first[1..])
            }
        };
        let tensor = EncodedTensor::check(moved, len).unwrap();
        for step in [1, 7, 1023, 1024, 1025, 4999] {
            let mut pieces = vec![f32::NAN; len];
            for start in (0..len).step_by(step) {
                let range: Range<usize> = start..(start + step).min(len);
                decode_block(&tensor, range.clone(), &global[range.clone()], &mut pieces[range]);
            }
            assert!(
                pieces.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{encoding:?} in {step}"
            );
        }
    }
}

#[test]
fn a_value_without_a_place_keeps_its_bits() {
    let form = Form::TopK {
        indices: &places(&[1]),
        values: &floats(&[0.0]),
    };
    let tensor = EncodedTensor::check(form, 3).unwrap();
    let mut out = [1.0; 3];
    decode_block(&tensor, 0..3, &[-0.0, -0.0, f32::NAN], &mut out);
    assert_eq!(out[0].to_bits(), (-0.0_f32).to_bits());
    assert_eq!(out[1].to_bits(), 0);
    assert!(out[2].is_nan());
}

#[test]
fn what_a_format_cannot_hold_is_named_by_index() {
    let mut d = vec![0.5; 2000];
    d[1500] = -65520.0;
    let error = encode(Encoding::Fp16, &d).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the difference is -65520 at index 1500, more than the encoding holds (65504)"
    );
    d[1500] = -65519.0;
    assert!(encode(Encoding::Fp16, &d).is_ok());
    d[1023] = f32::MAX;
    assert!(matches!(
        encode(Encoding::Bf16, &d),
        Err(EncodeError::Overflow { index: 1023, .. })
    ));
    assert!(encode(Encoding::Int8, &d).is_ok());
    d[700] = f32::INFINITY;
    for encoding in ALL {
        let error = encode(encoding, &d);
        let expected = EncodeError::NotFinite {
            index: 700,
            value: f32::INFINITY,
        };
        assert_eq!(error, Err(expected), "{encoding:?}");
    }
}

#[test]
fn hostile_forms_are_refused() {
    let refused = |form, len| EncodedTensor::check(form, len).unwrap_err();
    let top = |indices: &[u32], count: usize, len| {
        let (indices, values) = (places(indices), floats(&vec![1.0; count]));
        EncodedTensor::check(
            Form::TopK {
                indices: &indices,
                values: &values,
            },
            len,
        )
        .err()
    };
    assert_eq!(top(&[0, 3], 2, 4), None);
    let beyond = FormError::Beyond {
        position: 1,
        place: 4,
        len: 4,
    };
    assert_eq!(top(&[0, 4], 2, 4), Some(beyond));
    for indices in [[3, 1], [1, 1], [u32::MAX, 0]] {
        let error = top(&indices, 2, usize::MAX);
        let expected = FormError::Order {
            position: 1,
            place: indices[1],
        };
        assert_eq!(error, Some(expected), "{indices:?}");
    }
    assert_eq!(
        top(&[0, 1], 1, 4),
        Some(FormError::Length {
            bytes: 4,
            expected: 8
        })
    );
    let places = Form::TopK {
        indices: &[0; 7],
        values: &[0; 7],
    };
    assert_eq!(refused(places, 4), FormError::Places { bytes: 7 });
    let length = |bytes, expected| FormError::Length { bytes, expected };
    assert_eq!(refused(Form::Delta(&[0; 9]), 2), length(9, 8));
    assert_eq!(refused(Form::Fp16(&[0; 8]), 2), length(8, 4));
    assert_eq!(refused(Form::Bf16(&[0; 2]), 2), length(2, 4));
    assert_eq!(
        refused(Form::Delta(&[0; 8]), usize::MAX / 2),
        length(8, usize::MAX)
    );
    for scale in [f32::NAN, -1.0, f32::INFINITY] {
        let form = Form::Int8 {
            values: &[0; 2],
            scale,
        };
        assert!(matches!(refused(form, 2), FormError::Scale { .. }), "{scale}");
        assert_eq!(refused(form, 3), length(2, 3));
    }
}

/// 200 rounds of the same difference: the sum of what is decoded, with or without what was left out before.
fn accumulated(encoding: Encoding, d: &[f32], feedback: bool) -> Vec<f64> {
    let zeros = vec![0.0; d.len()];
    let (mut sum, mut residual) = (vec![0.0; d.len()], zeros.clone());
    for _ in 0..200 {
        let sent = difference(d, &zeros, feedback.then_some(&residual));
        let encoded = encode(encoding, &sent).unwrap();
        residual = encoded.left_out(&sent);
        let change = decoded(&encoded, &zeros);
        sum.iter_mut()
            .zip(change)
            .for_each(|(sum, value)| *sum += f64::from(value));
    }
    sum
}

#[test]
fn error_feedback_follows_the_true_sum_and_its_absence_does_not() {
    // Magnitudes 1/63 to 64/63: without feedback `top_k` never sends the small ones and int8 rounds each the same way.
    let d: Vec<f32> = (0..64)
        .map(|index| (index + 1) as f32 / 63.0 * if index % 3 == 0 { -1.0 } else { 1.0 })
        .collect();
    let farthest = |sum: Vec<f64>| {
        let misses = sum
            .iter()
            .zip(&d)
            .map(|(sum, value)| (sum - 200.0 * f64::from(*value)).abs());
        misses.fold(0.0, f64::max)
    };
    for (encoding, with, without) in [
        (Encoding::TopK { share: 0.125 }, 10.0, 170.0),
        (Encoding::Int8, 0.01, 0.5),
        (Encoding::Bf16, 0.01, 0.3),
        (Encoding::Fp16, 0.001, 0.04),
    ] {
        let miss = farthest(accumulated(encoding, &d, true));
        assert!(miss <= with, "{encoding:?} with feedback misses by {miss}");
        let miss = farthest(accumulated(encoding, &d, false));
        assert!(miss >= without, "{encoding:?} without feedback misses by {miss}");
    }
}

fn finite() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("finite", |value| value.is_finite())
}

/// Half the distance between the two floats of `bits` precision around `value`, whose least exponent is `least`.
fn half_ulp(value: f32, bits: i32, least: i32) -> f64 {
    let exponent = (f64::from(value).abs().to_bits() >> 52) as i32 - 1023;
    2.0_f64.powi(exponent.max(least) - bits)
}

proptest! {
    #[test]
    fn every_encoding_keeps_within_its_bound(
        pairs in prop::collection::vec((-100.0_f32..100.0, -60000.0_f32..60000.0, -30..1_i32), 1..300)
    ) {
        let global: Vec<f32> = pairs.iter().map(|pair| pair.0).collect();
        let d: Vec<f32> = pairs.iter().map(|pair| pair.1 * 2.0_f32.powi(pair.2)).collect();
        for encoding in ALL {
            let encoded = encode(encoding, &d).unwrap();
            let most = d.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let left = encoded.left_out(&d);
            for (((global, d), got), left) in global.iter().zip(&d).zip(decoded(&encoded, &global)).zip(left) {
                let bound = match encoding {
                    Encoding::Delta => 0.0,
                    Encoding::Fp16 => half_ulp(*d, 11, -14),
                    Encoding::Bf16 => half_ulp(*d, 8, -126),
                    Encoding::Int8 => f64::from(most) / 127.0 * 0.500_001,
                    Encoding::TopK { .. } => f64::from(d.abs()),
                };
                let rounding = half_ulp(got, 24, -126);
                let miss = (f64::from(got) - (f64::from(*global) + f64::from(*d))).abs();
                prop_assert!(miss <= bound + rounding, "{encoding:?}: {d} on {global} gave {got}");
                prop_assert!(f64::from(left.abs()) <= bound * 1.000_001, "{encoding:?}: {d} left {left}");
            }
        }
    }

    #[test]
    fn subnormal_differences_keep_to_half_a_scale(d in prop::collection::vec(-400_i32..400, 1..50)) {
        let d: Vec<f32> = d.into_iter().map(|units| units as f32 * f32::from_bits(1)).collect();
        let encoded = encode(Encoding::Int8, &d).unwrap();
        let Encoded::Int8 { scale, .. } = encoded else { unreachable!() };
        for left in encoded.left_out(&d) {
            prop_assert!(left.abs() <= scale / 2.0 + f32::from_bits(1));
        }
    }

    #[test]
    fn a_difference_in_full_precision_is_the_sum_of_floats(pairs in prop::collection::vec((finite(), finite()), 1..50)) {
        let global: Vec<f32> = pairs.iter().map(|pair| pair.0).collect();
        let d: Vec<f32> = pairs.iter().map(|pair| pair.1).collect();
        let sums: Vec<f32> = pairs.iter().map(|(global, d)| global + d).collect();
        prop_assert_eq!(decoded(&encode(Encoding::Delta, &d).unwrap(), &global), sums);
    }

    #[test]
    fn what_is_sent_and_what_is_left_out_make_the_difference(d in prop::collection::vec(-1e4_f32..1e4, 1..300)) {
        let zeros = vec![0.0; d.len()];
        for encoding in ALL {
            let encoded = encode(encoding, &d).unwrap();
            let sent = decoded(&encoded, &zeros);
            for ((sent, left), d) in sent.iter().zip(encoded.left_out(&d)).zip(&d) {
                let miss = (f64::from(*sent) + f64::from(left) - f64::from(*d)).abs();
                prop_assert!(miss <= half_ulp(*d, 23, -126), "{encoding:?}: {sent} and {left} of {d}");
            }
        }
    }

    #[test]
    fn top_k_sends_what_sorting_would(d in prop::collection::vec(-5_i8..5, 1..200), share in 0.001..1.0_f64) {
        let d: Vec<f32> = d.into_iter().map(f32::from).collect();
        let mut order: Vec<usize> = (0..d.len()).collect();
        order.sort_by(|a, b| d[*b].abs().total_cmp(&d[*a].abs()).then(a.cmp(b)));
        let mut sent: Vec<u32> = order[..kept(share, d.len())].iter().map(|index| *index as u32).collect();
        sent.sort_unstable();
        let expected = Encoded::TopK {
            values: floats(&sent.iter().map(|index| d[*index as usize]).collect::<Vec<_>>()),
            indices: places(&sent),
        };
        prop_assert_eq!(encode(Encoding::TopK { share }, &d).unwrap(), expected);
    }
}
