//! From a specification's text to plans, workflows and predictions, in memory.

use std::{error::Error, path::Path, time::Instant};

use benches::Counted;
use fedwing::{
    check::{Checked, check},
    diag::Colour,
    emit::{dagman, pegasus},
    estimate::{Known, Sizes, Target},
    plan::{self, Plan},
    simulate::{Pool, predict},
};

use super::{Cost, Step};

/// A thousand slots; job times are of no matter here.
const POOL: &str = "fedwing_pool: 1\nsites: {here: {slots: 1000}}\nqueue: {wait: {median: 20, spread: 2}}\n\
    staging: {bandwidth: 1 GB, overhead: 5}\njobs: {prepare: {fixed: 60}, stats: {fixed: 1}, init: {fixed: 1}, \
    train: {fixed: 60, spread: 1.2}, aggregate: {fixed: 5}, evaluate: {fixed: 30}}\n";

fn specification(clients: u32, rounds: u32) -> String {
    format!(
        "fedwing: 1\nname: scale\nseed: 7\ndatasets:\n  nih:\n    source: {{cxr14: {{images: /data/images, labels: \
         /data/labels.csv}}}}\n    task: {{binary: {{negative: [No Finding]}}}}\n    image: {{size: 224, channels: 1}}\n    test: \
         {{fraction: 0.2}}\n    clients: {{count: {clients}, by: iid}}\nmodel: {{arch: resnet18}}\nfederation:\n  algorithm: \
         fedavg\n  rounds: {rounds}\n  local: {{epochs: 2, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.001}}}}}}\n\
         execution: {{resources: {{train: {{memory: 8 GiB}}}}}}\n"
    )
}

fn checked(clients: u32, rounds: u32) -> Result<Checked, Box<dyn Error>> {
    let report = check(&specification(clients, rounds), "scale.yml", Path::new("/"));
    let found = report.diagnostics;
    report.checked.ok_or_else(|| found.render(Colour::Never).into())
}

pub fn run(step: Step, clients: u32, rounds: u32) -> Result<Cost, Box<dyn Error>> {
    let begun = Instant::now();
    let checked = checked(clients, rounds)?;
    let plan = plan::lower(&checked)?;
    let trained = u64::from(clients) * u64::from(rounds);
    if (plan.jobs.len() as u64) < trained {
        return Err("jobs are missing in the plan".into());
    }
    let planned = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut written = Counted::default();
    match step {
        Step::Pegasus => pegasus::write(&plan, &checked.execution.pegasus, &mut written)?,
        Step::Dagman => dagman::write(&plan, &mut written)?,
        Step::Simulate => {
            simulate(&plan, &checked)?;
        }
        Step::Plan | Step::Engine | Step::Pool | Step::Aggregate => {
            return Ok(Cost {
                seconds: planned,
                bytes: 0,
                memory: None,
            });
        }
    }
    Ok(Cost {
        seconds: begun.elapsed().as_secs_f64(),
        bytes: written.bytes,
        memory: None,
    })
}

fn simulate(plan: &Plan, checked: &Checked) -> Result<(), Box<dyn Error>> {
    let pool = Pool::read(POOL, "pool.yml").pool.ok_or("the pool is sound")?;
    let sizes = Sizes::new(checked, &Known::default());
    let prediction = predict(plan, plan.layout, Target::Dagman, &sizes, &pool)?;
    if prediction.jobs != plan.jobs.len() as u64 || prediction.makespan_s <= 0.0 {
        return Err("not every job was simulated".into());
    }
    Ok(())
}
