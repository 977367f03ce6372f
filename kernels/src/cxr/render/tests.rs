//! Rendering against a slow, obvious one in `f64`, and against numbers worked out by hand.

use proptest::prelude::*;

use super::*;
use crate::cxr::{Colour, Grid, Lut, Modality, Stored, Voi, VoiFunction};

const STRETCH: Target = Target {
    size: 1,
    depth: Depth::U8,
    fit: Fit::Stretch,
};

fn square_of(frame: &Frame<'_>, meaning: &Meaning, target: Target) -> (Vec<u16>, Rendered) {
    let mut out = Square::new();
    let rendered = render(frame, meaning, target, &mut out).unwrap();
    let values = match out.pixels() {
        Pixels::U8(values) => values.iter().map(|value| u16::from(*value)).collect(),
        Pixels::U16(values) => values.clone(),
    };
    assert_eq!(
        (out.size(), values.len()),
        (target.size, (target.size * target.size) as usize)
    );
    (values, rendered)
}

/// A square frame of these words, at its own size in 16 bits: what the tone alone does.
fn toned(words: &[u16], meaning: &Meaning) -> Vec<u16> {
    let side = (words.len() as f64).sqrt().ceil() as u32;
    let mut padded = words.to_vec();
    padded.resize((side * side) as usize, words[0]);
    let frame = Frame::new((side, side), 1, meaning.stored.bits, Samples::U16(padded.into())).unwrap();
    let target = Target {
        size: side,
        depth: Depth::U16,
        fit: Fit::Stretch,
    };
    let mut values = square_of(&frame, meaning, target).0;
    values.truncate(words.len());
    values
}

fn of_bits(bits: u32, high_bit: u32, signed: bool) -> Meaning {
    Meaning {
        stored: Stored {
            allocated: 16,
            bits,
            high_bit,
            signed,
        },
        ..Meaning::picture(16)
    }
}

fn window(centre: f64, width: f64, function: VoiFunction) -> Voi {
    Voi::Window {
        centre,
        width,
        function,
    }
}

/// Level of 16 bits.
fn white(share: f64) -> u16 {
    (share * 65_535.0).round() as u16
}

/// The definition of the area mean and of interpolation along one axis: the weight of each sample.
fn weights(pixel: u32, new: u32, samples: u32, full: u32, step: u32, origin: f64) -> Vec<f64> {
    let (scale, step) = (f64::from(full) / f64::from(new), f64::from(step));
    if new <= samples {
        let (from, to) = (f64::from(pixel) * scale, f64::from(pixel + 1) * scale);
        let of = |sample: u32| {
            let begin = if sample == 0 {
                0.0
            } else {
                origin + f64::from(sample) * step
            };
            let end = if sample + 1 == samples {
                f64::from(full)
            } else {
                origin + f64::from(sample + 1) * step
            };
            (to.min(end.min(f64::from(full))) - from.max(begin)).max(0.0) / scale
        };
        (0..samples).map(of).collect()
    } else {
        let place = ((f64::from(pixel) + 0.5) * scale - origin) / step - 0.5;
        let place = place.clamp(0.0, f64::from(samples - 1));
        (0..samples)
            .map(|sample| (1.0 - (place - f64::from(sample)).abs()).max(0.0))
            .collect()
    }
}

/// The whole of it in `f64`, for one channel and `Fit::Stretch`, in levels of 16 bits.
fn by_definition(frame: &Frame<'_>, size: u32, display: impl Fn(u16) -> f64) -> Vec<f64> {
    let words: Vec<u16> = match &frame.samples {
        Samples::U8(words) => words.iter().map(|word| u16::from(*word)).collect(),
        Samples::U16(words) => words.to_vec(),
    };
    let grid = frame.grid;
    let origin = f64::from(grid.origin);
    let mut out = Vec::new();
    for y in 0..size {
        let down = weights(y, size, frame.height, grid.full_height, grid.step, origin);
        for x in 0..size {
            let along = weights(x, size, frame.width, grid.full_width, grid.step, origin);
            let mut sum = 0.0;
            for (row, down) in words.chunks_exact(frame.width as usize).zip(&down) {
                for (word, along) in row.iter().zip(&along) {
                    sum += down * along * display(*word);
                }
            }
            out.push(sum * 65_535.0);
        }
    }
    out
}

