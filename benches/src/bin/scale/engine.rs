//! Rounds of jobs that do nothing, by the engine: all clients' jobs, then one that waits for them.

use std::{error::Error, num::NonZeroU32, time::Instant};

use benches::{no_job, run_engine};
use contract::units::Bytes;
use fedwing::plan::Dag;

use super::Cost;

const SLOTS: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

pub fn run(clients: u32, rounds: u32) -> Result<Cost, Box<dyn Error>> {
    let mut dag = Dag {
        name: "scale".to_owned(),
        ..Dag::default()
    };
    let mut after = Vec::new();
    for round in 0..rounds {
        let first = dag.jobs.len() as u32;
        for client in 0..clients {
            let mut job = no_job(&format!("train-{round}-{client}"), "/bin/true", Vec::new());
            job.after.clone_from(&after);
            dag.jobs.push(job);
        }
        let mut job = no_job(&format!("aggregate-{round}"), "/bin/true", Vec::new());
        job.after = (first..first + clients).collect();
        after = vec![dag.jobs.len() as u32];
        dag.jobs.push(job);
    }
    let folder = std::env::temp_dir().join(format!("fedwing-scale-{}", std::process::id()));
    let begun = Instant::now();
    let ran = run_engine(&dag, &folder, SLOTS);
    let seconds = begun.elapsed().as_secs_f64();
    let Bytes(bytes) = ran?;
    std::fs::remove_dir_all(&folder)?;
    Ok(Cost {
        seconds,
        bytes,
        memory: None,
    })
}
