//! How long sharing out as many images as ChestX-ray14 has takes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{
    partition::{Sample, Scheme, Side, assign_clients, split_test},
    random::Random,
};

const IMAGES: usize = 112_120;
const PATIENTS: u64 = 30_805;

/// A row that owns its text.
struct Row {
    patient: String,
    class: u32,
    institution: String,
    view: &'static str,
}

/// As many images as in ChestX-ray14 of as many patients, few of whom have many, with its 15 labels' unequal shares.
fn rows() -> Vec<Row> {
    let mut random = Random::new(7);
    (0..IMAGES)
        .map(|_| {
            let skewed = random.uniform().powi(2);
            let patient = (skewed * PATIENTS as f64) as u64;
            Row {
                patient: format!("{patient:08}"),
                class: (random.uniform().powi(3) * 15.0) as u32,
                institution: format!("site-{}", patient % 10),
                view: if random.uniform() < 0.6 { "PA" } else { "AP" },
            }
        })
        .collect()
}

fn benches(criterion: &mut Criterion) {
    let rows = rows();
    let samples: Vec<Sample<'_>> = rows
        .iter()
        .map(|row| Sample {
            patient: &row.patient,
            class: row.class,
            institution: Some(&row.institution),
            attribute: Some(row.view),
        })
        .collect();
    let (alpha, min_size) = (0.5, 10);
    let schemes = [
        ("natural", 10, Scheme::Natural),
        ("iid", 10, Scheme::Iid),
        ("patient_hash", 10, Scheme::PatientHash),
        ("dirichlet", 10, Scheme::Dirichlet { alpha, min_size }),
        ("quantity_skew", 10, Scheme::QuantitySkew { alpha, min_size }),
        ("pathological", 10, Scheme::Pathological { classes: 2 }),
        ("pathological_k1000", 1000, Scheme::Pathological { classes: 2 }),
        ("attribute", 2, Scheme::Attribute),
    ];
    let mut group = criterion.benchmark_group("partition/112120_images");
    group
        .throughput(Throughput::Elements(IMAGES as u64))
        .sample_size(10);
    for (name, clients, scheme) in schemes {
        let assigned = assign_clients(&samples, clients, &scheme, 7).expect("the rows can be shared out");
        assert!((0..clients).all(|client| assigned.contains(&client)), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| assign_clients(black_box(&samples), clients, &scheme, 7))
        });
    }
    let sides = split_test(&samples, 0.2, 7).expect("the rows can be split");
    assert!(sides.contains(&Side::Test));
    group.bench_function("split_test", |bencher| {
        bencher.iter(|| split_test(black_box(&samples), 0.2, 7))
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