/// Value of a stored word, by arithmetic rather than by bits.
fn value(word: u16, stored: Stored) -> f64 {
    let span = 2_f64.powi(stored.bits as i32);
    let raw = (f64::from(word) / 2_f64.powi((stored.high_bit + 1 - stored.bits) as i32)).floor() % span;
    if stored.signed && raw >= span / 2.0 {
        raw - span
    } else {
        raw
    }
}

fn storeds() -> impl Strategy<Value = Stored> {
    (1_u32..=16, any::<bool>())
        .prop_flat_map(|(bits, signed)| (Just(bits), bits - 1..16, Just(signed)))
        .prop_map(|(bits, high_bit, signed)| Stored {
            allocated: 16,
            bits,
            high_bit,
            signed,
        })
}

fn functions() -> impl Strategy<Value = VoiFunction> {
    prop_oneof![
        Just(VoiFunction::Linear),
        Just(VoiFunction::LinearExact),
        Just(VoiFunction::Sigmoid)
    ]
}

/// PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2 as they are printed, to 0..1.
fn shown(x: f64, centre: f64, width: f64, function: VoiFunction) -> f64 {
    match function {
        VoiFunction::Linear if x <= centre - 0.5 - (width - 1.0) / 2.0 => 0.0,
        VoiFunction::Linear if x > centre - 0.5 + (width - 1.0) / 2.0 => 1.0,
        VoiFunction::Linear => (x - (centre - 0.5)) / (width - 1.0) + 0.5,
        VoiFunction::LinearExact if x <= centre - width / 2.0 => 0.0,
        VoiFunction::LinearExact if x > centre + width / 2.0 => 1.0,
        VoiFunction::LinearExact => (x - centre) / width + 0.5,
        VoiFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (x - centre) / width).exp()),
    }
}

/// Frames of full resolution, or at a half, fourth or eighth as decoders of two kinds give them.
fn frames() -> impl Strategy<Value = Frame<'static>> {
    let step = prop::sample::select(vec![1_u32, 1, 2, 4, 8]);
    (1_u32..70, 1_u32..70, step, any::<bool>()).prop_flat_map(|(full_width, full_height, step, centred)| {
        let (width, height) = (full_width.div_ceil(step), full_height.div_ceil(step));
        let grid = Grid {
            full_width,
            full_height,
            step,
            origin: if centred { -((step - 1) as f32) / 2.0 } else { 0.0 },
        };
        prop::collection::vec(any::<u16>(), (width * height) as usize).prop_map(move |words| Frame {
            width,
            height,
            channels: 1,
            bits: 16,
            samples: Samples::U16(words.into()),
            grid,
        })
    })
}

