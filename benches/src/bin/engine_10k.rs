//! Measures the engine's own cost: 10,000 jobs that do nothing, through `engine::run` in a temporary folder.
//!
//! ```text
//! cargo run --release -p benches --bin engine_10k [-- JOBS [SLOTS [FOLDER]]]
//! ```
//!
//! Two cases: `no_files` runs `/bin/true`; `one_output` runs a shell that writes one small file, which is read, kept and
//! recorded, and every job reads the output of the one ten places before it. Prints for each the seconds, jobs per second,
//! and this process's own CPU time and largest resident memory (jobs not included; on a busy machine the CPU time is what holds). Aim: 10,000 jobs on 2 cores below 30 s and 500 MB.

use std::{
    collections::BTreeMap,
    error::Error,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Instant,
};

use contract::{job::Usage, units::Bytes, units::Seconds};
use fedwing::{
    check::Request,
    engine::{Interrupt, Machine, Options, Origin, Patience, run},
    plan::{Dag, DagJob, Label, Lfn, Program},
    record::{Event, RunDir, RunOutcome, read},
};

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
        let seconds = measure(&dag, &folder, slots)?;
        std::fs::remove_dir_all(&folder)?;
        let used = Usage::now("engine_10k", Instant::now());
        let (memory, cpu) = (Bytes(used.peak_memory_bytes), used.cpu_s - cpu_before);
        let rate = jobs as f64 / seconds;
        print!("engine/{case}: {jobs} jobs, {slots} at once: {seconds:.2} s, {rate:.0} jobs/s, ");
        println!("of it {cpu:.2} s of the engine's own CPU time, peak memory {memory}");
    }
    Ok(())
}

/// Runs `dag`, checks that every job is recorded as done, and gives the seconds it took.
fn measure(dag: &Dag, folder: &Path, slots: NonZeroU32) -> Result<f64, Box<dyn Error>> {
    let dir = RunDir::new(folder);
    let options = Options {
        origin: Origin {
            source: "/bench".to_owned(),
            digest: "none".to_owned(),
            synthetic: false,
        },
        machine: Machine::here(slots),
        programs: BTreeMap::new(),
        patience: Patience::default(),
        interrupt: Interrupt::new()?,
    };
    let started = Instant::now();
    let outcome = run(dag, &dir, &options, &mut ())?;
    let seconds = started.elapsed().as_secs_f64();
    let ended = |event: &&Event| matches!(event, Event::JobEnded { .. });
    let recorded = read(&dir.record())?.iter().filter(ended).count();
    if outcome != RunOutcome::Done || recorded != dag.jobs.len() {
        return Err(format!("{outcome:?} with {recorded} of {} jobs recorded", dag.jobs.len()).into());
    }
    Ok(seconds)
}

fn no_files(jobs: usize) -> Dag {
    let jobs = (0..jobs).map(|index| job(index, "/bin/true", Vec::new()));
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
            ..job(index, "/bin/sh", vec!["-c".to_owned(), script])
        }
    });
    Dag {
        name: "one-output".to_owned(),
        jobs: jobs.collect(),
        external: BTreeMap::new(),
    }
}

fn job(index: usize, program: &str, argv: Vec<String>) -> DagJob {
    DagJob {
        id: format!("job-{index:07}").into(),
        label: Label {
            kind: "nothing".into(),
            dataset: None,
            round: None,
            client: None,
        },
        program: Program::Path(program.to_owned()),
        argv,
        env: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        stdout: None,
        stderr: None,
        stdin: None,
        request: Request {
            cpus: 1,
            memory: Bytes(0),
            gpus: 0,
            walltime: Seconds(60),
        },
        retries: 0,
        after: Vec::new(),
        in_place: Vec::new(),
        checkpoints: Vec::new(),
    }
}
