use proptest::prelude::*;

use super::*;

/// How 16 bits are divided: a sign, an exponent with a bias, a fraction.
struct Layout {
    float: Float,
    fraction_bits: i32,
    bias: i32,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        float: Float::F16,
        fraction_bits: 10,
        bias: 15,
    },
    Layout {
        float: Float::Bf16,
        fraction_bits: 7,
        bias: 127,
    },
];

impl Layout {
    /// The value of a code by its definition; the code after the largest counts as the next power of two.
    fn value(&self, code: u16) -> f64 {
        let sign = if code >> 15 == 1 { -1.0 } else { 1.0 };
        let exponent = i32::from((code & 0x7fff) >> self.fraction_bits);
        let fraction = f64::from(code & ((1 << self.fraction_bits) - 1));
        let hidden = if exponent > 0 {
            2.0_f64.powi(self.fraction_bits)
        } else {
            0.0
        };
        sign * (hidden + fraction) * 2.0_f64.powi(exponent.max(1) - self.bias - self.fraction_bits)
    }

    fn infinity(&self) -> u16 {
        ((2 * self.bias + 1) as u16) << self.fraction_bits
    }

    fn write<R: Real>(&self, value: R) -> u16 {
        let mut scratch = Vec::new();
        let out = write_row(self.float, std::slice::from_ref(&value), &mut scratch);
        u16::from_le_bytes(out.try_into().unwrap())
    }
}

#[test]
fn every_half_and_brain_float_is_read_as_defined_and_written_back() {
    let codes: Vec<u16> = (0..=u16::MAX).collect();
    // Behind one more byte: at no alignment.
    let bytes: Vec<u8> = std::iter::once(0)
        .chain(codes.iter().flat_map(|code| code.to_le_bytes()))
        .collect();
    for layout in &LAYOUTS {
        let (mut singles, mut doubles) = (Vec::new(), Vec::new());
        let singles = read_row::<f32>(layout.float, &bytes[1..], &mut singles);
        let doubles = read_row::<f64>(layout.float, &bytes[1..], &mut doubles);
        for ((code, single), double) in codes.iter().zip(singles).zip(doubles) {
            let magnitude = code & 0x7fff;
            if magnitude > layout.infinity() {
                assert!(single.is_nan() && double.is_nan(), "{code:#06x}");
                assert!(layout.write(*single) & 0x7fff > layout.infinity());
                assert!(layout.write(*double) & 0x7fff > layout.infinity());
                continue;
            }
            if magnitude == layout.infinity() {
                assert!(single.is_infinite());
            } else {
                assert_eq!(layout.value(*code), *double, "{code:#06x}");
            }
            assert_eq!(f64::from(*single), *double);
            assert_eq!(layout.write(*single), *code);
            assert_eq!(layout.write(*double), *code);
        }
    }
}

#[test]
fn known_half_floats() {
    for (value, code) in [
        (1.0, 0x3c00_u16),
        (-2.0, 0xc000),
        (65504.0, 0x7bff),
        (65519.99, 0x7bff),
        (65520.0, 0x7c00),
        (1e300, 0x7c00),
        (-1e300, 0xfc00),
        (6.103_515_625e-5, 0x0400),
        (5.960_464_477_539_063e-8, 0x0001),
        (2.980_232_238_769_531_3e-8, 0x0000),
        (1e-300, 0x0000),
        (1.0 + 1.0 / 2048.0, 0x3c00),
        (1.0 + 3.0 / 2048.0, 0x3c02),
    ] {
        assert_eq!(LAYOUTS[0].write(value), code, "{value}");
    }
}

#[test]
fn middles_are_rounded_once() {
    for layout in &LAYOUTS {
        // Every middle of two neighbours, itself and as little as an `f64` can be beside it: as an `f32` all three are the
        // middle.
        for code in 0..layout.infinity() {
            let middle = (layout.value(code) + layout.value(code + 1)) / 2.0;
            let even = code + (code & 1);
            for sign in [0, 0x8000_u16] {
                let signed = |value: f64| if sign == 0 { value } else { -value };
                assert_eq!(layout.write(signed(middle)), sign | even, "{code:#06x}");
                assert_eq!(
                    layout.write(signed(middle.next_up())),
                    sign | (code + 1),
                    "{code:#06x}"
                );
                assert_eq!(
                    layout.write(signed(middle.next_down())),
                    sign | code,
                    "{code:#06x}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn rows_of_any_length_and_alignment_read_back(
        values in prop::collection::vec(prop::num::f32::NORMAL, 0..1500),
        offset in 0_usize..8,
    ) {
        let wide: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        // Whatever the scratch held before.
        let (mut one, mut other) = (vec![9_u8; 700], vec![9_u8; 700]);
        let (mut singles, mut doubles) = (vec![3.0_f32; 700], vec![3.0_f64; 700]);
        for float in [Float::F32, Float::F64] {
            let bytes = write_row(float, &values, &mut one);
            prop_assert_eq!(bytes, write_row(float, &wide, &mut other));
            let bytes = [&vec![0xee; offset], bytes].concat();
            prop_assert_eq!(read_row(float, &bytes[offset..], &mut singles), &values);
            prop_assert_eq!(read_row(float, &bytes[offset..], &mut doubles), &wide);
        }
        for float in [Float::F16, Float::Bf16] {
            let bytes = [&vec![0xee; offset], write_row(float, &values, &mut one)].concat();
            let again = write_row(float, read_row(float, &bytes[offset..], &mut doubles), &mut other);
            prop_assert_eq!(&bytes[offset..], again);
        }
    }
}

#[test]
fn the_first_of_several_that_are_not_finite_is_found() {
    let mut row = vec![f32::MAX; 5000];
    assert_eq!(first_not_finite(&row), None);
    for (place, value) in [
        (4999, f32::NAN),
        (2049, f32::NEG_INFINITY),
        (2048, f32::INFINITY),
        (0, -f32::NAN),
    ] {
        row[place] = value;
        assert_eq!(first_not_finite(&row), Some(place));
        assert_eq!(FirstNotFinite(&row).run(), Some(place));
        let wide: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
        assert_eq!(first_not_finite(&wide), Some(place));
    }
    assert_eq!(first_not_finite::<f32>(&[]), None);
    assert_eq!(first_not_finite(&[f64::MAX, -f64::MIN_POSITIVE, -0.0]), None);
}
