//! How long a specification takes to become a Pegasus directory.

use std::{hint::black_box, io};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fedwing::{
    check::{Checked, Layout},
    emit::{FileKind, Sink, pegasus},
    plan,
};

#[path = "../../generator/tests/sample/mod.rs"]
mod sample;

/// Takes every byte and keeps none, so that disks are not measured.
struct Nowhere;

impl Sink for Nowhere {
    type File<'a> = io::Sink;

    fn file(&mut self, _path: &str, _kind: FileKind) -> io::Result<io::Sink> {
        Ok(io::sink())
    }
}

fn lower_and_emit(checked: &Checked) -> usize {
    let plan = plan::lower(checked).expect("the sample is sound");
    pegasus::write(&plan, &checked.execution.pegasus, &mut Nowhere).expect("nowhere takes everything");
    plan.jobs.len()
}

fn benches(criterion: &mut Criterion) {
    for (case, layout) in [("k10_t50", Layout::Flat), ("k10_t50_rounds", Layout::Rounds)] {
        let sample = sample::Sample {
            clients: 10,
            rounds: 50,
            ..sample::Sample::small(layout)
        };
        let checked = sample.checked();
        // Two datasets: 12 jobs a round, 4 before, 11 baselines, 1 cross-dataset evaluation.
        let jobs = lower_and_emit(&checked);
        assert_eq!(jobs, 2 * (50 * 12 + 4 + 11 + 1));
        let mut group = criterion.benchmark_group(format!("plan/{case}"));
        group.throughput(Throughput::Elements(jobs as u64));
        group.bench_function("lower+emit", |bencher| {
            bencher.iter(|| lower_and_emit(black_box(&checked)))
        });
        group.bench_function("lower+to_dag", |bencher| {
            bencher.iter(|| {
                plan::lower(black_box(&checked))
                    .expect("the sample is sound")
                    .to_dag()
                    .jobs
                    .len()
            })
        });
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