proptest! {
    #[test]
    fn a_window_and_area_means_are_those_of_the_definition(
        frame in frames(), stored in storeds(), function in functions(),
        slope in prop_oneof![Just(1.0_f64), -3.0..-0.01_f64, 0.01..3.0_f64], intercept in -2000.0..2000.0_f64,
        place in -0.2..1.2_f64, share in 0.0001..2.0_f64, inverted: bool, size in 1_u32..80,
    ) {
        let ends = [0, u16::MAX].map(|word| value(word, Stored { signed: false, ..stored }));
        let lowest = if stored.signed { -2_f64.powi(stored.bits as i32 - 1) } else { 0.0 };
        let span = ends[1] - ends[0];
        let centre = slope * (lowest + place * span) + intercept;
        let width = 1.0 + (share * span * slope).abs();
        let meaning = Meaning {
            modality: Modality::Linear { slope, intercept },
            voi: window(centre, width, function),
            inverted,
            stored,
            ..Meaning::picture(16)
        };
        let exact = by_definition(&frame, size, |word| {
            let shown = shown(slope * value(word, stored) + intercept, centre, width, function);
            if inverted { 1.0 - shown } else { shown }
        });
        let target = Target { size, depth: Depth::U16, fit: Fit::Stretch };
        for (ours, exact) in square_of(&frame, &meaning, target).0.iter().zip(&exact) {
            // Interpolating on a grid rounds its weights, too.
            let most = if frame.grid.step > 1 { 2.01 } else { 1.01 };
            prop_assert!((f64::from(*ours) - exact).abs() <= most, "{} against {}", ours, exact);
        }
        let target = Target { depth: Depth::U8, ..target };
        for (ours, exact) in square_of(&frame, &meaning, target).0.iter().zip(&exact) {
            prop_assert!((f64::from(*ours) - exact / 257.0).abs() <= 0.51, "{} against {}", ours, exact / 257.0);
        }
    }

    #[test]
    fn arithmetic_and_table_agree(
        stored in storeds(), centre in -70_000.0..140_000.0, share in 0.0..1.0_f64, exact: bool, inverted: bool,
        padding in prop::option::of((-40_000..70_000_i32, -40_000..70_000_i32)),
    ) {
        let width = 3.0 + share * share * share * 200_000.0;
        let function = if exact { VoiFunction::LinearExact } else { VoiFunction::Linear };
        let meaning = Meaning { stored, voi: window(centre, width, function), inverted, padding, ..Meaning::picture(16) };
        let steps = Steps::of(&meaning, 1).unwrap();
        let crate::cxr::tone::Tone::Line(line) = steps.tone(None) else { panic!("a line") };
        for level in (0..steps.levels.count()).map(|level| level as u16) {
            let display = steps.display(level, None) * 65_535.0;
            prop_assert!((f64::from(line.shown(level)) - display).abs() <= 0.51, "{}: {}", level, display);
        }
    }

    #[test]
    fn a_picture_of_its_own_size_keeps_its_values(bits in 1_u32..=16, words in prop::collection::vec(any::<u16>(), 49)) {
        let words: Vec<u16> = words.iter().map(|word| word >> (16 - bits)).collect();
        let most = f64::from((1_u32 << bits) - 1);
        for (ours, word) in toned(&words, &Meaning::picture(bits)).iter().zip(&words) {
            let exact = f64::from(*word) / most * 65_535.0;
            prop_assert!((f64::from(*ours) - exact).abs() <= 0.51);
        }
    }

    #[test]
    fn bytes_become_what_they_became_in_two_steps(
        (width, height) in (1_u32..50, 1_u32..50), seed: u64, size in 1_u32..60, channels in 1_u32..=4,
    ) {
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..width * height * channels).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        }).collect();
        let frame = Frame::new((width, height), channels, 8, Samples::U8(bytes.clone().into())).unwrap();
        // Alpha is dropped; the luma is that of ITU-R BT.601 in 16-bit fixed point.
        let grey: Vec<u8> = bytes.chunks_exact(channels as usize).map(|pixel| match pixel {
            [grey] | [grey, _] => *grey,
            [r, g, b, ..] => {
                let [r, g, b] = [*r, *g, *b].map(u32::from);
                ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
            }
            [] => unreachable!("there are channels"),
        }).collect();
        let plain = Frame::new((width, height), 1, 8, Samples::U8(grey.into())).unwrap();
        let exact = by_definition(&plain, size, |word| f64::from(word) / 255.0);
        let after = square_of(&frame, &Meaning::picture(8), Target { size, ..STRETCH }).0;
        for (after, exact) in after.iter().zip(exact) {
            // What is within rounding of a half may fall to either side.
            let exact = exact / 257.0;
            let tie = (exact.fract() - 0.5).abs() < 1e-4;
            prop_assert!(*after == (exact + 0.5) as u16 || tie, "{} of {}", after, exact);
        }
    }

    #[test]
    fn any_frame_and_meaning_end_without_panic(
        frame in frames(), size in 0_u32..20, bits in 0_u32..20, high_bit in 0_u32..20, allocated in 0_u32..20,
        origin in prop::num::f32::ANY, numbers in prop::array::uniform4(prop::num::f64::ANY), kind in 0..5, pad: bool,
    ) {
        let meaning = Meaning {
            colour: if kind == 4 { Colour::Palette { first: numbers[3] as i32, luma: vec![] } } else { Colour::AsIs },
            stored: Stored { allocated, bits, high_bit, signed: numbers[0] > 0.0 },
            modality: Modality::Linear { slope: numbers[0], intercept: numbers[1] },
            voi: match kind {
                0 => Voi::Full,
                1 => Voi::Percentiles { low: numbers[2], high: numbers[3] },
                2 => Voi::Lut(Lut { first: i32::MIN, values: vec![1; bits as usize], bits: high_bit }),
                3 => window(numbers[2], numbers[3], VoiFunction::Linear),
                _ => window(numbers[2], numbers[3], VoiFunction::Sigmoid),
            },
            inverted: false,
            padding: Some((i32::MIN, numbers[1] as i32)),
            aspect: numbers[0],
        };
        let mut frame = frame;
        let target = Target { size, depth: Depth::U8, fit: if pad { Fit::Pad } else { Fit::Stretch } };
        let mut out = Square::new();
        let _ = render(&frame, &meaning, target, &mut out);
        frame.grid.origin = origin;
        let _ = render(&frame, &Meaning::picture(16), target, &mut out);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values(
        words in prop::collection::vec(any::<u16>(), 64), slope in prop_oneof![-2.0..-0.1, 0.1..2.0],
        low in 0.0..50.0, high in 50.1..100.0,
    ) {
        let meaning = Meaning {
            modality: Modality::Linear { slope, intercept: 7.0 },
            voi: Voi::Percentiles { low, high },
            padding: Some((0, 9_999)),
            ..Meaning::picture(16)
        };
        let mut values: Vec<f64> =
            words.iter().filter(|word| **word > 9_999).map(|word| slope * f64::from(*word) + 7.0).collect();
        prop_assume!(!values.is_empty());
        values.sort_by(f64::total_cmp);
        let at = |percent: f64| {
            let place = percent / 100.0 * (values.len() - 1) as f64;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * (place - place.floor())
        };
        let frame = Frame::new((8, 8), 1, 16, Samples::U16(words.clone().into())).unwrap();
        let (pixels, rendered) = square_of(&frame, &meaning, Target { size: 8, depth: Depth::U16, ..STRETCH });
        let (first, last) = rendered.percentiles.unwrap();
        prop_assert!((first - at(low)).abs() < 1e-6 && (last - at(high)).abs() < 1e-6);
        for (word, pixel) in words.iter().zip(pixels) {
            let value = slope * f64::from(*word) + 7.0;
            if *word <= 9_999 || value <= first {
                prop_assert_eq!(pixel, 0);
            } else if value >= last {
                prop_assert_eq!(pixel, 65_535);
            }
        }
    }
}

