//! Plans and emits one million training jobs (1000 clients, 1000 rounds, one flat workflow) and prints seconds, bytes
//! and peak memory as JSON. Other sizes: `plan_million CLIENTS ROUNDS`.

use std::{env, fs, process::ExitCode, time::Instant};

use benches::Counted;
use fedwing::{emit::pegasus, plan};

#[path = "../../../generator/tests/sample/mod.rs"]
mod sample;

fn main() -> ExitCode {
    let numbers: Result<Vec<u32>, _> = env::args().skip(1).map(|word| word.parse()).collect();
    let (clients, rounds) = match numbers.as_deref() {
        Ok([]) => (1000, 1000),
        Ok([clients, rounds]) => (*clients, *rounds),
        _ => {
            eprintln!("usage: plan_million [CLIENTS ROUNDS]");
            return ExitCode::from(2);
        }
    };
    let checked = sample::Sample::wide(clients, rounds).checked();
    let start = Instant::now();
    let plan = plan::lower(&checked).expect("the sample is sound");
    let lower_s = start.elapsed().as_secs_f64();
    let mut sink = Counted::default();
    pegasus::write(&plan, &checked.execution.pegasus, &mut sink).expect("a counter takes everything");
    let total_s = start.elapsed().as_secs_f64();
    println!(
        r#"{{"jobs": {}, "edges": {}, "files": {}, "bytes": {}, "lower_s": {lower_s:.3}, "emit_s": {:.3}, "total_s": {total_s:.3}, "peak_memory_mib": {}}}"#,
        plan.jobs.len(),
        plan.edges().len(),
        sink.files,
        sink.bytes,
        total_s - lower_s,
        peak_memory_mib().map_or("null".to_owned(), |mib| mib.to_string()),
    );
    ExitCode::SUCCESS
}

/// Largest resident memory of this process, where the system tells.
fn peak_memory_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024)
}
