//! Measures the engine's own cost: 10,000 jobs that do nothing, through `engine::run` in a temporary folder.
//!
//! ```text
//! cargo run --release -p benches --bin engine_10k [-- JOBS [SLOTS [FOLDER]]]
//! ```
//!
//! Two cases: `no_files` runs `/bin/true`; `one_output` runs a shell that writes one small file, which is read, kept and
//! recorded, and every job reads the output of the one ten places before it. Prints for each the seconds, jobs per second,
//! and this process's own CPU time and largest resident memory (jobs not included; on a busy machine the CPU time is what holds). Aim: 10,000 jobs on 2 cores below 30 s and 500 MB.

use std::{collections::BTreeMap, error::Error, num::NonZeroU32, path::PathBuf, time::Instant};

use benches::{no_job, run_engine};
use contract::{job::Usage, units::Bytes};
use fedwing::plan::{Dag, DagJob, Lfn};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let jobs: usize = words.next().map_or(Ok(10_000), |word| word.parse())?;
    let slots: NonZeroU32 = words
        .next()
        .map_or(Ok(NonZeroU32::MIN.saturating_add(1)), |word| word.parse())?;
    let parent = words.next().map_or_else(std::env::temp_dir, PathBuf::from);
    for (case, dag) in [("no_files", no_files(jobs)), ("one_output", one_output(jobs))] {
        let cpu_before = Usage::now("engine_10k", Instant::now()).cpu_s;
        let folder = parent.join(format!("fedwing-engine-bench-{}-{case}", std::process::id()));
        let started = Instant::now();
        run_engine(&dag, &folder, slots)?;
        let seconds = started.elapsed().as_secs_f64();
        std::fs::remove_dir_all(&folder)?;
        let used = Usage::now("engine_10k", Instant::now());
        let (memory, cpu) = (Bytes(used.peak_memory_bytes), used.cpu_s - cpu_before);
        let rate = jobs as f64 / seconds;
        print!("engine/{case}: {jobs} jobs, {slots} at once: {seconds:.2} s, {rate:.0} jobs/s, ");
        println!("of it {cpu:.2} s of the engine's own CPU time, peak memory {memory}");
    }
    Ok(())
}

fn no_files(jobs: usize) -> Dag {
    let jobs = (0..jobs).map(|index| no_job(&name(index), "/bin/true", Vec::new()));
    Dag {
        name: "no-files".to_owned(),
        jobs: jobs.collect(),
        external: BTreeMap::new(),
    }
}

fn one_output(jobs: usize) -> Dag {
    let name = |index: usize| Lfn::new(&format!("out-{index:07}.txt"));
    let jobs = (0..jobs).map(|index| {
        let script = format!("echo {index} > out-{index:07}.txt");
        DagJob {
            inputs: index.checked_sub(10).and_then(name).into_iter().collect(),
            outputs: name(index).into_iter().collect(),
            ..no_job(&self::name(index), "/bin/sh", vec!["-c".to_owned(), script])
        }
    });
    Dag {
        name: "one-output".to_owned(),
        jobs: jobs.collect(),
        external: BTreeMap::new(),
    }
}

fn name(index: usize) -> String {
    format!("job-{index:07}")
}