#[test]
fn linear_has_the_halves_and_ones_of_the_standard() {
    // The standard's own example: c = 2048, w = 4096 maps 0 and below to black, 4095 and above to white.
    let meaning = Meaning {
        voi: window(2048.0, 4096.0, VoiFunction::Linear),
        ..of_bits(13, 12, true)
    };
    let words = [(-1_i16) as u16, 0, 1, 2047, 4094, 4095];
    let expected = [0.0, 0.0, 1.0 / 4095.0, 2047.0 / 4095.0, 4094.0 / 4095.0, 1.0].map(white);
    assert_eq!(toned(&words, &meaning), expected);
    // And its second: c = 2048, w = 1 is a threshold: up to 2047 black, from 2048 on white.
    let meaning = Meaning {
        voi: window(2048.0, 1.0, VoiFunction::Linear),
        ..of_bits(12, 11, false)
    };
    assert_eq!(toned(&[0, 2047, 2048, 4095], &meaning), [0, 0, 65_535, 65_535]);
    // And its third: c = 0, w = 100 is black at -50 and white at 49; c = 0, w = 1 is black at -1, white at 0.
    let meaning = Meaning {
        voi: window(0.0, 100.0, VoiFunction::Linear),
        ..of_bits(12, 11, true)
    };
    let words = [-51_i16, -50, -49, 48, 49, 50].map(|value| value as u16);
    let expected = [0.0, 0.0, 1.0 / 99.0, 98.0 / 99.0, 1.0, 1.0].map(white);
    assert_eq!(toned(&words, &meaning), expected);
}

