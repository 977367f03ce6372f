//! How fast the rules combine ten updates of ResNet-18 that lie in memory, on one thread unless said otherwise.
//!
//! Names are `group/case/implementation`. Beside each rule stands the obvious way to write it, whose answer is checked
//! first, and what the memory gives in the same run: `memory/triad`.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::aggregate::{
    Addend, Distances, MiddleMean, NearMedian, Weights, add_squared_distances, first_not_finite, mean,
    mean_f64,
};

/// Parameters of ResNet-18 with one channel in and two classes out, running statistics included.
const VALUES: usize = 11_181_642;
const CLIENTS: usize = 10;
/// Values a rule is given at a time, as the aggregator does: ten rows of 32 KiB.
const BLOCK: usize = 8192;

type Rows = Vec<Vec<f32>>;

/// Weights about a common model, the same in every run.
fn updates() -> Rows {
    let row = |client: usize| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(client as u64 + 1);
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..VALUES)
            .map(|place| (place % 1009) as f32 * 1e-4 + uniform() * 0.01)
            .collect()
    };
    (0..CLIENTS).map(row).collect()
}

/// Calls `combine` with each block's rows and its part of `out`.
fn by_blocks(rows: &Rows, out: &mut [f32], mut combine: impl FnMut(&[&[f32]], &mut [f32])) {
    let mut block: Vec<&[f32]> = Vec::with_capacity(rows.len());
    for (number, out) in out.chunks_mut(BLOCK).enumerate() {
        let start = number * BLOCK;
        block.clear();
        block.extend(rows.iter().map(|row| &row[start..start + out.len()]));
        combine(&block, out);
    }
}

/// Sorts each coordinate's values and lets `choose` make one of them.
fn by_sorting(rows: &Rows, out: &mut [f32], choose: impl Fn(&mut [f32]) -> f32) {
    let mut values = vec![0.0; rows.len()];
    for (place, out) in out.iter_mut().enumerate() {
        for (value, row) in values.iter_mut().zip(rows) {
            *value = row[place];
        }
        values.sort_unstable_by(f32::total_cmp);
        *out = choose(&mut values);
    }
}

fn plain_mean(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    (sum / values.len() as f64) as f32
}

fn mean_near_median(sorted: &mut [f32], keep: usize) -> f32 {
    let middle = &sorted[(sorted.len() - 1) / 2..sorted.len() / 2 + 1];
    let median = middle.iter().map(|value| f64::from(*value)).sum::<f64>() / middle.len() as f64;
    let far = |value: &f32| (f64::from(*value) - median).abs();
    // Stable: of two as far, the smaller stays first.
    sorted.sort_by(|a, b| far(a).total_cmp(&far(b)));
    let near = &mut sorted[..keep];
    near.sort_unstable_by(f32::total_cmp);
    plain_mean(near)
}

/// Each pair of rows from end to end.
fn pair_by_pair(rows: &Rows) -> Vec<f64> {
    let mut sums = Vec::new();
    for (number, a) in rows.iter().enumerate() {
        for b in &rows[number + 1..] {
            let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            sums.push(a.iter().zip(b).map(square).sum());
        }
    }
    sums
}

fn order_statistics(criterion: &mut Criterion) {
    let rows = updates();
    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Bytes(
        ((CLIENTS + 1) * VALUES * size_of::<f32>()) as u64,
    ));
    let (mut ours, mut naive, mut scratch) = (vec![0.0; VALUES], vec![0.0; VALUES], Vec::new());

    let median = MiddleMean::median(CLIENTS).expect("there are updates");
    let trimmed = MiddleMean::trimmed(CLIENTS, 2).expect("six are left");
    let choose_median = |sorted: &mut [f32]| plain_mean(&sorted[4..6]);
    let choose_trimmed = |sorted: &mut [f32]| plain_mean(&sorted[2..8]);
    for (case, rule, choose) in [
        (
            "median_k10",
            &median,
            &choose_median as &dyn Fn(&mut [f32]) -> f32,
        ),
        ("trimmed_mean_k10", &trimmed, &choose_trimmed),
    ] {
        by_blocks(&rows, &mut ours, |block, out| {
            rule.apply(block, &mut scratch, out)
        });
        by_sorting(&rows, &mut naive, choose);
        assert_eq!(ours, naive, "{case}");
        group.bench_function(BenchmarkId::new(case, "network"), |bencher| {
            bencher.iter(|| {
                by_blocks(&rows, &mut ours, |block, out| {
                    rule.apply(block, &mut scratch, out)
                });
                black_box(&mut ours);
            });
        });
        group.bench_function(BenchmarkId::new(case, "sort"), |bencher| {
            bencher.iter(|| by_sorting(black_box(&rows), &mut naive, choose));
        });
    }

    // Ten updates, one Byzantine: eight are selected, six kept.
    let selected: Rows = rows[..8].to_vec();
    let near = NearMedian::new(8, 6).expect("fewer than there are");
    let choose = |sorted: &mut [f32]| mean_near_median(sorted, 6);
    by_blocks(&selected, &mut ours, |block, out| {
        near.apply(block, &mut scratch, out)
    });
    by_sorting(&selected, &mut naive, choose);
    assert_eq!(ours, naive, "near_median_k8");
    group.throughput(Throughput::Bytes((9 * VALUES * size_of::<f32>()) as u64));
    group.bench_function(BenchmarkId::new("near_median_k8", "network"), |bencher| {
        bencher.iter(|| {
            by_blocks(&selected, &mut ours, |block, out| {
                near.apply(block, &mut scratch, out)
            });
            black_box(&mut ours);
        });
    });
    group.bench_function(BenchmarkId::new("near_median_k8", "sort"), |bencher| {
        bencher.iter(|| by_sorting(black_box(&selected), &mut naive, choose));
    });
}

