//! How fast a decoded radiograph becomes a square, and how fast squares that are alike are found, on one thread.
//!
//! Names are `group/case/implementation`. Beside a window stands the obvious way to write it, whose answer is checked first.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::cxr::{
    Depth, Fit, Frame, Grid, Meaning, Pixels, Samples, Square, Target, Voi, VoiFunction,
    hash::{self, Hash},
    render,
};

/// Of a usual detector.
const WIDTH: u32 = 2048;
const HEIGHT: u32 = 2500;
const TARGET: Target = Target {
    size: 224,
    depth: Depth::U8,
    fit: Fit::Stretch,
};
const CENTRE: f64 = 1500.0;
const WIDE: f64 = 2000.0;

fn uniform(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// A slope and noise in 12 bits, the same in every run.
fn words(width: u32, height: u32) -> Vec<u16> {
    let mut next = uniform(1);
    (0..width * height)
        .map(|place| {
            let slope = u64::from(place % width + place / width) / 2;
            (slope + next() % 512).min(4095) as u16
        })
        .collect()
}

fn frame(width: u32, height: u32, bits: u32) -> Frame<'static> {
    let words = words(width, height);
    let samples = if bits > 8 {
        Samples::U16(words.into())
    } else {
        Samples::U8(words.iter().map(|word| (word >> 4) as u8).collect())
    };
    Frame::new((width, height), 1, bits, samples).expect("as many samples as pixels")
}

fn with_window(function: VoiFunction) -> Meaning {
    Meaning {
        voi: Voi::Window {
            centre: CENTRE,
            width: WIDE,
            function,
        },
        ..Meaning::picture(12)
    }
}

/// Every sample windowed in `f64` into an image of its own, and that image's means.
fn in_two_steps(frame: &Frame<'_>) -> Vec<f64> {
    let Samples::U16(words) = &frame.samples else {
        return Vec::new();
    };
    let shown: Vec<f64> = words
        .iter()
        .map(|word| ((f64::from(*word) - (CENTRE - 0.5)) / (WIDE - 1.0) + 0.5).clamp(0.0, 1.0) * 255.0)
        .collect();
    let size = TARGET.size as usize;
    let overlap = |new: usize, length: u32| {
        let scale = f64::from(length) / size as f64;
        let (from, to) = (new as f64 * scale, (new + 1) as f64 * scale);
        (from as usize..(to.ceil() as usize).min(length as usize)).map(move |old| {
            let share = to.min(old as f64 + 1.0) - from.max(old as f64);
            (old, share / scale)
        })
    };
    let mut out = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            let rows = overlap(y, frame.height).map(|(row, down)| {
                let row = &shown[row * frame.width as usize..];
                down * overlap(x, frame.width)
                    .map(|(column, along)| along * row[column])
                    .sum::<f64>()
            });
            out.push(rows.sum());
        }
    }
    out
}

fn render_frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("imaging_render");
    group.measurement_time(Duration::from_secs(3)).sample_size(30);
    let raw = frame(WIDTH, HEIGHT, 12);
    let mut square = Square::new();

    let linear = with_window(VoiFunction::Linear);
    render(&raw, &linear, TARGET, &mut square).expect("a sound frame");
    for (ours, exact) in square.bytes().iter().zip(in_two_steps(&raw)) {
        assert!((f64::from(*ours) - exact).abs() <= 0.51, "{ours} against {exact}");
    }

    let percentiles = Meaning {
        voi: Voi::Percentiles { low: 1.0, high: 99.0 },
        ..Meaning::picture(12)
    };
    let mut eighth = frame(WIDTH / 8, HEIGHT.div_ceil(8), 8);
    eighth.grid = Grid {
        full_width: WIDTH,
        full_height: HEIGHT,
        step: 8,
        origin: 0.0,
    };
    let cases = [
        ("raw_linear", &raw, linear),
        ("raw_table", &raw, with_window(VoiFunction::Sigmoid)),
        ("raw_percentiles", &raw, percentiles),
        ("picture_8_bit", &frame(1024, 1024, 8), Meaning::picture(8)),
        ("eighth_8_bit", &eighth, Meaning::picture(8)),
    ];
    for (case, frame, meaning) in &cases {
        group.throughput(Throughput::Elements(frame.samples.len() as u64));
        group.bench_function(BenchmarkId::new(*case, "ours"), |bencher| {
            bencher.iter(|| render(black_box(frame), meaning, TARGET, &mut square));
        });
    }
    group.throughput(Throughput::Elements(raw.samples.len() as u64));
    group.bench_function(BenchmarkId::new("raw_linear", "in_two_steps"), |bencher| {
        bencher.iter(|| in_two_steps(black_box(&raw)));
    });
    group.finish();
}

/// Smooth images, each its own.
fn hashes(count: u64) -> Vec<Hash> {
    let drawn = |seed: u64| {
        let mut next = uniform(seed + 1);
        let coarse: Vec<u64> = (0..64).map(|_| next() % 160).collect();
        let pixels = (0..32 * 32).map(|place| {
            let (x, y) = (place % 32, place / 32);
            (coarse[y / 4 * 8 + x / 4] + next() % 96) as u8
        });
        let square = Square::of(32, Pixels::U8(pixels.collect())).expect("32 x 32 pixels");
        hash::perceptual(&square).expect("more than one value")
    };
    (0..count).map(drawn).collect()
}

fn alike(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("imaging_alike");
    group.measurement_time(Duration::from_secs(3)).sample_size(10);
    let mut square = Square::new();
    render(&frame(1024, 1024, 8), &Meaning::picture(8), TARGET, &mut square).expect("a sound frame");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("hash_224", "ours"), |bencher| {
        bencher.iter(|| hash::perceptual(black_box(&square)));
    });
    // As many as ChestX-ray14 has; the last of them twice.
    let mut all = hashes(112_120);
    all[0] = all[112_119];
    assert_eq!(hash::near(&all, hash::NEAR), [[0, 112_119]]);
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function(BenchmarkId::new("near_112120", "ours"), |bencher| {
        bencher.iter(|| hash::near(black_box(&all), hash::NEAR));
    });
    group.finish();
}

criterion_group!(benches, render_frames, alike);
criterion_main!(benches);