#[test]
fn linear_exact_has_neither() {
    let meaning = Meaning {
        voi: window(128.0, 256.0, VoiFunction::LinearExact),
        ..of_bits(16, 15, false)
    };
    let expected = [0.0, 1.0 / 256.0, 0.5, 255.0 / 256.0, 1.0, 1.0].map(white);
    assert_eq!(toned(&[0, 1, 128, 255, 256, 300], &meaning), expected);
    let narrow = Meaning {
        voi: window(10.0, 0.5, VoiFunction::LinearExact),
        ..meaning
    };
    assert_eq!(toned(&[9, 10, 11], &narrow), [0, white(0.5), 65_535]);
}

#[test]
fn sigmoid_is_steepest_at_its_centre_and_never_quite_black() {
    let meaning = Meaning {
        voi: window(100.0, 40.0, VoiFunction::Sigmoid),
        ..of_bits(16, 15, false)
    };
    // 1/(1 + e^2), 1/2, 1/(1 + e^-2)
    let expected = [0.119_202_922_022, 0.5, 0.880_797_077_978].map(white);
    assert_eq!(toned(&[80, 100, 120], &meaning), expected);
    assert!(toned(&[75], &meaning)[0] > 0);
}

#[test]
fn the_lowest_value_is_white_if_inverted_and_padding_is_black_either_way() {
    for inverted in [false, true] {
        let meaning = Meaning {
            inverted,
            padding: Some((-2000, -1990)),
            voi: window(0.0, 4096.0, VoiFunction::LinearExact),
            ..of_bits(12, 11, true)
        };
        let words = [-2048_i16, 0, 2047, -2000, -1995, -1990].map(|value| value as u16);
        let flip = |share: f64| white(if inverted { 1.0 - share } else { share });
        let expected = [flip(0.0), flip(0.5), flip(4095.0 / 4096.0), 0, 0, 0];
        assert_eq!(toned(&words, &meaning), expected, "inverted: {inverted}");
        // The range may be written from either end.
        let other = Meaning {
            padding: Some((-1990, -2000)),
            ..meaning
        };
        assert_eq!(toned(&words, &other), expected);
    }
}

#[test]
fn bits_outside_the_value_are_ignored() {
    // 12 of 16 bits at the lower end and at the upper; what is in the other four must not matter.
    for (high_bit, shift, noise) in [(11, 0, 0xf000), (15, 4, 0x000f)] {
        for (signed, values) in [(false, [0, 1, 4095]), (true, [-2048, -1, 2047])] {
            let meaning = of_bits(12, high_bit, signed);
            let words = values.map(|value: i32| ((value & 0xfff) << shift) as u16);
            let expected = if signed {
                [0.0, 2047.0 / 4095.0, 1.0]
            } else {
                [0.0, 1.0 / 4095.0, 1.0]
            }
            .map(white);
            assert_eq!(toned(&words, &meaning), expected);
            assert_eq!(toned(&words.map(|word| word | noise), &meaning), expected);
        }
    }
}