fn squared_distances(criterion: &mut Criterion) {
    let rows = updates();
    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Bytes((CLIENTS * VALUES * size_of::<f32>()) as u64));
    let mut scratch = Vec::new();
    let mut ours = || {
        let mut distances = Distances::zero(CLIENTS);
        for start in (0..VALUES).step_by(BLOCK) {
            let end = (start + BLOCK).min(VALUES);
            let block: Vec<&[f32]> = rows.iter().map(|row| &row[start..end]).collect();
            add_squared_distances(&block, &mut scratch, distances.sums_mut());
        }
        distances
    };
    for (ours, naive) in ours().sums().iter().zip(pair_by_pair(&rows)) {
        // One sum from end to end may lose 2⁻⁵³ at every value: it is the less exact of the two.
        assert!(
            (ours / naive - 1.0).abs() < VALUES as f64 * f64::EPSILON / 2.0,
            "{ours} {naive}"
        );
    }
    group.bench_function(BenchmarkId::new("krum_distances_k10", "tiles"), |bencher| {
        bencher.iter(&mut ours);
    });
    group.bench_function(BenchmarkId::new("krum_distances_k10", "pairs"), |bencher| {
        bencher.iter(|| pair_by_pair(black_box(&rows)));
    });

    let check = || rows.iter().find_map(|row| first_not_finite(row));
    let check_each = || {
        rows.iter()
            .find_map(|row| row.iter().position(|value| !value.is_finite()))
    };
    assert_eq!(check(), check_each());
    group.bench_function(BenchmarkId::new("not_finite_k10", "groups"), |bencher| {
        bencher.iter(|| black_box(check()));
    });
    group.bench_function(BenchmarkId::new("not_finite_k10", "each"), |bencher| {
        bencher.iter(|| black_box(check_each()));
    });
}

/// A block's rows as updates.
fn addends<'a>(block: &[&'a [f32]]) -> Vec<Addend<'a, f32>> {
    block.iter().map(|row| Addend::Update(row)).collect()
}

/// With sample counts that differ, and with equal ones, whose means often lie in the middle of two `f32`.
fn weighted_means(criterion: &mut Criterion) {
    let rows = updates();
    let (mut ours, mut naive) = (vec![0.0; VALUES], vec![0.0; VALUES]);
    let mut doubles = vec![0.0_f64; BLOCK];
    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Bytes(
        ((CLIENTS + 1) * VALUES * size_of::<f32>()) as u64,
    ));
    let unequal: Vec<u64> = (0..CLIENTS as u64).map(|client| 100 + 7 * client).collect();
    for (case, counts) in [
        ("mean_k10", unequal),
        ("mean_k10_equal_counts", vec![64; CLIENTS]),
    ] {
        let weights = Weights::new(&counts).expect("counts add up");
        let total = counts.iter().sum::<u64>() as f64;
        let by_definition = |out: &mut [f32]| {
            for (place, out) in out.iter_mut().enumerate() {
                let term = |(row, count): (&Vec<f32>, &u64)| *count as f64 * f64::from(row[place]);
                *out = (rows.iter().zip(&counts).map(term).sum::<f64>() / total) as f32;
            }
        };
        let exact = |block: &[&[f32]], out: &mut [f32]| {
            mean(&weights, &addends(block), out).expect("updates are finite");
        };
        by_blocks(&rows, &mut ours, exact);
        by_definition(&mut naive);
        // The obvious way rounds each term: it may miss the last place here and there.
        let differ = ours
            .iter()
            .zip(&naive)
            .filter(|(ours, naive)| ours != naive)
            .count();
        let far = ours
            .iter()
            .zip(&naive)
            .any(|(ours, naive)| (ours - naive).abs() > 1e-7 * naive.abs());
        assert!(differ < 100 && !far, "{case}: {differ} values differ");
        group.bench_function(BenchmarkId::new(case, "exact"), |bencher| {
            bencher.iter(|| by_blocks(&rows, &mut ours, exact));
        });
        group.bench_function(BenchmarkId::new(case, "definition"), |bencher| {
            bencher.iter(|| by_definition(black_box(&mut naive)));
        });
        group.bench_function(BenchmarkId::new(case, "exact_to_f64"), |bencher| {
            bencher.iter(|| {
                by_blocks(&rows, &mut ours, |block, out| {
                    let doubles = &mut doubles[..out.len()];
                    mean_f64(&weights, &addends(block), doubles).expect("updates are finite");
                    black_box(doubles);
                });
            });
        });
    }
}

/// a = b + s c over arrays of 128 MiB, on one thread: the bound of every rule that reads each value once.
fn triad(criterion: &mut Criterion) {
    const LENGTH: usize = 1 << 24;
    let (mut a, b, c) = (
        vec![0.0_f64; LENGTH],
        vec![1.0_f64; LENGTH],
        vec![2.0_f64; LENGTH],
    );
    let mut group = criterion.benchmark_group("memory");
    group.throughput(Throughput::Bytes((3 * LENGTH * size_of::<f64>()) as u64));
    group.bench_function(BenchmarkId::new("triad", "one_thread"), |bencher| {
        bencher.iter(|| {
            let scale = black_box(3.0);
            for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(&c)) {
                *a = b + scale * c;
            }
            black_box(&mut a);
        });
    });
    assert!(a.iter().all(|value| *value == 7.0));
}

criterion_group! {
    name = aggregate;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = triad, order_statistics, squared_distances, weighted_means
}
criterion_main!(aggregate);
