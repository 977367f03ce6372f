//! How the work grows with clients and rounds: checking, planning, writing workflows, simulating, running jobs that do
//! nothing on this machine and on a pool, aggregating.
//!
//! ```text
//! cargo run --release -p benches --bin scale -- --svg benches/results/scale.svg > benches/results/scale.md
//! ```
//!
//! Each measurement is a process of its own, so that its largest resident memory is its own too. `--most N` leaves out what has
//! more than N clients. The pool is measured as root where its packages can be had, and said to be skipped elsewhere.

mod aggregation;
mod chart;
mod engine;
mod fit;
mod planning;
mod pool;
mod report;

use std::{env, error::Error, path::PathBuf, process::Command};

use contract::job::Usage;
use serde_json::{Value, json};

/// What is measured, one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading and proving a specification, and planning its jobs.
    Plan,
    /// Writing a Pegasus workflow of the plan.
    Pegasus,
    /// Writing a DAG of the plan.
    Dagman,
    /// Simulating the plan on a thousand slots.
    Simulate,
    /// Running jobs that do nothing by the engine.
    Engine,
    /// Running jobs that do nothing on a pool.
    Pool,
    /// Making a global model of as many updates as there are clients.
    Aggregate,
}

impl Step {
    /// In the order they are measured.
    pub const ALL: [Step; 7] = [
        Step::Plan,
        Step::Pegasus,
        Step::Dagman,
        Step::Simulate,
        Step::Engine,
        Step::Pool,
        Step::Aggregate,
    ];

    /// In a word or two.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Plan => "check and plan",
            Step::Pegasus => "write Pegasus",
            Step::Dagman => "write DAGMan",
            Step::Simulate => "simulate",
            Step::Engine => "engine",
            Step::Pool => "pool",
            Step::Aggregate => "aggregate",
        }
    }

    /// Whether so many clients and rounds are measured: jobs really started stay below some thousands.
    fn measures(self, clients: u32, rounds: u32) -> bool {
        match self {
            Step::Plan | Step::Pegasus | Step::Dagman | Step::Simulate => true,
            Step::Engine => clients * rounds <= 10_000,
            Step::Pool => rounds == 1 && clients <= 1000,
            Step::Aggregate => rounds == 1,
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// What was measured.
    pub step: Step,
    /// Number of clients.
    pub clients: u32,
    /// Number of rounds.
    pub rounds: u32,
    /// Of the step alone.
    pub seconds: f64,
    /// Largest resident memory of its process, what came before the step included.
    pub memory: u64,
    /// What it wrote, or read where it writes nothing of note.
    pub bytes: u64,
}

/// What a step says of itself.
pub struct Cost {
    /// How long it took.
    pub seconds: f64,
    /// What it wrote or read.
    pub bytes: u64,
    /// Largest resident memory, where another process did the work.
    pub memory: Option<u64>,
}

const CLIENTS: [u32; 4] = [10, 100, 1000, 10_000];
const ROUNDS: [u32; 3] = [1, 10, 100];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [first, step, clients, rounds] = words.as_slice()
        && first == "--step"
    {
        return one(step, clients.parse()?, rounds.parse()?);
    }
    let (mut most, mut svg) = (u32::MAX, None);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--most", Some(value)) => most = value.parse()?,
            ("--svg", Some(value)) => svg = Some(PathBuf::from(value)),
            _ => return Err("usage: scale [--most CLIENTS] [--svg FILE]".into()),
        }
    }
    let (measured, skipped) = measure(most)?;
    if let Some(path) = svg {
        contract::job::write_whole(&path, |out| {
            std::io::Write::write_all(out, chart::svg(&measured).as_bytes())
        })?;
    }
    print!("{}", report::markdown(&measured, &skipped));
    Ok(())
}

/// Every measurement of at most so many clients, and why any were skipped.
fn measure(most: u32) -> Result<(Vec<Measured>, Vec<String>), Box<dyn Error>> {
    let (mut measured, mut skipped) = (Vec::new(), Vec::new());
    for step in Step::ALL {
        for clients in CLIENTS.into_iter().filter(|clients| *clients <= most) {
            for rounds in ROUNDS
                .into_iter()
                .filter(|rounds| step.measures(clients, *rounds))
            {
                match apart(step, clients, rounds)? {
                    Ok(found) => {
                        eprintln!(
                            "{}: {clients} clients, {rounds} rounds: {:.3} s, {} MB",
                            step.name(),
                            found.seconds,
                            found.memory / 1_000_000
                        );
                        measured.push(found);
                    }
                    Err(why) => {
                        if !skipped.contains(&why) {
                            eprintln!("{}: SKIPPED: {why}", step.name());
                            skipped.push(why);
                        }
                    }
                }
            }
        }
    }
    Ok((measured, skipped))
}

/// Measures in a process of its own; gives the reason where that cannot be measured here.
fn apart(step: Step, clients: u32, rounds: u32) -> Result<Result<Measured, String>, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["--step", step.name()])
        .args([clients.to_string(), rounds.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "{} with {clients} clients and {rounds} rounds failed: {}",
            step.name(),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    if let Some(why) = told["skipped"].as_str() {
        return Ok(Err(why.to_owned()));
    }
    Ok(Ok(Measured {
        step,
        clients,
        rounds,
        seconds: told["seconds"].as_f64().ok_or("no time was told")?,
        memory: told["memory"].as_u64().ok_or("no memory was told")?,
        bytes: told["bytes"].as_u64().ok_or("no bytes were told")?,
    }))
}

/// Measures one step in this process and tells of it.
fn one(step: &str, clients: u32, rounds: u32) -> Result<(), Box<dyn Error>> {
    let step = Step::ALL
        .into_iter()
        .find(|known| known.name() == step)
        .ok_or("no such step")?;
    let cost = match step {
        Step::Plan | Step::Pegasus | Step::Dagman | Step::Simulate => {
            Ok(planning::run(step, clients, rounds)?)
        }
        Step::Engine => Ok(engine::run(clients, rounds)?),
        Step::Pool => pool::run(clients)?,
        Step::Aggregate => Ok(aggregation::run(clients)?),
    };
    let told = match cost {
        Ok(cost) => {
            let own = Usage::now("scale", std::time::Instant::now()).peak_memory_bytes;
            let memory = cost.memory.unwrap_or(own);
            json!({ "seconds": cost.seconds, "bytes": cost.bytes, "memory": memory })
        }
        Err(why) => json!({ "skipped": why }),
    };
    println!("{told}");
    Ok(())
}