#[test]
fn tables_clamp_at_both_ends() {
    let lut = Lut {
        first: -2,
        values: vec![0, 64, 255],
        bits: 8,
    };
    let meaning = Meaning {
        voi: Voi::Lut(lut.clone()),
        ..of_bits(16, 15, true)
    };
    let words = [-9_i16, -2, -1, 0, 9].map(|value| value as u16);
    let expected = [0, 0, 64 * 257, 65_535, 65_535];
    assert_eq!(toned(&words, &meaning), expected);
    // As a table of the modality, its values are then windowed; by `Full`, over all its bits can hold.
    let meaning = Meaning {
        modality: Modality::Lut(lut),
        voi: Voi::Full,
        ..meaning
    };
    assert_eq!(toned(&words, &meaning), expected);
    let meaning = Meaning {
        voi: window(64.0, 128.0, VoiFunction::LinearExact),
        ..meaning
    };
    assert_eq!(toned(&words, &meaning), [0, 0, white(0.5), 65_535, 65_535]);
    // A modality value that is not whole asks for the nearest entry.
    let meaning = Meaning {
        modality: Modality::Linear {
            slope: 0.4,
            intercept: 0.0,
        },
        voi: Voi::Lut(Lut {
            first: 0,
            values: vec![0, 100, 200],
            bits: 8,
        }),
        ..meaning
    };
    assert_eq!(
        toned(&[1, 2, 3, 4], &meaning),
        [0, 100, 100, 200].map(|value: u16| value * 257)
    );
}

#[test]
fn palettes_and_the_luma_of_ybr_are_grey() {
    let meaning = Meaning {
        colour: Colour::Palette {
            first: 1,
            luma: vec![100, 20_000, 65_535],
        },
        ..Meaning::picture(8)
    };
    assert_eq!(
        toned(&[0, 1, 2, 3, 9], &meaning),
        [100, 100, 20_000, 65_535, 65_535]
    );
    let ybr = Meaning {
        colour: Colour::Ybr,
        ..Meaning::picture(8)
    };
    let frame = Frame::new((1, 1), 3, 8, Samples::U8(vec![77, 1, 250].into())).unwrap();
    assert_eq!(square_of(&frame, &ybr, STRETCH).0, [77]);
    let frame = Frame::new((1, 1), 3, 16, Samples::U16(vec![65_535, 0, 0].into())).unwrap();
    let target = Target {
        depth: Depth::U16,
        ..STRETCH
    };
    assert_eq!(square_of(&frame, &Meaning::picture(16), target).0, [19_595]);
}

#[test]
fn proportions_are_kept_between_black_sides() {
    let frame = Frame::new((4, 2), 1, 8, Samples::U8(vec![200; 8].into())).unwrap();
    let target = Target {
        size: 4,
        fit: Fit::Pad,
        ..STRETCH
    };
    let (pixels, rendered) = square_of(&frame, &Meaning::picture(8), target);
    let bar = [0; 4];
    let full = [200; 4];
    assert_eq!(pixels, [bar, full, full, bar].concat());
    assert!(rendered.constant);
    // Pixels twice as high as wide make it square; four times as high, upright.
    let tall = |aspect| Meaning {
        aspect,
        ..Meaning::picture(8)
    };
    assert_eq!(square_of(&frame, &tall(2.0), target).0, [200; 16]);
    assert_eq!(
        square_of(&frame, &tall(4.0), target).0,
        [[0, 200, 200, 0]; 4].concat()
    );
    // An odd pixel left over goes below; a sliver is still one pixel wide.
    let (pixels, _) = square_of(&frame, &Meaning::picture(8), Target { size: 5, ..target });
    assert_eq!(pixels[..5], [0; 5]);
    assert_eq!(pixels[5..20], [200; 15]);
    assert_eq!(pixels[20..], [0; 5]);
    assert_eq!(
        square_of(&frame, &tall(1e-9), target).0,
        [[0; 4], [200; 4], [0; 4], [0; 4]].concat()
    );
}

#[test]
fn samples_beyond_the_image_count_for_nothing() {
    // Three samples of 4 pixels from -1.5 on over 9 pixels: they cover 2.5, 4 and 2.5 of them.
    let frame = Frame {
        width: 3,
        height: 1,
        channels: 1,
        bits: 8,
        samples: Samples::U8(vec![90, 180, 45].into()),
        grid: Grid {
            full_width: 9,
            full_height: 1,
            step: 4,
            origin: -1.5,
        },
    };
    let expected = (90.0 * 2.5 + 180.0 * 4.0 + 45.0 * 2.5) / 9.0_f64;
    assert_eq!(
        square_of(&frame, &Meaning::picture(8), STRETCH).0,
        [expected.round() as u16]
    );
}

