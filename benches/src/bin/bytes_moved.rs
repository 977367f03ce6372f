//! Counts the jobs of an experiment and the bytes that move between submit host and machines, from its plan.
//!
//! ```text
//! cargo run -p benches --no-default-features --bin bytes_moved > benches/results/bytes_moved.md
//! ```
//!
//! The experiment is the public reference's: two datasets, 10 clients, 50 rounds, ResNet-18. Nothing runs: each job's files come
//! from its arguments, their sizes from the table below, which is what the reference moved where it has the same file.

use std::{error::Error, path::Path};

use contract::{
    args::{Binary, Job},
    argv::Role,
};
use fedwing::{
    check::{Layout, check},
    diag::Colour,
    plan::{self, Plan, PlannedJob},
};

const CLIENTS: u32 = 10;
const ROUNDS: u32 = 50;

/// A model or a plain update: ResNet-18, two classes.
const MODEL: f64 = 44.75;
/// Brought by every job of Pegasus whose machine has no Pegasus: 18 MB, all that the reference's `select` jobs receive.
const WORKER_PACKAGE: f64 = 18.0;
/// A client's images: what the reference's training jobs receive (141 MB) beside model and worker package.
const SHARD: f64 = 141.0 - MODEL - WORKER_PACKAGE;
/// The test images: what the reference's evaluations receive (266 MB) beside model and worker package.
const TEST: f64 = 266.0 - MODEL - WORKER_PACKAGE;
/// Settings, metrics, statistics: some kilobytes each.
const DOCUMENT: f64 = 0.01;
/// `fl-client` and `fl-aggregator`, stripped, for CPUs.
const PROGRAMS: [(Binary, f64); 2] = [(Binary::FlClient, 15.0), (Binary::FlAggregator, 4.3)];
/// Pool jobs of the reference: 279 of the main workflow and 24 of each round.
const REFERENCE_JOBS: usize = 279 + 24 * 2 * ROUNDS as usize;

