//! Exact sums by big integers: the slow obvious way that tests compare with.

use num_bigint::{BigInt, Sign};

/// A real number as a multiple of 2⁻¹⁰⁷⁴, the unit of the smallest `f64`.
pub(super) fn units(value: f64) -> BigInt {
    let bits = value.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    let magnitude = match exponent {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction | 1 << 52) << (exponent - 1),
    };
    if value.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// The nearest `f64`, ties to even.
pub(super) fn nearest(units: &BigInt) -> f64 {
    let magnitude = units.magnitude();
    let dropped = magnitude.bits().saturating_sub(53);
    let mut kept: u64 = (magnitude >> dropped).try_into().unwrap();
    if dropped > 0 {
        let rest = magnitude - (num_bigint::BigUint::from(kept) << dropped);
        let half = num_bigint::BigUint::from(1_u32) << (dropped - 1);
        if rest > half || (rest == half && kept % 2 == 1) {
            kept += 1;
        }
    }
    // 2^`dropped` units, as a product that is exact because its result is an `f64` (or beyond the largest).
    let unit = if dropped < 52 {
        f64::from_bits(1 << dropped)
    } else {
        f64::from_bits((dropped - 51) << 52)
    };
    let value = kept as f64 * unit;
    if units.sign() == Sign::Minus {
        -value
    } else {
        value
    }
}

/// The nearest `f64` of a sum, of what is left, and so on.
pub(super) fn components(mut units_left: BigInt) -> Vec<f64> {
    let mut found = Vec::new();
    while units_left.sign() != Sign::NoSign {
        found.push(nearest(&units_left));
        units_left -= units(found[found.len() - 1]);
    }
    found
}

#[test]
fn the_oracle_reads_and_rounds_as_defined() {
    for value in [0.0, 5e-324, -2.5e-310, f64::MIN_POSITIVE, 1.0, -0.1, f64::MAX] {
        assert_eq!(nearest(&units(value)), value);
    }
    let (one, unit) = (units(1.0), units(f64::EPSILON / 2.0));
    assert_eq!(nearest(&(&one + &unit)), 1.0);
    assert_eq!(nearest(&(&one + &unit + 1)), 1.0 + f64::EPSILON);
    assert_eq!(nearest(&(&one + &unit * 3)), 1.0 + 2.0 * f64::EPSILON);
    assert_eq!(components(one + unit), [1.0, f64::EPSILON / 2.0]);
}