#[test]
fn nothing_to_see_is_said() {
    let constant = |words: Vec<u16>, meaning: &Meaning| {
        let frame = Frame::new((2, 2), 1, 16, Samples::U16(words.into())).unwrap();
        square_of(&frame, meaning, Target { size: 2, ..STRETCH }).1
    };
    let picture = Meaning::picture(16);
    assert!(constant(vec![5000; 4], &picture).constant);
    assert!(!constant(vec![5000, 5000, 5000, 9000], &picture).constant);
    // A window above all there is.
    let above = Meaning {
        voi: window(50_000.0, 100.0, VoiFunction::Linear),
        ..picture.clone()
    };
    assert!(constant(vec![1, 2, 3, 4], &above).constant);
    let percentiles = Meaning {
        voi: Voi::Percentiles {
            low: 0.0,
            high: 100.0,
        },
        padding: Some((0, 10)),
        ..picture
    };
    let all_padding = constant(vec![1, 2, 3, 4], &percentiles);
    assert_eq!((all_padding.percentiles, all_padding.constant), (None, true));
    let one_value = constant(vec![1, 70, 70, 70], &percentiles);
    assert_eq!(
        (one_value.percentiles, one_value.constant),
        (Some((70.0, 70.0)), true)
    );
    let some = constant(vec![1, 70, 170, 270], &percentiles);
    assert_eq!((some.percentiles, some.constant), (Some((70.0, 270.0)), false));
}

#[test]
fn a_square_used_before_gives_the_same_as_a_new_one() {
    let frame = |side: u32, value: u16| {
        Frame::new(
            (side, side),
            1,
            16,
            Samples::U16(vec![value; (side * side) as usize].into()),
        )
        .unwrap()
    };
    let mut used = Square::new();
    let targets = [(5, Depth::U16), (3, Depth::U8), (7, Depth::U8), (2, Depth::U16)];
    for (nth, (size, depth)) in targets.into_iter().enumerate() {
        let (frame, meaning) = (frame(nth as u32 + 4, 9_000), Meaning::picture(16));
        let target = Target {
            size,
            depth,
            fit: Fit::Pad,
        };
        render(&frame, &meaning, target, &mut used).unwrap();
        let mut fresh = Square::new();
        render(&frame, &meaning, target, &mut fresh).unwrap();
        assert_eq!(used.pixels(), fresh.pixels());
        let width = if depth == Depth::U8 { 1 } else { 2 };
        assert_eq!(used.bytes().len(), size as usize * size as usize * width);
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let frame = Frame::new((2, 2), 1, 16, Samples::U16(vec![1; 4].into())).unwrap();
    let error = |frame: &Frame<'_>, meaning: &Meaning, size: u32| {
        render(frame, meaning, Target { size, ..STRETCH }, &mut Square::new())
            .unwrap_err()
            .to_string()
    };
    let picture = Meaning::picture(16);
    assert!(error(&frame, &picture, 0).contains("0 x 0"));
    assert!(error(&frame, &picture, 20_000).contains("20000"));
    let narrow = Meaning {
        voi: window(1.0, 0.5, VoiFunction::Linear),
        ..picture.clone()
    };
    assert!(error(&frame, &narrow, 2).contains("width 0.5"));
    let flat = Meaning {
        modality: Modality::Linear {
            slope: 0.0,
            intercept: 1.0,
        },
        ..picture.clone()
    };
    assert!(error(&frame, &flat, 2).contains("slope of 0"));
    assert!(error(&frame, &of_bits(12, 10, false), 2).contains("12 bits up to bit 10"));
    let short = Frame {
        grid: Grid {
            full_width: 100,
            full_height: 2,
            step: 1,
            origin: 0.0,
        },
        ..frame.clone()
    };
    assert!(error(&short, &picture, 2).contains("do not lie over 100 pixels"));
}