/// How updates are written, and an update's size in megabytes.
const UPDATES: [(&str, &str, f64); 3] = [
    ("plain", "", MODEL),
    ("int8", "compression: {int8: {error_feedback: true}}", MODEL / 4.0),
    (
        "top 1 %",
        "compression: {top_k: {share: 0.01, error_feedback: true}}",
        // A position and a value, 4 bytes each, of a hundredth of the values.
        MODEL * 0.02,
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("# Jobs and bytes moved, beside the reference's workflow\n");
    println!(
        "`cargo run -p benches --no-default-features --bin bytes_moved`: computed from plans, nothing is run. Two datasets, {CLIENTS} clients, all \
         of them in each of {ROUNDS} rounds, ResNet-18, a centralised baseline where data is in one place. Megabytes (10^6) between submit host \
         and machines. Sizes: model {MODEL:.2}, a client's shard {SHARD:.1}, test shard {TEST:.1} (what the reference's jobs received \
         beside model and worker package), fl-client {:.1} and fl-aggregator {:.1} (stripped), worker package {WORKER_PACKAGE:.0}.\n",
        PROGRAMS[0].1, PROGRAMS[1].1
    );
    rounds()?;
    layouts()
}

/// Bytes of one round of one dataset.
fn rounds() -> Result<(), Box<dyn Error>> {
    let reference = Moved {
        received: f64::from(CLIENTS) * 141.0 + 466.0 + 266.0 + 18.0,
        sent: f64::from(CLIENTS) * 45.0 + 45.0,
        jobs: 24,
    };
    println!("## One round of one dataset\n");
    println!(
        "| workflow | data | updates | jobs | jobs receive MB | jobs send MB | together MB | reference, times this |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| reference, Pegasus | moves | plain | {} (13 of its own) | {:.0} | {:.0} | {:.0} | 1.0 |",
        reference.jobs,
        reference.received,
        reference.sent,
        reference.together()
    );
    for (target, package) in [("Pegasus", WORKER_PACKAGE), ("DAGMan", 0.0)] {
        for (data, sites) in [("moves", false), ("at its sites", true)] {
            for (name, compression, update) in UPDATES {
                let plan = plan(&spec("flat", sites, compression))?;
                let of_round = |job: &&PlannedJob| {
                    let stage = &job.stage;
                    stage.dataset.as_str() == "nih" && stage.round.is_some_and(|round| round.0 == 2)
                };
                let moved = moved(plan.jobs.iter().filter(of_round), update, package);
                println!(
                    "| fedwing, {target} | {data} | {name} | {} | {:.0} | {:.0} | {:.0} | {:.1} |",
                    moved.jobs,
                    moved.received,
                    moved.sent,
                    moved.together(),
                    reference.together() / moved.together()
                );
            }
        }
    }
    let (_, _, least) = UPDATES[UPDATES.len() - 1];
    let clients = f64::from(CLIENTS);
    println!(
        "\nA job of ours is one job of the pool; the reference's 24 are Pegasus' own among them (directories, staging, registration, \
         cleanup), which Pegasus adds to our workflows as well and which are counted when it plans.\n"
    );
    println!(
        "**Ten times fewer bytes are not reached.** Sites spare the shards, encodings the updates; of what the last row still moves, \
         {:.0} MB are the global model on its way to {CLIENTS} clients, {:.0} the evaluation's model and test shard, {:.0} the aggregation's \
         models, {:.0} programs and {:.0} updates. Less would need the global model encoded for its way to clients, and aggregation and \
         evaluation on the host where their files are.\n",
        clients * MODEL,
        MODEL + TEST,
        2.0 * MODEL,
        (clients + 1.0) * PROGRAMS[0].1 + PROGRAMS[1].1,
        2.0 * clients * least
    );
    Ok(())
}

/// Jobs and bytes of the whole experiment in each layout.
fn layouts() -> Result<(), Box<dyn Error>> {
    let reference = 2.0 * f64::from(ROUNDS) * (f64::from(CLIENTS) * 186.0 + 511.0 + 266.0 + 18.0);
    println!("## The whole experiment\n");
    println!(
        "| workflow | data | planned by Pegasus | jobs | of them on machines of the pool | GB moved (Pegasus) | GB moved (DAGMan) |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| reference | moves | {} times | {REFERENCE_JOBS} | {REFERENCE_JOBS} | {:.0} (its rounds) | - |",
        1 + 2 * ROUNDS,
        reference / 1e3
    );
    for (data, sites) in [("moves", false), ("at its sites", true)] {
        for layout in ["flat", "rounds", "{chunks: 10}"] {
            let plan = plan(&spec(layout, sites, ""))?;
            let here = |job: &&PlannedJob| !on_submit_host(job);
            let [pegasus, dagman] =
                [WORKER_PACKAGE, 0.0].map(|package| moved(plan.jobs.iter().filter(here), MODEL, package));
            println!(
                "| fedwing, `{layout}` | {data} | {} | {} | {} | {:.0} | {:.0} |",
                match plannings(&plan) {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                },
                plan.jobs.len(),
                pegasus.jobs,
                pegasus.together() / 1e3,
                dagman.together() / 1e3
            );
        }
    }
    println!(
        "\nThe reference took 8.2 s to plan the main workflow and 4.5 s a round (Pegasus 5.1.2 on one pool): planning once spares {:.0} s.",
        4.5 * 2.0 * f64::from(ROUNDS)
    );
    Ok(())
}

fn spec(layout: &str, sites: bool, compression: &str) -> String {
    let dataset = |name: &str| {
        format!(
            "  {name}:\n    source: {{cxr14: {{images: /data/{name}/images, labels: /data/{name}/labels.csv}}}}\n    task: {{binary: {{negative: [No \
             Finding]}}}}\n    image: {{size: 224, channels: 3}}\n    test: {{fraction: 0.2}}\n    clients: {{count: {CLIENTS}, by: iid}}\n"
        )
    };
    let (baselines, places) = match sites {
        false => ("centralized", String::new()),
        true => ("", at_sites()),
    };
    format!(
        "fedwing: 1\nname: e1\nseed: 7\ndatasets:\n{}{}model: {{arch: resnet18}}\nfederation:\n  algorithm: fedavg\n  rounds: {ROUNDS}\n  {compression}\n  \
         local: {{epochs: 2, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.001, momentum: 0.9, weight_decay: 1e-4}}}}}}\n\
         evaluation: {{baselines: [{baselines}], cross_dataset: true}}\nexecution: {{layout: {layout}, resources: {{train: {{memory: 8 GiB}}, \
         baseline: {{memory: 8 GiB}}}}}}\n{places}",
        dataset("tcia"),
        dataset("nih")
    )
}

/// Four sites, as the reference's pool had.
fn at_sites() -> String {
    let mut text = "sites:\n".to_owned();
    for site in 0..4 {
        let clients: Vec<String> = (0..CLIENTS)
            .filter(|client| client % 4 == site)
            .map(|client| client.to_string())
            .collect();
        text += &format!(
            "  s{site}: {{clients: [{}], data: /srv/cxr, condor: {{requirements: 'FedwingSite == \"s{site}\"'}}}}\n",
            clients.join(", ")
        );
    }
    text
}

fn plan(text: &str) -> Result<Plan, Box<dyn Error>> {
    let report = check(text, "e1.yml", Path::new("/"));
    match report.checked {
        Some(checked) => Ok(plan::lower(&checked)?),
        None => Err(report.diagnostics.render(Colour::Never).into()),
    }
}

/// How often Pegasus plans: the main workflow, and every sub-workflow.
fn plannings(plan: &Plan) -> u32 {
    match plan.layout {
        Layout::Flat => 1,
        Layout::Rounds => 1 + 2 * plan.rounds,
        Layout::Chunks { rounds } => 1 + 2 * plan.rounds.div_ceil(rounds.get()),
    }
}

/// What jobs receive and send, in megabytes.
struct Moved {
    received: f64,
    sent: f64,
    jobs: usize,
}

impl Moved {
    fn together(&self) -> f64 {
        self.received + self.sent
    }
}

/// Adds up jobs on machines of the pool; `update` is an update's size, `package` what every job brings besides.
fn moved<'a>(jobs: impl Iterator<Item = &'a PlannedJob>, update: f64, package: f64) -> Moved {
    let mut all = Moved {
        received: 0.0,
        sent: 0.0,
        jobs: 0,
    };
    for planned in jobs {
        all.jobs += 1;
        let program = PROGRAMS
            .iter()
            .find(|(binary, _)| *binary == planned.job.binary());
        all.received += package + program.map_or(0.0, |(_, size)| *size);
        let mut seen = Vec::new();
        planned.job.roles(&mut |role| match role {
            // Read and written where it is kept; a checkpoint moves only when a job is stopped.
            Role::Setting | Role::Checkpoint(_) | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => {}
            Role::Input(file) | Role::Output(file) if seen.contains(&file) => {}
            Role::Input(file) => {
                seen.push(file);
                all.received += size(file, update);
            }
            Role::Output(file) => {
                seen.push(file);
                all.sent += size(file, update);
            }
        });
    }
    all
}

/// A file's size by what its name says it is.
fn size(file: &str, update: f64) -> f64 {
    let ends = |end: &str| file.ends_with(end);
    if ends("test.shard.safetensors") {
        TEST
    } else if ends(".shard.safetensors") {
        SHARD
    } else if ends(".update.safetensors") {
        update
    } else if ends(".safetensors") {
        // Models, and what an encoding left out.
        MODEL
    } else {
        DOCUMENT
    }
}

/// Jobs that read the source's images or the manifest where they are.
fn on_submit_host(planned: &PlannedJob) -> bool {
    matches!(planned.job, Job::Prepare(_) | Job::Stats(_)) && planned.site.is_none()
}
