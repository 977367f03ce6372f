//! How long decoders of RLE and JPEG take for a drawn radiograph of 2500 by 2048.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::cxr::{
    Frame, Samples, Wanted,
    decode::{jpeg, rle},
};

#[path = "../../kernels/src/cxr/decode/encoder/mod.rs"]
mod encoder;

use encoder::{Lossless, Sequential};

const WIDTH: usize = 2500;
const HEIGHT: usize = 2048;

fn lossless(predictor: u8, values: &[u16]) -> Vec<u8> {
    let image = Lossless {
        width: WIDTH,
        height: HEIGHT,
        channels: 1,
        bits: 12,
        predictor,
        shift: 0,
        restart_rows: 0,
        interleaved: true,
    };
    image.encode(values)
}

fn sequential(bits: u32, values: &[u16]) -> Vec<u8> {
    let image = Sequential {
        width: WIDTH,
        height: HEIGHT,
        bits,
        sampling: vec![(1, 1)],
        quality: 98,
        restart: 0,
        interleaved: true,
    };
    let values = values.iter().map(|value| value >> (12 - bits)).collect();
    image.encode(&[values]).0
}

fn full(bytes: &[u8]) -> Frame<'static> {
    let decoded = jpeg::decode(bytes, Wanted::Full);
    decoded.expect("what was encoded").frame
}

fn eighth(bytes: &[u8]) -> Frame<'static> {
    let decoded = jpeg::decode(bytes, Wanted::AtLeast(224));
    decoded.expect("what was encoded").frame
}

fn quarter(bytes: &[u8]) -> Frame<'static> {
    let decoded = jpeg::decode(bytes, Wanted::AtLeast(512));
    decoded.expect("what was encoded").frame
}

fn runs(bytes: &[u8]) -> Frame<'static> {
    rle::decode(bytes, WIDTH as u32, HEIGHT as u32, 1, 16).expect("what was encoded")
}

fn benches(criterion: &mut Criterion) {
    let values = encoder::radiograph(WIDTH, HEIGHT);
    let exact = Samples::U16(values.clone().into());
    type Decoder = fn(&[u8]) -> Frame<'static>;
    let cases: [(&str, Vec<u8>, Decoder); 8] = [
        ("rle_16", encoder::rle(&encoder::byte_planes(&values)), runs),
        ("lossless_12_left", lossless(1, &values), full),
        ("lossless_12_plane", lossless(4, &values), full),
        ("sequential_8", sequential(8, &values), full),
        ("sequential_8_eighth", sequential(8, &values), eighth),
        ("sequential_8_quarter", sequential(8, &values), quarter),
        ("sequential_12", sequential(12, &values), full),
        ("sequential_12_eighth", sequential(12, &values), eighth),
    ];
    for (case, bytes, decode) in cases {
        let frame = decode(&bytes);
        assert_eq!(frame.grid.full_width, WIDTH as u32, "{case}");
        if !case.starts_with("sequential") {
            assert_eq!(frame.samples, exact, "{case}");
        }
        println!("{case}: {} bytes", bytes.len());
        let mut group = criterion.benchmark_group(format!("decode/{case}"));
        group.throughput(Throughput::Elements((WIDTH * HEIGHT) as u64));
        group.bench_function("kernels", |bencher| bencher.iter(|| decode(black_box(&bytes))));
        group.finish();
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20);
    targets = benches
}
criterion_main!(all);
